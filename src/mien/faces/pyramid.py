"""A picture in halving sizes, made when they are asked for, so that many looks at it stay cheap.

What is cut here is for the detector's eyes alone; crops for networks come from `preprocess`.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, cos, floor, hypot, log2, radians, sin
from typing import Final

import numpy as np
from PIL import Image as Pil

from mien.faces.align import Matrix, invert
from mien.types import Image

TILE: Final = 1280  # the most pixels a side in one pass of the detector, which bounds its memory
TILE_OVERLAP: Final = 128  # pixels that neighbouring tiles share at least


class Pyramid:
    """One picture, (H, W, 3) RGB uint8, and its halves, quarters and so on."""

    def __init__(self, image: Image) -> None:
        self._pixels = image
        self._halved = {0: Pil.fromarray(image)}
        self.height, self.width = image.shape[:2]  # pixels
        self.long = max(self.height, self.width)

    def resized(self, long: float) -> tuple[Image, float]:
        """The picture with its long side at `long` pixels, and the scale from it to the picture."""
        if round(long) == self.long:
            return self._pixels, 1.0
        picture = self._halved[0]
        scale = long / self.long
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        small = picture.resize(size, Pil.Resampling.BILINEAR, reducing_gap=2.0)
        return np.asarray(small), 1 / scale

    def view(self, matrix: Matrix, side: int) -> Image:
        """(side, side, 3) of the picture through a (2, 3) similarity; black past the edge.

        The last halving that is still larger than the view is turned and reduced by less than two,
        which bilinear interpolation does without aliasing that a detector would mind.
        """
        level = max(0, floor(-log2(hypot(matrix[0, 0], matrix[1, 0]))))
        small = self._level(level)
        back = invert(matrix) / 2**level  # a halving rounds its sides up, its pixels stay 2**level wide
        turned = small.transform(
            (side, side), Pil.Transform.AFFINE, tuple(back.ravel()), Pil.Resampling.BILINEAR
        )
        return np.asarray(turned)

    def turn(self, angle: float, long: float) -> tuple[Matrix, int]:
        """The transform that turns it by `angle` degrees, its long side at `long`, and the result's side."""
        scale = long / self.long
        c, s = scale * cos(radians(angle)), scale * sin(radians(angle))
        side = ceil((abs(c) + abs(s)) * self.long)
        turn = np.array([[c, -s], [s, c]])
        shift = side / 2 - turn @ np.array([self.width / 2, self.height / 2])
        return np.column_stack([turn, shift]), side  # (2, 3)

    def _level(self, level: int) -> Pil.Image:
        if level not in self._halved:
            self._halved[level] = self._halved[0].reduce(2**level)
        return self._halved[level]


def tiles(image: Image) -> Iterator[tuple[int, int, Image]]:
    """Left, top and pixels of the overlapping tiles of a large picture; the picture itself if it is small."""
    rows, columns = image.shape[:2]
    if max(rows, columns) <= TILE:
        yield 0, 0, image
        return
    for top in _starts(rows):
        for left in _starts(columns):
            yield left, top, image[top : top + TILE, left : left + TILE]


def _starts(length: int) -> list[int]:
    """Where the tiles begin along one side: evenly, overlapping by at least `TILE_OVERLAP`."""
    count = max(1, ceil((length - TILE_OVERLAP) / (TILE - TILE_OVERLAP)))
    return [round(i * (length - TILE) / (count - 1)) for i in range(count)] if count > 1 else [0]
