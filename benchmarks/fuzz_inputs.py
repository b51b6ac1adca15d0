"""The inputs of `fuzz.py`: small whole pictures and clips, and the ways in which they are damaged.

A case's number gives its bytes, with the same versions of Pillow and PyAV.
"""

from __future__ import annotations

import io
import re
import tempfile
import zlib
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from numpy.random import Generator
from PIL import Image

SIDE: Final = 96  # pixels of every seed
CLIP_SHARE: Final = 10  # every n-th case is a clip; clips take ten times as long as photos
PICTURES: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
ENDINGS: Final = {kind: f".{kind.lower()}" for kind in (*PICTURES, "MP4")}

#: Where the parts of a file begin, whose lengths stand before (PNG, MP4) or behind their names.
TAGS: Final = re.compile(
    rb"IHDR|PLTE|IDAT|IEND|tRNS|acTL|fcTL|fdAT|eXIf|iCCP|tEXt|RIFF|WEBP|VP8[ LX]|ALPH|ANIM|ANMF|EXIF|GIF8|BM|"
    rb"ftyp|moov|mvhd|trak|tkhd|mdia|mdhd|hdlr|minf|stbl|stsd|stts|stsc|stsz|stco|ctts|stss|mdat|moof|traf|"
    rb"trun|tfhd|edts|elst|avc1|avcC|mp4v|esds|\xff[\xc0-\xc4\xda\xdb\xdd\xe0-\xe2]|\x21\xf9|\x2c\x00|II\*|MM\0"
)
EXTREMES: Final = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 12_000, 0x7FFFFFFF,
                   0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF)  # fmt: skip


