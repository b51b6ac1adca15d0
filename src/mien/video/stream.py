"""A stream from the network (RTSP, HTTP...) to its frames and times, by PyAV; cut off, it connects again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, repeat
from typing import Any, Final
from urllib.parse import urlsplit

from mien.errors import VideoError
from mien.types import Image
from mien.video.file import ToRgb

#: These give a clip as fast as it is fetched; the others send it at its own pace, as a camera does.
_FILES: Final = ("http", "https")
#: What a name begins with that is a stream, and the protocols that each may use; files are none of them.
PROTOCOLS: Final = {
    "rtsp": "rtsp,rtp,udp,tcp",
    "rtsps": "rtsps,rtsp,rtp,srtp,udp,tcp,tls",
    "rtmp": "rtmp,tcp",
    "http": "http,tcp",
    "https": "https,http,tls,tcp",
    "udp": "udp",
    "tcp": "tcp",
    "srt": "srt,udp",
}
WAIT: Final = 10.0  # seconds without an answer after which a stream is cut off
PATIENCE: Final = 60.0  # seconds of trying to connect again, after which it has ended
_PAUSES: Final = (0.5, 1.0, 2.0, 5.0)  # seconds between tries; the last one again and again


def is_stream(name: str) -> bool:
    """Whether `name` is the address of a stream.

    >>> is_stream("rtsp://camera.local/1"), is_stream("clip.mp4"), is_stream("c:/clip.mp4")
    (True, False, False)
    """
    return "://" in name and urlsplit(name).scheme.lower() in PROTOCOLS


class StreamReader:
    """An address, open until it is closed; frames carry the seconds since it was opened."""

    frames_total: int | None = None  # a stream announces no end
    duration: float | None = None

    def __init__(self, address: str, *, wait: float = WAIT, patience: float = PATIENCE) -> None:
        self._address, self._name = address, shown(address)
        self._wait, self._patience = wait, patience
        self._closed = False
        self._again = 0  # times that it was connected again
        self._ended = ""
        self._skipped = 0
        self._container = self._open()
        rate = self._container.streams.video[0].average_rate
        self.fps: float | None = float(rate) if rate else None

    def pictures(self) -> Iterator[tuple[float, Callable[[], Image]]]:
        """Frames until it ends and cannot be connected again."""
        start = time.monotonic()
        while True:
            to_rgb = ToRgb(self._container.streams.video[0], self._name)
            for frame in self._frames():
                yield time.monotonic() - start, partial(to_rgb, frame)
            if self._closed or not self._connect_again():
                return

    def _frames(self) -> Iterator[Any]:
        """Decoded frames until it is cut off; damaged packets are counted and left out."""
        import av

        try:
            for packet in self._container.demux(video=0):
                try:
                    yield from packet.decode()
                except av.FFmpegError:
                    self._skipped += 1
        except (av.FFmpegError, OSError) as error:
            self._ended = str(getattr(error, "strerror", None) or error)

    def _connect_again(self) -> bool:
        self._container.close()
        until = time.monotonic() + self._patience
        pauses = chain(_PAUSES, repeat(_PAUSES[-1]))
        while time.monotonic() < until:
            time.sleep(next(pauses))
            if self._closed:
                return False
            try:
                self._container = self._open()
            except VideoError:
                continue
            self._again += 1
            return True
        return False

    def _open(self) -> Any:
        import av

        scheme = urlsplit(self._address).scheme.lower()
        options = {"protocol_whitelist": PROTOCOLS[scheme]}
        if scheme.startswith("rtsp"):
            options["rtsp_transport"] = "tcp"  # UDP loses packets, and often the way through a router
        try:
            container = av.open(self._address, timeout=self._wait, options=options)
        except (av.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise VideoError(
                f"expected a stream, {self._name} cannot be opened: {reason}; check the address, and that "
                "the camera or server answers"
            ) from error
        refusal = ""
        if not container.streams.video:
            refusal = f"expected a video stream, {self._name} has none; give another address"
        elif container.format.name.endswith("_pipe") or container.format.name == "image2":
            refusal = (
                f"expected a stream, {self._name} is a still picture; `mien analyze` reads it, or fetch "
                "it and use `image`"
            )
        elif container.duration and scheme in _FILES:
            seconds = container.duration / 1_000_000  # AV_TIME_BASE: microseconds
            refusal = (
                f"expected a live stream, {self._name} is a clip of {seconds:.1f} s, whose frames would be "
                "skipped; `mien analyze` fetches and reads it, or give the file"
            )
        if refusal:
            container.close()
            raise VideoError(refusal)
        return container

    def notes(self) -> tuple[str, ...]:
        """How often it was connected again, what was damaged, and why it ended."""
        notes = [f"connected again: {self._again}"] if self._again else []
        if self._skipped:
            notes.append(f"damaged packets skipped: {self._skipped}")
        if not self._closed:
            notes.append(f"the stream ended{f': {self._ended}' if self._ended else ''}")
        return tuple(notes)

    def missing(self) -> tuple[str, ...]:
        """Nothing: a stream announces no end."""
        return ()

    def close(self) -> None:
        """Close the connection."""
        self._closed = True
        self._container.close()


def shown(address: str) -> str:
    """The address for messages and tables, without user name and password.

    >>> shown("rtsp://ann:secret@camera.local:554/1")
    'rtsp://camera.local:554/1'
    """
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
