"""`/v1/photos` and `/v1/crops`: pictures of a request to what their faces show."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Query, Request, Response

from mien.server.form import CSV, PARQUET, Form, form_of
from mien.server.problem import Problem, problem_of
from mien.server.reader import Finish, Options, Order
from mien.server.schema import FILES, PhotosBody, problems
from mien.server.service import Service, service_of
from mien.server.upload import Received, Upload, received, spooled
from mien.types import Frame, Image

T = TypeVar("T")
router = APIRouter()

#: Photos of one request that wait or are read at one time, for each thread: others want their turn, too.
WINDOW: Final = 4
_MAY = problems(400, 406, 408, 413, 415, 422, 503, 507)

MinFace = Annotated[int | None, Query(ge=8, le=10_000, description="Pixels; smaller faces are left out.")]
MaxFaces = Annotated[int | None, Query(ge=1, le=10_000, description="Only the so many largest.")]
Policy = Annotated[str, Query(max_length=50, description="How probabilities become the emotion shown.")]
Drawn = Annotated[bool, Query(description="Also the pictures with the faces drawn on.")]
_TABLES: Final[dict[str, Any]] = {"description": "What the faces show", "content": {CSV: {}, PARQUET: {}}}


@router.post(
    "/v1/photos",
    responses={200: _TABLES, **_MAY},
    response_model=PhotosBody,
    openapi_extra={"requestBody": FILES},
)
async def photos(
    request: Request,
    min_face: MinFace = None,
    max_faces: MaxFaces = None,
    policy: Policy = "accurate",
    annotate: Drawn = False,
) -> Response:
    """Read photos: one as the raw body, or one or many as multipart."""
    return await _answer(request, Options(min_face, max_faces, policy), drawn=annotate)


@router.post(
    "/v1/crops",
    responses={200: _TABLES, **_MAY},
    response_model=PhotosBody,
    openapi_extra={"requestBody": FILES},
)
async def crops(request: Request, policy: Policy = "accurate", annotate: Drawn = False) -> Response:
    """Read pictures that already are faces, 48 x 48 or more."""
    return await _answer(request, Options(policy=policy, crops=True), drawn=annotate)


async def _answer(request: Request, options: Options, *, drawn: bool) -> Response:
    service = service_of(request)
    service.analyzer.classifier.card.policy(options.policy)  # an error before anything is read
    limits = service.settings.limits
    form = form_of(request.headers.get("accept", ""), drawn=drawn, most=limits.answer)
    with _turn(service, limits.requests):
        place = spooled(service.disk.uploads)
        async with received(request, service.disk, place, name="files", most=limits.files) as got:
            service.metrics.count("mien_upload_bytes_total", got.size)
            found = await unless_gone(request, _read_all(service, got, options, form))
    whole = form.whole(found) if len(found) == 1 else await asyncio.to_thread(form.whole, found)
    return Response(whole, media_type=form.kind)


async def _read_all(service: Service, got: Received, options: Options, form: Form[T]) -> list[T]:
    """What is answered of each file, in order; raises the problem of a lone one."""
    gate = asyncio.Semaphore(WINDOW * service.settings.threads)
    alone = len(got.files) == 1

    async def one(upload: Upload) -> T:
        finish = partial(_counted, service, partial(form.read, upload.name))
        order: Order[T] = Order(partial(got.content, upload), upload.kind, options, finish)
        async with gate:
            try:
                return await asyncio.wrap_future(service.reader.submit(order))
            except Exception as error:
                service.metrics.count("mien_photos_total", outcome="failed")
                if alone:
                    raise
                return form.failed(upload.name, problem_of(error))

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(upload)) for upload in got.files]
    return [task.result() for task in tasks]


async def unless_gone(request: Request, work: Awaitable[T]) -> T:
    """What the work gives; when the client goes before, the work is cancelled.

    Raises:
        Problem: the client has gone, so nobody reads this.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Problem("bad-request", "expected a client that waits for its answer, it has gone")
        return task.result()
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    finally:
        for one in (task, gone):
            one.cancel()
        await asyncio.wait({task, gone})


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


@contextmanager
def _turn(service: Service, most: int) -> Iterator[None]:
    """One of the requests with photos that are let in at one time."""
    if service.photo_requests >= most:
        raise Problem("busy", f"expected at most {most} requests with photos at one time; try again shortly")
    service.photo_requests += 1
    try:
        yield
    finally:
        service.photo_requests -= 1


def _counted(service: Service, finish: Finish[T], pixels: Image, frame: Frame) -> T:
    service.metrics.count("mien_photos_total", outcome="read")
    service.metrics.count("mien_faces_total", len(frame.faces))
    return finish(pixels, frame)
