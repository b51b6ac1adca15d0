"""OpenFace's CSV of a clip (FeatureExtraction, FaceLandmarkVidMulti), of its columns those that Mien knows.

The first five columns are OpenFace's (RecorderCSV.cpp of OpenFace 2.2): `frame` counts from 1, `timestamp`
is in seconds, angles are in radians, intensities of action units go from 0 to 5. Gaze and action units are
there if the table has them (`--gaze`, `--units`), of the action units those that both know; landmarks and the
head's place in space are absent. What OpenFace has no column for stands behind, under Mien's own names with
`mien_` before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import asin, atan2, cos, degrees, radians, sin
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
from mien.results.tables import cell_text, shortest_text, write_csv_cells
from mien.types import POSE
from mien.units import ACTION_UNITS, GAZE

#: OpenFace's own columns: those of every table, ...
NATIVE: Final = ("frame", "face_id", "timestamp", "confidence", "success")
POSE_R: Final = ("pose_Rx", "pose_Ry", "pose_Rz")
#: ... and those for which gaze and action units are needed.
GAZE_ANGLES: Final = ("gaze_angle_x", "gaze_angle_y")
INTENSITIES: Final = tuple(
    f"AU{n:02d}"
    for n in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
    if f"AU{n:02d}" in ACTION_UNITS
)
_LARGEST_INTENSITY: Final = 5
#: Columns of Mien that have none among OpenFace's that holds them exactly.
EXTRA: Final = tuple(name for name in COLUMNS if name not in ("frame", "time", "success", "score"))
#: Columns by which OpenFace's table is known; versions before 2.1 have no `face_id`.
NEEDED: Final = ("frame", "timestamp", "confidence", "success")


def write_openface(rows: Iterable[Row], path: Path, conversion: Conversion) -> None:
    """Write the rows of one clip, one after the other."""
    gaze, units = "gaze" in conversion.extra, "units" in conversion.extra
    absent = [name for name, there in (("gaze", gaze), ("action unit", units)) if not there]
    if absent:
        conversion.note(f"openface: {' and '.join(absent)} columns are absent, the table does not have them")
    conversion.note("openface: landmark columns are absent")
    names = [*NATIVE, *(GAZE_ANGLES if gaze else ()), *POSE_R]
    names += [f"{au}_r" for au in INTENSITIES if units]
    with path.open("w", encoding="utf-8", newline="") as file:
        write_csv_cells(file, [[*names, *(f"mien_{name}" for name in EXTRA)]])
        for row in rows:
            angles = _angle_cells(row, gaze=gaze)
            strengths = [_intensity_cell(row, au) for au in INTENSITIES if units]
            extra = [cell_text(name, row[name]) for name in EXTRA]
            write_csv_cells(file, [[*_native_cells(row), *angles, *strengths, *extra]])


def _angle_cells(row: Row, *, gaze: bool) -> list[str]:
    """Gaze and the head's turn, in radians; OpenFace turns about x, then y, then z, x right and y down."""
    if row["yaw"] is None:
        return ["0" if not row["success"] else ""] * (len(POSE_R) + (len(GAZE_ANGLES) if gaze else 0))
    yaw, pitch, roll = (radians(parse_number(row[name])) for name in POSE)
    right = sin(yaw) * cos(pitch)  # entries of the turn about y by yaw, about x by pitch, about z by roll
    x = atan2(sin(pitch), cos(yaw) * cos(pitch))
    z = atan2(
        cos(yaw) * sin(roll) - sin(yaw) * sin(pitch) * cos(roll),
        cos(yaw) * cos(roll) + sin(yaw) * sin(pitch) * sin(roll),
    )
    angles = [x, asin(right), z]
    if gaze:
        eyes = (radians(parse_number(row[name] or 0)) for name in GAZE)
        angles = [*(sign * (a + b) for sign, a, b in zip((-1, 1), (yaw, pitch), eyes, strict=True)), *angles]
    return [shortest_text(angle) for angle in angles]


def _intensity_cell(row: Row, au: str) -> str:
    if (value := row[au]) is None:
        return "" if row["success"] else "0"
    return shortest_text(_LARGEST_INTENSITY * parse_number(value))


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
    conversion.note_units(path, table.columns)
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
            if "yaw" not in extra and POSE_R[0] in record:
                row |= dict(zip(POSE, _read_turn(record), strict=True))
        else:
            row["face"] = None
        return row | {name: parse_cell(name, record[f"mien_{name}"]) for name in extra}

    return read_rows(table, parse)


def _read_turn(record: Record) -> list[float]:
    """Yaw, pitch and roll in degrees of the turn that OpenFace tells."""
    x, y, z = (parse_number(record[name]) for name in POSE_R)
    pitch = asin(max(-1.0, min(1.0, sin(x) * cos(y))))
    yaw = atan2(sin(y), cos(x) * cos(y))
    roll = atan2(cos(x) * sin(z) + sin(x) * sin(y) * cos(z), cos(x) * cos(z) - sin(x) * sin(y) * sin(z))
    return [degrees(angle) for angle in (yaw, pitch, roll)]
