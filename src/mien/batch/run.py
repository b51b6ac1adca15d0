"""Many inputs to rows: in order, each failure told and passed over, stopped only between rows."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Final

from mien.batch.part import Part, Task
from mien.batch.work import Worker
from mien.config import count_cores
from mien.results.rows import Row

#: Photos from which a second worker pays for its start; a clip counts as so many as well.
_WORTH: Final = 60
KEPT: Final = 1000  # failures whose names a summary holds


@dataclass(slots=True)
class Summary:
    """How a batch went."""

    inputs: int  # asked for
    done: int = 0  # closed, failed ones among them
    frames: int = 0
    faces: int = 0
    share: float = 0.0  # of the input that is being read
    seconds: float = 0.0
    failures: int = 0  # inputs that failed
    failed: list[tuple[str, str]] = field(default_factory=list)  # name, error of the first `KEPT` of them
    interrupted: bool = False  # by Ctrl-C; what was done until then is in the rows

    def add(self, part: Part) -> None:
        """Count a part in."""
        self.frames += part.frames
        self.faces += part.faces
        self.share = part.share
        if part.error:
            self.failures += 1
            if len(self.failed) < KEPT:
                self.failed.append((part.name, part.error))
        if part.last:
            self.done += part.inputs
            self.share = 0.0


def analyze_files(
    tasks: Sequence[Task],
    worker: Worker,
    write: Callable[[list[Row]], object],
    *,
    write_events: Callable[[list[Row]], object] = lambda _rows: None,
    workers: int = 1,
    watch: Callable[[Summary, Part], None] = lambda _summary, _part: None,
) -> Summary:
    """Read every task and hand its rows to `write`, in order; the rows are the same for any `workers`.

    Ctrl-C ends it early, between two parts: the summary says so, and the rows are whole.

    Args:
        tasks: the inputs.
        worker: reads them when `workers` is 1; otherwise processes do what its job says.
        write: takes the rows of one frame, or of one input that failed.
        write_events: takes the rows of events.
        workers: processes; 1 reads in this one.
        watch: told of every part once its rows are written.

    Raises:
        MienError: the networks cannot be loaded, or `write` failed.
    """
    summary, start = Summary(len(tasks)), time.monotonic()
    try:
        with closing(_parts(tasks, worker, workers)) as parts:
            for part in parts:
                with hold_interrupts():
                    write(part.rows)
                    if part.events:
                        write_events(part.events)
                    summary.add(part)
                    summary.seconds = time.monotonic() - start
                    watch(summary, part)
    except KeyboardInterrupt:
        summary.interrupted = True
    summary.seconds = time.monotonic() - start
    return summary


def count_workers(tasks: Sequence[Task]) -> int:
    """How many processes pay for their start: one for a few photos, up to one a core for many."""
    clips = sum(task.source.kind == "clip" for task in tasks)
    worth = clips + (len(tasks) - clips) // _WORTH
    return max(1, min(worth, count_cores()))


@contextmanager
def hold_interrupts() -> Iterator[None]:
    """Ctrl-C waits until the block is through, so that what is in it happens whole."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread only
        return
    held: list[tuple[Any, ...]] = []
    before = signal.signal(signal.SIGINT, lambda *call: held.append(call))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held and callable(before):
        before(*held[0])


def _parts(tasks: Sequence[Task], worker: Worker, workers: int) -> Generator[Part]:
    readable = (task for task in tasks if task.source.kind != "missing")
    if sum(1 for _ in islice(readable, workers)) > 1:
        from mien.batch.pool import Pool

        with closing(Pool(replace(worker.job, threads=1), workers)) as pool:
            yield from pool.run(tasks)
        return
    for task in tasks:
        yield from worker.read(task)
