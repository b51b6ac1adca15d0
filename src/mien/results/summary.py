"""Sums up a table by clip and face, or by person and condition: what is shown, and what is missing.

A frame lasts until the next frame of the table begins, the last one of a clip as long as the one before it.
Shares and means are over the time in which a face is read; over its frames where they last no time (photos).
What is missing is the time, or the frames, of a clip in which nobody of the row's group is seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from math import floor, isnan
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mien.errors import ConfigError
from mien.labels import EMOTIONS
from mien.results.design import Design, Stretches
from mien.results.rows import BASELINE, COUNTS, MEANS, SHARES, SMOOTHED, TYPES, Row
from mien.types import Face, Frame
from mien.units import UNITS
from mien.video.events import EXPRESSIONS, Event, EventFinder

#: Columns of the summary, in their order, behind those by which it is made.
FIGURES: Final[tuple[str, ...]] = (
    *COUNTS, *SHARES, *MEANS,
    *(f"{what}_{emotion}" for emotion in EXPRESSIONS for what in ("events", "event_seconds")),
)  # fmt: skip
_BY: Final = ("source", "track")
_LONG: Final = ("share", "mean", "events", "event_seconds", "baseline", "change")
_OF_EMOTIONS: Final = frozenset(f"{name}_{emotion}" for name in _LONG for emotion in EMOTIONS)
_NO_LANDMARKS: Final = np.zeros((5, 2), np.float32)
#: A window and the design's stretches: what of a clip is summed up apart.
_Part = tuple[float | None, Stretches]
_Key = tuple[Any, ...]


def summarize(
    rows: Iterable[Row],
    by: Sequence[str] = _BY,
    *,
    design: Design | None = None,
    window: float | None = None,
    baseline: tuple[float, float] | None = None,
) -> list[Row]:
    """One row for each combination of values of the columns `by`, in the order in which they come up.

    It has these columns and `FIGURES`.

    An input without a face has a row with 0 frames, and so has a face of the design that is not found.

        rows = read_table(Path("faces.csv"))
        design = Design(Path("design.csv"))
        summarize(rows, ("person", "condition"), design=design, baseline=(0, 2))

    Args:
        rows: of a table, in its order; such as `read_table` gives.
        by: columns that tell which rows belong together: `source`, `track`, `window`, those of the design, or
            others that the rows have and that do not change along a track.
        design: what is known of the inputs.
        window: seconds; each stretch of this length gets rows of its own, counted from 0 on the common clock.
        baseline: start and end, in seconds on the common clock, of the period in which a face is at rest. Its
            frames count only for the baseline; the columns `BASELINE` follow the others. Each clip has a
            baseline of its own, for those of its faces that `by` puts together.

    Raises:
        ConfigError: `by` names a column that does not exist, a window is not above 0, or a baseline ends
            before it begins.
        DataError: the design contradicts itself.
    """
    summary = Summarizer(by, design=design, window=window, baseline=baseline)
    summary.add(rows)
    return summary.rows()


def summary_columns(by: Sequence[str], *, window: bool = False, baseline: bool = False) -> tuple[str, ...]:
    """The columns of a summary."""
    return (*by, *(["window"] if window else []), *FIGURES, *(BASELINE if baseline else ()))


def to_long(rows: Iterable[Row]) -> list[Row]:
    """A summary with a row for each expression: the column `emotion`, and the same figures for each."""
    return [
        {name: value for name, value in row.items() if name not in _OF_EMOTIONS}
        | {"emotion": emotion}
        | {name: row.get(f"{name}_{emotion}") for name in _LONG if f"{name}_{EMOTIONS[-1]}" in row}
        for row in rows
        for emotion in EMOTIONS
    ]


def to_wide(rows: Iterable[Row], column: str, by: Sequence[str]) -> list[Row]:
    """A summary with the values of one column side by side, such as `mean_fear.film` and `mean_fear.rest`.

    Args:
        rows: of the summary.
        column: its values become endings of columns; a row without a value gets `none`.
        by: the columns `by` of the summary.
    """
    listed = list(rows)
    ends = ["none" if row[column] in {None, ""} else str(row[column]) for row in listed]
    levels = list(dict.fromkeys(ends))
    kept = [name for name in by if name != column]
    figures = [name for name in (listed[0] if listed else {}) if name not in by]
    wide: dict[_Key, Row] = {}
    for row, end in zip(listed, ends, strict=True):
        key = {name: row[name] for name in kept}
        empty = {f"{figure}.{level}": None for level in levels for figure in figures}
        found = wide.setdefault(tuple(key.values()), key | empty)
        found.update({f"{figure}.{end}": row[figure] for figure in figures})
    return list(wide.values())


class Summarizer:
    """Sums up rows as they come, as `summarize` does; it keeps sums for each face, and no rows."""

    def __init__(
        self,
        by: Sequence[str] = _BY,
        *,
        design: Design | None = None,
        window: float | None = None,
        baseline: tuple[float, float] | None = None,
    ) -> None:
        if window is not None and not window > 0:
            raise ConfigError(f"window: expected a number of seconds above 0, got {window}")
        if baseline is not None and not baseline[0] < baseline[1]:
            raise ConfigError(
                f"baseline: expected a start before the end, got {baseline[0]} to {baseline[1]}"
            )
        self._by, self._design = by, design or Design()
        self._window, self._baseline = window, baseline
        self._sums: dict[_Key, _Sums] = {}
        self._order: dict[_Key, int] = {}  # of the groups, windows left aside
        self._finder = EventFinder()
        # of the clip that is read
        self._frame: list[Row] = []  # the last one, whose end is not known yet
        self._tracks: dict[Any, Row] = {}  # a row of each
        self._groups: dict[tuple[Any, _Part], _Sums] = {}  # of each track in each part
        self._parts: dict[_Part, NDArray[np.float64]] = {}  # seconds and frames of each
        self._rest: dict[_Key, NDArray[np.float64]] = {}  # of each face, what the baseline is the mean of
        self._read: dict[tuple[_Key, _Key], NDArray[np.float64]] = {}  # ... and the rest, by group
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
        ordered = sorted(self._sums.values(), key=lambda one: (one.order, one.key.get("window") or 0))
        return [one.row(with_baseline=self._baseline is not None) for one in ordered]

    def _end_clip(self) -> None:
        first = self._frame[0]
        self._take_frame()
        self._add_events(self._finder.flush())
        for track in self._design.tracks(str(first["source"])):  # those that were not found
            self._tracks.setdefault(track, first | {"track": track})
        rows = list(self._tracks.values()) or [first | {"track": None}]
        parts = self._parts or {self._find_part(first): np.zeros(2)}
        for part, length in parts.items():
            groups = [self._find(row, part) for row in rows]
            for group in {id(one): one for one in groups}.values():
                group.clip += length
        for (face, key), read in self._read.items():
            rest = self._rest.get(face, np.zeros(read.shape))
            with np.errstate(invalid="ignore", divide="ignore"):
                level = rest[:, 1:] / rest[:, :1]  # (2, 8) mean probabilities, over seconds and over frames
            if rest[1, 0]:
                level[0] = level[0] if rest[0, 0] else level[1]
                self._sums[key].changed += np.hstack([read[:, :1], level * read[:, :1], read[:, 1:]])
                self._sums[key].baselines[face, str(first["source"])] = float(rest[0, 0])
        self._frame, self._tracks, self._parts, self._step = [], {}, {}, 0.0
        self._groups, self._rest, self._read = {}, {}, {}

    def _take_frame(self) -> None:
        """Count in the last frame, which lasts for a step."""
        if not self._frame:
            return
        first = self._frame[0]
        found = [row for row in self._frame if row["success"]]
        if first["time"] is None and not found and self._parts and not first["frame"]:
            return  # it says that the clip broke off
        for row in found:
            self._tracks.setdefault(row["track"], row)
        if isinstance(first["time"], float):
            frame = Frame(str(first["source"]), 0, first["time"], tuple(map(read_face, found)))
            self._add_events(self._finder.push(frame))
        at = self._clock(first)
        if self._is_rest(at):
            for row in found:
                self._weigh(self._rest, self._face_key(row), row)
            return
        part = self._find_part(first)
        self._parts.setdefault(part, np.zeros(2))[:] += self._step, 1
        groups: dict[int, _Sums] = {}
        for row in found:
            sums = self._find(row, part)
            groups[id(sums)] = sums
            sums.add(row, at, self._step)
            if self._baseline is not None and at is not None:
                self._weigh(self._read, (self._face_key(row), tuple(sums.key.values())), row)
        for sums in groups.values():
            sums.seen += self._step, 1

    def _clock(self, row: Row) -> float | None:
        """The time of a frame on the common clock."""
        time = row["time"]
        return self._at(str(row["source"]), time) if isinstance(time, float) else None

    def _at(self, source: str, time: float) -> float:
        """A time of a clip on the common clock, to the nanosecond: sums of time stamps are not exact."""
        return round(time + self._design.offset(source), 9)

    def _is_rest(self, at: float | None) -> bool:
        return at is not None and self._baseline is not None and self._baseline[0] <= at < self._baseline[1]

    def _find_part(self, row: Row, at: float | None = None) -> _Part:
        """The part of the clip in which a frame is, or a time on the common clock."""
        at = self._clock(row) if at is None else at
        window = None
        if self._window is not None and at is not None:
            window = floor(at / self._window + 1e-9) * self._window  # 0.3 / 0.1 is less than 3
        return window, self._design.stretches(str(row["source"]), at)

    def _find(self, row: Row, part: _Part) -> _Sums:
        """The group of a face in a part of its clip."""
        if (known := self._groups.get((row["track"], part))) is not None:
            return known
        key = self._values(row, part[1])
        order = self._order.setdefault(tuple(key.values()), len(self._order))
        if self._window is not None:
            key["window"] = part[0]
        found = self._sums.setdefault(tuple(key.values()), _Sums(key, order))
        self._groups[row["track"], part] = found
        return found

    def _face_key(self, row: Row) -> _Key:
        """Whose baseline it is: what `by` puts together, whatever the time."""
        return tuple(self._values(row, ()).values())

    def _values(self, row: Row, stretches: Stretches) -> Row:
        """The cells of `by`, but for the window."""
        track: Any = row["track"]
        known = self._design.values(str(row["source"]), track, stretches)
        found: Row = {}
        for name in self._by:
            if name in row:
                found[name] = row[name]
            elif name in self._design.columns:
                found[name] = known.get(name)
            elif name != "window":
                there = ", ".join(("source", "track", *self._design.columns))
                raise ConfigError(f"by: expected columns of {there}, got {name!r}; name others")
        return found

    def _weigh(self, where: dict[Any, NDArray[np.float64]], key: Any, row: Row) -> None:
        """Add a reading: its weight and its probabilities, over seconds and over frames."""
        if row["emotion"] is not None:
            read = np.array([1.0, *(row[emotion] for emotion in EMOTIONS)], np.float64)  # nan: not known
            where.setdefault(key, np.zeros((2, 1 + len(EMOTIONS))))[:] += np.outer((self._step, 1.0), read)

    def _add_events(self, events: Iterable[Event]) -> None:
        for event in events:
            row = self._tracks[event.track]
            at = self._at(event.source, event.onset)
            if not self._is_rest(at):
                figures = self._find(row, self._find_part(row, at)).events[event.emotion]
                figures += 1, event.duration


class _Sums:
    """What rows with the same key sum up to."""

    def __init__(self, key: Row, order: int) -> None:
        self.key = key
        self.order = order  # of the summary's rows
        self.frames = 0
        self.first: float | None = None  # seconds
        self.last: float | None = None
        self.seconds = 0.0
        self.clip = np.zeros(2)  # seconds and frames there are
        self.seen = np.zeros(2)  # ... and of these with a face
        # over seconds and over frames: read at all, what it shows, uncertain, the probabilities
        self.sums = np.zeros((2, 1 + len(SHARES) + len(MEANS)))
        self.events = {emotion: np.zeros(2) for emotion in EXPRESSIONS}  # number and seconds
        # over seconds and over frames: read with a baseline, the baseline's probabilities, those read
        self.changed = np.zeros((2, 1 + 2 * len(EMOTIONS)))
        self.baselines: dict[Any, float] = {}  # seconds of each that was used

    def add(self, row: Row, at: float | None, step: float) -> None:
        """Count in a face that is seen for `step` seconds from `at` on the common clock on."""
        self.frames += 1
        if at is not None:
            self.seconds += step
            self.first = at if self.first is None else min(self.first, at)
            self.last = at + step if self.last is None else max(self.last, at + step)
        if row["emotion"] is None:
            return
        shown = [float(row["emotion"] == emotion) for emotion in EMOTIONS]
        read = np.array([1.0, *shown, row["uncertain"], *(row[e] for e in EMOTIONS)], np.float64)
        self.sums += np.outer((step, 1.0), read)

    def row(self, *, with_baseline: bool) -> Row:
        """The row of the summary."""
        timed = self.first is not None or self.clip[0] > 0  # a photo has no time
        seconds, frames = self.clip.tolist()
        unseen, missing = (self.clip - self.seen).tolist()
        doubtful = float(self.sums[0, len(SHARES)])
        row: Row = {**self.key, "frames": self.frames, "first": self.first, "last": self.last}
        row |= {"clip_frames": int(frames), "missing_frames": int(missing)}
        lengths = {"seconds": self.seconds, "clip_seconds": seconds}
        lengths |= {"missing_seconds": max(0.0, unseen), "uncertain_seconds": doubtful}
        row |= {name: value if timed and not isnan(value) else None for name, value in lengths.items()}
        row |= _means((*SHARES, *MEANS), self.sums)
        for emotion, (number, length) in self.events.items():
            row[f"events_{emotion}"] = int(number) if timed else None
            row[f"event_seconds_{emotion}"] = float(length) if timed else None
        if with_baseline:
            row["baseline_seconds"] = float(sum(self.baselines.values())) if timed else None
            row |= _means(BASELINE[1:], self.changed)
            for emotion in EMOTIONS:
                base, value = row[f"baseline_{emotion}"], row[f"change_{emotion}"]
                row[f"change_{emotion}"] = None if None in {base, value} else value - base  # type: ignore[operator]
        return {
            name: round(value, 9) if isinstance(value, float) and TYPES[name] == "float64" else value
            for name, value in row.items()
        }


def _means(names: Sequence[str], sums: NDArray[np.float64]) -> Row:
    """Means over seconds, or over frames where they last no time; `sums` begin with their weight.

    They are empty where there is nothing, or where the table does not tell all of it.
    """
    weight, *rest = sums[0 if sums[0, 0] else 1].tolist()
    means = [one / weight if weight and not isnan(one) else None for one in rest]
    return dict(zip(names, means, strict=True))


def read_face(row: Row) -> Face:
    """The face of a row, as far as events need it."""

    def values(names: Sequence[str]) -> NDArray[np.float32] | None:
        return None if row.get(names[0]) is None else np.array([row[name] for name in names], np.float32)

    track: Any = row["track"]
    return Face(
        (0, 0, 0, 0), _NO_LANDMARKS, 0, track,
        probabilities=values(EMOTIONS), smoothed=values(SMOOTHED), movements=values(UNITS),
    )  # fmt: skip
