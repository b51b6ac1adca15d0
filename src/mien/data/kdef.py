"""KDEF from its file names: `AF01ANS.JPG` is session A, female 01, angry, straight.

Lundqvist, Flykt, Öhman, "The Karolinska Directed Emotional Faces", Karolinska Institutet, 1998: 70
persons x 7 expressions x 5 angles x 2 sessions, 4900 pictures; no contempt.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from mien.data.corpus import Corpus
from mien.data.pictures import Grid, gaps, one_vote, read_names, read_picture
from mien.errors import ConfigError, DataError
from mien.types import Sample

PERSONS: Final = 70
#: The corpus's codes for the expressions.
CODES: Final = {
    "NE": "neutral",
    "HA": "happiness",
    "SU": "surprise",
    "SA": "sadness",
    "AN": "anger",
    "DI": "disgust",
    "AF": "fear",
}
#: Its codes for the angle of the head.
ANGLES: Final = {
    "FL": "full left",
    "HL": "half left",
    "S": "straight",
    "HR": "half right",
    "FR": "full right",
}
#: Selection to its angles.
SELECTIONS: Final = {"frontal": ("straight",), "all": tuple(ANGLES.values())}

_EXAMPLE: Final = "AF01ANS.JPG"
_NAME: Final = re.compile(
    rf"(?P<session>[AB])(?P<gender>[FM])(?P<number>\d\d)(?P<code>{'|'.join(CODES)})"
    rf"(?P<angle>{'|'.join(ANGLES)})\.\w+",
    re.IGNORECASE,
)


def kdef(root: Path, selection: str = "frontal") -> Corpus:
    """KDEF from a folder or a zip; pictures are (H, W, 3) RGB.

    Samples have the person and the tags session, gender and angle. `Corpus.notes` says what a
    partial download lacks, and which names could not be read (some of the original are cut short).

    Args:
        root: folder or zip.
        selection: "frontal", heads held straight (980 pictures), or "all" five angles (4900).

    Raises:
        ConfigError: another selection.
        DataError: nothing there, no picture named as KDEF names them, or none of the selection.
    """
    if selection not in SELECTIONS:
        raise ConfigError(f"selection: expected one of {', '.join(SELECTIONS)}, got {selection!r}")
    angles = SELECTIONS[selection]
    store, found, notes = read_names(root, _NAME, _EXAMPLE, _sample)
    samples = [s for s in found if s.tags["angle"] in angles]
    if not samples:
        raise DataError(f"{root}: expected heads held straight (...S.JPG), found none; take 'all'")
    axes = {"emotion": tuple(CODES.values()), "angle": angles, "session": ("A", "B")}
    notes += gaps(samples, Grid(PERSONS, axes))
    return Corpus(f"kdef/{selection}", tuple(samples), lambda s: read_picture(store, s.name), tuple(notes))


def _sample(name: str, match: re.Match[str]) -> Sample:
    sex = match["gender"].upper()
    return Sample(
        name,
        votes=one_vote(CODES[match["code"].upper()]),
        person=f"{sex}{match['number']}",
        tags={
            "session": match["session"].upper(),
            "gender": {"F": "female", "M": "male"}[sex],
            "angle": ANGLES[match["angle"].upper()],
        },
    )
