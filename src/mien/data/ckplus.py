"""CK+: the original sequences, or the common copy with one folder per emotion.

Lucey et al., "The Extended Cohn-Kanade Dataset (CK+)", CVPR Workshops 2010: 593 sequences of 123
persons from neutral to the peak, 327 of them with an emotion:

    cohn-kanade-images/S005/001/S005_001_00000001.png ... S005_001_00000011.png
    Emotion/S005/001/S005_001_00000011_emotion.txt          3.0000000e+00
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final

from mien.data.corpus import Corpus, CorpusStore, open_store
from mien.data.folder import folder
from mien.data.pictures import corpus_of, is_picture, one_vote
from mien.errors import ConfigError, DataError
from mien.types import Sample

#: The numbers in the emotion files (the corpus's ReadMeFirst).
CODES: Final = ("neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
LABELLED: Final = 327  # sequences with an emotion, Table 3

_FRAME: Final = re.compile(r"(?P<person>S\d{3})_(?P<sequence>\d{3})_(?P<frame>\d{8})\.\w+", re.IGNORECASE)
_LABEL: Final = re.compile(r"(?P<person>S\d{3})_(?P<sequence>\d{3})_\d{8}_emotion\.txt", re.IGNORECASE)

_Key = tuple[str, str]  # person, sequence


def ckplus(root: Path, *, peaks: int = 3, neutral: bool = True) -> Corpus:
    """CK+ from a folder or a zip; pictures are (H, W, 3) RGB.

    Samples have the person where the file name tells it, and the tags sequence, frame and, of the
    original, phase (onset or peak). `Corpus.notes` says what a partial download lacks.

    Args:
        root: what holds `cohn-kanade-images` and `Emotion`, or one folder per emotion.
        peaks: how many of a sequence's last frames carry its emotion, never the first frame.
        neutral: whether its first frame is taken as neutral. Both are for the original alone.

    Raises:
        ConfigError: `peaks` is not above 0.
        DataError: neither layout is there, pictures without labels, or a label that cannot be read.
    """
    if peaks < 1:
        raise ConfigError(f"peaks: expected 1 or more frames of a sequence, got {peaks}")
    store = open_store(root)
    names = store.names()
    labels = {(m["person"].upper(), m["sequence"]): n for n in names if (m := _LABEL.fullmatch(_base(n)))}
    sequences = _sequences(names)
    if not labels:
        return _folders(root, sequences)
    if not sequences:
        raise DataError(
            f"{root}: expected cohn-kanade-images beside Emotion, found {len(labels)} labels and no "
            "picture; unpack extended-cohn-kanade-images.zip there too"
        )
    samples: list[Sample] = []
    for key in sorted(labels.keys() & sequences.keys()):
        emotion = _emotion(store, labels[key])
        samples += _take(sequences[key], emotion, peaks, neutral=neutral)
    if not samples:
        raise DataError(
            f"{root}: expected labels of the sequences that are there, found none; fetch both again"
        )
    notes = _lacking(labels, sequences)
    return corpus_of("ckplus", store, samples, notes)


def _base(name: str) -> str:
    return PurePosixPath(name).name


def _sequences(names: list[str]) -> dict[_Key, list[str]]:
    """The frames of every sequence, in order."""
    found: dict[_Key, list[str]] = {}
    for name in names:
        match = _FRAME.fullmatch(_base(name))
        if match and is_picture(PurePosixPath(name)):
            found.setdefault((match["person"].upper(), match["sequence"]), []).append(name)
    return {key: sorted(frames, key=_base) for key, frames in found.items()}


def _emotion(store: CorpusStore, name: str) -> str:
    """The emotion in a label's file, a number such as `3.0000000e+00`."""
    text = store.read(name).decode("ascii", "replace").strip()
    try:
        number = float(text)
        code = int(number)
    except (ValueError, OverflowError):
        number, code = 0.0, -1
    if code != number or not 0 <= code < len(CODES):
        raise DataError(f"{store.root}: {name}: expected a number from 0 to 7, got {text[:40]!r}")
    return CODES[code]


def _take(frames: list[str], emotion: str, peaks: int, *, neutral: bool) -> Iterator[Sample]:
    """The first frame as neutral and the last few with the emotion; a single frame is a peak."""
    first = max(1, len(frames) - peaks) if len(frames) > 1 else 0
    if neutral and first:
        yield _sample(frames[0], "neutral", "onset")
    for name in frames[first:]:
        yield _sample(name, emotion, "peak")


def _sample(name: str, emotion: str, phase: str) -> Sample:
    plain = _named(Sample(name, votes=one_vote(emotion)))
    return replace(plain, tags={**plain.tags, "phase": phase})


def _named(sample: Sample) -> Sample:
    """The sample with person, sequence and frame, where its file name has them."""
    match = _FRAME.fullmatch(_base(sample.name))
    if match is None:
        return sample
    tags = {"sequence": match["sequence"], "frame": str(int(match["frame"]))}
    return replace(sample, person=match["person"].upper(), tags=tags)


def _folders(root: Path, sequences: dict[_Key, list[str]]) -> Corpus:
    """The common copy; its pictures are the last three frames of each sequence."""
    try:
        plain = folder(root)
    except DataError as error:
        came = f"{len(sequences)} sequences without labels" if sequences else "neither"
        raise DataError(
            f"{root}: expected CK+ as cohn-kanade-images with Emotion beside it, or as one folder per "
            f"emotion, found {came} ({error})"
        ) from error
    samples = tuple(map(_named, plain.samples))
    notes = _fewer(len(sequences))
    nameless = sum(s.person is None for s in samples)
    if nameless:
        notes += (f"{nameless} of {len(samples)} pictures not named like S005_001_00000011.png: no person",)
    return Corpus("ckplus", samples, plain.read, notes)


def _fewer(found: int) -> tuple[str, ...]:
    lost = found < LABELLED
    return (f"sequences with an emotion: expected {LABELLED}, found {found}",) if lost else ()


def _lacking(labels: dict[_Key, str], sequences: dict[_Key, list[str]]) -> tuple[str, ...]:
    lines = [*_fewer(len(labels.keys() & sequences.keys()))]
    lost = ["/".join(key) for key in sorted(labels.keys() - sequences.keys())]
    if lost:
        lines.append(f"{len(lost)} labels without pictures: {', '.join(lost[:5])}{' ...' * (len(lost) > 5)}")
    for key, frames in sorted(sequences.items()):
        if key in labels and len(frames) == 1:
            lines.append(f"sequence {'/'.join(key)}: a single frame, expected an onset and a peak")
    return tuple(lines)
