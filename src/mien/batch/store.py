"""Object stores (`s3://bucket/prefix/` and what else fsspec has): what is there, and its bytes."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import PurePosixPath
from typing import Any

from mien.errors import MissingExtra


def is_store(name: str) -> bool:
    """Whether `name` is an address of a store (or a stream: ask `is_stream` first).

    >>> is_store("s3://bucket/photos/"), is_store("photos/a.jpg")
    (True, False)
    """
    return "://" in name


def walk(address: str) -> Iterator[tuple[str, str, bool]]:
    """The objects below an address: (address, path below the named one, whether it was named itself).

    Sorted by name at each level; the names of one level are in memory at a time.

    Raises:
        OSError: the store cannot be read.
        MissingExtra: the store's package is not installed.
    """
    scheme = address.partition("://")[0]
    with _as_os_errors(address):
        files, root = _open(address)
        root = root.rstrip("/")
        pending = [(root, files.info(root)["type"])]
        while pending:
            name, kind = pending.pop()
            if kind == "file":
                inside = name.removeprefix(root).lstrip("/")
                yield f"{scheme}://{name}", inside or PurePosixPath(name).name, not inside
                continue
            below = [(one["name"].rstrip("/"), one["type"]) for one in files.ls(name, detail=True)]
            files.invalidate_cache()  # else a listing stays in memory, and is out of date the next time
            pending += sorted((b for b in below if b[0] != name and "/." not in b[0]), reverse=True)


def read_object(address: str, start: int | None = None, end: int | None = None) -> bytes:
    """The bytes of an object, or of a part of it.

    Raises:
        OSError: it cannot be read.
        MissingExtra: the store's package is not installed.
    """
    with _as_os_errors(address):
        files, path = _open(address)
        data: bytes = files.cat_file(path, start=start, end=end)
    return data


def open_object(address: str) -> Any:
    """An object, or a file on disk, as a binary file that can be sought in.

    Raises:
        OSError: it cannot be read.
        MissingExtra: the store's package is not installed.
    """
    with _as_os_errors(address):
        files, path = _open(address)
        return files.open(path, "rb")


@contextmanager
def _as_os_errors(address: str) -> Iterator[None]:
    """Each store raises its own kinds when it is away; readers need to know one."""
    try:
        yield
    except (MissingExtra, GeneratorExit):
        raise
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, "there is none", address) from error
    except PermissionError as error:
        raise PermissionError(errno.EACCES, str(error), address) from error
    except Exception as error:
        raise OSError(errno.EIO, f"{type(error).__name__}: {error}", address) from error


def _open(address: str) -> tuple[Any, str]:
    protocol, _, path = address.partition("://")
    try:
        return _file_system(protocol), path
    except (ImportError, ValueError) as error:
        raise MissingExtra("fsspec (and s3fs, for s3://)", "scale", f"reading {address}") from error


@cache
def _file_system(protocol: str) -> Any:
    import fsspec

    return fsspec.filesystem(protocol)
