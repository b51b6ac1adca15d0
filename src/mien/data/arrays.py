"""A corpus as one uint8 array, decoded once and kept in a file under a hash of what it was made from.

What comes from a file is mapped, not read: the system reads a picture when it is used, keeps as many
as memory holds, and lets several processes share them. A set larger than memory is an array like any other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from mien.data.corpus import Corpus
from mien.errors import DataError
from mien.files import write_whole
from mien.types import Image

_CHUNK: Final = 1024  # pictures that are in memory at a time

#: Arrays (N, H, W) with the positions to take from each.
Parts = Sequence[tuple[Image, NDArray[np.int64]]]


def load_images(corpus: Corpus, *, cache: Path | None = None) -> Image:
    """Every picture of a gray corpus of equal sizes: (N, H, W) uint8, in the order of its samples.

    Args:
        corpus: the corpus; pictures must be gray and of one size.
        cache: a folder to keep the array in; it is decoded into a file there, mapped and read-only.

    Raises:
        DataError: there is no picture, one differs in size from the first, or the file is damaged.
        OutputError: the file cannot be written.
    """
    if not corpus.samples:
        raise DataError(f"{corpus.name}: expected at least one sample, found none")
    if cache is None:
        return np.stack(list(_decoded(corpus)))
    path = cache / f"{corpus.name.replace('/', '-')}-{corpus_key(corpus)}.npy"
    if not path.is_file():
        shape = (len(corpus), *corpus.read(corpus.samples[0]).shape)
        write_whole(path, lambda file: _write(file, shape, _decoded(corpus)))
    return _mapped(path)


def gather(parts: Parts, cache: Path) -> Image:
    """The chosen pictures of some arrays, one after the other, as one array: (N, H, W) uint8.

    They are copied into a file of `cache`, a few at a time, and mapped: memory never holds them all.

    Raises:
        DataError: the file is damaged.
        OutputError: it cannot be written.
    """
    path = cache / f"gathered-{_hash(_chosen(parts))}.npy"
    if not path.is_file():
        shape = (sum(len(which) for _, which in parts), *parts[0][0].shape[1:])
        write_whole(path, lambda file: _write(file, shape, _chosen(parts)))
    return _mapped(path)


def data_hash(images: NDArray[Any]) -> str:
    """A short sha256 of pixels, for provenance."""
    return _hash(images[i : i + _CHUNK] for i in range(0, len(images), _CHUNK))


def corpus_key(corpus: Corpus) -> str:
    """A hash of the samples and of the first, middle and last picture, to tell two downloads apart."""
    digest = hashlib.sha256("\n".join(s.name for s in corpus.samples).encode("utf-8", "surrogateescape"))
    for i in (0, len(corpus) // 2, len(corpus) - 1):
        digest.update(corpus.read(corpus.samples[i]).tobytes())
    return digest.hexdigest()[:16]


def _decoded(corpus: Corpus) -> Iterator[Image]:
    shape = corpus.read(corpus.samples[0]).shape
    for sample in corpus.samples:
        image = corpus.read(sample)
        if image.shape != shape:
            raise DataError(
                f"{corpus.name}: expected every picture to be {shape} like the first, "
                f"{sample.name} is {image.shape}"
            )
        yield image


def _chosen(parts: Parts) -> Iterator[Image]:
    for images, which in parts:
        for i in range(0, len(which), _CHUNK):
            yield images[which[i : i + _CHUNK]]


def _hash(pieces: Iterable[NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(np.ascontiguousarray(piece).data)
    return digest.hexdigest()[:16]


def _write(file: IO[bytes], shape: tuple[int, ...], pieces: Iterable[Image]) -> None:
    """A .npy file, its pictures written as they come: on a full disk a mapped file would end the process."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    for piece in pieces:
        file.write(np.ascontiguousarray(piece).data)


def _mapped(path: Path) -> Image:
    """Read-only, since a private mapping is refused where it is larger than memory."""
    try:
        return np.asarray(np.load(path, mmap_mode="r"))
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            f"{path}: expected an array that Mien wrote, could not read it ({error}); "
            "remove the file, and it is made again"
        ) from error
