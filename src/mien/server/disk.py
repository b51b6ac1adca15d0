"""The server's folder: private, within its budget, and gone with the server unless it is to be kept."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from mien.errors import ConfigError
from mien.server.problem import Problem

STORE: Final = "jobs.sqlite"  # its lock says that a server has the folder
_PREFIX: Final = "mien-serve-"


class Disk:
    """Knows how many bytes are taken; called from any thread.

    Args:
        keep: a folder that stays; None: a private one that goes with `close`.
        budget: bytes.

    Raises:
        ConfigError: the folder cannot be made.
    """

    def __init__(self, keep: Path | None, budget: int) -> None:
        self._kept = keep is not None
        self._budget, self._taken = budget, 0
        self._lock = threading.Lock()
        try:
            if keep is None:
                sweep_stale()
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
        self._taken = size_of(self.jobs)

    @property
    def taken(self) -> int:
        """Bytes of uploads and results."""
        return self._taken

    @property
    def left(self) -> int:
        """Bytes that may still be taken."""
        return max(0, self._budget - self._taken)

    def take(self, number: int) -> None:
        """Take so many bytes.

        Raises:
            Problem: the budget does not hold them.
        """
        with self._lock:
            if self._taken + number > self._budget:
                raise Problem(
                    "disk-full",
                    f"expected room in the {self._budget:,} bytes that this server may take, there is none; "
                    "delete jobs, or raise --disk",
                )
            self._taken += number

    def settle(self, before: int, after: int) -> None:
        """What took so many bytes takes so many now: they are written, whatever the budget."""
        with self._lock:
            self._taken = max(0, self._taken - before + after)

    def give_back(self, number: int) -> None:
        """So many bytes are free again."""
        with self._lock:
            self._taken = max(0, self._taken - number)

    def close(self) -> None:
        """Remove what is not to be kept."""
        if not self._kept:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            shutil.rmtree(self.uploads, ignore_errors=True)


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # it may go while we look
            total += path.stat().st_size if path.is_file() else 0
    return total


def sweep_stale() -> None:
    """Remove the private folders of servers that were killed: those whose store nobody holds."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError, sqlite3.Error):
            if _is_ours(folder) and (folder / STORE).is_file() and not _is_held(folder / STORE):
                shutil.rmtree(folder, ignore_errors=True)
                logging.getLogger(__name__).warning("removed what a server left that was killed: %s", folder)


def _is_ours(folder: Path) -> bool:
    """Whether it is no other user's folder: where anybody may write, anybody can make one of that name."""
    return not folder.is_symlink() and (not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid())


def _is_held(store: Path) -> bool:
    connection = sqlite3.connect(store, timeout=0, isolation_level=None)
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError:
        return True
    finally:
        connection.close()
    return False
