"""Track numbers on drawn paths of boxes, where the right answer is known."""

import itertools

import numpy as np
import pytest

from mien.run.track import Tracker
from mien.types import Face


def face(x: float, y: float, side: float = 40.0) -> Face:
    """A square face centred at x, y."""
    return Face((x - side / 2, y - side / 2, side, side), np.zeros((5, 2), np.float32), 0.9)


def numbers(tracker: Tracker, places, time: float) -> list[int]:
    return [found.track for found in tracker.update([face(*place) for place in places], time)]


def test_faces_come_back_whole_and_in_order():
    faces = [face(10, 10), face(200, 10)]
    got = Tracker().update(faces, 0.0)
    assert [f.track for f in got] == [1, 2]
    assert [f.box for f in got] == [f.box for f in faces]
    assert got[0].landmarks is faces[0].landmarks
    assert faces[0].track is None


def test_the_order_of_the_faces_does_not_matter():
    tracker = Tracker()
    assert numbers(tracker, [(50, 50), (150, 50), (250, 50)], 0.0) == [1, 2, 3]
    assert numbers(tracker, [(252, 52), (51, 49), (149, 50)], 0.04) == [3, 1, 2]


def test_moving_growing_and_shaking_faces_keep_their_numbers():
    rng = np.random.default_rng(0)
    tracker = Tracker()
    seen = []
    for i in range(100):
        shake = rng.normal(0, 2, (2, 2))
        left = (50 + 3 * i + shake[0, 0], 100 + shake[0, 1], 40 * 1.01**i)
        right = (600 - 2 * i + shake[1, 0], 400 + shake[1, 1], 60)
        pair = [left, right] if i % 2 else [right, left]
        seen.append(numbers(tracker, pair, i / 25)[:: 1 if i % 2 else -1])
    assert all(pair == seen[0] for pair in seen)


def test_a_short_loss_is_bridged_and_a_long_one_is_not():
    tracker = Tracker(memory=0.5)
    for i in range(10):
        assert numbers(tracker, [(100, 100)], i * 0.04) == [1]
    for i in range(10, 20):
        assert numbers(tracker, [], i * 0.04) == []
    assert numbers(tracker, [(103, 100)], 0.80) == [1]  # 0.44 s after the last
    for i in range(21, 40):
        numbers(tracker, [], i * 0.04)
    assert numbers(tracker, [(103, 100)], 1.6) == [2]


def test_a_moving_face_is_found_again_where_it_was_going():
    tracker = Tracker()
    for i in range(11):
        numbers(tracker, [(100 + 5 * i, 100)], i * 0.04)  # 125 pixels a second
    for i in range(11, 20):
        numbers(tracker, [], i * 0.04)
    assert numbers(tracker, [(200, 100)], 0.8) == [1]  # 50 pixels on: more than its own side


def test_a_moving_face_that_stopped_while_hidden_is_found_where_it_was():
    tracker = Tracker()
    for i in range(11):
        numbers(tracker, [(100 + 5 * i, 100)], i * 0.04)
    for i in range(11, 20):
        numbers(tracker, [], i * 0.04)
    assert numbers(tracker, [(152, 100)], 0.8) == [1]


def test_numbers_are_never_used_again():
    tracker = Tracker()
    visits = []
    for k in range(5):
        visits += [numbers(tracker, [(100, 100)], 10.0 * k + 0.04 * i)[0] for i in range(5)]
        for i in range(5, 60):
            numbers(tracker, [], 10.0 * k + 0.04 * i)
    assert [number for number, _ in itertools.groupby(visits)] == [1, 2, 3, 4, 5]


def test_two_crossing_faces_do_not_swap_while_both_are_seen():
    tracker = Tracker()
    for i in range(60):
        pair = [(100 + 4 * i, 100), (340 - 4 * i, 130)]
        assert numbers(tracker, pair, i / 25) == [1, 2], i


def test_one_face_never_takes_two_numbers_nor_two_faces_one():
    tracker = Tracker()
    assert numbers(tracker, [(100, 100)], 0.0) == [1]
    assert sorted(numbers(tracker, [(98, 100), (110, 100)], 0.04)) == [1, 2]
    assert numbers(tracker, [(100, 100)], 0.08)[0] in (1, 2)


def test_a_face_of_another_size_or_place_is_another():
    tracker = Tracker()
    numbers(tracker, [(100, 100, 40)], 0.0)
    assert numbers(tracker, [(100, 100, 120)], 0.04) == [2]
    assert numbers(tracker, [(400, 100, 40)], 0.08) == [3]


@pytest.mark.parametrize("step", [0.2, 1.0, 5.0])
def test_sparsely_sampled_clips_keep_their_numbers(step):
    tracker = Tracker()
    for i in range(6):
        assert numbers(tracker, [(100 + i, 100), (300, 100 - i)], i * step) == [1, 2]


def test_times_that_stand_still_or_start_over():
    tracker = Tracker()
    for time in (5.0, 5.0, 5.04, 0.0, 0.04):
        number = numbers(tracker, [(100, 100)], time)[0]
        assert 1 <= number <= 2
    assert numbers(tracker, [(100, 100)], 0.08) == [number]


def test_an_empty_box_does_no_harm():
    tracker = Tracker()
    empty = Face((5.0, 5.0, 0.0, 0.0), np.zeros((5, 2), np.float32), 0.1)
    assert [f.track for f in tracker.update([empty, face(5, 5)], 0.0)] == [1, 2]
    assert [f.track for f in tracker.update([empty, face(5, 5)], 0.1)] == [1, 2]
