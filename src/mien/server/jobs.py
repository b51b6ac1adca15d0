"""Clips that wait, are read and were read: a thread starts a process for each clip, one after the other."""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Final, Self, cast

from prometheus_client import Counter

from mien.server.answers import Problem, problem_of
from mien.server.settings import ServerSettings
from mien.server.store import ENDED, STORE, Disk, JobRecord, JobStore, size_of
from mien.server.worker import READ

#: Names of results.
RESULTS: Final = ("rows.json", "rows.csv", "rows.parquet", "events.json", "events.csv", "page.html",
                  "annotated.mp4")  # fmt: skip
_TRIES: Final = 3  # times that a job is begun, until it is taken for what ends the server
_SWEEP: Final = 5.0  # seconds between two looks for jobs to forget, or after an error
_END_SECONDS: Final = 3.0  # that a process has to end by itself
_OVERTIME: Final = 60.0  # seconds after its time in which a process may say that it took too long
_LOG: Final = logging.getLogger(__name__)


class Jobs:
    """The jobs of a server; `close` stops what is read, to go on with the next start where jobs are kept."""

    def __init__(self, settings: ServerSettings, disk: Disk, ended: Counter) -> None:
        self._settings, self._disk, self._ended = settings, disk, ended
        self.store = JobStore(disk.folder / STORE)
        self._changed = threading.Condition()
        self._ending = threading.Lock()  # a job ends, or is removed: its bytes are given back once
        self._closed = False
        self._processes: dict[str, ClipProcess] = {}
        self._resume()
        names = [f"mien-job-{n}" for n in range(settings.limits.jobs)]
        self._threads = [threading.Thread(target=self._work, name=name, daemon=True) for name in names]
        self._threads.append(threading.Thread(target=self._sweep, name="mien-sweep", daemon=True))
        for thread in self._threads:
            thread.start()

    def folder(self, job: str) -> Path:
        """Where a job has its files; the id was made by `make_folder`."""
        return self._disk.jobs / job

    def check_queue(self) -> None:
        """Raise the problem that the queue is full."""
        most = self._settings.limits.queue
        if self.store.count("queued") >= most:
            raise Problem("busy", f"expected at most {most} clips that wait; try again when some are done")

    def make_folder(self) -> str:
        """An id, and a folder for its clip."""
        job = secrets.token_hex(12)
        self.folder(job).mkdir(mode=0o700)
        return job

    def remove_folder(self, job: str) -> None:
        """Remove the folder of a job that has no record."""
        shutil.rmtree(self.folder(job), ignore_errors=True)

    def add(self, record: JobRecord) -> JobRecord:
        """Queue a job whose clip is in its folder."""
        record = replace(record, created=time.time())
        self.store.add(record)
        with self._changed:
            self._changed.notify_all()
        return record

    def remove(self, job: str) -> bool:
        """Stop a job and remove all of it; False: there is none."""
        with self._ending:
            record = self.store.remove(job)
            if record is None:
                return False
            self._disk.give_back(record.size)
        with self._changed:
            process = self._processes.get(job)
        if process is not None:
            process.end()  # its thread sees that the record is gone
        self.remove_folder(job)
        if record.state not in ENDED:
            self._ended.labels("cancelled").inc()
        return True

    def close(self) -> None:
        """End processes and threads."""
        with self._changed:
            self._closed = True
            processes = list(self._processes.values())
            self._changed.notify_all()
        for process in processes:
            process.end()
        for thread in self._threads:
            thread.join()
        self.store.close()

    def _resume(self) -> None:
        """Take up what an earlier server left: queue again what was running, or say why not."""
        known = self.store.all()
        for record in known:
            if record.state not in ENDED and not (self.folder(record.id) / "clip").is_file():
                why = "the server was stopped, and the clip is gone; send it again"
                self._fail(record.id, "stopped", why)
            elif record.state == "running" and record.tries >= _TRIES:
                why = f"the server stopped {_TRIES} times while it read this clip"
                self._fail(
                    record.id, "stopped", f"{why}; it may be damaged, or need more memory than there is"
                )
            elif record.state == "running":
                _LOG.warning("an earlier server was killed while it read a clip: this one goes on")
                self.store.update(record.id, state="queued")
        ids = {record.id for record in known}
        for folder in self._disk.jobs.iterdir():
            if folder.name not in ids:  # a server was killed while it received a clip
                self.remove_folder(folder.name)

    def _work(self) -> None:
        """Read one clip after the other, whatever goes wrong: a full disk may have room later."""
        while not self._closed:
            try:
                with self._changed:
                    record = self.store.claim()
                    if record is None and not self._closed:
                        self._changed.wait()
                if record is not None:
                    self._read_or_fail(record)
            except Exception:  # noqa: BLE001 - it is logged, and the thread goes on
                _LOG.exception("the next clip cannot be begun, or its end not be written; trying again")
                self._pause()

    def _read_or_fail(self, record: JobRecord) -> None:
        try:
            self._read(record)
        except Exception as error:  # noqa: BLE001 - it is logged, and the job says so
            _LOG.exception("a clip was not read")
            problem = problem_of(error)
            self._fail(record.id, problem.kind, problem.detail)

    def _read(self, record: JobRecord) -> None:
        """Read a clip in a process, and record how it went."""
        with self._changed:
            if self._closed:
                self._put_back(record)
                return
            process = self._processes[record.id] = ClipProcess(
                self._request(record), self._settings.limits.job_seconds
            )
        end: dict[str, Any] = {}
        try:
            with process:
                if self.store.get(record.id) is None:  # removed before there was a process to end
                    process.end()
                for message in process.messages():
                    if "end" in message:
                        end = message
                    elif self.store.update(record.id, **message) is None:  # it was removed
                        process.end()
                code = process.process.wait()
        finally:
            with self._changed:
                del self._processes[record.id]
        if not end and self._closed:
            self._put_back(record)
        elif self.store.get(record.id) is None:
            self.remove_folder(record.id)
        elif not end:
            status = f"signal {-code}" if code < 0 else f"exit status {code}"
            why = f"the process that read it died ({status})"
            hint = "the clip may be damaged, need more memory than there is, or take longer than allowed"
            self._fail(record.id, "stopped", f"{why}; {hint}")
        elif end["error"]:
            self._fail(record.id, end["kind"], end["error"])
        else:
            self._remove_files(record.id, but=RESULTS)
            results = [name for name in RESULTS if (self.folder(record.id) / name).is_file()]
            self._finish(record.id, state="done", progress=1.0, notes=end["notes"], results=results)

    def _put_back(self, record: JobRecord) -> None:
        """For the next start; this does not count as a try, since it is not the fault of the clip."""
        self.store.update(record.id, state="queued", tries=record.tries - 1)

    def _request(self, record: JobRecord) -> dict[str, Any]:
        """The request that the process reads, see `worker.read_clip`."""
        limits, model = self._settings.limits, self._settings.model
        return {
            "folder": str(self.folder(record.id)),
            "name": record.name,
            "model": None if model is None else str(model.absolute() if model.is_file() else model),
            "options": {
                **record.options["job"],
                "providers": self._settings.providers,
                "max_faces": limits.faces,
            },
            "annotate": record.options["annotate"],
            "max_frames": limits.clip_frames,
            "max_seconds": limits.clip_seconds,
            "max_work": limits.job_seconds,
            "max_bytes": max(self._disk.left, 1_000_000),
        }

    def _fail(self, job: str, kind: str, detail: str) -> None:
        self._remove_files(job)
        self._finish(job, state="failed", error=Problem(kind, detail).body().model_dump())

    def _finish(self, job: str, **changes: Any) -> None:
        """Record how a job ended, and count its bytes."""
        with self._ending:
            before = self.store.get(job)
            if before is None:
                return
            size = size_of(self.folder(job)) if self.folder(job).is_dir() else 0
            self._disk.give_back(before.size - size)
            self.store.update(job, finished=time.time(), size=size, **changes)
        self._ended.labels(changes["state"]).inc()

    def _remove_files(self, job: str, but: tuple[str, ...] = ()) -> None:
        """Remove a job's clip, journal, and files that were begun."""
        folder = self.folder(job)
        shutil.rmtree(folder / "journal", ignore_errors=True)
        with suppress(FileNotFoundError):  # somebody removes the job meanwhile
            for path in folder.iterdir():
                if path.name not in but:
                    path.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Forget finished jobs in time, where they are not kept."""
        while not self._closed and self._settings.keep is None:
            oldest = time.time() - self._settings.forget_after
            try:
                for record in self.store.all():
                    if record.finished is not None and record.finished < oldest:
                        self.remove(record.id)
            except Exception:  # noqa: BLE001 - it is logged, and the thread goes on
                _LOG.exception("finished clips cannot be forgotten; trying again")
            self._pause()

    def _pause(self) -> None:
        """Wait a little, but not when the server ends."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed, timeout=_SWEEP)


class ClipProcess:
    """A process that reads one clip, within a time limit; when its `with` block ends, it has ended."""

    def __init__(self, request: dict[str, Any], seconds: float) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(READ, stdin=pipe, stdout=pipe, encoding="utf-8", env=environment())
        self._timer = threading.Timer(seconds + _OVERTIME, self.end)  # for one that says nothing any more
        self._timer.daemon = True
        self._timer.start()
        with suppress(OSError):  # it died at once; its exit status says so
            stdin = cast("IO[str]", self.process.stdin)
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()

    def messages(self) -> Iterator[dict[str, Any]]:
        """What it says, until it has ended."""
        for line in cast("IO[str]", self.process.stdout):
            with suppress(ValueError):  # a library's own words
                message = json.loads(line)
                if isinstance(message, dict):
                    yield message

    def end(self) -> None:
        """End it, first politely; from any thread."""
        self.process.terminate()
        try:
            self.process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._timer.cancel()
        self.end()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(OSError):
                cast("IO[str]", pipe).close()


def environment() -> dict[str, str]:
    """The environment of a process in which NumPy starts no threads: it has nothing large to multiply."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
