"""Tables read back: CSV, TSV, JSON and Parquet of any columns; cells and rows of Mien's own table."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from mien.errors import DataError, MissingExtra
from mien.labels import EMOTIONS
from mien.results.rows import ALL_COLUMNS, COLUMNS, TYPES, Cell, Row
from mien.results.tables import FORMULA_STARTS, printable
from mien.types import POSE

#: The cells of one line, by column; text in CSV, values in JSON Lines and Parquet.
Record = dict[str, Any]

#: Columns without which a table is not Mien's; later ones may be missing.
NEEDED: Final = tuple(name for name in COLUMNS[: COLUMNS.index("set")] if name not in {*POSE, "quality"})
ENDINGS: Final = (".csv", ".tsv", ".json", ".jsonl", ".parquet")
_ALWAYS_FILLED: Final = ("source", "frame", "success")
_FLAGS: Final = frozenset(("success", "uncertain"))
_LARGEST_INT32: Final = 2**31 - 1
_FLOAT32_OVERFLOW: Final = 2.0**128 - 2.0**103  # from here on a number rounds to infinity in float32
_MAX_LINE: Final = 2**24  # characters of a line of JSON; a longer one is no table
_TEXT_MARKS: Final = tuple(f"'{start}" for start in FORMULA_STARTS)  # as `--excel` marks text
_MAKE_AGAIN: Final = "it is cut off or damaged: make it again"


@dataclass(frozen=True, slots=True)
class OpenTable:
    """A table of any columns that is being read."""

    path: Path
    columns: tuple[str, ...]
    records: Iterator[tuple[int, Record]]  # number of the line, from 1, and its cells

    def require(self, columns: tuple[str, ...], what: str) -> None:
        """Raise a `DataError` unless the columns are there; `what` says which kind of table has them."""
        missing = [name for name in columns if name not in self.columns]
        if missing:
            advice = "give another file"
            if len(self.columns) == 1 and ";" in self.columns[0]:  # spreadsheets, where 1/2 is 0,5
                advice = "its cells are separated by semicolons: save it with commas, and points in numbers"
            raise DataError(
                f"{self.path}: expected {what}, with the columns {', '.join(columns)}; "
                f"{', '.join(missing)} missing, got {_first_names(self.columns)}; {advice}"
            )


def open_table(path: Path) -> OpenTable:
    """Open a table by the ending of its name.

    Raises:
        DataError: no such file, no such format, or not a table; also while its records are read.
        MissingExtra: Parquet without pyarrow.
    """
    readers: dict[str, Callable[[Path], Iterator[tuple[int, Record]]]] = {
        ".csv": _read_csv, ".tsv": partial(_read_csv, delimiter="\t"), ".json": _read_json,
        ".jsonl": _read_jsonl, ".parquet": _read_parquet,
    }  # fmt: skip
    read = readers.get(path.suffix.lower())
    if read is None:
        raise DataError(
            f"{path}: expected a table whose name ends in {', '.join(ENDINGS)}, got {path.suffix!r}; save it "
            "as one of these"
        )
    if not path.is_file():
        raise DataError(f"{path}: expected a table to read, there is no such file; check the name")
    try:
        records = _with_disk_errors(path, read(path))
        columns = tuple(next(records)[1])
    except StopIteration:
        raise DataError(f"{path}: expected a table, got an empty file; {_MAKE_AGAIN}") from None
    return OpenTable(path, columns, records)


def read_table(path: Path) -> Iterator[Row]:
    """The rows of a table that `mien analyze` wrote, one after the other."""
    table = open_table(path)
    table.require(NEEDED, "a table that `mien analyze` (or OpenFace, or py-feat) wrote")
    known = [name for name in ALL_COLUMNS if name in table.columns]
    return read_rows(table, lambda record: {name: parse_cell(name, record[name]) for name in known})


def read_rows(table: OpenTable, parse: Callable[[Record], dict[str, Cell]]) -> Iterator[Row]:
    """The records as rows, columns that `parse` does not give empty; its ValueErrors become DataErrors."""
    check_order = watch_order()
    for line, record in table.records:
        try:
            row: Row = {**dict.fromkeys(ALL_COLUMNS), **parse(record)}
        except ValueError as error:
            raise bad_line(table.path, line, error) from error
        for name in _ALWAYS_FILLED:
            if row[name] is None:
                raise _damaged(table.path, line, f"a value of {name}", "none")
        check_order(table.path, line, row)
        yield row


def watch_order() -> Callable[[Path, int, Row], None]:
    """A function that raises a `DataError` about a row that does not stand where Mien wrote it.

    How long a frame lasts, the next one tells, and what stands there twice counts twice: figures of a table
    that was sorted by something else, or joined with itself, would be wrong. Photos may share a name.
    """
    first: dict[Any, Any] = {}  # the face in the first row, by clip or photo
    source: Any = None
    frame: Any = None
    faces: set[Any] = set()  # of that frame

    def check(path: Path, line: int, row: Row) -> None:
        nonlocal source, frame, faces
        timed, face = row["time"] is not None, row["face"] or 0
        if not timed and not row["success"]:
            return  # it could not be read, or the clip broke off
        if new := row["source"] != source:
            wrong = row["source"] in first and (timed or first[row["source"]] != face)
            first.setdefault(row["source"], face)
        else:
            wrong = row["frame"] < frame or (timed and row["frame"] == frame and face in faces)
        if wrong:
            raise DataError(
                f"{path}, line {line}: expected the frames of {row['source']} one after the other, frame "
                f"{row['frame']} is out of order or there twice; sort by source and frame, without copies"
            )
        if new or row["frame"] != frame:
            source, frame, faces = row["source"], row["frame"], set()
        faces.add(face)

    return check


def number_faces() -> Callable[[object], int]:
    """A function that numbers the faces of each picture from 0, called with the picture of every row."""
    last: object = None
    face = 0

    def number(picture: object) -> int:
        nonlocal last, face
        face = face + 1 if picture == last else 0
        last = picture
        return face

    return number


def bad_line(path: Path, line: int, error: ValueError) -> DataError:
    """The error to raise about a cell that could not be parsed."""
    return DataError(f"{path}, line {line}: {error}; correct it, or make the table again")


# --- cells


def parse_cell(name: str, value: Any) -> Cell:
    """A cell of the column `name`, from text or from the value in JSON or Parquet; ValueError: not of it."""
    if is_missing(value):
        return None
    if name == "set":
        words = value.split() if isinstance(value, str) else value
        if not isinstance(words, list):
            raise ValueError(f"expected emotions, got {str(value)[:40]!r}")
        return tuple(_parse_emotion(word) for word in words)
    if name == "emotion":
        return _parse_emotion(value)
    if TYPES[name] == "string":
        if not isinstance(value, str):
            raise ValueError(f"expected text, got {str(value)[:40]!r}")
        return printable(value)
    if TYPES[name] == "int32":
        return parse_whole(value, largest=1 if name in _FLAGS else _LARGEST_INT32)
    return parse_number(value, float32=TYPES[name] == "float32")


def is_missing(value: Any) -> bool:
    """Whether a cell has no value: it is empty, or R's or pandas' word for that."""
    return value is None or value in ("", "NA", "NaN")


def parse_whole(value: Any, *, largest: int = _LARGEST_INT32) -> int:
    """A whole number from 0; a table that went through other programs may hold 3 as 3.0."""
    number = parse_number(value)
    if not number.is_integer() or not 0 <= number <= largest:
        raise ValueError(f"expected a whole number from 0 to {largest}, got {value!r}")
    return int(number)


def parse_number(value: Any, *, float32: bool = False) -> float:
    """A finite number; with `float32` rounded to the nearest float32."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if float32 and abs(number) < _FLOAT32_OVERFLOW:
        return float(np.float32(number))
    if float32 or not math.isfinite(number):
        raise ValueError(f"expected a number, got {str(value)[:40]!r}")
    return number


