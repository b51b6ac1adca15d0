"""From five landmarks to the one geometry of a face: a template and a similarity transform.

Coordinates are continuous: (0, 0) is the outer corner of the top left pixel and the centre of that
pixel is (0.5, 0.5), so that a picture resized by s has its coordinates multiplied by s.

Legend: P points, image left first: eye, eye, nose tip, mouth corner, mouth corner.
"""

from __future__ import annotations

from math import atan2, degrees
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mien.types import check_shape

Matrix = NDArray[np.float64]

#: Where the five landmarks stand in a crop, in units of its side: (5, 2) x, y. Medians over the upright
#: frontal faces among FER+'s training crops, made symmetric, to three decimals; so that a crop shows
#: what FER+'s own crops show. Fitted by `benchmarks/geometry.py`.
TEMPLATE: Final = (
    (0.311, 0.394),
    (0.689, 0.394),
    (0.500, 0.611),
    (0.345, 0.776),
    (0.655, 0.776),
)


def similarity(points: NDArray[Any], target: NDArray[Any]) -> Matrix:
    """The rotation, uniform scale and shift that take `points` nearest to `target` in least squares.

    Never a reflection. Source: S. Umeyama, "Least-squares estimation of transformation parameters
    between two point patterns", IEEE TPAMI 13(4), 1991; in the plane its singular value decomposition
    comes down to one complex ratio.

    Args:
        points: (P, 2) x, y.
        target: (P, 2) x, y.

    Returns:
        (2, 3) float64; `M[:, :2] @ point + M[:, 2]` is where a point goes.

    Raises:
        ValueError: the shapes do not match, or all points are one point.
    """
    check_shape("similarity: points", points, (None, 2))
    check_shape("similarity: target", target, points.shape)
    p = points.astype(np.float64)
    q = target.astype(np.float64)
    p_mean, q_mean = p.mean(axis=0), q.mean(axis=0)  # (2,)
    p, q = p - p_mean, q - q_mean
    spread = float((p * p).sum())
    if not spread > 0:
        raise ValueError(f"similarity: expected points apart from one another, got {points.tolist()}")
    a = float((p * q).sum()) / spread  # scale * cos
    b = float((p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]).sum()) / spread  # scale * sin
    turn = np.array([[a, -b], [b, a]])
    return np.column_stack([turn, q_mean - turn @ p_mean])  # (2, 3)


def invert(matrix: Matrix) -> Matrix:
    """The transform that undoes a (2, 3) similarity."""
    back = np.linalg.inv(matrix[:, :2])
    return np.column_stack([back, -back @ matrix[:, 2]])  # (2, 3)


def move(matrix: Matrix, points: NDArray[Any]) -> NDArray[np.float32]:
    """Take (P, 2) points through a (2, 3) transform; float32 again."""
    return (points.astype(np.float64) @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)  # (P, 2)


def roll(landmarks: NDArray[Any]) -> float:
    """How far a face leans, in degrees in (-180, 180]: 0 upright, above 0 clockwise on the screen.

    It is the rotation of the least-squares similarity from `TEMPLATE` to the landmarks, so that all
    five points say it, not the eyes alone.
    """
    check_shape("roll: landmarks", landmarks, (5, 2))
    matrix = similarity(np.array(TEMPLATE), landmarks)
    return degrees(atan2(matrix[1, 0], matrix[0, 0]))
