"""FER+ from the two files as they are published: pictures in `fer2013.csv`, votes in `fer2013new.csv`.

The two have the same rows in the same order. What comes out equals the official folder layout that
Microsoft's `generate_training_data.py` writes from them (github.com/microsoft/FERPlus): its names,
its order, and without the rows that have no picture name.

The pictures' file has 300 MB: it is gone through once, row by row, and only the places of a
split's rows are kept; a picture is read from its place.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from mien.data.corpus import Corpus
from mien.errors import ConfigError, DataError
from mien.labels import EMOTIONS
from mien.types import Image, Sample

PIXELS: Final = "fer2013.csv"
VOTES: Final = "fer2013new.csv"
#: Split to its name in the column Usage.
USAGES: Final = {"train": "Training", "valid": "PublicTest", "test": "PrivateTest"}
SIDE: Final = 48

_PIXEL_COLUMNS: Final = ("emotion", "pixels", "Usage")
_VOTE_COLUMNS: Final = ("Usage", "Image name", *EMOTIONS, "unknown", "NF")
_SOURCE: Final = {
    PIXELS: "it is the FER2013 challenge's file (Kaggle, ICML 2013)",
    VOTES: "it stands in github.com/microsoft/FERPlus",
}


class _Row(NamedTuple):
    """Where a row of the pictures' file lies."""

    line: int
    start: int  # bytes
    usage: str


def fer_csv(root: Path, split: str) -> Corpus:
    """One split of FER+ from the folder that holds both files.

    Raises:
        ConfigError: there is no such split.
        DataError: a file is missing, has other columns, or the two do not belong together.
    """
    if split not in USAGES:
        raise ConfigError(f"--split: expected one of {', '.join(USAGES)}, got {split!r}")
    pixels, votes = _find(root, PIXELS), _find(root, VOTES)
    columns = _columns(pixels, _PIXEL_COLUMNS)
    samples: list[Sample] = []
    places: dict[str, _Row] = {}
    for row, cells in _pairs(pixels, votes, columns.index("Usage")):
        name = cells["Image name"].strip()
        if row.usage != USAGES[split] or not name:  # no name: no picture, as in Microsoft's script
            continue
        samples.append(_sample(name, cells, f"{votes} line {row.line}"))
        places[name] = row
    if len(places) != len(samples) or not samples:
        raise DataError(
            f"{votes}: expected rows of usage {USAGES[split]} with a name each, "
            f"found {len(samples)} with {len(places)} names; fetch it again, {_SOURCE[VOTES]}"
        )
    column = columns.index("pixels")
    return Corpus(f"ferplus/{split}", tuple(samples), lambda s: _read(pixels, places[s.name], column))


def _find(root: Path, name: str) -> Path:
    path = root / name
    if not path.is_file():
        raise DataError(f"{path}: expected both {PIXELS} and {VOTES}, found no {name}; {_SOURCE[name]}")
    return path


def _columns(path: Path, wanted: tuple[str, ...]) -> list[str]:
    """The names in the first row, which must hold those wanted, in any order."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        found = [cell.strip() for cell in next(csv.reader([file.readline(4096)]), [])]
    missing = [name for name in wanted if name not in found]
    if missing:
        came = ", ".join(name[:20] for name in found[:12]) or "an empty line"
        raise DataError(
            f"{path}: expected the columns {', '.join(wanted)} in its first line, got {came}; "
            f"fetch it again, {_SOURCE[path.name]}"
        )
    return found


def _pairs(pixels: Path, votes: Path, usage: int) -> Iterator[tuple[_Row, dict[str, str]]]:
    """The rows of both files side by side."""
    names = _columns(votes, _VOTE_COLUMNS)
    with votes.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        file.readline()
        reader = csv.reader(file)
        labels = ((reader.line_num + 1, cells) for cells in reader if cells)
        for row, label in zip_longest(_rows(pixels, usage), labels):
            if row is None or label is None:
                raise DataError(
                    f"{pixels.parent}: expected as many rows in {PIXELS} as in {VOTES}, "
                    f"{PIXELS if row is None else VOTES} ends first; fetch it again, "
                    f"{_SOURCE[PIXELS if row is None else VOTES]}"
                )
            line, cells = label
            if len(cells) != len(names):
                raise DataError(f"{votes} line {line}: expected {len(names)} cells, got {len(cells)}")
            found = dict(zip(names, cells, strict=True))
            if found["Usage"].strip() != row.usage:
                raise DataError(
                    f"{votes} line {line}: expected the usage {row.usage} of {PIXELS} line {row.line}, "
                    f"got {found['Usage']}; the two files do not belong together, fetch both again"
                )
            yield row, found


def _rows(path: Path, usage: int) -> Iterator[_Row]:
    """The rows of the pictures' file after its first; no cell holds a comma or an end of line."""
    with path.open("rb") as file:
        start = len(file.readline())
        for line, text in enumerate(file, 2):
            if text.strip():
                cells = text.split(b",")
                yield _Row(line, start, _text(cells[usage]) if usage < len(cells) else "")
            start += len(text)


def _sample(name: str, cells: dict[str, str], where: str) -> Sample:
    try:
        counts = [int(float(cells[column])) for column in _VOTE_COLUMNS[2:]]
    except ValueError as error:
        raise DataError(f"{where}: expected ten vote counts, got {error}") from error
    return Sample(name=name, votes=tuple(counts[:8]), unknown=counts[8], not_face=counts[9])


def _read(path: Path, row: _Row, column: int) -> Image:
    """The (48, 48) gray picture of a row."""
    with path.open("rb") as file:
        file.seek(row.start)
        cells = file.readline().split(b",")
    try:
        levels = bytes(map(int, _text(cells[column]).split()))  # ValueError outside 0..255
        return np.frombuffer(levels, np.uint8).reshape(SIDE, SIDE)  # ValueError unless 48 x 48
    except (ValueError, IndexError) as error:
        raise DataError(
            f"{path} line {row.line}: expected {SIDE * SIDE} gray levels of 0..255, got others ({error}); "
            f"fetch it again, {_SOURCE[PIXELS]}"
        ) from error


def _text(cell: bytes) -> str:
    return cell.decode("ascii", "replace").strip().strip('"')
