"""What people are asked to code: the photos of a table and short stretches of its clips, and their codes.

A clip is cut into equal stretches, whatever Mien reads there: so they reveal nothing of its answer, and
together hold all the time in which a face is seen. Or its events are coded instead. `CodeBook` keeps the
codes.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mien.errors import ConfigError, DataError, OutputError
from mien.evaluate.codes import Code, read_codes, write_codes
from mien.files import WholeFile, lock
from mien.labels import EMOTIONS
from mien.results.formats.conversion import EVENT_NEEDED
from mien.results.table_reader import bad_line, open_table, parse_cell, watch_order
from mien.units import ACTION_UNITS

SECONDS: Final = 2.0  # of a stretch: long enough for an expression, too short for many
SHORTEST: Final = 0.2  # seconds; what is seen for less cannot be judged
GAP: Final = 0.5  # seconds out of sight that no stretch spans
NAME_LENGTH: Final = 60  # characters of a coder's name
_NEEDED: Final = (
    "source", "frame", "time", "face", "track", "success", "x", "y", "width", "height", "emotion",
    "confidence",
)  # fmt: skip

#: What is coded: a source, a face of it, and when, in seconds (None: a photo).
Key = tuple[str, int | None, float | None, float | None]


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """A face of a photo, or a face of a clip from `start` to `end`, with what Mien reads of it."""

    source: str  # as the table names it
    track: int | None  # of a photo the number of its face
    start: float | None  # seconds by the clip's own time; None of a photo
    end: float | None
    doubt: float  # in [0, 1]: the mean of 1 - confidence x quality
    emotion: str | None  # of an event its own, else what is shown in most frames

    @property
    def key(self) -> Key:
        """What tells it from others, also in a file of codes."""
        return (self.source, self.track, self.start, self.end)


class ReviewTable:
    """The faces of a table that `mien analyze` wrote: where and when they are seen.

    Raises:
        DataError: it cannot be read, or holds no face.
    """

    def __init__(self, path: Path, *, probabilities: bool = False) -> None:
        """Read it, with the eight probabilities if they are asked for."""
        self.path = path
        seen: dict[tuple[str, int | None], array[float]] = {}
        times: dict[str, array[float]] = {}
        table = open_table(path)
        table.require(_NEEDED, "a table that `mien analyze` wrote")
        more = EMOTIONS if probabilities else ()
        used = [name for name in (*_NEEDED, "quality", *more) if name in table.columns]
        check_order = watch_order()
        for line, record in table.records:
            try:
                row: dict[str, Any] = {name: parse_cell(name, record[name]) for name in used}
            except ValueError as error:
                raise bad_line(path, line, error) from error
            check_order(path, line, row)
            source, time = str(row["source"]), row["time"]
            if time is not None:
                clip = times.setdefault(source, array("d"))
                if not clip or clip[-1] != time:
                    clip.append(time)
            if not row["success"]:
                continue
            track = row["face"] if time is None else row["track"]
            emotion = -1 if row["emotion"] is None else EMOTIONS.index(row["emotion"])
            quality = 1.0 if row.get("quality") is None else row["quality"]
            doubt = 1 - (row["confidence"] or 0.0) * quality
            box = (row[name] for name in ("x", "y", "width", "height"))
            values = (
                np.nan if time is None else time, *box, doubt, emotion,
                *(np.nan if row[name] is None else row[name] for name in more),
            )  # fmt: skip
            seen.setdefault((source, track), array("d")).extend(values)
        if not seen:
            raise DataError(f"{path}: expected a table with faces, got one without; there is nothing to code")
        #: by source and track, (N, 7): time, x, y, width, height, doubt, index of the emotion or -1; then the
        #: probabilities
        self.seen: dict[tuple[str, int | None], NDArray[np.float64]] = {
            key: np.frombuffer(values).reshape(-1, 7 + len(more)) for key, values in seen.items()
        }
        self._times = {source: np.frombuffer(values) for source, values in times.items()}
        self.sources = list(dict.fromkeys(source for source, _ in self.seen))

    def is_clip(self, source: str) -> bool:
        """Whether a source has times."""
        return source in self._times

    def photos(self) -> list[ReviewItem]:
        """Every face of a photo."""
        return [
            self._item((*face, None, None), values)
            for face, values in self.seen.items()
            if not self.is_clip(face[0])
        ]

    def stretches(self, seconds: float = SECONDS) -> list[ReviewItem]:
        """The time in which each face of a clip is seen, cut into equal parts of about so many seconds."""
        items = []
        for (source, track), values in self.seen.items():
            if not self.is_clip(source):
                continue
            steps = np.diff(self._times[source])
            gone = np.diff(values[:, 0]) > max(GAP, 2 * float(np.median(steps)) if len(steps) else 0)
            for rows in np.split(values, np.flatnonzero(gone) + 1):  # (M, 7) while it is never out of sight
                start, end = rows[0, 0], self._end_of_frame(source, rows[-1, 0])
                if end - start < SHORTEST:
                    continue
                edges = np.linspace(start, end, max(1, round((end - start) / seconds)) + 1)
                places = np.searchsorted(rows[:, 0], edges[:-1])
                for part in np.split(rows, places[1:]):
                    if len(part):
                        last = self._end_of_frame(source, part[-1, 0])
                        items.append(self._item((source, track, part[0, 0], last), part))
        return items

    def events(self, path: Path) -> list[ReviewItem]:
        """The events of a table that `mien analyze --events` wrote, of the same clips; none of action units.

        Raises:
            DataError: it is no such table, or holds an event of a face that is not in this one.
        """
        table = open_table(path)
        table.require(EVENT_NEEDED, "a table of events")
        items = []
        for line, record in table.records:
            if record["emotion"] in ACTION_UNITS:
                continue
            try:
                row: dict[str, Any] = {name: parse_cell(name, record[name]) for name in EVENT_NEEDED}
            except ValueError as error:
                raise bad_line(path, line, error) from error
            source, track, start, end = (row[name] for name in ("source", "track", "onset", "offset"))
            values = self.seen.get((source, track))
            if values is None or start is None or end is None:
                raise DataError(
                    f"{path}, line {line}: expected an event of a face in {self.path}, got face {track} of "
                    f"{source}; give the events that were written with that table"
                )
            inside = values[(values[:, 0] >= start) & (values[:, 0] < end)]
            items.append(replace(self._item((source, track, start, end), inside), emotion=row["emotion"]))
        return items

    def boxes(self, item: ReviewItem, around: float) -> NDArray[np.float64]:
        """Time, x, y, width and height (N, 5) of an item's face, `around` seconds before and after too."""
        values = self.seen[item.source, item.track][:, :5]
        if item.start is None or item.end is None:
            return values
        time = values[:, 0]
        return values[(time >= item.start - around) & (time <= item.end + around)]

    def find_files(self, media: Path | None = None) -> dict[str, Path]:
        """The files of the sources that are there: as named, beside the table, or in the folder `media`."""
        found = {}
        for source in self.sources:
            places = [Path(source), self.path.parent / source]
            if media is not None:
                places = [media / source, media / Path(source).name, *places]
            file = next((place for place in places if place.is_file()), None)
            if file is not None:
                found[source] = file
        return found

    def _item(self, key: Key, values: NDArray[np.float64]) -> ReviewItem:
        source, track, *times = key
        start, end = (None if time is None else round(float(time), 3) for time in times)
        emotions = np.bincount(values[:, 6].astype(int) + 1, minlength=len(EMOTIONS) + 1)[1:]
        emotion = EMOTIONS[emotions.argmax()] if emotions.any() else None
        doubt = float(values[:, 5].mean()) if len(values) else 1.0
        return ReviewItem(source, track, start, end, round(doubt, 4), emotion)

    def _end_of_frame(self, source: str, time: float) -> float:
        """When the next frame begins; the last one lasts as long as the one before it."""
        times = self._times[source]
        after = int(np.searchsorted(times, time, side="right"))
        if after < len(times):
            return float(times[after])
        return float(2 * times[-1] - times[-2]) if len(times) > 1 else time


