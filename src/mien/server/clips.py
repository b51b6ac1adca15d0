"""`/v1/clips` and `/v1/jobs`: a clip to a job; how far it is, what came of it, and its end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mien.errors import ConfigError
from mien.server.answers import FILE_SCHEMA, JobBody, JobsBody, Problem, describe_form, describe_problems
from mien.server.content import check_media_type, tell_clip_error
from mien.server.jobs import RESULTS, environment
from mien.server.photos import unless_client_gone
from mien.server.service import Service, service_of
from mien.server.settings import Limits
from mien.server.store import ENDED, JobRecord
from mien.server.upload import receive_files
from mien.server.worker import PROBE
from mien.video.frames import VideoOptions

router = APIRouter()

JobId = Annotated[str, Path(pattern="^[0-9a-f]{24}$", description="As `POST /v1/clips` gave it.")]
_PROBE_SECONDS: Final = 30.0  # in which a clip must give its first frame
_POLL: Final = 0.25  # seconds between two looks at a job whose events are followed
_KEEP_ALIVE: Final = 15.0  # seconds of silence after which a comment keeps a stream open
_MEDIA_TYPES: Final = {".json": "application/json", ".csv": "text/csv; charset=utf-8",
                       ".parquet": "application/vnd.apache.parquet", ".html": "text/html; charset=utf-8",
                       ".mp4": "video/mp4"}  # fmt: skip
#: Pages of results show their own pictures and nothing else; the server's page may frame them.
_RESULT_CSP: Final = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; media-src 'self'; frame-ancestors 'self'; "
    "sandbox"
)


class ClipForm(BaseModel):
    """How a clip is read, as fields of the form or of the query."""

    model_config = ConfigDict(allow_inf_nan=False)

    every: int | None = Field(None, ge=1, lt=1e9)
    fps: float | None = Field(None, gt=0, lt=1e9)
    detect_every: int | None = Field(None, ge=1, lt=1e9)
    start: float | None = Field(None, gt=-1e9, lt=1e9)
    end: float | None = Field(None, gt=-1e9, lt=1e9)
    annotate: bool = False


#: For OpenAPI: the body of a request with a clip; an optional field is left out, never null.
_BODY: Final = describe_form(
    "file",
    FILE_SCHEMA,
    **{
        name: schema.get("anyOf", [schema])[0]
        for name, schema in ClipForm.model_json_schema()["properties"].items()
    },
)


@router.post(
    "/v1/clips",
    status_code=202,
    responses=describe_problems(400, 408, 413, 415, 422, 503, 507),
    openapi_extra={"requestBody": _BODY},
)
async def clips(request: Request, response: Response) -> JobBody:
    """Queue a clip; its job says how far it is and what came of it."""
    service = service_of(request)
    service.jobs.check_queue()
    job = service.jobs.make_folder()
    path = service.jobs.folder(job) / "clip"
    try:
        async with receive_files(request, service.disk, path, field_name="file", most=1) as received:
            [upload] = received.files
            options = read_form({**request.query_params, **received.fields})
            await asyncio.to_thread(received.close)  # what is held in memory goes to the disk
            check_media_type(upload.media_type, "video", "image")  # an animated GIF is a clip, too
            probe = probe_clip(str(path), upload.name, service.settings.limits)
            start = await unless_client_gone(request, probe)
            service.jobs.check_queue()
            name = upload.name or "clip"
            record = service.jobs.add(JobRecord(job, name, options, size=received.size, start=start))
            service.metrics.upload_bytes.inc(received.size)
            received.size = 0  # its bytes are the job's now
    except BaseException:
        await asyncio.to_thread(service.jobs.remove_folder, job)
        raise
    response.headers["Location"] = f"/v1/jobs/{job}"
    return record.body()


def read_form(fields: dict[str, str]) -> dict[str, Any]:
    """The options of a job, from the fields of a request; an empty field is as one that is not there."""
    unknown = set(fields) - set(ClipForm.model_fields)
    if unknown:
        raise ConfigError(f"expected {', '.join(ClipForm.model_fields)}, got {min(unknown)!r}")
    try:
        form = ClipForm.model_validate({name: text for name, text in fields.items() if text})
    except ValidationError as error:
        faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors()]
        raise RequestValidationError(faults) from error
    options = form.model_dump(exclude={"annotate"}, exclude_none=True)
    VideoOptions(form.every or 1, form.fps, form.start, form.end)  # checks them
    return {"job": options, "annotate": form.annotate}


async def probe_clip(path: str, name: str, limits: Limits) -> float:
    """When a clip begins, in seconds by its own time stamps; a Problem says why it is refused.

    Its first frame is decoded in a process of its own: what breaks a decoder ends there.
    """
    process = await asyncio.create_subprocess_exec(
        *PROBE, path, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, env=environment()
    )
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            line, _ = await process.communicate()
    except TimeoutError:
        why = f"expected a first frame of the clip within {_PROBE_SECONDS:g} s, none came; save the clip "
        "again"
        raise Problem("unreadable", why) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    why = ""
    if process.returncode:
        why = "expected a clip, but the process that opened it died; it is damaged: save it again"
    else:
        seen = json.loads(line)
        why = seen.get("error", "").replace(path, name or "the clip")
    if why:
        with open(path, "rb") as file:  # noqa: PTH123 - 2 kB of a file that was just written
            raise tell_clip_error(file.read(2000), why)
    height, width, seconds = seen["height"], seen["width"], seen["seconds"]
    if height * width > limits.pixels:
        why = f"expected frames of at most {limits.pixels:,} pixels, got {width} x {height}; shrink it"
        raise Problem("too-large", why)
    if seconds is not None and seconds > limits.clip_seconds:
        why = f"expected a clip of at most {limits.clip_seconds:g} seconds, got {seconds:.0f}"
        raise Problem("too-large", f"{why}; cut it, or raise --clip-seconds")
    return float(seen["start"])


@router.get("/v1/jobs", responses=describe_problems())
async def jobs(request: Request) -> JobsBody:
    """Every job, newest first."""
    return JobsBody(jobs=[record.body() for record in service_of(request).jobs.store.all()])


@router.get("/v1/jobs/{job}", responses=describe_problems(404, 422))
async def one_job(request: Request, job: JobId) -> JobBody:
    """One job."""
    return _find(service_of(request), job).body()


@router.get(
    "/v1/jobs/{job}/events",
    responses={
        200: {"content": {"text/event-stream": {}}, "description": "Events"},
        **describe_problems(404, 422, 429),
    },
    response_class=StreamingResponse,
)
async def events(request: Request, job: JobId) -> StreamingResponse:
    """A job's changes as they come (server-sent events), until it ends."""
    service = service_of(request)
    record = _find(service, job)
    most = service.settings.limits.streams
    if service.streams >= most:
        raise Problem("too-many", f"expected at most {most} readers of events at one time; try again later")
    return StreamingResponse(
        _follow(service, record), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
    )


