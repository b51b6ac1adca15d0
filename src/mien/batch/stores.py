"""Inputs that are not files in a folder: tar files, Parquet of paths or pictures, object stores, the web.

A tar file is one in the WebDataset layout; an object store is whatever fsspec knows (`s3://bucket/prefix/`).
What is at an address of the web is fetched once, if it is a picture or a file; what does not end is a stream.
"""

from __future__ import annotations

import base64
import errno
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path, PurePosixPath
from string import punctuation
from typing import Any, Final, Literal
from urllib.parse import quote, unquote, urlsplit

from mien._version import __version__
from mien.errors import DataError, MissingExtra, VideoError
from mien.media import HEAD, media_kind

_WAIT: Final = 10.0  # seconds without an answer of the web
_ARCHIVES: Final = (".tar", ".tar.gz", ".tgz", ".parquet")


@dataclass(frozen=True, slots=True)
class Member:
    """Where an input is in a file that holds many."""

    kind: Literal["tar", "parquet"]
    file: str  # path or address
    first: int  # tar: offset of its first byte; Parquet: row group
    second: int  # tar: its size in bytes; Parquet: row in the group

    def read(self) -> bytes:
        """The bytes of the input; OSError: the file cannot be read, DataError: it is damaged."""
        if self.kind == "parquet":
            return _read_pictures(self.file, self.first)[self.second].as_py() or b""
        if is_object(self.file):
            return read_object(self.file, self.first, self.first + self.second)
        with Path(self.file).open("rb") as file:
            file.seek(self.first)
            return file.read(self.second)


def is_archive(name: str) -> bool:
    """Whether the ending of `name` is that of a file that holds many inputs."""
    return name.lower().endswith(_ARCHIVES)


def list_members(file: str) -> Iterator[tuple[str, Member | None]]:
    """What a tar or Parquet file holds, in its order: (name, place), or (path, None) where it names a file.

    Raises:
        DataError: it is damaged, compressed as a whole, or has no column of paths or bytes.
        OSError: it cannot be read.
    """
    return _list_rows(file) if file.lower().endswith(".parquet") else _list_entries(file)


def _list_entries(file: str) -> Iterator[tuple[str, Member]]:
    with _as_data_errors(file), closing(_open(file)) as raw, tarfile.open(fileobj=raw, mode="r:") as tar:
        for entry in tar:
            if entry.isfile():
                yield entry.name, Member("tar", file, entry.offset_data, entry.size)
            tar.members = []  # type: ignore[attr-defined]  # tarfile keeps them all, some hundred bytes each


def _list_rows(file: str) -> Iterator[tuple[str, Member | None]]:
    with _as_data_errors(file), closing(_open(file)) as raw:
        table = _open_parquet(raw, file)
        columns = table.schema_arrow.names
        if "path" in columns:
            for batch in table.iter_batches(columns=["path"]):
                yield from ((str(path), None) for path in batch.column(0).to_pylist() if path)
            return
        if "bytes" not in columns:
            raise DataError(
                f"expected a column `path`, or `bytes` (and `name`), in {file}, got {', '.join(columns)}; "
                "rename the column that holds them"
            )
        before = 0  # rows of the groups before this one; a picture without a name is named by its row
        for group in range(table.num_row_groups):
            rows = table.metadata.row_group(group).num_rows
            named = table.read_row_group(group, ["name"]).column(0).to_pylist() if "name" in columns else []
            for row in range(rows):
                name = named[row] if named else None
                yield str(before + row if name is None else name), Member("parquet", file, group, row)
            before += rows


@lru_cache(maxsize=1)
def _read_pictures(file: str, group: int) -> Any:
    """The pictures of one row group; inputs come in order, so that each group is read once."""
    with closing(_open(file)) as raw, _as_data_errors(file):
        return _open_parquet(raw, file).read_row_group(group, ["bytes"]).column(0)


def _open_parquet(raw: Any, file: str) -> Any:
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtra("pyarrow", "data", f"reading {file}") from error
    return pq.ParquetFile(raw)


@contextmanager
def _as_data_errors(file: str) -> Iterator[None]:
    """What Arrow and tarfile raise on a damaged file becomes a DataError; disk and network stay OSErrors."""
    try:
        yield
    except tarfile.TarError as error:
        raise DataError(
            f"{file} is not a plain tar (uncompressed, so that each picture can be found): {error}; "
            "create it again with tar -cf"
        ) from error
    except ValueError as error:  # pyarrow.ArrowInvalid is one
        raise DataError(f"{file} is not Parquet, or is damaged ({error}); write it again") from error


