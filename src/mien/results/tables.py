"""Tables by the ending of the file's name: CSV, TSV, JSON, Excel and Parquet; and the text of their cells.

Numbers are written with the fewest digits that read back as the same number. A file appears whole when its
writer is closed. Leaving the `with` block by Ctrl-C or by one of Mien's own errors closes it too, so that
the rows written so far are kept.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol, Self, TextIO

import numpy as np

from mien.errors import ConfigError, MienError, MissingExtra, OutputError
from mien.files import WholeFile
from mien.results.rows import COLUMNS, TYPES, Cell, Row, choose_columns, rows
from mien.types import Frame

GROUP: Final = 50_000  # rows held in memory before a row group of Parquet is written
#: Line ends of Unicode that JSON leaves as they are; some readers break lines there (`str.splitlines`).
_LINE_ENDS: Final = {ord(end): f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"}
#: Text that begins so is run by spreadsheets as a formula (CWE-1236); `'` before it says that it is text.
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
SHEET_ROWS: Final = 2**20  # that a sheet of Excel holds, its header among them


def write(
    frames: Frame | Iterable[Frame],
    path: str | PathLike[str],
    *,
    overwrite: bool = False,
    landmarks: bool = False,
    units: bool = False,
    gaze: bool = False,
    excel: bool = False,
) -> None:
    """Write the rows of frames as a table: .csv, .tsv, .json, .jsonl, .xlsx or .parquet, as `path` ends.

    Args:
        frames: photos, frames of clips, or both; taken one by one.
        path: the file; it appears whole.
        overwrite: replace a file that exists.
        landmarks: also write the five landmarks.
        units: also write the movements of the face, and FACS's action units.
        gaze: also write the direction of the eyes in the head.
        excel: CSV or TSV that spreadsheets open correctly.

    Raises:
        OutputError: no such format, the file exists (without `overwrite`), or it cannot be written.
        MissingExtra: Parquet without pyarrow, or .xlsx without XlsxWriter.
    """
    columns = choose_columns(landmarks=landmarks, units=units, gaze=gaze)
    with open_writer(Path(path), overwrite=overwrite, columns=columns, excel=excel) as writer:
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


# --- rows to a file


def write_csv_cells(stream: TextIO, lines: Iterable[Sequence[str]], delimiter: str = ",") -> None:
    """Write lines of cells as CSV (RFC 4180, lines ending in a line feed).

    All cells of a line are quoted if one holds a carriage return.
    """
    plain = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
    # the plain one does not quote a bare \r, at which readers break
    quoted = csv.writer(stream, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for cells in lines:
        (quoted if any("\r" in cell for cell in cells) else plain).writerow(cells)


class TableFile(Protocol):
    """An open file of one format."""

    def write(self, rows: Sequence[Row]) -> None:
        """Append rows."""

    def close(self) -> None:
        """Finish the file."""


class CsvFile:
    """CSV with a header, in a new file, or on an open stream, which stays open.

    Args:
        place: where to write.
        columns: the cells of a line.
        delimiter: what stands between them.
        excel: for spreadsheets: a byte order mark, by which Excel knows UTF-8, and no text that it would run
            as a formula.
    """

    def __init__(
        self,
        place: Path | TextIO,
        columns: Sequence[str] = COLUMNS,
        *,
        delimiter: str = ",",
        excel: bool = False,
    ) -> None:
        self._columns, self._delimiter, self._excel = columns, delimiter, excel
        self._owned = isinstance(place, Path)
        self._stream = place.open("w", encoding="utf-8", newline="") if isinstance(place, Path) else place
        if excel:
            self._stream.write("\ufeff")
        write_csv_cells(self._stream, [columns], delimiter)

    def write(self, rows: Sequence[Row]) -> None:
        """Append rows."""
        lines = ([self._text(name, row[name]) for name in self._columns] for row in rows)
        write_csv_cells(self._stream, lines, self._delimiter)

    def _text(self, name: str, value: Cell) -> str:
        text = cell_text(name, value)
        runs = self._excel and isinstance(value, str) and text.startswith(FORMULA_STARTS)
        return f"'{text}" if runs else text

    def close(self) -> None:
        """Flush, and close what was opened here."""
        self._stream.flush()
        if self._owned:
            self._stream.close()


class JsonFile:
    """One JSON object a line: an array, or with no `start`, `comma` and `end` JSON Lines."""

    def __init__(
        self,
        path: Path,
        columns: Sequence[str] = COLUMNS,
        *,
        start: str = "[\n",
        comma: str = ",",
        end: str = "]\n",
    ) -> None:
        self._columns, self._comma, self._end = columns, comma, end
        self._stream = path.open("w", encoding="utf-8", newline="")
        self._stream.write(start)
        self._before = ""  # what stands before the next object

    def write(self, rows: Sequence[Row]) -> None:
        """Append rows; an empty cell is null."""
        for row in rows:
            cells = {name: _json_cell(name, row[name]) for name in self._columns}
            line = json.dumps(cells, ensure_ascii=False)
            self._stream.write(self._before + (line if line.isascii() else line.translate(_LINE_ENDS)) + "\n")
            self._before = self._comma

    def close(self) -> None:
        """Finish and close the file."""
        self._stream.write(self._end)
        self._stream.close()


class ExcelFile:
    """A workbook of Excel (.xlsx); numbers are numbers, text is never a formula or a link.

    A sheet that is full is followed by another.

    Raises:
        MissingExtra: XlsxWriter, from the extra `excel`, is not installed.
    """

    def __init__(self, path: Path, columns: Sequence[str] = COLUMNS) -> None:
        try:
            from xlsxwriter import Workbook
        except ImportError as error:
            raise MissingExtra("XlsxWriter", "excel", "writing .xlsx") from error
        never = dict.fromkeys(("strings_to_numbers", "strings_to_formulas", "strings_to_urls"), False)
        self._columns = columns
        self._book: Any = Workbook(str(path), {"constant_memory": True, "tmpdir": str(path.parent), **never})
        self._book.set_properties({"created": datetime(1980, 1, 1, tzinfo=UTC)})  # else no two are the same
        self._add_sheet()

    def write(self, rows: Sequence[Row]) -> None:
        """Append rows."""
        for row in rows:
            if self._line == SHEET_ROWS:
                self._add_sheet()
            for i, name in enumerate(self._columns):
                value = row[name]
                if value is None:
                    continue
                if isinstance(value, str | tuple):
                    self._sheet.write_string(self._line, i, cell_text(name, value))
                else:
                    exact = shortest(value) if TYPES[name] == "float32" else value
                    self._sheet.write_number(self._line, i, exact)
            self._line += 1

    def close(self) -> None:
        """Finish the workbook."""
        from xlsxwriter.exceptions import FileCreateError

        try:
            self._book.close()
        except FileCreateError as error:  # it hides the disk's own error
            raise (error.args[0] if isinstance(error.args[0], OSError) else OSError(str(error))) from error

    def _add_sheet(self) -> None:
        self._sheet = self._book.add_worksheet()
        self._sheet.write_row(0, 0, self._columns)
        self._sheet.freeze_panes(1, 0)
        self._line = 1


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
            for name, kind in ((name, TYPES[name]) for name in columns)
        }
        self._schema = pa.schema([(name, types[name]) for name in columns])
        self._table = pa.Table
        self._file: Any = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._held: list[Row] = []

    def write(self, rows: Sequence[Row]) -> None:
        """Take rows; every `GROUP` of them go to the file."""
        self._held.extend(
            {**row, "source": printable(str(row["source"]))} if "source" in row else row for row in rows
        )
        if len(self._held) >= GROUP:
            self._write_group()

    def close(self) -> None:
        """Write the rows that are held, and the footer."""
        self._write_group()
        self._file.close()

    def _write_group(self) -> None:
        self._file.write_table(self._table.from_pylist(self._held, self._schema))
        self._held = []


#: What opens a new file of each format, by path and columns.
WRITERS: Final[dict[str, Callable[..., TableFile]]] = {
    ".csv": CsvFile,
    ".tsv": partial(CsvFile, delimiter="\t"),
    ".json": JsonFile,
    ".jsonl": partial(JsonFile, start="", comma="", end=""),
    ".xlsx": ExcelFile,
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

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
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
    excel: bool = False,
    formats: Mapping[str, Callable[..., TableFile]] = WRITERS,
) -> TableWriter:
    """A writer for the format that the ending of `path` names.

    Args:
        path: the file.
        overwrite: replace a file that exists.
        columns: those of frames, or `EVENT_COLUMNS`.
        excel: CSV or TSV that spreadsheets open correctly.
        formats: by ending.

    Raises:
        OutputError: no such format, the file exists (without `overwrite`), or it cannot be written.
        MissingExtra: the format needs a package that is not installed.
    """
    ending = path.suffix.lower()
    make = formats.get(ending)
    if make is None:
        raise ConfigError(f"{path}: expected a name that ends in {', '.join(formats)}, got {path.suffix!r}")
    if excel:
        if ending not in {".csv", ".tsv"}:
            raise OutputError(f"{path}: expected .csv or .tsv with excel, got {ending}; leave it out")
        make = partial(make, excel=True)
    file = WholeFile(path, overwrite=overwrite, keep=True)
    try:
        return TableWriter(make(file.partial, columns), file)
    except BaseException:
        file.discard()
        raise


def stdout_writer(
    columns: Sequence[str] = COLUMNS, *, excel: bool = False, by_line: bool = False
) -> TableWriter:
    """A writer of CSV to standard output, in UTF-8 with plain line ends; `by_line`: flushed after each.

    Raises:
        OutputError: it takes no more.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", newline="", line_buffering=by_line)
    try:
        return TableWriter(CsvFile(sys.stdout, columns, excel=excel))
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(
            f"could not write rows to standard output: {error.strerror}; name a file with -o"
        ) from error
