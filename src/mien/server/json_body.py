"""Photos in a body of JSON: each as base64, or as an address that the server fetches."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mien.errors import ImageError, shorten
from mien.image import decode_text
from mien.server.answers import Problem, too_large
from mien.server.service import Service
from mien.server.upload import ReceivedFiles, Upload

MEDIA_TYPE: Final = "application/json"


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

    One that cannot be had has its `problem`; a body that makes no sense raises it.
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
