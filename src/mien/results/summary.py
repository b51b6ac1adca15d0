"""A table summed up: for each track of each clip how long it is seen, what it shows, and its events.

A frame lasts until the next frame of the table begins, the last one of a clip as long as the one before it.
Shares and means are over the time in which a face is read; over its frames where they last no time (photos).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mien.labels import EMOTIONS
from mien.results.rows import MEANS, SHARES, SMOOTHED, TYPES, Row
from mien.types import Face, Frame
from mien.video.events import EXPRESSIONS, Event, EventFinder

#: Columns of the summary, in their order, behind those by which it is made.
FIGURES: Final[tuple[str, ...]] = (
    "frames", "first", "last", "seconds", "clip_seconds", *SHARES, *MEANS,
    *(f"{what}_{emotion}" for emotion in EXPRESSIONS for what in ("events", "event_seconds")),
)  # fmt: skip
_NO_LANDMARKS: Final = np.zeros((5, 2), np.float32)


def summarize(rows: Iterable[Row], by: Sequence[str] = ("source", "track")) -> list[Row]:
    """One row for each combination of the columns `by`: these, and `FIGURES`; in the order of their coming.

    An input without a face has a row with 0 frames.

    Args:
        rows: of a table, in its order; such as `read_table` gives.
        by: columns by which rows are put together; rows may have others than those of `COLUMNS`.
    """
    summary = Summarizer(by)
    summary.add(rows)
    return summary.rows()


class Summarizer:
    """Sums up rows as they come, by the columns `by`; it holds tracks and no rows."""

    def __init__(self, by: Sequence[str] = ("source", "track")) -> None:
        self._by = by
        self._sums: dict[tuple[Any, ...], _Sums] = {}
        self._finder = EventFinder()
        # of the clip that is read
        self._frame: list[Row] = []  # the last one, whose end is not known yet
        self._tracks: dict[Any, _Sums] = {}
        self._seconds = 0.0
        self._step = 0.0  # seconds between the last two frames

    def add(self, rows: Iterable[Row]) -> None:
        """Take the next rows, those of a frame all at once."""
        for _, group in groupby(rows, lambda row: (row["source"], row["frame"], row["time"])):
            frame = list(group)
            if self._frame and frame[0]["source"] != self._frame[0]["source"]:
                self._end_clip()
            before, now = (one[0]["time"] if one else None for one in (self._frame, frame))
            if isinstance(before, float) and isinstance(now, float) and now >= before:
                self._step = now - before
            self._take_frame()
            self._frame = frame

    def rows(self) -> list[Row]:
        """The summary; ask for it once, at the end."""
        if self._frame:
            self._end_clip()
        return [sums.row() for sums in self._sums.values()]

    def _end_clip(self) -> None:
        first = self._frame[0]
        self._take_frame()
        self._add_events(self._finder.flush())
        if not self._tracks:
            self._tracks[None] = self._find(first)
        for sums in {id(sums): sums for sums in self._tracks.values()}.values():
            sums.clip_seconds += self._seconds
        self._frame, self._tracks, self._seconds, self._step = [], {}, 0.0, 0.0

    def _take_frame(self) -> None:
        """Count in the last frame, which lasts for a step."""
        if not self._frame:
            return
        source, time = str(self._frame[0]["source"]), self._frame[0]["time"]
        found = [row for row in self._frame if row["success"]]
        for row in found:
            self._tracks[row["track"]] = sums = self._find(row)
            sums.add(row, self._step)
        if isinstance(time, float):
            self._seconds += self._step
            self._add_events(self._finder.push(Frame(source, 0, time, tuple(map(_face, found)))))

    def _find(self, row: Row) -> _Sums:
        key = {name: row[name] for name in self._by}
        return self._sums.setdefault(tuple(key.values()), _Sums(key))

    def _add_events(self, events: Iterable[Event]) -> None:
        for event in events:
            figures = self._tracks[event.track].events[event.emotion]
            figures += 1, event.duration


def _no_sums() -> NDArray[np.float64]:
    return np.zeros((2, 1 + len(SHARES) + len(MEANS)))


def _no_events() -> dict[str, NDArray[np.float64]]:
    return {emotion: np.zeros(2) for emotion in EXPRESSIONS}


@dataclass(slots=True)
class _Sums:
    """What rows with the same key sum up to."""

    key: Row
    frames: int = 0
    first: float | None = None  # seconds
    last: float | None = None
    seconds: float = 0.0
    clip_seconds: float = 0.0
    #: over seconds and over frames: read at all, what it shows, uncertain, the probabilities
    sums: NDArray[np.float64] = field(default_factory=_no_sums)
    events: dict[str, NDArray[np.float64]] = field(default_factory=_no_events)  # number and seconds

    def add(self, row: Row, step: float) -> None:
        """Count in a face that is seen for `step` seconds."""
        self.frames += 1
        if isinstance(row["time"], float):
            self.seconds += step
            self.first = row["time"] if self.first is None else min(self.first, row["time"])
            self.last = max(self.last or 0.0, row["time"] + step)
        if row["emotion"] is None:
            return
        shown = [float(row["emotion"] == emotion) for emotion in EMOTIONS]
        read = np.array([1.0, *shown, row["uncertain"] or 0, *(row[e] or 0.0 for e in EMOTIONS)], np.float64)
        self.sums += np.outer((step, 1.0), read)

    def row(self) -> Row:
        """The row of the summary."""
        row: Row = {**self.key, "frames": self.frames, "first": self.first, "last": self.last}
        timed = self.first is not None or self.clip_seconds > 0  # a photo has no time
        row["seconds"], row["clip_seconds"] = (self.seconds, self.clip_seconds) if timed else (None, None)
        read, *sums = self.sums[0 if self.sums[0, 0] else 1].tolist()
        names = (*SHARES, *MEANS)
        row.update(zip(names, [one / read for one in sums] if read else [None] * len(names), strict=True))
        for emotion, (number, seconds) in self.events.items():
            row[f"events_{emotion}"] = int(number) if timed else None
            row[f"event_seconds_{emotion}"] = float(seconds) if timed else None
        return {
            name: round(value, 9) if isinstance(value, float) and TYPES[name] == "float64" else value
            for name, value in row.items()
        }


def _face(row: Row) -> Face:
    """The face of a row, as far as events need it."""

    def values(names: Sequence[str]) -> NDArray[np.float32] | None:
        return None if row[names[0]] is None else np.array([row[name] for name in names], np.float32)

    track: Any = row["track"]
    return Face(
        (0, 0, 0, 0), _NO_LANDMARKS, 0, track, probabilities=values(EMOTIONS), smoothed=values(SMOOTHED)
    )
