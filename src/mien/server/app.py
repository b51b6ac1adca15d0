"""The application: all routes behind the guard, errors as problems, the page, and what the server is."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from starlette.exceptions import HTTPException

from mien import __version__
from mien.errors import MienError
from mien.server import clips, live, photos
from mien.server.answers import (
    AboutBody,
    HealthBody,
    ModelBody,
    ModelsBody,
    Problem,
    describe_problems,
    problem_of,
)
from mien.server.guard import COOKIE, Guard
from mien.server.service import Service, service_of

STATIC: Final = Path(__file__).parent / "static"
#: The page runs its own scripts and shows what it is given; it may ask this server and no other.
CSP: Final = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; font-src 'self'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self'; worker-src 'self' blob:; "
    "frame-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
#: What `/v1/models` tells of a network's card.
_CARD: Final = ("name", "labels", "size", "colour", "parameters", "uncertain", "data", "licence", "limits")
_LIMITS: Final = ("upload", "clip", "pixels", "files", "faces", "clip_seconds", "clip_frames")

router = APIRouter()


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
    for some in (photos.router, clips.router, live.router, router):
        app.include_router(some)
    app.mount("/assets", Assets(directory=STATIC / "assets", check_dir=False))
    answer_problems(app)
    return Guard(app, service)


def answer_problems(app: FastAPI) -> None:
    """Let an application answer errors of every kind as problems."""
    for kind in (Problem, MienError, Exception):
        app.add_exception_handler(kind, _answer_error)
    app.add_exception_handler(HTTPException, _answer_refusal)
    app.add_exception_handler(RequestValidationError, _answer_invalid)


class Assets(StaticFiles):
    """The page's files: requested again each time, since their names stay the same when they change."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """A file, or that it has not changed."""
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response


@router.get("/", include_in_schema=False)
async def page() -> Response:
    """The page; without its files, where the description of the API is."""
    if (STATIC / "index.html").is_file():
        headers = {"Content-Security-Policy": CSP, "Cache-Control": "no-cache"}
        return FileResponse(STATIC / "index.html", headers=headers)
    return JSONResponse({"api": "/v1/openapi.json"})


@router.get("/v1/models", responses=describe_problems())
async def models(request: Request) -> ModelsBody:
    """The networks that this server reads with."""
    classifier = service_of(request).analyzer.classifier
    card = asdict(classifier.card)
    about = {name: card[name] for name in _CARD} | {"policies": list(card["policies"])}
    return ModelsBody(models=[ModelBody(**about, default=True, sha256=classifier.digest)])


@router.get("/v1/about", responses=describe_problems())
async def about(request: Request) -> AboutBody:
    """What this server does with what it is given, and how much of it it takes."""
    settings = service_of(request).settings
    return AboutBody(
        version=__version__,
        auth=settings.guarded,
        keep=settings.keep is not None,
        forget_after=settings.forget_after if settings.keep is None else None,
        limits={name: getattr(settings.limits, name) for name in _LIMITS},
    )


@router.get("/healthz", responses=describe_problems())
async def healthz() -> HealthBody:
    """The server is running."""
    return HealthBody(status="ok", version=__version__)


@router.get("/metrics", responses=describe_problems(), response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Figures in Prometheus' text format."""
    figures = service_of(request).metrics
    return Response(generate_latest(figures.registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)


@router.post("/v1/session", status_code=204, responses=describe_problems())
async def session(request: Request) -> Response:
    """A cookie that stands for the token, which the guard has seen."""
    answer = Response(status_code=204)
    secure = request.url.scheme == "https"
    value = service_of(request).session
    answer.set_cookie(COOKIE, value, httponly=True, samesite="strict", secure=secure)
    return answer


async def _answer_error(_request: Request, error: Exception) -> Response:
    problem = problem_of(error)
    if problem.kind == "bug":
        logging.getLogger(__name__).error("a bug in Mien", exc_info=error)
    return problem.response()


async def _answer_refusal(_request: Request, error: Exception) -> Response:
    """What the framework refuses: no such path, no such method, a body that is cut off."""
    status = getattr(error, "status_code", 400)
    kind = {404: "not-found", 405: "method-not-allowed"}.get(status, "bad-request")
    detail = getattr(error, "detail", error)
    response = Problem(kind, f"expected a path and method of /v1/openapi.json, got: {detail}").response()
    response.headers.update(getattr(error, "headers", None) or {})
    return response


async def _answer_invalid(_request: Request, error: Exception) -> Response:
    """A query that makes no sense, in a sentence."""
    faults = error.errors() if isinstance(error, RequestValidationError) else []
    detail = "; ".join(
        f"{'.'.join(map(str, fault['loc'][1:]))}: {fault['msg']}, got {str(fault.get('input'))[:40]!r}"
        for fault in faults
    )
    return Problem("bad-setting", detail or "expected other settings").response()
