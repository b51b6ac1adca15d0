"""Exact copies of pictures, within a split and across splits.

FER2013 was collected by image search and never cleaned of copies: 1,224 of FER+'s 28,558 training
pictures equal an earlier one in every pixel, and 279 of the 3,579 validation pictures are in
training too. A score on those says how well a network remembers.

Legend: N, M pictures, P pairs, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from mien.types import Image

Mask = NDArray[np.bool_]  # (N,)


def digest(image: Image) -> bytes:
    """128 bits that two pictures share when, and for all practice only when, all pixels are equal."""
    return blake2b(image.tobytes(), digest_size=16, person=repr(image.shape).encode()[:16]).digest()


def digests(images: Iterable[Image]) -> list[bytes]:
    """The digest of each picture, in order."""
    return [digest(image) for image in images]


def copies(images: Image, other: Image | None = None) -> NDArray[np.int64]:
    """(P, 2) index pairs of exact copies.

    Args:
        images: (N, H, W) uint8 (or a channel more).
        other: (M, H, W) uint8, another split.

    Returns:
        Alone: (copy, the first picture it equals), so that a picture that is there three times
        gives two pairs. With `other`: (index in `images`, the first in `other` that it equals).
    """
    found = digests(images)
    first = _first(found if other is None else digests(other))
    pairs = [(i, first[d]) for i, d in enumerate(found) if d in first and (other is not None or first[d] < i)]
    return np.array(pairs, np.int64).reshape(-1, 2)


def duplicate_of_earlier(images: Image) -> Mask:
    """(N,) True where a picture equals one before it; `images[~mask]` holds each picture once."""
    return _mask(len(images), copies(images)[:, 0])


def in_other(images: Image, other: Image) -> Mask:
    """(N,) True where a picture of `images` is in `other` too."""
    return _mask(len(images), copies(images, other)[:, 0])


def _first(found: list[bytes]) -> dict[bytes, int]:
    """Each digest to where it comes first."""
    return {d: i for i, d in reversed(list(enumerate(found)))}


def _mask(length: int, which: NDArray[np.int64]) -> Mask:
    mask = np.zeros(length, np.bool_)
    mask[which] = True
    return mask
