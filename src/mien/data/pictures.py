"""Pictures whose file names carry the labels: which files they are, what the names say, what is missing.

A corpus that is not there, or none of whose names can be read, is a `DataError`. One that is there
in part works, and `Corpus.notes` says what was expected and what is not there.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import Final
from unicodedata import normalize

from mien.data.corpus import Corpus, CorpusStore, open_store
from mien.errors import DataError, ImageError, list_few
from mien.image import read_image
from mien.labels import EMOTIONS, parse_emotion
from mien.media import IMAGE_SUFFIXES
from mien.types import Image, Sample

#: Each axis, "emotion" or a tag, to its values; of each person there is one picture of every combination.
Axes = Mapping[str, tuple[str, ...]]
Cell = tuple[str, ...]  # a value of each axis
_PICTURE_COLUMNS: Final = ("file", "image")  # of a table, that name the picture


def read_names(
    root: Path | str, pattern: re.Pattern[str], example: str, sample: Callable[[str, re.Match[str]], Sample]
) -> tuple[CorpusStore, list[Sample], list[str]]:
    """The store, a sample of each picture whose whole file name matches, and notes on those that do not.

    Folders may be nested at will. `example` is a name as it should be, for messages; `sample` makes a sample
    of a path in the store and its match.

    Raises:
        DataError: nothing there, no picture, none with such a name, or the same file name twice.
    """
    store = open_store(root)
    pictures = [name for name in store.names() if is_picture(PurePosixPath(name))]
    samples: list[Sample] = []
    strange: list[str] = []
    first: dict[str, str] = {}
    for name in pictures:
        base = PurePosixPath(name).name
        match = pattern.fullmatch(base)
        if match is None:
            strange.append(name)
            continue
        # the same file name in two folders would put one picture on both sides of a split
        other = first.setdefault(base.lower(), name)
        if other != name:
            raise DataError(
                f"{root}: expected each picture once, found {other} and {name}; give the folder of one copy"
            )
        samples.append(sample(name, match))
    if not samples:
        came = (
            f"{len(strange)} of other names, such as {list_few(strange)}" if strange else "no picture at all"
        )
        raise DataError(
            f"{root}: expected pictures named like {example}, found {came}; check --data and --root"
        )
    notes = [f"{len(strange)} pictures not named like {example} were skipped: {list_few(strange)}"]
    return store, samples, notes if strange else []


def read_tables(store: CorpusStore, columns: Sequence[str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """(path in the store, row) of each picture named in a .csv with these columns and `file` or `image`.

    The pictures are beside the table or in its folder `images`. Cells may be separated by commas, semicolons
    or tabs, as spreadsheets of many countries write them.

    Raises:
        DataError: pictures that a table names are not there, or one is named twice.
    """
    names = {normalize("NFC", name): name for name in store.names()}  # macOS writes ä as a and two dots
    named: dict[str, str] = {}  # picture to its table
    for table in sorted(name for name in names.values() if name.lower().endswith(".csv")):
        data = store.read(table)
        encoding = "utf-16" if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig"
        text = io.StringIO(data.decode(encoding, "replace"), newline="")
        head = text.readline()
        delimiter = max(",;\t", key=head.count)
        keys = [name.strip().lower() for name in next(csv.reader([head], delimiter=delimiter), [])]
        column = next((name for name in _PICTURE_COLUMNS if name in keys), None)
        if column is None or not set(columns) <= set(keys):
            continue
        if twice := [name for name in (column, *columns) if keys.count(name) > 1]:
            raise DataError(f"{store.root}: {table} has two columns {twice[0]}; leave the one that counts")
        folder, absent, present = table.rpartition("/")[0], [], 0
        for row in csv.DictReader(text, keys, restval="", delimiter=delimiter):
            if not any(row.values()):  # as spreadsheets leave them below the last
                continue
            file = row[column].strip().replace("\\", "/")
            places = [normpath(f"{folder}/{inner}{file}".lstrip("/")) for inner in ("", "images/")]
            place = next((names[nfc] for one in places if (nfc := normalize("NFC", one)) in names), None)
            if place is None:
                absent.append(file)
                continue
            if place in named:
                raise DataError(
                    f"{store.root}: expected each picture once, {place} stands in {named[place]} and again "
                    f"in {table}; take one out"
                )
            named[place], present = table, present + 1
            yield place, row
        if absent:
            raise DataError(
                f"{store.root}: {table} names {len(absent) + present} pictures, {len(absent)} of them are "
                f"not there, such as {list_few(absent)}; expected paths from the table's folder"
            )


def is_picture(path: PurePosixPath) -> bool:
    """By its ending, and not hidden."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not is_hidden(path)


