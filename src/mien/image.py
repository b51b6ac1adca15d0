"""Files and bytes to RGB pixels and back: the one place that knows how pictures are stored.

EXIF orientation, alpha, palettes, CMYK, 16-bit, animations, truncation and the size limit
end here; every other room sees uint8 (H, W, 3) RGB, upright.

Legend: H rows, W columns, C channels.
"""

from __future__ import annotations

import base64
import ctypes
import io
import logging
import os
import re
import struct
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast
from urllib.parse import unquote_to_bytes, urlsplit

import numpy as np
from numpy.typing import NDArray

from mien.errors import ImageError, ImageTooLarge, OutputError, shorten
from mien.files import WholeFile
from mien.media import ANIMATED, CLIPS, FOREIGN, HEAD, KINDS, SUFFIX_KINDS, kind_of
from mien.pixels import BACKGROUND, WHITES, Image, array_to_rgb, turn_pixels

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

    #: A path, the bytes of a file (as base64, too), an open binary file, a PIL image, or an array.
    ImageSource = (
        str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | PillowImage | NDArray[Any]
    )

_DARK: Final = 64  # a picture that does not reach this may have 12 bits of 16
#: Pictures with more pixels are refused before they are decoded: 150 million take 450 MB as RGB,
#: and the largest phone cameras (108 Mpx) stay under it.
MAX_PIXELS: Final = 150_000_000

PREVIEW: Final = 480  # pixels: longer side of a picture shown in a notebook
_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")  # the other alphabet of base64

# What Pillow raises on damaged files.
_DAMAGE: Final = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, ArithmeticError,
    AttributeError, RuntimeError, struct.error, zlib.error, Warning,
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture as it is meant to be seen, and what had to be done to get there."""

    pixels: Image  # (H, W, 3) RGB uint8, upright; may be read-only
    notes: tuple[str, ...] = ()  # what the reader should know, e.g. "animated GIF: first frame used"
    path: str = ""  # of the file that was read; empty: there is none


def count_frames(file: Path | BinaryIO) -> int:
    """Frames of an animated GIF, WebP, PNG or AVIF; 1 of any other file, also of one that cannot be read."""
    try:
        with _open(file) if isinstance(file, Path) else nullcontext(file) as stream:
            kind = peek_kind(stream)
            if kind not in ANIMATED:
                return 1
            frames = int(getattr(_open_kind(stream, kind), "n_frames", 1))
            stream.seek(0)
            return frames
    except (ImageError, *_DAMAGE):
        return 1


def read_frames(file: Path | BinaryIO) -> Iterator[tuple[float, PillowImage]]:
    """The frames of such a picture with their times in seconds; read each before asking for the next.

    Raises:
        ImageError: it is damaged; what came before has been given.
    """
    with _open(file) if isinstance(file, Path) else nullcontext(file) as stream:
        kind = str(peek_kind(stream))
        stream.seek(0)
        with _damage_named(kind, "the file given"):
            picture = _open_kind(stream, kind)
            _refuse_large(picture.size, "the file given", MAX_PIXELS)
            time = 0.0  # milliseconds
            for number in range(picture.n_frames):
                picture.seek(number)
                picture.load()
                yield time / 1000, picture
                shown = float(picture.info.get("duration", 0))
                time += shown if shown > 10 else 100  # as browsers do


def _open_kind(stream: BinaryIO, kind: str) -> Any:
    """Pillow's reader of a picture of this kind; it has read the header alone: size and layout, no pixels."""
    reader = f"{KINDS[kind][1]}Image"
    return getattr(import_module(f"PIL.{reader}Plugin"), f"{reader}File")(stream)


