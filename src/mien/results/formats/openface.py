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
    frame = str(parse_whole(row["frame"]) + 1)
    if not row["success"]:
        return [frame, "0", cell_text("time", row["time"]), "0", "0"]
    face_id = row["face"] if row["track"] is None else row["track"]
    score = cell_text("score", row["score"])
    return [frame, cell_text("face", face_id), cell_text("time", row["time"]), score, "1"]


def read_openface(path: Path, conversion: Conversion) -> Iterator[Row]:
    """The rows of a clip; the columns that only Mien writes may be missing.

    Raises:
        DataError: not OpenFace's columns, or a damaged table.
    """
    table = open_table(path)
    table.require(NEEDED, "a table that OpenFace's FeatureExtraction wrote")
    extra = [name for name in EXTRA if f"mien_{name}" in table.columns]
    if "emotion" not in extra:
        conversion.note(f"{path}: OpenFace reads no emotions; those columns are empty")
    return read_rows(table, _OpenFaceParser(conversion.source or str(path), extra))


class _OpenFaceParser:
    """Turns records into cells; numbers the faces of a frame where the file does not."""

    def __init__(self, source: str, extra: list[str]) -> None:
        self._source = source
        self._extra = extra
        self._frame = -1
        self._face = 0

    def __call__(self, record: Record) -> dict[str, Cell]:
        if parse_number(record["frame"]) < 1:
            raise ValueError(f"expected a frame from 1, got {record['frame']!r}")
        frame = parse_whole(record["frame"]) - 1
        self._face = self._face + 1 if frame == self._frame else 0
        self._frame = frame
        found = bool(parse_whole(record["success"], largest=1))
        row: dict[str, Cell] = {"source": self._source, "frame": frame, "success": int(found)}
        row["time"] = parse_cell("time", record["timestamp"])
        if found:
            row["score"] = parse_cell("score", record["confidence"])
            row["face"], row["track"] = self._face, parse_cell("track", record.get("face_id"))
        return row | {name: parse_cell(name, record[f"mien_{name}"]) for name in self._extra}
