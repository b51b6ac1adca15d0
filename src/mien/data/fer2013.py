"""FER2013 with its own labels, from `fer2013.csv`: emotion, pixels, Usage.

Goodfellow et al., "Challenges in Representation Learning: A report on three machine learning
contests", arXiv:1307.0414, 2013: 35,887 faces of 48 x 48 gray, seven emotions. `fer_csv` reads the
same pictures with the votes of FER+.

The file has 300 MB: it is gone through once, row by row, and only the places of a split's rows are
kept; a picture is read from its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from mien.data.corpus import Corpus
from mien.data.fer_csv import SIDE, USAGES
from mien.data.pictures import one_vote
from mien.errors import ConfigError, DataError
from mien.types import Image, Sample

FILE: Final = "fer2013.csv"
#: The numbers in the column emotion.
CODES: Final = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
#: Rows of a split (arXiv:1307.0414, section 2.2).
ROWS: Final = {"train": 28_709, "valid": 3_589, "test": 3_589}

_COLUMNS: Final = ("emotion", "pixels", "Usage")


def fer2013(root: Path, split: str) -> Corpus:
    """One split of FER2013; pictures are (48, 48) gray, names `row00002` by the file's lines.

    `pictures.missing` says how many rows a file that was cut short lacks.

    Args:
        root: `fer2013.csv` or the folder that holds it.
        split: train, valid (PublicTest) or test (PrivateTest).

    Raises:
        ConfigError: there is no such split.
        DataError: no such file, other columns, a row that cannot be read, or none of the split.
    """
    if split not in USAGES:
        raise ConfigError(f"--split: expected one of {', '.join(USAGES)}, got {split!r}")
    path = root / FILE if root.is_dir() else root
    order = _order(path)
    samples: list[Sample] = []
    places: dict[str, int] = {}
    for line, start, code, usage in _rows(path, order):
        if usage == USAGES[split]:
            samples.append(_sample(code, line, path))
            places[samples[-1].name] = start
    if not samples:
        raise DataError(f"{path}: expected rows of usage {USAGES[split]}, found none; is it cut short?")
    lost = len(samples) < ROWS[split]
    notes = (f"expected {ROWS[split]} rows of usage {USAGES[split]}, found {len(samples)}",) if lost else ()
    column = order.index("pixels")

    def read(sample: Sample) -> Image:
        return _read(path, sample.name, places[sample.name], column)

    return Corpus(f"fer2013/{split}", tuple(samples), read, notes)


def _order(path: Path) -> list[str]:
    """The columns' names, in the file's order (Kaggle has given it in two)."""
    try:
        with path.open("rb") as file:
            first = file.readline(4096)
    except OSError as error:
        raise DataError(
            f"{path}: expected the FER2013 challenge's {FILE} ({error.strerror}); check --root"
        ) from error
    order = [_text(cell) for cell in first.removeprefix(b"\xef\xbb\xbf").split(b",")]
    lost = [name for name in _COLUMNS if name not in order]
    if lost:
        raise DataError(f"{path}: expected the columns {', '.join(_COLUMNS)}, got {','.join(order)[:80]!r}")
    return order


def _rows(path: Path, order: list[str]) -> Iterator[tuple[int, int, str, str]]:
    """Line number, start in bytes, emotion and usage of every row."""
    emotion, usage = order.index("emotion"), order.index("Usage")
    with path.open("rb") as file:
        start = len(file.readline())
        for line, text in enumerate(file, 2):
            cells = text.split(b",")
            if len(cells) == len(order):
                yield line, start, _text(cells[emotion]), _text(cells[usage])
            elif text.strip():
                raise DataError(f"{path} line {line}: expected {len(order)} cells, got {len(cells)}")
            start += len(text)


def _sample(code: str, line: int, path: Path) -> Sample:
    if code not in "0123456" or len(code) != 1:
        raise DataError(f"{path} line {line}: expected an emotion from 0 to 6, got {code!r}")
    return Sample(f"row{line:05d}", votes=one_vote(CODES[int(code)]))


def _read(path: Path, name: str, start: int, column: int) -> Image:
    """The (48, 48) gray picture of the row that starts there."""
    with path.open("rb") as file:
        file.seek(start)
        cells = file.readline().split(b",")
    try:
        levels = bytes(map(int, _text(cells[column]).split()))  # ValueError outside 0..255
        return np.frombuffer(levels, np.uint8).reshape(SIDE, SIDE)  # ValueError unless 48 x 48
    except (ValueError, IndexError) as error:
        raise DataError(f"{path}: {name}: expected {SIDE * SIDE} gray levels of 0..255 ({error})") from error


def _text(cell: bytes) -> str:
    return cell.decode("ascii", "replace").strip().strip('"')
