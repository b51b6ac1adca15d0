"""Cuts: seen where another picture begins, and not where one moves, brightens, flashes or fades."""

import copy
import json

import numpy as np
import pytest

from mien.video.track import CutDetector

HEIGHT, WIDTH = 90, 160


def picture(seed: int) -> np.ndarray:
    """(H, W + 80, 3): a wide smooth scene."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(30, 220, (6, 16, 3))
    rows = np.linspace(0, 4.999, HEIGHT)
    columns = np.linspace(0, 14.999, WIDTH + 80)
    y, x = rows.astype(int), columns.astype(int)
    v, u = (rows - y)[:, None, None], (columns - x)[None, :, None]
    top = coarse[y][:, x] * (1 - u) + coarse[y][:, x + 1] * u
    below = coarse[y + 1][:, x] * (1 - u) + coarse[y + 1][:, x + 1] * u
    return (top * (1 - v) + below * v).astype(np.uint8)


def view(seed: int, left: int = 0) -> np.ndarray:
    return picture(seed)[:, left : left + WIDTH]


def cuts(frames) -> list[int]:
    detector = CutDetector()
    return [i for i, frame in enumerate(frames) if detector.starts(frame)]


def test_every_cut_is_seen_and_nothing_else():
    rng = np.random.default_rng(0)
    frames = [
        np.clip(view(shot) + rng.normal(0, 8, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8)
        for shot in range(12)
        for _ in range(10)
    ]
    assert cuts(frames) == list(range(10, 120, 10))


@pytest.mark.parametrize("step", [1, 3])
def test_a_camera_that_swings_is_no_cut(step):
    assert cuts([view(1, left) for left in [*range(0, 79, step), *range(78, -1, -step)]]) == []


def test_light_that_goes_up_and_down_is_no_cut():
    assert cuts([(view(1) * share).astype(np.uint8) for share in (1, 0.6, 0.3, 0.7, 1)]) == []


@pytest.mark.parametrize("level", [0, 255])
def test_a_flash_or_a_black_frame_is_none_and_what_follows_counts(level):
    flat = np.full((HEIGHT, WIDTH, 3), level, np.uint8)
    still = [view(1)] * 5
    assert cuts([*still, flat, *still]) == []
    assert cuts([*still, flat, flat, *[view(2)] * 5]) == [7]
    assert cuts([flat, flat, *still]) == []


def test_a_slow_dissolve_is_no_cut():
    shares = np.linspace(0, 1, 25)
    assert cuts([(view(1) * (1 - s) + view(2) * s).astype(np.uint8) for s in shares]) == []


def test_a_cut_is_the_same_in_any_size():
    frames = [view(1)] * 5 + [view(2)] * 5
    assert cuts([np.kron(frame, np.ones((3, 3, 1), np.uint8)) for frame in frames]) == cuts(frames) == [5]
    assert cuts([frame[::9, ::9] for frame in frames]) == [5]
    assert cuts([frame[:1, :1] for frame in frames]) == []


def test_copies_and_states_go_on_by_themselves():
    detector = CutDetector()
    for frame in [view(1)] * 3:
        detector.starts(frame)
    twin = copy.deepcopy(detector)
    restored = CutDetector.restored(json.loads(json.dumps(detector.state())))
    assert restored.state() == detector.state()
    assert twin.starts(view(2))
    assert not detector.starts(view(1))
    assert restored.starts(view(2))