def case_kind(case: int) -> str:
    """The format of a case."""
    return "MP4" if case % CLIP_SHARE == CLIP_SHARE - 1 else PICTURES[case // CLIP_SHARE % len(PICTURES)]


def case_bytes(seed: int, case: int) -> bytes:
    """The damaged file of a case."""
    kind = case_kind(case)
    rng = np.random.default_rng((seed, case))
    data = _pick(rng, seeds()[kind])
    for _ in range(rng.integers(1, 4)):
        data = _pick(rng, MUTATIONS)(data, rng)
    if kind == "PNG" and rng.random() < 0.5:  # else nearly all end at the first checksum
        data = mend_checksums(data)
    return data


@cache
def seeds() -> dict[str, tuple[bytes, ...]]:
    """Whole files of each format, in the varieties that take another way through their decoders."""
    from skimage.data import astronaut  # NASA, public domain

    face = Image.fromarray(astronaut()[0:224, 112:336]).resize((SIDE, SIDE))
    clear = face.copy()
    clear.putalpha(Image.linear_gradient("L").resize((SIDE, SIDE)))
    gray, palette, turned = face.convert("L"), face.convert("P"), face.rotate(90)
    deep = Image.fromarray(np.asarray(gray).astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112] = 6
    more: dict[str, Any] = {"save_all": True, "append_images": [turned, face], "duration": 50}
    return {
        "JPEG": (
            _saved(face, "JPEG"),
            _saved(face, "JPEG", progressive=True, exif=exif),
            _saved(gray, "JPEG", optimize=True),
            _saved(face.convert("CMYK"), "JPEG"),
            _saved(face, "JPEG", restart_marker_rows=1, subsampling=0),
        ),
        "PNG": (
            _saved(face, "PNG"),
            _saved(clear, "PNG", exif=exif),
            _saved(palette, "PNG", transparency=3),
            _saved(deep, "PNG"),
            _saved(face.convert("1"), "PNG"),
            _saved(face, "PNG", **more),
        ),
        "WEBP": (
            _saved(face, "WEBP"),
            _saved(face, "WEBP", lossless=True),
            _saved(clear, "WEBP", exif=exif),
            _saved(face, "WEBP", **more),
        ),
        "GIF": (
            _saved(face, "GIF"),
            _saved(palette, "GIF", transparency=0, interlace=1),
            _saved(face, "GIF", disposal=2, **more),
        ),
        "BMP": tuple(_saved(one, "BMP") for one in (face, gray, palette, clear, face.convert("1"))),
        "TIFF": (
            _saved(face, "TIFF"),
            *(_saved(face, "TIFF", compression=c) for c in ("tiff_lzw", "jpeg", "tiff_deflate", "packbits")),
            _saved(face.convert("1"), "TIFF", compression="group4"),
            _saved(deep, "TIFF"),
            _saved(gray.convert("F"), "TIFF"),
            _saved(face, "TIFF", exif=exif, save_all=True, append_images=[turned]),
        ),
        "MP4": tuple(_clip(np.asarray(face), codec, flags) for codec, flags in (
            ("mpeg4", ""), ("mpeg4", "+faststart"), ("libx264", ""), ("libx264", "+faststart"),
            ("libx264", "+frag_keyframe+empty_moov"),
        )),
    }  # fmt: skip


def mend_checksums(data: bytes) -> bytes:
    """A PNG with the checksum of every chunk as it should be."""
    out, at = bytearray(data), 8
    while at + 12 <= len(out):
        end = at + 8 + int.from_bytes(out[at : at + 4], "big")
        if end + 4 > len(out):
            break
        out[end : end + 4] = zlib.crc32(out[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(out)


def flip_bits(data: bytes, rng: Generator) -> bytes:
    """1 to 32 bits turned over."""
    out = bytearray(data)
    for _ in range(2 ** rng.integers(0, 6) if out else 0):
        out[_place(rng, data)] ^= 1 << int(rng.integers(8))
    return bytes(out)


def cut_short(data: bytes, rng: Generator) -> bytes:
    """The end missing."""
    return data[: rng.integers(0, len(data) + 1)]


def delete(data: bytes, rng: Generator) -> bytes:
    """A piece missing."""
    at, end = _piece(rng, data)
    return data[:at] + data[end:]


def double(data: bytes, rng: Generator) -> bytes:
    """A piece twice or, seldom, two hundred times."""
    at, end = _piece(rng, data)
    return data[:at] + data[at:end] * (200 if rng.random() < 0.1 else 2) + data[end:]


def splice(data: bytes, rng: Generator) -> bytes:
    """A piece of any other file in it."""
    other = _pick(rng, _pick(rng, tuple(seeds().values())))
    at, end = _piece(rng, other)
    place = _place(rng, data)
    return data[:place] + other[at:end] + data[place + (end - at if rng.random() < 0.5 else 0) :]


def header(data: bytes, rng: Generator) -> bytes:
    """Random bytes among the first 64."""
    out = bytearray(data)
    for _ in range(rng.integers(1, 6) if out else 0):
        out[int(rng.integers(min(64, len(out))))] = int(rng.integers(256))
    return bytes(out)


def extreme(data: bytes, rng: Generator) -> bytes:
    """A number of 1, 2, 4 or 8 bytes, most often beside a tag, at the edge of what it can be."""
    width = int(_pick(rng, (1, 2, 4, 4, 8)))
    value = int(_pick(rng, EXTREMES)) % (1 << 8 * width)
    place = max(0, _place(rng, data) + int(rng.integers(-8, 13)))
    return data[:place] + value.to_bytes(width, _pick(rng, ("big", "little"))) + data[place + width :]


def append(data: bytes, rng: Generator) -> bytes:
    """A whole file of another format behind it."""
    return data + _pick(rng, _pick(rng, tuple(seeds().values())))


MUTATIONS: Final[tuple[Callable[[bytes, Generator], bytes], ...]] = (
    flip_bits, flip_bits, cut_short, delete, double, splice, header, extreme, extreme, extreme, append,
)  # fmt: skip


def _saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    data = io.BytesIO()
    picture.save(data, format=kind, **options)
    return data.getvalue()


def _clip(face: Any, codec: str, flags: str) -> bytes:
    """Six frames of a face that moves, 10 a second."""
    with tempfile.TemporaryDirectory() as folder:  # the index is moved to the front within a file only
        path = Path(folder, "clip.mp4")
        with av.open(str(path), "w", options={"movflags": flags} if flags else {}) as container:
            stream = container.add_stream(codec, rate=Fraction(10))
            stream.height, stream.width, stream.pix_fmt = SIDE, SIDE, "yuv420p"
            stream.thread_count = 1  # the same bytes every time
            for i in range(6):
                moved = np.roll(face, 2 * i, axis=1)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(moved, format="rgb24")))
            container.mux(stream.encode())
        return path.read_bytes()


def _pick(rng: Generator, of: Any) -> Any:
    return of[int(rng.integers(len(of)))]


def _place(rng: Generator, data: bytes) -> int:
    """A position: half of the time at a tag, a quarter among the first 512 bytes, else anywhere."""
    kind = rng.random()
    if kind < 0.5 and (tags := [match.start() for match in TAGS.finditer(data[:65536])]):
        return int(_pick(rng, tags))
    return int(rng.integers(max(1, min(512, len(data)) if kind < 0.75 else len(data))))


def _piece(rng: Generator, data: bytes) -> tuple[int, int]:
    """From one position to another, or a few bytes on."""
    at = _place(rng, data)
    end = _place(rng, data) if rng.random() < 0.5 else at + 2 ** int(rng.integers(0, 10))
    return min(at, end), min(len(data), max(at, end))
