"""Files that hold many inputs: tar shards (the WebDataset layout) and Parquet of paths or of bytes."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

from mien.batch.store import is_store, open_object, read_object
from mien.errors import DataError, MissingExtra

_ENDINGS: Final = (".tar", ".tar.gz", ".tgz", ".parquet")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an input lies in a file that holds many."""

    kind: Literal["tar", "parquet"]
    file: str  # path or address
    first: int  # tar: byte at which it begins; Parquet: row group
    second: int  # tar: its bytes; Parquet: row in the group


def is_holder(name: str) -> bool:
    """Whether the ending of `name` is that of a file that holds many inputs."""
    return name.lower().endswith(_ENDINGS)


def members(file: str) -> Iterator[tuple[str, Place | None]]:
    """What a file holds, in its order: (name inside, place); a place of None: the name is a path itself.

    Raises:
        DataError: it is damaged, compressed as a whole, or has no column of paths or bytes.
        OSError: it cannot be read.
        MissingExtra: Parquet without pyarrow.
    """
    return _rows(file) if file.lower().endswith(".parquet") else _entries(file)


def read_member(place: Place) -> bytes:
    """The bytes of one input.

    Raises:
        OSError: the file cannot be read.
        DataError: it is damaged.
    """
    if place.kind == "parquet":
        data = _column(place.file, place.first)[place.second].as_py()
        return data or b""
    if is_store(place.file):
        return read_object(place.file, place.first, place.first + place.second)
    with Path(place.file).open("rb") as file:
        file.seek(place.first)
        return file.read(place.second)


def _entries(file: str) -> Iterator[tuple[str, Place]]:
    with _damage(file), closing(_opened(file)) as raw, tarfile.open(fileobj=raw, mode="r:") as tar:
        for entry in tar:
            if entry.isfile():
                yield entry.name, Place("tar", file, entry.offset_data, entry.size)
            tar.members = []  # type: ignore[attr-defined]  # tarfile keeps them all, some hundred bytes each


def _rows(file: str) -> Iterator[tuple[str, Place | None]]:
    with _damage(file), closing(_opened(file)) as raw:
        table = _parquet(raw, file)
        names = table.schema_arrow.names
        if "path" in names:
            for batch in table.iter_batches(columns=["path"]):
                yield from ((str(path), None) for path in batch.column(0).to_pylist() if path)
        elif "bytes" in names:
            yield from _places(table, file, named="name" in names)
        else:
            raise DataError(
                f"expected a column `path`, or `bytes` (and `name`), in {file}, got {', '.join(names)}; "
                "rename the one that is meant"
            )


def _places(table: Any, file: str, *, named: bool) -> Iterator[tuple[str, Place]]:
    before = 0
    for group in range(table.num_row_groups):
        count = table.metadata.row_group(group).num_rows
        names = table.read_row_group(group, ["name"]).column(0).to_pylist() if named else [None] * count
        for row, name in enumerate(names):
            yield str(before + row if name is None else name), Place("parquet", file, group, row)
        before += count


@lru_cache(maxsize=1)
def _column(file: str, group: int) -> Any:
    """The pictures of one row group; inputs come in order, so that each is read once."""
    with closing(_opened(file)) as raw, _damage(file):
        return _parquet(raw, file).read_row_group(group, ["bytes"]).column(0)


def _parquet(raw: Any, file: str) -> Any:
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtra("pyarrow", "data", f"reading {file}") from error
    return pq.ParquetFile(raw)


@contextmanager
def _damage(file: str) -> Iterator[None]:
    """What Arrow and tarfile raise on a damaged file becomes a DataError; disk and network stay OSErrors."""
    try:
        yield
    except tarfile.TarError as error:
        raise DataError(
            f"expected a plain tar (uncompressed, so that each picture can be found), {file} is none "
            f"({error}); make it anew with tar -cf"
        ) from error
    except ValueError as error:  # pyarrow.ArrowInvalid is one
        raise DataError(f"expected Parquet, {file} is none, or damaged ({error}); write it anew") from error


def _opened(file: str) -> Any:
    return open_object(file) if is_store(file) else Path(file).open("rb")
