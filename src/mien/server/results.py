"""`/v1/jobs`: how far clips are, what came of them, and their end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse

from mien.server.jobs import RESULTS
from mien.server.problem import Problem
from mien.server.schema import JobBody, JobsBody, problems
from mien.server.service import Service, service_of
from mien.server.store import ENDED, Record

router = APIRouter()

Id = Annotated[str, Path(pattern="^[0-9a-f]{24}$", description="As `POST /v1/clips` gave it.")]
_LOOK: Final = 0.25  # seconds from one look at a job to the next
_ALIVE: Final = 15.0  # seconds of silence after which a comment keeps a stream open
_KINDS: Final = {".json": "application/json", ".csv": "text/csv; charset=utf-8",
                 ".parquet": "application/vnd.apache.parquet", ".html": "text/html; charset=utf-8",
                 ".svg": "image/svg+xml", ".mp4": "video/mp4"}  # fmt: skip
#: Pages of results show their own pictures and nothing else; the server's page may frame them.
_PAGE: Final = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; media-src 'self'; frame-ancestors 'self'; "
    "sandbox"
)


@router.get("/v1/jobs", responses=problems(), response_model=JobsBody)
async def jobs(request: Request) -> JSONResponse:
    """Every job, newest first."""
    return JSONResponse({"jobs": [record.body() for record in service_of(request).jobs.store.all()]})


@router.get("/v1/jobs/{job}", responses=problems(404, 422), response_model=JobBody)
async def one_job(request: Request, job: Id) -> JSONResponse:
    """One job."""
    return JSONResponse(_record(service_of(request), job).body())


@router.get(
    "/v1/jobs/{job}/events",
    responses={
        200: {"content": {"text/event-stream": {}}, "description": "Events"},
        **problems(404, 422, 429),
    },
    response_class=StreamingResponse,
)
async def events(request: Request, job: Id) -> StreamingResponse:
    """A job's changes as they come (server-sent events), until it ends."""
    service = service_of(request)
    record = _record(service, job)
    most = service.settings.limits.streams
    if service.streams >= most:
        raise Problem("too-many", f"expected at most {most} readers of events at one time; try again later")
    return StreamingResponse(
        _follow(service, record), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
    )


@router.get(
    "/v1/jobs/{job}/results/{name}",
    responses={200: {"content": {"*/*": {}}, "description": "The file"}, **problems(404, 422)},
    response_class=FileResponse,
)
async def result(request: Request, job: Id, name: str) -> FileResponse:
    """One file that came of a job."""
    service = service_of(request)
    record = _record(service, job)
    if name not in RESULTS or name not in record.results:
        known = ", ".join(record.results) or f"none yet, it is {record.state}"
        raise Problem("not-found", f"expected one of this job's results ({known}), got another name")
    path = service.jobs.folder(record.id) / name
    if not path.is_file():
        raise Problem("not-found", "expected a file that was kept, somebody removed it; send the clip again")
    kind = _KINDS[path.suffix]
    headers = {"Content-Security-Policy": _PAGE, "Cache-Control": "private, no-cache"}
    inline = path.suffix in {".html", ".svg", ".mp4"}
    return FileResponse(
        path,
        media_type=kind,
        headers=headers,
        filename=name,
        content_disposition_type="inline" if inline else "attachment",
    )


@router.delete("/v1/jobs/{job}", status_code=204, responses=problems(404, 422))
async def delete(request: Request, job: Id) -> Response:
    """Stop a job and remove everything of it."""
    if not await asyncio.to_thread(service_of(request).jobs.remove, job):
        raise _no_job()
    return Response(status_code=204)


async def _follow(service: Service, record: Record) -> AsyncIterator[str]:
    """Events: what the job is now, each change, and how it ended."""
    service.streams += 1
    try:
        told: dict[str, Any] | None = None
        silent = 0.0
        while True:
            body = record.body()
            if body != told:
                kind = "progress" if record.state not in ENDED else _end(record)
                yield f"event: {kind}\ndata: {json.dumps(body)}\n\n"
                told, silent = body, 0.0
            elif silent >= _ALIVE:
                yield ": still here\n\n"
                silent = 0.0
            if record.state in ENDED:
                return
            await asyncio.sleep(_LOOK)
            silent += _LOOK
            now = service.jobs.store.get(record.id)
            record = _cancelled(record) if now is None else now
    finally:
        service.streams -= 1


def _end(record: Record) -> str:
    return "done" if record.state == "done" else "failed"


def _cancelled(record: Record) -> Record:
    return replace(record, state="cancelled")


def _record(service: Service, job: str) -> Record:
    record = service.jobs.store.get(job)
    if record is None:
        raise _no_job()
    return record


def _no_job() -> Problem:
    return Problem(
        "not-found", "expected the id of a job, there is none of this one; it was removed, or is wrong"
    )
