"""The corpora that can be judged on and looked at, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mien.data.ckplus import ckplus
from mien.data.corpus import Corpus
from mien.data.fairface import fairface
from mien.data.fer2013 import fer2013
from mien.data.ferplus import ferplus
from mien.data.folder import folder
from mien.data.jaffe import jaffe
from mien.data.kdef import kdef
from mien.data.rafd import rafd
from mien.errors import ConfigError

SPLITS: Final = ("train", "valid", "test")


@dataclass(frozen=True, slots=True)
class Reader:
    """How a corpus is opened, and what stands in its pictures."""

    open: Callable[[Path, str | None], Corpus]  # root and split
    splits: bool = False  # whether it comes in SPLITS
    crops: bool = False  # whether its pictures already are faces
    votes: bool = False  # whether several people labelled each picture


READERS: Final[dict[str, Reader]] = {
    "ferplus": Reader(
        lambda root, split: ferplus(root, split or "valid"), splits=True, crops=True, votes=True
    ),
    "fer2013": Reader(lambda root, split: fer2013(root, split or "valid"), splits=True, crops=True),
    "rafd": Reader(lambda root, _: rafd(root)),
    "ckplus": Reader(lambda root, _: ckplus(root)),
    "jaffe": Reader(lambda root, _: jaffe(root)),
    "kdef": Reader(lambda root, _: kdef(root)),
    "toy": Reader(lambda root, _: rafd(root), crops=True),
    "fairface": Reader(lambda root, _: fairface(root)),
    "folder": Reader(lambda root, _: folder(root), crops=True),
}


def reader(name: str) -> Reader:
    """A reader by name.

    Raises:
        ConfigError: there is no such corpus; the message lists those there are.
    """
    if name not in READERS:
        raise ConfigError(f"--data: expected one of {', '.join(READERS)}, got {name!r}")
    return READERS[name]
