"""Track numbers on drawn paths of boxes, and cuts, where the right answer is known."""

import copy
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.config import from_plain, to_plain
from mien.faces.align import TEMPLATE
from mien.types import Face
from mien.video.track import CutDetector, Tracker, appearance

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
HEIGHT, WIDTH = 180, 320


def face(x: float, y: float, side: float = 40.0) -> Face:
    """A square face centred at x, y."""
    return Face((x - side / 2, y - side / 2, side, side), np.zeros((5, 2), np.float32), 0.9)


def numbers(tracker: Tracker, places, time: float) -> list[int]:
    return [found.track for found in tracker.update([face(*place) for place in places], time)]


def drawn(seed: int) -> np.ndarray:
    """(12, 12) gray levels: somebody, or a background."""
    return np.random.default_rng(seed).uniform(40, 220, (12, 12))


def scene(people, background: int = 0) -> tuple[list[Face], np.ndarray]:
    """Faces and (H, W, 3) pixels of people given as (seed, x, y), nearer ones last, on a background."""
    rng = np.random.default_rng(100 + background)
    pixels = np.kron(rng.uniform(40, 220, (9, 16)), np.ones((20, 20)))
    faces = []
    for seed, x, y in people:
        pixels[y - 24 : y + 24, x - 24 : x + 24] = np.kron(drawn(seed), np.ones((4, 4)))
        landmarks = (np.array(TEMPLATE) * 48 + (x - 24, y - 24)).astype(np.float32)
        faces.append(Face((x - 20.0, y - 20.0, 40.0, 40.0), landmarks, 0.9))
    return faces, np.repeat(pixels[:, :, None], 3, axis=2).astype(np.uint8)


def seen(tracker: Tracker, people, time: float, background: int = 0) -> list[int]:
    faces, pixels = scene(people, background)
    return [found.track for found in tracker.update(faces, time, pixels)]


def test_faces_come_back_whole_and_in_order():
    faces = [face(10, 10), face(200, 10)]
    got = Tracker().update(faces, 0.0)
    assert [f.track for f in got] == [1, 2]
    assert [f.box for f in got] == [f.box for f in faces]
    assert got[0].landmarks is faces[0].landmarks
    assert faces[0].track is None


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


@pytest.mark.parametrize("x", [200, 152])  # where it was going, 50 pixels on, or where it was and stopped
def test_a_moving_face_is_found_again(x):
    tracker = Tracker()
    for i in range(20):
        numbers(tracker, [(100 + 5 * i, 100)] if i <= 10 else [], i * 0.04)  # 125 pixels a second
    assert numbers(tracker, [(x, 100)], 0.8) == [1]


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
        assert numbers(tracker, [(100 + 4 * i, 100), (340 - 4 * i, 130)], i / 25) == [1, 2], i


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


def test_who_was_hidden_is_known_by_looks_and_by_place_alone_is_not():
    """Two people meet, one is hidden behind the other, and each goes back to where they came from."""

    def meeting(tracker: Tracker, *, pixels: bool) -> list[int]:
        show = seen if pixels else lambda t, people, time: numbers(t, [p[1:] for p in people], time)
        for i in range(20):
            show(tracker, [(1, 60 + 4 * i, 90), (2, 236 - 4 * i, 90)], i * 0.04)
        for i in range(20, 32):
            show(tracker, [(2, 150, 90)], i * 0.04)
        return show(tracker, [(2, 176, 90), (1, 120, 90)], 32 * 0.04)

    assert meeting(Tracker(), pixels=True) == [2, 1]
    assert meeting(Tracker(), pixels=False) == [1, 2]


def test_a_cut_ends_tracks_though_the_faces_stay_where_they_were():
    tracker = Tracker()
    for i in range(5):
        assert seen(tracker, [(1, 80, 90), (2, 240, 90)], i * 0.04) == [1, 2]
    for i in range(5, 10):
        assert seen(tracker, [(3, 80, 90), (4, 240, 90)], i * 0.04, background=1) == [3, 4]


