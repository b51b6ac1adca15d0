"""The same number for the same person through a clip: where a face should be, and what it looks like.

Greedy matching, best pair first, of faces to tracks by place, size and look. The numbers below were
chosen by `benchmarks/tracks.py --half tune`, and an optimal assignment instead of the greedy one did not pay.
`docs/tracking.md` says what was tried, what was measured and what this cannot do.

Legend: H rows, W columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np

from mien.types import Face, Floats, Image
from mien.video.appearance import look
from mien.video.cut import CutDetector
from mien.video.signature import listed, unlisted

_REACH: Final = 0.8  # sides of a face: how far from where it should be it may come, ...
_SPREAD: Final = 2.0  # ... and by how much more for each second without it
_GROWTH: Final = 1.7  # times by which a face may be larger or smaller than it was
_TRUSTED: Final = 0.5  # seconds for which a velocity is trusted, and over which the reach spreads
_LOOK: Final = 1.0  # what one whole difference in looks weighs, in sides of a face
_LEARN: Final = 0.1  # how quickly a track's look follows its face
_LOST: Final = 0.15  # seconds, and 1.5 frames, without a face before it may have left the picture
_INSIDE: Final = 0.2  # sides of a face: nearer to the edge the middle of a lost face is not expected


@dataclass(slots=True)
class _Track:
    number: int
    x: float  # centre, pixels
    y: float
    side: float  # sqrt(width * height), pixels
    seen: float  # time of the last face, seconds
    look: Floats | None
    vx: float = 0.0  # pixels a second, smoothed
    vy: float = 0.0
    looks: int = 1  # faces so far

    def ahead(self, time: float) -> tuple[float, float]:
        """Where it should be if it goes on as it did."""
        gap = min(max(time - self.seen, 0.0), _TRUSTED)
        return self.x + self.vx * gap, self.y + self.vy * gap

    def follow(self, face: Face, seen: Floats | None, time: float) -> None:
        """Move to a face."""
        x, y, side = _place(face)
        gap = time - self.seen
        if gap > 0:
            self.vx += 0.5 * ((x - self.x) / gap - self.vx)
            self.vy += 0.5 * ((y - self.y) / gap - self.vy)
        self.x, self.y, self.side, self.seen = x, y, side, time
        self.looks += 1
        if seen is not None:
            self.look = seen if self.look is None else _blend(self.look, seen, max(_LEARN, 1 / self.looks))


class Tracker:
    """Gives faces their track numbers, frame after frame; one tracker a clip.

    A face lost for up to `memory` seconds keeps its number. Where frames come further apart than that
    (a clip sampled at one frame a second), the memory reaches two frames back. A copy made by
    `copy.deepcopy` goes on by itself.
    """

    def __init__(self, *, memory: float = 2.0) -> None:
        self._memory = memory  # seconds
        self._tracks: list[_Track] = []
        self._last = 0  # highest number given; numbers are never used again
        self._time: float | None = None
        self._cuts = CutDetector()

    def state(self) -> dict[str, Any]:
        """All that it knows, as JSON can hold it to the last bit; `restored` takes it back."""
        return {
            "memory": self._memory,
            "last": self._last,
            "time": self._time,
            "tracks": [asdict(track) | {"look": listed(track.look)} for track in self._tracks],
            "cuts": self._cuts.state(),
        }

    @classmethod
    def restored(cls, state: dict[str, Any]) -> Tracker:
        """The tracker whose `state` it was."""
        tracker = cls(memory=state["memory"])
        tracker._last, tracker._time = state["last"], state["time"]
        tracker._tracks = [_Track(**{**track, "look": unlisted(track["look"])}) for track in state["tracks"]]
        tracker._cuts = CutDetector.restored(state["cuts"])
        return tracker

    def update(self, faces: Sequence[Face], time: float, pixels: Image | None = None) -> list[Face]:
        """The same faces in the same order, each with its track number (from 1).

        Args:
            faces: those of one frame, in pixels of it.
            time: of the frame, in seconds.
            pixels: the (H, W, 3) RGB uint8 frame; without it looks do not count, and cuts are not seen.
        """
        step = 0.0 if self._time is None else abs(time - self._time)
        self._time = time
        if pixels is not None and self._cuts.starts(pixels):
            self._tracks = []
        self._forget(time, step, pixels)
        looks = [None if pixels is None else look(pixels, face) for face in faces]
        matched = self._match(faces, looks, time)
        return [
            replace(face, track=self._number(matched.get(i), face, looks[i], time))
            for i, face in enumerate(faces)
        ]

    def _forget(self, time: float, step: float, pixels: Image | None) -> None:
        """Drop the tracks that were lost too long ago, or on their way out of the picture."""
        keep = max(self._memory, 2.5 * step)
        lost = max(_LOST, 1.5 * step)
        self._tracks = [
            track
            for track in self._tracks
            if (gap := abs(time - track.seen)) <= keep
            and (gap <= lost or pixels is None or _inside(track, time, pixels))
        ]

    def _match(self, faces: Sequence[Face], looks: Sequence[Floats | None], time: float) -> dict[int, _Track]:
        """The best pairs first, each face and each track once: face index to track."""
        pairs = sorted(
            (cost, track.number, i)
            for i, face in enumerate(faces)
            for track in self._tracks
            if (cost := _cost(track, face, looks[i], time)) is not None
        )
        matched: dict[int, int] = {}
        for _, number, i in pairs:
            if i not in matched and number not in matched.values():
                matched[i] = number
        by_number = {track.number: track for track in self._tracks}
        return {i: by_number[number] for i, number in matched.items()}

    def _number(self, track: _Track | None, face: Face, seen: Floats | None, time: float) -> int:
        """Move the track to the face, or start a new one; gives its number."""
        if track is not None:
            track.follow(face, seen, time)
            return track.number
        self._last += 1
        self._tracks.append(_Track(self._last, *_place(face), time, seen))
        return self._last


def _place(face: Face) -> tuple[float, float, float]:
    """Centre and side of a face's box, pixels."""
    x, y, width, height = face.box
    return x + width / 2, y + height / 2, math.sqrt(max(width * height, 1e-6))


def _inside(track: _Track, time: float, pixels: Image) -> bool:
    """Whether a track should still be in the picture."""
    rows, columns = pixels.shape[:2]
    x, y = track.ahead(time)
    edge = _INSIDE * track.side
    return bool(edge <= x <= columns - edge and edge <= y <= rows - edge)


def _blend(before: Floats, now: Floats, rate: float) -> Floats:
    """A look between two, of length 1 as they are."""
    mixed = (1 - rate) * before + rate * now
    return (mixed / max(float(np.sqrt(mixed @ mixed)), 1e-6)).astype(np.float32)


def _cost(track: _Track, face: Face, seen: Floats | None, time: float) -> float | None:
    """How far a face is from where and what the track should be, in sides of the face; None: too far."""
    x, y, side = _place(face)
    ahead_x, ahead_y = track.ahead(time)
    ahead = math.hypot(ahead_x - x, ahead_y - y)
    still = math.hypot(track.x - x, track.y - y)  # faces stop more suddenly than they start
    away = min(ahead, still) / max(side, track.side)
    growth = abs(math.log(side / track.side))
    reach = _REACH + _SPREAD * min(max(time - track.seen, 0.0), _TRUSTED)
    if away > reach or growth > math.log(_GROWTH):
        return None
    unlike = 0.0 if seen is None or track.look is None else 1.0 - float(seen @ track.look)
    return away + growth + _LOOK * unlike
