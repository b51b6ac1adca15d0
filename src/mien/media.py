"""What a file is by how it begins: a picture, a clip or neither, whatever its name says."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePath
from typing import Final, Literal

HEAD: Final = 512  # bytes that tell what a file is

#: Kinds of files: how they begin, whatever their names say, and Pillow's name for its reader. Readers are
#: called by name because `PIL.Image.open` would import some 45 plug-ins and apply its own pixel limit.
KINDS: Final = {
    "JPEG": (rb"\xff\xd8\xff", "Jpeg"),
    "PNG": (rb"\x89PNG\r\n\x1a\n", "Png"),
    "WEBP": (rb"RIFF.{4}WEBP", "WebP"),
    "GIF": (rb"GIF8[79]a", "Gif"),
    "TIFF": (rb"II\*\0|MM\0\*|II\+\0|MM\0\+", "Tiff"),
    "AVIF": (rb".{4}ftyp.*avi[fs]", "Avif"),
    "HEIC": (rb".{4}ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", ""),  # Pillow has no reader
    "JPEG2000": (rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", "Jpeg2K"),
    "BMP": (rb"BM", "Bmp"),
    "PPM": (rb"P[1-6]\s", "Ppm"),
    "PCX": (rb"\x0a[\0-\x05]\x01[\x01\x02\x04\x08]", "Pcx"),
    "ICO": (rb"\0\0\x01\0[\x01-\x40]\0", "Ico"),
    "TGA": (rb".(\0[\x02\x03\x0a\x0b]\0{5}|\x01[\x01\x09].{5}).{8}[\x08\x0f\x10\x18\x20][\0-\x3f]", "Tga"),
}

ANIMATED: Final = frozenset({"GIF", "WEBP", "PNG", "AVIF"})  # kinds that may be

#: The kind that each file ending stands for.
SUFFIX_KINDS: Final = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".png": "PNG", ".apng": "PNG",
    ".webp": "WEBP", ".gif": "GIF", ".tif": "TIFF", ".tiff": "TIFF", ".avif": "AVIF", ".bmp": "BMP",
    ".dib": "BMP", ".ppm": "PPM", ".pgm": "PPM", ".pnm": "PPM", ".pbm": "PPM", ".heic": "HEIC",
    ".heif": "HEIC", ".hif": "HEIC", ".jp2": "JPEG2000", ".j2k": "JPEG2000", ".jpx": "JPEG2000",
    ".pcx": "PCX", ".ico": "ICO", ".tga": "TGA",
}  # fmt: skip
IMAGE_SUFFIXES: Final = frozenset(SUFFIX_KINDS)

#: How clips begin; sound alone does not.
CLIPS: Final = (
    rb".{4}(ftyp(?!M4[AB])|moov|mdat|wide|free|skip|pnot)"  # MP4, QuickTime
    rb"|\x1aE\xdf\xa3|RIFF.{4}AVI |0&\xb2u\x8ef\xcf\x11|FLV\x01"  # Matroska, AVI, ASF, FLV
    rb"|OggS.{24,60}(\x80theora|BBCD|OVP80)|\0\0\x01[\xba\xb3]"  # Ogg, MPEG
    rb"|(.{4})?G.{187}(.{4})?G"  # MPEG transport stream, 188 or 192 bytes a packet
    rb"|\0\0\0\x01[\x67\x27\x09\x40\x42\x46]|YUV4MPEG2|\x1f\x07\0|\x06\x0e\x2b\x34|DKIF|nut/|\.RMF|[FC]WS[\x01-\x0f]"
    rb"|\xb7\xd8\0\x20\x37\x49\xda\x11"
)

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

#: How files begin that people take for pictures and clips, what they are, and what to do with them.
FOREIGN: Final = (
    (rb"ID3|\xff[\xfb\xf3\xf2]|.{4}ftypM4A|RIFF.{4}WAVE|fLaC", "sound", "give a clip with pictures"),
    (rb".{0,1000}%PDF-", "a PDF document", "save its pictures as JPEG or PNG"),
    (rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf\x27\x1c|Rar!", "an archive", "unpack it and give the files in it"),
    (rb"8BPS", "a Photoshop document", "save it as JPEG or PNG"),
    (rb"\x93NUMPY", "an array of NumPy", "save it as PNG"),
    (rb"(?i)[^\0]{0,1000}<svg[\s>]", "an SVG drawing", "save it as PNG"),
    (rb"(?i)[^\0]{0,1000}<(!doctype\s+html|html)[\s>]", "a web page",
     "open it in a browser: it may say why the file is not there"),
)  # fmt: skip


def is_image(path: str | os.PathLike[str]) -> bool:
    """Whether the ending of `path` is that of a picture; the file itself is not looked at."""
    return Path(path).suffix.lower() in IMAGE_SUFFIXES


def kind_of(head: bytes) -> str | None:
    """The kind of picture that the first 64 bytes of a file announce; None: no picture."""
    return next((kind for kind, (pattern, _) in KINDS.items() if re.match(pattern, head, re.DOTALL)), None)


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
