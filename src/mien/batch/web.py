"""What is at an address of the web: a picture or a file is fetched once; what does not end is a stream."""

from __future__ import annotations

import base64
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

from mien._version import __version__
from mien.errors import VideoError
from mien.media import HEAD, media_kind

_WAIT: Final = 10.0  # seconds without an answer


def is_web(name: str) -> bool:
    """Whether `name` is an address of the web."""
    return name.lower().startswith(("http://", "https://"))


@contextmanager
def fetch(address: str) -> Iterator[tuple[Literal["photo", "clip", "stream"], Path]]:
    """What is there, and the temporary file with it if it is not a stream.

    Raises:
        OSError: nothing is there, or it cannot be reached.
        VideoError: it is neither picture nor video.
    """
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen  # slow to import

    parts = urlsplit(address)
    person, _, host = parts.netloc.rpartition("@")
    request = Request(parts._replace(netloc=host).geturl(), headers={"User-Agent": f"mien/{__version__}"})  # noqa: S310 - http
    if person:
        request.add_header("Authorization", f"Basic {base64.b64encode(unquote(person).encode()).decode()}")
    try:
        asked = urlopen(request, timeout=_WAIT)  # noqa: S310 - http
    except HTTPError as error:
        error.close()
        raise
    with tempfile.TemporaryDirectory(prefix="mien-") as folder, asked as answer:
        path = Path(folder, "fetched")
        says, ends = answer.headers.get_content_type(), answer.headers.get("Content-Length") is not None
        head = b"" if says.startswith("multipart/") else answer.read(HEAD)
        kind = media_kind(head, parts.path) if head else ""
        if kind and (ends or (kind == "photo" and says.startswith("image/"))):
            with path.open("wb") as file:
                file.write(head)
                shutil.copyfileobj(answer, file)
            yield kind, path
            return
        if says == "text/html":
            raise VideoError(
                f"expected a picture or video, {parts.hostname} sends a page; give the address of the file"
            )
    yield "stream", path
