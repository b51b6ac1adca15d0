"""py-feat's table (a Fex written as CSV), of its columns those that Mien knows, and `contempt`.

Names and order of py-feat 2.1 (`feat/utils/__init__.py`); its `approx_time` is minutes and whole seconds, so
the time that Mien knows stands in `mien_time`. Readings that py-feat has no column for follow under Mien's
own names with `mien_` before. Action units, landmarks, pose and gaze are absent: Mien does not read them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from mien.errors import DataError
from mien.labels import EMOTIONS, parse_emotion
from mien.results.formats.conversion import Conversion
from mien.results.rows import COLUMNS, Cell, Row
from mien.results.table_reader import Record, open_table, parse_cell, parse_number, read_rows
from mien.results.tables import cell_text, write_csv_cells

#: py-feat's columns and the columns of Mien that they hold exactly.
BOX: Final = {
    "FaceRectX": "x", "FaceRectY": "y", "FaceRectWidth": "width", "FaceRectHeight": "height",
    "FaceScore": "score",
}  # fmt: skip
SEVEN: Final = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
#: Columns of Mien that have none among py-feat's that holds them exactly.
EXTRA: Final = tuple(
    name for name in COLUMNS if name not in ("source", "frame", "track", "success", *BOX.values(), *EMOTIONS)
)
#: py-feat's own columns, and `contempt`.
NATIVE: Final = ("frame", *BOX, *SEVEN, "contempt", "input", "approx_time", "Identity")
#: Columns by which py-feat's table is known.
NEEDED: Final = ("frame", *BOX, "input")


def write_pyfeat(rows: Iterable[Row], path: Path, conversion: Conversion) -> None:
    """Write rows, one after the other; a frame without a face has empty cells, as py-feat's NaN."""
    conversion.note(
        "pyfeat: action unit, landmark, pose and gaze columns are absent, Mien does not read them"
    )
    with path.open("w", encoding="utf-8", newline="") as file:
        write_csv_cells(file, [[*NATIVE, *(f"mien_{name}" for name in EXTRA)]])
        write_csv_cells(file, ([*_native_cells(row), *(cell_text(n, row[n]) for n in EXTRA)] for row in rows))


def _native_cells(row: Row) -> list[str]:
    held = (*BOX.values(), *SEVEN, "contempt", "source")
    track = "" if row["track"] is None else f"Person_{row['track']}"
    return [
        cell_text("frame", row["frame"]),
        *(cell_text(n, row[n]) for n in held),
        _minutes(row["time"]),
        track,
    ]


def _minutes(time: Cell) -> str:
    """Seconds as py-feat writes them, rounded down.

    >>> _minutes(83.9)
    '01:23'
    """
    if time is None:
        return ""
    whole = int(parse_number(time))
    return f"{whole // 60:02d}:{whole % 60:02d}"


def read_pyfeat(path: Path, conversion: Conversion) -> Iterator[Row]:
    """The rows of a Fex, of Detectorv1 or v2; the columns that only Mien writes may be missing.

    Raises:
        DataError: not py-feat's columns, or a damaged table.
    """
    table = open_table(path)
    table.require(NEEDED, "a table that py-feat wrote")
    parser = _PyFeatParser(table.columns)
    if missing := [name for name in EMOTIONS if name not in parser.emotions]:
        conversion.note(f"{path}: no column for {', '.join(missing)}; left empty")
    if "time" not in parser.extra and "approx_time" in table.columns:
        conversion.note(
            f"{path}: approx_time counts whole seconds, too coarse for a frame's time; left empty"
        )
    return read_rows(table, parser)


class _PyFeatParser:
    """Turns records into cells; numbers the faces of a picture where the file does not."""

    def __init__(self, columns: tuple[str, ...]) -> None:
        self.extra = [name for name in EXTRA if f"mien_{name}" in columns]
        self.emotions: dict[str, str] = {}  # Mien's name to the column's
        for column in columns:
            with suppress(DataError):
                self.emotions[parse_emotion(column)] = column
        self._picture: tuple[Cell, Cell] | None = None
        self._face = 0

    def __call__(self, record: Record) -> dict[str, Cell]:
        row: dict[str, Cell] = {name: _cell(name, record[column]) for column, name in BOX.items()}
        row |= {name: _cell(name, record[column]) for name, column in self.emotions.items()}
        row |= {name: _cell(name, record[f"mien_{name}"]) for name in self.extra}
        row["source"], row["frame"] = _cell("source", record["input"]), _cell("frame", record["frame"])
        row["success"] = int(_found(row))
        if not row["success"]:
            return row | dict.fromkeys((*BOX.values(), *EMOTIONS))
        row["track"] = _track(record.get("Identity"))
        if "face" not in self.extra:
            row["face"] = self._number(row)
        if "emotion" not in self.extra:
            row |= _likeliest(row)
        return row

    def _number(self, row: dict[str, Cell]) -> int:
        picture = (row["source"], row["frame"])
        self._face = self._face + 1 if picture == self._picture else 0
        self._picture = picture
        return self._face


def _cell(name: str, value: Any) -> Cell:
    """A cell; pandas can be told to write NaN where nothing is."""
    return None if str(value).lower() == "nan" and name != "source" else parse_cell(name, value)


def _found(row: dict[str, Cell]) -> bool:
    """Whether a row is of a face: py-feat gives frames without one an empty box and a score of 0 or none."""
    if "face" in row:
        return row["face"] is not None
    return row["x"] is not None and row["score"] not in {None, 0.0}


def _track(identity: str | None) -> int | None:
    """The number of `Person_3`; py-feat numbers people from 0."""
    found = re.fullmatch(r"(?:Person_)?(\d{1,9})(?:\.0)?", identity or "")
    return None if found is None else int(found[1])


def _likeliest(row: dict[str, Cell]) -> dict[str, Cell]:
    """The emotion with the highest probability of those that are there."""
    known = {name: parse_number(row[name]) for name in EMOTIONS if row.get(name) is not None}
    if not known:
        return {}
    best = max(known, key=lambda name: known[name])
    return {"emotion": best, "confidence": known[best]}
