"""A corpus as one uint8 array, decoded once and kept under a hash of what it was made from."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.data.corpus import Corpus
from mien.errors import DataError
from mien.types import Image


def load_images(corpus: Corpus, *, cache: Path | None = None) -> Image:
    """Every picture of a gray corpus of equal sizes: (N, H, W) uint8, in the order of its samples.

    Args:
        corpus: the corpus; pictures must be gray and of one size.
        cache: a folder to keep the array in; a second call reads it instead of decoding again.

    Raises:
        DataError: there is no picture, or one differs in size from the first.
    """
    if not corpus.samples:
        raise DataError(f"{corpus.name}: expected at least one sample, found none")
    if cache is None:
        return _decode(corpus)
    path = cache / f"{corpus.name.replace('/', '-')}-{corpus_key(corpus)}.npy"
    if path.is_file():
        array: Image = np.load(path)
        return array
    images = _decode(corpus)
    cache.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.part")
    with partial.open("wb") as file:
        np.save(file, images)
    partial.replace(path)
    return images


def data_hash(images: NDArray[Any]) -> str:
    """A short sha256 of pixels, for provenance."""
    return hashlib.sha256(images.tobytes()).hexdigest()[:16]


def _decode(corpus: Corpus) -> Image:
    first = corpus.read(corpus.samples[0])
    images = np.empty((len(corpus), *first.shape), np.uint8)  # (N, H, W)
    for i, sample in enumerate(corpus.samples):
        image = corpus.read(sample)
        if image.shape != first.shape:
            raise DataError(
                f"{corpus.name}: expected every picture to be {first.shape} like the first, "
                f"{sample.name} is {image.shape}"
            )
        images[i] = image
    return images


def corpus_key(corpus: Corpus) -> str:
    """A hash of the samples and of the first, middle and last picture, to tell two downloads apart."""
    digest = hashlib.sha256("\n".join(s.name for s in corpus.samples).encode("utf-8", "surrogateescape"))
    for i in (0, len(corpus) // 2, len(corpus) - 1):
        digest.update(corpus.read(corpus.samples[i]).tobytes())
    return digest.hexdigest()[:16]
