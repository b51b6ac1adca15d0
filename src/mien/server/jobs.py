"""Clips that wait, are read and were read: a thread and a process for each one that is read at a time."""

from __future__ import annotations

import logging
import secrets
import shutil
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from mien.server.disk import STORE, Disk, size_of
from mien.server.metrics import Metrics
from mien.server.problem import Problem, problem_of
from mien.server.process import ClipProcess
from mien.server.settings import Settings
from mien.server.store import ENDED, Record, Store

RESULTS: Final = ("rows.json", "rows.csv", "rows.parquet", "events.json", "events.csv", "page.html",
                  "page.svg", "annotated.mp4")  # fmt: skip
_TRIES: Final = 3  # times that a job is begun, before it is taken for what ends the server
_SWEEP: Final = 5.0  # seconds
_LOG: Final = logging.getLogger(__name__)


class Jobs:
    """The jobs of a server; `close` stops what is read, to go on with another start where jobs are kept.

    Args:
        settings: how many at a time, for how long, whether they are kept.
        disk: where, and how much of it.
        metrics: where they are counted.

    Raises:
        ConfigError: another server has the folder.
    """

    def __init__(self, settings: Settings, disk: Disk, metrics: Metrics) -> None:
        self._settings, self._disk, self._metrics = settings, disk, metrics
        self.store = Store(disk.folder / STORE)
        self._news = threading.Condition()
        self._ending = threading.Lock()  # a job ends, or is removed: its bytes are counted off once
        self._closed = False
        self._processes: dict[str, ClipProcess] = {}
        self._resume()
        names = [f"mien-job-{n}" for n in range(settings.limits.jobs)]
        self._threads = [threading.Thread(target=self._work, name=name, daemon=True) for name in names]
        self._threads.append(threading.Thread(target=self._sweep, name="mien-sweep", daemon=True))
        for thread in self._threads:
            thread.start()

    def folder(self, job: str) -> Path:
        """Where a job has its files; the id is ours."""
        return self._disk.jobs / job

    def check_room(self) -> None:
        """Raise the problem that the queue is full."""
        most = self._settings.limits.queue
        if self.store.count("queued") >= most:
            raise Problem("busy", f"expected at most {most} clips that wait; try again when some are done")

    def begin(self) -> str:
        """An id, and a folder for its clip."""
        job = secrets.token_hex(12)
        self.folder(job).mkdir(mode=0o700)
        return job

    def drop(self, job: str) -> None:
        """Remove the folder of a job that was not added."""
        shutil.rmtree(self.folder(job), ignore_errors=True)

    def add(self, record: Record) -> Record:
        """Queue a job whose clip is in its folder."""
        record = replace(record, created=time.time())
        self.store.add(record)
        with self._news:
            self._news.notify_all()
        return record

    def remove(self, job: str) -> bool:
        """Stop a job and remove all of it; False: there is none."""
        with self._ending:
            record = self.store.remove(job)
            if record is None:
                return False
            self._disk.give_back(record.size)
        with self._news:
            process = self._processes.get(job)
        if process is not None:
            process.end()  # its thread sees that the record is gone
        shutil.rmtree(self.folder(job), ignore_errors=True)
        if record.state not in ENDED:
            self._metrics.count("mien_jobs_total", state="cancelled")
        return True

    def close(self) -> None:
        """End processes and threads."""
        with self._news:
            self._closed = True
            processes = list(self._processes.values())
            self._news.notify_all()
        for process in processes:
            process.end()
        for thread in self._threads:
            thread.join()
        self.store.close()

    def _resume(self) -> None:
        """Take up what a server before this one left: queue again what was running, or say why not."""
        known = self.store.all()
        for record in known:
            if record.state not in ENDED and not (self.folder(record.id) / "clip").is_file():
                self._fail(
                    record.id, "stopped", "the server was stopped, and the clip is gone; send it again"
                )
            elif record.state == "running" and record.tries >= _TRIES:
                self._fail(
                    record.id,
                    "stopped",
                    f"the server was stopped {_TRIES} times while it read this clip; it may be damaged, or "
                    "take more memory than there is",
                )
            elif record.state == "running":
                _LOG.warning("the server before this one was killed while it read a clip: it goes on")
                self.store.update(record.id, state="queued")
        ids = {record.id for record in known}
        for folder in self._disk.jobs.iterdir():
            if folder.name not in ids:  # a server was killed while it took a clip in
                shutil.rmtree(folder, ignore_errors=True)

    def _work(self) -> None:
        """Read one clip after the other, whatever goes wrong: a full disk may have room later."""
        while not self._closed:
            try:
                record = self._next()
                if record is not None:
                    self._read_or_fail(record)
            except Exception:  # noqa: BLE001 - it is logged, and the thread goes on
                _LOG.exception("the next clip cannot be taken up, or its end not be noted; trying again")
                self._pause()

    def _read_or_fail(self, record: Record) -> None:
        try:
            self._read(record)
        except Exception as error:  # noqa: BLE001 - it is logged, and the job says so
            _LOG.exception("a clip was not read")
            problem = problem_of(error)
            self._fail(record.id, problem.kind, problem.detail)

    def _next(self) -> Record | None:
        """The next job, now running; None: the server ends."""
        with self._news:
            while not self._closed:
                record = self.store.claim()
                if record is not None:
                    return record
                self._news.wait()
        return None

    def _read(self, record: Record) -> None:
        """Read a clip in a process, and write down how it went."""
        with self._news:
            if self._closed:
                self._put_back(record)
                return
            process = self._processes[record.id] = ClipProcess(self._asked(record))
        end: dict[str, Any] = {}
        try:
            with process:
                if self.store.get(record.id) is None:  # removed before there was a process to end
                    process.end()
                for said in process.lines():
                    if "end" in said:
                        end = said
                    elif self.store.update(record.id, **said) is None:  # it was removed
                        process.end()
                how = process.how_it_ended()
        finally:
            with self._news:
                del self._processes[record.id]
        if end or not self._closed:
            self._note_end(record.id, end, how)
        else:
            self._put_back(record)

    def _put_back(self, record: Record) -> None:
        """For the next start; that this server ends is not the clip's fault, so it is no try."""
        self.store.update(record.id, state="queued", tries=record.tries - 1)

    def _asked(self, record: Record) -> dict[str, Any]:
        """What the process is told."""
        limits, model = self._settings.limits, self._settings.model
        return {
            "folder": str(self.folder(record.id)),
            "name": record.name,
            "model": None if model is None else str(model.absolute() if model.is_file() else model),
            "options": record.options["job"]
            | {"providers": self._settings.providers, "max_faces": limits.faces},
            "annotate": record.options["annotate"],
            "frames": limits.clip_frames,
            "seconds": limits.clip_seconds,
            "work": limits.job_seconds,
            "room": max(self._disk.left, 1_000_000),
        }

    def _note_end(self, job: str, end: dict[str, Any], how: str) -> None:
        """Write down what a process said last, or that it said nothing."""
        if self.store.get(job) is None:
            self.drop(job)
        elif not end:
            self._fail(
                job,
                "stopped",
                f"expected it to be read, the process that read it died ({how}); it may be damaged, take "
                "more memory than there is, or longer than it may",
            )
        elif end["error"]:
            self._fail(job, end["kind"], end["error"])
        else:
            self._tidy(job)
            results = [name for name in RESULTS if (self.folder(job) / name).is_file()]
            self._end_with(job, state="done", progress=1.0, notes=end["notes"], results=results)

    def _fail(self, job: str, kind: str, detail: str) -> None:
        for name in RESULTS:
            (self.folder(job) / name).unlink(missing_ok=True)
        self._tidy(job)
        self._end_with(job, state="failed", error=Problem(kind, detail).body())

    def _end_with(self, job: str, **changes: Any) -> None:
        with self._ending:
            before = self.store.get(job)
            if before is None:
                return
            size = size_of(self.folder(job)) if self.folder(job).is_dir() else 0
            self._disk.settle(before.size, size)
            self.store.update(job, finished=time.time(), size=size, **changes)
        self._metrics.count("mien_jobs_total", state=changes["state"])

    def _tidy(self, job: str) -> None:
        """Remove what is no result: clip, journal, files that were begun."""
        folder = self.folder(job)
        shutil.rmtree(folder / "journal", ignore_errors=True)
        with suppress(FileNotFoundError):  # somebody removes the job meanwhile
            for path in folder.iterdir():
                if path.name not in RESULTS:
                    path.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Forget finished jobs in time, where they are not kept."""
        while not self._closed and self._settings.keep is None:
            late = time.time() - self._settings.forget_after
            try:
                for record in self.store.all():
                    if record.finished is not None and record.finished < late:
                        self.remove(record.id)
            except Exception:  # noqa: BLE001 - it is logged, and the thread goes on
                _LOG.exception("finished clips cannot be forgotten; trying again")
            self._pause()

    def _pause(self) -> None:
        """Wait a little, but not for a server that ends."""
        with self._news:
            self._news.wait_for(lambda: self._closed, timeout=_SWEEP)
