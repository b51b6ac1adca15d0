"""What a face looks like, in few numbers: a small gray picture of it, upright, without its brightness.

It tells two people in one clip from one another, seconds apart; it does not tell who somebody is.

Legend: S cells a side, P points.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from mien.faces.align import TEMPLATE, similarity
from mien.types import Face, Floats, Image
from mien.video.signature import POINTS, signature

_CELLS: Final = 8  # S
_INNER: Final = 0.8  # of the crop's side: beyond is hair, hat and background
_FLAT: Final = 1.0  # gray levels of deviation below which there is nothing to tell from


def _grid() -> Floats:
    """(P, 3) x, y and 1: where the picture is read, in units of a crop's side."""
    side = ((np.arange(_CELLS * POINTS) + 0.5) / (_CELLS * POINTS) - 0.5) * _INNER + 0.5
    x, y = np.meshgrid(side, side)
    return np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3).astype(np.float32)


_GRID: Final = _grid()
_TEMPLATE: Final = np.array(TEMPLATE)


def look(pixels: Image, face: Face) -> Floats | None:
    """The signature of a face in (H, W, 3) RGB: (S * S,) of length 1 and mean 0; None: too little is seen."""
    matrix = similarity(_TEMPLATE, face.landmarks)
    spots = (_GRID @ matrix.T).astype(np.int32)  # (P, 2)
    rows, columns = pixels.shape[:2]
    x, y = spots[:, 0].clip(0, columns - 1), spots[:, 1].clip(0, rows - 1)
    return signature(pixels[y, x], (_CELLS, _CELLS), flat=_FLAT)
