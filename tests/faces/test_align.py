"""Similarity and roll against naive oracles."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from mien.faces.align import TEMPLATE, roll, similarity


def cost(matrix: np.ndarray, points: np.ndarray, target: np.ndarray) -> float:
    return float(((points @ matrix[:, :2].T + matrix[:, 2] - target) ** 2).sum())


def naive(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The same least squares, written as a linear system in a, b, x, y and left to NumPy."""
    rows, wanted = [], []
    for (x, y), (u, v) in zip(points, target, strict=True):
        rows += [[x, -y, 1, 0], [y, x, 0, 1]]
        wanted += [u, v]
    a, b, x, y = np.linalg.lstsq(np.array(rows), np.array(wanted), rcond=None)[0]
    return np.array([[a, -b, x], [b, a, y]])


@pytest.mark.parametrize("seed", range(5))
def test_similarity_is_the_least_squares_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points, target = rng.normal(0, 50, (2, 5, 2)) + 200
    matrix = similarity(points, target)
    assert matrix.dtype == np.float64
    np.testing.assert_allclose(matrix, naive(points, target), rtol=1e-8, atol=1e-6)


def test_similarity_never_reflects() -> None:
    points = np.array(TEMPLATE) * 100
    mirrored = points * [-1, 1]
    matrix = similarity(points, mirrored)
    assert np.linalg.det(matrix[:, :2]) > 0
    nudges = product((-0.01, 0.01), repeat=2)
    best = cost(matrix, points, mirrored)
    for da, db in nudges:  # no neighbouring similarity is better
        other = matrix + np.array([[da, -db, 0], [db, da, 0]])
        assert cost(other, points, mirrored) > best


def test_similarity_refuses_one_point_and_other_shapes() -> None:
    with pytest.raises(ValueError, match="apart from one another"):
        similarity(np.ones((5, 2)), np.array(TEMPLATE))
    with pytest.raises(ValueError, match=r"expected .* \(4, 2\)"):
        similarity(np.array(TEMPLATE), np.array(TEMPLATE)[:4])


def test_template_is_a_face() -> None:
    points = np.array(TEMPLATE)
    assert ((points > 0) & (points < 1)).all()
    mirrored = points[[1, 0, 2, 4, 3]] * [-1, 1] + [1, 0]
    np.testing.assert_allclose(points, mirrored, atol=1e-9)
    assert points[:2, 1].max() < points[2, 1] < points[3:, 1].min()


def test_what_is_no_list_of_points_is_named() -> None:
    with pytest.raises(ValueError, match=r"^similarity: expected .* \(5, 3\)"):
        similarity(np.ones((5, 3)), np.ones((5, 3)))


def test_roll_refuses_other_landmarks() -> None:
    with pytest.raises(ValueError, match=r"expected .* \(4, 2\)"):
        roll(np.array(TEMPLATE)[:4])
