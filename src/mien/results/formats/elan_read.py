"""Annotations of ELAN's EAF back to rows: those that Mien wrote, as they were corrected, or those of people.

A tier counts when all that stands on it names one of the eight emotions; other tiers are left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final
from xml.parsers import expat

from mien.errors import DataError
from mien.labels import parse_emotion
from mien.results.formats.elan import SOURCE
from mien.results.formats.runs import Run
from mien.results.formats.steps import KNOWN, to_rows
from mien.results.formats.wish import Wish
from mien.results.rows import Row

_OURS: Final = re.compile(r"face(?: (\d{1,9}))? (expression|uncertain|event .+)")

#: Start slot, end slot, value.
Annotation = tuple[str, str, str]


@dataclass(slots=True)
class _Eaf:
    """What an EAF holds, filled by the parser's calls."""

    slots: dict[str, int] = field(default_factory=dict)  # milliseconds
    tiers: dict[str, list[Annotation]] = field(default_factory=dict)
    source: str | None = None
    root: str | None = None
    _tier: str = ""
    _ends: tuple[str, str] | None = None
    _property: str | None = None
    _text: list[str] = field(default_factory=list)

    def start(self, tag: str, has: dict[str, str]) -> None:
        self.root = self.root or tag
        if tag == "TIME_SLOT" and "TIME_VALUE" in has:
            self.slots[has["TIME_SLOT_ID"]] = int(has["TIME_VALUE"])
        elif tag == "TIER":
            self._tier = has["TIER_ID"]
            self.tiers[self._tier] = []
        elif tag == "ALIGNABLE_ANNOTATION":
            self._ends = has["TIME_SLOT_REF1"], has["TIME_SLOT_REF2"]
        elif tag == "PROPERTY":
            self._property = has.get("NAME")
        self._text = []

    def text(self, some: str) -> None:
        self._text.append(some)

    def end(self, tag: str) -> None:
        text = "".join(self._text).strip()
        if tag == "ANNOTATION_VALUE" and self._ends is not None:
            self.tiers[self._tier].append((*self._ends, text))
        elif tag == "ALIGNABLE_ANNOTATION":
            self._ends = None
        elif tag == "PROPERTY" and self._property == SOURCE:
            self.source = str(json.loads(text))


def read_elan(path: Path, wish: Wish) -> list[Row]:
    """The annotations of expressions as rows at their starts and ends.

    Raises:
        DataError: not an EAF, a damaged one, or no tier of expressions in it.
    """
    eaf = _parse(path)
    runs, doubts = _take(path, eaf, wish)
    if not runs:
        raise DataError(
            f"{path}: expected a tier on which all annotations name emotions, got "
            f"{', '.join(map(repr, list(eaf.tiers)[:10])) or 'no tiers'}; name them as Mien does"
        )
    wish.note(f"{path}: {KNOWN}")
    return to_rows(runs, wish.source or eaf.source or str(path), doubts)


def _parse(path: Path) -> _Eaf:
    """Read the XML; entities, which an EAF never has, are refused, so that none can blow up."""
    eaf = _Eaf()
    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = eaf.start, eaf.end
    parser.CharacterDataHandler = eaf.text
    parser.EntityDeclHandler = _refuse
    try:
        with path.open("rb") as file:
            parser.ParseFile(file)
    except OSError as error:
        raise DataError(f"{path}: expected an EAF to read ({error.strerror}); check the name") from error
    except (expat.ExpatError, ValueError, KeyError) as error:
        raise DataError(
            f"{path}: expected an EAF of ELAN, could not read it ({error}); it is cut off or damaged: "
            "save it again"
        ) from error
    if eaf.root != "ANNOTATION_DOCUMENT":
        raise DataError(
            f"{path}: expected an EAF of ELAN (ANNOTATION_DOCUMENT), got {eaf.root}; give another file"
        )
    return eaf


def _refuse(name: str, *_: object) -> None:
    raise ValueError(f"it declares the entity {name}")


def _take(path: Path, eaf: _Eaf, wish: Wish) -> tuple[list[Run], dict[int, list[Run]]]:
    """The runs of expressions, and those of doubt by track."""
    runs: list[Run] = []
    doubts: dict[int, list[Run]] = {}
    others = _others(eaf)
    for name, held in eaf.tiers.items():
        ours = _OURS.fullmatch(name)
        track = -1 if ours is None or ours[1] is None else int(ours[1])
        kind = None if ours is None else ours[2]
        if kind == "uncertain":
            doubts[track] = [_run(path, eaf, track, one) for one in held]
        elif kind == "expression":
            runs += [_run(path, eaf, track, (a, b, _emotion(path, name, word))) for a, b, word in held]
        elif kind is None and (words := _emotions(held)):
            number = next(others)
            wish.note(f"{path}: tier {name!r} became track {number}")
            runs += [
                _run(path, eaf, number, (a, b, word)) for (a, b, _), word in zip(held, words, strict=True)
            ]
        else:
            wish.note(f"{path}: tier {name!r} left out")
    return runs, doubts


def _others(eaf: _Eaf) -> Iterator[int]:
    """Track numbers for the tiers of people, after those of Mien's."""
    ours = (_OURS.fullmatch(name) for name in eaf.tiers)
    return count(1 + max((int(one[1] or 0) for one in ours if one), default=0))


def _emotion(path: Path, tier: str, word: str) -> str:
    try:
        return parse_emotion(word)
    except DataError as error:
        raise DataError(f"{path}, tier {tier!r}: {error}; mend it in ELAN") from error


def _emotions(held: list[Annotation]) -> list[str]:
    """What each annotation names; nothing if one names no emotion."""
    try:
        return [parse_emotion(value) for _, _, value in held]
    except DataError:
        return []


def _run(path: Path, eaf: _Eaf, track: int, annotation: Annotation) -> Run:
    *ends, value = annotation
    start, end = (eaf.slots.get(slot) for slot in ends)
    if start is None or end is None or start >= end:
        raise DataError(
            f"{path}: expected annotations with a start before their end, got {value!r} from {start} "
            f"to {end} ms; mend it in ELAN"
        )
    return Run(start, end, track, value)