def _parse_emotion(value: Any) -> str:
    if value not in EMOTIONS:
        raise ValueError(f"expected one of {', '.join(EMOTIONS)}, got {str(value)[:40]!r}")
    return str(value)


# --- formats; each reader gives its columns first, as the keys of a record, and then the records


def _with_disk_errors(path: Path, records: Iterator[tuple[int, Record]]) -> Iterator[tuple[int, Record]]:
    """The same records; an error of the disk names the table, so that it is told from one of writing."""
    try:
        yield from records
    except OSError as error:
        raise DataError(f"{path}: expected a table to read, got: {error.strerror or error}") from error


def _read_csv(path: Path, delimiter: str = ",") -> Iterator[tuple[int, Record]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            header = next(reader, None)
            if header is None:
                return
            columns = [cell.strip() for cell in header]
            twice = sorted({name for name in columns if columns.count(name) > 1})
            if twice or not columns:
                raise _damaged(path, 1, "a header of different names", ", ".join(twice) or "an empty line")
            yield reader.line_num, dict.fromkeys(columns)
            for cells in reader:
                if len(cells) != len(columns):
                    raise _damaged(path, reader.line_num, f"{len(columns)} cells", str(len(cells)))
                plain = (text[1:] if text.startswith(_TEXT_MARKS) else text for text in cells)
                yield reader.line_num, dict(zip(columns, plain, strict=True))
        except UnicodeDecodeError as error:
            raise _damaged(path, reader.line_num + 1, "text in UTF-8", "other bytes") from error
        except csv.Error as error:
            raise _damaged(path, reader.line_num, "cells and commas (CSV)", str(error)) from error


def _read_jsonl(path: Path) -> Iterator[tuple[int, Record]]:
    with path.open("rb") as file:
        lines = enumerate(iter(lambda: file.readline(_MAX_LINE), b""), 1)
        yield from _check_objects(path, ((number, _parse_json(path, number, line)) for number, line in lines))


def _read_json(path: Path) -> Iterator[tuple[int, Record]]:
    """An array of objects, or an object that holds one array, as the server gives it."""
    content = _parse_json(path, 1, path.read_bytes())
    if isinstance(content, dict) and len(content) == 1:
        (content,) = content.values()
    if not isinstance(content, list):
        raise _damaged(path, 1, "an array of JSON objects", type(content).__name__)
    yield from _check_objects(
        path, enumerate(content, 2)
    )  # as written by Mien: after the line of the bracket


def _parse_json(path: Path, line: int, data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise _damaged(path, line, "JSON", f"something else ({error})") from error


def _check_objects(path: Path, values: Iterable[tuple[int, Any]]) -> Iterator[tuple[int, Record]]:
    """The columns, and the same values, if they are objects of the same keys."""
    columns: set[str] | None = None
    for number, record in values:
        if not isinstance(record, dict):
            raise _damaged(path, number, "a JSON object", type(record).__name__)
        if columns is None:
            columns = set(record)
            yield 0, dict.fromkeys(record)
        if record.keys() != columns:
            raise _damaged(path, number, "the keys of the first line", _first_names(tuple(record)))
        yield number, record


def _read_parquet(path: Path) -> Iterator[tuple[int, Record]]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtra("pyarrow", "data", "reading Parquet") from error
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            yield 0, dict.fromkeys(file.schema_arrow.names)
            for batch in file.iter_batches(batch_size=10_000):
                for record in batch.to_pylist():
                    number += 1
                    yield number, record
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: names that are not UTF-8
        raise _damaged(path, number + 1, "a Parquet table", str(error).partition("\n")[0]) from error


def _damaged(path: Path, line: int, expected: str, got: str) -> DataError:
    return DataError(f"{path}, line {line}: expected {expected}, got {got}; {_MAKE_AGAIN}")


def _first_names(columns: tuple[str, ...]) -> str:
    """The first few names, shortened."""
    shown = ", ".join(name[:40] for name in columns[:12])
    return f"{shown!r}" + (f" and {len(columns) - 12} more" if len(columns) > 12 else "")
