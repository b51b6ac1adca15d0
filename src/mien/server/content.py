"""Tells by its content what a file is, so that errors can say what is wrong with it."""

from __future__ import annotations

import re
from typing import Final

from mien.errors import ImageError
from mien.media import ANIMATED, CLIPS, FOREIGN, KINDS
from mien.server.answers import Problem

#: Media types that say nothing; the last is what curl says of every body.
UNSPECIFIC: Final = frozenset({
    "", "application/octet-stream", "binary/octet-stream", "application/x-www-form-urlencoded",
})  # fmt: skip
_PHOTO: Final = "send it to /v1/photos"
#: How files begin that are neither photos nor clips, or the other of the two; what they are; what to do.
_OTHERS: Final = (
    (rb"FUJIFILMCCD-RAW|II[*U]\0.{4}CR", "a camera's raw file", "save it as JPEG"),
    *((pattern, f"a photo ({kind})", _PHOTO) for kind, (pattern, _) in KINDS.items() if kind not in ANIMATED),
    *FOREIGN,
    (CLIPS + rb"|.{4}ftyp|OggS", "a clip", "send it to /v1/clips"),  # these may be sound as well
    (rb"\s*[\[{]\s*[\"{\[\]}\d]", "JSON", "send it with Content-Type: application/json"),
    (rb"#EXTM3U|ffconcat|\[playlist\]", "a playlist", "send the clips that it names"),
    (rb"[\t\n\r\f\x20-\x7e]+$", "text", "send the file itself"),
)  # fmt: skip
_ZIP_END: Final = b"PK\x05\x06"  # of the record that ends a ZIP: 22 bytes and a comment of up to 65535
_PAGE: Final = re.compile(rb"<(!doctype\s+html|html|script|\?php|iframe|svg)[\s>]", re.IGNORECASE)


def tell_photo_error(data: bytes, error: ImageError) -> Exception:
    """What to raise about a file that is no picture: what it is, where that is known; else the same error."""
    return _tell(data, "a picture (" + ", ".join(KINDS) + ")", "a photo") or error


def tell_clip_error(head: bytes, why: str) -> Problem:
    """What to raise about a file that begins with `head` and is no clip that can be read."""
    problem = _tell(head, "a clip (MP4, MOV, MKV, WebM, AVI...)", "a clip")
    return problem or Problem("unreadable", why)


def _tell(data: bytes, expected: str, same: str) -> Problem | None:
    head = data[:2000]
    for pattern, what, remedy in _OTHERS:
        if re.match(pattern, head, re.DOTALL):
            if what.startswith(same):  # it is one, but damaged: its reader knows better
                return None
            return Problem("unsupported", f"expected {expected}, the file is {what}; {remedy}")
    return None


def check_picture(data: bytes, media_type: str) -> None:
    """Refuse a file that is said to be something other than a picture, or that is something else besides.

    A picture is read by its content, so a PNG that is called JPEG is fine. But what another program would
    take for an archive, a document or a page does not belong here.
    """
    check_media_type(media_type, "image")
    other = _second_format(data)
    if other:
        why = f"expected a picture alone, the file is also {other}; save the picture again"
        raise Problem("unsupported", why)


def check_media_type(media_type: str, *families: str) -> None:
    """Refuse a file that is said to be of no such family ("image", "video"); "" is fine."""
    family = media_type.partition("/")[0]
    if media_type not in UNSPECIFIC and family not in families:
        why = f"expected {families[0]}/..., the request calls the file {media_type!r}"
        raise Problem("unsupported", f"{why}; send it with its right Content-Type, or with none")


def _second_format(data: bytes) -> str:
    """What a picture's file is besides; "" if nothing."""
    tail = data[-66_000:]
    place = tail.rfind(_ZIP_END)
    if place >= 0 and len(tail) - place >= 22:
        comment = int.from_bytes(tail[place + 20 : place + 22], "little")
        if len(tail) - place - 22 == comment:
            return "a ZIP archive"
    if b"%PDF-" in data[:1024]:
        return "a PDF document"
    if _PAGE.search(data[:4096]) or _PAGE.search(data[-4096:]):
        return "a web page or script"
    return ""
