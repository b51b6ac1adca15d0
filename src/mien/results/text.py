"""CSV and JSON Lines: one row a line, numbers in the shortest form that reads back as the same float32."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from typing import Final, TextIO

import numpy as np

from mien.labels import EMOTIONS
from mien.results.rows import COLUMNS, SMOOTHED, Cell, Row

#: Columns that hold float32 values; `time` is a float64.
SINGLE: Final = frozenset(("x", "y", "width", "height", "score", "confidence", *EMOTIONS, *SMOOTHED))
#: Line ends of Unicode that JSON lets stand, and at which readers of lines may break (`str.splitlines`).
_LINE_ENDS: Final = {ord(end): f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"}


def write_csv(stream: TextIO, rows: Iterable[Row], *, header: bool, columns: Sequence[str] = COLUMNS) -> None:
    """Rows as CSV (RFC 4180 with plain line ends); empty cells for what is not there, blanks within a set."""
    if header:
        write_cells(stream, [columns])
    write_cells(stream, ([cell_text(name, row[name]) for name in columns] for row in rows))


def write_cells(stream: TextIO, lines: Iterable[Sequence[str]]) -> None:
    """Lines of cells as CSV; all cells of a line are quoted where one holds a carriage return."""
    plain = csv.writer(stream, lineterminator="\n")  # it does not quote a bare \r, at which readers break
    quoted = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for cells in lines:
        (quoted if any("\r" in cell for cell in cells) else plain).writerow(cells)


def write_jsonl(stream: TextIO, rows: Iterable[Row], *, columns: Sequence[str] = COLUMNS) -> None:
    """Rows as JSON Lines; null for what is not there."""
    for row in rows:
        line = json.dumps({name: _json_cell(name, row[name]) for name in columns}, ensure_ascii=False)
        stream.write((line if line.isascii() else line.translate(_LINE_ENDS)) + "\n")


def printable(text: str) -> str:
    r"""Text that can be written as UTF-8; bytes of a file name that are no UTF-8 become `\xNN`.

    A backslash of such a name is doubled, so that the name can be got back; other names stay as they are.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raw = text.replace("\\", "\\\\").encode("utf-8", "surrogateescape")
        return raw.decode("utf-8", "backslashreplace")
    return text


def cell_text(name: str, value: Cell) -> str:
    """A cell as text: empty for what is not there, the fewest digits that read back as the same number."""
    if value is None:
        return ""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, tuple):
        return " ".join(value)
    return shortest_text(value) if name in SINGLE else repr(value)


def _json_cell(name: str, value: Cell) -> Cell:
    if isinstance(value, str):
        return printable(value)
    if value is None or isinstance(value, tuple):  # a tuple becomes a list
        return value
    return shortest(value) if name in SINGLE else value


def shortest(value: float) -> float:
    """The float64 of the fewest digits that give the same float32 again: for JSON, which prints float64."""
    return float(shortest_text(value))


def shortest_text(value: float) -> str:
    """The fewest digits that give the same float32 again."""
    return np.format_float_positional(np.float32(value), unique=True, trim="0")
