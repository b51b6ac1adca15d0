"""`/v1/photos` and `/v1/crops`: the pictures of a request to what their faces show.

Each photo is put into its form in the thread that read it, so that the event loop only joins the pieces.
"""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import io
import threading
from collections.abc import Awaitable, Set
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Query, Request, Response

from mien.image import encode_image
from mien.results.draw import annotate as draw_faces
from mien.results.rows import Row, failure_row, rows
from mien.results.tables import CsvFile, ParquetFile
from mien.server.answers import (
    FILE_SCHEMA,
    FaceBody,
    PhotoBody,
    PhotosBody,
    Problem,
    describe_form,
    describe_problems,
    problem_of,
)
from mien.server.reader import PhotoOptions, PhotoTask
from mien.server.service import Service, service_of
from mien.server.upload import JSON, SCHEMA, ReceivedFiles, Upload, receive_files, unpack_json
from mien.types import Frame, Image

T = TypeVar("T")
router = APIRouter()

#: Photos of one request that wait or are read at one time, for each thread; so other requests get their turn.
WINDOW: Final = 4
CSV: Final = "text/csv"
PARQUET: Final = "application/vnd.apache.parquet"

#: For OpenAPI: the body of a request with photos.
_BODY: Final = describe_form("files", {"type": "array", "items": FILE_SCHEMA, "minItems": 1})
_BODY["content"]["image/*"] = {"schema": FILE_SCHEMA}
_BODY["content"][JSON] = {"schema": SCHEMA}
_ROUTE: Final[dict[str, Any]] = {
    "responses": {
        200: {"description": "What the faces show", "content": {CSV: {}, PARQUET: {}}},
        **describe_problems(400, 406, 408, 413, 415, 422, 503, 507),
    },
    "response_model": PhotosBody,
    "openapi_extra": {"requestBody": _BODY},
}

_OF_CROPS: Final = frozenset({"policy", "annotate"})  # what a query may have
_OF_PHOTOS: Final = _OF_CROPS | {"min_face", "max_faces"}
MinFace = Annotated[int | None, Query(ge=8, le=10_000, description="Smaller faces are left out; in pixels.")]
MaxFaces = Annotated[int | None, Query(ge=1, le=10_000, description="Only this many, the largest.")]
Policy = Annotated[str, Query(max_length=50, description="How probabilities become the emotion shown.")]
Annotate = Annotated[bool, Query(description="Also the pictures with the faces drawn on.")]


@router.post("/v1/photos", **_ROUTE)
async def photos(
    request: Request,
    min_face: MinFace = None,
    max_faces: MaxFaces = None,
    policy: Policy = "accurate",
    annotate: Annotate = False,
) -> Response:
    """Read photos: one as the raw body, or one or many as multipart or JSON."""
    return await _answer(
        request, PhotoOptions(min_face, max_faces, policy), annotate=annotate, known=_OF_PHOTOS
    )


@router.post("/v1/crops", **_ROUTE)
async def crops(request: Request, policy: Policy = "accurate", annotate: Annotate = False) -> Response:
    """Read pictures that already are faces, 48 x 48 or more."""
    return await _answer(request, PhotoOptions(policy=policy, crops=True), annotate=annotate, known=_OF_CROPS)


async def _answer(request: Request, options: PhotoOptions, *, annotate: bool, known: Set[str]) -> Response:
    service = service_of(request)
    service.analyzer.classifier.card.policy(options.policy)  # an error before anything is read
    limits = service.settings.limits
    if unknown := set(request.query_params) - known:
        raise Problem("bad-setting", f"expected {', '.join(sorted(known))}, got {min(unknown)[:40]!r}")
    answer = choose_answer(request.headers.get("accept", ""), annotate=annotate, most=limits.answer)
    if service.photo_requests >= limits.requests:
        why = f"expected at most {limits.requests} requests with photos at the same time; try again soon"
        raise Problem("busy", why)
    service.photo_requests += 1
    try:
        files = receive_files(request, service.disk, field_name="files", most=limits.files)
        async with files as received:
            service.metrics.upload_bytes.inc(received.size)
            if received.fields:
                why = f"expected only files in the form, got the field {min(received.fields)[:40]!r}"
                raise Problem("bad-setting", f"{why}; put settings into the query")
            if received.files[0].media_type == JSON:
                await unless_client_gone(request, unpack_json(service, received))
            found = await unless_client_gone(request, _read_all(service, received, options, answer))
    finally:
        service.photo_requests -= 1
    whole = answer.join(found) if len(found) == 1 else await asyncio.to_thread(answer.join, found)
    return Response(whole, media_type=answer.media_type)


