"""Worker processes: results in the order of the inputs; what a dying worker read, another reads again.

Not `ProcessPoolExecutor`: it gives one result an input (a clip has one a frame), and when a worker
dies it cannot tell over which input, and takes the whole pool down. Each worker here has a pipe of
its own, so that the one that falls silent is known, with what it was reading.
"""

from __future__ import annotations

import pickle
import signal
import sys
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import IO, Final

from mien.batch.part import Job, Part, Task, failure
from mien.batch.work import Worker
from mien.errors import MienError

#: Workers that may die over one input before it has failed: one may be killed by chance, or for memory.
DEATHS: Final = 3
#: How far past the input whose turn it is others may be read; what is done early waits.
WINDOW: Final = 256
_IN_MEMORY: Final = 1 << 16  # bytes of one waiting result that stay in memory; past that it goes to disk
_STILLBORN: Final = 5  # workers in a row that may die before they are ready
_READY, _FATAL, _PART, _LAST = b"R", b"F", b"P", b"L"  # first byte of what a worker sends


class _Waiting:
    """The parts of inputs whose turn has not come: in memory while they are few, then on disk."""

    def __init__(self) -> None:
        self._files: dict[int, IO[bytes]] = {}

    def put(self, number: int, data: bytes) -> None:
        """Keep a packed part of input `number`."""
        if number not in self._files:
            self._files[number] = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed by take or close
        self._files[number].write(data)

    def take(self, number: int) -> Iterator[Part]:
        """What was kept of input `number`, in order."""
        if number not in self._files:
            return
        with self._files.pop(number) as file:
            end = file.tell()
            file.seek(0)
            while file.tell() < end:
                yield pickle.load(file)  # noqa: S301 - our own temporary file

    def close(self) -> None:
        """Throw the rest away."""
        for file in self._files.values():
            file.close()


@dataclass(slots=True, eq=False)
class _Hand:
    """A worker process and the pipe to it."""

    process: BaseProcess
    pipe: Connection
    ready: bool = False  # its networks are loaded
    task: int | None = None  # what it reads
    given: int = 0  # parts of that task that it has given


@dataclass(slots=True)
class _Again:
    """What is known of an input over which workers died."""

    deaths: int = 0
    given: int = 0  # parts that have been passed on; reading is deterministic, so that as many are skipped


