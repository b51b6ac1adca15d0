"""JAFFE from its file names: `KA.AN1.39.tiff` is KA's anger, take 1, picture 39.

Lyons, Akamatsu, Kamachi, Gyoba, "Coding Facial Expressions with Gabor Wavelets", FG 1998: 213
pictures of ten Japanese women, seven expressions, two to four takes of each; no contempt.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from mien.data.corpus import Corpus
from mien.data.pictures import emotion_of, one_vote, read_names, read_picture
from mien.types import Sample

PICTURES: Final = 213
PERSONS: Final = 10
#: The corpus's codes for the expressions.
CODES: Final = {
    "NE": "neutral",
    "HA": "happiness",
    "SU": "surprise",
    "SA": "sadness",
    "AN": "anger",
    "DI": "disgust",
    "FE": "fear",
}

_EXAMPLE: Final = "KA.AN1.39.tiff"
_NAME: Final = re.compile(
    rf"(?P<person>[A-Z]{{2}})\.(?P<code>{'|'.join(CODES)})(?P<take>\d)\.(?P<number>\d+)\.\w+", re.IGNORECASE
)


def jaffe(root: Path) -> Corpus:
    """JAFFE from a folder or a zip; pictures are (H, W, 3) RGB, of gray files.

    Samples have the person and the tags gender, group and take. `pictures.missing` says what a
    partial download lacks.

    Raises:
        DataError: nothing there, or no picture named as JAFFE names them.
    """
    store, samples, notes = read_names(root, _NAME, _EXAMPLE, _sample)
    notes += _lacking(samples)
    return Corpus("jaffe", tuple(samples), lambda s: read_picture(store, s.name), tuple(notes))


def _sample(name: str, match: re.Match[str]) -> Sample:
    return Sample(
        name,
        votes=one_vote(CODES[match["code"].upper()]),
        person=match["person"].upper(),
        tags={"gender": "female", "group": "Japanese", "take": match["take"]},
    )


def _lacking(samples: list[Sample]) -> list[str]:
    """Takes differ in number, so that pictures and persons are counted and expressions looked for."""
    held = {(s.person, emotion_of(s)) for s in samples}
    persons = sorted({person for person, _ in held if person})
    lines = [f"expected {PICTURES} pictures, found {len(samples)}"] if len(samples) < PICTURES else []
    if len(persons) < PERSONS:
        lines.append(f"expected {PERSONS} persons, found {len(persons)}: {', '.join(persons)}")
    for person in persons:
        lost = [e for e in CODES.values() if (person, e) not in held]
        lines += [f"person {person}: no picture of {', '.join(lost)}"] if lost else []
    return lines
