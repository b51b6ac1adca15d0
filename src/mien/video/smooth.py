"""Probabilities made steady over time, each face along its track, in seconds rather than frames.

Both kinds average calibrated log probabilities with weights that fall with the distance in time, and
renormalise: the logarithmic opinion pool (Genest and Zidek, "Combining Probability Distributions",
Statistical Science 1(1), 1986).
`benchmarks/results/smoothing.md` has the formulas, and what each kind and length buys.

Legend: K = 8 emotions, T samples of a track within the kernel's reach.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from mien.errors import ConfigError
from mien.types import Face, Floats, Frame

#: Seconds that weigh steadiness against delay best on made clips (`benchmarks/smoothing.py`).
CAUSAL: Final = 0.1
TWO_SIDED: Final = 0.2
GAP: Final = 0.5  # seconds without the face over which nothing is averaged: the tracker's memory
_TOLERANCE: Final = 1e-9  # seconds: sums of time stamps are not exact
FLOOR: Final = 1e-6  # a lower probability counts as this: else one frame would veto all others

Doubles = NDArray[np.float64]
Sample = tuple[float, Doubles]  # seconds, and (K,) log probabilities


class Smoother(Protocol):
    """Takes the frames of a clip and gives the same frames in the same order, their faces `smoothed`."""

    def push(self, frame: Frame) -> list[Frame]:
        """Take the next frame; gives those that are done."""

    def flush(self) -> list[Frame]:
        """The frames still held; afterwards the smoother is as new."""


def make_smoother(seconds: float | None = None, *, live: bool) -> Smoother:
    """The smoother for a camera or stream (`live`) or for a clip; None: over its usual time.

    Raises:
        ConfigError: a number below 0.
    """
    if live:
        return Causal(CAUSAL if seconds is None else seconds)
    return TwoSided(TWO_SIDED if seconds is None else seconds)


def smooth_frames(frames: Iterable[Frame], smoother: Smoother) -> Iterator[Frame]:
    """The frames smoothed, in order; when reading them fails, first those that the smoother still holds."""
    try:
        for frame in frames:
            yield from smoother.push(frame)
    except Exception:  # of a clip that breaks off, or of whatever gives the pictures
        yield from smoother.flush()
        raise
    yield from smoother.flush()


class Causal:
    """For cameras and streams: an exponential mean of the past; frames are not delayed.

    >>> smoother = Causal(0.2)
    >>> [frame.index for frame in smoother.push(Frame("camera", 3, 0.12, ()))]
    [3]

    Args:
        seconds: the time constant: what was seen so long ago weighs 1/e; 0 smooths nothing.
    """

    def __init__(self, seconds: float = CAUSAL) -> None:
        self._seconds = _checked(seconds)
        self._clock = _Clock()
        self._tracks: dict[int, _Past] = {}

    def push(self, frame: Frame) -> list[Frame]:
        """The frame itself, its faces smoothed."""
        if self._clock.breaks(frame):
            self._tracks.clear()
        if (time := frame.time) is None:
            return [frame]
        self._tracks = {n: past for n, past in self._tracks.items() if time - past.time <= GAP}

        def mean(track: int, logs: Doubles) -> Doubles:
            past = self._tracks.setdefault(track, _Past(logs, time))
            past.take(logs, time, self._seconds)
            return past.mean

        return [_smoothed(frame, mean)]

    def flush(self) -> list[Frame]:
        """Nothing is held."""
        self._tracks.clear()
        return []


class TwoSided:
    """For clips: a mean over past and future alike; each frame comes `seconds` later.

    It holds the frames and samples of twice `seconds`, however long the clip is.

    Args:
        seconds: how far it looks to either side, half of the kernel's width; 0 smooths nothing.
    """

    def __init__(self, seconds: float = TWO_SIDED) -> None:
        self._seconds = _checked(seconds)
        self._clock = _Clock()
        self._held: deque[Frame] = deque()
        self._tracks: dict[int, deque[Sample]] = {}

    def push(self, frame: Frame) -> list[Frame]:
        """The frames whose whole reach has been seen, oldest first."""
        done = self.flush() if self._clock.breaks(frame) else []
        self._held.append(frame)
        if frame.time is not None:
            for face in frame.faces:
                if face.track is not None and face.probabilities is not None:
                    sample = frame.time, _logs(face.probabilities)
                    self._tracks.setdefault(face.track, deque()).append(sample)
        while self._held and self._is_complete(self._held[0].time):
            done.append(self._release())
        return done

    def flush(self) -> list[Frame]:
        """The frames still held, with what is known of their future."""
        done = [self._release() for _ in range(len(self._held))]
        self._tracks.clear()
        return done

    def _is_complete(self, time: float | None) -> bool:
        now = self._clock.time
        return time is None or now is None or time <= now - self._seconds + _TOLERANCE

    def _release(self) -> Frame:
        frame = self._held.popleft()
        if (time := frame.time) is None:
            return frame
        # drop samples that no frame to come can reach
        for track, samples in list(self._tracks.items()):
            while samples and samples[0][0] < time - self._seconds:
                samples.popleft()
            if not samples:
                del self._tracks[track]
        return _smoothed(frame, lambda track, logs: self._mean(track, time, logs))

    def _mean(self, track: int, time: float, logs: Doubles) -> Doubles:
        near = [s for s in self._tracks[track] if abs(s[0] - time) < self._seconds]
        near = _without_gaps(near, time)
        if len(near) < 2:
            return logs
        times = np.array([t for t, _ in near])  # (T,)
        # the Hann kernel, 1 at distance 0 and 0 at `seconds` (Harris, Proc. IEEE 66(1), 1978)
        kernel = (1 + np.cos(np.pi * ((times - time) / self._seconds))) / 2
        weights = kernel * durations(times)  # (T,)
        result: Doubles = weights @ np.stack([values for _, values in near]) / weights.sum()  # (K,)
        return result


def durations(times: Doubles) -> Doubles:
    """(T,) ascending seconds to the time that each sample stands for: half the way to either neighbour.

    The first and the last stand for as much on their open side. So frames that come twice as often
    weigh half as much each (Gasser and Mueller, Lecture Notes in Mathematics 757, 1979).

    >>> durations(np.array([0.0, 1.0, 4.0])).tolist()
    [1.0, 2.0, 3.0]
    """
    steps = np.diff(times)
    if not steps.any():  # time stands still
        return np.ones_like(times)
    around = np.concatenate([steps[:1], steps, steps[-1:]])  # (T + 1,)
    result: Doubles = (around[:-1] + around[1:]) / 2
    return result


@dataclass(slots=True)
class _Past:
    """The exponential mean of a track so far."""

    mean: Doubles  # (K,) log probabilities
    time: float  # of the last sample, seconds
    weight: float | None = None  # of all samples so far, towards 1; None: of one, that lasts like the next

    def take(self, logs: Doubles, time: float, seconds: float) -> None:
        """One sample more, which stands for the time since the last."""
        step = time - self.time
        if step <= 0:
            return  # the first one, or a second face of the frame with that number: it stands for no time
        old = math.exp(-step / seconds) if seconds > 0 else 0.0
        new = 1 - old
        self.weight = old * (new if self.weight is None else self.weight) + new
        self.mean = self.mean + (logs - self.mean) * (new / self.weight)
        self.time = time


@dataclass(slots=True)
class _Clock:
    """Knows where one clip ends and another begins."""

    source: str | None = None
    time: float | None = None  # of the last frame that has one, seconds

    def breaks(self, frame: Frame) -> bool:
        """Whether the frame belongs to another clip, or its time goes back; takes its time."""
        other = frame.source != self.source
        back = frame.time is not None and self.time is not None and frame.time < self.time
        self.source = frame.source
        if frame.time is not None or other:
            self.time = frame.time
        return other or back


def _smoothed(frame: Frame, mean: Callable[[int, Doubles], Doubles]) -> Frame:
    """The frame with the smoothed probabilities of each face that has a track and probabilities."""

    def one(face: Face) -> Face:
        if face.track is None or face.probabilities is None:
            return face
        logs = mean(face.track, _logs(face.probabilities))  # (K,)
        raised = np.exp(logs - logs.max())
        return replace(face, smoothed=(raised / raised.sum()).astype(np.float32))

    return replace(frame, faces=tuple(one(face) for face in frame.faces))


def _logs(probabilities: Floats) -> Doubles:
    result: Doubles = np.log(np.maximum(probabilities.astype(np.float64), FLOOR))
    return result


def _without_gaps(samples: list[Sample], time: float) -> list[Sample]:
    """The samples around `time` with no gap between them."""
    first, last = 0, len(samples)
    for i, ((before, _), (after, _)) in enumerate(pairwise(samples), 1):
        if after - before > GAP:
            if after <= time:
                first = i
            else:
                last = min(last, i)
    return samples[first:last]


def _checked(seconds: float) -> float:
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ConfigError(f"smoothing: expected seconds of 0 or more, got {seconds}")
    return seconds
