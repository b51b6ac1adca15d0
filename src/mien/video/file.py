"""A clip to its frames and their times, by PyAV (FFmpeg): damaged packets are counted and skipped."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from fractions import Fraction
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from mien.errors import VideoError, shorten
from mien.image import MAX_PIXELS
from mien.pixels import turn_pixels
from mien.types import Image

#: Demuxers that may open a file: all read one file and nothing else. Playlists and scripts (hls, concat),
#: which name further files, and readers of anything at all (tty, image2) are left out.
FORMATS: Final = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,asf,flv,ogg,gif,apng,yuv4mpegpipe,mjpeg,ivf,"
    "h264,hevc,m4v,mpjpeg,nut,mxf,rm,dv,wtv,swf,obu,av1,mp3,wav,flac,aac"
)

FALLBACK_RATE: Final = 25.0  # frames a second where neither the container nor the stream says
_MOST_STRETCH: Final = 5  # a pixel said to be so many times as wide as high, or more, is square
_PQ, _HLG = 16, 18  # transfer functions of HDR (ITU-T H.273, table 3)
_HDR: Final = {
    _PQ: "HDR (PQ): its brightness was mapped to that of a usual screen",
    _HLG: "HDR (HLG): read as a usual screen shows it",
}


class ClipReader:
    """A file that is open; its frames are read once, first to last."""

    def __init__(self, source: Path | BinaryIO, threads: int) -> None:
        self._source, self._threads = source, threads
        self._name = shorten(repr(str(source))) if isinstance(source, Path) else "the file given"
        self._damaged = 0  # frames that the decoder patched up
        self._decoded = 0
        self._untimed = 0
        self._stamp, self._since = 0.0, -1  # the latest time stamp, seconds, and frames since it
        self._first: float | None = None  # times of the first frame and of the latest, seconds
        self._last: float | None = None
        self._ended = False
        self._open()
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.fps: float | None = float(rate) if rate else None
        exact = self._container.format.name != "avi"  # AVI counts ticks, also those without a frame
        # of an AVI that is cut short, FFmpeg guesses a duration; its head has the ticks that it had
        ticks = max(self._stream.duration or 0, 0 if exact else self._stream.frames)
        if ticks and self._stream.time_base:
            self.duration: float | None = float(ticks * self._stream.time_base)
        else:  # of the file, in microseconds (AV_TIME_BASE)
            self.duration = self._container.duration / 1_000_000 if self._container.duration else None
        self._announced = int(self._stream.frames) if exact else 0  # 0: the container does not say
        estimate = round(self.duration * self.fps) if self.duration and self.fps else None
        self.frames_total: int | None = self._announced or estimate

    def _open(self) -> None:
        self._skipped = 0
        self._hidden = 0  # packets that the container's edit list hides: decoded, never shown
        self._end = ""  # why reading stopped before the end of the file
        self._container = _open_container(self._source, self._name)
        try:
            self._stream = _video_stream(self._container, self._name)
            self._stream.thread_type = "AUTO"
            self._stream.thread_count = self._threads
            self._to_rgb = ToRgb(self._stream, self._name)
        except BaseException:
            self._container.close()
            raise

    def seek(self, seconds: float) -> None:
        """Go on from the last key frame before a time; from the first frame, where a file allows no jumps."""
        import av

        with suppress(av.FFmpegError):
            self._container.seek(int(seconds * av.time_base))

    def pictures(self) -> Iterator[tuple[float, Callable[[], Image]]]:
        """Every frame that can be decoded: its time, and a function that gives its pixels."""
        for frame in self._decode_alike():
            seconds = self._time(frame)
            self._first = seconds if self._first is None else self._first
            self._last = seconds
            self._decoded += 1
            self._damaged += frame.is_corrupt
            yield seconds, partial(self._to_rgb, frame)
        self._ended = True
        if self._decoded == 0:
            raise VideoError(
                f"expected frames, {self._name} has a video stream of which none can be decoded "
                f"(damaged packets: {self._skipped}); get the clip again or save it again"
            )

    def _time(self, frame: Any) -> float:
        """The container's own time stamp; where it has none, counted on from the last that had one."""
        if frame.pts is not None and frame.time_base is not None:
            self._stamp, self._since = float(frame.pts * frame.time_base), 0
        else:
            self._untimed += 1
            self._since += 1
        return self._stamp + self._since / (self.fps or FALLBACK_RATE)

    def _decode_alike(self) -> Iterator[Any]:
        """Decoded frames, as many for any number of threads.

        Several threads lose frames of a damaged clip, all of them in some formats: from the first damage on,
        one thread decodes, as on machines of one core.
        """
        if self._threads != 1:
            for frame in self._decode():
                if frame.is_corrupt or self._skipped:
                    break
                yield frame
            else:
                if not self._skipped:
                    return
            self.close()
            self._threads = 1
            self._open()
        yield from islice(self._decode(), self._decoded, None)

    def _decode(self) -> Iterator[Any]:
        """Decoded frames; damaged packets are counted and left out."""
        import av

        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
                self._hidden += packet.is_discard
            except StopIteration:
                return
            except av.FFmpegError as error:
                self._end = str(error.strerror)
                packet = None  # flush the frames that the decoder still holds
            try:
                yield from packet.decode() if packet is not None else self._stream.decode(None)
            except av.FFmpegError:
                self._skipped += 1
            if packet is None:
                return

    def notes(self) -> tuple[str, ...]:
        """What went wrong on the way, and how the frames differ from those in the file."""
        notes = [*self.missing(), *self._to_rgb.notes()]
        if self._end:
            notes.append(f"reading stopped early: {self._end}")
        if self._skipped:
            notes.append(f"damaged packets skipped: {self._skipped}")
        if self._damaged:
            notes.append(f"damaged frames, patched up by the decoder: {self._damaged}")
        if self._untimed:
            rate = f"{self.fps or FALLBACK_RATE:g}"
            notes.append(f"frames without a time stamp, counted on at {rate} a second: {self._untimed}")
        return tuple(notes)

    def missing(self) -> tuple[str, ...]:
        """That fewer frames came than the container announced: by number, else by time."""
        if not self._ended:
            return ()
        if self._announced:
            announced = self._announced - self._hidden
            short = announced - self._decoded > 2  # a muxer may count one that it dropped
            return (f"damaged or cut short: {self._decoded} of {announced} frames read",) if short else ()
        if self.duration and self._first is not None and self._last is not None:
            # Matroska and WebM count the duration from zero, the others from the first frame
            begin = 0.0 if self._container.format.name.startswith("matroska") else self._first
            covered = self._last - begin + 1 / (self.fps or FALLBACK_RATE)
            if self.duration - covered > max(0.5, 0.05 * self.duration):
                return (
                    f"pictures end early, perhaps cut short: {covered:.2f} of {self.duration:.2f} s read",
                )
        return ()

    def close(self) -> None:
        """Close the file."""
        self._container.close()


