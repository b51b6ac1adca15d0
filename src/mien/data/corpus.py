"""A corpus: its samples, and how to read the pixels of one."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mien.errors import DataError
from mien.types import Image, Sample


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """Samples in a fixed order, with a function that reads the pixels of one."""

    name: str  # e.g. "ferplus/train"
    samples: tuple[Sample, ...]
    read: Callable[[Sample], Image]  # (H, W) gray or (H, W, 3) RGB uint8
    notes: tuple[str, ...] = ()  # one line each: what was expected and is missing, what was skipped

    def __len__(self) -> int:
        return len(self.samples)


def draw(corpus: Corpus, n: int, *, seed: int = 0) -> Corpus:
    """`n` samples drawn without replacement, in the corpus's order; all of them if `n` is more."""
    order = np.random.default_rng(seed).permutation(len(corpus))  # a smaller n is part of a larger
    return replace(corpus, samples=tuple(corpus.samples[i] for i in sorted(order[:n])))


class FolderStore:
    """Files below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> list[str]:
        """Every file below the root, those in linked folders too, with forward slashes, sorted."""

        def stop(error: OSError) -> None:
            raise DataError(f"{error.filename}: cannot be read ({error.strerror})") from error

        found: list[str] = []
        for folder, folders, files in os.walk(self.root, onerror=stop, followlinks=True):
            here = Path(folder).resolve()
            # a link to a folder around it would be followed without end
            folders[:] = [name for name in folders if (here / name).resolve() not in {here, *here.parents}]
            paths = (Path(folder, name) for name in files)
            # a link to nothing is listed, and fails when it is read
            found += [p.relative_to(self.root).as_posix() for p in paths if p.is_file() or p.is_symlink()]
        return sorted(found)

    def read(self, name: str) -> bytes:
        """The bytes of one file; KeyError if there is none of that name."""
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError as error:
            raise KeyError(name) from error
        except OSError as error:
            raise DataError(f"{self.root / name}: cannot be read ({error.strerror})") from error


class ZipStore:
    """Files inside a zip archive, read in place."""

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            self._zip = zipfile.ZipFile(root)
        except (zipfile.BadZipFile, OSError) as error:
            raise DataError(
                f"{root}: expected a zip archive, could not open it ({error}); is the download whole?"
            ) from error

    def names(self) -> list[str]:
        """Every file in the archive, with forward slashes, sorted."""
        return sorted(n for n in self._zip.namelist() if not n.endswith("/"))

    def read(self, name: str) -> bytes:
        """The bytes of one file; KeyError if there is none of that name."""
        try:
            return self._zip.read(name)
        except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError) as error:  # RuntimeError: encrypted
            raise DataError(
                f"{self.root}: {name} cannot be read ({error}); fetch the archive again"
            ) from error


CorpusStore = FolderStore | ZipStore


def open_store(root: Path | str) -> CorpusStore:
    """The folder or zip archive at `root`.

    Raises:
        DataError: nothing is there, or it is neither a folder nor a zip archive.
    """
    root = Path(root)
    if root.is_dir():
        return FolderStore(root)
    if root.is_file():
        return ZipStore(root)
    raise DataError(f"{root}: expected a folder or a zip archive, found nothing; check --root")