def read_image(
    source: ImageSource, *, max_pixels: int = MAX_PIXELS, white: float | None = None, color: str = "rgb"
) -> Picture:
    """Read a picture from whatever holds one.

    Colour profiles are not applied.

    Args:
        source: a path (the content says what it is, not the name); the bytes of a file; these as base64 or
            a data URI; an open binary file; a PIL image; or an array as in `pixels.array_to_rgb`, or what
            turns into one (a torch tensor). An RGB array of uint8 is passed on, not copied.
        max_pixels: the limit for files and PIL images.
        white: of an array: the value that is shown white.
        color: of an array: "rgb", or "bgr" for what OpenCV reads.

    Raises:
        ConfigError: `white` or `color` makes no sense.
        ImageTooLarge: more than `max_pixels` pixels; nothing was decoded.
        ImageError: missing, unreadable, empty, truncated or not a picture, or an array of another kind.
    """
    given: Any = source
    if isinstance(given, str | bytes | bytearray | memoryview):
        given = decode_text(given)
    if hasattr(given, "getexif"):  # a PIL image, told without importing PIL
        return _from_pillow(given, max_pixels)
    if any(hasattr(given, name) for name in ("__array__", "__array_interface__", "__dlpack__")):
        try:
            array = np.asarray(given)
        except Exception as error:  # each library refuses in its own way
            kind = type(given).__name__
            raise ImageError(
                f"expected what NumPy can turn into an array, it refuses this {kind} ({error}); give "
                "a plain copy: of a torch tensor, tensor.detach().cpu(), and of bfloat16 its .float()"
            ) from error
        if array.ndim == 1 and array.dtype == np.uint8:
            given = array.tobytes()  # of a file: what cv2.imencode and numpy.fromfile give
        else:
            return Picture(*array_to_rgb(array, white=white, color=color))
    if hasattr(given, "read"):
        given = _read_file(given)
    if isinstance(given, bytes | bytearray | memoryview):
        return _from_stream(io.BytesIO(given), f"the content given ({len(given)} bytes)", max_pixels)
    if not isinstance(given, str | os.PathLike):
        raise ImageError(
            "expected a path, the bytes of a file, an open file, a PIL image or an array, got "
            f"{type(given).__name__}; {_advise(given)}"
        )
    path = Path(given)
    with _open(path) as stream:
        picture = _from_stream(stream, shorten(repr(str(path))), max_pixels)
    return replace(picture, path=os.fspath(given))


def peek_kind(file: Path | BinaryIO) -> str | None:
    """`media.kind_of` a path or a seekable file, then at its begin; None also where it cannot be read."""
    try:
        with _open(file) if isinstance(file, Path) else nullcontext(file) as stream:
            stream.seek(0)
            head = stream.read(64)
            stream.seek(0)
            return kind_of(head)
    except (ImageError, OSError):
        return None


def decode_text(source: str | bytes | bytearray | memoryview) -> str | Path | bytes:
    """The bytes that a data URI or base64 stands for, the path of a file:// address; else the same.

    Raises:
        ImageError: an address of the network, or base64 that is damaged.
    """
    head = source[:200] if isinstance(source, str) else bytes(source[:200]).decode("latin-1")
    is_uri = re.match(r"\s*data:[^,]*,", head)
    if is_uri or _is_base64(head):
        text = source if isinstance(source, str) else bytes(source).decode("latin-1")
        content = unquote_to_bytes(text[is_uri.end() :]) if is_uri else text.encode("latin-1", "replace")
        if is_uri and not is_uri[0].endswith(";base64,"):
            return content
        content = b"".join(content.split()).translate(_URL_SAFE).rstrip(b"=")
        try:
            return base64.b64decode(content + b"=" * (-len(content) % 4), validate=True)
        except ValueError as error:
            raise ImageError(
                f"expected base64, {shorten(head)!r} is damaged ({error}); encode it anew"
            ) from error
    if not isinstance(source, str):
        return bytes(source)
    address = re.match(r"([a-z][a-z0-9+.-]*)://", source, re.IGNORECASE)
    if address and address[1].lower() == "file":
        from urllib.request import url2pathname  # slow to import

        return Path(url2pathname(urlsplit(source).path))
    if address:
        raise ImageError(
            f"expected a picture at hand, got an address ({address[0]}...), and `image` fetches nothing; "
            "give what urllib.request.urlopen(address).read() returns, let `mien analyze` fetch it, or use "
            "`video` if it is a stream"
        )
    return str(source)


