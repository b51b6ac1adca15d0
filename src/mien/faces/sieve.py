"""Sorts many small candidates at once: each enlarged into a cell of one sheet, the sheet looked at once.

In a large picture full of texture YuNet half believes in thousands of places of some twenty pixels, and
a true face of that size scores no higher there. Enlarged about twice it scores far higher, and a cell
costs a sixth of a look from nearby.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from mien.faces.pyramid import Pyramid
from mien.faces.yunet import Network, Proposals
from mien.types import Image

SMALL: Final = 40  # pixels: longer side of a candidate from which enlarging it brings nothing
CELL: Final = 64  # side of a cell in pixels
_FACE: Final = 40  # pixels of a candidate's longer side in its cell
_ACROSS: Final = 20  # cells across a sheet
_PASSES: Final = 0.4  # score in the sheet from which a candidate stays


def sift(network: Network, picture: Pyramid, candidates: Proposals) -> Proposals:
    """Those of N small candidates in which something is seen when they are enlarged, best there first."""
    scores = np.zeros(len(candidates), np.float32)
    per_sheet = _ACROSS * _ACROSS
    for start in range(0, len(candidates), per_sheet):
        boxes = candidates.boxes[start : start + per_sheet]
        seen = network(_sheet(picture, boxes), _PASSES)
        middle = seen.boxes[:, :2] + seen.boxes[:, 2:] / 2  # (M, 2)
        column, row = np.floor(middle / CELL).astype(np.intp).T  # (M,) each
        cell = row * _ACROSS + column
        inside = (column >= 0) & (column < _ACROSS) & (cell >= 0) & (cell < len(boxes))
        np.maximum.at(scores, start + cell[inside], seen.scores[inside])
    order = np.argsort(-scores, kind="stable")
    return candidates.take(order[scores[order] > 0])


def _sheet(picture: Pyramid, boxes: np.ndarray) -> Image:
    """The surroundings of (N, 4) boxes, each in the middle of its cell: (rows * CELL, columns * CELL, 3)."""
    rows = -(-len(boxes) // _ACROSS)
    sheet = np.zeros((rows * CELL, min(len(boxes), _ACROSS) * CELL, 3), np.uint8)
    for i, (x, y, width, height) in enumerate(boxes.astype(np.float64)):
        scale = _FACE / max(width, height)
        left, top = CELL / 2 - scale * (x + width / 2), CELL / 2 - scale * (y + height / 2)
        row, column = divmod(i, _ACROSS)
        cell = picture.view(np.array([[scale, 0, left], [0, scale, top]]), CELL)
        sheet[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = cell
    return sheet
