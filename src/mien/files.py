"""Files that appear whole or not at all: written beside their name and renamed."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError, OutputError


def write_whole(path: Path, write: bytes | str | Callable[[IO[bytes]], object]) -> None:
    """Write a file, replacing the one that is there; its folder is made.

    Args:
        path: of the file.
        write: what it holds (text as UTF-8), or a function that writes to the open file.

    Raises:
        OutputError: it cannot be written; nothing is left behind, and the old file stays.
    """
    partial = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            if callable(write):
                write(file)
            else:
                file.write(write.encode("utf-8") if isinstance(write, str) else write)
        partial.replace(path)
    except (OSError, RuntimeError) as error:  # RuntimeError: torch, on a full disk
        partial.unlink(missing_ok=True) if path.parent.is_dir() else None
        raise OutputError(
            f"{path}: cannot be written ({getattr(error, 'strerror', None) or error}); make room, or give "
            "another place, and start again"
        ) from error


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays by name as one .npz file.

    Raises:
        OutputError: as `write_whole`.
    """
    write_whole(path, lambda file: np.savez_compressed(file, **arrays))  # type: ignore[arg-type]


def load_arrays(path: Path, advice: str) -> dict[str, NDArray[Any]]:
    """Read them back; nothing is unpickled.

    Raises:
        DataError: the file is damaged; ends with `advice`.
    """
    try:
        with np.load(path, allow_pickle=False) as held:
            return {name: held[name] for name in held.files}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error, AttributeError) as error:
        raise DataError(
            f"{path}: expected arrays that Mien wrote, could not read them ({error}); {advice}"
        ) from error