def _is_base64(head: str) -> bool:
    """Whether a text that begins like this is base64 of a picture; a path may be base64, not of one."""
    letters = "".join(head.split()).encode("ascii", "replace").translate(_URL_SAFE)[:88]
    if len(letters) < 64:
        return False
    try:
        start = base64.b64decode(letters[: len(letters) // 4 * 4], validate=True)
    except ValueError:
        return False
    return kind_of(start) is not None


def seekable_file(file: Any) -> BinaryIO:
    """The open file at its begin, whose bytes can be read in any order: itself, or a copy in memory.

    Raises:
        ImageError: it gives text, or cannot be read.
    """
    with suppress(ValueError):  # it is closed, which `_read_file` tells
        if getattr(file, "seekable", bool)() and isinstance(file.read(0), bytes):
            file.seek(0)
            return cast("BinaryIO", file)
    return io.BytesIO(_read_file(file))


def _read_file(file: Any) -> bytes:
    """What is left of an open file; of one that was just written, and stands at its end, all of it."""
    try:
        content = file.read()
        if not content and getattr(file, "seekable", bool)():
            file.seek(0)
            content = file.read()
    except (OSError, ValueError) as error:  # ValueError: it is closed, or was opened as text
        raise ImageError(
            f"expected a readable file, opened with 'rb', got: {error}; give its path or its bytes"
        ) from error
    if not isinstance(content, bytes | bytearray | memoryview):
        raise ImageError(
            f"expected a file opened in binary mode, this {type(file).__name__} gives "
            f"{type(content).__name__}; open it with 'rb'"
        )
    return bytes(content)


def _advise(given: Any) -> str:
    """What to do with an object that is no picture."""
    if given is None:
        return "cv2.imread gives None for a file that it cannot read: give the path itself, which says why"
    if isinstance(given, int):
        return "a camera is read by `video`"
    if isinstance(given, Iterable):
        return "several pictures are read by `images`, the frames of a clip by `video`"
    return "turn other picture objects into arrays with numpy.asarray"


def quiet_decoders() -> None:
    """For programs: what Pillow and libtiff write to stderr about damaged tags is kept from their users.

    `read_image` says what matters of it, as errors and notes. A library leaves this to its caller, since it
    counts for the whole process.
    """
    from PIL import _imaging

    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    with suppress(OSError, AttributeError):  # a Pillow without libtiff, or one that hides it
        libtiff = ctypes.CDLL(_imaging.__file__)  # finds what Pillow is linked with
        libtiff.TIFFSetErrorHandler(None)
        libtiff.TIFFSetWarningHandler(None)


def write_image(path: str | os.PathLike[str], pixels: NDArray[np.uint8], *, quality: int = 92) -> None:
    """Write RGB (H, W, 3) or gray (H, W) uint8 as the ending of `path` says; it appears whole or not at all.

    Raises:
        OutputError: an unknown ending, an array of another kind, or a place that cannot be written to.
    """
    path = Path(path)
    data = encode_image(pixels, path.suffix, quality=quality)
    with WholeFile(path, overwrite=True) as file:
        file.partial.write_bytes(data)


def encode_image(pixels: NDArray[np.uint8], suffix: str = ".jpg", *, quality: int = 92) -> bytes:
    """The bytes of a file with this ending; `quality` (1..100) counts for JPEG, WebP and AVIF.

    Raises:
        OutputError: an unknown ending or an array of another kind.
    """
    from PIL import Image as pil  # noqa: N813 - the name `Image` is ours

    kind = SUFFIX_KINDS.get(suffix.lower())
    if kind is None or kind in {"HEIC", "ICO"}:  # Pillow writes no HEIC, and shrinks icons
        raise OutputError(f"expected a picture ending ({' '.join(SUFFIX_KINDS)}), got {suffix!r}")
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise OutputError(f"expected uint8 (H, W) or (H, W, 3) pixels, got {pixels.dtype} {pixels.shape}")
    import_module(f"PIL.{KINDS[kind][1]}ImagePlugin")  # else Pillow looks through all plug-ins
    data = io.BytesIO()
    try:
        pil.fromarray(np.ascontiguousarray(pixels)).save(data, format=kind, quality=quality)
    except (*_DAMAGE, MemoryError) as error:
        raise OutputError(f"cannot write a {kind} of shape {pixels.shape}: {error}") from error
    return data.getvalue()


def make_preview(pixels: Image) -> str:
    """A copy of (H, W, 3) RGB pixels of at most `PREVIEW` on its longer side, as a data URI."""
    from PIL import Image as pil  # noqa: N813 - the name `Image` is ours

    picture = pil.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((PREVIEW, PREVIEW))
    return (
        "data:image/jpeg;base64," + base64.b64encode(encode_image(np.asarray(picture), quality=80)).decode()
    )


def _open(path: Path) -> BinaryIO:
    """Open a regular file for reading; a pipe or a device would block or never end."""
    name = shorten(repr(str(path)))
    try:
        if path.is_dir():
            raise ImageError(f"expected a picture file, {name} is a folder; give the files in it")
        if path.exists() and not path.is_file():
            raise ImageError(
                f"expected a picture file, {name} is a device or pipe; read it and pass the bytes"
            )
        return path.open("rb")
    except FileNotFoundError as error:
        raise ImageError(f"expected a picture file, {name} does not exist; check the path") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"expected a readable picture file, {name} cannot be opened: {reason}") from error


def _from_stream(stream: BinaryIO, name: str, max_pixels: int) -> Picture:
    """Decode a seekable stream; messages call it `name`."""
    kind = _kind(stream, name)
    with _damage_named(kind, name):
        if kind == "HEIC":
            return _read_heic(stream, name, max_pixels)
        picture = _open_kind(stream, kind)
        _refuse_large(picture.size, name, max_pixels)
        if kind == "JPEG":
            _check_jpeg_end(stream)
        if kind == "TIFF" and (picture.tag_v2.get(254) == 1 or 50706 in picture.tag_v2):
            raise ImageError(
                f"expected a picture, {name} is the raw file of a camera, with only a small preview to read; "
                "export it as JPEG or TIFF"
            )
        pixels, notes = _decode(picture)
        if kind in {"PNG", "TIFF"} and pixels.max() < _DARK:
            pixels, notes = _read_deep(stream, picture, pixels, notes)
        if getattr(picture, "is_animated", False):
            what = (
                "TIFF of several pages: first page used"
                if kind == "TIFF"
                else f"animated {kind}: first frame used; `mien analyze --animated`, or `video`, reads all"
            )
            notes = (what, *notes)
        return Picture(pixels, notes)


def _read_heic(stream: BinaryIO, name: str, max_pixels: int) -> Picture:
    """A photo of a phone; without the extra, only one that is stored whole and uncropped, by FFmpeg."""
    try:
        from pi_heif import HeifImageFile
    except ImportError:
        pixels = _read_whole_heic(stream, name, max_pixels)
        if pixels is None:
            raise ImageError(
                f"expected a picture, {name} is a HEIC in tiles, and no reader for it is installed; install "
                "it with: pip install 'mien[heic]'"
            ) from None
        return Picture(pixels)
    picture = HeifImageFile(stream)
    _refuse_large(picture.size, name, max_pixels)
    return Picture(*_decode(picture))


def _read_whole_heic(stream: BinaryIO, name: str, max_pixels: int) -> Image | None:
    """The pixels of a HEIC as FFmpeg reads it; None: it is in tiles or cropped, which FFmpeg does not do."""
    import av
    from av.stream import Disposition

    cropped = b"clap" in stream.read(1 << 16)
    stream.seek(0)
    options = {"format_whitelist": "mov", "protocol_whitelist": ""}
    with av.open(stream, "r", metadata_errors="replace", options=options) as file:
        whole = [s for s in file.streams.video if s.disposition & Disposition.default]
        if cropped or not whole or whole[0].disposition & Disposition.dependent:
            return None
        _refuse_large((whole[0].width, whole[0].height), name, max_pixels)
        for packet in file.demux(whole[0]):
            if packet.is_corrupt:
                raise OSError("its data end early")
            for frame in packet.decode():
                quarters = round(frame.rotation / 90)  # counterclockwise
                return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), quarters))
    raise OSError("no picture in it")


