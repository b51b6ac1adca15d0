"""Jobs in one SQLite file: what was asked for, how far it is, how it ended.

The file is locked while a server has it, so that no two read the same clips.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from mien.errors import ConfigError

State = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED: Final = frozenset({"done", "failed", "cancelled"})

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, options TEXT NOT NULL, state TEXT NOT NULL,
    created REAL NOT NULL, finished REAL, progress REAL NOT NULL, frames INTEGER NOT NULL,
    faces INTEGER NOT NULL, tries INTEGER NOT NULL, size INTEGER NOT NULL,
    error TEXT, notes TEXT NOT NULL, results TEXT NOT NULL, start REAL NOT NULL
)
"""
_COLUMNS: Final = ("id", "name", "options", "state", "created", "finished", "progress", "frames", "faces",
                   "tries", "size", "error", "notes", "results", "start")  # fmt: skip
_SHOWN: Final = ("id", "name", "state", "progress", "frames", "faces", "created", "finished", "error",
                 "notes", "start")  # fmt: skip
_VERSION: Final = 1  # of the table
_JSON: Final = frozenset({"options", "error", "notes", "results"})


@dataclass(frozen=True, slots=True)
class Record:
    """One job."""

    id: str  # random; also the name of its folder
    name: str  # of the clip, as its sender calls it: data, never a path
    options: dict[str, Any] = field(default_factory=dict)
    state: State = "queued"
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

    def body(self) -> dict[str, Any]:
        """Its JSON in answers."""
        raw = asdict(self)
        urls = {name: f"/v1/jobs/{self.id}/results/{name}" for name in self.results}
        return {key: raw[key] for key in _SHOWN} | {"results": urls}


class Store:
    """Keeps records; called from any thread.

    Raises:
        ConfigError: another server has the file, or it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
            self._open(path)
        except (sqlite3.Error, OSError) as error:
            raise ConfigError(
                f"--keep: expected a folder whose {path.name} no other server has, got: {error}; "
                "end that server, or name another folder"
            ) from error

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
        self._db.execute(_TABLE)
        self._db.execute(f"PRAGMA user_version = {_VERSION}")
        self._db.execute("COMMIT")
        # A change appends to a log and waits for no disk: the event loop may wait for it in turn.
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")

    def add(self, record: Record) -> None:
        """Take a new job."""
        marks = ", ".join("?" * len(_COLUMNS))
        self._run(f"INSERT INTO jobs ({', '.join(_COLUMNS)}) VALUES ({marks})", _values(record, _COLUMNS))  # noqa: S608

    def get(self, job: str) -> Record | None:
        """A job, if there is one of this id."""
        found = self._run("SELECT * FROM jobs WHERE id = ?", [job])
        return _record(found[0]) if found else None

    def all(self) -> list[Record]:
        """Every job, newest first."""
        return [_record(row) for row in self._run("SELECT * FROM jobs ORDER BY created DESC, rowid DESC")]

    def update(self, job: str, **changes: Any) -> Record | None:
        """Change some columns of a job, and give it as it is now; None: it is gone."""
        known = self.get(job)
        if known is None:
            return None
        changed = replace(known, **changes)
        sets = ", ".join(f"{name} = ?" for name in changes)
        self._run(f"UPDATE jobs SET {sets} WHERE id = ?", [*_values(changed, changes), job])  # noqa: S608
        return changed

    def claim(self) -> Record | None:
        """The oldest job that waits, now running; None: none waits."""
        with self._lock:
            found = self._db.execute(
                "UPDATE jobs SET state = 'running', tries = tries + 1 WHERE id = (SELECT id FROM jobs WHERE "
                "state = 'queued' ORDER BY created, rowid LIMIT 1) RETURNING *"
            ).fetchall()
        return _record(found[0]) if found else None

    def count(self, state: State) -> int:
        """Jobs in a state."""
        return int(self._run("SELECT count(*) FROM jobs WHERE state = ?", [state])[0][0])

    def remove(self, job: str) -> Record | None:
        """Forget a job, and give it as it was; None: there was none."""
        found = self._run("DELETE FROM jobs WHERE id = ? RETURNING *", [job])
        return _record(found[0]) if found else None

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()

    def _run(self, statement: str, values: Iterable[Any] = ()) -> list[Any]:
        with self._lock:
            return self._db.execute(statement, tuple(values)).fetchall()


def _values(record: Record, names: Iterable[str]) -> list[Any]:
    raw = {name: getattr(record, name) for name in names}
    return [
        json.dumps(value) if name in _JSON and value is not None else value for name, value in raw.items()
    ]


def _record(row: tuple[Any, ...]) -> Record:
    raw = dict(zip(_COLUMNS, row, strict=True))
    return Record(**{k: json.loads(v) if k in _JSON and v is not None else v for k, v in raw.items()})
