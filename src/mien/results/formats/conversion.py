"""What the formats share: the options and notes of a conversion, the rows of one clip, and its runs.

A run is a stretch of time in which a face shows the same; formats of annotation hold runs. A frame lasts
until the next frame of the table begins, the last one as long as the one before it. A clip of a single frame
is given one millisecond, the least that these formats hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, groupby, islice, product
from pathlib import Path
from typing import Final

from mien.errors import DataError, OutputError, list_few
from mien.results.rows import Row
from mien.results.table_reader import bad_line, open_table, parse_cell, parse_number, parse_whole
from mien.results.tables import printable
from mien.units import ACTION_UNITS

MAX_LISTED: Final = 20  # sources that an error lists
#: Columns of a table of events that are needed; others are left alone. Times are in seconds.
EVENT_NEEDED: Final = ("source", "track", "emotion", "onset", "offset")


@dataclass(frozen=True, slots=True)
class Conversion:
    """What is asked of one conversion, and the notes it makes on the way."""

    format: str  # name of the format to write
    ending: str  # of the name of the file to write
    source: str | None = None  # the one source to convert; its name where the file that is read has none
    events: Path | None = None  # a table of events, for tiers of their own
    min_seconds: float = 0.0  # shorter runs are joined to what they interrupt
    extra: tuple[str, ...] = ()  # of EXTRA_COLUMNS, those that the table that is read has
    notes: list[str] = field(default_factory=list)  # what was lost or left out, each once

    def note_units(self, path: Path, columns: Iterable[str]) -> None:
        """Tell that another program's action units, on scales of their own, and its gaze are left behind."""
        if any(re.match(r"AU\d\d|gaze_", column) for column in columns):
            self.note(f"{path}: its action units and gaze are not carried over, Mien estimates its own")

    def note(self, text: str) -> None:
        """Add a note, unless it was made before."""
        if text not in self.notes:
            self.notes.append(text)


# --- the rows of one source, of one clip


def choose_source(rows: Iterable[Row], source: str | None) -> Iterator[Row]:
    """The rows of `source`; None: all of them.

    Raises:
        DataError: there are none.
    """
    others: dict[str, None] = {}
    found = False
    for row in rows:
        if source in {None, row["source"]}:
            found = True
            yield row
        else:
            others[str(row["source"])] = None
    if not found and source is None:
        raise DataError("expected a table with rows, got one without; analyse something first")
    if not found:
        raise DataError(f"expected a source of the table with --source, got {source!r}; {_listed(others)}")


def check_one_clip(rows: Iterable[Row], conversion: Conversion) -> Iterator[Row]:
    """The same rows, if they are of one clip; a clip that could be read in part ends where it broke off.

    Raises:
        OutputError: several sources, listed, or no times (photos).
    """
    every = iter(rows)
    name: str | None = None
    for row in every:
        source = str(row["source"])
        if name is not None and source != name:
            raise _several_sources([name, source], every, conversion.format)
        if row["time"] is not None:
            name = source
            yield row
        elif name is not None and not row["success"]:
            conversion.note(f"{name}: the clip broke off while it was analysed; the rest is missing")
        else:
            raise _several_sources([source], every, conversion.format)


def with_source(rows: Iterable[Row]) -> tuple[str, Iterator[Row]]:
    """The source of the rows of one clip, and the same rows."""
    every = iter(rows)
    first = list(islice(every, 1))
    return str(first[0]["source"]) if first else "", chain(first, every)


def _several_sources(seen: list[str], rest: Iterable[Row], format_name: str) -> OutputError:
    """The error about rows that are not of one clip: several sources, or the only one has no times."""
    sources = dict.fromkeys([*seen, *(str(row["source"]) for row in rest)])
    if len(sources) > 1:
        return OutputError(
            f"expected one clip for {format_name}, got {len(sources)} sources; choose with --source: "
            f"{_listed(sources)}"
        )
    return OutputError(
        f"expected a clip with times for {format_name}, got {seen[0]!r}, which has none (a photo, or an "
        "input that could not be read); photos fit mien and pyfeat"
    )


def _listed(sources: dict[str, None]) -> str:
    return "it has " + list_few([repr(name) for name in sources], MAX_LISTED)


# --- runs


@dataclass(frozen=True, slots=True)
class FaceRun:
    """One value on one face from `start` to `end`."""

    start: int  # milliseconds
    end: int  # milliseconds
    track: int  # -1 for a face without a track
    value: str

    @property
    def face(self) -> str:
        """The name of the face: "face 2", or "face" without a track."""
        return "face" if self.track < 0 else f"face {self.track}"

    @property
    def text(self) -> str:
        """The words of a subtitle."""
        return f"{self.face}: {self.value}"


def shown_emotion(row: Row) -> str | None:
    """The expression that a row shows."""
    return None if row["emotion"] is None else str(row["emotion"])


def certainty(row: Row) -> str | None:
    """Whether the reading of a row is certain, where that is known."""
    if row["uncertain"] is None:
        return None
    return "uncertain" if row["uncertain"] else "certain"