def _read_deep(
    stream: BinaryIO, picture: PillowImage, pixels: Image, notes: tuple[str, ...]
) -> tuple[Image, tuple[str, ...]]:
    """A dark picture; 16-bit colour, of which Pillow keeps the high bytes alone, by all its bits."""
    tags = getattr(picture, "tag_v2", {})
    stream.seek(24)
    if stream.read(1) != b"\x10" if picture.format == "PNG" else 16 not in np.atleast_1d(tags.get(258, 8)):
        return pixels, notes
    if picture.mode not in {"RGB", "RGBA"}:
        return pixels, notes
    import av

    stream.seek(0)
    with av.open(stream, "r", options={"protocol_whitelist": ""}) as file:
        deep = next(file.decode(video=0)).to_ndarray(format="rgb48le")  # (H, W, 3) uint16
    white = next(white for white in WHITES if deep.max() <= white)
    levels, more = array_to_rgb(deep, white=white)
    told = f"16-bit colour that only reaches {deep.max()}: {white} taken as white"
    return _upright(levels, picture), (*notes, told, *more)


def _from_pillow(picture: PillowImage, max_pixels: int) -> Picture:
    """The pixels of a PIL image, of the frame at which it stands."""
    name = "the PIL image given"
    with _damage_named(picture.format or "PIL", name):
        _refuse_large(picture.size, name, max_pixels)
        return Picture(*_decode(picture))


