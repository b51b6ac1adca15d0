"""What holds of transforms, crops, boxes and tiles whatever the numbers are."""

from __future__ import annotations

from math import cos, radians, sin

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image as Pil

from mien.card import ModelCard
from mien.faces.align import TEMPLATE, crop, fit, invert, move, roll, similarity, warp
from mien.faces.yunet import Proposals, suppress

quick = settings(max_examples=40, deadline=None, derandomize=True, database=None)

FACE = np.array(TEMPLATE)
MIRRORED = [1, 0, 2, 4, 3]  # the landmarks' order in a mirror, where left is right
seeds = some.integers(0, 2**32 - 1)
angles = some.floats(-179, 179)


@some.composite
def transforms(draw, shift=1000.0):
    """(2, 3) similarities that turn, scale 1/20 to 20 and shift."""
    angle, scale = radians(draw(angles)), 2 ** draw(some.floats(-4.3, 4.3))
    c, s = scale * cos(angle), scale * sin(angle)
    x, y = draw(some.floats(-shift, shift)), draw(some.floats(-shift, shift))
    return np.array([[c, -s, x], [s, c, y]])


def go(matrix, points):
    return points @ matrix[:, :2].T + matrix[:, 2]


def then(first, second):
    """One transform after the other."""
    return np.column_stack([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2] + second[:, 2]])


def close(matrix, other):
    np.testing.assert_allclose(matrix, other, rtol=1e-7, atol=1e-6)


# --- transforms


@quick
@given(seeds, transforms())
def test_a_similarity_is_found_again(seed, known):
    points = np.random.default_rng(seed).normal(0, 30, (5, 2))
    close(similarity(points, go(known, points)), known)


@quick
@given(seeds, transforms(), some.integers(2, 9))
def test_no_similarity_comes_nearer(seed, other, count):
    points, target = np.random.default_rng(seed).normal(0, 30, (2, count, 2))
    least = ((go(similarity(points, target), points) - target) ** 2).sum()
    assert least <= ((go(other, points) - target) ** 2).sum() + 1e-6


@quick
@given(seeds, transforms(), transforms())
def test_where_points_and_target_lie_changes_the_similarity_as_it_must(seed, before, after):
    points, target = np.random.default_rng(seed).normal(0, 30, (2, 5, 2))
    moved = similarity(go(before, points), go(after, target))
    close(then(before, moved), then(similarity(points, target), after))


@quick
@given(transforms())
def test_inverting_twice_is_nothing_and_once_is_back(matrix):
    close(invert(invert(matrix)), matrix)
    close(then(matrix, invert(matrix)), np.eye(3)[:2])


@quick
@given(seeds, transforms(shift=50.0))
def test_move_keeps_float32_and_takes_whole_pixels(seed, matrix):
    points = np.random.default_rng(seed).integers(0, 2000, (5, 2))
    moved = move(matrix, points)
    assert moved.dtype == np.float32
    np.testing.assert_array_equal(moved, go(matrix, points.astype(float)).astype(np.float32))


@quick
@given(angles, transforms())
def test_turning_a_face_adds_to_its_roll_and_nothing_else_does(angle, matrix):
    straight = matrix.copy()
    straight[:, :2] = np.eye(2) * np.hypot(matrix[0, 0], matrix[1, 0])
    c, s = cos(radians(angle)), sin(radians(angle))
    turned = go(np.array([[c, -s, 0.0], [s, c, 0.0]]), FACE)
    assert roll(go(straight, turned)) == pytest.approx(angle, abs=1e-6)
    assert roll(go(straight, turned)[MIRRORED] * [-1, 1]) == pytest.approx(-angle, abs=1e-6)


# --- crops


