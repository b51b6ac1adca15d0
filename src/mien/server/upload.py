"""Files out of a request, piece by piece, into one file: in memory while it is small, else without a name.

What a client calls a file is data; it never becomes a path.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, Protocol, cast

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from mien.server.disk import Disk
from mien.server.guard import too_large
from mien.server.problem import FULL, Problem, disk_full

HELD: Final = 4_000_000  # bytes of a request that stay in memory
_QUICK: Final = 1_000_000  # bytes of a request up to which the event loop writes them itself
_FIELD: Final = 1_000  # bytes of a field that is no file
_HEADER: Final = 8_000  # bytes of a part's headers
_NAME: Final = 255  # letters
_FIELDS: Final = 32  # of a request, besides the files

#: Makes the file that the files of a request go to, one behind the other.
Place = Callable[[], IO[bytes]]


@dataclass(slots=True)
class Upload:
    """One file of a request."""

    name: str  # as the client calls it
    kind: str  # its media type, as the client says; "" if not said
    start: int  # where it begins
    size: int = 0  # bytes


@dataclass(slots=True)
class Received:
    """A whole request."""

    files: list[Upload] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)
    size: int = 0  # bytes of the files
    place: IO[bytes] | None = None  # that has them all, so that many files are one handle
    lock: threading.Lock = field(default_factory=threading.Lock)

    def content(self, upload: Upload) -> bytes:
        """The bytes of one file; from any thread.

        Raises:
            ValueError: its request is over.
        """
        with self.lock:
            if self.place is None:
                raise ValueError("the request is over")
            self.place.seek(upload.start)
            return self.place.read(upload.size)

    def close(self) -> None:
        """Let go of the files.

        Raises:
            OSError: the disk does not take the rest of what is held.
        """
        with self.lock:
            place, self.place = self.place, None
            if place is not None:
                place.close()


def spooled(folder: Path) -> Place:
    """A place in memory as long as it is small, else in a file without a name in the folder."""
    return lambda: cast("IO[bytes]", tempfile.SpooledTemporaryFile(HELD, dir=str(folder)))


@asynccontextmanager
async def received(
    request: Request, disk: Disk, place: Place, *, name: str, most: int
) -> AsyncIterator[Received]:
    """The files of a request, which go when the block ends.

    Args:
        request: multipart with files in the field `name`, or one file as its body.
        disk: is told of every byte.
        place: where they go.
        name: of the field.
        most: files.

    Raises:
        Problem: it cannot be taken apart, it is too much, or there is no room for it.
    """
    whole = Received()
    try:
        await _receive(request, _Sink(disk, place, whole), name, most)
        yield whole
    except OSError as error:
        if error.errno in FULL:
            raise disk_full(error) from error
        raise
    finally:
        with suppress(OSError):
            whole.close()
        disk.give_back(whole.size)


async def _receive(request: Request, sink: _Sink, name: str, most: int) -> None:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind == b"multipart/form-data":
        taker: _Taker = _Parts(options.get(b"boundary", b""), sink, name, most)
    else:
        taker = _Raw(kind.decode("latin-1"), sink)
    try:
        async for piece in request.stream():
            if sink.whole.size < _QUICK:
                taker.take(piece)
            else:  # a disk may take its time; others are not to wait for it
                await asyncio.to_thread(taker.take, piece)
    except ClientDisconnect:
        raise Problem("bad-request", "expected a whole upload, its sender has gone") from None
    taker.finish()


class _Taker(Protocol):
    """Takes a body apart."""

    def take(self, piece: bytes) -> None: ...
    def finish(self) -> None: ...


class _Sink:
    """Writes the pieces of one file after the other."""

    def __init__(self, disk: Disk, place: Place, whole: Received) -> None:
        self._disk, self._place, self.whole = disk, place, whole

    def open(self, name: str, kind: str) -> None:
        if self.whole.place is None:
            self.whole.place = self._place()
        self.whole.files.append(Upload(name, kind, self.whole.size))

    def write(self, data: bytes) -> None:
        self._disk.take(len(data))
        self.whole.size += len(data)
        cast("IO[bytes]", self.whole.place).write(data)
        self.whole.files[-1].size += len(data)


class _Raw:
    """The body is the file."""

    def __init__(self, kind: str, sink: _Sink) -> None:
        self._kind, self._sink = kind, sink

    def take(self, piece: bytes) -> None:
        if piece and not self._sink.whole.files:
            self._sink.open("", self._kind)
        if piece:
            self._sink.write(piece)

    def finish(self) -> None:
        if not self._sink.whole.files:
            raise Problem("bad-request", "expected a file as the body or in multipart, got no body; send one")


class _Parts:
    """The parts of `multipart/form-data` (RFC 7578)."""

    def __init__(self, boundary: bytes, sink: _Sink, name: str, most: int) -> None:
        self._sink, self._whole = sink, sink.whole
        self._name, self._most = name, most
        self._fields = 0  # so far; the same name may come twice
        self._headers: dict[bytes, bytes] = {}
        self._key = self._value = self._text = b""
        self._held = 0  # bytes of the headers
        self._field: str | None = None  # that is being read; None: a file
        self._ended = False
        calls = ("part_begin", "part_data", "part_end", "header_field", "header_value", "header_end",
                 "headers_finished", "end")  # fmt: skip
        try:
            self._parser = MultipartParser(boundary, {f"on_{c}": getattr(self, f"_{c}") for c in calls})  # type: ignore[arg-type]
        except MultipartParseError as error:
            raise _broken(error) from error

    def take(self, piece: bytes) -> None:
        try:
            self._parser.write(piece)
        except MultipartParseError as error:
            raise _broken(error) from error

    def finish(self) -> None:
        if not self._ended:
            raise Problem("bad-request", "expected a whole multipart body, it ends early; send it again")
        if not self._whole.files:
            raise Problem("bad-request", f"expected a file in the field {self._name!r}, got none; send one")

    def _part_begin(self) -> None:
        self._headers, self._key, self._value, self._text = {}, b"", b"", b""
        self._held = 0

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._key += data[start:end]
        self._held += end - start
        self._check_headers()

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._held += end - start
        self._check_headers()

    def _check_headers(self) -> None:
        if self._held > _HEADER:
            raise Problem("bad-request", f"expected headers of a part of at most {_HEADER} bytes, got more")

    def _header_end(self) -> None:
        self._headers[self._key.lower()] = self._value
        self._key = self._value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode(errors="replace")
        if b"filename" not in options:
            self._field = name
            self._fields += 1
            if self._fields > _FIELDS:
                raise Problem("bad-request", f"expected at most {_FIELDS} fields, got more")
            return
        if name != self._name:
            raise Problem("bad-request", f"expected files in the field {self._name!r}, got one in {name!r}")
        if len(self._whole.files) >= self._most:
            raise Problem("too-large", f"expected at most {self._most} files, got more; send them in parts")
        self._field = None
        kind, _ = parse_options_header(self._headers.get(b"content-type", b""))
        self._sink.open(clean(options[b"filename"]), kind.decode("latin-1"))

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._field is None:
            self._sink.write(data[start:end])
            return
        self._text += data[start:end]
        if len(self._text) > _FIELD:
            raise too_large(_FIELD)

    def _part_end(self) -> None:
        if self._field is not None:
            self._whole.fields[self._field] = self._text.decode(errors="replace")

    def _end(self) -> None:
        self._ended = True


def clean(name: bytes) -> str:
    """A file's name as text that can be shown: no control characters, and not endless."""
    text = name.decode(errors="replace")
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)[:_NAME]


def _broken(error: Exception) -> Problem:
    return Problem("bad-request", f"expected multipart/form-data, could not take it apart: {error}")
