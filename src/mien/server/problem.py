"""What went wrong, as RFC 9457 `application/problem+json`: what was expected, what came, what to do."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import JSONResponse

from mien.errors import ConfigError, ImageError, ImageTooLarge, MienError, OutputError

#: The name of each kind to its status and title.
KINDS: Final[dict[str, tuple[int, str]]] = {
    "bad-request": (400, "Bad request"),
    "unauthorized": (401, "Unauthorized"),
    "forbidden-origin": (403, "Forbidden origin"),
    "not-found": (404, "Not found"),
    "method-not-allowed": (405, "Method not allowed"),
    "not-acceptable": (406, "Not acceptable"),
    "too-slow": (408, "Too slow"),
    "gone": (410, "Gone"),
    "too-large": (413, "Too large"),
    "unsupported": (415, "Unsupported"),
    "wrong-host": (421, "Wrong host"),
    "unreadable": (422, "Unreadable"),
    "bad-setting": (422, "Bad setting"),
    "busy": (503, "Busy"),
    "too-many": (429, "Too many"),
    "bug": (500, "Bug"),
    "stopped": (500, "Stopped"),
    "disk-full": (507, "Disk full"),
}
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_RETRY: Final = 5  # seconds after which a busy server is asked again


@dataclass(eq=False)
class Problem(Exception):
    """One of `KINDS`, raised wherever a request cannot go on."""

    kind: str
    detail: str

    @property
    def status(self) -> int:
        """Its HTTP status."""
        return KINDS[self.kind][0]

    def body(self) -> dict[str, Any]:
        """Its JSON."""
        status, title = KINDS[self.kind]
        return {
            "type": f"urn:mien:problem:{self.kind}",
            "title": title,
            "status": status,
            "detail": self.detail.encode(errors="backslashreplace").decode(),
        }

    def response(self) -> JSONResponse:
        """Its answer."""
        headers = {}
        if self.status in {429, 503}:
            headers["Retry-After"] = str(_RETRY)
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse(self.body(), self.status, headers, media_type="application/problem+json")


def problem_of(error: BaseException) -> Problem:
    """The problem that an error of Mien, the disk or a bug is to who asked."""
    if isinstance(error, Problem):
        return error
    cause = error.__cause__ if isinstance(error, OutputError) else error
    if isinstance(cause, OSError) and cause.errno in FULL:
        return disk_full(cause)
    if not isinstance(error, MienError):
        text = f"expected an answer, got {type(error).__name__}; a bug in Mien: please report it"
        return Problem("bug", text)
    kinds = {ImageTooLarge: "too-large", ImageError: _kind_of_picture(str(error)), ConfigError: "bad-setting"}
    kind = next((kind for of, kind in kinds.items() if isinstance(error, of)), "unreadable")
    return Problem(kind, str(error).removeprefix("--"))


def disk_full(error: OSError) -> Problem:
    """The disk took no more."""
    return Problem(
        "disk-full",
        f"expected room on the disk, got: {error.strerror}; make room, or send less",
    )


def _kind_of_picture(text: str) -> str:
    """Something else than a picture, or a picture that is damaged or too small."""
    return "unsupported" if text.startswith("expected a picture (") else "unreadable"
