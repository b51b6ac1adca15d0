"""Files that appear whole or not at all: written beside their name, put on disk, then renamed.

The partial file is called `.NAME.PID.part`, so that two processes never write to the same one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from mien.errors import DataError, OutputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class WholeFile:
    """Write to `partial`; the file takes its name at `finish`, or at the end of a `with` block.

    When the block fails, what was written is removed. The error of a place that cannot be written to
    (`OSError`) becomes an `OutputError`; with `keep`, it says where what was written so far is kept.
    """

    def __init__(self, path: Path, *, overwrite: bool, keep: bool = False) -> None:
        """Refuse before any work is done.

        Raises:
            OutputError: the file exists, its folder does not, or nothing can be written there.
        """
        self.path = path
        self.partial = path.with_name(f".{path.name}.{os.getpid()}.part")
        self._overwrite, self._keep = overwrite, keep
        if path.exists() and not overwrite:
            raise OutputError(f"{path}: exists already; name another, or give --overwrite (overwrite=True)")
        if path.is_dir():
            raise OutputError(f"{path}: expected a file to write, it is a folder; name a file in it")
        try:
            self.partial.touch()
        except OSError as error:
            raise OutputError(
                f"{path}: cannot be written ({error.strerror}); give a place in a folder that exists "
                "and that you may write to"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            self.finish()
        elif isinstance(error, OSError):
            raise self.failure(error) from error
        else:
            self.discard()

    def finish(self) -> None:
        """Give the file its name, once its content is on disk.

        Raises:
            OutputError: the place is gone or full, or somebody else wrote the file meanwhile.
        """
        if not self._overwrite and self.path.exists():
            raise OutputError(
                f"{self.path}: another run wrote it meanwhile, and it stays as it is; what was written here "
                f"is kept in {self.partial}: give that another name"
            )
        try:
            with self.partial.open("rb+") as written:
                os.fsync(written.fileno())  # else the name may outlive a power cut that the content does not
            self.partial.replace(self.path)
        except OSError as error:
            raise self.failure(error) from error

    def discard(self) -> None:
        """Remove what was written."""
        if self.partial.parent.is_dir():
            self.partial.unlink(missing_ok=True)

    def failure(self, error: Exception) -> OutputError:
        """What to raise when writing failed, e.g. on a full disk."""
        reason = getattr(error, "strerror", None) or error
        if self._keep:
            kept = f"what was written so far is kept in {self.partial}"
        else:
            self.discard()
            kept = "nothing was kept"
        return OutputError(
            f"{self.path}: writing broke off ({reason}); {kept}; make room or give another place, and "
            "start again"
        )


@contextmanager
def lock(path: Path) -> Iterator[bool]:
    """Whether this process holds the lock on a file while the block runs: no two do, also on a shared folder.

    The system takes the lock away when its process ends, however it ends; the file stays. Where it knows
    no such locks (Windows, some network disks), everybody is told True. OutputError: it cannot be made.
    """
    try:
        import fcntl
    except ImportError:
        yield True
        return
    try:
        file = path.open("ab")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}); give another folder") from error
    with file:
        mine = True
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            mine = not isinstance(error, BlockingIOError)
        yield mine


def make_folder(folder: Path) -> None:
    """Make a folder, and those around it, where they are not there; OutputError: it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror}); give another place") from error


def write_whole(path: Path, write: bytes | str | Callable[[IO[bytes]], object]) -> None:
    """Write a file, replacing the one that is there; its folder is made.

    Args:
        path: of the file.
        write: its content (text as UTF-8), or a function that writes to the open file.

    Raises:
        OutputError: it cannot be written; nothing is left behind, and the old file stays.
    """
    make_folder(path.parent)
    with WholeFile(path, overwrite=True) as whole:
        try:
            with whole.partial.open("wb") as file:
                if callable(write):
                    write(file)
                else:
                    file.write(write.encode("utf-8") if isinstance(write, str) else write)
        except RuntimeError as error:  # torch, on a full disk
            raise whole.failure(error) from error


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays by name as one .npz file; errors are those of `write_whole`."""
    import numpy as np

    write_whole(path, lambda file: np.savez_compressed(file, **arrays))  # type: ignore[arg-type]


def load_arrays(path: Path, advice: str) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file; nothing is unpickled.

    Raises:
        DataError: the file is damaged; ends with `advice`.
    """
    import zlib
    from zipfile import BadZipFile

    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as held:
            return {name: held[name] for name in held.files}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error, AttributeError) as error:
        raise DataError(
            f"{path}: expected arrays that Mien wrote, could not read them ({error}); {advice}"
        ) from error