@contextmanager
def _damage_named(kind: str, name: str) -> Iterator[None]:
    """What Pillow raises on pictures that it cannot decode becomes an `ImageError`."""
    from PIL.Image import DecompressionBombError

    try:
        yield
    except ImageTooLarge:
        raise
    except DecompressionBombError as error:  # its WebP and TIFF readers look at its own limit
        raise ImageTooLarge(
            f"expected a picture within Pillow's own limit, {name} is beyond it ({error}); shrink it, or "
            "raise PIL.Image.MAX_IMAGE_PIXELS"
        ) from error
    except MemoryError as error:
        raise ImageError(f"expected a picture that fits into memory, {name} does not; shrink it") from error
    except _DAMAGE as error:
        raise ImageError(
            f"expected a whole {kind} picture, {name} is damaged or cut short ({error}); "
            "get it again or save it again from its source"
        ) from error


def _decode(picture: PillowImage) -> tuple[Image, tuple[str, ...]]:
    """The upright (H, W, 3) pixels of a picture, with what was done to it."""
    picture.load()
    pixels, notes = _to_rgb(picture)
    return _upright(pixels, picture), notes


def _check_jpeg_end(stream: BinaryIO) -> None:
    """Find the end marker: what fills a file up after a cut, libjpeg takes for pixels if it can."""
    start = stream.tell()  # Pillow stops at the first scan, so thumbnails and their ends lie behind
    found = stream.read().rfind(b"\xff\xd9")  # cannot occur within a scan (ITU T.81, B.1.1.5)
    stream.seek(start)
    if found < 0:
        raise OSError("no end marker")


def _kind(stream: BinaryIO, name: str) -> str:
    """The kind of picture that the first bytes announce."""
    head = stream.read(HEAD)
    stream.seek(0)
    kind = kind_of(head)
    if kind is not None:
        return kind
    if not head:
        raise ImageError(f"expected a picture, {name} is empty (0 bytes); get it again")
    what = f"begins with {head[:16]!r}"
    if re.match(CLIPS, head, re.DOTALL):
        raise ImageError(f"expected a picture, {name} is a clip; use `video`")
    expected = f"expected a picture ({', '.join(KINDS)})"
    for pattern, foreign, remedy in FOREIGN:
        if re.match(pattern, head, re.DOTALL):
            raise ImageError(f"{expected}, {name} is {foreign}; {remedy}")
    if all(byte in b"\t\n\r\f" or 32 <= byte < 127 for byte in head):
        what = f"is text ({head[:24].decode()!r}...)"
    raise ImageError(f"{expected}, {name} {what}; convert it to one of these")


