"""A small gray picture as numbers to compare by correlation: brightness and contrast do not count.

Legend: R x C cells, P points a side of a cell.
"""

from __future__ import annotations

import numpy as np

from mien.types import Floats, Image

POINTS = 2  # P, which takes out noise


def signature(spots: Image, shape: tuple[int, int], *, flat: float) -> Floats | None:
    """(R * C,) of mean 0 and length 1; None: there is too little to see.

    Args:
        spots: (R * P * C * P, 3) RGB uint8, line by line.
        shape: R, C.
        flat: gray levels of deviation below which there is nothing to compare.
    """
    rows, columns = shape
    gray = spots.sum(axis=1, dtype=np.float32)
    cells = gray.reshape(rows, POINTS, columns, POINTS).sum(axis=(1, 3)).ravel()  # (R * C,)
    cells -= cells.mean()
    length = float(np.sqrt(cells @ cells))
    return cells / length if length > flat * 3 * POINTS**2 * np.sqrt(cells.size) else None


def listed(array: Floats | None) -> list[float] | None:
    """An array as JSON can hold it."""
    return None if array is None else [float(value) for value in array]


def unlisted(values: list[float] | None) -> Floats | None:
    """The array again, to the last bit."""
    return None if values is None else np.array(values, np.float32)