async def _read_all(
    service: Service, received: ReceivedFiles, options: PhotoOptions, answer: JsonAnswer | TableAnswer
) -> list[Any]:
    """The pieces of the answer, one per file in order; raises the problem if there is only one file."""
    gate = asyncio.Semaphore(WINDOW * service.settings.threads)
    alone = len(received.files) == 1

    async def read(upload: Upload) -> Any:
        def finish(pixels: Image, frame: Frame) -> Any:
            service.metrics.photos.labels("read").inc()
            service.metrics.faces.inc(len(frame.faces))
            return answer.photo(upload.name, pixels, frame)

        async with gate:
            try:
                task = PhotoTask(upload.content, upload.media_type, options, finish)
                return await asyncio.wrap_future(service.reader.submit(task))
            except Exception as error:
                service.metrics.photos.labels("failed").inc()
                if alone:
                    raise
                return answer.failure(upload.name, problem_of(error))

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(read(upload)) for upload in received.files]
    return [task.result() for task in tasks]


async def unless_client_gone(request: Request, work: Awaitable[T]) -> T:
    """The result of the work; the work is cancelled when the client goes before it is done."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_wait_until_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Problem("bad-request", "the client disconnected")
        return task.result()
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    finally:
        for one in (task, gone):
            one.cancel()
        await asyncio.wait({task, gone})


async def _wait_until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class JsonAnswer:
    """`{"photos": [...]}`, a `PhotosBody` of at most `most` bytes; perhaps with annotated pictures."""

    media_type = JSON

    def __init__(self, *, annotate: bool, most: int) -> None:
        self._annotate, self._most = annotate, most
        self._size = 0
        self._lock = threading.Lock()

    def photo(self, name: str, pixels: Image, frame: Frame) -> bytes:
        """The JSON of a photo of (H, W, 3) RGB uint8 pixels; called in the thread that read it."""
        height, width = pixels.shape[:2]
        faces = [FaceBody.of(number, face) for number, face in enumerate(frame.faces)]
        notes = list(frame.notes)
        body = PhotoBody(name=name, width=width, height=height, notes=notes, error=None, faces=faces)
        if self._annotate:
            jpeg = encode_image(draw_faces(pixels, frame.faces))
            body.annotated = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"
        piece = self._encode(body)
        with self._lock:
            if self._size + len(piece) > self._most:
                why = f"expected an answer of at most {self._most:,} bytes, got more"
                raise Problem("too-large", f"{why}; send fewer photos at a time, or leave out `annotate`")
            self._size += len(piece)
        return piece

    def failure(self, name: str, problem: Problem) -> bytes:
        """The JSON of a photo with its problem."""
        return self._encode(PhotoBody(name=name, width=0, height=0, notes=[], error=problem.body(), faces=[]))

    def join(self, pieces: list[bytes]) -> bytes:
        """One object."""
        return b'{"photos":[' + b",".join(pieces) + b"]}"

    def _encode(self, body: PhotoBody) -> bytes:
        left_out = None if body.annotated else {"annotated"}
        return body.model_dump_json(exclude=left_out).encode()


class TableAnswer:
    """The rows of `mien analyze`, as CSV or Parquet."""

    def __init__(self, media_type: str) -> None:
        self._parquet = media_type == PARQUET
        self.media_type = media_type if self._parquet else f"{CSV}; charset=utf-8"

    def photo(self, name: str, pixels: Image, frame: Frame) -> list[Row]:  # noqa: ARG002 - as the others
        """Its rows."""
        return rows(Frame(name, frame.index, frame.time, frame.faces, frame.notes))

    def failure(self, name: str, problem: Problem) -> list[Row]:  # noqa: ARG002 - a row has no place for it
        """A row with success 0."""
        return [failure_row(name)]

    def join(self, pieces: list[list[Row]]) -> bytes:
        """One table."""
        if not self._parquet:
            text = io.StringIO()
            CsvFile(text).write([row for piece in pieces for row in piece])
            return text.getvalue().encode()
        place = io.BytesIO()
        file = ParquetFile(place)
        for piece in pieces:
            file.write(piece)
        file.close()
        return place.getvalue()


def choose_answer(accept: str, *, annotate: bool, most: int) -> JsonAnswer | TableAnswer:
    """The form that a request asks for by its `Accept` header (RFC 9110, 12.5.1); JSON by default."""
    best, best_weight = JSON, 0.0
    for part in accept.lower().split(","):
        media_type, *parameters = (piece.strip() for piece in part.split(";"))
        text = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            weight = float(text)
        except ValueError:
            weight = 0.0
        if media_type in {JSON, CSV, PARQUET} and weight > best_weight:
            best, best_weight = media_type, weight
    if best == JSON:
        return JsonAnswer(annotate=annotate, most=most)
    if best == PARQUET and importlib.util.find_spec("pyarrow") is None:
        why = "expected a request for JSON or CSV, got one for Parquet, for which this server lacks pyarrow"
        hint = "ask for another, or `pip install 'mien[data]'` where the server runs"
        raise Problem("not-acceptable", f"{why}; {hint}")
    return TableAnswer(best)
