"""Parquet: typed columns, nulls for what is not there. Needs pyarrow, from the extra `data`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from mien.errors import MissingExtra
from mien.results.rows import COLUMNS, Row
from mien.results.text import SINGLE, printable

if TYPE_CHECKING:
    import pyarrow as pa

GROUP: Final = 50_000  # rows held before a row group is written: bounds the memory
_TEXT, _WHOLE = ("source", "emotion"), ("frame", "face", "track", "success", "uncertain")


class ParquetFile:
    """A Parquet file that grows by row groups."""

    def __init__(self, path: Path | BinaryIO, schema: Callable[[], pa.Schema] | None = None) -> None:
        try:
            import pyarrow.parquet as pq
        except ImportError as error:
            raise MissingExtra("pyarrow", "data", "writing Parquet") from error
        self._schema = (schema or _schema)()
        self._file: Any = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._held: list[Row] = []

    def write(self, rows: Sequence[Row]) -> None:
        """Take rows; every `GROUP` of them go to the file."""
        self._held.extend({**row, "source": printable(str(row["source"]))} for row in rows)
        if len(self._held) >= GROUP:
            self._flush()

    def close(self) -> None:
        """Write what is held and the footer."""
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        import pyarrow as pa

        self._file.write_table(pa.Table.from_pylist(self._held, self._schema))
        self._held = []


def _schema() -> pa.Schema:
    import pyarrow as pa

    kinds = dict.fromkeys(_TEXT, pa.string()) | dict.fromkeys(_WHOLE, pa.int32())
    kinds |= dict.fromkeys(SINGLE, pa.float32()) | {"time": pa.float64(), "set": pa.list_(pa.string())}
    return pa.schema([(name, kinds[name]) for name in COLUMNS])
