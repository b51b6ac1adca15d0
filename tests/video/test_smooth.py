"""Smoothing over time: against a naive rewrite, blind to the frame rate, never ahead of its time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mien.errors import ConfigError
from mien.types import Face, Frame
from mien.video.smooth import FLOOR, GAP, Causal, TwoSided

POINTS = np.zeros((5, 2), np.float32)
KINDS = [Causal, TwoSided]


def face(p, track=1):
    return Face((0, 0, 9, 9), POINTS, 0.9, track, None if p is None else np.asarray(p, np.float32))


def clip(times, tracks, source="a.mp4"):
    """Frames of {track: (T, 8), NaN where it is away}."""
    return [
        Frame(source, i, t, tuple(face(p[i], n) for n, p in tracks.items() if not np.isnan(p[i, 0])))
        for i, t in enumerate(times)
    ]


def run(smoother, frames):
    done = [one for frame in frames for one in smoother.push(frame)]
    return [*done, *smoother.flush()]


def values(frames, track=1):
    return np.stack([f.smoothed for frame in frames for f in frame.faces if f.track == track])


def noise(n, seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(8, 0.3), n).astype(np.float32)


def shares(logs):
    raised = np.exp(logs)
    return raised / raised.sum()


def naive_two_sided(times, p, seconds, gap):
    """Every frame against every other."""
    logs = np.log(np.maximum(p.astype(float), FLOOR))
    out = []
    for i, t in enumerate(times):
        near = []
        for j, u in enumerate(times):
            low, high = sorted((i, j))
            whole = all(times[k + 1] - times[k] <= gap for k in range(low, high))
            if abs(u - t) < seconds and whole:
                near.append(j)
        total, weight = np.zeros(8), 0.0
        for k, j in enumerate(near):
            steps = [abs(times[j] - times[m]) for m in (near[k - 1 : k] + near[k + 1 : k + 2])]
            lasts = np.mean(steps) if steps else 1.0
            w = (1 + math.cos(math.pi * (times[j] - t) / seconds)) / 2 * lasts if seconds else 1.0
            total, weight = total + w * logs[j], weight + w
        out.append(shares(total / weight if near else logs[i]))
    return np.array(out)


def naive_causal(times, p, seconds):
    """The whole past at every frame; the first frame lasts as long as the second."""
    logs = np.log(np.maximum(p.astype(float), FLOOR))
    lasts = np.diff(times, prepend=2 * times[0] - times[1])
    out = []
    for i, t in enumerate(times):
        w = [math.exp(-(t - times[j]) / seconds) * (1 - math.exp(-lasts[j] / seconds)) for j in range(i + 1)]
        out.append(shares(np.average(logs[: i + 1], axis=0, weights=w)))
    return np.array(out)


@pytest.mark.parametrize("seconds", [0.05, 0.2, 0.7])
def test_two_sided_is_the_naive_mean_at_irregular_times(seconds):
    rng = np.random.default_rng(1)
    times = np.cumsum(rng.choice([0.01, 0.04, 0.1, 0.6], 120, p=[0.3, 0.4, 0.25, 0.05]))
    p = noise(120)
    got = values(run(TwoSided(seconds), clip(times, {1: p})))
    np.testing.assert_allclose(got, naive_two_sided(times, p, seconds, GAP), atol=1e-6)


@pytest.mark.parametrize("seconds", [0.05, 0.3])
def test_causal_is_the_naive_mean_of_the_past(seconds):
    times = np.cumsum(np.random.default_rng(2).choice([0.01, 0.04, 0.1], 90))
    p = noise(90)
    got = values(run(Causal(seconds), clip(times, {1: p})))
    np.testing.assert_allclose(got, naive_causal(times, p, seconds), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_frame_rate_does_not_change_the_result(kind):
    def at(fps):
        t = np.arange(int(4 * fps)) / fps
        waves = np.stack([np.sin(t * (1 + k) + k) for k in range(8)], axis=1)
        p = np.exp(2 * waves)
        return values(run(kind(0.4), clip(t, {1: (p / p.sum(axis=1, keepdims=True)).astype(np.float32)})))

    slow, quick = at(50), at(100)[::2]
    np.testing.assert_allclose(slow, quick, atol=0.02)


def test_frames_that_come_twice_as_often_do_not_weigh_double():
    p = np.tile(np.array([0.9, 0.1, 0, 0, 0, 0, 0, 0], np.float32), (60, 1))
    p[30:] = p[30:, [1, 0, *range(2, 8)]]
    even = np.arange(60) / 30
    often = np.concatenate([even[:30], np.repeat(even[30:], 2) + np.tile([0, 1 / 60], 30)])
    one = values(run(TwoSided(0.4), clip(even, {1: p})))
    two = values(run(TwoSided(0.4), clip(often, {1: np.concatenate([p[:30], np.repeat(p[30:], 2, axis=0)])})))
    np.testing.assert_allclose(one[:30], two[:30], atol=0.03)


def test_two_sided_looks_no_further_than_its_seconds_and_waits_no_longer():
    times, p = np.arange(100) / 25, noise(100)
    other = p.copy()
    other[60:] = noise(40, seed=9)
    one, two = (values(run(TwoSided(0.4), clip(times, {1: q}))) for q in (p, other))
    np.testing.assert_array_equal(one[:50], two[:50])  # 50 is 0.4 s before 60
    assert not np.array_equal(one[51], two[51])
    smoother = TwoSided(0.4)
    late = [f.time - d.time for f in clip(times, {1: p}) for d in smoother.push(f)]
    assert max(late) == pytest.approx(0.4)


@pytest.mark.parametrize("kind", KINDS)
def test_no_smoothing_is_the_probabilities_themselves(kind):
    p = noise(20)
    np.testing.assert_allclose(values(run(kind(0), clip(np.arange(20) / 25, {1: p}))), p, atol=9 * FLOOR)


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
def test_faces_do_not_touch_each_other(kind):
    times, p = np.arange(40) / 25, noise(40)
    alone = values(run(kind(0.3), clip(times, {1: p})))
    together = values(run(kind(0.3), clip(times, {2: noise(40, 5), 1: p})))
    np.testing.assert_array_equal(alone, together)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("away", "joined"), [(10, True), (20, False)])  # frames at 25 a second: 0.4 s, 0.8 s
def test_a_long_gap_is_not_smoothed_across(kind, away, joined):
    p = noise(100)
    p[40 : 40 + away] = np.nan
    times = np.arange(100) / 25
    whole = values(run(kind(1.0), clip(times, {1: p})))
    parts = np.concatenate(
        [
            values(run(kind(1.0), clip(times[part], {1: p[part]})))
            for part in (slice(40), slice(40 + away, 100))
        ]
    )
    assert np.array_equal(whole, parts) != joined


@pytest.mark.parametrize("kind", KINDS)
def test_memory_is_bounded_however_long_the_clip(kind):
    smoother = kind(0.4)
    held = 0
    for i in range(3000):
        faces = (face(noise(1, i)[0], 1), face(noise(1, i)[0], 2 + i // 5))  # a new face every fifth frame
        for _ in smoother.push(Frame("a", i, i / 25, faces)):
            pass
        held = max(held, len(smoother._tracks), len(getattr(smoother, "_held", ())))
        for samples in smoother._tracks.values():
            held = max(held, len(samples) if isinstance(smoother, TwoSided) else 0)
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
    got = values(run(TwoSided(0.2), clip(np.arange(21) / 25, {1: p})))
    assert got[8].argmax() == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [{"seconds": -1}, {"seconds": math.nan}, {"gap": -0.1}])
def test_lengths_that_make_no_sense_are_refused(kind, bad):
    with pytest.raises(ConfigError, match="expected"):
        kind(**bad)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_pushed_is_taken_even_if_nobody_looks(kind):
    frames = clip(np.arange(10) / 25, {1: noise(10)})
    smoother = kind(10.0)
    smoother.push(frames[0])
    last = [*smoother.push(frames[1]), *smoother.flush()][-1]
    assert not np.allclose(last.faces[0].smoothed, frames[1].faces[0].probabilities)