async def _follow(service: Service, record: JobRecord) -> AsyncIterator[str]:
    """Events: what the job is now, each change, and how it ended."""
    service.streams += 1
    try:
        sent, silent = "", 0.0
        while True:
            body = record.body().model_dump_json()
            if body != sent:
                end = "done" if record.state == "done" else "failed"
                yield f"event: {end if record.state in ENDED else 'progress'}\ndata: {body}\n\n"
                sent, silent = body, 0.0
            elif silent >= _KEEP_ALIVE:
                yield ": still here\n\n"
                silent = 0.0
            if record.state in ENDED:
                return
            await asyncio.sleep(_POLL)
            silent += _POLL
            record = service.jobs.store.get(record.id) or replace(record, state="cancelled")
    finally:
        service.streams -= 1


@router.get(
    "/v1/jobs/{job}/results/{name}",
    responses={200: {"content": {"*/*": {}}, "description": "The file"}, **describe_problems(404, 422)},
    response_class=FileResponse,
)
async def result(request: Request, job: JobId, name: str) -> FileResponse:
    """One file that came of a job."""
    service = service_of(request)
    record = _find(service, job)
    if name not in RESULTS or name not in record.results:
        known = ", ".join(record.results) or f"none yet, it is {record.state}"
        raise Problem("not-found", f"expected one of this job's results ({known}), got another name")
    path = service.jobs.folder(record.id) / name
    if not path.is_file():
        raise Problem("not-found", "the file is no longer in the server's folder; send the clip again")
    return FileResponse(
        path,
        media_type=_MEDIA_TYPES[path.suffix],
        headers={"Content-Security-Policy": _RESULT_CSP, "Cache-Control": "private, no-cache"},
        filename=name,
        content_disposition_type="inline" if path.suffix in {".html", ".mp4"} else "attachment",
    )


@router.delete("/v1/jobs/{job}", status_code=204, responses=describe_problems(404, 422))
async def delete(request: Request, job: JobId) -> Response:
    """Stop a job and remove everything of it."""
    if not await asyncio.to_thread(service_of(request).jobs.remove, job):
        raise _unknown_job()
    return Response(status_code=204)


def _find(service: Service, job: str) -> JobRecord:
    record = service.jobs.store.get(job)
    if record is None:
        raise _unknown_job()
    return record


def _unknown_job() -> Problem:
    why = "expected the id of a job, there is none with this id; it was removed, or the id is wrong"
    return Problem("not-found", why)