def test_who_left_the_picture_is_not_who_comes_in_there():
    tracker = Tracker()
    for i in range(12):
        assert seen(tracker, [(1, 200 + 8 * i, 90)], i * 0.04) == [1]
    for i in range(12, 24):
        seen(tracker, [], i * 0.04)
    assert seen(tracker, [(2, 290, 90)], 24 * 0.04) == [2]


@pytest.mark.parametrize("every", [1, 5])
def test_the_order_of_the_faces_never_decides_who_is_who(every):
    rng = np.random.default_rng(3)
    paths = rng.uniform((40, 40), (WIDTH - 40, HEIGHT - 40), (5, 2)) + np.cumsum(
        rng.normal(0, 3, (60, 5, 2)), axis=0
    )
    paths = paths.clip(30, (WIDTH - 30, HEIGHT - 30)).astype(int)  # (T, N, 2)
    plain, shuffled = Tracker(), Tracker()
    names: dict[int, int] = {}  # numbers of one tracker to those of the other
    for t in range(0, 60, every):
        faces, pixels = scene([(n, *paths[t, n]) for n in range(5)])
        order = rng.permutation(5)
        one = [f.track for f in plain.update(faces, t / 25, pixels)]
        other = [f.track for f in shuffled.update([faces[k] for k in order], t / 25, pixels)]
        for position, k in enumerate(order):
            assert names.setdefault(one[k], other[position]) == other[position]
    assert len(set(names.values())) == len(names)


@pytest.mark.parametrize(("shift", "scale"), [(1000.0, 1), (0.0, 2), (-3.0, 3)])
def test_another_clock_or_resolution_changes_nothing(shift, scale):
    def run(shift: float, scale: int) -> list[list[int]]:
        tracker, got = Tracker(), []
        for i in range(30):
            people = [(1, 60 + 6 * i, 80), (2, 234 - 6 * i, 96)]
            faces, pixels = scene(people if i % 4 else people[:1])
            large = np.kron(pixels, np.ones((scale, scale, 1), np.uint8))
            faces = [Face(tuple(scale * v for v in f.box), f.landmarks * scale, f.score) for f in faces]
            got.append([f.track for f in tracker.update(faces, shift + i / 25, large)])
        return got

    assert run(shift, scale) == run(0.0, 1)


