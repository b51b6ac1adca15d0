"""From five landmarks to a crop: the template, the similarity transform, and the only face resize in Mien.

Training, evaluation and reading all make their crops here. Levels stay 0..255 as uint8; mean and deviation
are inside the network.

Coordinates are continuous: (0, 0) is the outer corner of the top left pixel and the centre of that
pixel is (0.5, 0.5), so that a picture resized by s has its coordinates multiplied by s.

Legend: P points, image left first: eye, eye, nose tip, mouth corner, mouth corner; H rows, W columns, S the
side of the crop.
"""

from __future__ import annotations

from math import atan2, ceil, degrees, floor, hypot, inf
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pil

from mien.card import ModelCard
from mien.errors import ImageError
from mien.types import Floats, Image

Matrix = NDArray[np.float64]

MIN_CROP: Final = 48  # pixels: a picture that is a face may not be smaller; FER+ and its kin are 48 x 48
_DARK: Final = 96  # gray level that 99 of 100 pixels of a dark picture stay below
_BRIGHT: Final = 230  # gray level that these are brought to
_LUMA: Final = np.array([19595, 38470, 7471], np.float32)  # red, green, blue, in 65536ths
_GAP: Final = 2.0  # times as fine as the crop: so far large faces are reduced by plain means of squares
_MARGIN: Final = 3  # pixels that bicubic interpolation and the filter of the reduction need past the edge

#: Where the five landmarks are in a crop, in units of its side: (5, 2) x, y. Medians over the upright
#: frontal faces among FER+'s training crops, made symmetric, to three decimals; so that a crop shows
#: what FER+'s own crops show. Fitted to them once (benchmarks/results/detector.md).
TEMPLATE: Final = ((0.311, 0.394), (0.689, 0.394), (0.500, 0.611), (0.345, 0.776), (0.655, 0.776))

#: Where pupils and corners of the mouth are in the crop of the face network, in units of its side: (4, 2).
PARTS_TEMPLATE: Final = ((0.350, 0.380), (0.650, 0.380), (0.375, 0.683), (0.625, 0.683))


def similarity(points: NDArray[Any], target: NDArray[Any]) -> Matrix:
    """The rotation, uniform scale and shift that take `points` nearest to `target` in least squares.

    Never a reflection. Source: S. Umeyama, "Least-squares estimation of transformation parameters
    between two point patterns", IEEE TPAMI 13(4), 1991; in the plane its singular value decomposition
    reduces to one complex ratio.

    Args:
        points: (P, 2) x, y.
        target: (P, 2) x, y.

    Returns:
        (2, 3) float64; `M[:, :2] @ point + M[:, 2]` is where a point goes.
    """
    if points.shape[1:] != (2,) or points.shape != target.shape:
        raise ValueError(
            f"similarity: expected points and target of shape (P, 2), got {points.shape} and {target.shape}"
        )
    p, q = (np.ascontiguousarray(one, np.float64).view(np.complex128)[:, 0] for one in (points, target))
    p_mean, q_mean = p.sum() / len(p), q.sum() / len(q)
    p, q = p - p_mean, q - q_mean
    spread = np.vdot(p, p).real
    if not spread > 0:
        raise ValueError(f"similarity: expected points that differ from one another, got {points.tolist()}")
    turn = np.vdot(p, q) / spread  # scale * (cos + i sin)
    shift = q_mean - turn * p_mean
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def invert(matrix: Matrix) -> Matrix:
    """The transform that undoes a (2, 3) similarity."""
    (a, _, x), (b, _, y) = matrix.tolist()
    square = a * a + b * b
    a, b = a / square, b / square
    return np.array([[a, b, -a * x - b * y], [-b, a, b * x - a * y]])


def move(matrix: Matrix, points: NDArray[Any]) -> NDArray[np.float32]:
    """Take (P, 2) points through a (2, 3) transform; float32 again."""
    return (points.astype(np.float64) @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)  # (P, 2)


