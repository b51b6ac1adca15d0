"""What a file is by how it begins: a picture, a clip or neither, whatever its name says."""

from __future__ import annotations

import re
from pathlib import Path, PurePath
from typing import Final, Literal

from mien.image import CLIPS, IMAGE_SUFFIXES, KINDS

HEAD: Final = 512  # bytes that tell what a file is

CLIP_SUFFIXES: Final = frozenset({
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".flv",
    ".3gp", ".ogv", ".mjpeg", ".mjpg", ".y4m", ".vob", ".asf", ".mod", ".tod", ".mxf", ".dv", ".wtv", ".rm",
    ".3g2", ".qt", ".m1v", ".m2v", ".h264", ".264", ".hevc", ".265", ".ivf", ".nut", ".f4v", ".divx",
})  # fmt: skip
#: Left out of folders though they begin like clips (sound) or pictures (raw files of cameras, of which TIFF
#: readers find the small preview).
_OTHER_SUFFIXES: Final = frozenset({
    ".mp3", ".wav", ".m4a", ".m4b", ".aac", ".flac", ".ogg", ".oga", ".opus", ".wma", ".mka", ".aif", ".aiff",
    ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".dng", ".orf", ".rw2", ".raf", ".pef", ".srw",
    ".3fr", ".iiq", ".kdc", ".dcr", ".mrw", ".x3f", ".erf", ".mef", ".mos", ".rwl",
})  # fmt: skip
#: Kinds that begin with few bytes, with what must follow where the name does not say so as well.
_FAINT: Final = {
    "BMP": rb"BM.{4}\0{4}.{4}[\x0c\x28\x34\x38\x40\x6c\x7c]\0{3}",
    "PPM": rb"P[1-6]\s+(#[^\n]*\n\s*)*\d+\s+\d+\s",
    "PCX": rb"\x0a[\0-\x05]\x01[\x01\x02\x04\x08].{60}\0",
    "ICO": rb"\0\0\x01\0[\x01-\x20]\0.{3}\0",
    "TGA": rb".\0[\x02\x03\x0a\x0b]\0{5}.{8}[\x08\x10\x18\x20][\0-\x3f]",
}


def media_kind(head: bytes, name: str = "") -> Literal["photo", "clip", ""]:
    """What a file of this name that begins with these bytes is; its name decides where they do not say.

    >>> media_kind(b"GIF89a", "moved.txt"), media_kind(b"", "clip.mov"), media_kind(b"a,b", "t.csv")
    ('photo', 'clip', '')
    """
    suffix = PurePath(name).suffix.lower()
    if suffix in _OTHER_SUFFIXES:
        return ""
    for kind, (pattern, _) in KINDS.items():
        if not re.match(pattern, head[:64], re.DOTALL):
            continue
        if kind == "JPEG" and suffix in {".mjpeg", ".mjpg"}:
            return "clip"
        if suffix in IMAGE_SUFFIXES or re.match(_FAINT.get(kind, b""), head, re.DOTALL):
            return "photo"
    if re.match(CLIPS, head, re.DOTALL):
        return "clip"
    if suffix in CLIP_SUFFIXES:
        return "clip"
    return "photo" if suffix in IMAGE_SUFFIXES else ""


def file_kind(path: Path) -> Literal["photo", "clip", ""]:
    """The same of a file; one that cannot be read is what its name says."""
    head = b""
    try:
        if path.is_file():  # a pipe would block
            with path.open("rb") as file:
                head = file.read(HEAD)
    except (OSError, ValueError):
        pass
    return media_kind(head, path.name)