def find_runs(rows: Iterable[Row], *values: Callable[[Row], str | None]) -> list[list[FaceRun]]:
    """The runs of what each of `values` says of a row (None: nothing), in one pass over a clip.

    Raises:
        OutputError: times below 0 or that run backwards, or two faces of a frame on one track.
    """
    found: list[dict[int, list[FaceRun]]] = [{} for _ in values]  # by track
    for start, end, faces in _frames(rows):
        for (track, row), (value, runs) in product(faces.items(), zip(values, found, strict=True)):
            shown = value(row)
            if shown is None or end == start:  # frames at one time stamp show nothing for any time
                continue
            mine = runs.setdefault(track, [])
            if mine and (mine[-1].end, mine[-1].value) == (start, shown):
                mine[-1] = replace(mine[-1], end=end)
            else:
                mine.append(FaceRun(start, end, track, shown))
    return [in_order(chain.from_iterable(runs.values())) for runs in found]


def join_short_runs(runs: Iterable[FaceRun], min_seconds: float) -> list[FaceRun]:
    """The runs, those shorter than `min_seconds` joined to the ones beside them.

    What a face shows counts once it lasts for `min_seconds`: until then the run before it goes on. A short
    run with which a face comes into view goes to the run after it. One that stands alone stays.
    """
    least = round(1000 * min_seconds)
    kept: dict[int, list[FaceRun]] = {}
    for run in in_order(runs):
        joined = kept.setdefault(run.track, [])
        touching = bool(joined) and joined[-1].end == run.start
        if touching and (run.end - run.start < least or joined[-1].value == run.value):
            joined[-1] = replace(joined[-1], end=run.end)
        elif touching and joined[-1].end - joined[-1].start < least:
            joined[-1] = replace(run, start=joined[-1].start)
        else:
            joined.append(run)
    return in_order(chain.from_iterable(kept.values()))


def in_order(runs: Iterable[FaceRun]) -> list[FaceRun]:
    """Runs by start, those that start together by track."""
    return sorted(runs, key=lambda run: (run.start, run.track))


def _frames(rows: Iterable[Row]) -> Iterator[tuple[int, int, dict[int, Row]]]:
    """The begin and end of each frame in milliseconds, and its faces by track (-1 without a track)."""
    held: tuple[int, dict[int, Row]] | None = None  # the frame whose end is not known yet
    last, step = 0, 1
    for number, group in groupby(rows, key=lambda row: row["frame"]):
        frame = list(group)
        time = round(1000 * float(frame[0]["time"]))  # type: ignore[arg-type]
        if time < last:
            raise OutputError(
                f"expected times that run forwards from 0, got {time / 1000} s in frame {number} after "
                f"{last / 1000} s; such a clip (joined of several) fits mien, openface and pyfeat"
            )
        if held is not None:
            step = time - last or step
            yield held[0], time, held[1]
        faces: dict[int, Row] = {}
        for row in frame:
            track = -1 if row["track"] is None else int(row["track"])  # type: ignore[arg-type]
            if row["success"] and track in faces:
                raise OutputError(
                    f"expected one face per track, got two on track {row['track']} in frame {number}; "
                    "analyse the clip again, so that its faces get tracks"
                )
            if row["success"]:
                faces[track] = row
        held, last = (time, faces), time
    if held is not None:
        yield last, last + step, held[1]


def find_stretches(rows: Iterable[Row], conversion: Conversion, holds: str) -> tuple[str, list[FaceRun]]:
    """The name of a clip, and for how long each face shows what; the events instead, if there is a table.

    A note says so where there is none; `holds` is what the format then lacks.
    """
    source, rows = with_source(rows)
    (shown,) = find_runs(rows, shown_emotion)
    if conversion.events is None:
        runs = join_short_runs(shown, conversion.min_seconds)
    else:
        runs = read_events(conversion.events, source)
    if not runs:
        conversion.note(f"no expression was read, so there is no {holds}")
    return printable(source), runs


# --- the table of events


def read_events(path: Path, source: str) -> list[FaceRun]:
    """The events of one clip by their onset, as runs of an emotion or action unit."""
    table = open_table(path)
    table.require(EVENT_NEEDED, "a table of events")
    found, others = [], set()
    for line, record in table.records:
        if record["source"] != source:
            others.add(str(record["source"]))
            continue
        try:
            start, end = (round(1000 * parse_number(record[name])) for name in ("onset", "offset"))
            if not 0 <= start < end:
                got = f"{record['onset']} to {record['offset']}"
                raise ValueError(f"expected seconds from 0, the offset after the onset, got {got}")  # noqa: TRY301
            shown = record["emotion"]
            name = str(shown if shown in ACTION_UNITS else parse_cell("emotion", shown))
            found.append(FaceRun(start, end, parse_whole(record["track"]), name))
        except ValueError as error:
            raise bad_line(path, line, error) from error
    if others and not found:
        raise DataError(
            f"{path}: expected events of {source!r}, got those of {', '.join(sorted(others)[:5])}; give the "
            "table that was made from the same clip"
        )
    return in_order(found)
