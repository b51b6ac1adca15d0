"""The pictures of an experiment, cut to the network's size, with what is known of each.

Legend: N pictures, H rows, W columns, S the side of a crop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mien.data.arrays import load_images
from mien.data.audit import in_other
from mien.data.corpus import Corpus
from mien.data.fer import ferplus
from mien.data.posed import rafd
from mien.errors import ConfigError
from mien.evaluate.protocol import PROTOCOLS
from mien.faces.align import fit
from mien.train.faces import FACE_INPUT, cut_faces, find_face, vote_shares
from mien.types import Floats, Image

Labels = NDArray[np.int64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """The pictures of an experiment, cut to the network's size."""

    name: str
    images: Image  # (N, 48, 48) uint8
    targets: Floats  # (N, 8) label distributions, for training
    labels: Labels  # (N,) one label each, -1 where left out
    persons: tuple[str | None, ...]  # (N,)
    pool: Indices | None  # what the folds are drawn from; None: all, and the rest of each fold trains
    notes: tuple[str, ...] = ()  # what the corpus lacks, and how many pictures show no face


def ferplus_material(root: Path, cache: Path) -> Material:
    """FER+: its train split trains, the folds are drawn from its valid split (`majority` labels)."""
    parts = [ferplus(root, split) for split in ("train", "valid")]
    images = np.concatenate([load_images(part, cache=cache) for part in parts])  # (N, 48, 48)
    samples = (*parts[0].samples, *parts[1].samples)
    pool = np.arange(len(parts[0]), len(samples))
    labels = PROTOCOLS["majority"](samples)
    labels[: len(parts[0])] = PROTOCOLS["argmax"](parts[0].samples)
    labels[: len(parts[0])][_copied(images, pool)] = -1
    return Material("ferplus", images, vote_shares(samples), labels, (None,) * len(samples), pool)


def rafd_material(root: Path, cache: Path) -> Material:
    """The Radboud Faces Database, frontal pictures, each face found and cut out upright."""
    return _cut("rafd", rafd(root), find_face, cache)


def toy_material(root: Path, cache: Path) -> Material:
    """The drawn toy corpus, whose pictures already are faces."""
    return _cut("toy", rafd(root), lambda pixels: fit(pixels, FACE_INPUT), cache)


#: Corpus to the function that makes its material from (root, folder of the cache).
MATERIALS: Final[dict[str, Callable[[Path, Path], Material]]] = {
    "rafd": rafd_material,
    "ferplus": ferplus_material,
    "toy": toy_material,
}


def make_material(name: str, root: Path, cache: Path) -> Material:
    """The material of a corpus by name.

    Raises:
        ConfigError: there is no such corpus; the message lists those there are.
        DataError: the corpus is not at `root`.
    """
    if name not in MATERIALS:
        raise ConfigError(f"corpus: expected one of {', '.join(MATERIALS)}, got {name!r}")
    return MATERIALS[name](root, cache)


def _cut(name: str, corpus: Corpus, cut: Callable[[Image], Image | None], cache: Path) -> Material:
    """A corpus with one label a picture, its pictures cut one by one; those without a face left out."""
    crops, kept = cut_faces(name, corpus, cut, cache)
    samples = tuple(corpus.samples[i] for i in kept)
    lost = len(corpus) - len(kept)
    return Material(
        name=name,
        images=crops,
        targets=vote_shares(samples),
        labels=PROTOCOLS["argmax"](samples),
        persons=tuple(sample.person for sample in samples),
        pool=None,
        notes=corpus.notes + ((f"{lost} of {len(corpus)} pictures left out: no face found",) if lost else ()),
    )


def _copied(images: Image, pool: Indices) -> NDArray[np.bool_]:
    return in_other(images[: pool[0]], images[pool])
