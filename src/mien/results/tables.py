"""Tables: CSV, JSON Lines and Parquet, by the ending of the file's name; and the text of their cells.

Numbers are written with the fewest digits that read back as the same number. A file appears whole when its
writer is closed. Leaving the `with` block by Ctrl-C or by one of Mien's own errors closes it too, so that
the rows written so far are kept.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Protocol, Self, TextIO

import numpy as np

from mien.errors import MienError, MissingExtra, OutputError
from mien.files import WholeFile
from mien.results.rows import COLUMNS, TYPES, Cell, Row, rows
from mien.types import Frame

GROUP: Final = 50_000  # rows held in memory before a row group of Parquet is written
#: Line ends of Unicode that JSON leaves as they are; some readers break lines there (`str.splitlines`).
_LINE_ENDS: Final = {ord(end): f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"}


def write(frames: Frame | Iterable[Frame], path: str | PathLike[str], *, overwrite: bool = False) -> None:
    """Write the rows of frames as a table: .csv, .jsonl or .parquet, by the ending of `path`.

    Args:
        frames: photos, frames of clips, or both; taken one by one.
        path: the file; it appears whole.
        overwrite: replace a file that exists.

    Raises:
        OutputError: no such format, the file exists (without `overwrite`), or it cannot be written.
        MissingExtra: Parquet without pyarrow.
    """
    with open_writer(Path(path), overwrite=overwrite) as writer:
        for frame in [frames] if isinstance(frames, Frame) else frames:
            writer.write(rows(frame))


# --- the text of cells


def cell_text(name: str, value: Cell) -> str:
    """A cell as text: empty for None, a set as words with blanks between them."""
    if value is None:
        return ""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, tuple):
        return " ".join(value)
    return shortest_text(value) if TYPES[name] == "float32" else repr(value)


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


def shortest(value: float) -> float:
    """The float64 of the fewest digits that give the same float32 again: for JSON, which prints float64."""
    return float(shortest_text(value))


def shortest_text(value: float) -> str:
    """The fewest digits that give the same float32 again."""
    return np.format_float_positional(np.float32(value), unique=True, trim="0")


def _json_cell(name: str, value: Cell) -> Cell:
    if isinstance(value, str):
        return printable(value)
    if value is None or isinstance(value, tuple):  # a tuple becomes a list
        return value
    return shortest(value) if TYPES[name] == "float32" else value


# --- rows to an open stream


def write_csv(stream: TextIO, rows: Iterable[Row], *, header: bool, columns: Sequence[str] = COLUMNS) -> None:
    """Write rows as CSV (RFC 4180, lines ending in a line feed)."""
    if header:
        write_csv_cells(stream, [columns])
    write_csv_cells(stream, ([cell_text(name, row[name]) for name in columns] for row in rows))


def write_csv_cells(stream: TextIO, lines: Iterable[Sequence[str]]) -> None:
    """Write lines of cells as CSV; all cells of a line are quoted if one holds a carriage return."""
    plain = csv.writer(stream, lineterminator="\n")  # it does not quote a bare \r, at which readers break
    quoted = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for cells in lines:
        (quoted if any("\r" in cell for cell in cells) else plain).writerow(cells)


def write_jsonl(stream: TextIO, rows: Iterable[Row], *, columns: Sequence[str] = COLUMNS) -> None:
    """Write rows as JSON Lines; an empty cell is null."""
    for row in rows:
        line = json.dumps({name: _json_cell(name, row[name]) for name in columns}, ensure_ascii=False)
        stream.write((line if line.isascii() else line.translate(_LINE_ENDS)) + "\n")


# --- rows to a file


class TableFile(Protocol):
    """An open file of one format."""

    def write(self, rows: Sequence[Row]) -> None:
        """Append rows."""

    def close(self) -> None:
        """Finish the file."""


class CsvFile:
    """CSV with a header, in a new file, or on an open stream, which stays open."""

    def __init__(self, place: Path | TextIO, columns: Sequence[str] = COLUMNS) -> None:
        self._columns = columns
        self._owned = isinstance(place, Path)
        self._stream = place.open("w", encoding="utf-8", newline="") if isinstance(place, Path) else place
        write_csv(self._stream, [], header=True, columns=columns)

    def write(self, rows: Sequence[Row]) -> None:
        """Append rows."""
        write_csv(self._stream, rows, header=False, columns=self._columns)

    def close(self) -> None:
        """Flush, and close what was opened here."""
        self._stream.flush()
        if self._owned:
            self._stream.close()


class JsonLinesFile:
    """One JSON object per line."""

    def __init__(self, path: Path, columns: Sequence[str] = COLUMNS) -> None:
        self._columns = columns
        self._stream = path.open("w", encoding="utf-8", newline="")

    def write(self, rows: Sequence[Row]) -> None:
        """Append rows."""
        write_jsonl(self._stream, rows, columns=self._columns)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


class ParquetFile:
    """Parquet with typed columns and nulls for empty cells; it grows by row groups.

    Raises:
        MissingExtra: pyarrow, from the extra `data`, is not installed.
    """

    def __init__(self, path: Path | BinaryIO, columns: Sequence[str] = COLUMNS) -> None:
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError as error:
            raise MissingExtra("pyarrow", "data", "writing Parquet") from error
        types = {
            name: pa.list_(pa.string()) if kind == "list" else pa.type_for_alias(kind)
            for name, kind in TYPES.items()
        }
        self._schema = pa.schema([(name, types[name]) for name in columns])
        self._table = pa.Table
        self._file: Any = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._held: list[Row] = []

    def write(self, rows: Sequence[Row]) -> None:
        """Take rows; every `GROUP` of them go to the file."""
        self._held.extend({**row, "source": printable(str(row["source"]))} for row in rows)
        if len(self._held) >= GROUP:
            self._write_group()

    def close(self) -> None:
        """Write the rows that are held, and the footer."""
        self._write_group()
        self._file.close()

    def _write_group(self) -> None:
        self._file.write_table(self._table.from_pylist(self._held, self._schema))
        self._held = []


WRITERS: Final[dict[str, Callable[[Path, Sequence[str]], TableFile]]] = {
    ".csv": CsvFile,
    ".jsonl": JsonLinesFile,
    ".parquet": ParquetFile,
}


class TableWriter:
    """Writes rows to one place; use it in a `with` block."""

    def __init__(self, table: TableFile, file: WholeFile | None = None) -> None:
        self._table = table
        self._file = file

    def write(self, rows: Sequence[Row]) -> None:
        """Append rows.

        Raises:
            OutputError: the disk is full or gone; the rows written so far are kept beside the name.
        """
        with self._output_errors():
            self._table.write(rows)

    def close(self) -> None:
        """Finish, and give the file its name."""
        with self._output_errors():
            self._table.close()
        if self._file is not None:
            self._file.finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if keeps_output(error):
            self.close()
        else:  # the disk is gone, or a bug: the rows written so far stay under the partial name
            with suppress(OSError):
                self._table.close()

    @contextmanager
    def _output_errors(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:  # nobody reads standard output any more: the command ends quietly
            raise
        except OSError as error:
            if self._file is not None:
                raise self._file.failure(error) from error
            text = f"standard output: writing broke off ({error.strerror or error})"
            raise OutputError(text) from error


def keeps_output(error: BaseException | None) -> bool:
    """Whether what was written before `error` is worth a name: after Ctrl-C, or an error of an input."""
    stopped = isinstance(error, KeyboardInterrupt | MienError) and not isinstance(error, OutputError)
    return error is None or stopped


def open_writer(
    path: Path,
    *,
    overwrite: bool = False,
    columns: Sequence[str] = COLUMNS,
    formats: Mapping[str, Callable[[Path, Sequence[str]], TableFile]] = WRITERS,
) -> TableWriter:
    """A writer for the format that the ending of `path` names.

    Args:
        path: the file.
        overwrite: replace a file that exists.
        columns: those of frames, or `EVENT_COLUMNS`.
        formats: by ending.

    Raises:
        OutputError: no such format, the file exists (without `overwrite`), or it cannot be written.
        MissingExtra: the format needs a package that is not installed.
    """
    make = formats.get(path.suffix.lower())
    if make is None:
        raise OutputError(f"{path}: expected a name that ends in {', '.join(formats)}, got {path.suffix!r}")
    file = WholeFile(path, overwrite=overwrite, keep=True)
    try:
        return TableWriter(make(file.partial, columns), file)
    except BaseException:
        file.discard()
        raise


def stream_writer(stream: TextIO) -> TableWriter:
    """A writer of CSV to an open stream, which stays open."""
    return TableWriter(CsvFile(stream))
