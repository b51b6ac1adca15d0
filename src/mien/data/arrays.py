"""A corpus as one uint8 array, decoded once and kept in a file under a hash of what it was made from.

What comes from a file is mapped, not read: the system reads a picture when it is used, keeps as many
as memory holds, and lets several processes share them. A set larger than memory is an array like any other.

Legend: N, M pictures, H rows, W columns.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from mien.data.corpus import Corpus
from mien.errors import DataError, ImageError
from mien.files import write_whole
from mien.types import Image

_CHUNK: Final = 1024  # pictures that are in memory at a time

#: Arrays (N, H, W) with the positions to take from each.
Parts = Sequence[tuple[Image, NDArray[np.int64]]]


def load_images(corpus: Corpus, *, cache: Path | None = None) -> Image:
    """Every picture of a gray corpus of equal sizes: (N, H, W) uint8, in the order of its samples.

    With `cache`, the array is kept in a file of that folder, mapped and read-only.

    Raises:
        DataError: there is no picture, one differs in size from the first, or the file is damaged.
        OutputError: the file cannot be written.
    """
    if not corpus.samples:
        raise DataError(f"{corpus.name}: expected at least one sample, found none")
    if cache is None:
        return np.stack(list(_decoded(corpus)))
    path = cache / f"{corpus.name.replace('/', '-')}-{corpus_key(corpus)}.npy"
    shape = (len(corpus), *corpus.read(corpus.samples[0]).shape)
    return _kept(path, shape, _decoded(corpus))


def gather(parts: Parts, cache: Path) -> Image:
    """The chosen pictures of some arrays, one after the other, as one array: (N, H, W) uint8.

    They are copied into a file of `cache`, a few at a time, and mapped: memory never holds them all.
    """
    path = cache / f"gathered-{_hash(_chosen(parts))}.npy"
    shape = (sum(len(which) for _, which in parts), *parts[0][0].shape[1:])
    return _kept(path, shape, _chosen(parts))


def data_hash(images: NDArray[Any]) -> str:
    """A short sha256 of pixels, for provenance."""
    return _hash(images[i : i + _CHUNK] for i in range(0, len(images), _CHUNK))


def corpus_key(corpus: Corpus) -> str:
    """A hash of the samples and of the first, middle and last picture, to tell two downloads apart.

    A picture that cannot be read counts as one: whoever decodes the corpus tells of it.
    """
    whole = hashlib.sha256("\n".join(s.name for s in corpus.samples).encode("utf-8", "surrogateescape"))
    for i in (0, len(corpus) // 2, len(corpus) - 1):
        try:
            whole.update(corpus.read(corpus.samples[i]).tobytes())
        except (ImageError, DataError):
            whole.update(b"unreadable")
    return whole.hexdigest()[:16]


def digest(image: Image) -> bytes:
    """128 bits that two pictures share when, and for all practice only when, all pixels are equal."""
    person = repr(image.shape).encode()[:16]
    return hashlib.blake2b(image.tobytes(), digest_size=16, person=person).digest()


def in_other(images: Image, other: Image) -> NDArray[np.bool_]:
    """(N,) True where a picture of `images` (N, H, W) equals one of `other` (M, H, W) in every pixel.

    FER2013 was collected by image search and never cleaned of copies: 279 of the 3,579 pictures of FER+'s
    validation split are in its training split too. A score on those says how well a network remembers.
    """
    known = {digest(image) for image in other}
    return np.array([digest(image) in known for image in images], np.bool_)


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
    whole = hashlib.sha256()
    for piece in pieces:
        whole.update(np.ascontiguousarray(piece).data)
    return whole.hexdigest()[:16]


def _kept(path: Path, shape: tuple[int, ...], pieces: Iterable[Image]) -> Image:
    """The array of a .npy file, which is made of the pieces if it is not there."""

    def write(file: IO[bytes]) -> None:
        # written as they come: on a full disk a mapped file would end the process
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for piece in pieces:
            file.write(np.ascontiguousarray(piece).data)

    if not path.is_file():
        write_whole(path, write)
    try:  # read-only, since a private mapping is refused where it is larger than memory
        return np.asarray(np.load(path, mmap_mode="r"))
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            f"{path}: expected an array that Mien wrote, could not read it ({error}); "
            "remove the file, and it is made again"
        ) from error
