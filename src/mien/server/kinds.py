"""Files that are not only a picture, or are said to be something else: refused, with the reason.

A picture is read by its content, so a PNG that is called JPEG is fine. But what another program would take
for an archive, a document or a page, or what its sender says is one, does not belong here.
"""

from __future__ import annotations

import re
from typing import Final

from mien.server.problem import Problem

#: Media types that say nothing.
_SILENT: Final = frozenset({"", "application/octet-stream", "binary/octet-stream"})
_ZIP_END: Final = b"PK\x05\x06"  # of the record that ends a ZIP: 22 bytes and a comment of up to 65535
_PAGE: Final = re.compile(rb"<(!doctype\s+html|html|script|\?php|iframe|svg)[\s>]", re.IGNORECASE)


def check_kind(data: bytes, kind: str) -> None:
    """Refuse a picture that is said to be no picture, or is something else besides.

    Args:
        data: the file.
        kind: its media type, as its sender says.

    Raises:
        Problem: it is; says what.
    """
    if not is_said(kind, "image"):
        raise Problem(
            "unsupported",
            f"expected an image, the request says that it is {kind!r}; send a picture as image/...",
        )
    other = _besides(data)
    if other:
        raise Problem(
            "unsupported", f"expected a picture alone, the file is also {other}; save the picture anew"
        )


def is_said(kind: str, family: str) -> bool:
    """Whether a media type is of a family, or says nothing."""
    return kind.lower() in _SILENT or kind.lower().startswith(f"{family}/")


def _besides(data: bytes) -> str:
    """What else a file is; "" if nothing."""
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
