"""FER+ in its official layout: a folder per split with the pictures and a `label.csv`.

Barsoum et al., "Training Deep Networks for Facial Expression Recognition with Crowd-Sourced
Label Distribution", arXiv:1608.01041; ten people voted on every FER2013 picture.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Final

from mien.data.corpus import Corpus, Store, open_store
from mien.errors import ConfigError, DataError
from mien.image import read_image
from mien.types import Image, Sample

#: Split to its folder in the official layout.
SPLITS: Final = {"train": "FER2013Train", "valid": "FER2013Valid", "test": "FER2013Test"}
_VOTES: Final = 10  # eight emotions in Mien's order, then unknown, then not a face


def ferplus(root: Path, split: str) -> Corpus:
    """One split of FER+ from a folder, a zip of it, or the two CSV files (see `fer_csv`).

    Raises:
        DataError: the layout is not there or a label row is malformed.
        ConfigError: there is no such split.
    """
    if split not in SPLITS:
        raise ConfigError(f"--split: expected one of {', '.join(SPLITS)}, got {split!r}")
    if root.is_dir() and (root / "fer2013new.csv").is_file():
        from mien.data.fer_csv import fer_csv

        return fer_csv(root, split)
    store = open_store(root)
    folder = _folder_of(store, split)
    samples = tuple(_samples(store, f"{folder}/label.csv"))
    return Corpus(f"ferplus/{split}", samples, lambda sample: _read(store, f"{folder}/{sample.name}"))


def _folder_of(store: Store, split: str) -> str:
    """The split's folder, at the root or one level below it."""
    wanted = f"{SPLITS[split]}/label.csv"
    found = [name for name in store.names() if name == wanted or name.endswith(f"/{wanted}")]
    if not found:
        present = [s for s, f in SPLITS.items() if any(f"{f}/label.csv" in n for n in store.names())]
        raise DataError(
            f"{store.root}: expected {wanted} in it for split {split!r}, found "
            f"{'only split ' + ', '.join(present) if present else 'no FER+ split at all'}; "
            "give the folder or zip that holds FER2013Train, FER2013Valid, FER2013Test"
        )
    return found[0].removesuffix("/label.csv")


def _samples(store: Store, name: str) -> list[Sample]:
    text = store.read(name).decode("utf-8-sig")
    rows = csv.reader(io.StringIO(text))
    return [_sample(row, f"{store.root}: {name} line {line}") for line, row in enumerate(rows, 1) if row]


def _sample(row: list[str], where: str) -> Sample:
    """One row: file name, crop box (absent in what Microsoft's own script writes), ten votes."""
    cells = row[2:] if len(row) == _VOTES + 2 else row[1:]
    try:
        votes = [int(float(cell)) for cell in cells]
    except ValueError:
        votes = []
    if len(votes) != _VOTES:
        raise DataError(
            f"{where}: expected a file name, a box (or none) and {_VOTES} vote counts, got {','.join(row)!r}"
        )
    return Sample(name=row[0], votes=tuple(votes[:8]), unknown=votes[8], not_face=votes[9])


def _read(store: Store, name: str) -> Image:
    try:
        data = store.read(name)
    except KeyError as error:
        raise DataError(
            f"{store.root}: {name} stands in label.csv but is not there; is the download whole?"
        ) from error
    return read_image(data).pixels[:, :, 0]  # (48, 48, 3) -> (48, 48): the pictures are gray
