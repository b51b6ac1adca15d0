"""Corpora: one file each, giving a `Corpus` of `Sample`s, and here by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mien.data.ckplus import ckplus
from mien.data.corpus import Corpus
from mien.data.fairface import fairface
from mien.data.fer import USAGES, fer2013, ferplus
from mien.data.folder import folder
from mien.data.posed import jaffe, kdef, rafd
from mien.errors import require_choice

SPLITS: Final = tuple(USAGES)  # train, valid, test


@dataclass(frozen=True, slots=True)
class CorpusReader:
    """How a corpus is opened, and what its pictures are."""

    read: Callable[..., Corpus]  # takes root and, where the corpus has some, a split or a selection
    splits: bool = False  # whether it comes in SPLITS
    cameras: bool = False  # whether it is read frontal, or from all angles by the selection "all"
    crops: bool | None = False  # whether its pictures already are faces; None: the size of each tells
    votes: bool = False  # whether several people labelled each picture

    def open(self, root: Path | str, split: str | None = None) -> Corpus:
        """The corpus, or one of its splits; None: valid."""
        return self.read(root, split or "valid") if self.splits else self.read(root)

    def open_whole(self, root: Path | str) -> Corpus:
        """A corpus without splits, from all angles."""
        return self.read(root, "all") if self.cameras else self.read(root)

    def choose_detection(self, asked: bool | None) -> bool | None:
        """Whether faces are looked for in its pictures; None: in the large ones."""
        return asked if asked is not None or self.crops is None else not self.crops


CORPUS_READERS: Final[dict[str, CorpusReader]] = {
    "ferplus": CorpusReader(ferplus, splits=True, crops=True, votes=True),
    "fer2013": CorpusReader(fer2013, splits=True, crops=True),
    "rafd": CorpusReader(rafd, cameras=True),
    "ckplus": CorpusReader(ckplus),
    "jaffe": CorpusReader(jaffe),
    "kdef": CorpusReader(kdef, cameras=True),
    "toy": CorpusReader(rafd, cameras=True, crops=True),
    "fairface": CorpusReader(fairface),
    "folder": CorpusReader(folder, crops=None),
}


def find_reader(name: str) -> CorpusReader:
    """A reader by name; ConfigError lists those there are."""
    require_choice("--data", name, CORPUS_READERS)
    return CORPUS_READERS[name]
