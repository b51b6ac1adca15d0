"""Mien's own table: the rows as `mien analyze` writes them, read back and written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from mien.errors import DataError
from mien.labels import EMOTIONS
from mien.results.formats.cells import parse_cell
from mien.results.formats.sheet import Record, Sheet, broken, open_sheet
from mien.results.formats.wish import Wish
from mien.results.rows import COLUMNS, Cell, Row
from mien.results.tables import WRITERS

#: Columns without which it is no table of Mien's; later ones may be missing.
NEEDED: Final = (
    "source", "frame", "time", "face", "track", "success", "x", "y", "width", "height", "score",
    "emotion", "confidence", *EMOTIONS,
)  # fmt: skip
#: Columns that hold something for every row.
_FILLED: Final = ("source", "frame", "success")


def read_table(path: Path, wish: Wish) -> Iterator[Row]:
    """The rows of a table, one after the other.

    Raises:
        DataError: not such a table, or a damaged one.
        MissingExtra: Parquet without pyarrow.
    """
    del wish  # nothing is lost, and the sources have their names
    sheet = open_sheet(path)
    sheet.require(NEEDED, "a table that `mien analyze` (or OpenFace, or py-feat) wrote")
    known = [name for name in COLUMNS if name in sheet.columns]
    return read_rows(sheet, lambda record: {name: parse_cell(name, record[name]) for name in known})


def read_rows(sheet: Sheet, parse: Callable[[Record], dict[str, Cell]]) -> Iterator[Row]:
    """The records as rows: columns that `parse` does not give are empty.

    Raises:
        DataError: `parse` raised a ValueError, or what every row has is missing.
    """
    for line, record in sheet.records:
        try:
            row: Row = {**dict.fromkeys(COLUMNS), **parse(record)}
        except ValueError as error:
            raise DataError(f"{sheet.path}, line {line}: {error}; mend it or make the table again") from error
        for name in _FILLED:
            if row[name] is None:
                raise broken(sheet.path, line, f"a value of {name}", "none")
        yield row


def write_table(rows: Iterable[Row], path: Path, wish: Wish, *, ending: str) -> None:
    """Write rows to `path` in the format that `ending` names."""
    del wish
    out = WRITERS[ending](path, COLUMNS)
    try:
        every = iter(rows)
        while some := list(islice(every, 1000)):
            out.write(some)
    finally:
        out.close()
