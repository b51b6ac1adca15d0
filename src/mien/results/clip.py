"""The annotated copy of a clip: H.264 in MP4, each frame at its own time, with its sound; complete or absent.

Legend: H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, Final, Self

import av
import numpy as np
from PIL import Image as Pillow

from mien.files import WholeFile
from mien.results.draw import annotate
from mien.types import Frame, Image

#: Ticks of 1/90000 second, MPEG's own clock: exact for 24, 25, 30, 50 and 60 frames a second
#: and within 6 microseconds of any time.
TICKS_PER_SECOND: Final = 90_000
#: Constant quality: 23 is x264's own choice; 20 keeps thin lines and small letters clean. Without
#: B-frames, whose decoding times run ahead, the length of a clip of uneven rate comes out right.
ENCODER_OPTIONS: Final = {"crf": "20", "preset": "veryfast", "bf": "0"}
#: What players expect in an MP4; other sound becomes AAC.
COPIED_CODECS: Final = frozenset({"aac", "mp3", "mp3float", "ac3", "alac"})


class ClipWriter:
    """Frames drawn and written one by one; use it in a `with` block.

    An exception leaves no file; Ctrl-C keeps what was written so far. No frames, no file.
    """

    def __init__(self, path: Path, *, sound: Path | None = None, dense: bool = False) -> None:
        """Nothing is opened yet.

        Args:
            path: where; an existing file is replaced.
            sound: a clip whose sound goes with the pictures, by its time stamps.
            dense: draw all landmarks, as in `annotate`.
        """
        self._path, self._dense = path, dense
        self._sound_source = sound
        self._sound: ClipSound | None = None
        self._file: WholeFile | None = None
        self._container: Any = None
        self._stream: Any = None
        self._last = -1  # ticks of the frame before

    def write(self, pixels: Image, frame: Frame) -> None:
        """Draw the frame's faces on a copy of its pixels and append it.

        Args:
            pixels: (H, W, 3) RGB uint8; the first one's size is the clip's.
            frame: its faces and its time; times rise (one that does not is moved on by a tick).

        Raises:
            OutputError: the clip cannot be written.
        """
        picture = annotate(pixels, frame.faces, dense=self._dense)
        height, width = picture.shape[:2]
        if height % 2 or width % 2:  # yuv420p needs pairs: the last row or column once more
            picture = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if self._file is None:
            self._file = WholeFile(self._path, overwrite=True)
        try:
            if self._container is None:
                self._open(self._file.partial, *picture.shape[:2])
            self._encode(picture, frame.time or 0.0)
        except (OSError, av.FFmpegError) as error:
            raise self._file.failure(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if self._file is None:
            return
        try:
            if self._last >= 0 and (error is None or isinstance(error, KeyboardInterrupt)):
                self._finish(self._file)
        finally:  # a finished file stays
            if self._container is not None:
                with suppress(OSError, av.FFmpegError):  # the first error is the one to report
                    self._container.close()
            if self._sound is not None:
                self._sound.close()
            self._file.discard()

    def _open(self, path: Path, height: int, width: int) -> None:
        options = {"movflags": "+faststart"}  # players can start before they have the whole file
        self._container = av.open(str(path), "w", format="mp4", options=options)
        self._stream = self._container.add_stream("libx264", options=ENCODER_OPTIONS)
        self._stream.height, self._stream.width = height, width
        self._stream.pix_fmt = "yuv420p"  # what every player shows
        self._stream.time_base = self._stream.codec_context.time_base = Fraction(1, TICKS_PER_SECOND)
        if self._sound_source is not None:
            self._sound = ClipSound(self._sound_source, self._container)

    def _encode(self, picture: Image, time: float) -> None:
        size = self._stream.width, self._stream.height
        if picture.shape[1::-1] != size:  # the rare clip whose size changes on the way
            picture = np.array(Pillow.fromarray(picture).resize(size, Pillow.Resampling.BICUBIC))
        video = av.VideoFrame.from_ndarray(picture, format="rgb24")
        self._last = max(self._last + 1, round(time * TICKS_PER_SECOND))
        video.pts, video.time_base = self._last, Fraction(1, TICKS_PER_SECOND)
        if self._sound is not None:
            self._sound.until(self._last / TICKS_PER_SECOND)
        self._container.mux(self._stream.encode(video))

    def _finish(self, file: WholeFile) -> None:
        try:
            self._container.mux(self._stream.encode())
            self._container.close()
        except (OSError, av.FFmpegError) as error:
            raise file.failure(error) from error
        file.finish()


class ClipSound:
    """The first audio track of a clip, copied to another container piece by piece along with its pictures.

    A clip without sound that can be read gives none; damage ends the sound there.
    """

    def __init__(self, path: Path, container: Any) -> None:
        """Open the clip.

        Args:
            path: the clip.
            container: an av container open for writing that has no packets yet.
        """
        self._out = container
        self._pieces: Iterator[tuple[float, Any]] = iter(())  # seconds at which it begins, packet
        self._next: tuple[float, Any] | None = None
        self._first: float | None = None
        self._in: Any = None
        with suppress(av.FFmpegError, OSError):
            self._in = av.open(str(path.absolute()), metadata_errors="replace")
            if self._in.streams.audio:
                self._pieces = self._open(self._in.streams.audio[0])

    def until(self, time: float) -> None:
        """Copy what begins before `time` seconds; what begins before the first `time` given is left out."""
        first = self._first is None
        self._first = time if self._first is None else self._first
        while (piece := self._next or next(self._pieces, None)) is not None:
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
        """Add a stream for the sound to the other container, now; its packets are copied, or become AAC."""
        if source.codec_context.name in COPIED_CODECS:
            return self._copied(source, self._out.add_stream_from_template(source))
        return self._encoded(source, self._out.add_stream("aac", rate=source.codec_context.sample_rate))

    def _copied(self, source: Any, target: Any) -> Iterator[tuple[float, Any]]:
        with suppress(av.FFmpegError):
            for packet in self._in.demux(source):
                if packet.dts is None or packet.pts is None:
                    continue  # the empty one at the end
                seconds = float(packet.pts * packet.time_base)
                packet.stream = target
                yield seconds, packet

    def _encoded(self, source: Any, target: Any) -> Iterator[tuple[float, Any]]:
        with suppress(av.FFmpegError):
            for frame in chain(self._in.decode(source), [None]):  # None: what the encoder still holds
                for packet in target.encode(frame):
                    yield float(packet.pts * packet.time_base), packet
