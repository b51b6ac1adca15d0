"""Where rows go: a table file by its ending, or a stream.

A file appears whole when the writer is closed. Leaving the `with` block by an exception that is Ctrl-C's
or Mien's own closes it too, so that what was done is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self, TextIO

from mien.errors import MienError, OutputError
from mien.results.parquet import ParquetFile
from mien.results.rows import COLUMNS, Row
from mien.results.text import write_csv, write_jsonl
from mien.results.whole import WholeFile


class Format(Protocol):
    """An open file of one format."""

    def write(self, rows: Sequence[Row]) -> None:
        """Append rows."""

    def close(self) -> None:
        """Finish the file."""


class CsvFile:
    """CSV with a header, in a file or on a stream."""

    def __init__(self, stream: TextIO | Path, columns: Sequence[str] = COLUMNS) -> None:
        self._columns = columns
        self._stream = stream.open("w", encoding="utf-8", newline="") if isinstance(stream, Path) else stream
        self._owned = isinstance(stream, Path)
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
    """One JSON object a line."""

    def __init__(self, path: Path, columns: Sequence[str] = COLUMNS) -> None:
        self._columns = columns
        self._stream = path.open("w", encoding="utf-8", newline="")

    def write(self, rows: Sequence[Row]) -> None:
        """Append rows."""
        write_jsonl(self._stream, rows, columns=self._columns)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


WRITERS: Final[dict[str, Callable[[Path], Format]]] = {
    ".csv": CsvFile,
    ".jsonl": JsonLinesFile,
    ".parquet": ParquetFile,
}


class Writer:
    """Rows to one place; use it in a `with` block."""

    def __init__(self, out: Format, file: WholeFile | None = None) -> None:
        self._out = out
        self._file = file

    def write(self, rows: Sequence[Row]) -> None:
        """Append rows.

        Raises:
            OutputError: the disk is full or gone; what was written is kept beside the name.
        """
        try:
            self._out.write(rows)
        except BrokenPipeError:  # nobody reads standard output any more: the door ends quietly
            raise
        except OSError as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """Finish, and give the file its name."""
        try:
            self._out.close()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise self._failure(error) from error
        if self._file is not None:
            self._file.finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or (
            isinstance(error, KeyboardInterrupt | MienError) and not isinstance(error, OutputError)
        ):
            self.close()
        else:  # the place is gone, or a bug broke off: what was written stays under the partial name
            with suppress(OSError):
                self._out.close()

    def _failure(self, error: OSError) -> OutputError:
        if self._file is not None:
            return self._file.failure(error)
        return OutputError(f"standard output: writing broke off ({error.strerror or error})")


def open_writer(
    path: Path, *, overwrite: bool = False, formats: Mapping[str, Callable[[Path], Format]] = WRITERS
) -> Writer:
    """A writer for the format that the ending of `path` names.

    Raises:
        OutputError: no such format, the file exists (without `overwrite`), or it cannot be written.
        MissingExtra: the format needs a package that is not installed.
    """
    make = formats.get(path.suffix.lower())
    if make is None:
        raise OutputError(f"{path}: expected a name that ends in {', '.join(formats)}, got {path.suffix!r}")
    file = WholeFile(path, overwrite=overwrite)
    try:
        return Writer(make(file.partial), file)
    except BaseException:
        file.discard()
        raise


def stream_writer(stream: TextIO) -> Writer:
    """A writer of CSV to an open stream, which stays open."""
    return Writer(CsvFile(stream))
