"""Posed pictures whose file names carry the labels: RaFD, KDEF and JAFFE.

Of each, a root where nothing is or no picture has such a name, or none of the selection, is a `DataError`; an
unknown selection is a `ConfigError`.

RaFD: Langner et al., "Presentation and validation of the Radboud Faces Database", Cognition and Emotion
24(8), 2010: 67 models x 8 emotions x 3 gazes x 5 cameras, taken at once by the five: 8040 pictures, 1608 of
them frontal. It is given for research on request (rafd.socsci.ru.nl); `toy.write_toy` draws a stand-in.
KDEF: Lundqvist, Flykt, Öhman, "The Karolinska Directed Emotional Faces", Karolinska Institutet, 1998: 70
persons x 7 expressions x 5 angles x 2 sessions, 4900 pictures; no contempt.
JAFFE: Lyons, Akamatsu, Kamachi, Gyoba, "Coding Facial Expressions with Gabor Wavelets", FG 1998: 213
pictures of ten Japanese women, seven expressions, two to four takes of each; no contempt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mien.data.corpus import Corpus
from mien.data.pictures import corpus_of, emotion_of, gaps, one_vote, read_names
from mien.errors import DataError, require_choice
from mien.labels import EMOTIONS
from mien.types import Sample

MODELS: Final = 67
#: RaFD's words for the emotions, in Mien's order.
WORDS: Final = ("neutral", "happy", "surprised", "sad", "angry", "disgusted", "fearful", "contemptuous")
GAZES: Final = ("left", "frontal", "right")
#: Degrees of RaFD's cameras: 090 looks at the face, 000 and 180 at its profiles.
CAMERAS: Final = ("000", "045", "090", "135", "180")
#: KDEF's codes for the angle of the head.
ANGLES: Final = {
    "FL": "full left",
    "HL": "half left",
    "S": "straight",
    "HR": "half right",
    "FR": "full right",
}
#: The codes for the expressions, and those that JAFFE has otherwise.
KDEF_CODES: Final = {
    "NE": "neutral",
    "HA": "happiness",
    "SU": "surprise",
    "SA": "sadness",
    "AN": "anger",
    "DI": "disgust",
    "AF": "fear",
}
JAFFE_CODES: Final = {"FE" if code == "AF" else code: emotion for code, emotion in KDEF_CODES.items()}
_JAFFE_PICTURES, _JAFFE_PERSONS = 213, 10

_RAFD_NAME: Final = re.compile(
    rf"Rafd(?P<angle>{'|'.join(CAMERAS)})_(?P<model>\d+)_(?P<group>[A-Za-z]+)_(?P<gender>female|male)"
    rf"_(?P<word>{'|'.join(WORDS)})_(?P<gaze>{'|'.join(GAZES)})\.\w+",
    re.IGNORECASE,
)
_KDEF_NAME: Final = re.compile(
    rf"(?P<session>[AB])(?P<gender>[FM])(?P<number>\d\d)(?P<code>{'|'.join(KDEF_CODES)})"
    rf"(?P<angle>{'|'.join(ANGLES)})\.\w+",
    re.IGNORECASE,
)
_JAFFE_NAME: Final = re.compile(
    rf"(?P<person>[A-Z]{{2}})\.(?P<code>{'|'.join(JAFFE_CODES)})(?P<take>\d)\.(?P<number>\d+)\.\w+",
    re.IGNORECASE,
)


def rafd(root: Path | str, selection: str = "frontal") -> Corpus:
    """RaFD from a folder or a zip, however nested; pictures are (H, W, 3) RGB.

    A name: `Rafd090_01_Caucasian_female_angry_frontal.jpg`. Samples have the person (the model's number)
    and the tags angle, group, gender and gaze. `Corpus.notes` says what a partial download lacks.

    Args:
        root: folder or zip.
        selection: "frontal", the camera at 90 degrees (1608 pictures), or "all" five (8040); of a root that
            holds frontal pictures alone "all" gives the frontal set, and a note says so.
    """
    selections = {"frontal": ("090",), "all": CAMERAS}
    require_choice("selection", selection, selections)

    def sample(name: str, match: re.Match[str]) -> Sample:
        tags = {key: match[key].lower() for key in ("angle", "gender", "gaze")}
        tags["group"] = match["group"].capitalize()
        return Sample(name, one_vote(match["word"]), person=f"{int(match['model']):02d}", tags=tags)

    example = "Rafd090_01_Caucasian_female_angry_frontal.jpg"
    store, found, notes = read_names(root, _RAFD_NAME, example, sample)
    selection, samples = _select(root, "camera", selection, selections, found, notes)
    axes = {"emotion": EMOTIONS, "gaze": GAZES, "angle": selections[selection]}
    notes += gaps(samples, MODELS, axes, "model")
    return corpus_of(f"rafd/{selection}", store, samples, notes)


def rafd_name(camera: str, model: int, group: str, gender: str, emotion: str, gaze: str) -> str:
    """The file name of a picture; `emotion` is one of Mien's.

    >>> rafd_name("090", 1, "Caucasian", "female", "anger", "frontal")
    'Rafd090_01_Caucasian_female_angry_frontal.jpg'
    """
    return f"Rafd{camera}_{model:02d}_{group}_{gender}_{WORDS[EMOTIONS.index(emotion)]}_{gaze}.jpg"


def kdef(root: Path | str, selection: str = "frontal") -> Corpus:
    """KDEF from a folder or a zip; pictures are (H, W, 3) RGB.

    A name: `AF01ANS.JPG` is session A, female 01, angry, straight. Samples have the person and the tags
    session, gender and angle. `Corpus.notes` says what a partial download lacks, and which names could not
    be read (some of the original are cut short).

    Args:
        root: folder or zip.
        selection: "frontal", heads held straight (980 pictures), or "all" five angles (4900); of a root that
            holds straight heads alone "all" gives these, and a note says so.
    """
    selections = {"frontal": ("straight",), "all": tuple(ANGLES.values())}
    require_choice("selection", selection, selections)

    def sample(name: str, match: re.Match[str]) -> Sample:
        sex = match["gender"].upper()
        tags = {
            "session": match["session"].upper(),
            "gender": "female" if sex == "F" else "male",
            "angle": ANGLES[match["angle"].upper()],
        }
        votes = one_vote(KDEF_CODES[match["code"].upper()])
        return Sample(name, votes, person=f"{sex}{match['number']}", tags=tags)

    store, found, notes = read_names(root, _KDEF_NAME, "AF01ANS.JPG", sample)
    selection, samples = _select(root, "angle", selection, selections, found, notes)
    codes = tuple(KDEF_CODES.values())
    axes = {"emotion": codes, "angle": selections[selection], "session": ("A", "B")}
    return corpus_of(f"kdef/{selection}", store, samples, notes + gaps(samples, 70, axes))


def jaffe(root: Path | str) -> Corpus:
    """JAFFE from a folder or a zip; pictures are (H, W, 3) RGB, of gray files.

    A name: `KA.AN1.39.tiff` is KA's anger, take 1, picture 39. Samples have the person and the tags gender,
    group and take. `Corpus.notes` says what a partial download lacks.
    """

    def sample(name: str, match: re.Match[str]) -> Sample:
        tags = {"gender": "female", "group": "Japanese", "take": match["take"]}
        votes = one_vote(JAFFE_CODES[match["code"].upper()])
        return Sample(name, votes, person=match["person"].upper(), tags=tags)

    store, samples, notes = read_names(root, _JAFFE_NAME, "KA.AN1.39.tiff", sample)
    # takes differ in number, so that pictures and persons are counted and expressions looked for
    held = {(s.person, emotion_of(s)) for s in samples}
    persons = sorted({person for person, _ in held if person})
    if len(samples) < _JAFFE_PICTURES:
        notes.append(f"expected {_JAFFE_PICTURES} pictures, found {len(samples)}")
    if len(persons) < _JAFFE_PERSONS:
        notes.append(f"expected {_JAFFE_PERSONS} persons, found {len(persons)}: {', '.join(persons)}")
    for person in persons:
        if lost := [e for e in JAFFE_CODES.values() if (person, e) not in held]:
            notes.append(f"person {person}: no picture of {', '.join(lost)}")
    return corpus_of("jaffe", store, samples, notes)


def _select(
    root: Path | str,
    noun: str,
    selection: str,
    selections: Mapping[str, tuple[str, ...]],
    found: list[Sample],
    notes: list[str],
) -> tuple[str, list[Sample]]:
    """The selection and its samples; "frontal", with a note, where the root holds the frontal set alone.

    The two corpora are given in parts: whoever fetched the frontal one misses none of its pictures.
    """
    there = {sample.tags["angle"] for sample in found}
    if selection == "all" and there == set(selections["frontal"]):
        notes.append("the frontal set alone: no picture from another angle")
        selection = "frontal"
    wanted = selections[selection]
    if there.isdisjoint(wanted):
        raise DataError(
            f"{root}: expected pictures of {noun} {', '.join(wanted)}, found those of "
            f"{', '.join(sorted(there))} alone; take the selection 'all' or fetch the frontal set"
        )
    return selection, [sample for sample in found if sample.tags["angle"] in wanted]
