"""What the server is: its networks, its limits, its figures, whether it lives; and the page's session."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from mien import __version__
from mien.faces.network import Classifier
from mien.server.guard import COOKIE
from mien.server.schema import AboutBody, HealthBody, ModelsBody, problems
from mien.server.service import service_of

router = APIRouter()


@router.get("/v1/models", responses=problems(), response_model=ModelsBody)
async def models(request: Request) -> JSONResponse:
    """The networks that this server reads with."""
    return JSONResponse({"models": [describe(service_of(request).analyzer.classifier)]})


def describe(classifier: Classifier) -> dict[str, Any]:
    """A network: what its card says that matters to who reads with it."""
    card = asdict(classifier.card)
    shown = ("name", "labels", "size", "colour", "parameters", "uncertain", "data", "licence", "limits")
    about = {key: card[key] for key in shown}
    return about | {"default": True, "sha256": classifier.digest, "policies": list(card["policies"])}


@router.get("/v1/about", responses=problems(), response_model=AboutBody)
async def about(request: Request) -> JSONResponse:
    """What this server does with what it is given, and how much of it it takes."""
    settings = service_of(request).settings
    limits = settings.limits
    return JSONResponse({
        "version": __version__,
        "auth": settings.guarded,
        "keep": settings.keep is not None,
        "forget_after": settings.forget_after if settings.keep is None else None,
        "limits": {
            "upload": limits.upload,
            "clip": limits.clip,
            "pixels": limits.pixels,
            "files": limits.files,
            "faces": limits.faces,
            "clip_seconds": limits.clip_seconds,
            "clip_frames": limits.clip_frames,
        },
    })  # fmt: skip


@router.get("/healthz", response_model=HealthBody, responses=problems())
async def healthz() -> JSONResponse:
    """It lives."""
    return JSONResponse({"status": "ok", "version": __version__})


@router.get("/metrics", responses=problems(), response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Figures in Prometheus' text format."""
    return Response(service_of(request).metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.post("/v1/session", status_code=204, responses=problems())
async def session(request: Request) -> Response:
    """A cookie that stands for the token, which the guard has seen."""
    answer = Response(status_code=204)
    answer.set_cookie(
        COOKIE,
        request.app.state.session,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer
