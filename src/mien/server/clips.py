"""`/v1/clips`: a clip to a job, once it is known that it can be read."""

from __future__ import annotations

import asyncio
import json
import math
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from mien.errors import ConfigError
from mien.server.kinds import is_said
from mien.server.photos import unless_gone
from mien.server.problem import Problem
from mien.server.process import alone
from mien.server.schema import CLIP, JobBody, problems
from mien.server.service import service_of
from mien.server.settings import Limits
from mien.server.store import Record
from mien.server.upload import received
from mien.video.frames import VideoOptions

router = APIRouter()
_LOOK: Final = 30.0  # seconds in which a clip gives its first frame
_WHOLE: Final = ("every", "detect_every")
_NUMBERS: Final = ("fps", "start", "end")
_YES: Final = {"true": True, "1": True, "yes": True, "on": True, "": False,
               "false": False, "0": False, "no": False, "off": False}  # fmt: skip


@router.post(
    "/v1/clips",
    status_code=202,
    responses=problems(400, 408, 413, 415, 422, 503, 507),
    response_model=JobBody,
    openapi_extra={"requestBody": CLIP},
)
async def clips(request: Request) -> JSONResponse:
    """Queue a clip; what is made of it is told by its job."""
    service = service_of(request)
    service.jobs.check_room()
    job = service.jobs.begin()
    folder = service.jobs.folder(job)
    try:
        async with received(
            request, service.disk, lambda: (folder / "clip").open("xb"), name="file", most=1
        ) as got:
            upload = got.files[0]
            options = read_options({**request.query_params, **got.fields})
            await asyncio.to_thread(got.close)  # what is held goes to the disk
            _check_said(upload.kind)
            look = _look(folder / "clip", upload.name, service.settings.limits)
            start = await unless_gone(request, look)
            service.jobs.check_room()
            name = upload.name or "clip"
            record = service.jobs.add(Record(job, name, options, size=got.size, start=start))
            service.metrics.count("mien_upload_bytes_total", got.size)
            got.size = 0  # its bytes are the job's now
    except BaseException:
        await asyncio.to_thread(service.jobs.drop, job)
        raise
    return JSONResponse(record.body(), 202, {"Location": f"/v1/jobs/{job}"})


def read_options(said: dict[str, str]) -> dict[str, Any]:
    """What a request says of how to read a clip, checked.

    Raises:
        ConfigError: a number or a word that makes no sense.
    """
    unknown = set(said) - {*_WHOLE, *_NUMBERS, "annotate"}
    if unknown:
        raise ConfigError(f"expected every, fps, detect_every, start, end, annotate, got {min(unknown)!r}")
    job: dict[str, Any] = {key: _number(key, said[key], int) for key in _WHOLE if said.get(key)}
    job |= {key: _number(key, said[key], float) for key in _NUMBERS if said.get(key)}
    if job.get("detect_every", 1) < 1:
        raise ConfigError(f"detect_every: expected at least 1, got {job['detect_every']}")
    VideoOptions(job.get("every", 1), job.get("fps"), job.get("start"), job.get("end"))
    annotate = said.get("annotate", "").lower()
    if annotate not in _YES:
        raise ConfigError(f"annotate: expected true or false, got {annotate!r}")
    return {"job": job, "annotate": _YES[annotate]}


def _number(key: str, text: str, kind: type[int] | type[float]) -> int | float:
    try:
        value = kind(text)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise ConfigError(f"{key}: expected {what}, got {text[:40]!r}") from None
    if not (math.isfinite(value) and abs(value) < 1e9):
        raise ConfigError(f"{key}: expected a number below 1e9, got {text[:40]!r}")
    return value


def _check_said(kind: str) -> None:
    if not (is_said(kind, "video") or is_said(kind, "image")):  # an animated GIF is a clip, too
        raise Problem(
            "unsupported", f"expected a clip, the request says that it is {kind!r}; send it as video/..."
        )


async def _look(path: Path, name: str, limits: Limits) -> float:
    """See the first frame of a clip, in a process of its own; gives when it begins, in seconds.

    Raises:
        Problem: it cannot be read, is too large, too long, or takes too long to open.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mien.server.look", str(path), stdin=DEVNULL, stdout=PIPE, env=alone()
    )
    try:
        async with asyncio.timeout(_LOOK):
            line, _ = await process.communicate()
    except TimeoutError:
        raise Problem("unreadable", f"expected a frame of the clip within {_LOOK:g} s, none came") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise Problem("unreadable", "expected a clip, what opened it died; it is damaged: save it anew")
    seen = json.loads(line)
    if "error" in seen:
        raise Problem("unreadable", seen["error"].replace(str(path), name or "the clip"))
    _check_size(seen, limits)
    return float(seen["start"])


def _check_size(seen: dict[str, Any], limits: Limits) -> None:
    rows, columns, seconds = seen["rows"], seen["columns"], seen["seconds"]
    if rows * columns > limits.pixels:
        raise Problem(
            "too-large",
            f"expected frames of at most {limits.pixels:,} pixels, got {columns} x {rows}; shrink it",
        )
    if seconds is not None and seconds > limits.clip_seconds:
        raise Problem(
            "too-large",
            f"expected a clip of at most {limits.clip_seconds:g} seconds, got {seconds:.0f}; cut it, or "
            "raise --clip-seconds",
        )
