"""FER2013's pictures, with its own labels or with the votes of FER+.

FER2013: Goodfellow et al., "Challenges in Representation Learning: A report on three machine learning
contests", arXiv:1307.0414, 2013: 35,887 faces of 48 x 48 gray, seven emotions, in one `fer2013.csv`.
FER+: Barsoum et al., "Training Deep Networks for Facial Expression Recognition with Crowd-Sourced Label
Distribution", arXiv:1608.01041; ten people voted on every picture. It comes as a folder per split with the
pictures and a `label.csv`, or as `fer2013new.csv` beside `fer2013.csv`, both with the same rows in the same
order. What is read from these two equals what Microsoft's `generate_training_data.py` makes of them
(github.com/microsoft/FERPlus): its names, its order, and without the rows that have no picture name.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from mien.data.corpus import Corpus, CorpusStore, open_store
from mien.data.pictures import one_vote
from mien.errors import DataError, require_choice
from mien.image import read_image
from mien.labels import EMOTIONS
from mien.types import Image, Sample

PIXELS: Final = "fer2013.csv"
VOTES: Final = "fer2013new.csv"
#: Split to its name in the column Usage, and to its folder in FER+'s official layout.
USAGES: Final = {"train": "Training", "valid": "PublicTest", "test": "PrivateTest"}
FOLDERS: Final = {"train": "FER2013Train", "valid": "FER2013Valid", "test": "FER2013Test"}
#: Rows of a split of FER2013 (arXiv:1307.0414, section 2.2), and the numbers in its column emotion.
ROWS: Final = {"train": 28_709, "valid": 3_589, "test": 3_589}
CODES: Final = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
SIDE: Final = 48

_VOTES: Final = len(EMOTIONS) + 2  # the emotions in Mien's order, then unknown, then not a face
_PIXEL_COLUMNS: Final = ("emotion", "pixels", "Usage")
_VOTE_COLUMNS: Final = ("Usage", "Image name", *EMOTIONS, "unknown", "NF")
_SOURCE: Final = {  # for messages
    PIXELS: "it is the FER2013 challenge's file (Kaggle, ICML 2013)",
    VOTES: "it is in github.com/microsoft/FERPlus",
}


def ferplus(root: Path | str, split: str) -> Corpus:
    """One split of FER+ from a folder, a zip of it, or the folder of the two CSV files; (48, 48) gray.

    Raises:
        ConfigError: there is no such split.
        DataError: neither layout is there, a file has other columns or a malformed row, or the two CSV files
            do not belong together.
    """
    require_choice("--split", split, USAGES)
    root = Path(root)
    if root.is_dir() and (root / VOTES).is_file():
        return _ferplus_csv(root, split)
    store = open_store(root)
    folder = _folder_of(store, split)
    rows = csv.reader(io.StringIO(store.read(f"{folder}/label.csv").decode("utf-8-sig", "replace")))
    samples: list[Sample] = []
    for line, row in enumerate(rows, 1):
        if row:  # a file name, a crop box (absent in what Microsoft's own script writes), ten votes
            votes = row[2:] if len(row) == _VOTES + 2 else row[1:]
            samples.append(_sample(row[0], votes, f"{root}: {folder}/label.csv line {line}"))
    if len({sample.name for sample in samples}) < len(samples):
        raise DataError(f"{root}: expected each picture once in {folder}/label.csv, some stand there twice")

    def read(sample: Sample) -> Image:
        try:
            data = store.read(f"{folder}/{sample.name}")
        except KeyError as error:
            raise DataError(
                f"{root}: {folder}/{sample.name} stands in label.csv but is not there; is the download whole?"
            ) from error
        return read_image(data).pixels[:, :, 0]  # (48, 48, 3) -> (48, 48): the pictures are gray

    return Corpus(f"ferplus/{split}", tuple(samples), read)


def fer2013(root: Path | str, split: str) -> Corpus:
    """One split of FER2013 with its own labels; pictures are (48, 48) gray, named `row00002` by their lines.

    `root` is `fer2013.csv` or the folder that holds it; `Corpus.notes` says how many rows a file that was cut
    short lacks.
    """
    require_choice("--split", split, USAGES)
    root = Path(root)
    table = _PixelTable(root / PIXELS if root.is_dir() else root)
    samples: list[Sample] = []
    places: dict[str, _Row] = {}
    for row in table.rows():
        if row.usage != USAGES[split]:
            continue
        if row.emotion not in tuple("0123456"):
            raise DataError(
                f"{table.path} line {row.line}: expected an emotion from 0 to 6, got {row.emotion!r}"
            )
        name = f"row{row.line:05d}"
        samples.append(Sample(name, votes=one_vote(CODES[int(row.emotion)])))
        places[name] = row
    found, wanted = len(samples), ROWS[split]
    if not found:
        raise DataError(f"{table.path}: expected rows of usage {USAGES[split]}, found none; is it cut short?")
    notes = (f"expected {wanted} rows of usage {USAGES[split]}, found {found}",) if found < wanted else ()
    return Corpus(f"fer2013/{split}", tuple(samples), lambda s: table.read(places[s.name]), notes)


def _ferplus_csv(root: Path, split: str) -> Corpus:
    """FER+ from the two CSV files."""
    table, votes = _PixelTable(root / PIXELS), root / VOTES
    samples: list[Sample] = []
    places: dict[str, _Row] = {}
    for row, cells in _pairs(table, votes):
        name = cells["Image name"].strip()
        if row.usage == USAGES[split] and name:  # no name: no picture, as in Microsoft's script
            counts = [cells[column] for column in _VOTE_COLUMNS[2:]]
            samples.append(_sample(name, counts, f"{votes} line {row.line}"))
            places[name] = row
    if len(places) != len(samples) or not samples:
        raise DataError(
            f"{votes}: expected rows of usage {USAGES[split]} with a name each, "
            f"found {len(samples)} with {len(places)} names; fetch it again, {_SOURCE[VOTES]}"
        )
    return Corpus(f"ferplus/{split}", tuple(samples), lambda s: table.read(places[s.name]))


class _Row(NamedTuple):
    """A row of the pictures' file, without its pixels."""

    line: int
    start: int  # bytes
    emotion: str
    usage: str


