"""py-feat's table (a Fex written as CSV), of its columns those that Mien knows, and `contempt`.

Names and order of py-feat 2.1 (`feat/utils/__init__.py`); its `approx_time` is minutes and whole seconds, so
the time that Mien knows stands in `mien_time`. Readings that py-feat has no column for follow under Mien's
own names with `mien_` before. Pose is in degrees; action units are there if the table has them (`--units`),
those that both know, AU43 (eyes closed) being Mien's AU45. Landmarks and gaze are absent.
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
from mien.results.table_reader import Record, number_faces, open_table, parse_cell, parse_number, read_rows
from mien.results.tables import cell_text, write_csv_cells
from mien.units import ACTION_UNITS

#: py-feat's columns and the columns of Mien that they hold exactly.
BOX: Final = {
    "FaceRectX": "x", "FaceRectY": "y", "FaceRectWidth": "width", "FaceRectHeight": "height",
    "FaceScore": "score",
}  # fmt: skip
#: py-feat's columns of the head's turn, and those of Mien.
TURN: Final = {"Pitch": "pitch", "Roll": "roll", "Yaw": "yaw"}
SEVEN: Final = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
#: Columns of Mien that have none among py-feat's that holds them exactly.
EXTRA: Final = tuple(
    name
    for name in COLUMNS
    if name not in ("source", "frame", "track", "success", *BOX.values(), *TURN.values(), *EMOTIONS)
)
#: py-feat's own columns, and `contempt`; then those of action units.
NATIVE: Final = ("frame", *BOX, *TURN, *SEVEN, "contempt", "input", "approx_time", "Identity")
UNITS: Final = {
    f"AU{n:02d}": f"AU{45 if n == 43 else n:02d}"
    for n in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 24, 26, 28, 43)
    if n == 43 or f"AU{n:02d}" in ACTION_UNITS
}
#: Columns by which py-feat's table is known.
NEEDED: Final = ("frame", *BOX, "input")


def write_pyfeat(rows: Iterable[Row], path: Path, conversion: Conversion) -> None:
    """Write rows, one after the other; a frame without a face has empty cells, as py-feat's NaN."""
    units = UNITS if "units" in conversion.extra else {}
    conversion.note(f"pyfeat: {'' if units else 'action unit, '}landmark and gaze columns are absent")
    with path.open("w", encoding="utf-8", newline="") as file:
        write_csv_cells(file, [[*NATIVE, *units, *(f"mien_{name}" for name in EXTRA)]])
        held = (*units.values(), *EXTRA)
        write_csv_cells(file, ([*_native_cells(row), *(cell_text(n, row[n]) for n in held)] for row in rows))


def _native_cells(row: Row) -> list[str]:
    held = (*BOX.values(), *TURN.values(), *SEVEN, "contempt", "source")
    time, track = "", "" if row["track"] is None else f"Person_{row['track']}"
    if row["time"] is not None:  # minutes and seconds, rounded down
        minutes, seconds = divmod(int(parse_number(row["time"])), 60)
        time = f"{minutes:02d}:{seconds:02d}"
    return [cell_text("frame", row["frame"]), *(cell_text(name, row[name]) for name in held), time, track]


def read_pyfeat(path: Path, conversion: Conversion) -> Iterator[Row]:
    """The rows of a Fex, of Detectorv1 or v2; the columns that only Mien writes may be missing."""
    table = open_table(path)
    table.require(NEEDED, "a table that py-feat wrote")
    extra = [name for name in EXTRA if f"mien_{name}" in table.columns]
    held = {name: column for column, name in (BOX | TURN).items() if column in table.columns} | {
        name: f"mien_{name}" for name in extra
    }
    held |= {"source": "input", "frame": "frame"}  # Mien's name to that of the column
    for column in table.columns:
        with suppress(DataError):
            held[parse_emotion(column)] = column
    if missing := [name for name in EMOTIONS if name not in held]:
        conversion.note(f"{path}: no column for {', '.join(missing)}; left empty")
    if "time" not in extra and "approx_time" in table.columns:
        conversion.note(
            f"{path}: approx_time counts whole seconds, too coarse for a frame's time; left empty"
        )
    conversion.note_units(path, table.columns)
    number = number_faces()

    def parse(record: Record) -> dict[str, Cell]:
        row = {name: _cell(name, record[column]) for name, column in held.items()}
        row["success"] = int(_found(row))
        if not row["success"]:
            return row | dict.fromkeys((*BOX.values(), *TURN.values(), *EMOTIONS))
        row["track"] = _track(record.get("Identity"))
        if "face" not in extra:
            row["face"] = number((row["source"], row["frame"]))
        known = {name: parse_number(row[name]) for name in EMOTIONS if row.get(name) is not None}
        if "emotion" not in extra and known:
            row["emotion"] = max(known, key=lambda name: known[name])
            row["confidence"] = max(known.values())
        return row

    return read_rows(table, parse)


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
