"""Reads in another thread while what came before is worked on: ahead of a clip, the newest of a camera."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Condition, Thread
from typing import Any, Final, Generic, TypeVar

import numpy as np

_MAX_LATENCIES: Final = 2000  # kept: enough for the 95th percentile of the last minute
_END: Final[Any] = object()
T = TypeVar("T")


def read_ahead(items: Iterable[T], depth: int) -> Generator[T]:
    """The same items in the same order, up to `depth` of them made before they are asked for.

    What making one raises is raised where the item would have come. Closing the iterator ends the thread.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1, "mien-ahead") as thread:
        coming = deque(thread.submit(next, iterator, _END) for _ in range(depth))
        try:
            while (item := coming.popleft().result()) is not _END:
                coming.append(thread.submit(next, iterator, _END))
                yield item
        finally:
            for future in coming:
                future.cancel()


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from a frame's arrival until its analysis is done."""

    median: float
    p95: float  # 95th percentile
    n: int

    def __str__(self) -> str:
        return f"{1e3 * self.median:.0f} ms (median), {1e3 * self.p95:.0f} ms (95 %)"


class NewestFrame(Generic[T]):
    """The newest of the frames that come, each time one is asked for; older ones are skipped.

    Another thread gives it frames (`put`, and `end` after the last); iterating takes them.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._frame: tuple[T, float] | None = None  # and when it came
        self._ended = False
        self._error: Exception | None = None
        self._latencies: deque[float] = deque(maxlen=_MAX_LATENCIES)
        self.passed_over = 0  # frames that newer ones replaced

    @classmethod
    def of(cls, frames: Iterable[T]) -> NewestFrame[T]:
        """The newest of `frames`, which a thread reads as they come."""
        newest = cls()

        def read() -> None:
            try:
                for frame in frames:
                    newest.put(frame)
            except Exception as error:  # noqa: BLE001 - it is raised again where the frames are asked for
                newest.end(error)
            else:
                newest.end()

        Thread(target=read, name="mien-newest", daemon=True).start()
        return newest

    def put(self, frame: T) -> None:
        """Give the next frame, in place of one that was not taken."""
        with self._changed:
            self.passed_over += self._frame is not None
            self._frame = (frame, time.monotonic())
            self._changed.notify()

    def end(self, error: Exception | None = None) -> None:
        """No frame follows; iterating raises `error` after the last frame, if there is one."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._frame is not None or self._ended)
                taken, self._frame = self._frame, None
            if taken is None:
                break
            frame, came = taken
            yield frame
            self._latencies.append(time.monotonic() - came)
        if self._error is not None:
            raise self._error

    @property
    def latency(self) -> Latency | None:
        """Of the latest frames, from arrival until the next one was asked for; None: none yet."""
        if not self._latencies:
            return None
        values = np.array(self._latencies)
        return Latency(float(np.median(values)), float(np.percentile(values, 95)), len(values))
