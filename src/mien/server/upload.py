"""The files of a request, written piece by piece into one file as they come: a body, a form, or JSON.

In a body of JSON, each photo is base64, or an address that the server fetches. What a client calls a file is
data; it never becomes a path.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from mien.errors import ImageError, shorten
from mien.image import decode_text
from mien.server.answers import Problem, problem_of, too_large
from mien.server.service import Service
from mien.server.store import Disk

JSON: Final = "application/json"

HELD: Final = 4_000_000  # bytes of a request that stay in memory
_LOOP_BYTES: Final = 1_000_000  # bytes of a raw body up to which the event loop writes them itself
_FIELD: Final = 1024  # bytes of a field that is not a file
_FIELDS: Final = 32  # in one request, besides the files
_NAME: Final = 255  # letters


@dataclass(slots=True, eq=False)
class ReceivedFiles:
    """The files and fields of a request. All files share one file, so that many need only one handle."""

    disk: Disk  # counts every byte
    path: Path | None  # of the file that has them all; None: in memory while it is small, then without a name
    files: list[Upload] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)
    size: int = 0  # bytes of the files
    shared: IO[bytes] | None = None  # the open file; None: not yet, or closed
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, media_type: str) -> Upload:
        """Begin a file."""
        if self.shared is None:
            folder = str(self.disk.uploads)
            opened = self.path.open("xb") if self.path else tempfile.SpooledTemporaryFile(HELD, dir=folder)  # noqa: SIM115
            self.shared = cast("IO[bytes]", opened)
        name = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)[:_NAME]
        self.files.append(Upload(self, name, _plain_type(media_type)))
        return self.files[-1]

    def close(self) -> None:
        """Close the file; OSError: the disk does not take the rest of what is held in memory."""
        with self.lock:
            shared, self.shared = self.shared, None
            if shared is not None:
                shared.close()


@dataclass(slots=True, eq=False)
class Upload:
    """One file of a request; for Starlette's parser it is the file that it writes to."""

    request: ReceivedFiles
    name: str  # as the client calls it
    media_type: str  # as the client says; "" if it does not
    start: int = 0  # its place in the shared file
    size: int = 0  # bytes
    problem: Problem | None = None  # why it could not be had

    def write(self, data: bytes) -> None:
        """Append bytes; files are written one after the other, so that each is one piece."""
        request = self.request
        if not self.size:
            self.start = request.size
        request.disk.take(len(data))
        request.size += len(data)
        self.size += len(data)
        cast("IO[bytes]", request.shared).write(data)

    def seek(self, place: int) -> None:
        """Do nothing: the parser goes back to the start of a file, which `content` does by itself."""

    def content(self) -> bytes:
        """Its bytes; from any thread. ValueError: the request is over."""
        if self.problem is not None:
            raise self.problem
        with self.request.lock:
            if self.request.shared is None:
                raise ValueError("the request is over")
            self.request.shared.seek(self.start)
            return self.request.shared.read(self.size)


@asynccontextmanager
async def receive_files(
    request: Request, disk: Disk, path: Path | None = None, *, field_name: str, most: int
) -> AsyncIterator[ReceivedFiles]:
    """The files in one field of a multipart form, at most `most`, or the body; closed when the block ends.

    The disk counts every byte. A request that cannot be parsed, or is too large, raises a Problem.
    """
    received = ReceivedFiles(disk, path)
    try:
        try:
            if _plain_type(request.headers.get("content-type", "")) == "multipart/form-data":
                await _receive_form(request, received, field_name, most)
            else:
                await _receive_body(request, received)
        except ClientDisconnect:
            raise Problem("bad-request", "the client disconnected during the upload") from None
        yield received
    except OSError as error:
        raise problem_of(error) from error
    finally:
        with suppress(OSError):
            received.close()
        disk.give_back(received.size)


async def _receive_body(request: Request, received: ReceivedFiles) -> None:
    """The body is the file."""
    async for piece in request.stream():
        if not piece:
            continue
        if not received.files:
            received.add("", request.headers.get("content-type", ""))
        upload = received.files[0]
        if received.size < _LOOP_BYTES:
            upload.write(piece)
        else:  # a disk may take its time; other requests are not to wait for it
            await asyncio.to_thread(upload.write, piece)
    if not received.files:
        raise Problem(
            "bad-request", "expected a file as the body or in a multipart form, got no body; send one"
        )


