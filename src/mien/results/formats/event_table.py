"""A table of events, an expression that came and went a line: for annotations beside the runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from mien.errors import DataError
from mien.results.formats.cells import number, parse_cell, whole
from mien.results.formats.runs import Run, in_order
from mien.results.formats.sheet import Record, open_sheet

#: Columns of `mien.video.events.Event` that are needed; others are left alone. Times are in seconds.
NEEDED: Final = ("source", "track", "emotion", "onset", "offset")


def read_events(path: Path, source: str) -> list[Run]:
    """The events of one clip by their onset, as runs of an emotion (milliseconds).

    Raises:
        DataError: not such a table, a damaged one, or one without events of `source` but of others.
    """
    sheet = open_sheet(path)
    sheet.require(NEEDED, "a table of events")
    found, others = [], set()
    for line, record in sheet.records:
        if record["source"] != source:
            others.add(str(record["source"]))
            continue
        try:
            found.append(_event(record))
        except ValueError as error:
            raise DataError(f"{path}, line {line}: {error}; mend it or make the table again") from error
    if others and not found:
        raise DataError(
            f"{path}: expected events of {source!r}, got those of {', '.join(sorted(others)[:5])}; give the "
            "table that was made from the same clip"
        )
    return in_order(found)


def _event(record: Record) -> Run:
    start, end = (_milliseconds(record[name]) for name in ("onset", "offset"))
    if start >= end:
        raise ValueError(f"expected an offset after the onset, got {record['onset']} to {record['offset']}")
    return Run(start, end, whole(record["track"]), str(parse_cell("emotion", record["emotion"])))


def _milliseconds(seconds: Any) -> int:
    time = round(1000 * number(seconds))
    if time < 0:
        raise ValueError(f"expected seconds from 0, got {seconds}")
    return time