def is_hidden(path: PurePosixPath) -> bool:
    """By its name or a folder's; macOS leaves `__MACOSX/` and `._name.jpg` in zips."""
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def one_vote(emotion: str) -> tuple[int, ...]:
    """(8,) votes of a single label, in any spelling that `labels.parse_emotion` knows."""
    label = parse_emotion(emotion)
    return tuple(int(label == other) for other in EMOTIONS)


def emotion_of(sample: Sample) -> str | None:
    """The emotion with most votes, the first of equals; None without a vote."""
    return EMOTIONS[sample.votes.index(max(sample.votes))] if any(sample.votes) else None


def corpus_of(name: str, store: CorpusStore, samples: Sequence[Sample], notes: Sequence[str] = ()) -> Corpus:
    """A corpus whose samples are named by their files in the store; pictures are (H, W, 3) RGB.

    Reading one that is gone or damaged raises an `ImageError` that names the file.
    """

    def read(sample: Sample) -> Image:
        place = f"{store.root}: {sample.name}"
        try:
            return read_image(store.read(sample.name)).pixels
        except KeyError as error:
            raise ImageError(f"{place} is not there any more; fetch the corpus again") from error
        except ImageError as error:
            raise type(error)(f"{place}: {error}") from error

    return Corpus(name, tuple(samples), read, tuple(notes))


def gaps(samples: Sequence[Sample], persons: int, axes: Axes, noun: str = "person") -> list[str]:
    """What is missing of a corpus of so many persons: persons, values that nobody has, single pictures."""
    held: dict[str, set[Cell]] = {}
    for sample in samples:
        values = {**sample.tags, "emotion": emotion_of(sample) or ""}
        held.setdefault(sample.person or "", set()).add(tuple(values[axis] for axis in axes))
    cells = list(itertools.product(*axes.values()))
    lines = []
    found = sum(map(len, held.values()))
    if found < persons * len(cells):
        lines.append(f"expected {persons * len(cells)} pictures, found {found}")
    if len(held) < persons:
        lines.append(f"expected {persons} {noun}s, found {len(held)}")
    # values that no picture has
    absent: set[str] = set()
    for i, (axis, values_of) in enumerate(axes.items()):
        seen = {cell[i] for have in held.values() for cell in have}
        if missing := [value for value in values_of if value not in seen]:
            lines.append(f"{axis}: expected {', '.join(values_of)}; missing {', '.join(missing)}")
            absent.update(missing)
    # persons without pictures that others have, the first few by name
    cells = [cell for cell in cells if not absent & set(cell)]
    lacks = {p: lost for p, have in sorted(held.items()) if (lost := [c for c in cells if c not in have])}
    for person, lost in list(lacks.items())[:10]:
        named = list_few([" ".join(cell) for cell in lost])
        lines.append(f"{noun} {person}: missing {len(lost)} of {len(cells)}: {named}")
    if len(lacks) > 10:
        rest = sum(len(lost) for lost in list(lacks.values())[10:])
        lines.append(f"{len(lacks) - 10} more {noun}s: missing {rest} pictures")
    return lines