def _refuse_large(size: tuple[int, int], name: str, max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise ImageTooLarge(
            f"expected at most {max_pixels:,} pixels, {name} has {width} x {height} = {width * height:,}; "
            "shrink it, or raise the limit with --max-pixels (max_pixels of mien.image.read_image)"
        )


def _to_rgb(picture: PillowImage) -> tuple[Image, tuple[str, ...]]:
    """The loaded picture, of any mode, as (H, W, 3), with what was done to it."""
    from PIL import Image as pil  # noqa: N813 - the name `Image` is ours

    if picture.mode.startswith("I") or picture.mode == "F":
        gray, notes = _to_8_bit(picture)
        return np.repeat(gray[:, :, None], 3, axis=2), notes  # (H, W) -> (H, W, 3)
    if picture.has_transparency_data:
        seen = picture.convert("RGBA")
        flat = pil.new("RGB", seen.size, BACKGROUND)
        flat.paste(seen, mask=seen.getchannel("A"))
        opaque = seen.getchannel("A").getextrema() == (255, 255)
        return np.asarray(flat), () if opaque else (f"transparent parts shown on {BACKGROUND}",)
    return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB")), ()


def _to_8_bit(picture: PillowImage) -> tuple[Image, tuple[str, ...]]:
    """Gray of 12, 16 or 32 bits, or floats, scaled (never clipped) to uint8 (H, W).

    16 bits span 0..65535 by definition; where no value reaches a quarter of that, a camera of fewer bits
    wrote them, and white is the smallest of 255, 1023, 4095 and 16383 that holds every value, with a note. 32
    bits and floats carry no white level: the smallest of 1 (floats), 255 and 65535 that holds every value is
    taken, else their own range, and a note says so.
    """
    values = np.asarray(picture)  # (H, W)
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        tags = getattr(picture, "tag_v2", {})
        most = 4095 if tags.get(258) == (12,) else 65535  # TIFF BitsPerSample
        # cameras of 10, 12 and 14 bits fill the low ones; a dark picture of 16 bits is brightened as well
        brightest = int(values.max())
        fewer = [white for white in WHITES[1:] if brightest <= white <= most // 4]
        white = fewer[0] if fewer else most
        gray = ((values.astype(np.uint32) * 255 + white // 2) // white).clip(0, 255).astype(np.uint8)
        told = (f"{most.bit_length()}-bit gray that only reaches {brightest}: {white} taken as white",)
        # TIFF PhotometricInterpretation: white is 0
        return (255 - gray if tags.get(262) == 0 else gray), told if white < most else ()
    with np.errstate(invalid="ignore"):  # a NaN of any kind is damage, and becomes black
        floats = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(floats.min()), float(floats.max())
    levels = (1, 255, 65535) if picture.mode == "F" else (255, 65535)
    fitting = [w for w in levels if high <= w] if low >= 0 else []
    bottom, top = (0.0, float(fitting[0])) if fitting else (low, high)
    gray = np.rint((floats - bottom) * (255 / max(top - bottom, 1e-12))).astype(np.uint8)
    return gray, (f"{values.dtype} gray: {bottom:g}..{top:g} taken as black..white",)


def _upright(pixels: Image, picture: PillowImage) -> Image:
    """Turn and mirror as EXIF 2.32, 4.6.4.A, tag 0x0112 says the picture was held.

    Damaged or missing EXIF counts as upright, as viewers do.
    """
    try:
        held = picture.getexif().get(0x0112, 1)
    except _DAMAGE:  # nothing of the picture is lost
        held = 1
    return turn_pixels(pixels, held in (5, 6, 7, 8), held in (2, 3, 6, 7), held in (3, 4, 7, 8))
