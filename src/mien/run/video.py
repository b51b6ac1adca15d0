"""Clips and cameras to a stream of RGB frames with their own times, in constant memory.

Clips are decoded by PyAV, which goes on past damaged packets and gives the container's time stamps;
cameras by OpenCV, which comes with the detector's package. Only the frames asked for become RGB.

Legend: H rows, W columns.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

import numpy as np

from mien.errors import ConfigError, VideoError
from mien.image import MAX_PIXELS, swap_bgr
from mien.types import Image

CLIP_SUFFIXES: Final = frozenset({
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".flv",
    ".3gp", ".ogv", ".mjpeg", ".mjpg", ".y4m", ".vob",
})  # fmt: skip

#: Demuxers that may open a file: all read one file and nothing else. Playlists and scripts (hls, concat),
#: which name further files, and readers of anything at all (tty, image2) are left out.
FORMATS: Final = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,asf,flv,ogg,gif,apng,yuv4mpegpipe,mjpeg,ivf,"
    "h264,hevc,m4v,mpjpeg,nut,mxf,rm,dv,wtv,swf,obu,av1,mp3,wav,flac,aac"
)


@dataclass(frozen=True, slots=True, eq=False)
class VideoFrame:
    """One frame of a clip or camera."""

    pixels: Image  # (H, W, 3) RGB uint8, upright
    index: int  # position among the decoded frames, from 0
    time: float  # seconds, the container's own time stamp; for a camera, since it was opened


class _Reader(Protocol):
    """What `Video` reads from: a clip or a camera."""

    frames_total: int | None
    fps: float | None
    duration: float | None
    skipped: int

    def pictures(self) -> Iterator[tuple[float, Callable[[], Image]]]: ...
    def notes(self) -> tuple[str, ...]: ...
    def close(self) -> None: ...


def is_clip(path: str | os.PathLike[str]) -> bool:
    """Whether the ending of `path` is that of a clip; the file itself is not looked at."""
    return Path(path).suffix.lower() in CLIP_SUFFIXES


def frames(
    source: str | os.PathLike[str] | int, *, every: int = 1, fps: float | None = None
) -> Iterator[VideoFrame]:
    """The frames of a clip or camera, one after the other; arguments and errors are those of `Video`."""
    video = Video(source, every=every, fps=fps)  # here, not in the generator: errors come at the call

    def stream() -> Iterator[VideoFrame]:
        with video:
            yield from video

    return stream()


class Video:
    """A clip (path) or camera (its number), to be iterated over once.

    `every=N` takes frames 0, N, 2N...; `fps=F` takes the first frame of each 1/F seconds by time stamp.
    `threads` are for decoding a clip: 0 as many as there are cores, 1 in a worker that has one core.

        with Video("clip.mp4", fps=5) as video:
            for frame in video:
                ...
        print(video.notes)  # complete once the last frame was read

    Raises:
        ConfigError: `every` below 1, `fps` not above 0, or both given.
        VideoError: missing, empty, cut or not a clip, no video stream in it, or no such camera.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | int,
        *,
        every: int = 1,
        fps: float | None = None,
        threads: int = 0,
    ) -> None:
        _check_sampling(every, fps)
        self._every = every
        self._sample = fps
        self._used = False
        self.decoded = 0  # frames so far, sampled or not
        self._reader: _Reader = _Camera(source) if isinstance(source, int) else _Clip(Path(source), threads)

    def __iter__(self) -> Iterator[VideoFrame]:
        if self._used:
            raise VideoError("a Video is read once; open it again to start over")
        self._used = True
        due = -math.inf  # the next slot of 1/fps seconds that has no frame yet
        for index, (seconds, pixels) in enumerate(self._reader.pictures()):
            self.decoded = index + 1
            if self._sample is None:
                wanted = index % self._every == 0
            else:
                slot = math.floor(seconds * self._sample + 1e-6)
                wanted = slot >= due
                due = slot + 1 if wanted else due
            if wanted:
                yield VideoFrame(pixels(), index, seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file or camera; may be called twice."""
        self._reader.close()

    @property
    def frames_total(self) -> int | None:
        """Frames that the container announces, or an estimate from its duration; None: not known."""
        return self._reader.frames_total

    @property
    def fps(self) -> float | None:
        """Mean frames a second, as the container or camera says; None: not known."""
        return self._reader.fps

    @property
    def duration(self) -> float | None:
        """Seconds, as the container says; None: not known, or a camera."""
        return self._reader.duration

    @property
    def skipped(self) -> int:
        """Damaged packets that could not be decoded, so far."""
        return self._reader.skipped

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader should know, e.g. that the clip is cut; complete after the last frame."""
        return self._reader.notes()


def _check_sampling(every: int, fps: float | None) -> None:
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise ConfigError(f"every: expected a whole number from 1, got {every!r}")
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise ConfigError(f"fps: expected frames a second above 0, got {fps!r}")
    if fps is not None and every != 1:
        raise ConfigError(f"expected every or fps, got both ({every} and {fps:g}); leave one out")


class _Clip:
    """A file, decoded by PyAV."""

    def __init__(self, path: Path, threads: int) -> None:
        self._name = repr(str(path))
        self.skipped = 0
        self._damaged = 0  # frames that the decoder patched up
        self._decoded = 0
        self._hidden = 0  # packets that the container's edit list hides: decoded, never shown
        self._untimed = 0
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
        self.duration: float | None = _duration(self._container, self._stream)
        self._announced = int(self._stream.frames)  # 0: the container does not say
        estimate = round(self.duration * self.fps) if self.duration and self.fps else None
        self.frames_total: int | None = self._announced or estimate

    def pictures(self) -> Iterator[tuple[float, Callable[[], Image]]]:
        """Every frame that can be decoded: its time, and a function that gives its pixels."""
        last = -1 / (self.fps or 25.0)
        for frame in self._decode():
            if frame.pts is None or frame.time_base is None:
                self._untimed += 1
                seconds = last + 1 / (self.fps or 25.0)
            else:
                seconds = float(frame.pts * frame.time_base)
            last = seconds
            self._decoded += 1
            self._damaged += frame.is_corrupt
            yield seconds, partial(_to_rgb, frame)
        if self._decoded == 0:
            raise VideoError(
                f"expected frames, {self._name} has a video stream of which none can be decoded "
                f"({self.skipped} damaged packets); get the clip again or save it anew"
            )

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
                self._end = f"the file is cut or damaged ({error.strerror})"
                packet = None  # flush the frames that the decoder still holds
            try:
                yield from packet.decode() if packet is not None else self._stream.decode(None)
            except av.FFmpegError:
                self.skipped += 1
            if packet is None:
                return

    def notes(self) -> tuple[str, ...]:
        """What went wrong on the way."""
        notes = []
        short = self._end or "the file is cut"
        missing = self._announced - self._hidden - self._decoded
        if self._end or self.skipped or missing > max(2, 0.02 * self._announced):
            of = f" of {self._announced}" if self._announced else ""
            notes.append(f"{short}: {self._decoded}{of} frames read")
        if self.skipped:
            notes.append(f"{self.skipped} damaged packets skipped")
        if self._damaged:
            notes.append(f"{self._damaged} frames are damaged and were patched up by the decoder")
        if self._untimed:
            notes.append(
                f"{self._untimed} frames without a time stamp, counted on at {self.fps or 25:g} a second"
            )
        return tuple(notes)

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
        raise VideoError(
            f"expected a clip (MP4, MOV, MKV, WebM, AVI...), {name} cannot be opened: {reason}; it is "
            "no clip, or was cut before its index was written: get it again or save it anew"
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
        raise VideoError(f"{name}: this build of FFmpeg has no decoder for its video; save it as H.264")
    if stream.width * stream.height > MAX_PIXELS:
        size = f"{stream.width} x {stream.height}"
        raise VideoError(f"expected frames of at most {MAX_PIXELS:,} pixels, {name} has {size}; shrink it")
    return stream


def _duration(container: Any, stream: Any) -> float | None:
    """Seconds of the stream, else of the file."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / 1_000_000 if container.duration else None  # AV_TIME_BASE: microseconds


def _to_rgb(frame: Any) -> Image:
    """A decoded frame as RGB (H, W, 3), turned as its display matrix says."""
    pixels: Image = frame.to_ndarray(format="rgb24")  # (H, W, 3)
    turns = round(frame.rotation / 90) % 4  # counterclockwise, as in numpy
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


class _Camera:
    """A camera, read through OpenCV; PyAV's wheels have no camera input."""

    def __init__(self, number: int) -> None:
        self._capture = _open_camera(number)
        self._number = number
        self._ended = False
        self.skipped = 0
        self.frames_total: int | None = None
        self.duration: float | None = None
        rate = float(self._capture.get(5))  # CAP_PROP_FPS; 0 where the driver does not know
        self.fps: float | None = rate if rate > 0 else None

    def pictures(self) -> Iterator[tuple[float, Callable[[], Image]]]:
        """Frames until the camera stops giving them."""
        start = time.monotonic()
        while self._capture.grab():
            yield time.monotonic() - start, self._pixels
        self._ended = True

    def _pixels(self) -> Image:
        good, pixels = self._capture.retrieve()
        if not good:
            raise VideoError(f"camera {self._number} gave a frame that cannot be decoded; plug it in again")
        return swap_bgr(pixels)

    def notes(self) -> tuple[str, ...]:
        """That the camera stopped, if it did."""
        return (f"camera {self._number} stopped giving frames",) if self._ended else ()

    def close(self) -> None:
        """Let go of the camera."""
        self._capture.release()


def _open_camera(number: int) -> Any:
    """Open camera `number`; OpenCV's own log is silent meanwhile."""
    import cv2

    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(0)
    try:
        capture = cv2.VideoCapture(number)
    finally:
        cv2.utils.logging.setLogLevel(level)
    if not capture.isOpened():
        capture.release()
        raise VideoError(
            f"expected a camera, number {number} cannot be opened; check that it is plugged in and that no "
            "other program uses it (the first camera is 0; on Linux /dev/video0)"
        )
    return capture
