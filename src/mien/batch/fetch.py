"""An input's picture, wherever it lies: on disk, in a file that holds many, in an object store."""

from __future__ import annotations

import errno
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Final

from mien.batch.held import read_member
from mien.batch.sources import Source
from mien.batch.store import is_store, read_object
from mien.errors import ImageError, MienError, VideoError
from mien.image import Picture, read_image

#: Seconds to wait before a picture that could not be fetched is tried again.
PAUSES: Final = (0.2, 1.0, 3.0)
#: No use in trying these again: it is not there, or not ours.
_FINAL: Final = frozenset(
    {errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG}
)


def fetch_picture(source: Source) -> Picture:
    """Read a photo; where disk or network hiccup, a few times.

    Raises:
        ImageError: it cannot be fetched, or is no picture.
    """
    for pause in PAUSES:
        try:
            return _picture(source)
        except MienError as error:
            if not is_lost(error) or _errno(error) in _FINAL:
                raise
            time.sleep(pause)
    return _picture(source)


def is_lost(error: BaseException) -> bool:
    """Whether an input failed because it could not be fetched, whatever is in it."""
    number = _errno(error)
    return number is not None and number in errno.errorcode  # FFmpeg has numbers of its own, for damage


@contextmanager
def on_disk(source: Source) -> Iterator[str]:
    """The path of a clip; one in an object store is copied to a temporary file first.

    Raises:
        VideoError: it cannot be fetched.
    """
    if source.kind != "clip" or not is_store(source.name):
        yield source.name
        return
    with tempfile.TemporaryDirectory(prefix="mien-") as folder:
        path = Path(folder, PurePosixPath(source.name).name)
        try:
            path.write_bytes(read_object(source.name))
        except OSError as error:
            raise VideoError(_cannot(source, error)) from error
        yield str(path)


def _picture(source: Source) -> Picture:
    if source.held is None and not is_store(source.name):
        return read_image(source.name)
    try:
        data = read_object(source.name) if source.held is None else read_member(source.held)
    except OSError as error:
        raise ImageError(_cannot(source, error)) from error
    return read_image(data)


def _cannot(source: Source, error: OSError) -> str:
    return (
        f"expected to read {source.name}, got: {error.strerror or error}; check that it is there, and the "
        "network"
    )


def _errno(error: BaseException) -> int | None:
    cause = error.__cause__
    return cause.errno if isinstance(cause, OSError) else None
