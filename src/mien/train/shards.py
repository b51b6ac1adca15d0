"""A corpus into shards, and training from them: for sets that neither memory nor a disk here holds.

Legend: N pictures, S the side of a face.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mien.data.audit import digest
from mien.data.corpus import Corpus
from mien.data.readers import READERS, reader
from mien.data.shards import Labelled, Shards, open_shards, write_shards
from mien.data.splits import Indices, by_person, stratified
from mien.errors import ConfigError
from mien.evaluate.protocol import PROTOCOLS
from mien.faces.preprocess import fit
from mien.paper.material import CARD
from mien.train.recipes import Recipe, vote_shares
from mien.types import Floats, Image

if TYPE_CHECKING:
    from mien.train.stream import Stream

#: What `--data` calls them.
SHARDS: Final = "shards"
_HELD: Final = 0.1  # of a corpus without splits, kept to judge


def make_shards(data: str, root: Path, folder: Path, *, size: int = 1000, seed: int = 0) -> dict[str, int]:
    """Write the splits train and valid of a corpus of faces; gives the number of pictures in each.

    Where the corpus has no splits, a tenth of its persons (or of its pictures) is valid. Pictures without a
    label are left out, and of train those that equal one of valid in every pixel. They are written in a
    random order: a corpus lies sorted, and a reader mixes no further than its buffer.

    Args:
        data: a name in `READERS` whose pictures already are faces.
        root: folder or zip of the corpus.
        folder: of the shards; it is made.
        size: pictures in a shard.
        seed: of the order and of the split.

    Raises:
        ConfigError: there is no such corpus, or its pictures are not faces.
        DataError: the corpus is not at `root`, or a split of it has no labelled picture.
        OutputError: a shard cannot be written.
    """
    if not reader(data).crops:
        crops = ", ".join(name for name, known in READERS.items() if known.crops)
        raise ConfigError(f"--data: shards hold faces, expected one of {crops}, got {data!r}")
    train, valid = _splits(data, root, seed)
    held = {digest(valid.read(sample)) for sample in valid.samples}
    fresh = ((image, sample) for image, sample in _mixed(train, seed) if digest(image) not in held)
    return {
        "valid": write_shards(data, "valid", _mixed(valid, seed), folder, size=size),
        "train": write_shards(data, "train", fresh, folder, size=size),
    }


def shards_task(recipe: Recipe, root: Path, device: str) -> tuple[Stream, dict[str, Any]]:
    """The task of a recipe that learns from the shards in a folder, and facts for its provenance.

    Raises:
        ConfigError: the recipe leans on teachers, who answer to pictures that stay where they are.
        DataError: there are no shards of train and valid.
    """
    import torch

    from mien.train.stream import Stream
    from mien.train.supervised import judge_on, loss_of

    if recipe.lean:
        raise ConfigError(f"recipe {recipe.name!r}: learns from teachers, who cannot label --data {SHARDS}")
    train, valid = (open_shards(root, split) for split in ("train", "valid"))
    pairs = [(fit(pixels, CARD), sample) for pixels, sample in valid.read(0)]
    held = np.stack([face for face, _ in pairs])  # (N, S, S)
    task = Stream(
        pictures=len(train),
        read=lambda seed, start, stop: _lessons(train, seed, start, stop),
        loss=loss_of(recipe),
        judge=judge_on(held, [sample for _, sample in pairs], device),
        device=torch.device(device),
    )
    return task, {
        "corpus": train.name,
        "data": train.hash,
        "pictures": len(train),
        "recipe": f"mien train {recipe.name} --data {SHARDS} --seed {recipe.loop.seed}",
    }


def _lessons(shards: Shards, seed: int, start: int, stop: int) -> Iterator[tuple[Image, Floats]]:
    """Faces as the network takes them, with what they show."""
    for pixels, sample in shards.read(seed, start, stop):
        yield fit(pixels, CARD), vote_shares((sample,))[0]


def _splits(data: str, root: Path, seed: int) -> tuple[Corpus, Corpus]:
    """What trains and what judges."""
    found = reader(data)
    if found.splits:
        return found.open(root, "train"), found.open(root, "valid")
    corpus, shares = found.open(root, None), (1 - _HELD, _HELD)
    labels = PROTOCOLS["argmax"](corpus.samples)
    persons = tuple(sample.person for sample in corpus.samples)
    if None in persons:
        train, valid = stratified(labels, shares, seed=seed)
    else:
        train, valid = by_person(persons, labels, shares, seed=seed)
    return _of(corpus, train), _of(corpus, valid)


def _of(corpus: Corpus, which: Indices) -> Corpus:
    return replace(corpus, samples=tuple(corpus.samples[i] for i in which))


def _mixed(corpus: Corpus, seed: int) -> Iterator[Labelled]:
    """The labelled pictures in a random order."""
    labelled = np.flatnonzero(PROTOCOLS["argmax"](corpus.samples) >= 0)
    for sample in _of(corpus, np.random.default_rng(seed).permutation(labelled)).samples:
        yield corpus.read(sample), sample
