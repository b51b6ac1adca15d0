"""Puts what the page reads with into `public/`: the networks, the card of one, and the shape of another."""

from __future__ import annotations

import json
from pathlib import Path

from mien.faces import yunet
from mien.faces.align import PARTS_TEMPLATE
from mien.faces.network import open_session, read_card, read_model
from mien.models import load_model
from mien.units import ALIGN, OUTPUTS, UNITS


def main() -> None:
    """Write the files beside this one."""
    public = Path(__file__).parent / "public"
    public.mkdir(exist_ok=True)
    network = read_model(None)
    (public / "detector.onnx").write_bytes(yunet.weights())
    (public / "face.onnx").write_bytes(load_model("face"))
    shape = {"outputs": OUTPUTS, "align": ALIGN, "template": PARTS_TEMPLATE, "units": UNITS}
    (public / "face.json").write_text(json.dumps(shape), "utf-8")
    (public / "network.onnx").write_bytes(network)
    (public / "card.json").write_text(read_card(open_session(network)).to_json(), "utf-8")


if __name__ == "__main__":
    main()
