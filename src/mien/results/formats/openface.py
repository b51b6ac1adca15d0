"""OpenFace's CSV of a clip (FeatureExtraction, FaceLandmarkVidMulti), of its columns those that Mien knows.

The first five columns are OpenFace's (RecorderCSV.cpp of OpenFace 2.2): `frame` counts from 1, `timestamp`
is in seconds. Mien reads no gaze, pose, landmarks or action units, so those columns are absent. What OpenFace
has no column for stands behind them, under Mien's own names with `mien_` before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from mien.results.formats.cells import number, parse_cell, whole
from mien.results.formats.sheet import Record, open_sheet
from mien.results.formats.table import read_rows
from mien.results.formats.wish import Wish
from mien.results.rows import COLUMNS, Cell, Row
from mien.results.tables import cell_text, write_csv_cells

NATIVE: Final = ("frame", "face_id", "timestamp", "confidence", "success")
#: Columns of Mien that one of OpenFace's holds exactly.
_HELD: Final = ("frame", "time", "success", "score")
EXTRA: Final = tuple(name for name in COLUMNS if name not in _HELD)
#: Versions before 2.1 have no `face_id`.
NEEDED: Final = ("frame", "timestamp", "confidence", "success")


def write_openface(rows: Iterable[Row], path: Path, wish: Wish) -> None:
    """Write the rows of one clip, one after the other."""
    wish.note("openface: gaze, pose, landmark and action unit columns are absent, Mien does not read them")
    with path.open("w", encoding="utf-8", newline="") as file:
        write_csv_cells(file, [[*NATIVE, *(f"mien_{name}" for name in EXTRA)]])
        write_csv_cells(file, ([*_native(row), *(cell_text(n, row[n]) for n in EXTRA)] for row in rows))


def _native(row: Row) -> list[str]:
    """OpenFace's own cells; where no face is it writes zeros, and so does this."""
    frame = whole(row["frame"]) + 1
    if not row["success"]:
        return [str(frame), "0", cell_text("time", row["time"]), "0", "0"]
    face_id = row["face"] if row["track"] is None else row["track"]
    score = cell_text("score", row["score"])
    return [str(frame), cell_text("face", face_id), cell_text("time", row["time"]), score, "1"]


def read_openface(path: Path, wish: Wish) -> Iterator[Row]:
    """The rows of a clip; the columns that only Mien writes may be missing.

    Raises:
        DataError: not OpenFace's columns, or a damaged table.
    """
    sheet = open_sheet(path)
    sheet.require(NEEDED, "a table that OpenFace's FeatureExtraction wrote")
    extra = [name for name in EXTRA if f"mien_{name}" in sheet.columns]
    if "emotion" not in extra:
        wish.note(f"{path}: OpenFace reads no emotions; those columns are empty")
    return read_rows(sheet, _Reader(wish.source or str(path), extra))


class _Reader:
    """Turns records into cells; numbers the faces of a frame where the file does not."""

    def __init__(self, source: str, extra: list[str]) -> None:
        self._source = source
        self._extra = extra
        self._frame = -1
        self._face = 0

    def __call__(self, record: Record) -> dict[str, Cell]:
        frame = _frame(record["frame"])
        self._face = self._face + 1 if frame == self._frame else 0
        self._frame = frame
        found = bool(whole(record["success"], largest=1))
        row: dict[str, Cell] = {"source": self._source, "frame": frame, "success": int(found)}
        row["time"] = parse_cell("time", record["timestamp"])
        if found:
            row["score"] = parse_cell("score", record["confidence"])
            row["face"], row["track"] = self._face, parse_cell("track", record.get("face_id"))
        return row | {name: parse_cell(name, record[f"mien_{name}"]) for name in self._extra}


def _frame(value: Any) -> int:
    if number(value) < 1:
        raise ValueError(f"expected a frame from 1, got {value!r}")
    return whole(value) - 1
