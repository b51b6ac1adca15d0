"""What the server has on the disk: its folder, within a budget, and the jobs in one SQLite file.

The SQLite file is locked while a server has the folder, so that no two servers read the same clips.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sqlite3
import tempfile
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from mien.errors import ConfigError
from mien.server.answers import JobBody, Problem

STORE: Final = "jobs.sqlite"
_PREFIX: Final = "mien-serve-"

JobState = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED: Final = frozenset({"done", "failed", "cancelled"})

_VERSION: Final = 2  # of the file


class Disk:
    """The server's private folder, and how many bytes it takes; called from any thread.

    Without `keep`, it is a temporary one that goes with `close`.
    """

    def __init__(self, keep: Path | None, budget: int) -> None:
        self._kept = keep is not None
        self._budget = budget
        self._lock = threading.Lock()
        try:
            if keep is None:
                remove_stale_folders()
                self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX))  # of mode 0700
            else:
                keep.mkdir(mode=0o700, parents=True, exist_ok=True)
                self.folder = keep.resolve()
            self.uploads = self.folder / "uploads"
            self.jobs = self.folder / "jobs"
            for folder in (self.uploads, self.jobs):
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"--keep: expected a folder that can be made at {keep}, got: {error.strerror}; name another"
            ) from error
        self.taken = size_of(self.jobs)  # bytes of uploads and results

    @property
    def left(self) -> int:
        """Bytes that may still be taken."""
        return max(0, self._budget - self.taken)

    def take(self, number: int) -> None:
        """Take bytes of the budget; a Problem if not enough are left."""
        with self._lock:
            if self.taken + number > self._budget:
                raise Problem(
                    "disk-full",
                    f"the {self._budget:,} bytes that this server may use are taken; "
                    "delete jobs, or raise --disk",
                )
            self.taken += number

    def give_back(self, number: int) -> None:
        """So many bytes are free again; a number below 0: more are written, whatever the budget."""
        with self._lock:
            self.taken = max(0, self.taken - number)

    def close(self) -> None:
        """Remove what is not to be kept."""
        shutil.rmtree(self.uploads if self._kept else self.folder, ignore_errors=True)


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # it may go meanwhile
            total += path.stat().st_size if path.is_file() else 0
    return total


def remove_stale_folders() -> None:
    """Remove the temporary folders of servers that were killed: those whose store nobody has locked."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError, sqlite3.Error):
            # where anybody may write, another user can make a folder or link of this name
            own = not folder.is_symlink() and (
                not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()
            )
            if own and (folder / STORE).is_file() and not _is_locked(folder / STORE):
                shutil.rmtree(folder, ignore_errors=True)
                logging.getLogger(__name__).warning("removed what a killed server left: %s", folder)


def _is_locked(store: Path) -> bool:
    connection = sqlite3.connect(store, timeout=0, isolation_level=None)
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError:
        return True
    finally:
        connection.close()
    return False


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One job."""

    id: str  # random; also the name of its folder
    name: str  # of the clip, as the client calls it: data, never a path
    options: dict[str, Any] = field(default_factory=dict)
    state: JobState = "queued"
    created: float = 0.0  # seconds since 1970
    finished: float | None = None
    progress: float = 0.0  # 0 to 1
    frames: int = 0
    faces: int = 0
    tries: int = 0  # times that it was begun
    size: int = 0  # bytes in its folder
    error: dict[str, Any] | None = None  # a problem
    notes: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)  # names of files
    start: float = 0.0  # seconds, by the clip's own time stamps, at which it begins

    def body(self) -> JobBody:
        """What clients see of it."""
        shown = {name: getattr(self, name) for name in JobBody.model_fields}
        urls = {name: f"/v1/jobs/{self.id}/results/{name}" for name in self.results}
        return JobBody(**shown | {"results": urls})


class JobStore:
    """Keeps the records of jobs, oldest first, also in a file that no other server may have.

    It is called from any thread.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
            self._open(path)
            found = self._db.execute("SELECT record FROM jobs ORDER BY rowid").fetchall()
        except (sqlite3.Error, OSError) as error:
            raise ConfigError(
                f"--keep: expected a folder whose {path.name} no other server has, got: {error}; "
                "end that server, or name another folder"
            ) from error
        records = (JobRecord(**json.loads(text)) for (text,) in found)
        self._records = {record.id: record for record in records}

    def _open(self, path: Path) -> None:
        """Lock the file, then see that its table is there."""
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._db.execute("BEGIN EXCLUSIVE")
        path.chmod(0o600)  # it tells what clips are called
        [(version,)] = self._db.execute("PRAGMA user_version")
        if version != _VERSION and self._db.execute("SELECT 1 FROM sqlite_master").fetchall():
            raise ConfigError(
                f"--keep: expected {path.name} of this version of Mien, got one of version {version}; "
                "name another folder"
            )
        self._db.execute("CREATE TABLE IF NOT EXISTS jobs (id TEXT PRIMARY KEY, record TEXT NOT NULL)")
        self._db.execute(f"PRAGMA user_version = {_VERSION}")
        self._db.execute("COMMIT")
        # A change appends to a log and waits for no disk: the event loop may wait for it in turn.
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")

    def get(self, job: str) -> JobRecord | None:
        """A job, if there is one of this id."""
        return self._records.get(job)

    def all(self) -> list[JobRecord]:
        """Every job, newest first."""
        with self._lock:
            return list(reversed(self._records.values()))

    def count(self, state: JobState) -> int:
        """Jobs in a state."""
        return sum(record.state == state for record in self.all())

    def add(self, record: JobRecord) -> None:
        """Take a new job."""
        with self._lock:
            self._put(record)

    def update(self, job: str, **changes: Any) -> JobRecord | None:
        """Change some fields of a job, and give it as it is now; None: it is gone."""
        with self._lock:
            known = self._records.get(job)
            return None if known is None else self._put(replace(known, **changes))

    def claim(self) -> JobRecord | None:
        """The oldest job that waits, now running; None: none waits."""
        with self._lock:
            for record in self._records.values():
                if record.state == "queued":
                    return self._put(replace(record, state="running", tries=record.tries + 1))
        return None

    def remove(self, job: str) -> JobRecord | None:
        """Forget a job, and give it as it was; None: there was none."""
        with self._lock:
            self._db.execute("DELETE FROM jobs WHERE id = ?", (job,))
            return self._records.pop(job, None)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()

    def _put(self, record: JobRecord) -> JobRecord:
        self._db.execute(
            "INSERT INTO jobs VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record",
            (record.id, json.dumps(asdict(record))),
        )
        self._records[record.id] = record
        return record
