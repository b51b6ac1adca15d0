"""The similarity, the roll and the one face resize against slow oracles, and what it leaves alone."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as Pil

from mien.card import ModelCard
from mien.errors import ImageError
from mien.faces.align import TEMPLATE, crop, fit, invert, move, roll, similarity, warp

CARD = ModelCard(name="test", template=TEMPLATE)
COLOUR = ModelCard(name="test", template=TEMPLATE, colour="rgb", size=64)
FACE = np.array(TEMPLATE)
LUMA = np.array([0.299, 0.587, 0.114])
MIRRORED = [1, 0, 2, 4, 3]  # the landmarks' order in a mirror, where left is right


def turn(angle: float, scale: float = 1.0, shift: tuple[float, float] = (0, 0)) -> np.ndarray:
    """(2, 3) that turns by degrees, clockwise on the screen, scales and shifts."""
    c, s = scale * np.cos(np.radians(angle)), scale * np.sin(np.radians(angle))
    return np.array([[c, -s, shift[0]], [s, c, shift[1]]])


def go(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:, :2].T + matrix[:, 2]


# -- transforms


def naive(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The same least squares, written as a linear system in a, b, x, y and left to NumPy."""
    rows, wanted = [], []
    for (x, y), (u, v) in zip(points, target, strict=True):
        rows += [[x, -y, 1, 0], [y, x, 0, 1]]
        wanted += [u, v]
    a, b, x, y = np.linalg.lstsq(np.array(rows), np.array(wanted), rcond=None)[0]
    return np.array([[a, -b, x], [b, a, y]])


@pytest.mark.parametrize("seed", range(20))
def test_similarity_is_the_least_squares_one_and_never_reflects(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 9))
    points, target = rng.normal(0, 50, (2, count, 2)) + rng.uniform(-500, 500, 2)
    if seed % 2:
        target = points * [-1, 1]
    matrix = similarity(points, target)
    assert matrix.dtype == np.float64
    np.testing.assert_allclose(matrix, naive(points, target), rtol=1e-7, atol=1e-5)


