"""The application: routes, errors and the page, behind the guard."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from mien import __version__
from mien.analyzer import load
from mien.errors import MienError
from mien.server import about, clips, live, photos, results
from mien.server.disk import Disk
from mien.server.guard import Guard
from mien.server.jobs import Jobs
from mien.server.metrics import Metrics
from mien.server.problem import Problem, problem_of
from mien.server.reader import Reader
from mien.server.service import Service
from mien.server.settings import Settings

STATIC: Final = Path(__file__).parent / "static"
#: The page runs its own scripts and shows what it is given; it may ask this server and nobody else.
CSP: Final = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; font-src 'self'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self'; worker-src 'self' blob:; "
    "frame-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def open_service(settings: Settings) -> Service:
    """Load the networks, take the folder, start the threads.

    Raises:
        MienError: the networks cannot be loaded, or the folder not be had.
    """
    limits = settings.limits
    analyzer = load(None if settings.model is None else settings.model, providers=settings.providers)
    metrics, disk = Metrics(), Disk(settings.keep, limits.disk)
    try:
        jobs = Jobs(settings, disk, metrics)
    except BaseException:
        if settings.keep is None:
            disk.close()
        raise
    reader = Reader(analyzer, threads=settings.threads, pixels=limits.pixels, faces=limits.faces)
    service = Service(settings, metrics, disk, analyzer, reader, jobs)
    metrics.gauge("mien_photos_waiting", "Photos that wait.", lambda: reader.waiting)
    metrics.gauge("mien_jobs_queued", "Clips that wait.", lambda: jobs.store.count("queued"))
    metrics.gauge("mien_jobs_running", "Clips that are read.", lambda: jobs.store.count("running"))
    metrics.gauge("mien_disk_bytes", "Bytes of uploads and results.", lambda: disk.taken)
    metrics.gauge("mien_cameras", "Live cameras.", lambda: service.cameras)
    return service


def make_app(service: Service) -> Guard:
    """The ASGI application of a service; it closes the service when it ends."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    app = FastAPI(
        title="Mien",
        version=__version__,
        description="Reads the expression shown on faces in photos and clips; says nothing of inner feeling.",
        openapi_url="/v1/openapi.json",
        docs_url=None,  # its page would fetch scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        separate_input_output_schemas=False,
    )
    app.state.service = service
    for router in (photos.router, clips.router, results.router, live.router, about.router):
        app.include_router(router)
    _add_page(app)
    for kind in (Problem, MienError, Exception):
        app.add_exception_handler(kind, _failed)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    guard = Guard(app, service.settings, service.metrics)
    app.state.session = guard.session
    return guard


class Assets(StaticFiles):
    """The page's files: asked for anew each time, since their names stay when they change."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """A file, or that it has not changed."""
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response


def _add_page(app: FastAPI) -> None:
    """The page and its files; without them, where the description of the API is."""

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        if (STATIC / "index.html").is_file():
            headers = {"Content-Security-Policy": CSP, "Cache-Control": "no-cache"}
            return FileResponse(STATIC / "index.html", headers=headers)
        return JSONResponse({"api": "/v1/openapi.json"})

    app.mount("/assets", Assets(directory=STATIC / "assets", check_dir=False))


async def _failed(_request: Request, error: Exception) -> Response:
    problem = problem_of(error)
    if problem.kind == "bug":
        logging.getLogger(__name__).error("a bug in Mien", exc_info=error)
    return problem.response()


async def _refused(_request: Request, error: Exception) -> Response:
    """What the framework refuses: no such path, no such method, a body that is cut off."""
    status = getattr(error, "status_code", 400)
    kind = {404: "not-found", 405: "method-not-allowed"}.get(status, "bad-request")
    response = Problem(
        kind, f"expected a path and method of /v1/openapi.json, got: {_detail(error)}"
    ).response()
    response.headers.update(getattr(error, "headers", None) or {})
    return response


async def _invalid(_request: Request, error: Exception) -> Response:
    """A query that makes no sense, in a sentence."""
    faults = error.errors() if isinstance(error, RequestValidationError) else []
    said = "; ".join(
        f"{'.'.join(map(str, fault['loc'][1:]))}: {fault['msg']}, got {str(fault.get('input'))[:40]!r}"
        for fault in faults
    )
    return Problem("bad-setting", said or "expected other settings").response()


def _detail(error: Exception) -> str:
    return str(getattr(error, "detail", error))
