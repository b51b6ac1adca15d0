"""What holds of smoothing and of events whatever the clip is."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as some

from mien.labels import EMOTIONS
from mien.types import Face, Frame
from mien.video.events import EventFinder, EventOptions
from mien.video.smooth import FLOOR, GAP, Causal, TwoSided, durations

quick = settings(max_examples=30, deadline=None, derandomize=True, database=None)

POINTS = np.zeros((5, 2), np.float32)
TICK = 1 / 64  # seconds; times that are whole numbers of it can be scaled and turned without rounding
both = some.sampled_from([Causal, TwoSided])
lengths = some.integers(0, 40).map(lambda ticks: ticks * TICK)


@some.composite
def clips(draw):
    """Seconds, and the (T, 8) probabilities of one face."""
    steps = draw(some.lists(some.integers(1, 45), min_size=1, max_size=25))
    times = np.cumsum(steps) * TICK
    drawn = np.random.default_rng(draw(some.integers(0, 1000)))
    return times, drawn.dirichlet(np.full(8, 0.3), len(times)).astype(np.float32)


def frames(times, p, source="a.mp4"):
    faces = [(Face((0, 0, 9, 9), POINTS, 0.9, 1, one),) for one in p]
    return [Frame(source, i, float(t), face) for i, (t, face) in enumerate(zip(times, faces, strict=True))]


def smoothed(smoother, clip):
    """(T, 8) of the frames, which all came back, once, in their order."""
    done = [one for frame in clip for one in smoother.push(frame)]
    done += smoother.flush()
    assert [frame.index for frame in done] == [frame.index for frame in clip]
    return np.stack([frame.faces[0].smoothed for frame in done])


# --- smoothing


@quick
@given(clips(), lengths, both)
def test_every_row_sums_to_one_and_no_emotion_leaves_its_range(clip, seconds, kind):
    times, p = clip
    got = smoothed(kind(seconds), frames(times, p))
    np.testing.assert_allclose(got.sum(axis=1), 1, atol=1e-5)
    # A mean of logarithms: how much surer it is of one than of another stays within what the frames say.
    given, made = (np.log(np.maximum(q.astype(float), FLOOR / 2)) for q in (np.maximum(p, FLOOR), got))
    for k in range(1, 8):
        allowed, reached = given[:, 0] - given[:, k], made[:, 0] - made[:, k]
        assert allowed.min() - 1e-3 <= reached.min()
        assert reached.max() <= allowed.max() + 1e-3


@quick
@given(clips(), lengths, both)
def test_what_does_not_change_stays(clip, seconds, kind):
    times, p = clip
    same = np.tile(p[:1], (len(times), 1))
    np.testing.assert_allclose(
        smoothed(kind(seconds), frames(times, same)), np.maximum(same, FLOOR), atol=1e-5
    )


@quick
@given(clips(), lengths, some.data())
def test_causal_is_blind_to_what_comes(clip, seconds, data):
    times, p = clip
    cut = data.draw(some.integers(0, len(times)))
    other = np.concatenate([p[:cut], p[cut:][:, ::-1]])
    one, two = (smoothed(Causal(seconds), frames(times, q)) for q in (p, other))
    np.testing.assert_array_equal(one[:cut], two[:cut])


@quick
@given(clips(), lengths, some.data())
def test_two_sided_is_blind_beyond_its_seconds(clip, seconds, data):
    times, p = clip
    cut = data.draw(some.integers(0, len(times) - 1))
    other = np.concatenate([p[:cut], p[cut:][:, ::-1]])
    far = times <= times[cut] - seconds
    far[cut:] = False
    one, two = (smoothed(TwoSided(seconds), frames(times, q)) for q in (p, other))
    np.testing.assert_array_equal(one[far], two[far])


@quick
@given(clips(), lengths)
def test_two_sided_is_the_same_backwards(clip, seconds):
    times, p = clip
    forth = smoothed(TwoSided(seconds), frames(times, p))
    back = smoothed(TwoSided(seconds), frames((times[-1] - times)[::-1], p[::-1]))
    np.testing.assert_allclose(forth, back[::-1], atol=1e-6)


@quick
@given(clips(), lengths, both, some.sampled_from([0.25, 0.5, 2.0, 8.0]))
def test_a_clip_played_slower_is_smoothed_over_as_much_longer(clip, seconds, kind, slower):
    times, p = clip
    one = smoothed(kind(seconds), frames(times, p))
    two = smoothed(kind(seconds * slower, gap=GAP * slower), frames(times * slower, p))
    np.testing.assert_allclose(one, two, atol=1e-6)


@quick
@given(clips(), clips(), lengths, both)
def test_two_clips_one_after_the_other_are_two_clips(first, second, seconds, kind):
    alone = [smoothed(kind(seconds), frames(*clip)) for clip in (first, second)]
    smoother = kind(seconds)
    joined = [*frames(*first), *frames(*second, source="b.mp4")]
    done = [one for frame in joined for one in smoother.push(frame)] + list(smoother.flush())
    got = np.stack([frame.faces[0].smoothed for frame in done])
    np.testing.assert_array_equal(got, np.concatenate(alone))


@quick
@given(some.lists(some.integers(0, 45), min_size=2, max_size=30))
def test_durations_share_out_the_time(steps):
    times = np.cumsum(steps) * TICK
    got = durations(times)
    assert got.shape == times.shape
    if times[-1] > times[0]:  # each end stands for half a step more than there is
        ends = (times[1] - times[0] + times[-1] - times[-2]) / 2
        np.testing.assert_allclose(got.sum(), times[-1] - times[0] + ends)


# --- events


@some.composite
def shows(draw):
    """A face by frames: seconds, and how sure each is of happiness; None: the face is away."""
    steps = draw(some.lists(some.sampled_from([1, 2, 4, 8, 9]), min_size=2, max_size=30))
    levels = some.sampled_from([0.0, 0.2, 0.34, 0.35, 0.4, 0.49, 0.5, 0.7, None])
    return np.cumsum(steps) * TICK, [draw(levels) for _ in steps]


def seen(times, values):
    """The frames of a face that shows happiness as sure as that, else neutral."""
    clip = []
    for i, (time, value) in enumerate(zip(times, values, strict=True)):
        faces = ()
        if value is not None:
            p = np.zeros(8, np.float32)
            p[1], p[0] = value, 1 - value
            faces = (Face((0, 0, 9, 9), POINTS, 0.9, 1, p, smoothed=p),)
        clip.append(Frame("a.mp4", i, float(time), faces))
    return clip


def found(clip, options):
    finder = EventFinder(options)
    return [event for frame in clip for event in finder.push(frame)] + list(finder.flush())


def naive_events(times, values, options):
    """Onset, apex, offset and peak: all stretches at or above `leave`, joined where they lie close."""
    ends = [*times[1:], times[-1] + times[-1] - times[-2]]
    held = [(t, end, v) for t, end, v in zip(times, ends, values, strict=True)
            if v is not None and float(np.float32(v)) >= options.leave]  # fmt: skip
    runs = [held[:1]] if held else []
    for before, now in pairwise(held):
        if now[0] - before[1] <= options.bridge:
            runs[-1].append(now)
        else:
            runs.append([now])
    events = []
    for run in runs:
        onset, offset, peak = run[0][0], run[-1][1], max(v for _, _, v in run)
        apex = next(t for t, _, v in run if v == peak)
        if offset - onset >= options.shortest and float(np.float32(peak)) >= options.enter:
            events.append((onset, apex, offset, float(np.float32(peak))))
    return events


@settings(quick, max_examples=150)
@given(shows(), some.sampled_from([0.0, 0.125, 0.25]), some.sampled_from([0.0, 0.125, 0.5]))
def test_events_are_those_of_the_whole_clip_looked_at_at_once(show, shortest, bridge):
    times, values = show
    options = EventOptions(shortest=shortest, bridge=bridge, emotions=("happiness",))
    events = found(seen(times, values), options)
    got = [(e.onset, e.apex, e.offset, e.peak) for e in events]
    assert got == naive_events(times, values, options)
    lasts = [*np.diff(times), times[-1] - times[-2]]
    for event in events:
        inside = [(v, d) for t, v, d in zip(times, values, lasts, strict=True)
                  if event.onset <= t < event.offset and v is not None]  # fmt: skip
        assert event.frames == len(inside)
        shown, seconds = (np.array(one) for one in zip(*inside, strict=True))
        np.testing.assert_allclose(event.mean, (shown * seconds).sum() / seconds.sum(), rtol=1e-5)


@quick
@given(shows(), some.integers(0, 640).map(lambda ticks: ticks * TICK))
def test_events_come_later_in_a_clip_that_starts_later(show, later):
    times, values = show
    options = EventOptions(emotions=EMOTIONS)
    one, two = (found(seen(t, values), options) for t in (times, times + later))
    assert [(e.emotion, e.onset + later, e.offset + later, e.cut) for e in one] == [
        (e.emotion, e.onset, e.offset, e.cut) for e in two
    ]