def soft(seed, height=120, width=150):
    """A picture without sharp edges, (H, W, 3), which resampling hardly changes."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), np.uint8)
    return np.asarray(Pil.fromarray(small).resize((width, height), Pil.Resampling.BICUBIC))


@some.composite
def faces(draw):
    """Landmarks of a face of 30 to 90 pixels, leaning up to 45 degrees, inside of a picture of `soft`."""
    angle, side = radians(draw(some.floats(-45, 45))), draw(some.floats(30, 90))
    c, s = side * cos(angle), side * sin(angle)
    centre = np.array([draw(some.floats(50, 100)), draw(some.floats(50, 70))])
    return (FACE - 0.5) @ np.array([[c, -s], [s, c]]).T + centre


def near(one, other, levels=3):
    assert np.abs(one.astype(int) - other.astype(int)).max() <= levels


@quick
@given(seeds, faces(), some.integers(1, 40), some.sampled_from(["gray", "rgb"]))
def test_a_crop_does_not_see_where_in_the_picture_the_face_is(seed, landmarks, border, colour):
    card, picture = ModelCard(name="any", colour=colour), soft(seed)
    wide = np.pad(picture, ((border, 0), (border, 0), (0, 0)), mode="edge")
    near(crop(picture, landmarks, card), crop(wide, landmarks + border, card))


@quick
@given(seeds, faces())
def test_a_crop_does_not_see_how_the_camera_was_held(seed, landmarks):
    card, picture = ModelCard(name="any"), soft(seed)
    turned = np.rot90(picture)  # a quarter to the left: x becomes the height from below
    points = np.column_stack([landmarks[:, 1], picture.shape[1] - landmarks[:, 0]])
    near(crop(picture, landmarks, card), crop(np.ascontiguousarray(turned), points, card))


@quick
@given(seeds, faces())
def test_the_crop_of_a_mirrored_face_is_the_mirrored_crop(seed, landmarks):
    card, picture = ModelCard(name="any"), soft(seed)
    mirrored = np.ascontiguousarray(picture[:, ::-1])
    points = (landmarks * [-1, 1] + [picture.shape[1], 0])[MIRRORED]
    near(crop(picture, landmarks, card)[:, ::-1], crop(mirrored, points, card))


@quick
@given(some.integers(0, 255), transforms(shift=200.0), some.integers(1, 40), some.integers(1, 40))
def test_one_level_stays_that_level_whatever_the_transform(level, matrix, width, height):
    flat = np.full((31, 43, 3), level, np.uint8)
    assert (warp(flat, matrix, (width, height)) == np.full((height, width, 3), level)).all()


@quick
@given(seeds, some.integers(48, 90), some.integers(48, 90))
def test_fit_takes_the_middle_square_and_leaves_what_fits(seed, height, width):
    card, picture = ModelCard(name="any", colour="rgb"), soft(seed, height, width)
    ready = fit(picture, card)
    assert ready.shape == (card.size, card.size, 3)
    np.testing.assert_array_equal(fit(ready, card), ready)
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    np.testing.assert_array_equal(fit(picture[top : top + side, left : left + side], card), ready)


# --- boxes and tiles


def naive_union(a, b):
    """Share of the union of two boxes x, y, width, height that both hold, for whole numbers."""
    cells = [
        {(x, y) for x in range(bx, bx + w) for y in range(by, by + h)}
        for bx, by, w, h in (a.tolist(), b.tolist())
    ]
    return len(cells[0] & cells[1]) / len(cells[0] | cells[1])


@quick
@given(
    some.lists(some.tuples(*[some.integers(0, 9)] * 2, *[some.integers(1, 9)] * 2), min_size=1, max_size=9)
)
def test_of_boxes_that_overlap_the_first_stays(drawn):
    boxes = np.array(drawn)
    landmarks = np.arange(len(boxes) * 10).reshape(-1, 5, 2).astype(np.float32)
    kept = suppress(Proposals(boxes.astype(np.float32), landmarks, np.linspace(1, 0.5, len(boxes))), 0.3)
    places = (kept.landmarks[:, 0, 0] / 10).astype(int).tolist()
    wanted: list[int] = []
    for i in range(len(boxes)):
        if all(naive_union(boxes[i], boxes[j]) <= 0.3 for j in wanted):
            wanted.append(i)
    assert places == wanted
