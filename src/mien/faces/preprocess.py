"""Image and landmarks to the uint8 crop that a model card asks for: the only face resize in Mien.

Training, evaluation and reading all come through here. Levels stay 0..255 as uint8; mean and
deviation live in the network (habit 5).

Legend: H rows, W columns, S the side of the crop.
"""

from __future__ import annotations

from math import ceil, floor, hypot
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pil

from mien.card import ModelCard
from mien.errors import ImageError
from mien.faces.align import TEMPLATE, Matrix, invert, similarity
from mien.types import Image

SMALLEST: Final = 48  # a picture that is a face may not be smaller: FER+ and its kin are 48 x 48 (issue 2)
_MARGIN: Final = 3  # pixels that bicubic interpolation and the filter of the reduction look past the edge


def crop(image: Image, landmarks: NDArray[Any], card: ModelCard) -> Image:
    """Cut a face out of a picture, upright and at the place and size of the card's template.

    Args:
        image: (H, W, 3) RGB or (H, W) gray, uint8.
        landmarks: (5, 2) x, y in pixels of `image`.
        card: gives the side, the colour and the template (`align.TEMPLATE` when it names none).

    Returns:
        (S, S) uint8 for a gray card, (S, S, 3) for an RGB one. Past the edge of the picture its
        outermost pixels repeat.
    """
    template = np.array(card.template or TEMPLATE)
    size = (card.size, card.size)
    patch, matrix = _patch(image, similarity(landmarks, template * card.size), size)
    return _resample(_as_colour(patch, card), matrix, size)


def fit(image: Image, card: ModelCard) -> Image:
    """Bring a picture that already is a face to the card's size and colour.

    The middle square is kept; a picture of the right size and colour passes through unchanged.

    Args:
        image: (H, W, 3) RGB or (H, W) gray, uint8, at least 48 x 48.
        card: gives the side and the colour.

    Returns:
        (S, S) or (S, S, 3) uint8.

    Raises:
        ImageError: the picture is smaller than 48 x 48.
    """
    rows, columns = image.shape[:2]
    side = min(rows, columns)
    if side < SMALLEST:
        raise ImageError(
            f"expected a face picture of at least {SMALLEST} x {SMALLEST} pixels, got {columns} x {rows}; "
            "use a larger picture"
        )
    top, left = (rows - side) // 2, (columns - side) // 2
    square = _as_colour(image[top : top + side, left : left + side], card)  # (side, side[, 3])
    if side == card.size:
        return square
    small = Pil.fromarray(square).resize((card.size, card.size), Pil.Resampling.BICUBIC, reducing_gap=3.0)
    return np.asarray(small)  # (S, S[, 3])


def warp(image: Image, matrix: Matrix, size: tuple[int, int]) -> Image:
    """Resample a picture through a similarity, without aliasing.

    A picture that has to shrink is first reduced with a filter as wide as the reduction, and only
    then turned; one that has to grow is turned and enlarged in one step.

    Args:
        image: (H, W, 3) or (H, W) uint8.
        matrix: (2, 3) similarity from the picture to the result.
        size: (width, height) of the result.

    Returns:
        (height, width, 3) or (height, width) uint8.
    """
    return _resample(*_patch(image, matrix, size), size)


def _resample(image: Image, matrix: Matrix, size: tuple[int, int]) -> Image:
    """`warp` of a picture that holds little else than what the result shows."""
    picture = Pil.fromarray(image)
    scale = hypot(matrix[0, 0], matrix[1, 0])
    if scale < 1:
        small = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        shrink = np.array([small[0] / picture.width, small[1] / picture.height])
        picture = picture.resize(small, Pil.Resampling.BICUBIC, reducing_gap=3.0)
        matrix = np.column_stack([matrix[:, :2] / shrink, matrix[:, 2]])  # (2, 3)
    back = tuple(invert(matrix).ravel())
    turned = picture.transform(size, Pil.Transform.AFFINE, back, Pil.Resampling.BICUBIC)
    return np.asarray(turned)


def _patch(image: Image, matrix: Matrix, size: tuple[int, int]) -> tuple[Image, Matrix]:
    """The part of the picture that the result shows, its edge repeated, and the transform from there."""
    width, height = size
    back = invert(matrix)
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]])
    seen = corners @ back[:, :2].T + back[:, 2]  # (4, 2)
    margin = _MARGIN * max(1.0, hypot(back[0, 0], back[1, 0]))
    left, top = (floor(v) for v in seen.min(axis=0) - margin)
    right, bottom = (ceil(v) for v in seen.max(axis=0) + margin)
    patch = _cut(image, (left, top, right, bottom))
    shift = matrix[:, 2] + matrix[:, :2] @ np.array([left, top])
    return patch, np.column_stack([matrix[:, :2], shift])


def _cut(image: Image, box: tuple[int, int, int, int]) -> Image:
    """The pixels of a box (left, top, right, bottom); past the edge the outermost repeat."""
    left, top, right, bottom = box
    rows, columns = image.shape[:2]
    if left >= 0 and top >= 0 and right <= columns and bottom <= rows:
        return image[top:bottom, left:right]
    down = np.arange(top, bottom).clip(0, rows - 1)
    across = np.arange(left, right).clip(0, columns - 1)
    cut: Image = image[down][:, across]  # (bottom - top, right - left[, 3])
    return cut


def _as_colour(image: Image, card: ModelCard) -> Image:
    """The picture in the card's colour; gray is ITU-R BT.601 luma, Pillow's "L"."""
    if image.ndim == 3 and card.colour == "gray":
        return np.asarray(Pil.fromarray(image).convert("L"))  # (H, W)
    if image.ndim == 2 and card.colour == "rgb":
        return np.repeat(image[:, :, None], 3, axis=2)  # (H, W, 3)
    return image