def start_time(path: Path) -> float:
    """When a clip begins by its own time stamps, in seconds: the earliest of any stream, sound too.

    A player's time is counted from it.
    """
    import av

    with _open_container(path, path.name) as container:
        return float((container.start_time or 0) / av.time_base)


def read_stretch(path: Path, start: float, end: float) -> Iterator[tuple[float, Image]]:
    """The frames of a clip from `start` to before `end`, found by a jump: time, (H, W, 3) RGB uint8.

    Raises:
        VideoError: it cannot be opened, or has no picture.
    """
    reader = ClipReader(path, threads=1)
    try:
        reader.seek(start)
        for seconds, pixels in reader.pictures():
            if seconds >= end:
                return
            if seconds >= start:
                yield seconds, pixels()
    finally:
        reader.close()


def _open_container(source: Path | BinaryIO, name: str) -> Any:
    """Open a clip, with an error that tells what is wrong with it."""
    import av

    try:
        if isinstance(source, Path):
            _check_file(source, name)
        options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
        # Absolute, so that no name is taken for a protocol ("http:...").
        place = str(source.absolute()) if isinstance(source, Path) else source
        return av.open(place, metadata_errors="replace", options=options)
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        if isinstance(error, av.ArgumentError):  # what FFmpeg answers for a format off the list
            reason = "a playlist, or a format that is not read"
        elif text := _text_in(source):
            reason = f"it is text ({text!r}...)"
        raise VideoError(
            f"expected a clip (MP4, MOV, MKV, WebM, AVI...), {name} cannot be opened: {reason}; it is "
            "no clip, or was cut before its index was written: get it again or save it again"
        ) from error


def _text_in(source: Path | BinaryIO) -> str:
    """How a file of text begins: a pointer of Git LFS, a page that says why there is no clip; "": no text."""
    try:
        with source.open("rb") if isinstance(source, Path) else nullcontext(source) as file:
            file.seek(0)
            head = file.read(48)
        return head.decode() if head.decode().isprintable() or b"\n" in head else ""
    except (OSError, UnicodeDecodeError):
        return ""


def _check_file(path: Path, name: str) -> None:
    if path.is_dir():
        raise VideoError(f"expected a clip, {name} is a folder; give the files in it")
    if not path.exists():
        raise VideoError(f"expected a clip, {name} does not exist; check the path")
    if not path.is_file():
        raise VideoError(f"expected a clip, {name} is a device or pipe; a camera is given by its number")
    if path.stat().st_size == 0:
        raise VideoError(f"expected a clip, {name} is empty (0 bytes); get it again")


