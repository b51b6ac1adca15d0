"""The newest frame of a camera or stream: those that came while another was worked on are passed over."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Condition, Thread
from typing import Final

import numpy as np

from mien.video.frames import Video, VideoFrame

_KEPT: Final = 2000  # latencies: enough for the 95th percentile of the last minute


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from a frame's coming to its being done."""

    median: float
    p95: float  # 95th percentile
    n: int

    def __str__(self) -> str:
        return f"{1e3 * self.median:.0f} ms (median), {1e3 * self.p95:.0f} ms (95 %)"


class Newest:
    """Reads a live video in a thread of its own and gives the newest frame each time one is asked for."""

    live: Final = True

    def __init__(self, video: Video) -> None:
        self._video = video
        self._news = Condition()
        self._frame: tuple[VideoFrame, float] | None = None  # and when it came
        self._done = False
        self._error: Exception | None = None
        self._latencies: deque[float] = deque(maxlen=_KEPT)
        self.passed_over = 0  # frames that newer ones replaced

    def __iter__(self) -> Iterator[VideoFrame]:
        Thread(target=self._read, name="mien-newest", daemon=True).start()
        while (taken := self._take()) is not None:
            frame, came = taken
            yield frame
            self._latencies.append(time.monotonic() - came)
        if self._error is not None:
            raise self._error

    @property
    def latency(self) -> Latency | None:
        """Of the latest frames, from coming to the next one's being asked for; None: none yet."""
        if not self._latencies:
            return None
        values = np.array(self._latencies)
        return Latency(float(np.median(values)), float(np.percentile(values, 95)), len(values))

    def _take(self) -> tuple[VideoFrame, float] | None:
        with self._news:
            self._news.wait_for(lambda: self._frame is not None or self._done)
            taken, self._frame = self._frame, None
            return taken

    def _read(self) -> None:
        try:
            for frame in self._video:
                with self._news:
                    self.passed_over += self._frame is not None
                    self._frame = (frame, time.monotonic())
                    self._news.notify()
        except Exception as error:  # noqa: BLE001 - it is raised again where the frames are asked for
            self._error = error
        finally:
            with self._news:
                self._done = True
                self._news.notify()
