"""What answers look like, for the OpenAPI description alone: the answers are made as plain JSON."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, create_model

from mien.labels import EMOTIONS


class ProblemBody(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str


#: The eight, sum 1.
Probabilities: Any = create_model("Probabilities", **dict.fromkeys(EMOTIONS, (float, ...)))  # type: ignore[call-overload]


class FaceBody(BaseModel):
    """One face; pixels of the upright picture."""

    face: int
    box: tuple[float, float, float, float]
    landmarks: list[tuple[float, float]]
    score: float
    emotion: str | None
    confidence: float | None
    probabilities: Probabilities | None
    set: list[str] | None
    uncertain: bool | None


class PhotoBody(BaseModel):
    """One photo."""

    name: str
    width: int
    height: int
    notes: list[str]
    error: ProblemBody | None
    faces: list[FaceBody]
    annotated: str | None = None


class PhotosBody(BaseModel):
    """The photos of a request, in its order."""

    photos: list[PhotoBody]


class JobBody(BaseModel):
    """A clip that is read, was, or will be."""

    id: str
    name: str
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    progress: float
    frames: int
    faces: int
    created: float
    finished: float | None
    error: ProblemBody | None
    notes: list[str]
    start: float
    results: dict[str, str]


class JobsBody(BaseModel):
    """Jobs, newest first."""

    jobs: list[JobBody]


class ModelBody(BaseModel):
    """What a network is."""

    model_config = ConfigDict(extra="allow")

    name: str
    default: bool
    sha256: str
    labels: list[str]


class ModelsBody(BaseModel):
    """The networks that this server reads with."""

    models: list[ModelBody]


class AboutBody(BaseModel):
    """What this server does with what it is given."""

    version: str
    auth: bool
    keep: bool
    forget_after: float | None
    limits: dict[str, float]


class HealthBody(BaseModel):
    """It lives."""

    status: Literal["ok"]
    version: str


_SAYS: Final = {
    400: "Cannot be taken apart", 401: "No token, or another", 403: "Another site's page", 404: "Not there",
    406: "Not a form that this server can give",
    408: "Too slow", 413: "Too large", 415: "Not a picture alone", 421: "Another Host",
    422: "Unreadable, or a bad setting", 429: "Too many at once", 503: "Busy", 507: "No room on the disk",
}  # fmt: skip


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The answers of these statuses, and of those that every request may get."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
    every = (401, 403, 421)
    return {n: {"description": _SAYS[n], "content": content} for n in sorted({*statuses, *every})}


#: The body of photos, for the description.
FILES: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["files"],
                "properties": {
                    "files": {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1}
                },
            }
        },
        "image/*": {"schema": {"type": "string", "format": "binary"}},
    },
}

#: The body of clips.
CLIP: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {
                    "file": {"type": "string", "format": "binary"},
                    "every": {"type": "integer", "minimum": 1},
                    "fps": {"type": "number", "exclusiveMinimum": 0},
                    "detect_every": {"type": "integer", "minimum": 1},
                    "start": {"type": "number"},
                    "end": {"type": "number"},
                    "annotate": {"type": "boolean"},
                },
            }
        }
    },
}