def _video_stream(container: Any, name: str) -> Any:
    """The first video stream that is not a cover picture."""
    from av.stream import Disposition

    moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not moving:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "none"
        raise VideoError(
            f"expected a video stream, {name} has none (its streams: {kinds}); give another clip"
        )
    stream = moving[0]
    if stream.codec_context is None:
        raise VideoError(
            f"expected video that this build of FFmpeg can decode, {name} has another kind; save it as H.264"
        )
    if stream.width * stream.height > MAX_PIXELS:
        size = f"{stream.width} x {stream.height}"
        raise VideoError(f"expected frames of at most {MAX_PIXELS:,} pixels, {name} has {size}; shrink it")
    return stream


class ToRgb:
    """Decoded frames of one stream to RGB, (H, W, 3) uint8: upright, pixels square, HDR mapped to 8 bits."""

    def __init__(self, stream: Any, name: str) -> None:
        self._name = name
        # PyAV (17.0 to 18.1) frees the names of colour profiles twice, so that touching the data beside a
        # frame ends the process; only PNG decoders give such names.
        self._deadly = stream.codec_context.name in {"png", "apng"}
        self._hdr = ""
        self._reformatter: Any = None  # of FFmpeg: one for all frames, since each takes its time to be made
        self._size = (stream.width, stream.height)
        said = stream.sample_aspect_ratio or Fraction(1)  # of the container, else of the stream
        fits = 1 / _MOST_STRETCH <= said <= _MOST_STRETCH
        self._aspect = said if fits else Fraction(1)  # width of a pixel by its height

    def __call__(self, frame: Any) -> Image:
        """The pixels of a frame.

        Raises:
            VideoError: there is no way from its format to RGB.
        """
        import av
        from av.video.reformatter import VideoReformatter

        self._reformatter = self._reformatter or VideoReformatter()
        self._hdr = self._hdr or _HDR.get(frame.color_trc, "")
        try:
            # one thread: more wait for each other longer than they work
            rgb = self._reformatter.reformat(frame, self._wide(frame.width), format="rgb24", threads=1)
            pixels: Image = rgb.to_ndarray()
        except (av.FFmpegError, ValueError) as error:  # ValueError: PyAV knows no array of that format
            raise VideoError(
                f"expected frames that can be made RGB, {self._name} has one of format {frame.format.name} "
                f"({error}); save the clip as H.264"
            ) from error
        if frame.color_trc == _PQ:
            pixels = _pq_to_screen()[pixels]
        return turn_pixels(pixels, *self._turn(frame))

    def _wide(self, width: int) -> int:
        return max(1, round(width * self._aspect))

    def _turn(self, frame: Any) -> tuple[bool, bool, bool]:
        """How the frame is to be turned and mirrored, as `turn_pixels` takes it."""
        if not self._deadly:
            with suppress(ValueError):  # data of a kind that PyAV does not know, such as EXIF
                side = frame.side_data.get("DISPLAYMATRIX")
                if side is None:
                    return False, False, False
                # x' = a x + c y, y' = b x + d y, of which the nearest turn by quarters is taken
                a, b, _, c, d = struct.unpack("=5i", bytes(side)[:20])
                return (True, c < 0, b < 0) if abs(b) > abs(a) else (False, a < 0, d < 0)
        # always safe, but it takes a mirrored picture for one that is upside down
        quarters = round(frame.rotation / 90) % 4  # counterclockwise
        return quarters % 2 == 1, quarters in (2, 3), quarters in (1, 2)

    def notes(self) -> tuple[str, ...]:
        """How the frames differ from those in the file."""
        width, height = self._size
        wide = self._wide(width)
        stretched = f"pixels are not square: {width} x {height} is read as {wide} x {height}, as players do"
        return tuple(note for note in (stretched if wide != width else "", self._hdr) if note)


@cache
def _pq_to_screen() -> Image:
    """(256,) the values of a PQ picture on a usual screen; as they are they would show far too flat."""
    power = (np.arange(256) / 255) ** (1 / 78.84375)  # SMPTE ST 2084
    share = np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)
    light = share ** (1 / 0.1593017578125) * 10_000 / 203  # 1: 203 cd/m2, white paper (ITU-R BT.2408)
    light = np.where(light < 0.75, light, 1 - 0.25 * np.exp(-(light - 0.75) / 0.25))
    values: Image = np.rint(255 * light ** (1 / 2.2)).astype(np.uint8)
    return values