def _open(file: str) -> Any:
    """A file on disk or an object, as a seekable binary file."""
    if not is_object(file):
        return Path(file).open("rb")
    with _as_os_errors(file):
        system, path = _find_system(file)
        return system.open(path, "rb")


def is_object(name: str) -> bool:
    """Whether `name` is an address in an object store (ask `is_stream` first).

    >>> is_object("s3://bucket/photos/"), is_object("photos/a.jpg")
    (True, False)
    """
    return "://" in name


def list_objects(address: str) -> Iterator[tuple[str, str, bool]]:
    """The objects below an address: (address, path below the named one, whether it was named itself).

    Sorted by name at each level; the names of one level are in memory at a time.
    """
    scheme = address.partition("://")[0]
    with _as_os_errors(address):
        system, root = _find_system(address)
        root = root.rstrip("/")
        pending = [(root, system.info(root)["type"])]
        while pending:
            name, kind = pending.pop()
            if kind == "file":
                inside = name.removeprefix(root).lstrip("/")
                yield f"{scheme}://{name}", inside or PurePosixPath(name).name, not inside
                continue
            below = [(one["name"].rstrip("/"), one["type"]) for one in system.ls(name, detail=True)]
            system.invalidate_cache()  # else a listing stays in memory, and is out of date the next time
            pending += sorted((b for b in below if b[0] != name and "/." not in b[0]), reverse=True)


def read_object(address: str, start: int | None = None, end: int | None = None) -> bytes:
    """The bytes of an object, or those from `start` to `end`."""
    with _as_os_errors(address):
        system, path = _find_system(address)
        data: bytes = system.cat_file(path, start=start, end=end)
    return data


@contextmanager
def _as_os_errors(address: str) -> Iterator[None]:
    """Each store raises its own kinds of errors when it cannot be reached; they become OSErrors."""
    try:
        yield
    except (MissingExtra, GeneratorExit):
        raise
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, "no such object", address) from error
    except PermissionError as error:
        raise PermissionError(errno.EACCES, str(error), address) from error
    except Exception as error:
        raise OSError(errno.EIO, f"{type(error).__name__}: {error}", address) from error


def _find_system(address: str) -> tuple[Any, str]:
    """The file system of fsspec, and the path in it."""
    protocol, _, path = address.partition("://")
    try:
        return _load_system(protocol), path
    except (ImportError, ValueError) as error:
        raise MissingExtra("fsspec (and s3fs, for s3://)", "scale", f"reading {address}") from error


@cache
def _load_system(protocol: str) -> Any:
    import fsspec

    return fsspec.filesystem(protocol)


# --- the web


def is_web(name: str) -> bool:
    """Whether `name` is an address of the web."""
    return name.lower().startswith(("http://", "https://"))


@contextmanager
def fetch(address: str) -> Iterator[tuple[Literal["photo", "clip", "stream"], Path]]:
    """What is there, and the temporary file with it if it is not a stream.

    Raises:
        OSError: nothing is there, or it cannot be reached.
        VideoError: it is neither picture nor video.
    """
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen  # slow to import

    parts = urlsplit(address)
    person, _, host = parts.netloc.rpartition("@")
    quoted = {part: quote(getattr(parts, part), safe=punctuation) for part in ("path", "query")}
    link = parts._replace(netloc=host, **quoted).geturl()
    request = Request(link, headers={"User-Agent": f"mien/{__version__}"})  # noqa: S310 - http
    if person:
        request.add_header("Authorization", f"Basic {base64.b64encode(unquote(person).encode()).decode()}")
    try:
        asked = urlopen(request, timeout=_WAIT)  # noqa: S310 - http
    except HTTPError as error:
        error.close()
        raise
    with tempfile.TemporaryDirectory(prefix="mien-") as folder, asked as answer:
        path = Path(folder, "fetched")
        says, ends = answer.headers.get_content_type(), answer.headers.get("Content-Length") is not None
        head = b"" if says.startswith("multipart/") else answer.read(HEAD)
        kind = media_kind(head, parts.path) if head else ""
        if kind and (ends or (kind == "photo" and says.startswith("image/"))):
            with path.open("wb") as file:
                file.write(head)
                shutil.copyfileobj(answer, file)
            yield kind, path
            return
        if says == "text/html":
            raise VideoError(
                f"expected a picture or video, {parts.hostname} sends a web page; give the address of the "
                "file itself"
            )
    yield "stream", path
