"""Events as a table, one a row: CSV, JSON Lines or Parquet by the ending of the name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mien.results.parquet import ParquetFile
from mien.results.rows import Row
from mien.results.tables import CsvFile, Format, JsonLinesFile, Writer, open_writer
from mien.results.text import printable, shortest
from mien.video.event import Event

if TYPE_CHECKING:
    import pyarrow as pa

#: Times in seconds; `peak` and `mean` are smoothed probabilities, to float32.
COLUMNS: Final = (
    "source", "track", "emotion", "onset", "apex", "offset", "duration", "peak", "mean", "frames", "cut",
)  # fmt: skip
_SECONDS: Final = ("onset", "apex", "offset", "duration")
_SINGLE: Final = ("peak", "mean")


def event_row(event: Event) -> Row:
    """The row of an event; `cut` is empty where it is seen whole.

    `peak` and `mean` have the fewest digits that give the same float32.
    """
    row: Row = {name: getattr(event, name) for name in COLUMNS}
    row["source"] = printable(event.source)
    for name in _SECONDS:
        row[name] = round(float(getattr(event, name)), 9)  # sums of time stamps, to the nanosecond
    for name in _SINGLE:
        row[name] = shortest(getattr(event, name))
    return row


def open_event_writer(path: Path, *, overwrite: bool = False) -> Writer:
    """A writer of event rows in the format that the ending of `path` names; use it in a `with` block.

    Raises:
        OutputError: no such format, the file exists (without `overwrite`), or it cannot be written.
        MissingExtra: the format needs a package that is not installed.
    """
    return open_writer(path, overwrite=overwrite, formats=FORMATS)


def _schema() -> pa.Schema:
    import pyarrow as pa

    kinds = dict.fromkeys(("source", "emotion", "cut"), pa.string())
    kinds |= dict.fromkeys(("track", "frames"), pa.int32())
    kinds |= dict.fromkeys(_SECONDS, pa.float64()) | dict.fromkeys(_SINGLE, pa.float32())
    return pa.schema([(name, kinds[name]) for name in COLUMNS])


FORMATS: Final[dict[str, Callable[[Path], Format]]] = {
    ".csv": partial(CsvFile, columns=COLUMNS),
    ".jsonl": partial(JsonLinesFile, columns=COLUMNS),
    ".parquet": partial(ParquetFile, schema=_schema),
}
