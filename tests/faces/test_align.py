"""Similarity and roll against naive oracles."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from mien.faces.align import TEMPLATE, invert, move, roll, similarity


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


def test_similarity_undoes_a_known_turn() -> None:
    angle, scale = np.radians(33), 1.7
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    known = np.array([[c, -s, 12.0], [s, c, -5.0]])
    points = np.array(TEMPLATE) * 100
    np.testing.assert_allclose(similarity(points, points @ known[:, :2].T + known[:, 2]), known, atol=1e-9)


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
    with pytest.raises(ValueError, match=r"target: expected .* got \(4, 2\)"):
        similarity(np.array(TEMPLATE), np.array(TEMPLATE)[:4])


def test_invert_and_move() -> None:
    rng = np.random.default_rng(1)
    matrix = similarity(rng.normal(size=(5, 2)), rng.normal(size=(5, 2)))
    points = rng.normal(0, 30, (7, 2)).astype(np.float32)
    moved = move(matrix, points)
    np.testing.assert_allclose(moved, [matrix[:, :2] @ p + matrix[:, 2] for p in points], rtol=1e-4)
    back = move(invert(matrix), moved)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, points, atol=1e-3)


@pytest.mark.parametrize("angle", [-170, -90, -30, 0, 45, 90, 179])
def test_roll_is_clockwise_on_the_screen(angle: float) -> None:
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    face = np.array(TEMPLATE) * 80 @ np.array([[c, s], [-s, c]]) + 300  # y points down: clockwise
    assert roll(face) == pytest.approx(angle, abs=1e-6)
    if angle == 90:  # the eye on the left of the image goes to the top
        assert face[0, 1] < face[1, 1]


def test_template_is_a_face() -> None:
    points = np.array(TEMPLATE)
    assert ((points > 0) & (points < 1)).all()
    mirrored = points[[1, 0, 2, 4, 3]] * [-1, 1] + [1, 0]
    np.testing.assert_allclose(points, mirrored, atol=1e-9)
    assert points[:2, 1].max() < points[2, 1] < points[3:, 1].min()


def test_what_is_no_list_of_points_is_named() -> None:
    with pytest.raises(ValueError, match=r"^similarity: points: expected .* got \(5, 3\)"):
        similarity(np.ones((5, 3)), np.ones((5, 3)))


def test_roll_refuses_other_landmarks() -> None:
    with pytest.raises(ValueError, match=r"^roll: landmarks: expected .* got \(4, 2\)"):
        roll(np.array(TEMPLATE)[:4])