async def _receive_form(request: Request, received: ReceivedFiles, field_name: str, most: int) -> None:
    parser = _FormParser(received, field_name, request, most)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        too_much = error.message.startswith(("Too many files", "Part exceeded"))
        kind = "too-large" if too_much else "bad-request"
        detail = error.__cause__ or error.message
        why = f"expected a multipart form within the limits, got: {detail}; correct it, or send it in parts"
        raise Problem(kind, why) from error
    if not parser.ended:
        raise Problem("bad-request", "expected a complete multipart body, it ends too early; send it again")
    if not received.files:
        raise Problem("bad-request", f"expected a file in the field {field_name!r}, got none; send one")
    received.fields = {key: value for key, value in form.multi_items() if isinstance(value, str)}


class _FormParser(MultiPartParser):
    """Starlette's parser, writing all files of the request into one: it would open a file for each."""

    def __init__(self, received: ReceivedFiles, field_name: str, request: Request, most: int) -> None:
        stream = request.stream()
        super().__init__(request.headers, stream, max_files=most, max_fields=_FIELDS, max_part_size=_FIELD)
        self._received, self._field_name = received, field_name
        self.ended = False

    def on_headers_finished(self) -> None:
        """A part begins."""
        super().on_headers_finished()
        part = self._current_part
        if part.file is None:
            return
        if part.field_name != self._field_name:
            why = f"expected files in the field {self._field_name!r}, got one in {part.field_name!r}"
            raise Problem("bad-request", why)
        part.file.file.close()
        upload: Any = self._received.add(part.file.filename or "", part.file.content_type or "")
        part.file = UploadFile(cast("BinaryIO", upload), filename=upload.name, headers=part.file.headers)

    def on_end(self) -> None:
        """The form is whole."""
        self.ended = True


def _plain_type(media_type: str) -> str:
    """A media type without its parameters."""
    return media_type.partition(";")[0].strip().lower()


# --- a body of JSON


class PhotoItem(BaseModel):
    """One photo: `data`, as base64 or a data URI; or its `url`."""

    model_config = ConfigDict(extra="forbid")

    name: str = ""
    data: str | None = None
    url: str | None = None


class PhotosItem(BaseModel):
    """The photos of a request."""

    model_config = ConfigDict(extra="forbid")

    photos: list[PhotoItem] = Field(min_length=1)


#: For OpenAPI: the schema of the body.
SCHEMA: Final[dict[str, Any]] = PhotosItem.model_json_schema()
SCHEMA["properties"]["photos"]["items"] = SCHEMA.pop("$defs")["PhotoItem"]


async def unpack_json(service: Service, received: ReceivedFiles) -> None:
    """Put the photos of a JSON body, which is the one file of a request, in its place.

    One that cannot be read has its `problem`; a body that makes no sense raises one.
    """
    [body] = received.files
    async with service.unpacking:
        items = await asyncio.to_thread(_parse, body)
        if len(items) > (most := service.settings.limits.files):
            raise Problem(
                "too-large", f"expected at most {most} photos, got {len(items)}; send them in parts"
            )
        received.files = []
        uploads = [received.add(item.name or item.url or "", "") for item in items]
        await asyncio.to_thread(_decode_all, uploads, items)
    lock = asyncio.Lock()
    async with asyncio.TaskGroup() as group:
        for upload, item in zip(uploads, items, strict=True):
            if item.url is not None:
                group.create_task(_fetch(service, upload, item.url, lock))


def _parse(body: Upload) -> Sequence[PhotoItem]:
    form = '{"photos": [{"data": "BASE64"}, {"url": "https://..."}]}'
    try:
        items = PhotosItem.model_validate_json(body.content()).photos
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"])) or "the body"
        raise Problem("bad-request", f"expected JSON such as {form}; {where}: {fault['msg']}") from None
    for i, item in enumerate(items):
        if (item.data is None) == (item.url is None):
            raise Problem("bad-request", f"expected JSON such as {form}; photos.{i}: either data or url")
    return items


def _decode_all(uploads: Sequence[Upload], items: Sequence[PhotoItem]) -> None:
    for upload, item in zip(uploads, items, strict=True):
        if item.data is None:
            continue
        try:
            content = decode_text(item.data)
        except ImageError:
            content = ""
        if isinstance(content, bytes):
            upload.write(content)
        else:
            got = shorten(item.data, 40)
            why = f"expected a picture as base64 or data URI in `data`, got {got!r}; encode the file's bytes"
            upload.problem = Problem("unsupported", why)


async def _fetch(service: Service, upload: Upload, address: str, lock: asyncio.Lock) -> None:
    limits = service.settings.limits
    try:
        async with service.fetching:
            data = await service.fetcher.get(address, limits.fetch)
        async with lock:  # each file is one piece of the shared one
            if upload.request.size + len(data) > limits.upload:
                raise too_large(limits.upload)
            await asyncio.to_thread(upload.write, data)
    except Problem as problem:
        upload.problem = problem
