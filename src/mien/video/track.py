"""The same number for the same person through a clip: where a face should be, and how it looks.

Greedy matching, best pair first, of faces to tracks by place, size and appearance; a cut ends all tracks. The
numbers below were chosen by `benchmarks/tracks.py --half tune`; an optimal assignment instead of the greedy
one did not pay.

Appearance, of a face or of a whole frame, is a small gray picture, compared by correlation: brightness and
contrast do not count. It tells two people in one clip from one another; it does not tell who somebody is.

Legend: H rows, W columns of a frame; R x C cells of a gray picture, P points along a side of a cell.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from mien.faces.align import TEMPLATE, similarity
from mien.types import Face, Floats, Image

# matching
_REACH: Final = 0.8  # sides of a face: how far from where it should be it may come, ...
_REACH_PER_SECOND: Final = 2.0  # ... and by how much more for each second without it
_MAX_GROWTH: Final = 1.7  # times by which a face may be larger or smaller than it was
_VELOCITY_SECONDS: Final = 0.5  # for which a velocity is trusted, and over which the reach grows
_APPEARANCE_WEIGHT: Final = 1.0  # of one whole difference in appearance, in sides of a face
_APPEARANCE_RATE: Final = 0.1  # how quickly a track's appearance follows its face
_LOST_SECONDS: Final = 0.15  # and 1.5 frames, without a face before it may have left the picture
_EDGE: Final = 0.2  # sides of a face: the middle of a lost face is not expected nearer to the edge

# appearance
_POINTS: Final = 2  # P, which takes out noise
_ONES: Final = np.ones(_POINTS * 3, np.float32)
_FACE_CELLS: Final = (8, 8)  # R, C
_FACE_INNER: Final = 0.8  # of the crop's side: beyond is hair, hat and background
_FACE_FLAT: Final = 1.0  # gray levels of deviation below which there is nothing to compare

# cuts
_FRAME_CELLS: Final = (18, 32)  # R, C
_FRAME_FLAT: Final = 4.0  # gray levels of deviation below which a frame shows nothing: black, or a flash
#: 1 - correlation of a cut in a clip that stands still; 99 of 100 pairs of different frames have more.
_MIN_CHANGE: Final = 0.35
_USUAL_FACTOR: Final = 3.0  # times the usual change, above that
_USUAL_CHANGE: Final = 0.1  # taken for usual before any is known
_USUAL_RATE: Final = 0.2  # how quickly the usual change follows what is seen


def _signature(spots: Image, cells: tuple[int, int], *, flat: float) -> Floats | None:
    """(R * P * C * P, 3) RGB points, row by row, to (R * C,) of mean 0 and length 1; None: nothing to see."""
    rows, columns = cells
    lines = spots.reshape(rows, _POINTS, -1).sum(axis=1, dtype=np.float32)  # (R, C * P * 3)
    means = lines.reshape(rows * columns, -1) @ _ONES  # (R * C,) sums of whole numbers, so exact
    means -= means.mean()
    length = float(np.sqrt(means @ means))
    return means / length if length > flat * 3 * _POINTS**2 * np.sqrt(means.size) else None


def _face_points() -> Floats:
    """(R * P * C * P, 3) x, y and 1: where a face is sampled, in units of a crop's side."""
    count = _FACE_CELLS[0] * _POINTS
    side = ((np.arange(count) + 0.5) / count - 0.5) * _FACE_INNER + 0.5
    x, y = np.meshgrid(side, side)
    return np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3).astype(np.float32)


_FACE_POINTS: Final = _face_points()
_TEMPLATE: Final = np.array(TEMPLATE)


def appearance(pixels: Image, face: Face) -> Floats | None:
    """A face in (H, W, 3) RGB, upright: (R * C,) of length 1 and mean 0; None: too little is seen."""
    matrix = similarity(_TEMPLATE, face.landmarks)
    spots = (_FACE_POINTS @ matrix.T).astype(np.int32)  # (points, 2)
    rows, columns = pixels.shape[:2]
    x, y = spots[:, 0].clip(0, columns - 1), spots[:, 1].clip(0, rows - 1)
    return _signature(pixels[y, x], _FACE_CELLS, flat=_FACE_FLAT)


@dataclass(slots=True, eq=False)
class CutDetector:
    """Tells, frame after frame, whether a new camera shot begins; one detector per clip.

    What counts as a cut follows how much the clip has changed of late, so that a camera that swings, or
    frames a second apart, do not pass for cuts. A dissolve is not one either: it has no frame to end on.
    """

    last: Floats | None = None  # (R * C,) the last frame that was not flat
    usual: float = _USUAL_CHANGE

    def starts(self, pixels: Image) -> bool:
        """Whether the (H, W, 3) RGB frame begins another camera shot than the one before; never the first."""
        rows, columns = pixels.shape[:2]
        down, across = _FRAME_CELLS[0] * _POINTS, _FRAME_CELLS[1] * _POINTS
        y = (np.arange(down) + 0.5) * rows / down
        x = (np.arange(across) + 0.5) * columns / across
        spots = pixels[y.astype(np.intp)[:, None], x.astype(np.intp)]  # (R * P, C * P, 3)
        frame = _signature(spots.reshape(-1, 3), _FRAME_CELLS, flat=_FRAME_FLAT)
        if frame is None:
            return False
        before, self.last = self.last, frame
        if before is None:
            return False
        change = 1.0 - float(frame @ before)
        if change > _MIN_CHANGE + _USUAL_FACTOR * self.usual:
            self.usual = _USUAL_CHANGE
            return True
        self.usual += _USUAL_RATE * (change - self.usual)
        return False


