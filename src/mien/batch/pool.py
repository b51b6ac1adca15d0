"""Worker processes: results in the order of the inputs; an input whose worker died is read again.

Not `ProcessPoolExecutor`: when a worker dies, it cannot tell over which input, and the whole pool breaks.
Here each worker has pipes of its own, so that it is known which one died, and over which input. Nor
`multiprocessing`: its children run the caller's script again, which ends in an error where that has no
`if __name__ == "__main__"`, and processes of its own pools may have none.

A worker writes the results of an input to a file of that input, and sends how many bytes of it are complete:
now and then while a clip is read, and at the end. Results of the input whose turn it is are passed on from
its file; those of others wait in theirs, so that nothing piles up in memory.
"""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path
from queue import Empty, Queue
from subprocess import PIPE, Popen, TimeoutExpired
from threading import Event, Thread
from typing import IO, Any, Final, cast

from mien.batch.options import AnalyzeOptions, describe_network
from mien.batch.read import Result, Task, fail, read_input
from mien.errors import ConfigError, MienError, OutputError

#: Workers that may die over one input before it has failed: one may be killed by chance, or for memory.
DEATHS: Final = 3
#: Inputs at work: the one whose turn it is, and those behind it that may be read meanwhile.
WINDOW: Final = 256
_TELL: Final = 0.1  # seconds from one message about a clip to the next
_STILLBORN: Final = 5  # workers in a row that may die before they are ready
_END_SECONDS: Final = 5.0  # in which a worker ends when told to
#: Nothing in the current folder is imported in place of a library (-P).
_COMMAND: Final = ("-P", "-c", "from mien.batch.pool import work; work()")


@dataclass(frozen=True, slots=True)
class _Message:
    """A message of a worker: it is ready, so many bytes are complete, or why no input can be read."""

    network: dict[str, Any] | None = None  # it is ready: the network that it has loaded
    size: int = 0  # bytes of the input's file that are complete
    last: bool = False  # the file is complete
    fatal: str = ""
    wrong: bool = False  # ... which is that the options make no sense


@dataclass(slots=True, eq=False)
class _Input:
    """An input that is queued or being read."""

    task: Task
    number: int  # no other input of the pool has it
    deaths: int = 0  # workers that died over it
    size: int = 0  # bytes of its file that are complete
    last: bool = False  # no more results will come
    error: str = ""  # why none will come: too many workers died

    @property
    def file(self) -> str:
        """The file of its results; each worker that tries has one of its own."""
        return f"{self.number}-{self.deaths}"


@dataclass(slots=True, eq=False)
class _Worker:
    """A worker process: pickles go to its standard input, and messages come from its standard output."""

    process: Popen[bytes]
    said: Queue[tuple[_Worker, _Message | None]]  # of all workers; None: it has died
    ready: bool = False  # its networks are loaded
    reading: _Input | None = None

    def send(self, what: object) -> None:
        """Send it something; OSError: it has died."""
        pipe = cast("IO[bytes]", self.process.stdin)
        pickle.dump(what, pipe)
        pipe.flush()

    def listen(self) -> None:
        """Queue what it says; runs in a thread of its own."""
        with suppress(EOFError, OSError, pickle.UnpicklingError):
            while True:
                self.said.put((self, pickle.load(cast("IO[bytes]", self.process.stdout))))  # noqa: S301 - ours
        self.said.put((self, None))

    def hang_up(self) -> None:
        """Tell it to end after the result at which it is."""
        with suppress(OSError):
            self.send(None)

    def end(self) -> int:
        """Wait for its end, which comes by force after a while; its exit status."""
        with suppress(OSError):
            cast("IO[bytes]", self.process.stdin).close()
        try:
            self.process.wait(_END_SECONDS)
        except TimeoutExpired:
            self.process.kill()
        cast("IO[bytes]", self.process.stdout).close()
        return self.process.wait()


