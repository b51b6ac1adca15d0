"""The one face resize against a slow oracle, and what it must leave alone."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as Pil

from mien.card import ModelCard
from mien.errors import ImageError
from mien.faces.align import TEMPLATE, crop, fit, similarity, warp

CARD = ModelCard(name="test", template=TEMPLATE)
COLOUR = ModelCard(name="test", template=TEMPLATE, colour="rgb", size=64)


def landmarks(side: float, left: float, top: float, angle: float = 0.0) -> np.ndarray:
    """(5, 2) float32 of a face whose crop is a square of `side`, turned about its middle."""
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    points = (np.array(TEMPLATE) - 0.5) @ np.array([[c, s], [-s, c]]) + 0.5
    return (points * side + [left, top]).astype(np.float32)


def smooth(rows: int, columns: int) -> np.ndarray:
    """(rows, columns, 3) uint8 that varies slowly, so that any good filter gives the same."""
    y, x = np.mgrid[:rows, :columns] + 0.5
    parts = [127 + 90 * np.sin(x / 60 + k) * np.cos(y / 70 - k) for k in range(3)]
    return np.stack(parts, axis=2).round().astype(np.uint8)


def sample(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Oracle: each pixel's middle taken back to the picture, bilinear there, the edge repeated."""
    out = np.zeros((size, size, image.shape[2]))
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    rows, columns = image.shape[:2]
    for v in range(size):
        for u in range(size):
            x, y, _ = inverse @ [u + 0.5, v + 0.5, 1] - 0.5
            x0, y0 = int(np.floor(x)), int(np.floor(y))
            for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
                weight = (1 - abs(x - x0 - dx)) * (1 - abs(y - y0 - dy))
                at = min(max(y0 + dy, 0), rows - 1), min(max(x0 + dx, 0), columns - 1)
                out[v, u] += weight * image[at]
    return out


@pytest.mark.parametrize(
    ("side", "left", "top", "angle"),
    [(48, 100, 80, 0), (30, 90, 60, 20), (150, 60, 50, -35), (200, -60, -40, 10), (90, 250, 200, 90)],
)
def test_crop_samples_the_right_places(side: float, left: float, top: float, angle: float) -> None:
    image = smooth(260, 300)
    points = landmarks(side, left, top, angle)
    got = crop(image, points, COLOUR)
    assert got.shape == (64, 64, 3)
    assert got.dtype == np.uint8
    want = sample(image, similarity(points, np.array(TEMPLATE) * 64), 64)
    error = np.abs(got.astype(float) - want)
    assert error.mean() < 1
    assert error.max() < 6


def test_a_crop_of_its_own_size_is_the_picture() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (100, 120), np.uint8)
    got = crop(image, landmarks(48, 31, 22), CARD)
    assert np.abs(got.astype(int) - image[22:70, 31:79]).max() <= 2  # float32 landmarks


def test_a_large_face_is_reduced_without_aliasing() -> None:
    """A fine chessboard must come out as its mean, not as stripes."""
    board = (np.indices((960, 960)).sum(axis=0) % 2 * 255).astype(np.uint8)
    got = crop(board, landmarks(700, 100, 100, 12), CARD).astype(float)
    assert abs(got.mean() - 127.5) < 2
    assert got.std() < 4


def test_past_the_edge_the_outermost_pixels_repeat() -> None:
    image = np.full((60, 60, 3), 200, np.uint8)
    assert crop(image, landmarks(80, -50, -50, 30), CARD).min() >= 199
    assert crop(image, landmarks(80, 500, 500), CARD).min() >= 199  # wholly outside


def test_gray_is_the_luma_of_pillow() -> None:
    image = smooth(200, 200)
    points = landmarks(48, 40, 50)
    gray = np.asarray(Pil.fromarray(image).convert("L"))
    got = crop(image, points, ModelCard(name="g"))
    assert got.shape == (48, 48)
    np.testing.assert_array_equal(got, crop(gray, points, ModelCard(name="g")))
    coloured = Pil.fromarray(crop(image, points, ModelCard(name="c", colour="rgb"))).convert("L")
    np.testing.assert_allclose(got, np.asarray(coloured, np.float32), atol=2)  # rounded at other steps


def test_a_gray_picture_serves_a_colour_card() -> None:
    got = crop(smooth(100, 100)[:, :, 0], landmarks(50, 20, 20), COLOUR)
    assert got.shape == (64, 64, 3)
    np.testing.assert_array_equal(got[:, :, 0], got[:, :, 2])


def test_fit_leaves_a_picture_of_the_right_size_alone() -> None:
    face = np.random.default_rng(0).integers(0, 256, (48, 48), np.uint8)
    np.testing.assert_array_equal(fit(face, CARD), face)
    colour = np.repeat(face[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(fit(colour, CARD), face)  # gray in three channels is gray


def test_fit_refuses_what_is_too_small() -> None:
    with pytest.raises(ImageError, match="at least 48 x 48 pixels, got 47 x 60"):
        fit(np.zeros((60, 47), np.uint8), CARD)


def test_warp_can_shrink_to_a_pixel() -> None:
    image = np.full((40, 40, 3), 77, np.uint8)
    got = warp(image, np.array([[0.02, 0, 0], [0, 0.02, 0]]), (1, 1))
    assert got.shape == (1, 1, 3)
    assert abs(int(got[0, 0, 0]) - 77) <= 1
