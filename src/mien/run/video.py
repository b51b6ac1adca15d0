"""Clips and cameras to a stream of RGB frames with their own times, in constant memory.

Which frames are wanted is decided here; `clip` and `camera` read them, and only the wanted become RGB.

Legend: H rows, W columns.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from mien.errors import ConfigError, VideoError
from mien.run.camera import Camera
from mien.run.clip import Clip
from mien.types import Image

CLIP_SUFFIXES: Final = frozenset({
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".flv",
    ".3gp", ".ogv", ".mjpeg", ".mjpg", ".y4m", ".vob",
})  # fmt: skip


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
    def missing(self) -> tuple[str, ...]: ...
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
    `threads` decode a clip: one gives the same frames on every machine and keeps up with the analysis;
    more (0: as many as there are cores) help with 4K, but FFmpeg then drops up to that many frames more
    where a clip is damaged.

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
        threads: int = 1,
    ) -> None:
        _check_sampling(every, fps)
        self._every = every
        self._sample = fps
        self._used = False
        self.decoded = 0  # frames so far, sampled or not
        self._reader: _Reader = Camera(source) if isinstance(source, int) else Clip(Path(source), threads)

    def __iter__(self) -> Iterator[VideoFrame]:
        if self._used:
            raise VideoError("a Video is read once; open it again to start over")
        self._used = True
        served = None  # the slot of 1/fps seconds that the last frame taken fell into
        for index, (seconds, pixels) in enumerate(self._reader.pictures()):
            self.decoded = index + 1
            if self._sample is None:
                wanted = index % self._every == 0
            else:
                slot = math.floor(seconds * self._sample + 1e-6)
                wanted = slot != served  # not ">": time stamps of a joined clip may start over
                served = slot
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
    def missing(self) -> tuple[str, ...]:
        """What of the clip did not come, once the last frame was read; empty: all of it. Part of `notes`."""
        return self._reader.missing()

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