class Pool:
    """Worker processes, each with the networks loaded, that read inputs; close it when done."""

    def __init__(self, options: AnalyzeOptions, workers: int) -> None:
        self._options = replace(options, threads=1) if workers > 1 else options
        self._most = workers
        self._folder = Path(tempfile.mkdtemp(prefix="mien-"))
        self._workers: list[_Worker] = []
        self._said: Queue[tuple[_Worker, _Message | None]] = Queue()
        self._stillborn = 0
        self._network: dict[str, Any] = {}
        self._numbers = count()
        self._queue: deque[_Input] = deque()  # inputs that no worker has

    def start(self, workers: int) -> dict[str, Any]:
        """Start some of the workers, wait until one has loaded the networks; `describe_network` of them."""
        while not any(worker.ready for worker in self._workers):
            self._start_workers(workers)
            self._receive()
        return self._network

    def run(self, tasks: Iterable[Task]) -> Generator[Result]:
        """The results of every task, in the order of the tasks, whatever the number of workers."""
        coming = iter(tasks)
        inputs: deque[_Input] = deque()
        self._queue.clear()
        while True:
            for task in islice(coming, WINDOW - len(inputs)):
                inputs.append(_Input(task, next(self._numbers)))
                self._queue.append(inputs[-1])
            if not inputs:
                return
            yield from self._results(inputs.popleft())

    def _results(self, turn: _Input) -> Iterator[Result]:
        """The results of one input, from its file as that grows."""
        given = 0  # results passed on
        file, place, skipped = turn.file, 0, 0  # where it is read: after a death, again from the beginning
        while True:
            if file != turn.file:
                file, place, skipped = turn.file, 0, 0
            if place < turn.size:
                with (self._folder / file).open("rb") as results:
                    results.seek(place)
                    while (place := results.tell()) < turn.size:
                        result: Result = pickle.load(results)  # noqa: S301 - from our own worker
                        if skipped < given:  # reading is deterministic: another worker gave it already
                            skipped += 1
                            continue
                        given, skipped = given + 1, skipped + 1
                        yield result
            if turn.last:
                break
            self._hand_out()
            self._receive()
        (self._folder / file).unlink(missing_ok=True)
        if turn.error:
            yield fail(turn.task.source.shown, turn.error)

    def _hand_out(self) -> None:
        """Give inputs to free workers, and start workers that are lacking."""
        self._start_workers(sum(worker.reading is not None for worker in self._workers) + len(self._queue))
        for worker in self._workers:
            if self._queue and worker.ready and worker.reading is None:
                with suppress(OSError):  # it died while it had nothing to do; `_receive` will notice
                    worker.send((self._queue[0].task, self._queue[0].file))
                    worker.reading = self._queue.popleft()

    def _receive(self) -> None:
        """Wait until a worker says something, and note it."""
        while True:
            with suppress(Empty):
                worker, message = self._said.get(timeout=1)  # without one, Ctrl-C would wait on Windows
                break
        if message is None:
            self._bury(worker)
        elif message.fatal:
            raise (ConfigError if message.wrong else MienError)(message.fatal)
        elif message.network:
            worker.ready, self._network, self._stillborn = True, message.network, 0
        elif worker.reading is not None:
            worker.reading.size, worker.reading.last = message.size, message.last
            if message.last:
                worker.reading = None

    def _start_workers(self, wanted: int) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.curdir for path in sys.path)}
        while len(self._workers) < min(wanted, self._most):
            with _without_interrupts():
                process = Popen([sys.executable, *_COMMAND], stdin=PIPE, stdout=PIPE, env=environment)
            worker = _Worker(process, self._said)
            self._workers.append(worker)
            Thread(target=worker.listen, name="mien-worker", daemon=True).start()
            with suppress(OSError):  # it died at once; `_receive` will notice
                worker.send((self._options, self._folder))

    def _bury(self, worker: _Worker) -> None:
        """A worker died: what it was reading is read again, or has failed if it took others with it."""
        self._workers.remove(worker)
        code = worker.end()
        how = f"signal {-code}, {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        if not worker.ready:
            self._stillborn += 1
            if self._stillborn >= _STILLBORN:
                raise MienError(
                    f"{_STILLBORN} worker processes in a row ended while starting ({how}); "
                    f"free memory, and check that this program can be started: {sys.executable}"
                )
        lost = worker.reading
        if lost is None:
            return
        if lost.deaths + 1 >= DEATHS:
            lost.last = True
            lost.error = (
                f"expected to read it, but {DEATHS} processes died while reading it (the last by {how}); "
                "it may be damaged, or need more memory than there is: try to open it with other programs"
            )
            return
        (self._folder / lost.file).unlink(missing_ok=True)
        lost.deaths, lost.size = lost.deaths + 1, 0
        self._queue.appendleft(lost)

    def close(self) -> None:
        """End the workers; those that read end after the result at which they are."""
        for worker in self._workers:
            worker.hang_up()
            if not worker.ready:
                worker.process.terminate()
        for worker in self._workers:
            worker.end()
        self._workers.clear()
        shutil.rmtree(self._folder, ignore_errors=True)


def work() -> None:
    """What a worker process does: load the networks, then read what it is given until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())  # it exits between two results: no file is cut short
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints goes to standard error

    def tell(message: _Message) -> None:
        pickle.dump(message, answers)
        answers.flush()

    options, folder = cast("tuple[AnalyzeOptions, Path]", pickle.load(requests))  # noqa: S301 - our parent's
    given: Queue[tuple[Task, str] | None] = Queue()

    def listen() -> None:
        with suppress(EOFError, OSError, pickle.UnpicklingError):
            while (what := pickle.load(requests)) is not None:  # noqa: S301
                given.put(what)
            stop.set()
            given.put(None)
            return
        shutil.rmtree(folder, ignore_errors=True)  # the parent died: nobody else clears up
        os._exit(143)

    (thread := Thread(target=listen, daemon=True)).start()
    try:
        try:
            analyzer = options.load()
            tell(_Message(network=describe_network(analyzer, options.policy)))
            while (what := given.get()) is not None:
                task, file = what
                _write_results(read_input(analyzer, task, options), folder / file, tell, stop)
        except MienError as error:
            tell(_Message(fatal=str(error), wrong=isinstance(error, ConfigError)))
    except OSError:  # the parent died just now
        thread.join()


def _write_results(
    results: Iterator[Result], path: Path, tell: Callable[[_Message], object], stop: Event
) -> None:
    """Write the results of an input to its file; now and then, send how many bytes of it are complete."""
    size, sent = 0, time.monotonic()
    file = path.open("wb")
    try:
        for result in results:
            data = pickle.dumps(result)
            due = result.last or time.monotonic() - sent > _TELL
            try:
                size += file.write(data)
                if due:
                    file.flush()
            except OSError as error:
                raise OutputError(
                    f"could not write results that wait for their turn to {path.parent}: "
                    f"{error.strerror or error}; make room, or name another folder with TMPDIR"
                ) from error
            if due:
                sent = time.monotonic()
                tell(_Message(size=size, last=result.last))
            if stop.is_set():
                sys.exit(143)
    finally:
        with suppress(OSError):  # a full disk was reported already
            file.close()


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Children born here never see Ctrl-C, not even while they start; the parent sees it afterwards."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
