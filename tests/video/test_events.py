"""Events: against a naive search through the whole clip, their times in seconds, cut where they are cut."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from mien.errors import ConfigError
from mien.labels import EMOTIONS
from mien.types import Face, Frame
from mien.units import ACTION_UNITS, UNITS
from mien.video.events import EventFinder, EventOptions

POINTS = np.zeros((5, 2), np.float32)
HAPPY = 1


def face(p, track=1):
    return Face((0, 0, 9, 9), POINTS, 0.9, track, smoothed=np.asarray(p, np.float32))


def shows(level, emotion=HAPPY):
    """(8,) with `level` for an emotion, the rest neutral."""
    p = np.zeros(8)
    p[0], p[emotion] = 1 - level, level
    return p


def at(times, levels):
    """One frame per level; None: the face is away."""
    return [
        Frame("a.mp4", i, float(t), () if level is None else (face(shows(level)),))
        for i, (t, level) in enumerate(zip(times, levels, strict=True))
    ]


def clip(levels, fps=10):
    return at([i / fps for i in range(len(levels))], levels)


def find(frames, **options):
    finder = EventFinder(EventOptions(**options))
    found = [event for frame in frames for event in finder.push(frame)]
    return [*found, *finder.flush()]


def test_an_event_has_its_times_and_its_probabilities():
    (event,) = find(clip([0, 0.2, 0.4, 0.6, 0.9, 0.8, 0.36, 0.1, 0, 0]))
    assert (event.source, event.track, event.emotion, event.cut) == ("a.mp4", 1, "happiness", None)
    assert (event.onset, event.apex, event.offset) == pytest.approx((0.2, 0.4, 0.7))
    assert event.duration == pytest.approx(0.5)
    assert event.peak == pytest.approx(0.9)
    assert event.mean == pytest.approx(np.mean([0.4, 0.6, 0.9, 0.8, 0.36]))
    assert event.frames == 5


def test_cut_says_at_which_end():
    seen = {
        None: [0, 0.9, 0.9, 0, 0, 0],
        "start": [0.9, 0.9, 0.9, 0, 0, 0, 0],
        "end": [0, 0.9, 0.9, 0.9],
        "both": [0.9, 0.9, 0.9],
    }
    for cut, levels in seen.items():
        for before, after in ([], []), ([None] * 5, [None] * 5):
            (event,) = find(clip([*before, *levels, *after]))
            assert event.cut == cut
            assert event.offset <= (len(before) + len(levels)) / 10 + 1e-9
    (event,) = find(
        clip([0, 0.9, 0.9, 0])
    )  # the clip ends before the bridge does: its end was seen all the same
    assert event.cut is None
    first, second = find(clip([0, 0.9, 0.9, *[None] * 5, 0.9, 0.9, 0, 0, 0]))
    assert (first.cut, second.cut) == ("end", "start")


TICK = 1 / 64  # seconds; sums of it are exact


def naive(times, levels, options):
    """Onset, apex, offset and peak: all stretches at or above `leave`, joined where they lie close."""
    ends = [*times[1:], 2 * times[-1] - times[-2]]
    held = [i for i, v in enumerate(levels) if v is not None and float(np.float32(v)) >= options.leave]
    runs = [held[:1]] if held else []
    for before, now in pairwise(held):
        if times[now] - ends[before] <= options.bridge:
            runs[-1].append(now)
        else:
            runs.append([now])
    found = []
    for run in runs:
        onset, offset, apex = times[run[0]], ends[run[-1]], max(run, key=lambda i: (levels[i], -i))
        peak = float(np.float32(levels[apex]))
        if offset - onset >= options.shortest and peak >= options.enter:
            found.append((onset, times[apex], offset, peak))
    return found


@settings(max_examples=60)
@given(
    shown=some.lists(
        some.tuples(
            some.sampled_from([1, 2, 4, 8, 9]),
            some.sampled_from([0.0, 0.2, 0.34, 0.35, 0.4, 0.49, 0.5, 0.7, None]),
        ),
        min_size=2,
        max_size=30,
    ),
    shortest=some.sampled_from([0.0, 0.125, 0.25]),
    bridge=some.sampled_from([0.0, 0.125, 0.5]),
    leave=some.sampled_from([0.35, 0.49]),
)
def test_events_are_those_of_the_whole_clip_looked_at_at_once(shown, **limits):
    steps, levels = zip(*shown, strict=True)
    times = np.cumsum(steps) * TICK
    events = find(at(times, levels), emotions=("happiness",), **limits)
    wanted = naive(times, levels, EventOptions(**limits))
    assert [(e.onset, e.apex, e.offset, e.peak) for e in events] == wanted
    lasts = [*np.diff(times), times[-1] - times[-2]]
    for event in events:
        inside = [(v, d) for t, v, d in zip(times, levels, lasts, strict=True)
                  if event.onset <= t < event.offset and v is not None]  # fmt: skip
        assert event.frames == len(inside)
        seen, weights = zip(*inside, strict=True)
        np.testing.assert_allclose(event.mean, np.average(seen, weights=weights), rtol=1e-5)


def test_events_come_as_they_end_and_memory_is_bounded():
    finder, found = EventFinder(), []
    for i in range(5_000):
        level = 0.9 if i % 50 < 20 else 0.0
        faces = (face(shows(level)), face(shows(1 - level, 3), 2 + i // 100))  # a new face every 100 frames
        found += finder.push(Frame("a", i, i / 25, faces))
        assert len(finder._tracks) <= 3
        assert sum(len(track.runs) for track in finder._tracks.values()) <= 6
    assert len(found) > 175
    ends = [event.offset for event in found]
    assert all(b >= a - 0.3 for a, b in pairwise(ends))


def test_neutral_makes_events_only_if_asked():
    frames = clip([0, 0, 0, 0, 0.9, 0.9, 0.9, 0, 0, 0])
    assert [e.emotion for e in find(frames)] == ["happiness"]
    assert [e.emotion for e in find(frames, emotions=EMOTIONS)] == ["neutral", "happiness", "neutral"]


def moved(level, track=1):
    """A face whose eyes are closed by `level`, and nothing else moves."""
    movements = np.array([level if unit in ACTION_UNITS["AU45"] else 0 for unit in UNITS], np.float32)
    return Face((0, 0, 9, 9), POINTS, 0.9, track, smoothed=shows(0).astype(np.float32), movements=movements)


def test_a_blink_is_an_event_of_action_units_alone_and_may_be_short():
    levels = [0, 0, 0.4, 0.9, 0.4, 0, 0, 0, 0, 0, 0, 0, 0.6, 0, 0, 0, 0, 0, 0, 0, 0.3, 0.3, 0.3, 0.3]
    frames = [Frame("a.mp4", i, i / 25, (moved(level),)) for i, level in enumerate(levels)]
    assert find(frames) == []
    (blink,) = find(frames, units=True)  # one frame of .04 s is none, nor is what never reaches half
    assert (blink.emotion, blink.onset, blink.apex, blink.offset) == ("AU45", 0.08, 0.12, 0.2)
    assert (blink.peak, blink.mean) == pytest.approx((0.9, 1.7 / 3))
    assert len(find(frames, units=True, shortest_unit=0.04)) == 2
    assert [e.emotion for e in find([*frames, *clip([0.9] * 5)], units=True)] == ["AU45", "happiness"]


def test_an_open_mouth_alone_is_no_event_of_surprise():
    """FACS: brows or eyelids are raised, by the person's own measure; 25 frames a second."""

    def surprised(brows=0.0, eyes=0.0, level=0.9, rest=0.0, known=True, before=100, fps=25):
        def frame(i, p, **moved):
            names = {unit: moved.get(au, 0) for au in ("AU01", "AU02", "AU05") for unit in ACTION_UNITS[au]}
            movements = np.array([names.get(unit, 0) for unit in UNITS], np.float32) if known else None
            smoothed = shows(p, EMOTIONS.index("surprise")).astype(np.float32)
            return Frame(
                "a", i, i / fps, (Face((0, 0, 9, 9), POINTS, 0.9, 1, smoothed=smoothed, movements=movements),)
            )

        calm = [frame(i, 0, AU01=rest, AU02=rest) for i in range(before)]
        high = {"AU01": rest + brows, "AU02": rest + brows, "AU05": eyes}
        shown = [frame(i, level, **high) for i in range(before, before + 20)]
        return [event.emotion for event in find(calm + shown)]

    assert surprised() == surprised(brows=0.1) == surprised(eyes=0.05) == []
    assert surprised(brows=0.2) == surprised(eyes=0.15) == surprised(known=False) == ["surprise"]
    assert surprised(rest=0.4) == []  # brows that are always so high
    assert surprised(rest=0.4, brows=0.25) == ["surprise"]
    assert surprised(before=0, brows=0.2) == ["surprise"]  # from the first frame of the face to its last
    assert surprised(rest=0.4, brows=0.25, fps=1) == surprised(before=0, brows=0.2, fps=1) == ["surprise"]


