"""The same number for the same face through a clip: greedy matching with a short memory.

Simple on purpose: boxes only, no appearance. Two faces that cross while hidden may swap numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mien.types import Face, Image

#: A match is nearer than this share of the face's side, and no more than this many times its size.
REACH = 0.8
GROWTH = 1.7


@dataclass(slots=True)
class _Track:
    number: int
    x: float  # centre, pixels
    y: float
    side: float  # sqrt(width * height), pixels
    seen: float  # time of the last face, seconds
    vx: float = 0.0  # pixels a second, smoothed
    vy: float = 0.0


class Tracker:
    """Gives faces their track numbers, frame after frame; one tracker a clip.

    A face lost for up to `memory` seconds keeps its number. Where frames come further apart than that
    (a clip sampled at one frame a second), the memory reaches one frame back.
    """

    def __init__(self, *, memory: float = 0.5) -> None:
        self._memory = memory  # seconds
        self._tracks: list[_Track] = []
        self._last = 0  # highest number given; numbers are never used again
        self._time: float | None = None

    def update(self, faces: Sequence[Face], time: float, pixels: Image | None = None) -> list[Face]:
        """The same faces in the same order, each with its track number (from 1); `time` in seconds."""
        step = 0.0 if self._time is None else abs(time - self._time)
        keep = max(self._memory, 1.5 * step)
        self._time = time
        self._tracks = [track for track in self._tracks if abs(time - track.seen) <= keep]
        matched = self._match(faces, time)
        return [replace(face, track=self._follow(matched.get(i), face, time)) for i, face in enumerate(faces)]

    def _match(self, faces: Sequence[Face], time: float) -> dict[int, _Track]:
        """The best pairs first, each face and each track once: face index to track."""
        pairs = sorted(
            (cost, i, j)
            for i, face in enumerate(faces)
            for j, track in enumerate(self._tracks)
            if (cost := _cost(track, face, time)) is not None
        )
        matched: dict[int, _Track] = {}
        taken: set[int] = set()
        for _, i, j in pairs:
            if i not in matched and j not in taken:
                matched[i] = self._tracks[j]
                taken.add(j)
        return matched

    def _follow(self, track: _Track | None, face: Face, time: float) -> int:
        """Move the track to the face, or start a new one; gives its number."""
        x, y, side = _place(face)
        if track is None:
            self._last += 1
            self._tracks.append(_Track(self._last, x, y, side, time))
            return self._last
        gap = time - track.seen
        if gap > 0:
            track.vx += 0.5 * ((x - track.x) / gap - track.vx)
            track.vy += 0.5 * ((y - track.y) / gap - track.vy)
        track.x, track.y, track.side, track.seen = x, y, side, time
        return track.number


def _place(face: Face) -> tuple[float, float, float]:
    """Centre and side of a face's box, pixels."""
    x, y, width, height = face.box
    return x + width / 2, y + height / 2, math.sqrt(max(width * height, 1e-6))


def _cost(track: _Track, face: Face, time: float) -> float | None:
    """How far the face is from where the track should be, in face sides, plus its growth; None: too far."""
    x, y, side = _place(face)
    gap = min(max(time - track.seen, 0.0), 0.5)  # a velocity is not trusted for longer
    ahead = math.hypot(track.x + track.vx * gap - x, track.y + track.vy * gap - y)
    still = math.hypot(track.x - x, track.y - y)  # faces stop more suddenly than they start
    away = min(ahead, still) / max(side, track.side)
    growth = abs(math.log(side / track.side))
    return away + growth if away <= REACH and growth <= math.log(GROWTH) else None