@dataclass(slots=True, eq=False)
class _Track:
    number: int
    x: float  # centre, pixels
    y: float
    side: float  # sqrt(width * height), pixels
    seen: float  # time of the last face, seconds
    appearance: Floats | None
    vx: float = 0.0  # pixels a second, smoothed
    vy: float = 0.0
    faces: int = 1  # so far

    def expected(self, time: float) -> tuple[float, float]:
        """Where its centre should be if it moves on at the same velocity."""
        gap = min(max(time - self.seen, 0.0), _VELOCITY_SECONDS)
        return self.x + self.vx * gap, self.y + self.vy * gap

    def follow(self, face: Face, seen: Floats | None, time: float) -> None:
        """Move to a face of this appearance."""
        x, y, side = _place(face)
        gap = time - self.seen
        if gap > 0:
            self.vx += 0.5 * ((x - self.x) / gap - self.vx)
            self.vy += 0.5 * ((y - self.y) / gap - self.vy)
        self.x, self.y, self.side, self.seen = x, y, side, time
        self.faces += 1
        if seen is not None and self.appearance is not None:
            rate = max(_APPEARANCE_RATE, 1 / self.faces)
            mixed = (1 - rate) * self.appearance + rate * seen
            seen = (mixed / max(float(np.sqrt(mixed @ mixed)), 1e-6)).astype(np.float32)  # of length 1 again
        self.appearance = self.appearance if seen is None else seen

    def cost(self, face: Face, seen: Floats | None, time: float) -> float | None:
        """How far a face is from where and what the track should be, in sides of the face; None: too far."""
        x, y, side = _place(face)
        expected_x, expected_y = self.expected(time)
        moved = math.hypot(expected_x - x, expected_y - y)
        still = math.hypot(self.x - x, self.y - y)  # faces stop more suddenly than they start
        away = min(moved, still) / max(side, self.side)
        growth = abs(math.log(side / self.side))
        reach = _REACH + _REACH_PER_SECOND * min(max(time - self.seen, 0.0), _VELOCITY_SECONDS)
        if away > reach or growth > math.log(_MAX_GROWTH):
            return None
        unlike = 0.0 if seen is None or self.appearance is None else 1.0 - float(seen @ self.appearance)
        return away + growth + _APPEARANCE_WEIGHT * unlike

    def is_inside(self, time: float, pixels: Image) -> bool:
        """Whether it should still be in the picture."""
        rows, columns = pixels.shape[:2]
        x, y = self.expected(time)
        edge = _EDGE * self.side
        return bool(edge <= x <= columns - edge and edge <= y <= rows - edge)


@dataclass(slots=True, eq=False)
class Tracker:
    """Gives faces their track numbers, frame after frame; one tracker per clip.

    A face lost for up to `memory` seconds keeps its number. Where frames come further apart than that
    (a clip sampled at one frame a second), the memory reaches two frames back. A copy made by
    `copy.deepcopy`, or of its fields by way of JSON (`config.to_plain`), goes on by itself, to the last bit.
    """

    memory: float = 2.0  # seconds
    last: int = 0  # highest number given; numbers are never used again
    time: float | None = None  # of the last frame, seconds
    tracks: list[_Track] = field(default_factory=list)
    cuts: CutDetector = field(default_factory=CutDetector)

    def finds_cut(self, frames: Iterable[Image]) -> bool:
        """Whether a new camera shot begins in one of the frames that follow; the tracker stays as it is."""
        cuts = copy.deepcopy(self.cuts)
        return any(cuts.starts(pixels) for pixels in frames)

    def update(self, faces: Sequence[Face], time: float, pixels: Image | None = None) -> list[Face]:
        """The same faces in the same order, each with its track number (from 1).

        They are those of one frame, at a time in seconds, in its (H, W, 3) RGB uint8 pixels; without these
        appearance and cuts do not count.
        """
        step = 0.0 if self.time is None else abs(time - self.time)
        self.time = time
        if pixels is not None and self.cuts.starts(pixels):
            self.tracks = []
        self._forget(time, step, pixels)
        seen = [None if pixels is None else appearance(pixels, face) for face in faces]
        matched = self._match(faces, seen, time)
        numbered = []
        for i, face in enumerate(faces):
            if (track := matched.get(i)) is not None:
                track.follow(face, seen[i], time)
            else:
                self.last += 1
                track = _Track(self.last, *_place(face), time, seen[i])
                self.tracks.append(track)
            numbered.append(replace(face, track=track.number))
        return numbered

    def _forget(self, time: float, step: float, pixels: Image | None) -> None:
        """Drop the tracks that were lost too long ago, or on their way out of the picture."""
        keep = max(self.memory, 2.5 * step)
        lost = max(_LOST_SECONDS, 1.5 * step)
        self.tracks = [
            track
            for track in self.tracks
            if (gap := abs(time - track.seen)) <= keep
            and (gap <= lost or pixels is None or track.is_inside(time, pixels))
        ]

    def _match(self, faces: Sequence[Face], seen: Sequence[Floats | None], time: float) -> dict[int, _Track]:
        """The best pairs first, each face and each track once: face index to track."""
        pairs = sorted(
            (cost, track.number, i)
            for i, face in enumerate(faces)
            for track in self.tracks
            if (cost := track.cost(face, seen[i], time)) is not None
        )
        matched: dict[int, int] = {}
        for _, number, i in pairs:
            if i not in matched and number not in matched.values():
                matched[i] = number
        by_number = {track.number: track for track in self.tracks}
        return {i: by_number[number] for i, number in matched.items()}


def _place(face: Face) -> tuple[float, float, float]:
    """Centre and side of a face's box, pixels."""
    x, y, width, height = face.box
    return x + width / 2, y + height / 2, math.sqrt(max(width * height, 1e-6))
