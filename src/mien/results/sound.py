"""The sound of a clip beside its annotated pictures; its packets as they are, where an MP4 can hold them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import av

#: What players expect in an MP4; other sound becomes AAC.
_COPIED: Final = frozenset({"aac", "mp3", "mp3float", "ac3", "alac"})


class Sound:
    """The first sound of a clip, handed to another container piece by piece as its pictures come."""

    def __init__(self, path: Path, container: Any) -> None:
        """Open the clip; one that has no sound, or none that can be read, gives none.

        Args:
            path: the clip.
            container: an av container open for writing that has no packet yet.
        """
        self._out = container
        self._packets: Iterator[tuple[float, Any]] = iter(())
        self._next: tuple[float, Any] | None = None
        self._first: float | None = None
        self._in: Any = None
        with suppress(av.FFmpegError, OSError):
            self._in = av.open(str(path.absolute()), metadata_errors="replace")
            if self._in.streams.audio:
                self._packets = self._open(self._in.streams.audio[0])

    def until(self, time: float) -> None:
        """Hand over what begins before `time` seconds; what begins before the first such time is left out."""
        first = self._first is None
        self._first = time if self._first is None else self._first
        while (piece := self._next or next(self._packets, None)) is not None:
            self._next = piece
            begins, packet = piece
            if begins >= time:
                return
            self._next = None
            if not first and begins >= self._first:
                self._out.mux(packet)

    def close(self) -> None:
        """Close the clip."""
        if self._in is not None:
            self._in.close()

    def _open(self, source: Any) -> Iterator[tuple[float, Any]]:
        if source.codec_context.name in _COPIED:
            return self._copied(source, self._out.add_stream_from_template(source))
        rate = source.codec_context.sample_rate
        return self._encoded(source, self._out.add_stream("aac", rate=rate))

    def _copied(self, source: Any, target: Any) -> Iterator[tuple[float, Any]]:
        """(seconds, packet) of the sound as it is, until it ends or is damaged."""
        with suppress(av.FFmpegError):
            for packet in self._in.demux(source):
                if packet.dts is None or packet.pts is None:
                    continue  # the empty one at the end
                seconds = float(packet.pts * packet.time_base)
                packet.stream = target
                yield seconds, packet

    def _encoded(self, source: Any, target: Any) -> Iterator[tuple[float, Any]]:
        """(seconds, packet) of the sound as AAC."""
        with suppress(av.FFmpegError):
            for frame in self._in.decode(source):
                for packet in target.encode(frame):
                    yield float(packet.pts * packet.time_base), packet
            for packet in target.encode(None):
                yield float(packet.pts * packet.time_base), packet
