"""Section 2.4: the faces of an experiment, all cut to the 48 x 48 gray pictures of section 3.

The paper's corpus is the Radboud Faces Database (RaFD), of which "frontal images were selected only": 1608
pictures. The abstract says 8000, which all five cameras give (8040). Both can be had.

Legend: N pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from mien.data.arrays import in_other, load_images
from mien.data.corpus import Corpus
from mien.data.fer import ferplus
from mien.data.posed import rafd
from mien.data.splits import Indices, Labels, by_person, stratified
from mien.errors import ConfigError, list_few, require_choice
from mien.evaluate.metrics import PROTOCOLS
from mien.faces.align import fit
from mien.train.faces import FACE_INPUT, cut_faces, find_face, vote_shares
from mien.types import Floats, Image, Sample

LabelledFaces = tuple[Image, Sequence[Sample]]


@dataclass(frozen=True, slots=True, eq=False)
class CroppedCorpus:
    """The faces of a corpus, cut to the network's size, with what is known of each."""

    name: str
    images: Image  # (N, 48, 48) uint8
    targets: Floats  # (N, 8) label distributions, for training
    labels: Labels  # (N,) one label each, -1 where left out
    persons: tuple[str | None, ...]  # (N,)
    test: Indices | None  # the corpus's own test split; None: it has none
    agreed: Indices | None = None  # of which folds may test, in disjoint designs; None: all that are labelled
    notes: tuple[str, ...] = ()  # what the corpus lacks, and how many pictures show no face

    @property
    def known_persons(self) -> tuple[str | None, ...] | None:
        """(N,) who is in each picture; None where that is not known of all."""
        return None if None in self.persons else self.persons

    def split(self, shares: Sequence[float], seed: int) -> tuple[Indices, ...]:
        """Parts of the labelled pictures by these shares; nobody is in two where persons are known."""
        if self.known_persons is None:
            return stratified(self.labels, shares, seed=seed)
        return by_person(self.persons, self.labels, shares, seed=seed)

    def outside(self, test: Indices) -> tuple[Indices, Indices]:
        """The labelled pictures that are not in `test`, which may train, and those that are."""
        labelled = np.flatnonzero(self.labels >= 0)
        return np.setdiff1d(labelled, test), np.intersect1d(labelled, test)


def _load_ferplus(root: Path, cache: Path, cameras: str) -> CroppedCorpus:
    """FER+: its train split trains, its valid split tests (`majority` labels).

    Disjoint folds are cut from both together; they too test only what most voters agree on.
    """
    if cameras != "frontal":
        raise ConfigError(
            f"cameras: expected rafd or toy for a choice of cameras, got {cameras!r} for ferplus, whose "
            "pictures come from the web; leave it out"
        )
    splits = [ferplus(root, split) for split in ("train", "valid")]
    return join_ferplus(*((load_images(split, cache=cache), split.samples) for split in splits))


def join_ferplus(train: LabelledFaces, valid: LabelledFaces) -> CroppedCorpus:
    """The two splits of FER+, each as (n, 48, 48) uint8 faces and their samples, as one corpus."""
    images = np.concatenate([train[0], valid[0]])  # (N, 48, 48)
    samples = (*train[1], *valid[1])
    labels = np.concatenate([PROTOCOLS["argmax"](train[1]), PROTOCOLS["majority"](valid[1])])
    test = np.arange(len(train[0]), len(images))
    labels[: len(train[0])][in_other(train[0], valid[0])] = -1  # copies of test pictures
    return CroppedCorpus(
        name="ferplus",
        images=images,
        targets=vote_shares(samples),
        labels=labels,
        persons=(None,) * len(samples),
        test=test,
        agreed=np.flatnonzero(PROTOCOLS["majority"](samples) >= 0),
    )


def _load_rafd(root: Path, cache: Path, cameras: str) -> CroppedCorpus:
    """The Radboud Faces Database, each face found and cut out upright."""
    return _cut("rafd", rafd(root, cameras), find_face, cache)


def _load_toy(root: Path, cache: Path, cameras: str) -> CroppedCorpus:
    """The drawn toy corpus, whose pictures already are faces."""
    return _cut("toy", rafd(root, cameras), lambda pixels: fit(pixels, FACE_INPUT), cache)


#: Corpus to the function that reads it from (root, folder of the cache, cameras).
CORPORA: Final[dict[str, Callable[[Path, Path, str], CroppedCorpus]]] = {
    "rafd": _load_rafd,
    "ferplus": _load_ferplus,
    "toy": _load_toy,
}


def load_corpus(name: str, root: Path | str, cache: Path | str, cameras: str = "frontal") -> CroppedCorpus:
    """The faces of a corpus of `CORPORA`, at its folder or zip `root`; those found are kept in `cache`.

    `cameras` are, of rafd and toy, "frontal" as in section 2.4, or "all" five.
    """
    require_choice("corpus", name, CORPORA)
    return CORPORA[name](Path(root), Path(cache), cameras)


def _cut(name: str, corpus: Corpus, cut: Callable[[Image], Image | None], cache: Path) -> CroppedCorpus:
    """A corpus with one label for each picture.

    Pictures without a face, and those that cannot be read, are left out and counted.
    """
    found = cut_faces(name, corpus, cut, cache)
    samples = tuple(corpus.samples[i] for i in found.kept)
    notes = list(corpus.notes)
    if damaged := found.damaged:
        notes.append(f"{len(damaged)} of {len(corpus)} pictures cannot be read: {list_few(damaged)}")
    if faceless := len(corpus) - len(samples) - len(damaged):
        notes.append(f"{faceless} of {len(corpus)} pictures left out: no face found")
    return CroppedCorpus(
        name=f"{name}/all" if corpus.name.endswith("/all") else name,
        images=found.crops,
        targets=vote_shares(samples),
        labels=PROTOCOLS["argmax"](samples),
        persons=tuple(sample.person for sample in samples),
        test=None,
        notes=tuple(notes),
    )