class _PixelTable:
    """`fer2013.csv`, of 300 MB: gone through once, row by row; a picture is read from its row's place."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._columns = _columns(path, _PIXEL_COLUMNS)  # Kaggle has given them in two orders

    def rows(self) -> Iterator[_Row]:
        """Every row after the first; no cell holds a comma or an end of line."""
        emotion, usage = self._columns.index("emotion"), self._columns.index("Usage")
        with self.path.open("rb") as file:
            start = len(file.readline())
            for line, text in enumerate(file, 2):
                cells = text.split(b",")
                if len(cells) == len(self._columns):
                    yield _Row(line, start, _text(cells[emotion]), _text(cells[usage]))
                elif text.strip():
                    raise DataError(
                        f"{self.path} line {line}: expected {len(self._columns)} cells, got {len(cells)}"
                    )
                start += len(text)

    def read(self, row: _Row) -> Image:
        """The (48, 48) gray picture of a row."""
        with self.path.open("rb") as file:
            file.seek(row.start)
            cells = file.readline().split(b",")
        try:
            levels = bytes(map(int, _text(cells[self._columns.index("pixels")]).split()))  # each of 0..255
            return np.frombuffer(levels, np.uint8).reshape(SIDE, SIDE)
        except (ValueError, IndexError) as error:
            raise DataError(
                f"{self.path} line {row.line}: expected {SIDE * SIDE} gray levels of 0..255, got others "
                f"({error}); fetch it again, {_SOURCE[PIXELS]}"
            ) from error


def _pairs(table: _PixelTable, votes: Path) -> Iterator[tuple[_Row, dict[str, str]]]:
    """The rows of both files side by side, those of the votes by column."""
    names = _columns(votes, _VOTE_COLUMNS)
    with votes.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        file.readline()
        reader = csv.reader(file)
        labels = ((reader.line_num + 1, cells) for cells in reader if cells)
        for row, label in zip_longest(table.rows(), labels):
            if row is None or label is None:
                shorter = PIXELS if row is None else VOTES
                raise DataError(
                    f"{votes.parent}: expected as many rows in {PIXELS} as in {VOTES}, {shorter} ends first; "
                    f"fetch it again, {_SOURCE[shorter]}"
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


def _columns(path: Path, wanted: tuple[str, ...]) -> list[str]:
    """The names in the first row, which must hold those wanted, in any order."""
    source = _SOURCE.get(path.name, _SOURCE[PIXELS])
    if not path.is_file():
        raise DataError(
            f"{path}: expected {PIXELS} (for FER+ beside {VOTES}), found no {path.name}; {source}"
        )
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        found = [cell.strip() for cell in next(csv.reader([file.readline(4096)]), [])]
    if not set(wanted) <= set(found):
        came = ", ".join(name[:20] for name in found[:12]) or "an empty line"
        raise DataError(
            f"{path}: expected the columns {', '.join(wanted)} in its first line, got {came}; "
            f"fetch it again, {source}"
        )
    return found


def _folder_of(store: CorpusStore, split: str) -> str:
    """The split's folder in FER+'s official layout, at the root or one level below it."""
    wanted = f"{FOLDERS[split]}/label.csv"
    names = store.names()
    found = [name for name in names if name == wanted or name.endswith(f"/{wanted}")]
    if not found:
        present = [s for s, f in FOLDERS.items() if any(f"{f}/label.csv" in name for name in names)]
        raise DataError(
            f"{store.root}: expected {wanted} in it for split {split!r}, found "
            f"{'only split ' + ', '.join(present) if present else 'no FER+ split at all'}; "
            f"give the folder or zip that holds {', '.join(FOLDERS.values())}"
        )
    return found[0].removesuffix("/label.csv")


def _sample(name: str, counts: Sequence[str], where: str) -> Sample:
    try:
        votes = [int(float(count)) for count in counts]
    except (ValueError, OverflowError):  # text, or infinity
        votes = []
    if len(votes) != _VOTES or min(votes) < 0:
        raise DataError(f"{where}: expected ten vote counts behind the name, got {','.join(counts)!r}")
    return Sample(name=name, votes=tuple(votes[:8]), unknown=votes[8], not_face=votes[9])


def _text(cell: bytes) -> str:
    return cell.decode("ascii", "replace").strip().strip('"')
