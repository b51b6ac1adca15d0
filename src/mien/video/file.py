"""A clip to its frames and their times, by PyAV (FFmpeg): damaged packets are counted and skipped."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from mien.errors import VideoError
from mien.image import MAX_PIXELS
from mien.types import Image

#: Demuxers that may open a file: all read one file and nothing else. Playlists and scripts (hls, concat),
#: which name further files, and readers of anything at all (tty, image2) are left out.
FORMATS: Final = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,asf,flv,ogg,gif,apng,yuv4mpegpipe,mjpeg,ivf,"
    "h264,hevc,m4v,mpjpeg,nut,mxf,rm,dv,wtv,swf,obu,av1,mp3,wav,flac,aac"
)

FALLBACK_RATE: Final = 25.0  # frames a second where neither the container nor the stream says


class ClipReader:
    """A file that is open; its frames are read once, first to last."""

    def __init__(self, path: Path, threads: int) -> None:
        self._name = repr(str(path))
        self._skipped = 0
        self._damaged = 0  # frames that the decoder patched up
        self._decoded = 0
        self._hidden = 0  # packets that the container's edit list hides: decoded, never shown
        self._untimed = 0
        self._first: float | None = None  # times of the first frame and of the latest, seconds
        self._last: float | None = None
        self._ended = False
        self._end = ""  # why reading stopped before the end of the file
        self._container = _open_container(path, self._name)
        try:
            self._stream = _video_stream(self._container, self._name)
            self._stream.thread_type = "AUTO"
            self._stream.thread_count = threads
        except BaseException:
            self._container.close()
            raise
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.fps: float | None = float(rate) if rate else None
        if self._stream.duration and self._stream.time_base:
            self.duration: float | None = float(self._stream.duration * self._stream.time_base)
        else:  # of the file, in microseconds (AV_TIME_BASE)
            self.duration = self._container.duration / 1_000_000 if self._container.duration else None
        exact = self._container.format.name != "avi"  # AVI counts ticks, also those without a frame
        self._announced = int(self._stream.frames) if exact else 0  # 0: the container does not say
        estimate = round(self.duration * self.fps) if self.duration and self.fps else None
        self.frames_total: int | None = self._announced or estimate

    def pictures(self) -> Iterator[tuple[float, Callable[[], Image]]]:
        """Every frame that can be decoded: its time, and a function that gives its pixels."""
        for frame in self._decode():
            seconds = self._time(frame)
            self._first = seconds if self._first is None else self._first
            self._last = seconds
            self._decoded += 1
            self._damaged += frame.is_corrupt
            yield seconds, partial(to_rgb, frame, self._name)
        self._ended = True
        if self._decoded == 0:
            raise VideoError(
                f"expected frames, {self._name} has a video stream of which none can be decoded "
                f"(damaged packets: {self._skipped}); get the clip again or save it again"
            )

    def _time(self, frame: Any) -> float:
        """The container's own time stamp; where it has none, one frame after the last."""
        if frame.pts is not None and frame.time_base is not None:
            return float(frame.pts * frame.time_base)
        self._untimed += 1
        return 0.0 if self._last is None else self._last + 1 / (self.fps or FALLBACK_RATE)

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
        """What went wrong on the way."""
        notes = list(self.missing())
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


def _open_container(path: Path, name: str) -> Any:
    """Open a clip, with an error that tells what is wrong with it."""
    import av

    try:
        if path.is_dir():
            raise VideoError(f"expected a clip, {name} is a folder; give the files in it")
        if not path.exists():
            raise VideoError(f"expected a clip, {name} does not exist; check the path")
        if not path.is_file():
            raise VideoError(f"expected a clip, {name} is a device or pipe; a camera is given by its number")
        if path.stat().st_size == 0:
            raise VideoError(f"expected a clip, {name} is empty (0 bytes); get it again")
        options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
        # Absolute, so that no name is taken for a protocol ("http:...").
        return av.open(str(path.absolute()), metadata_errors="replace", options=options)
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        if isinstance(error, av.ArgumentError):  # what FFmpeg answers for a format off the list
            reason = "a playlist, or a format that is not read"
        raise VideoError(
            f"expected a clip (MP4, MOV, MKV, WebM, AVI...), {name} cannot be opened: {reason}; it is "
            "no clip, or was cut before its index was written: get it again or save it again"
        ) from error


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


def to_rgb(frame: Any, name: str) -> Image:
    """A decoded frame of the video `name` as RGB (H, W, 3), upright.

    Raises:
        VideoError: there is no way from its format to RGB.
    """
    import av

    try:
        pixels = frame.to_ndarray(format="rgb24", threads=1)  # more wait for each other longer than they work
        return _upright(pixels, frame)
    except (av.FFmpegError, ValueError) as error:  # ValueError: PyAV knows no array of that format
        raise VideoError(
            f"expected frames that can be made RGB, {name} has one of format {frame.format.name} ({error}); "
            "save the clip as H.264"
        ) from error


def _upright(pixels: Image, frame: Any) -> Image:
    """Turn and mirror pixels (H, W, 3) as the frame's display matrix says."""
    side = frame.side_data.get("DISPLAYMATRIX")
    if side is None:
        return pixels
    # `frame.rotation` would do, but takes a mirrored picture for one that is upside down.
    a, b, _, c, d = struct.unpack("=5i", bytes(side)[:20])  # x' = a x + c y, y' = b x + d y
    if abs(b) > abs(a):
        pixels, a, d = pixels.transpose(1, 0, 2), c, b  # (H, W, 3) -> (W, H, 3)
    pixels = pixels[:, ::-1] if a < 0 else pixels
    pixels = pixels[::-1] if d < 0 else pixels
    return np.ascontiguousarray(pixels)
