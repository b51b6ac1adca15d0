"""Smoothing over time: against a naive rewrite, blind to the frame rate, never ahead of its time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from mien.errors import ConfigError, VideoError
from mien.types import Face, Frame
from mien.video.smooth import FLOOR, GAP, Causal, TwoSided, smooth_frames

POINTS = np.zeros((5, 2), np.float32)
KINDS = [Causal, TwoSided]
TICK = 1 / 64  # seconds; sums of it are exact


def face(p, track=1):
    return Face((0, 0, 9, 9), POINTS, 0.9, track, None if p is None else np.asarray(p, np.float32))


def clip(times, tracks, source="a.mp4"):
    """Frames of {track: (T, 8), NaN where it is away}."""
    return [
        Frame(source, i, float(t), tuple(face(p[i], n) for n, p in tracks.items() if not np.isnan(p[i, 0])))
        for i, t in enumerate(times)
    ]


def run(smoother, frames):
    done = [one for frame in frames for one in smoother.push(frame)]
    return [*done, *smoother.flush()]


def values(frames, track=1):
    return np.stack([f.smoothed for frame in frames for f in frame.faces if f.track == track])


def noise(n, seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(8, 0.3), n).astype(np.float32)


def mean(weights, logs):
    """(8,) probabilities by the weighted mean of their logarithms."""
    raised = np.exp(np.average(logs, axis=0, weights=weights))
    return raised / raised.sum()


def stretch(times, i):
    """Index of the first and the last frame around `i` with no gap between them."""
    first = max([k for k in range(1, i + 1) if times[k] - times[k - 1] > GAP], default=0)
    last = min([k for k in range(i, len(times) - 1) if times[k + 1] - times[k] > GAP], default=len(times) - 1)
    return first, last


def naive(kind, times, p, seconds):
    """Every frame against every other."""
    logs, out = np.log(np.maximum(p.astype(float), FLOOR)), []
    for i, t in enumerate(times):
        first, last = stretch(times, i)
        if kind is Causal:
            near = range(first, i + 1)
            later = [max(j, first + 1) for j in near]  # the first frame lasts as long as the second
            lasts = [times[k] - times[k - 1] if i > first else 1.0 for k in later]
            w = [math.exp(-(t - times[j]) / seconds) * (1 - math.exp(-d / seconds)) if seconds else j == i
                 for j, d in zip(near, lasts, strict=True)]  # fmt: skip
        else:
            near = [j for j in range(first, last + 1) if abs(times[j] - t) < seconds] or [i]
            w = []
            for k, j in enumerate(near):
                steps = [abs(times[j] - times[m]) for m in (near[k - 1 : k] + near[k + 1 : k + 2])]
                kernel = (1 + math.cos(math.pi * (times[j] - t) / seconds)) / 2 if seconds else 1.0
                w.append(kernel * (np.mean(steps) if steps else 1.0))
        out.append(mean(w, logs[list(near)]))
    return np.array(out)


@settings(max_examples=30)
@given(
    steps=some.lists(some.integers(1, 45), min_size=1, max_size=25),  # up to 0.7 s: beyond a gap
    seconds=some.integers(0, 80).map(lambda ticks: ticks * TICK),
    kind=some.sampled_from(KINDS),
    seed=some.integers(0, 1000),
)
def test_smoothing_is_the_naive_mean_at_irregular_times(steps, seconds, kind, seed):
    times, p = np.cumsum(steps) * TICK, noise(len(steps), seed)
    got = values(run(kind(seconds), clip(times, {1: p})))
    np.testing.assert_allclose(got, naive(kind, times, p, seconds), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_frame_rate_does_not_change_the_result(kind):
    def at(fps):
        t = np.arange(int(4 * fps)) / fps
        waves = np.stack([np.sin(t * (1 + k) + k) for k in range(8)], axis=1)
        p = np.exp(2 * waves)
        return values(run(kind(0.4), clip(t, {1: (p / p.sum(axis=1, keepdims=True)).astype(np.float32)})))

    np.testing.assert_allclose(at(50), at(100)[::2], atol=0.02)


@pytest.mark.parametrize("error", [VideoError("cut short"), ValueError("of a user's own generator")])
def test_what_is_held_comes_before_the_error_that_ends_the_frames(error):
    def broken():
        yield from clip
        raise error

    clip, read = [Frame("a.mp4", i, i / 25, ()) for i in range(30)], []
    with pytest.raises(type(error)):
        read.extend(smooth_frames(broken(), TwoSided()))
    assert [frame.index for frame in read] == list(range(30))


def test_two_sided_waits_no_longer_than_its_seconds():
    smoother = TwoSided(0.4)
    frames = clip(np.arange(100) / 25, {1: noise(100)})
    assert max(f.time - d.time for f in frames for d in smoother.push(f)) == pytest.approx(0.4)


@pytest.mark.parametrize("kind", KINDS)
def test_frames_come_in_their_order_and_only_smoothed_is_new(kind):
    frames = clip(np.arange(40) / 25, {1: noise(40), 2: noise(40, 1)})
    frames[7:7] = [Frame("a.mp4", 99, None, (face(None, None), face(noise(1)[0], None), face(None, 3)))]
    done = run(kind(0.2), frames)
    assert [f.index for f in done] == [f.index for f in frames]
    for old, new in zip(frames, done, strict=True):
        assert (old.time, old.notes, len(old.faces)) == (new.time, new.notes, len(new.faces))
        for a, b in zip(old.faces, new.faces, strict=True):
            assert a.probabilities is b.probabilities
            assert (b.smoothed is None) == (a.track is None or a.probabilities is None)


@pytest.mark.parametrize("kind", KINDS)
def test_faces_and_clips_do_not_touch_each_other(kind):
    times, p, other = np.arange(40) / 25, noise(40), noise(40, 5)
    alone = [values(run(kind(0.3), clip(times, {1: q}))) for q in (p, other)]
    together = run(kind(0.3), clip(times, {2: other, 1: p}))
    np.testing.assert_array_equal(alone, [values(together, 1), values(together, 2)])
    for source in ("a.mp4", "b.mp4"):  # time goes back, or another clip begins
        joined = [*clip(times, {1: p}), *clip(times, {1: other}, source)]
        np.testing.assert_array_equal(values(run(kind(0.3), joined)), np.concatenate(alone))


@pytest.mark.parametrize("kind", KINDS)
def test_memory_is_bounded_however_long_the_clip(kind):
    smoother, held = kind(0.4), 0
    for i in range(800):
        faces = (face(noise(1, i)[0], 1), face(noise(1, i)[0], 2 + i // 5))  # a new face every fifth frame
        smoother.push(Frame("a", i, i / 25, faces))
        held = max(held, len(smoother._tracks), len(getattr(smoother, "_held", ())))
        if kind is TwoSided:
            held = max(held, *map(len, smoother._tracks.values()))
    assert held <= 22


@pytest.mark.parametrize("kind", KINDS)
def test_two_faces_of_one_number_in_a_frame_are_no_error(kind):
    p = noise(20)
    frames = [Frame("a", i, i / 25, (face(p[i]), face(p[i]))) for i in range(20)]
    assert len(values(run(kind(0.2), frames))) == 40
    still = [Frame("a", i, 1.0, (face(p[i]),)) for i in range(3)]  # time stands still
    assert np.isfinite(values(run(kind(0.2), still))).all()


def test_a_certain_frame_does_not_veto_the_others():
    p = np.full((21, 8), 0.1 / 7, np.float32)
    p[:, 1] = 0.9
    p[10] = [1, 0, 0, 0, 0, 0, 0, 0]
    assert values(run(TwoSided(0.2), clip(np.arange(21) / 25, {1: p})))[8].argmax() == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seconds", [-1, math.nan])
def test_lengths_that_make_no_sense_are_refused(kind, seconds):
    with pytest.raises(ConfigError, match="expected"):
        kind(seconds)
