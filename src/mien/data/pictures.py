"""Pictures whose file names carry the labels: which files they are, what the names say, what is missing.

A corpus that is not there, or none of whose names can be read, is a `DataError`. One that is there
in part works, and `Corpus.notes` says what was expected and what is not there.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from mien.data.corpus import Corpus, CorpusStore, open_store
from mien.errors import DataError, ImageError
from mien.image import IMAGE_SUFFIXES, read_image
from mien.labels import EMOTIONS, parse_emotion
from mien.types import Image, Sample

_EXAMPLES: Final = 3  # names that a message gives where there are many


@dataclass(frozen=True, slots=True)
class Grid:
    """What a whole corpus holds: of each person, one picture for every combination of the axes."""

    persons: int
    axes: Mapping[str, tuple[str, ...]]  # axis, "emotion" or a tag, to its values

    @property
    def each(self) -> int:
        """Pictures of one person."""
        return len(self.cells())

    def cells(self) -> list[tuple[str, ...]]:
        """Every combination of the axes."""
        return list(itertools.product(*self.axes.values()))


def read_names(
    root: Path, pattern: re.Pattern[str], example: str, sample: Callable[[str, re.Match[str]], Sample]
) -> tuple[CorpusStore, list[Sample], list[str]]:
    """The store, a sample of each picture whose file name matches, and notes on those that do not.

    Args:
        root: folder or zip, folders nested at will.
        pattern: must match a whole file name.
        example: a name as it should be, for messages.
        sample: makes a sample of a path in the store and its match.

    Raises:
        DataError: nothing there, no picture, none with such a name, or the same file name twice.
    """
    store = open_store(root)
    pictures = [name for name in store.names() if is_picture(PurePosixPath(name))]
    matches = [(name, pattern.fullmatch(PurePosixPath(name).name)) for name in pictures]
    read = [(name, match) for name, match in matches if match]
    strange = [name for name, match in matches if not match]
    if not read:
        came = f"{len(strange)} of other names, such as {_few(strange)}" if strange else "no picture at all"
        raise DataError(
            f"{root}: expected pictures named like {example}, found {came}; check --data and --root"
        )
    _refuse_twice(root, [name for name, _ in read])
    notes = [f"{len(strange)} pictures not named like {example} were skipped: {_few(strange)}"]
    return store, [sample(name, match) for name, match in read], notes if strange else []


def is_picture(path: PurePosixPath) -> bool:
    """By its ending; macOS leaves `__MACOSX/` and `._name.jpg` in zips."""
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return path.suffix.lower() in IMAGE_SUFFIXES and not hidden


def one_vote(emotion: str) -> tuple[int, ...]:
    """(8,) votes of a single label, in any spelling that `labels.parse_emotion` knows."""
    label = parse_emotion(emotion)
    return tuple(int(label == other) for other in EMOTIONS)


def emotion_of(sample: Sample) -> str | None:
    """The emotion with most votes, the first of equals; None without a vote."""
    return EMOTIONS[sample.votes.index(max(sample.votes))] if any(sample.votes) else None


def read_picture(store: CorpusStore, name: str) -> Image:
    """The (H, W, 3) RGB picture.

    Raises:
        ImageError: it is gone or damaged; names the file.
    """
    try:
        return read_image(store.read(name)).pixels
    except KeyError as error:
        raise ImageError(f"{store.root}: {name} is not there any more; fetch the corpus again") from error
    except ImageError as error:
        raise type(error)(f"{store.root}: {name}: {error}") from error


def corpus_of(name: str, store: CorpusStore, samples: Sequence[Sample], notes: Sequence[str] = ()) -> Corpus:
    """A corpus whose samples are named by their files in the store; pictures are (H, W, 3) RGB."""
    return Corpus(name, tuple(samples), lambda sample: read_picture(store, sample.name), tuple(notes))


def gaps(samples: Sequence[Sample], grid: Grid, noun: str = "person") -> list[str]:
    """What is missing from a grid: persons, values that nobody has, then pictures of single persons."""
    held: dict[str, set[tuple[str, ...]]] = {}
    for s in samples:
        held.setdefault(s.person or "", set()).add(tuple(_value(s, axis) for axis in grid.axes))
    whole, found = grid.persons * grid.each, sum(map(len, held.values()))
    lines = [f"expected {whole} pictures, found {found}"] if found < whole else []
    if len(held) < grid.persons:
        lines.append(f"expected {grid.persons} {noun}s, found {len(held)}")
    absent = _absent(held, grid)
    lines += [f"{axis}: expected {', '.join(grid.axes[axis])}; missing {', '.join(v)}" for axis, v in absent]
    gone = {value for _, values in absent for value in values}
    return lines + _holes(held, [cell for cell in grid.cells() if not gone & set(cell)], noun)


def _value(sample: Sample, axis: str) -> str:
    return emotion_of(sample) or "" if axis == "emotion" else sample.tags[axis]


def _absent(held: Mapping[str, set[tuple[str, ...]]], grid: Grid) -> list[tuple[str, list[str]]]:
    """Each axis with values that no picture has, and those values."""
    cells = set().union(*held.values())
    seen = [{cell[i] for cell in cells} for i in range(len(grid.axes))]
    rows = [
        (axis, [v for v in values if v not in have])
        for (axis, values), have in zip(grid.axes.items(), seen, strict=True)
    ]
    return [(axis, values) for axis, values in rows if values]


def _holes(held: Mapping[str, set[tuple[str, ...]]], cells: list[tuple[str, ...]], noun: str) -> list[str]:
    """Persons without pictures that others have, the first few by name."""
    lacks = {p: [c for c in cells if c not in have] for p, have in sorted(held.items())}
    lacks = {p: lost for p, lost in lacks.items() if lost}
    lines = [
        f"{noun} {p}: missing {len(lost)} of {len(cells)}: {_few([' '.join(c) for c in lost])}"
        for p, lost in itertools.islice(lacks.items(), 10)
    ]
    if len(lacks) > 10:
        rest = sum(len(lost) for lost in list(lacks.values())[10:])
        lines.append(f"{len(lacks) - 10} more {noun}s: missing {rest} pictures")
    return lines


def _refuse_twice(root: Path, names: Sequence[str]) -> None:
    """The same file name in two folders would put one picture on both sides of a split."""
    first: dict[str, str] = {}
    for name in names:
        other = first.setdefault(PurePosixPath(name).name.lower(), name)
        if other != name:
            raise DataError(
                f"{root}: expected each picture once, found {other} and {name}; give the folder of one copy"
            )


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _EXAMPLES} more" if len(names) > _EXAMPLES else ""
    return ", ".join(names[:_EXAMPLES]) + more
