"""A picture in halving sizes, made when they are asked for, so that many looks at it stay cheap.

What is cut here is for the detector's eyes alone; crops for networks come from `preprocess`.
"""

from __future__ import annotations

from math import floor, hypot, log2

import numpy as np
from PIL import Image as Pil

from mien.align import Matrix, invert
from mien.types import Image


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

    def _level(self, level: int) -> Pil.Image:
        if level not in self._halved:
            self._halved[level] = self._halved[0].reduce(2**level)
        return self._halved[level]
