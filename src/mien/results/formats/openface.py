"""OpenFace's CSV of a clip (FeatureExtraction, FaceLandmarkVidMulti), of its columns those that Mien knows.

The first five columns are OpenFace's (RecorderCSV.cpp of OpenFace 2.2): `frame` counts from 1, `timestamp`
is in seconds. Mien reads no gaze, pose, landmarks or action units, so those columns are absent. What OpenFace
has no column for stands behind them, under Mien's own names with `mien_` before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from mien.results.formats.conversion import Conversion
from mien.results.rows import COLUMNS, Cell, Row
from mien.results.table_reader import (
    Record,
    number_faces,
    open_table,
    parse_cell,
    parse_number,
    parse_whole,
    read_rows,
)
from mien.results.tables import cell_text, write_csv_cells

#: OpenFace's own columns.
NATIVE: Final = ("frame", "face_id", "timestamp", "confidence", "success")
#: Columns of Mien that have none among OpenFace's that holds them exactly.
EXTRA: Final = tuple(name for name in COLUMNS if name not in ("frame", "time", "success", "score"))
#: Columns by which OpenFace's table is known; versions before 2.1 have no `face_id`.
NEEDED: Final = ("frame", "timestamp", "confidence", "success")


def write_openface(rows: Iterable[Row], path: Path, conversion: Conversion) -> None:
    """Write the rows of one clip, one after the other."""
    conversion.note(
        "openface: gaze, pose, landmark and action unit columns are absent, Mien does not read them"
    )
    with path.open("w", encoding="utf-8", newline="") as file:
        write_csv_cells(file, [[*NATIVE, *(f"mien_{name}" for name in EXTRA)]])
        write_csv_cells(file, ([*_native_cells(row), *(cell_text(n, row[n]) for n in EXTRA)] for row in rows))


def _native_cells(row: Row) -> list[str]:
    """OpenFace's own cells; where there is no face it writes zeros, and so does this."""
    frame, time = str(parse_whole(row["frame"]) + 1), cell_text("time", row["time"])
    if not row["success"]:
        return [frame, "0", time, "0", "0"]
    face_id = row["face"] if row["track"] is None else row["track"]
    return [frame, cell_text("face", face_id), time, cell_text("score", row["score"]), "1"]


def read_openface(path: Path, conversion: Conversion) -> Iterator[Row]:
    """The rows of a clip; the columns that only Mien writes may be missing."""
    table = open_table(path)
    table.require(NEEDED, "a table that OpenFace's FeatureExtraction wrote")
    source = conversion.source or str(path)
    extra = [name for name in EXTRA if f"mien_{name}" in table.columns]
    if "emotion" not in extra:
        conversion.note(f"{path}: OpenFace reads no emotions; those columns are empty")
    number = number_faces()

    def parse(record: Record) -> dict[str, Cell]:
        if parse_number(record["frame"]) < 1:
            raise ValueError(f"expected a frame from 1, got {record['frame']!r}")
        frame = parse_whole(record["frame"]) - 1
        row: dict[str, Cell] = {"source": source, "frame": frame, "face": number(frame)}
        row["time"] = parse_cell("time", record["timestamp"])
        row["success"] = parse_whole(record["success"], largest=1)
        if row["success"]:
            row["score"] = parse_cell("score", record["confidence"])
            row["track"] = parse_cell("track", record.get("face_id"))
        else:
            row["face"] = None
        return row | {name: parse_cell(name, record[f"mien_{name}"]) for name in extra}

    return read_rows(table, parse)
