"""Clips, cameras and streams to RGB frames with their own times, one after the other, in constant memory.

Which frames are taken is decided here; `file`, `camera` and `stream` read them, and only those taken become
RGB.

Legend: H rows, W columns.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, Self

from mien.errors import ConfigError, ImageError, VideoError
from mien.image import count_frames, decode_text, peek_kind, read_frames, seekable_file
from mien.types import Image
from mien.video.camera import CameraReader
from mien.video.file import ClipReader
from mien.video.pictures import PictureReader
from mien.video.stream import StreamReader, is_stream, shown

if TYPE_CHECKING:
    #: The path, the bytes or the open file of a clip, the number of a camera, the address of a stream.
    VideoSource = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | int


@dataclass(frozen=True, slots=True, eq=False)
class VideoFrame:
    """One frame of a clip or camera."""

    pixels: Image  # (H, W, 3) RGB uint8, upright
    index: int  # position among the decoded frames, from 0
    time: float  # seconds, the container's own time stamp; for a camera, since it was opened


@dataclass(frozen=True, slots=True, eq=False)
class LazyFrame:
    """A frame of a clip or camera whose pixels have not been made yet."""

    pixels: Callable[[], Image]  # makes them, (H, W, 3) RGB uint8, upright; before the next frame
    index: int
    time: float

    def load(self) -> VideoFrame:
        """The frame with its pixels."""
        return VideoFrame(self.pixels(), self.index, self.time)


class _Reader(Protocol):
    """What `Video` reads from: a clip, a camera or a stream."""

    frames_total: int | None
    fps: float | None
    duration: float | None

    def pictures(self) -> Iterator[tuple[float, Callable[[], Image]]]: ...
    def notes(self) -> tuple[str, ...]: ...
    def missing(self) -> tuple[str, ...]: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class VideoOptions:
    """Which frames of a clip are taken; the default is all.

    Raises:
        ConfigError: values that make no sense or exclude each other.
    """

    every: int = 1  # every n-th frame
    fps: float | None = None  # or the first frame of each 1/fps seconds by time stamp
    start: float | None = None  # seconds by time stamp; no frame before it ...
    end: float | None = None  # ... and none from it on

    def __post_init__(self) -> None:
        every, fps = self.every, self.fps
        if isinstance(every, bool) or not isinstance(every, Integral) or every < 1:
            raise ConfigError(f"every: expected a whole number from 1, got {every!r}")
        if fps is not None and not (math.isfinite(fps) and fps > 0):
            raise ConfigError(f"fps: expected frames a second above 0, got {fps!r}")
        if fps is not None and every != 1:
            raise ConfigError(f"expected every or fps, got both ({every} and {fps:g}); leave one out")
        for name, value in (("start", self.start), ("end", self.end)):
            if value is not None and not math.isfinite(value):
                raise ConfigError(f"{name}: expected seconds, got {value!r}")
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ConfigError(f"expected a start before the end, got {self.start:g} and {self.end:g} s")


class Video:
    """A clip, camera, stream or pictures in hand, to be iterated over once.

    Args:
        source: the path, the bytes or the open binary file of a clip; the number of a camera; the address of
            a stream; or pictures.
        options: which frames are taken; the others are decoded and skipped, so that a frame's index is
            always its place in the clip.
        threads: that decode a clip. One keeps up with the analysis; more (0: one per core) help with 4K,
            until something damaged comes.

        with Video("clip.mp4", VideoOptions(fps=5)) as video:
            for frame in video:
                ...
        print(video.notes)  # complete once the last frame was read

    Raises:
        VideoError: missing, empty, cut or not a clip, no video stream in it, no such camera, or no answer.
    """

    def __init__(
        self, source: VideoSource | PictureReader, options: VideoOptions | None = None, *, threads: int = 1
    ) -> None:
        self._options = options or VideoOptions()
        self._served: int | None = None  # the slot of 1/fps seconds of the last frame taken
        self._used = False
        self._closed = False
        self._lock = Lock()  # one thread may close it while another reads
        self._reader = reader = _open(source, threads)
        self.live = isinstance(reader, CameraReader | StreamReader)  # frames come at their own pace
        self.name = _name(source, live=self.live)  # of the source in results
        self.decoded = 0  # frames so far, taken or not
        # what the container or camera says; None: not known
        self.frames_total = reader.frames_total  # announced, or an estimate from its duration
        self.fps = reader.fps  # mean frames a second
        self.duration = reader.duration  # seconds

    def __iter__(self) -> Iterator[VideoFrame]:
        for frame in self.lazy_frames():
            with self._lock:
                loaded = frame.load()
            yield loaded

    def lazy_frames(self) -> Iterator[LazyFrame]:
        """As iterating does, but a frame's pixels are made only if asked for, before the next frame."""
        if self._used:
            raise VideoError("a Video is read once; open it again to start over")
        self._used = True
        end = math.inf if self._options.end is None else self._options.end
        pictures = self._reader.pictures()
        while True:
            with self._lock:
                picture = None if self._closed else next(pictures, None)
            if picture is None or picture[0] >= end:
                return
            seconds, pixels = picture
            index, self.decoded = self.decoded, self.decoded + 1
            if self._takes(index, seconds):
                yield LazyFrame(pixels, index, seconds)

    def _takes(self, index: int, seconds: float) -> bool:
        options = self._options
        if options.start is not None and seconds < options.start:
            return False
        if options.fps is None:
            return index % options.every == 0
        slot, before = math.floor(seconds * options.fps + 1e-6), self._served
        self._served = slot
        return slot != before  # not ">": time stamps of a joined clip may start over

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, camera or stream; may be called twice, and while another thread reads."""
        with self._lock:
            self._closed = True
            self._reader.close()

    @property
    def share(self) -> float:
        """Share of the frames up to the end that has been decoded, 0 to 1; 0 if it is not known."""
        total, end, fps = self.frames_total, self._options.end, self.fps
        if total and end is not None and fps:
            total = min(total, math.ceil(end * fps))
        return min(1.0, self.decoded / total) if total else 0.0

    @property
    def missing(self) -> tuple[str, ...]:
        """What of the clip could not be read, known after the last frame; empty: nothing. Part of `notes`."""
        return self._reader.missing()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know, e.g. that the clip is cut short; complete after the last frame."""
        return self._reader.notes()