def roll(landmarks: NDArray[Any]) -> float:
    """How far a face leans, in degrees in (-180, 180]: 0 upright, above 0 clockwise on the screen.

    It is the rotation of the least-squares similarity from `TEMPLATE` to the landmarks: all five points
    count, not the eyes alone.
    """
    matrix = similarity(np.array(TEMPLATE), landmarks)
    return degrees(atan2(matrix[1, 0], matrix[0, 0]))


def crop(image: Image, landmarks: NDArray[Any], card: ModelCard) -> Image:
    """Cut a face out of a picture, upright and at the place and size of the card's template.

    Args:
        image: (H, W, 3) RGB or (H, W) gray, uint8.
        landmarks: (5, 2) x, y in pixels of `image`.
        card: gives the side, the colour and the template (`TEMPLATE` when it has none).

    Returns:
        (S, S) uint8 for a gray card, (S, S, 3) for an RGB one. Past the edge of the picture its
        outermost pixels repeat.
    """
    template = np.array(card.template or TEMPLATE)
    size = (card.size, card.size)
    matrix = similarity(landmarks, template * card.size)
    return _resample(*_visible_part(image, matrix, size, card.colour, _GAP), size)


def crop_gray(image: Image, matrix: Matrix, side: int) -> Image:
    """(side, side) gray levels of an (H, W, 3) RGB or (H, W) gray picture, through a (2, 3) similarity.

    Quicker than `warp`: the picture is reduced by a whole number, then turned by bilinear interpolation. Past
    its edge the outermost pixels repeat.
    """
    patch, matrix = _visible_part(image, matrix, (side, side), "gray", 1)
    return transform(Pil.fromarray(patch), invert(matrix), (side, side), Pil.Resampling.BILINEAR)


def face_side(image: Image) -> int:
    """The shorter side, in pixels, of a picture that is a face; an `ImageError` if it is below 48."""
    rows, columns = image.shape[:2]
    side: int = min(rows, columns)
    if side < MIN_CROP:
        raise ImageError(
            f"expected a face picture of at least {MIN_CROP} x {MIN_CROP} pixels, got {columns} x {rows}; "
            "use a larger picture (enlarging this one adds nothing)"
        )
    return side


def fit(image: Image, card: ModelCard) -> Image:
    """Bring a picture that already is a face to the card's size and colour.

    The middle square is kept; a picture of the right size and colour passes through unchanged.

    Args:
        image: (H, W, 3) RGB or (H, W) gray, uint8, at least 48 x 48, else an `ImageError`.
        card: gives the side and the colour.

    Returns:
        (S, S) or (S, S, 3) uint8.
    """
    rows, columns = image.shape[:2]
    side = face_side(image)
    top, left = (rows - side) // 2, (columns - side) // 2
    square = _as_colour(image[top : top + side, left : left + side], card.colour)  # (side, side[, 3])
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
    return _resample(*_visible_part(image, matrix, size), size)


def transform(picture: Pil.Image, back: Matrix, size: tuple[int, int], resampling: Pil.Resampling) -> Image:
    """The (width, height) view of a picture, from which the (2, 3) similarity `back` leads into it."""
    return np.asarray(picture.transform(size, Pil.Transform.AFFINE, tuple(back.ravel()), resampling))


def brighten(image: Image) -> Image:
    """A dark picture with its levels stretched, (H, W[, 3]) uint8; any other as it is."""
    step = 1 + max(image.shape) // 256
    levels = image[::step, ::step]
    if np.count_nonzero(levels >= _DARK) > 1 + levels.size / 100:  # as below, but quicker
        return image
    level = float(np.percentile(levels, 99))
    if level >= _DARK:
        return image
    return (image * np.float32(_BRIGHT / max(level, 1.0))).clip(0, 255).astype(np.uint8)


