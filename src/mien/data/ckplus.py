"""CK+: the original sequences, or the common copy with one folder per emotion.

Lucey et al., "The Extended Cohn-Kanade Dataset (CK+)", CVPR Workshops 2010: 593 sequences of 123
persons from neutral to the peak, 327 of them with an emotion:

    cohn-kanade-images/S005/001/S005_001_00000001.png ... S005_001_00000011.png
    Emotion/S005/001/S005_001_00000011_emotion.txt          3.0000000e+00
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final

from mien.data.corpus import Corpus, CorpusStore, open_store
from mien.data.folder import folder
from mien.data.pictures import corpus_of, is_picture, one_vote
from mien.errors import DataError, list_few
from mien.types import Sample

#: The numbers in the emotion files (the corpus's ReadMeFirst).
CODES: Final = ("neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
LABELLED: Final = 327  # sequences with an emotion, Table 3
PEAKS: Final = 3  # of a sequence's last frames, which carry its emotion

_FRAME: Final = re.compile(r"(?P<person>S\d{3})_(?P<sequence>\d{3})_(?P<frame>\d{8})\.\w+", re.IGNORECASE)
_LABEL: Final = re.compile(r"(?P<person>S\d{3})_(?P<sequence>\d{3})_\d{8}_emotion\.txt", re.IGNORECASE)

_Key = tuple[str, str]  # person, sequence


def ckplus(root: Path | str) -> Corpus:
    """CK+ from a folder or a zip; pictures are (H, W, 3) RGB.

    Of the original, the last three frames of each sequence carry its emotion and the first is neutral.
    Samples have the person where the file name tells it, and the tags sequence, frame and, of the
    original, phase (onset or peak). `Corpus.notes` says what a partial download lacks. The root holds
    `cohn-kanade-images` and `Emotion`, or one folder per emotion.

    Raises:
        DataError: neither layout is there, pictures without labels, or a label that cannot be read.
    """
    store = open_store(root)
    names = store.names()
    labels = {(m["person"].upper(), m["sequence"]): n for n in names if (m := _LABEL.fullmatch(_base(n)))}
    sequences: dict[_Key, list[str]] = {}
    for name in sorted(names, key=_base):
        match = _FRAME.fullmatch(_base(name))
        if match and is_picture(PurePosixPath(name)):
            sequences.setdefault((match["person"].upper(), match["sequence"]), []).append(name)
    if not labels:
        return _folders(root, len(sequences))
    if not sequences:
        raise DataError(
            f"{root}: expected cohn-kanade-images beside Emotion, found {len(labels)} labels and no "
            "picture; unpack extended-cohn-kanade-images.zip there too"
        )
    samples: list[Sample] = []
    whole = sorted(labels.keys() & sequences.keys())
    notes = _count_note(len(whole))
    if lost := sorted(labels.keys() - sequences.keys()):
        notes.append(f"{len(lost)} labels without pictures: {list_few(['/'.join(key) for key in lost])}")
    for key in whole:
        frames, emotion = sequences[key], _read_emotion(store, labels[key])
        if len(frames) == 1:
            notes.append(f"sequence {'/'.join(key)}: a single frame, expected an onset and a peak")
        else:
            samples.append(_sample(frames[0], "neutral", "onset"))
        first = max(1, len(frames) - PEAKS) if len(frames) > 1 else 0
        samples += [_sample(name, emotion, "peak") for name in frames[first:]]
    if not samples:
        raise DataError(
            f"{root}: expected labels of the sequences that are there, found none; fetch both again"
        )
    return corpus_of("ckplus", store, samples, notes)


def _base(name: str) -> str:
    return PurePosixPath(name).name


def _read_emotion(store: CorpusStore, name: str) -> str:
    """The emotion in a label's file, a number such as `3.0000000e+00`."""
    text = store.read(name).decode("ascii", "replace").strip()
    try:
        number = float(text)
    except ValueError:
        number = -1
    if number not in range(len(CODES)):
        raise DataError(f"{store.root}: {name}: expected a number from 0 to 7, got {text[:40]!r}")
    return CODES[int(number)]


def _sample(name: str, emotion: str, phase: str) -> Sample:
    plain = _name_person(Sample(name, votes=one_vote(emotion)))
    return replace(plain, tags={**plain.tags, "phase": phase})


def _name_person(sample: Sample) -> Sample:
    """The sample with person, sequence and frame, where its file name has them."""
    match = _FRAME.fullmatch(_base(sample.name))
    if match is None:
        return sample
    tags = {"sequence": match["sequence"], "frame": str(int(match["frame"]))}
    return replace(sample, person=match["person"].upper(), tags=tags)


def _folders(root: Path | str, sequences: int) -> Corpus:
    """The common copy; its pictures are the last three frames of each sequence."""
    try:
        plain = folder(root)
    except DataError as error:
        came = f"{sequences} sequences without labels" if sequences else "neither"
        raise DataError(
            f"{root}: expected CK+ as cohn-kanade-images with Emotion beside it, or as one folder per "
            f"emotion, found {came} ({error})"
        ) from error
    samples = tuple(map(_name_person, plain.samples))
    notes = _count_note(sequences)
    if nameless := sum(s.person is None for s in samples):
        notes.append(f"{nameless} of {len(samples)} pictures not named like S005_001_00000011.png: no person")
    return Corpus("ckplus", samples, plain.read, tuple(notes))


def _count_note(found: int) -> list[str]:
    return [f"sequences with an emotion: expected {LABELLED}, found {found}"] if found < LABELLED else []