def _name(source: Any, *, live: bool) -> str:
    """What results call it: a path, an address without its password, a camera's number; else nothing."""
    if not isinstance(source, str | os.PathLike | Integral) or str(source)[:5].lower() == "data:":
        return ""
    return shown(str(source)) if live else str(source)


def _open(source: Any, threads: int) -> _Reader:
    """What reads the source, whatever it is."""
    if isinstance(source, PictureReader):
        return source
    if isinstance(source, Integral) and not isinstance(source, bool):
        return CameraReader(int(source))
    if isinstance(source, str | os.PathLike) and is_stream(os.fspath(source)):
        return StreamReader(os.fspath(source))
    clip: Any = source
    try:
        if isinstance(clip, str) and clip[:5].lower() in {"data:", "file:"}:
            clip = decode_text(clip)
        if isinstance(clip, bytes | bytearray | memoryview):
            clip = io.BytesIO(clip)
        elif hasattr(clip, "read"):
            clip = seekable_file(clip)
    except ImageError as error:
        raise VideoError(str(error)) from error
    if isinstance(clip, str | os.PathLike):
        clip = Path(clip)
    elif not hasattr(clip, "read"):
        raise VideoError(
            "expected a path, an address, the number of a camera, the bytes of a clip, an open file, or "
            f"pictures one after the other, got {type(source).__name__}"
        )
    frames = count_frames(clip)
    if frames > 1:
        animation = PictureReader(read_frames(clip))
        animation.frames_total = frames
        return animation
    try:
        return ClipReader(clip, threads)
    except VideoError as error:
        kind = peek_kind(clip)
        if kind is None:
            raise
        raise VideoError(f"expected a clip, got a {kind} picture; use `image`") from error