def most_doubtful_first(items: Sequence[ReviewItem]) -> list[ReviewItem]:
    """Those first of which Mien is least sure: so a person finds most of its errors soonest."""
    return sorted(items, key=lambda item: -item.doubt)


def draw_items(items: Sequence[ReviewItem], n: int, seed: int) -> list[ReviewItem]:
    """A random sample without replacement, in random order; the same for the same items and seed."""
    if n > len(items):
        raise ConfigError(f"--random: expected at most {len(items)}, as many as there are to code, got {n}")
    return random.Random(seed).sample(list(items), n)  # noqa: S311 - not a secret


class CodeBook:
    """A file of codes by several people; each change is on disk, whole, before it is said to be kept.

    No other process writes the same file until it is closed. A file that is there goes on.

    Raises:
        DataError: the file holds no codes.
        OutputError: it cannot be written, or another process does.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._codes: dict[tuple[str, Key], Code] = {}  # by coder and item, in the order of coding
        self._lock = Lock()
        with ExitStack() as held:
            if not held.enter_context(lock(path.with_name(f".{path.name}.lock"))):
                raise OutputError(
                    f"{path}: another `mien review` is writing it; open the address of that one, or name "
                    "another file"
                )
            if path.suffix.lower() != ".csv":
                raise ConfigError(f"--output: expected a name that ends in .csv, got {path}; give another")
            if path.exists():
                for code in read_codes(path):
                    self._codes[code.coder, (code.source, code.track, code.start, code.end)] = code
            WholeFile(path, overwrite=True).discard()  # a place that cannot be written to is found out now
            self._held = held.pop_all()

    def close(self) -> None:
        """Let other processes write the file."""
        self._held.close()

    def of(self, coder: str) -> list[Code]:
        """The codes of one person, first coded first."""
        with self._lock:
            return [code for (name, _), code in self._codes.items() if name == coder]

    def set(self, coder: str, item: ReviewItem, word: str | None) -> None:
        """Keep a code of a face, in place of the one that this person gave it before; None: take it back."""
        place = (coder, item.key)
        with self._lock:
            codes = dict(self._codes)
            codes.pop(place, None)
            if word is not None:
                codes[place] = Code(item.source, item.track, coder, item.start, item.end, word)
            if codes:
                write_codes(codes.values(), self.path, overwrite=True)
            else:
                self.path.unlink(missing_ok=True)  # a file without codes is none
            self._codes = codes
