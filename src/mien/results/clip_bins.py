"""The probabilities of a clip in a bounded number of steps of time, however long it becomes.

Legend: T steps, E the eight emotions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mien.labels import EMOTIONS
from mien.results.timeline import Track
from mien.types import Face, Floats, Frame

STEPS: Final = 1500  # about the pixels of a wide screen
FINEST: Final = 1 / 32  # seconds of a step at first; it doubles when there are too many
HELD: Final = 48  # faces; in a crowd those seen for the shortest time make way


@dataclass(slots=True)
class _Sums:
    """One face so far."""

    area: NDArray[np.float64] = field(
        default_factory=lambda: np.zeros((STEPS, len(EMOTIONS)))
    )  # (T, E) p * s
    seconds: NDArray[np.float64] = field(default_factory=lambda: np.zeros(STEPS))  # (T,) in sight

    def halve(self) -> None:
        """Merge the steps two by two."""
        for sums in (self.area, self.seconds):
            half = sums[0::2] + sums[1::2]
            sums[: len(half)], sums[len(half) :] = half, 0


class Bins:
    """Means of each face over steps of time; frames come one by one and are not kept.

    A frame lasts until the next one begins; a frame without a time is left out.
    """

    def __init__(self) -> None:
        self.start = 0.0  # seconds, of the first frame
        self.end = 0.0  # seconds, of the last frame
        self.step = FINEST  # seconds
        self.left_out = 0  # faces that made way
        self._tracks: dict[int, _Sums] = {}
        self._last: tuple[float, Frame] | None = None  # the last frame, which begins at so many seconds
        self._pace = 0.0  # seconds between the last two frames

    def __contains__(self, track: int) -> bool:
        return track in self._tracks

    def add(self, frame: Frame) -> None:
        """Take the next frame."""
        if frame.time is None:
            return
        if self._last is None:
            self.start = self.end = frame.time
        elif frame.time > self._last[0]:
            self._pace = frame.time - self._last[0]
            self._lay(*self._last, frame.time)
        self._last = frame.time, frame
        self._make_room(frame)

    def close(self) -> None:
        """Lay down the last frame, which lasts as long as the one before it."""
        if self._last is not None:
            self._lay(*self._last, self._last[0] + (self._pace or 1.0))
        self._last = None

    def seconds(self, track: int) -> float:
        """How long a face was in sight."""
        return float(self._tracks[track].seconds.sum())

    def tracks(self) -> list[Track]:
        """The faces, those seen longest first."""
        if self.end <= self.start:
            return []
        used = min(STEPS, math.ceil((self.end - self.start) / self.step))
        edges: NDArray[np.float64] = self.start + self.step * np.arange(used + 1.0)  # (T + 1,)
        edges[-1] = self.end
        order = sorted(self._tracks, key=self.seconds, reverse=True)
        return [
            Track(n, edges, _means(self._tracks[n], used)) for n in order if self._tracks[n].seconds.any()
        ]

    def _lay(self, time: float, frame: Frame, end: float) -> None:
        """Spread a frame that lasts from `time` until `end` over the steps that it touches."""
        self.end = end
        while end - self.start > STEPS * self.step:
            self.step *= 2
            for sums in self._tracks.values():
                sums.halve()
        low, high = (time - self.start) / self.step, (end - self.start) / self.step
        touched = np.arange(int(low), min(STEPS, math.ceil(high)))
        share = (np.minimum(high, touched + 1) - np.maximum(low, touched)) * self.step  # seconds of each
        for face in frame.faces:
            values = shown(face)
            if values is not None and face.track in self._tracks:
                self._tracks[face.track].area[touched] += np.outer(share, values)
                self._tracks[face.track].seconds[touched] += share

    def _make_room(self, frame: Frame) -> None:
        """Begin with new faces, for which faces out of sight make way."""
        here = {face.track for face in frame.faces if shown(face) is not None and face.track is not None}
        for track in sorted(here - self._tracks.keys()):
            if len(self._tracks) >= HELD:
                away = [n for n in self._tracks if n not in here]
                if not away:
                    continue  # it gets its place when another face has gone
                del self._tracks[min(away, key=self.seconds)]
                self.left_out += 1
            self._tracks[track] = _Sums()


def shown(face: Face) -> Floats | None:
    """(E,) the probabilities that a clip shows of a face: smoothed where they are."""
    return face.probabilities if face.smoothed is None else face.smoothed


def _means(sums: _Sums, used: int) -> Floats:
    """(T, E) means; NaN where the face is not in sight."""
    area, seconds = sums.area[:used], sums.seconds[:used, None]
    result: Floats = np.where(seconds > 0, area / np.where(seconds > 0, seconds, 1), np.nan).astype(
        np.float32
    )
    return result