def test_what_has_no_track_time_or_probabilities_is_left_out():
    happy = np.asarray(shows(0.9), np.float32)
    bare = Face((0, 0, 9, 9), POINTS, 0.9, 1)
    assert find([Frame("a", i, i / 10, (face(happy, None), bare)) for i in range(9)]) == []
    assert find([Frame("a", i, None, (face(happy),)) for i in range(9)]) == []
    raw = [Frame("a", i, i / 10, (Face((0, 0, 9, 9), POINTS, 0.9, 1, happy),)) for i in range(9)]
    assert [e.cut for e in find(raw)] == ["both"]  # not smoothed: the probabilities themselves
    assert find([]) == []
    assert find(clip([0.9])) == []  # one frame lasts no time that is known


def test_another_clip_begins_anew():
    one = clip([0, 0.9, 0.9, 0.9])
    two = [Frame("b", f.index, f.time, f.faces) for f in clip([0.9, 0.9, 0.9, 0])]
    first, second = find([*one, *two])
    assert (first.source, first.cut, second.source, second.cut) == ("a.mp4", "end", "b", "start")
    assert [e.onset for e in find([*one, *one])] == [0.1, 0.1]  # time goes back


@pytest.mark.parametrize(
    "bad",
    [
        {"enter": 0.2}, {"leave": 0}, {"enter": 1.2}, {"shortest": -1}, {"bridge": math.nan},
        {"emotions": ("joy",)},
    ],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(bad):
    with pytest.raises(ConfigError, match="expected"):
        EventOptions(**bad)
