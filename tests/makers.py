"""Makers that tests import: drawn faces, pictures and clips of them."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from mien.batch.options import AnalyzeOptions, describe_network
from mien.batch.read import Result, Task, read_input
from mien.image import encode_image

Pixels = NDArray[np.uint8]

BACKGROUND = (96, 120, 140)
SKIN, HAIR = (222, 176, 148), (60, 40, 30)
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@cache  # drawing one takes as long as finding it
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
    face = np.asarray(soft.resize((side, side), Image.Resampling.LANCZOS))
    face.setflags(write=False)
    return face


def scene(*faces: tuple[int, int, int], size: tuple[int, int] = (240, 320)) -> Pixels:
    """A plain (H, W, 3) picture of `size` with faces (x, y, side) drawn on it."""
    pixels = np.full((*size, 3), BACKGROUND, np.uint8)
    for x, y, side in faces:
        pixels[y : y + side, x : x + side] = drawn_face(side)
    return pixels


def write_clip(
    path: Path, pictures: Sequence[Pixels], *, fps: int = 10, start: int = 0, codec: str = "mpeg4",
    **options: str,
) -> Path:  # fmt: skip
    """A clip of `pictures`, (H, W, 3) RGB each, all of one size, H and W even; the first at frame `start`.

    `options` are the encoder's, and `format`, the container's where its name does not tell it.
    """
    with av.open(str(path), "w", format=options.pop("format", None)) as container:
        stream = container.add_stream(codec, rate=Fraction(fps), options=options)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 2_000_000
        stream.codec_context.time_base = 1 / Fraction(fps)
        for index, pixels in enumerate(pictures, start):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = index, 1 / Fraction(fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def copy_pictures(path: Path, pictures: Sequence[bytes], codec: str, size: tuple[int, int]) -> Path:
    """A clip of files of pictures as they are, as `ffmpeg -i %d.jpg -c copy` makes; 10 a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "rgb24"
        for index, data in enumerate(pictures):
            packet = av.Packet(data)
            packet.stream, packet.time_base = stream, Fraction(1, 10)
            packet.pts = packet.dts = index
            packet.is_keyframe = True
            container.mux(packet)
    return path


class PoolHere:
    """What `mien.batch.pool.Pool` gives, read in this process: no worker starts, which takes a CPU second."""

    def __init__(self, options: AnalyzeOptions, workers: int) -> None:
        self._options = replace(options, threads=1) if workers > 1 else options

    def start(self, workers: int) -> dict[str, Any]:  # noqa: ARG002 - as `Pool` has it
        self._analyzer = self._options.load()
        return describe_network(self._analyzer, self._options.policy)

    def run(self, tasks: Iterable[Task]) -> Iterator[Result]:
        for task in tasks:
            yield from read_input(self._analyzer, task, self._options)

    def close(self) -> None:
        pass


def draw_bands(count: int, seed: int) -> Pixels:
    """(count, 48, 48) of noise with a bright band at one of eight heights, which a network learns fast."""
    faces = np.random.default_rng(seed).integers(0, 100, (count, 48, 48), np.uint8)
    for i, face in enumerate(faces):
        face[i % 8 * 6 : i % 8 * 6 + 4] = 250
    return faces


def write_ferplus(path: Path, train: Pixels, valid: Pixels) -> Path:
    """FER+'s layout of (N, 48, 48) faces to learn from and to judge; all vote for emotion i % 8 of face i."""
    with zipfile.ZipFile(path, "w") as archive:
        for split, faces in (("FER2013Train", train), ("FER2013Valid", valid)):
            rows = []
            for i, pixels in enumerate(faces):
                archive.writestr(f"f/{split}/fer{i:07d}.png", encode_image(pixels, ".png"))
                votes = ",".join("10" if k == i % 8 else "0" for k in range(8))
                rows.append(f'fer{i:07d}.png,"(0, 0, 48, 48)",{votes},0,0')
            archive.writestr(f"f/{split}/label.csv", "\n".join(rows) + "\n")
    return path


def shrink_recipe(recipe: Any) -> Any:
    """A recipe of the paper with two filters and epochs of 32 pictures: every stage, in seconds."""
    return replace(
        recipe,
        width=2,
        hidden=tuple(nodes // 20 for nodes in recipe.hidden),
        draws=16,
        pretrain=replace(recipe.pretrain, epochs=1, batch=16, draws=min(16, recipe.pretrain.draws)),
        head=replace(recipe.head, epochs=1, batch=16),
        shared=replace(recipe.shared, epochs=1, batch=16),
        loop=replace(recipe.loop, epochs=1, batch=16),
    )
