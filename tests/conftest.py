"""What many tests share: drawn faces, a clip of them, a tiny network with its card, the real data."""

from __future__ import annotations

import io
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageDraw, ImageFilter

from mien.card import CARD_KEY, ModelCard
from mien.cli import main

Pixels = NDArray[np.uint8]

# Tests started in the background of a shell, or under nohup, would ignore what they send themselves.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

BACKGROUND = (96, 120, 140)
SKIN, HAIR = (222, 176, 148), (60, 40, 30)
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"

#: Five landmarks of a face in units of the crop's side; only a test's, `align` has the real ones.
TEMPLATE = ((0.31, 0.36), (0.69, 0.36), (0.5, 0.58), (0.35, 0.78), (0.65, 0.78))


def drawn_face(side: int = 160) -> Pixels:
    """A cartoon head, (side, side, 3) RGB, that YuNet finds with a score of 0.91; nobody's picture."""
    s = 4 * side / 160  # drawn four times as large, on a grid of 160
    picture = Image.new("RGB", (side * 4, side * 4), BACKGROUND)
    draw = ImageDraw.Draw(picture)

    def ellipse(cx: float, cy: float, rx: float, ry: float, colour: tuple[int, int, int]) -> None:
        draw.ellipse([(cx - rx) * s, (cy - ry) * s, (cx + rx) * s, (cy + ry) * s], fill=colour)

    ellipse(80, 72, 52, 62, HAIR)
    draw.rectangle([62 * s, 120 * s, 98 * s, 160 * s], fill=(190, 140, 115))  # neck
    ellipse(80, 84, 44, 56, SKIN)
    for x in (36, 124):  # ears
        ellipse(x, 86, 6, 12, (200, 150, 125))
    for x in (62, 98):  # white, iris, pupil, brow and lid
        ellipse(x, 74, 10, 5.5, (245, 242, 238))
        ellipse(x, 74, 5, 5, (70, 45, 30))
        ellipse(x, 74, 2.2, 2.2, (10, 10, 10))
        draw.arc([(x - 12) * s, 58 * s, (x + 12) * s, 76 * s], 200, 340, fill=HAIR, width=int(3 * s))
        draw.arc(
            [(x - 11) * s, 67 * s, (x + 11) * s, 83 * s], 190, 350, fill=(90, 60, 45), width=int(1.2 * s)
        )
    draw.polygon([(80 * s, 76 * s), (72 * s, 100 * s), (88 * s, 100 * s)], fill=(205, 155, 128))  # nose
    for x in (75, 85):
        ellipse(x, 101, 3, 2, (120, 75, 60))
    ellipse(80, 118, 17, 6, (175, 80, 80))  # mouth
    draw.line([63 * s, 118 * s, 97 * s, 118 * s], fill=(90, 30, 30), width=int(1.5 * s))
    soft = picture.filter(ImageFilter.GaussianBlur(1.2 * s))
    return np.asarray(soft.resize((side, side), Image.Resampling.LANCZOS))


def scene(*faces: tuple[int, int, int], size: tuple[int, int] = (240, 320)) -> Pixels:
    """A plain (H, W, 3) picture of `size` with faces (x, y, side) drawn on it."""
    pixels = np.full((*size, 3), BACKGROUND, np.uint8)
    for x, y, side in faces:
        pixels[y : y + side, x : x + side] = drawn_face(side)
    return pixels


@pytest.fixture(scope="session")
def draw_scene() -> Callable[..., Pixels]:
    """`scene` above, for tests that place the faces themselves."""
    return scene


@pytest.fixture(scope="session")
def one_face() -> Pixels:
    """(240, 320, 3) RGB with one face, 160 pixels of head at (60, 40)."""
    return scene((60, 40, 160))


@pytest.fixture(scope="session")
def two_faces() -> Pixels:
    """(240, 400, 3) RGB with a larger face on the left and a smaller one on the right."""
    return scene((20, 40, 180), (250, 60, 120), size=(240, 400))


@pytest.fixture(scope="session")
def no_face() -> Pixels:
    """(240, 320, 3) RGB, plain: nobody there."""
    return scene()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One linear layer with fixed random weights, 48 x 48 gray to 8 logits, its card inside."""
    weights = np.random.default_rng(7).normal(0, 2e-4, (48 * 48, 8)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["input"], ["flat"]),
            helper.make_node("MatMul", ["flat", "w"], ["logits"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 1, 48, 48])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 8])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    card = ModelCard(name="tiny", template=TEMPLATE, parameters=weights.size, data=("none: random weights",))
    helper.set_model_props(model, {CARD_KEY: card.to_json()})
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    onnx.save(model, str(path))
    return path


def write_clip(path: Path, pictures: Sequence[Pixels], *, fps: int = 10) -> Path:
    """An MPEG-4 clip of `pictures`, (H, W, 3) RGB each, all of one size, H and W even."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(fps))
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 2_000_000
        for pixels in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="session")
def make_clip() -> Callable[..., Path]:
    """`write_clip` above, for tests that need a clip of their own."""
    return write_clip


@pytest.fixture(scope="session")
def drawn_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 12 frames at 10 a second, 320 x 240: a face moves right; the last two are empty."""
    pictures = [scene((20 + 8 * i, 40, 160)) for i in range(10)] + [scene()] * 2
    return write_clip(tmp_path_factory.mktemp("clip") / "drawn.mp4", pictures)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """../shared/data, or skip."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the real data in {SHARED}, which is not here")
    return SHARED


@pytest.fixture(scope="session")
def media(shared_data: Path) -> Path:
    """../shared/data/media, or skip: photos and clips of real faces."""
    return shared_data / "media"


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command went."""

    code: int
    out: bytes
    err: str


@pytest.fixture
def mien(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., Ran]:
    """Run the command line in this process: `mien("analyze", path)`; `stdin` are bytes it can read."""

    def run(*arguments: str | Path, stdin: bytes = b"") -> Ran:
        monkeypatch.setattr(sys, "argv", ["mien", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capfdbinary.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfdbinary.readouterr()
        return Ran(int(end.value.code or 0), out, err.decode())

    return run