class Pool:
    """Worker processes that read inputs; close it when done.

    Args:
        job: what to do with each input.
        workers: processes; each loads the networks once and reads inputs until the pool is closed.
    """

    def __init__(self, job: Job, workers: int) -> None:
        self._job, self._workers = job, workers
        self._context = get_context("spawn")  # a fork would copy locks that other threads hold
        self._hands: list[_Hand] = []
        self._stillborn = 0
        self._begin(())

    def run(self, tasks: Sequence[Task]) -> Generator[Part]:
        """The parts of every task, in the order of the tasks, whatever the number of workers.

        Raises:
            MienError: the networks cannot be loaded.
        """
        self._begin(tasks)
        with closing(_Waiting()) as waiting:
            for turn in range(len(tasks)):
                last = False
                for part in waiting.take(turn):
                    last = part.last
                    yield part
                while not last:
                    self._hand_out(turn + WINDOW)
                    for number, data in self._receive():
                        if number != turn:
                            waiting.put(number, data)
                            continue
                        part = _unpack(data)
                        last = part.last
                        yield part

    def _begin(self, tasks: Sequence[Task]) -> None:
        self._tasks = tasks
        self._next = 0  # the first task that no worker has had
        self._again: dict[int, _Again] = {}  # tasks over which a worker died
        self._orphans: list[int] = []  # those of them that no worker has

    def _hand_out(self, end: int) -> None:
        """Give orphans, then the next tasks before number `end`, to free workers; start those that lack."""
        busy = sum(hand.task is not None for hand in self._hands)
        wanted = min(self._workers, busy + len(self._orphans) + len(self._tasks) - self._next)
        while len(self._hands) < wanted:
            self._hands.append(self._start())
        for hand in self._hands:
            if not hand.ready or hand.task is not None:
                continue
            if not self._orphans and self._next >= min(end, len(self._tasks)):
                return
            number = self._orphans[0] if self._orphans else self._next
            try:
                hand.pipe.send(self._tasks[number])
            except OSError:  # it died while it had nothing to do; `_receive` will notice
                continue
            hand.task, hand.given = number, 0
            if self._orphans:
                self._orphans.pop(0)
            else:
                self._next += 1

    def _receive(self) -> Iterator[tuple[int, bytes]]:
        """Wait until workers say something: (number of the task, a packed part) each."""
        speaking = wait([hand.pipe for hand in self._hands])
        for hand in [h for h in self._hands if h.pipe in speaking]:
            try:
                message = hand.pipe.recv_bytes()
            except (EOFError, OSError):
                yield from self._bury(hand)
                continue
            if message[:1] == _FATAL:
                raise MienError(message[1:].decode())
            if message[:1] == _READY:
                hand.ready, self._stillborn = True, 0
            elif hand.task is not None:
                yield from self._passed_on(hand, hand.task, message)

    def _passed_on(self, hand: _Hand, number: int, message: bytes) -> Iterator[tuple[int, bytes]]:
        """A part of task `number`, unless a worker that died had given it already."""
        last = message[:1] == _LAST
        hand.given += 1
        before = self._again[number].given if number in self._again else 0
        if last:
            hand.task = None
            self._again.pop(number, None)
        if last or hand.given > before:
            yield number, message[1:]

    def close(self) -> None:
        """End the workers: those without a task leave by themselves, the others are told to."""
        for hand in self._hands:
            if hand.task is not None or not hand.ready:
                hand.process.terminate()
            hand.pipe.close()
        for hand in self._hands:
            hand.process.join(5)
            if hand.process.is_alive():
                hand.process.kill()
                hand.process.join()
        self._hands.clear()

    def _start(self) -> _Hand:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs, self._job), daemon=True)
        with _without_interrupts():
            process.start()
        theirs.close()  # so that the pipe ends when the worker does
        return _Hand(process, ours)

    def _bury(self, hand: _Hand) -> Iterator[tuple[int, bytes]]:
        """A worker died: what it was reading is read again, or has failed if it took others with it."""
        self._hands.remove(hand)
        hand.pipe.close()
        hand.process.join(5)
        how = _how_it_ended(hand.process.exitcode)
        if not hand.ready:
            self._stillborn += 1
            if self._stillborn >= _STILLBORN:
                raise MienError(
                    f"expected worker processes that start, {_STILLBORN} in a row ended at once ({how}); "
                    "free memory, or give --workers 1"
                )
        if hand.task is None:
            return
        again = self._again.setdefault(hand.task, _Again())
        again.deaths, again.given = again.deaths + 1, max(again.given, hand.given)
        if again.deaths < DEATHS:
            self._orphans.append(hand.task)
            return
        del self._again[hand.task]
        error = (
            f"expected it to be read, {DEATHS} processes that tried died (the last by {how}); it may be "
            "damaged, or take more memory than there is: try it alone"
        )
        yield hand.task, pickle.dumps(failure(self._tasks[hand.task].source.shown, error))


def _work(pipe: Connection, job: Job) -> None:
    """What a worker process does: load the networks, then read what it is given until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that half-written files are cleared up
    worker = Worker(job)
    try:
        worker.load()
        pipe.send_bytes(_READY)
        while True:
            for part in worker.read(pipe.recv()):
                pipe.send_bytes((_LAST if part.last else _PART) + pickle.dumps(part))
    except MienError as error:
        pipe.send_bytes(_FATAL + str(error).encode(errors="replace"))
    except (EOFError, OSError):  # the parent has gone, or needs no more
        return


def _unpack(data: bytes) -> Part:
    part: Part = pickle.loads(data)  # noqa: S301 - from our own worker
    return part


def _how_it_ended(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {-code}, {signal.Signals(-code).name}"
    return f"exit status {code}"


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