@pytest.mark.parametrize("seed", range(10))
def test_a_transform_is_undone_and_keeps_float32(seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = turn(rng.uniform(-180, 180), 2 ** rng.uniform(-4, 4), rng.uniform(-1000, 1000, 2))
    points = rng.integers(0, 2000, (5, 2))
    moved = move(matrix, points)
    assert moved.dtype == np.float32
    np.testing.assert_array_equal(moved, go(matrix, points.astype(float)).astype(np.float32))
    np.testing.assert_allclose(go(invert(matrix), go(matrix, points)), points, atol=1e-6)


@pytest.mark.parametrize("angle", [-179.0, -90, -3.5, 0, 45, 178])
def test_roll_is_the_angle_wherever_the_face_is_and_turns_round_in_a_mirror(angle: float) -> None:
    points = go(turn(angle, 37.5, (-80, 900)), FACE)
    assert roll(points) == pytest.approx(angle, abs=1e-6)
    assert roll(points[MIRRORED] * [-1, 1]) == pytest.approx(-angle, abs=1e-6)


def test_template_is_a_face() -> None:
    assert ((FACE > 0) & (FACE < 1)).all()
    np.testing.assert_allclose(FACE, FACE[MIRRORED] * [-1, 1] + [1, 0], atol=1e-9)
    assert FACE[:2, 1].max() < FACE[2, 1] < FACE[3:, 1].min()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: similarity(np.ones((5, 2)), FACE), "that differ from one another"),
        (lambda: similarity(FACE, FACE[:4]), r"got \(5, 2\) and \(4, 2\)"),
        (lambda: similarity(np.ones((5, 3)), np.ones((5, 3))), r"got \(5, 3\) and \(5, 3\)"),
        (lambda: roll(FACE[:4]), r"got \(5, 2\) and \(4, 2\)"),
    ],
)
def test_what_are_no_landmarks_is_named(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call()


# -- crops


def landmarks(side: float, left: float, top: float, angle: float = 0.0) -> np.ndarray:
    """(5, 2) float32 of a face whose crop is a square of `side`, turned about its middle."""
    return (go(turn(angle), FACE - 0.5) * side + side / 2 + [left, top]).astype(np.float32)


def smooth(rows: int, columns: int) -> np.ndarray:
    """(rows, columns, 3) uint8 that varies slowly, so that any good filter gives the same."""
    y, x = np.mgrid[:rows, :columns] + 0.5
    parts = [127 + 90 * np.sin(x / 60 + k) * np.cos(y / 70 - k) for k in range(3)]
    return np.stack(parts, axis=2).round().astype(np.uint8)


def sample(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Oracle: each third pixel's middle taken back to the picture, bilinear there, the edge repeated."""
    out = np.zeros((size, size, image.shape[2]))
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    rows, columns = image.shape[:2]
    for v in range(0, size, 3):
        for u in range(0, size, 3):
            x, y, _ = inverse @ [u + 0.5, v + 0.5, 1] - 0.5
            x0, y0 = int(np.floor(x)), int(np.floor(y))
            for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
                weight = (1 - abs(x - x0 - dx)) * (1 - abs(y - y0 - dy))
                at = min(max(y0 + dy, 0), rows - 1), min(max(x0 + dx, 0), columns - 1)
                out[v, u] += weight * image[at]
    return out[::3, ::3]


@pytest.mark.parametrize(
    ("side", "left", "top", "angle"),
    [
        (48, 100, 80, 0),
        (30, 90, 60, 20),
        (150, 60, 50, -35),
        (200, -60, -40, 10),
        (90, 250, 200, 90),
        (311, 2, -30, 5),
    ],
)
def test_crop_samples_the_right_places(side: float, left: float, top: float, angle: float) -> None:
    image = smooth(260, 300)
    points = landmarks(side, left, top, angle)
    got = crop(image, points, COLOUR)
    assert (got.shape, got.dtype) == ((64, 64, 3), np.uint8)
    seen = sample(image, similarity(points, FACE * 64), 64)
    gray = sample(image @ LUMA[:, None], similarity(points, FACE * 48), 48)[..., 0]
    for error in (np.abs(got[::3, ::3] - seen), np.abs(crop(image, points, CARD)[::3, ::3] - gray)):
        assert error.mean() < 1
        assert error.max() < 6


def test_a_crop_of_its_own_size_is_the_picture() -> None:
    image = np.random.default_rng(0).integers(0, 256, (100, 120), np.uint8)
    got = crop(image, landmarks(48, 31, 22), CARD)
    assert np.abs(got.astype(int) - image[22:70, 31:79]).max() <= 2  # float32 landmarks


def test_a_large_face_is_reduced_without_aliasing() -> None:
    """A fine chessboard must come out as its mean, not as stripes."""
    board = (np.indices((960, 960)).sum(axis=0) % 2 * 255).astype(np.uint8)
    got = crop(board, landmarks(700, 100, 100, 12), CARD).astype(float)
    assert abs(got.mean() - 127.5) < 2
    assert got.std() < 4


@pytest.mark.parametrize("scale", [0.02, 0.3, 1, 7])
@pytest.mark.parametrize("shift", [(0, 0), (-50, 40), (5000, 500)])  # the last: wholly outside
def test_one_level_stays_that_level_past_the_edge_and_at_any_scale(scale, shift) -> None:
    flat = np.full((31, 43, 3), 200, np.uint8)
    for angle, size in ((0, (1, 1)), (30, (40, 7)), (-135, (9, 33))):
        got = warp(flat, turn(angle, scale, shift), size)
        assert (got == np.full((*size[::-1], 3), 200)).all()


def test_gray_is_the_luma_of_pillow_and_serves_a_colour_card() -> None:
    image, points = smooth(200, 200), landmarks(48, 40, 50)
    gray = np.asarray(Pil.fromarray(image).convert("L"))
    got = crop(image, points, CARD)
    assert got.shape == (48, 48)
    np.testing.assert_array_equal(got, crop(gray, points, CARD))
    coloured = Pil.fromarray(crop(image, points, ModelCard(name="c", colour="rgb"))).convert("L")
    np.testing.assert_allclose(got, np.asarray(coloured, np.float32), atol=2)  # rounded at other steps
    triple = crop(gray, points, COLOUR)
    np.testing.assert_array_equal(triple, np.dstack([triple[:, :, 0]] * 3))


@pytest.mark.parametrize(("height", "width"), [(48, 48), (48, 90), (77, 60), (90, 71)])
def test_fit_takes_the_middle_square_and_leaves_what_fits(height: int, width: int) -> None:
    card, picture = ModelCard(name="any", colour="rgb"), smooth(height, width)
    ready = fit(picture, card)
    assert ready.shape == (48, 48, 3)
    np.testing.assert_array_equal(fit(ready, card), ready)
    np.testing.assert_array_equal(fit(ready, CARD), np.asarray(Pil.fromarray(ready).convert("L")))
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    np.testing.assert_array_equal(fit(picture[top : top + side, left : left + side], card), ready)


def test_fit_refuses_what_is_too_small() -> None:
    with pytest.raises(ImageError, match="at least 48 x 48 pixels, got 47 x 60"):
        fit(np.zeros((60, 47), np.uint8), CARD)