def _resample(image: Image, matrix: Matrix, size: tuple[int, int]) -> Image:
    """`warp` of a picture that holds little more than what the result shows."""
    picture = Pil.fromarray(image)
    scale, back = hypot(matrix[0, 0], matrix[1, 0]), invert(matrix)
    if scale < 1:
        small = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        back *= [[small[0] / picture.width], [small[1] / picture.height]]
        picture = picture.resize(small, Pil.Resampling.BICUBIC, reducing_gap=3.0)
    return transform(picture, back, size, Pil.Resampling.BICUBIC)


def _visible_part(
    image: Image, matrix: Matrix, size: tuple[int, int], colour: str = "", gap: float = inf
) -> tuple[Image, Matrix]:
    """The part of the picture that the result shows, in this colour, and the transform from there.

    Past the edge of the picture its outermost pixels repeat. A gray part is reduced by a whole number, if it
    stays at least `gap` times as fine as the result.
    """
    finer = 1 / hypot(matrix[0, 0], matrix[1, 0])
    factor = max(1, floor(finer / gap)) if colour == "gray" else 1
    left, top, right, bottom = _seen(matrix, size)
    left, top, right, bottom = left // factor, top // factor, ceil(right / factor), ceil(bottom / factor)
    rows, columns = (ceil(length / factor) for length in image.shape[:2])
    x, y = min(max(left, 0), columns - 1), min(max(top, 0), rows - 1)
    seen = image[y * factor : max(bottom, y + 1) * factor, x * factor : max(right, x + 1) * factor]
    part = _as_colour(seen, colour, factor)
    if part.shape[:2] != (bottom - top, right - left):
        down = np.arange(top - y, bottom - y).clip(0, len(part) - 1)
        across = np.arange(left - x, right - x).clip(0, part.shape[1] - 1)
        part = part[down][:, across]  # (bottom - top, right - left[, 3])
    turn = matrix[:, :2] * factor
    return part, np.column_stack([turn, matrix[:, 2] + turn @ np.array([left, top])])  # (2, 3)


def _seen(matrix: Matrix, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what a result of this (width, height) shows, with a margin."""
    width, height = size
    back = invert(matrix)
    x, y = (back[:, :2] @ (width / 2, height / 2) + back[:, 2]).tolist()
    a, b = abs(back[0, :2]).tolist()
    margin = _MARGIN * max(1.0, hypot(a, b))
    across, down = (a * width + b * height) / 2 + margin, (a * height + b * width) / 2 + margin
    return floor(x - across), floor(y - down), ceil(x + across), ceil(y + down)


def _as_colour(image: Image, colour: str, factor: int = 1) -> Image:
    """The picture in gray or rgb, any other word: as it is; gray is ITU-R BT.601 luma, as Pillow's "L".

    Gray is reduced by a whole number, quicker than by Pillow's `reduce`.
    """
    if colour == "gray" and (image.ndim == 3 or factor > 1):
        if any(length % factor for length in image.shape[:2]):
            edges = ((0, -image.shape[0] % factor), (0, -image.shape[1] % factor), (0, 0))
            image = np.pad(image, edges[: image.ndim], mode="edge")
        rows, columns = image.shape[0] // factor, image.shape[1] // factor
        lines = image.reshape(rows, factor, -1)
        sums = lines[:, 0].astype(np.float32)
        for i in range(1, factor):
            sums += lines[:, i]
        weights = np.tile(_LUMA if image.ndim == 3 else _LUMA.sum(keepdims=True), factor)
        levels: Floats = sums.reshape(rows, columns, -1) @ weights
        # without reduction whole numbers below 2**24, so that float32 has each of them
        whole = np.float32(2**16 * factor**2)
        return ((levels + whole / 2) / whole).astype(np.uint8)  # (H, W)
    if image.ndim == 2 and colour == "rgb":
        return np.repeat(image[:, :, None], 3, axis=2)  # (H, W, 3)
    return image