@pytest.mark.parametrize(
    "twin", [copy.deepcopy, lambda tracker: from_plain(Tracker, json.loads(json.dumps(to_plain(tracker))))]
)
def test_a_copy_or_restored_tracker_goes_on_by_itself_to_the_last_bit(twin):
    tracker = Tracker()
    for i in range(5):
        seen(tracker, [(1, 80 + 2 * i, 90), (2, 240, 90)], i * 0.04)
    before, again, strayed = to_plain(tracker), twin(tracker), twin(tracker)
    assert seen(strayed, [(5, 200, 90), (6, 60, 50)], 0.4, background=2) == [3, 4]
    assert to_plain(again) == to_plain(tracker) == before
    for i in range(5, 9):
        people = [(2, 240, 90), (1, 80 + 2 * i, 90)]
        assert seen(again, people, i * 0.04, i // 8) == seen(tracker, people, i * 0.04, i // 8)
    assert to_plain(again) == to_plain(tracker)


def test_memory_is_bounded():
    tracker = Tracker()
    rng = np.random.default_rng(0)
    for i in range(500):
        x, y = rng.uniform(0, 10_000, 2)
        numbers(tracker, [(x, y)], i * 0.04)
    assert len(tracker.tracks) <= 2 / 0.04 + 1


def test_a_look_is_the_same_brighter_and_larger_and_of_nothing_is_none():
    faces, pixels = scene([(1, 80, 90), (2, 240, 90)])
    one, two = (appearance(pixels, face) for face in faces)
    brighter = appearance((pixels * 0.5 + 20).astype(np.uint8), faces[0])
    assert one.shape == (64,)
    assert one @ one == pytest.approx(1, abs=1e-5)
    assert one @ brighter > 0.99
    assert one @ two < 0.5
    assert appearance(np.full_like(pixels, 128), faces[0]) is None
    beyond = Face((-90.0, -90.0, 40.0, 40.0), faces[0].landmarks - 500, 0.9)
    assert appearance(pixels, beyond) is None  # nothing but the corner's pixel


# -- cuts


def view(seed: int, left: int = 0) -> np.ndarray:
    """(90, 160, 3) of a wide smooth scene, from a column of it on."""
    coarse = np.random.default_rng(seed).integers(30, 220, (6, 16, 3), np.uint8)
    wide = Image.fromarray(coarse).resize((240, 90), Image.Resampling.BILINEAR)
    return np.asarray(wide)[:, left : left + 160]


def cuts(frames) -> list[int]:
    detector = CutDetector()
    return [i for i, frame in enumerate(frames) if detector.starts(frame)]


def test_every_cut_is_seen_and_nothing_else():
    rng = np.random.default_rng(0)
    frames = [
        np.clip(view(shot) + rng.normal(0, 8, (90, 160, 3)), 0, 255).astype(np.uint8)
        for shot in range(12)
        for _ in range(10)
    ]
    assert cuts(frames) == list(range(10, 120, 10))


@pytest.mark.parametrize(
    "frames",
    [
        *([view(1, left) for left in [*range(0, 79, step), *range(78, -1, -step)]] for step in (1, 3)),
        [(view(1) * share).astype(np.uint8) for share in (1, 0.6, 0.3, 0.7, 1)],
        [(view(1) * (1 - s) + view(2) * s).astype(np.uint8) for s in np.linspace(0, 1, 25)],
    ],
    ids=["slow swing", "quick swing", "light up and down", "slow dissolve"],
)
def test_what_is_no_cut(frames):
    assert cuts(frames) == []


@pytest.mark.parametrize("level", [0, 255])
def test_a_flash_or_a_black_frame_is_none_and_what_follows_counts(level):
    flat = np.full((90, 160, 3), level, np.uint8)
    still = [view(1)] * 5
    assert cuts([*still, flat, *still]) == []
    assert cuts([*still, flat, flat, *[view(2)] * 5]) == [7]
    assert cuts([flat, flat, *still]) == []


def test_a_cut_is_the_same_in_any_size():
    frames = [view(1)] * 5 + [view(2)] * 5
    assert cuts([np.kron(frame, np.ones((3, 3, 1), np.uint8)) for frame in frames]) == cuts(frames) == [5]
    assert cuts([frame[::9, ::9] for frame in frames]) == [5]
    assert cuts([frame[:1, :1] for frame in frames]) == []


# -- the benchmark


def test_the_benchmark_counts_as_by_hand(monkeypatch):
    """Two people, six frames: B is missed once and comes back under another number."""
    pytest.importorskip("scipy")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from tracks import Score, Step, score

    a, b, far = (0, 0, 10, 10), (50, 0, 10, 10), (200, 0, 10, 10)
    steps = [
        Step({1: a, 2: b}, {11: a, 12: b}),
        Step({1: a, 2: b}, {11: a, 12: b}),
        Step({1: a, 2: b}, {11: a}),
        Step({1: a, 2: b}, {11: a, 13: b}),
        Step({1: a, 2: b}, {11: a, 13: b, 14: far}),
        Step({1: a}, {11: a, 13: b}, ignored=[b]),
    ]
    got = score(steps)
    # Paired with their own: A 6 and B 2 boxes; 10 of 11 boxes are found, one find is false, one switch.
    assert got == Score(truth=11, faces=11, hits=10, same=8, switches=1, fragments=1, clips=1)
    assert got.idf1 == pytest.approx(16 / 22)
    assert got.mota == pytest.approx(1 - 3 / 11)
