"""Puts what the page reads with into `public/`: the detector, the network that ships, and its card."""

from __future__ import annotations

from pathlib import Path

from mien.faces import yunet
from mien.faces.network import open_session, read_card, read_model


def main() -> None:
    """Write the three files beside this one."""
    public = Path(__file__).parent / "public"
    public.mkdir(exist_ok=True)
    network = read_model(None)
    (public / "detector.onnx").write_bytes(yunet.weights())
    (public / "network.onnx").write_bytes(network)
    (public / "card.json").write_text(read_card(open_session(network)).to_json(), "utf-8")


if __name__ == "__main__":
    main()
