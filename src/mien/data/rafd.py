"""The Radboud Faces Database from its file names: `Rafd090_01_Caucasian_female_angry_frontal.jpg`.

Langner et al., "Presentation and validation of the Radboud Faces Database", Cognition and Emotion
24(8), 2010: 67 models x 8 emotions x 3 gazes x 5 cameras, taken at once by the five: 8040 pictures,
1608 of them frontal. It is given for research on request (rafd.socsci.ru.nl); `toy.write_toy` draws
a stand-in with the same names.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from mien.data.corpus import Corpus
from mien.data.pictures import Grid, gaps, one_vote, read_names, read_picture
from mien.errors import ConfigError, DataError
from mien.labels import EMOTIONS
from mien.types import Sample

MODELS: Final = 67
#: The corpus's words for the emotions, in Mien's order.
WORDS: Final = ("neutral", "happy", "surprised", "sad", "angry", "disgusted", "fearful", "contemptuous")
GAZES: Final = ("left", "frontal", "right")
#: Degrees of the camera: 090 looks at the face, 000 and 180 at its profiles.
CAMERAS: Final = ("000", "045", "090", "135", "180")
#: Selection to its cameras.
SELECTIONS: Final = {"frontal": ("090",), "all": CAMERAS}

_EXAMPLE: Final = "Rafd090_01_Caucasian_female_angry_frontal.jpg"
_NAME: Final = re.compile(
    rf"Rafd(?P<angle>{'|'.join(CAMERAS)})_(?P<model>\d+)_(?P<group>[A-Za-z]+)_(?P<gender>female|male)"
    rf"_(?P<word>{'|'.join(WORDS)})_(?P<gaze>{'|'.join(GAZES)})\.\w+",
    re.IGNORECASE,
)


def rafd(root: Path, selection: str = "frontal") -> Corpus:
    """RaFD from a folder or a zip, however nested; pictures are (H, W, 3) RGB.

    Samples have the person (the model's number) and the tags angle, group, gender and gaze.
    `Corpus.notes` says what a partial download lacks.

    Args:
        root: folder or zip.
        selection: "frontal", the camera at 90 degrees (1608 pictures), or "all" five (8040).

    Raises:
        ConfigError: another selection.
        DataError: nothing there, no picture named as RaFD names them, or none of the selection.
    """
    if selection not in SELECTIONS:
        raise ConfigError(f"selection: expected one of {', '.join(SELECTIONS)}, got {selection!r}")
    cameras = SELECTIONS[selection]
    store, found, notes = read_names(root, _NAME, _EXAMPLE, _sample)
    samples = [s for s in found if s.tags["angle"] in cameras]
    if not samples:
        there = ", ".join(sorted({s.tags["angle"] for s in found}))
        raise DataError(
            f"{root}: expected pictures of camera {', '.join(cameras)}, found those of {there} alone; "
            "take the selection 'all' or fetch the frontal set"
        )
    grid = Grid(MODELS, {"emotion": EMOTIONS, "gaze": GAZES, "angle": cameras})
    notes += gaps(samples, grid, "model")
    return Corpus(f"rafd/{selection}", tuple(samples), lambda s: read_picture(store, s.name), tuple(notes))


def rafd_name(camera: str, model: int, group: str, gender: str, emotion: str, gaze: str) -> str:
    """The file name of a picture; `emotion` is one of Mien's.

    >>> rafd_name("090", 1, "Caucasian", "female", "anger", "frontal")
    'Rafd090_01_Caucasian_female_angry_frontal.jpg'
    """
    return f"Rafd{camera}_{model:02d}_{group}_{gender}_{WORDS[EMOTIONS.index(emotion)]}_{gaze}.jpg"


def _sample(name: str, match: re.Match[str]) -> Sample:
    tags = {key: match[key].lower() for key in ("angle", "gender", "gaze")}
    return Sample(
        name,
        votes=one_vote(match["word"]),
        person=f"{int(match['model']):02d}",
        tags=tags | {"group": match["group"].capitalize()},
    )
