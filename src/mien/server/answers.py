"""The answers of the API as pydantic models, and the problems (RFC 9457) that a request can end in."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, WithJsonSchema, create_model
from starlette.responses import Response

from mien.errors import ConfigError, ImageError, ImageTooLarge, MienError, OutputError
from mien.labels import EMOTIONS
from mien.results.tables import shortest
from mien.types import Face

#: Each kind of problem, with its HTTP status.
PROBLEMS: Final = {
    "bad-request": 400, "unauthorized": 401, "forbidden-origin": 403, "forbidden-address": 403,
    "not-found": 404,
    "method-not-allowed": 405, "not-acceptable": 406, "too-slow": 408, "too-large": 413,
    "unsupported": 415, "wrong-host": 421, "unreadable": 422, "bad-setting": 422, "too-many": 429,
    "bug": 500, "stopped": 500, "busy": 503, "disk-full": 507,
}  # fmt: skip
DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class ProblemBody(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str


#: A float32 as the shortest number that rounds to it.
Short = Annotated[float, AfterValidator(shortest)]
#: The probabilities of the eight emotions, which sum to 1; made of an array in their order.
_Named: Any = create_model("Probabilities", **dict.fromkeys(EMOTIONS, (Short, ...)))  # type: ignore[call-overload]
Probabilities = Annotated[
    _Named | None,
    BeforeValidator(lambda given: given if given is None else dict(zip(EMOTIONS, given, strict=True))),
]


class FaceBody(BaseModel):
    """One face; pixels of the upright picture."""

    face: int
    box: tuple[Short, Short, Short, Short]
    landmarks: Annotated[list[tuple[Short, Short]], BeforeValidator(np.ndarray.tolist)]
    score: Short
    emotion: str | None
    confidence: Short | None
    probabilities: Probabilities
    set: list[str] | None
    uncertain: bool | None
    yaw: Short | None
    pitch: Short | None
    roll: Short | None
    quality: Short | None
    units: dict[str, Short]

    @classmethod
    def of(cls, number: int, face: Face) -> Self:
        """A face by its number from 0."""
        held = {name: getattr(face, name) for name in cls.model_fields if name != "face"}
        return cls(face=number, **held)


class LiveFaceBody(FaceBody):
    """One face in a frame of a camera, with its track and its probabilities smoothed over time."""

    track: int | None
    smoothed: Probabilities


class LiveFrameBody(BaseModel):
    """What one frame of a camera shows."""

    index: int
    time: float | None
    width: int
    height: int
    faces: list[LiveFaceBody]


class LiveErrorBody(BaseModel):
    """Why one frame of a camera could not be read."""

    index: int
    error: ProblemBody


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
    """A clip that waits, is being read, or was read."""

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
    """What a network is; besides these fields, what its card says."""

    model_config = ConfigDict(extra="allow")

    name: str
    default: bool
    sha256: str
    labels: list[str]


class ModelsBody(BaseModel):
    """The networks that this server reads with."""

    models: list[ModelBody]


#: A whole number stays one in JSON.
Number = Annotated[int | float, WithJsonSchema({"type": "number"})]


class AboutBody(BaseModel):
    """What this server does with what it is sent, and how much it takes."""

    version: str
    auth: bool
    keep: bool
    forget_after: float | None
    limits: dict[str, Number]


class HealthBody(BaseModel):
    """The server is running."""

    status: Literal["ok"]
    version: str


@dataclass(eq=False)
class Problem(Exception):
    """One of `PROBLEMS`, raised wherever a request cannot go on; `detail` says why and what to do."""

    kind: str
    detail: str

    def body(self) -> ProblemBody:
        """Its JSON."""
        return ProblemBody(
            type=f"urn:mien:problem:{self.kind}",
            title=self.kind.replace("-", " ").capitalize(),
            status=PROBLEMS[self.kind],
            detail=self.detail.encode(errors="backslashreplace").decode(),  # a file name need not be UTF-8
        )

    def response(self) -> Response:
        """The answer to the request."""
        body = self.body()
        headers = {}
        if body.status in {429, 503}:
            headers["Retry-After"] = "5"  # seconds
        if body.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return Response(body.model_dump_json(), body.status, headers, media_type="application/problem+json")


def problem_of(error: BaseException) -> Problem:
    """The problem to answer with, for an error of Mien, of the disk, or a bug."""
    if isinstance(error, Problem):
        return error
    cause = error.__cause__ if isinstance(error, OutputError) else error
    if isinstance(cause, OSError) and cause.errno in DISK_FULL:
        why = f"the disk is full ({cause.strerror}): make room, or send less"
        return Problem("disk-full", why)
    if isinstance(error, ImageTooLarge):
        kind = "too-large"
    elif isinstance(error, ConfigError):
        kind = "bad-setting"
    elif isinstance(error, ImageError) and str(error).startswith("expected a picture ("):
        kind = "unsupported"  # something other than a picture
    elif isinstance(error, MienError):
        kind = "unreadable"  # damaged, or too small
    else:
        text = f"internal error ({type(error).__name__}); the server's log has the details: please report it"
        return Problem("bug", text)
    return Problem(kind, str(error).removeprefix("--"))


def too_large(most: int) -> Problem:
    """The problem of a body, or of a field of a form, with more than `most` bytes."""
    return Problem("too-large", f"expected at most {most:,} bytes, got more; send less, or raise the limit")


#: For OpenAPI: the content of a file in a form.
FILE_SCHEMA: Final[dict[str, Any]] = {"type": "string", "format": "binary"}
_DESCRIPTIONS: Final = {
    400: "Malformed request", 401: "Missing or wrong token", 403: "Another site's page, or an address",
    404: "Not there",
    406: "Not a format that this server can write",
    408: "Too slow", 413: "Too large", 415: "Not a picture alone", 421: "Host name not allowed",
    422: "Unreadable, or a bad setting", 429: "Too many at once", 503: "Busy", 507: "No room on the disk",
}  # fmt: skip


def describe_form(field: str, schema: dict[str, Any], **others: dict[str, Any]) -> dict[str, Any]:
    """For OpenAPI: the body of a request, a multipart form with files in one field, and other fields."""
    form = {"type": "object", "required": [field], "properties": {field: schema, **others}}
    return {"required": True, "content": {"multipart/form-data": {"schema": form}}}


def describe_problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For OpenAPI: the answers with these statuses, and with those that every request may get."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
    every = (401, 403, 421)
    return {n: {"description": _DESCRIPTIONS[n], "content": content} for n in sorted({*statuses, *every})}
