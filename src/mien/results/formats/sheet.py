"""Tables of any columns, line after line: CSV, JSON Lines and Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mien.errors import DataError, MissingExtra

#: What a line holds, by column; of CSV always text.
Record = dict[str, Any]

ENDINGS: Final = (".csv", ".jsonl", ".parquet")
_LONGEST: Final = 2**24  # characters of a line of JSON; a longer one is no table
_AGAIN: Final = "it is cut off or damaged: make it again"


@dataclass(frozen=True, slots=True)
class Sheet:
    """An open table."""

    path: Path
    columns: tuple[str, ...]
    records: Iterator[tuple[int, Record]]  # the number of the line, from 1, and what it holds

    def require(self, columns: tuple[str, ...], what: str) -> None:
        """Raise a `DataError` unless the columns are there; `what` names such a table."""
        missing = [name for name in columns if name not in self.columns]
        if missing:
            raise DataError(
                f"{self.path}: expected {what}, with the columns {', '.join(columns)}; "
                f"{', '.join(missing)} missing, got {_some(self.columns)}; give another file"
            )


def open_sheet(path: Path) -> Sheet:
    """Open a table by the ending of its name.

    Raises:
        DataError: no such file, no such format, or not a table; also while its records are taken.
        MissingExtra: Parquet without pyarrow.
    """
    readers = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}
    read = readers.get(path.suffix.lower())
    if read is None:
        raise DataError(
            f"{path}: expected a table whose name ends in {', '.join(ENDINGS)}, got {path.suffix!r}"
        )
    if not path.is_file():
        raise DataError(f"{path}: expected a table to read, there is no such file; check the name")
    try:
        records = _guarded(path, read(path))
        columns = tuple(next(records)[1])
    except StopIteration:
        raise DataError(f"{path}: expected a table, got an empty file; {_AGAIN}") from None
    return Sheet(path, columns, records)


def broken(path: Path, line: int, expected: str, got: str) -> DataError:
    """What to raise about a line."""
    return DataError(f"{path}, line {line}: expected {expected}, got {got}; {_AGAIN}")


def _guarded(path: Path, records: Iterator[tuple[int, Record]]) -> Iterator[tuple[int, Record]]:
    """The same, a disk or a right that fails told from one that fails while writing."""
    try:
        yield from records
    except OSError as error:
        raise DataError(f"{path}: expected a table to read, got: {error.strerror or error}") from error


def _csv(path: Path) -> Iterator[tuple[int, Record]]:
    """The header as keys, then the lines."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        columns: list[str] = []
        try:
            for cells in reader:
                if not columns:
                    columns = _header(path, [cell.strip() for cell in cells])
                    yield reader.line_num, dict.fromkeys(columns)
                elif len(cells) != len(columns):
                    raise broken(path, reader.line_num, f"{len(columns)} cells", str(len(cells)))
                else:
                    yield reader.line_num, dict(zip(columns, cells, strict=True))
        except UnicodeDecodeError as error:
            raise broken(path, reader.line_num + 1, "text in UTF-8", "bytes that are none") from error
        except csv.Error as error:
            raise broken(path, reader.line_num, "cells and commas (CSV)", str(error)) from error


def _header(path: Path, columns: list[str]) -> list[str]:
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice or not columns:
        raise broken(path, 1, "a header of different names", ", ".join(twice) or "an empty line")
    return columns


def _jsonl(path: Path) -> Iterator[tuple[int, Record]]:
    """The keys of the first object, then all objects, which have the same keys."""
    columns: set[str] | None = None
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(_LONGEST), b""), 1):
            record = _object(path, number, line)
            if columns is None:
                columns = set(record)
                yield 0, dict.fromkeys(record)
            if record.keys() != columns:
                raise broken(path, number, "the keys of the first line", _some(tuple(record)))
            yield number, record


def _object(path: Path, number: int, line: bytes) -> Record:
    try:
        record = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise broken(path, number, "a JSON object", f"something else ({error})") from error
    if not isinstance(record, dict):
        raise broken(path, number, "a JSON object", type(record).__name__)
    return record


def _parquet(path: Path) -> Iterator[tuple[int, Record]]:
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
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: names that are no UTF-8
        raise broken(path, number + 1, "a Parquet table", str(error).partition("\n")[0]) from error


def _some(columns: tuple[str, ...]) -> str:
    """The first few names, shortened."""
    shown = ", ".join(name[:40] for name in columns[:12])
    return f"{shown!r}" + (f" and {len(columns) - 12} more" if len(columns) > 12 else "")
