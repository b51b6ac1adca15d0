"""The paper's ten folds: an emotion against the other seven, balanced over the seven.

Source: Beltran Prieto and Kominkova Oplatkova, MENDEL 24(1), 2018, section 3. Its text says 240
pictures a fold, 120 of the emotion; every matrix it prints (Tables 1-10) sums to 280, 140 of the
emotion and 20 of each other, and that is taken here.

    corpus -> parts (a design: one part a fold) -> a test drawn within each part

A disjoint design cuts the corpus once, for all emotions: fold 3 of every emotion trains on the same
samples, so that ten 8-way networks serve all eight tables, and the probabilities of all parts, each
from the network that did not see it, make one (N, 8) array.

Legend: N samples; T of a test; F folds; K = 8 emotions. `labels` is (N,) positions in
`labels.EMOTIONS`, negative where a sample has none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mien.data.splits import Indices, Labels, by_person, stratified
from mien.errors import ConfigError, DataError
from mien.labels import EMOTIONS, emotion_index


@dataclass(frozen=True, slots=True)
class FoldSettings:
    """How folds are drawn; the sizes are those of the paper's Tables 1-10."""

    design: str = "repeated"  # a name in DESIGNS
    folds: int = 10  # section 3: "10 sets for testing"
    positives: int = 140  # of the emotion; the rows of Tables 1-2
    others: int = 20  # of each other emotion, section 3
    seed: int = 0
    emotions: tuple[str, ...] = EMOTIONS  # those that the corpus has; the others of each are among them

    def __post_init__(self) -> None:
        if self.design not in DESIGNS:
            raise ConfigError(f"design: expected one of {', '.join(DESIGNS)}, got {self.design!r}")
        least = 1 if self.design == "repeated" else 2
        if self.folds < least:
            raise ConfigError(f"folds: expected {least} or more for {self.design!r}, got {self.folds}")
        if min(self.positives, self.others) < 1:
            raise ConfigError(
                f"sizes: expected 1 or more, got {self.positives} against {self.others} of each"
            )
        if len(set(self.emotions)) < 2 or not set(self.emotions) <= set(EMOTIONS):
            raise ConfigError(f"emotions: expected two or more of {', '.join(EMOTIONS)}, got {self.emotions}")


@dataclass(frozen=True, slots=True)
class Size:
    """Pictures of one fold: of the emotion, and of all others together."""

    positives: int
    negatives: int


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """One test of one emotion, and what may train the network that it judges."""

    number: int  # from 1, as the paper counts
    test: Indices  # (T,)
    positive: NDArray[np.bool_]  # (T,) whether a test sample is of the emotion
    train: Indices | None  # every labelled sample outside the fold's part; None: no part is left over


@dataclass(frozen=True, slots=True, eq=False)
class EmotionFolds:
    """The folds of one emotion, all of one size."""

    emotion: str
    design: str
    seed: int
    folds: tuple[Fold, ...]
    requested: Size
    taken: Size  # smaller where the corpus has too few
    distinct: int  # different samples among all the folds' tests; less than their sum: folds overlap
    effective: tuple[float, float]  # positives, negatives of all folds by `effective_size`
    note: str  # what a table must say; empty where the folds are as requested and disjoint

    @property
    def drawn(self) -> int:
        """Samples in all tests together, one that stands in two folds counted twice."""
        return sum(len(fold.test) for fold in self.folds)


Persons = Sequence[str | None]  # (N,)
Parts = tuple[Indices, ...]  # (F,) what each fold may be drawn from


def repeated(labels: Labels, persons: Persons | None, settings: FoldSettings) -> Parts:  # noqa: ARG001
    """As printed: each fold is drawn anew from all, without replacement within it; folds may overlap."""
    return (np.flatnonzero(labels >= 0),) * settings.folds


def kfold(labels: Labels, persons: Persons | None, settings: FoldSettings) -> Parts:  # noqa: ARG001
    """Disjoint: each emotion cut into as many parts as folds; a person may stand in several."""
    return stratified(labels, (1,) * settings.folds, seed=settings.seed)


def person(labels: Labels, persons: Persons | None, settings: FoldSettings) -> Parts:
    """Disjoint by person: nobody in a fold's test is in its training part.

    Raises:
        DataError: the corpus does not know its persons, or has fewer than folds.
    """
    if persons is None:
        raise DataError("design 'person': expected persons, got none; take 'kfold' or 'repeated'")
    return by_person(persons, labels, (1,) * settings.folds, seed=settings.seed)


#: Name to the function that says what each fold may be drawn from.
DESIGNS: Final[dict[str, Callable[[Labels, Persons | None, FoldSettings], Parts]]] = {
    "repeated": repeated,
    "kfold": kfold,
    "person": person,
}


def draw(
    labels: Labels, settings: FoldSettings, *, persons: Persons | None = None, pool: Indices | None = None
) -> dict[str, EmotionFolds]:
    """The folds of each of the settings' emotions.

    Args:
        labels: (N,).
        settings: design, sizes, seed.
        persons: (N,) identities, for the design `person`.
        pool: positions to draw from, e.g. a test split; None: all that are labelled.

    Returns:
        emotion to its folds, positions into the N samples. Where a part has too few, the largest size
        that keeps the balance is taken in all folds: positives against negatives as requested, the
        negatives over the other emotions as evenly as whole numbers go.

    Raises:
        DataError: a part holds none of an emotion, or `person` cannot be drawn.
    """
    codes = [emotion_index(emotion) for emotion in settings.emotions]
    chosen = np.isin(labels, codes)  # (N,)
    if pool is not None:
        chosen &= np.isin(np.arange(len(labels)), pool)
    kept = np.where(chosen, labels, -1)  # (N,)
    _require(kept, settings, "the corpus")
    parts = DESIGNS[settings.design](kept, persons, settings)
    for number, part in enumerate(parts, start=1):
        _require(kept[part], settings, f"part {number} of {len(parts)}")
    trains = [_outside(kept, part) for part in parts]
    return {e: _draw_emotion(e, kept, parts, trains=trains, settings=settings) for e in settings.emotions}


def effective_size(samples: Indices) -> float:
    """How many different samples say as much as these, in which some stand several times.

    The sum of multiplicities squared over the sum of their squares (Kish, Survey Sampling, 1965): the
    variance of a share over all of them is that of a share of so many.

    >>> effective_size(np.array([1, 1, 2, 2])), effective_size(np.array([1, 2, 3]))
    (2.0, 3.0)
    """
    times = np.bincount(samples)
    return float(times.sum() ** 2 / (times**2).sum()) if len(samples) else 0.0


def distinct_samples(drawn: Mapping[str, EmotionFolds]) -> Indices:
    """Every sample that stands in some test, once: for the 8-way matrix, and to compare two models."""
    return np.unique(np.concatenate([fold.test for folds in drawn.values() for fold in folds.folds]))


def describe(folds: EmotionFolds) -> dict[str, Any]:
    """Design, seed and sizes as numbers and strings, for a result file."""
    return {
        "design": folds.design,
        "seed": folds.seed,
        "requested": {"positives": folds.requested.positives, "negatives": folds.requested.negatives},
        "taken": {"positives": folds.taken.positives, "negatives": folds.taken.negatives},
        "distinct": folds.distinct,
        "effective": list(folds.effective),
        "drawn": folds.drawn,
        "note": folds.note,
    }


def _require(labels: Labels, settings: FoldSettings, where: str) -> None:
    """Raise unless every emotion is there."""
    missing = [e for e in settings.emotions if not (labels == emotion_index(e)).any()]
    if missing:
        raise DataError(
            f"folds ({settings.design}): expected pictures of {', '.join(settings.emotions)}, "
            f"{where} has none of {', '.join(missing)}; "
            "take fewer folds, the design 'repeated', or settings.emotions without"
        )


def _outside(labels: Labels, part: Indices) -> Indices | None:
    """Every labelled sample that is not in the part; None if there is none."""
    left = labels >= 0  # (N,)
    left[part] = False
    return np.flatnonzero(left) if left.any() else None


def _draw_emotion(
    emotion: str, labels: Labels, parts: Parts, *, trains: Sequence[Indices | None], settings: FoldSettings
) -> EmotionFolds:
    own = emotion_index(emotion)
    rest = [emotion_index(e) for e in settings.emotions if e != emotion]
    have = np.array([[(labels[part] == k).sum() for k in (own, *rest)] for part in parts])  # (F, 1 + others)
    # with fewer than eight emotions the 50:50 stands, not the 20 (the paper has seven others)
    requested = Size(settings.positives, settings.others * (len(EMOTIONS) - 1))
    taken = _largest(requested, have.min(axis=0))
    folds = []
    for number, part in enumerate(parts, start=1):
        rng = np.random.default_rng([settings.seed, own, number])
        quota = _spread(taken.negatives, have[number - 1, 1:], rng)
        picked = [
            rng.choice(part[labels[part] == k], n, replace=False)
            for k, n in zip((own, *rest), (taken.positives, *quota), strict=True)
        ]
        test = np.sort(np.concatenate(picked))  # (T,)
        folds.append(Fold(number, test, labels[test] == own, trains[number - 1]))
    return _gather(emotion, folds, (requested, taken), _scarce(have.min(axis=0), rest), settings)


def _gather(
    emotion: str, folds: Sequence[Fold], sizes: tuple[Size, Size], scarce: str, settings: FoldSettings
) -> EmotionFolds:
    """The folds with what is to be said of them together."""
    samples = np.concatenate([fold.test for fold in folds])  # (F x T,)
    positive = np.concatenate([fold.positive for fold in folds])  # (F x T,)
    distinct = len(np.unique(samples))
    return EmotionFolds(
        emotion=emotion,
        design=settings.design,
        seed=settings.seed,
        folds=tuple(folds),
        requested=sizes[0],
        taken=sizes[1],
        distinct=distinct,
        effective=(effective_size(samples[positive]), effective_size(samples[~positive])),
        note=_note(sizes, scarce, distinct, len(samples)),
    )


def _scarce(have: NDArray[np.int64], rest: Sequence[int]) -> str:
    """What holds the size down; `have` (1 + others,) are the least that a part holds."""
    least = int(have[1:].argmin())
    other = f"{have[1 + least]} of {EMOTIONS[rest[least]]}"
    return f"a fold has {have[0]} of it to draw from, and of the others {other}"


def _largest(requested: Size, have: NDArray[np.int64]) -> Size:
    """The largest size up to the requested that keeps its balance.

    Args:
        requested: of a fold.
        have: (1 + others,) pictures of the emotion, then of each other.
    """
    for negatives in range(requested.negatives, 0, -1):
        positives = max(1, round(negatives * requested.positives / requested.negatives))
        least, extra = divmod(negatives, len(have) - 1)
        even = (have[1:] >= least).all() and (have[1:] > least).sum() >= extra
        if positives <= have[0] and even:
            return Size(positives, negatives)
    return Size(1, 1)


def _spread(negatives: int, have: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """(others,) how many of each: even, what is left over one each to some that have more, by lot."""
    least, extra = divmod(negatives, len(have))
    quota = np.full(len(have), least)
    quota[rng.permutation(np.flatnonzero(have > least))[:extra]] += 1
    return quota


def _note(sizes: tuple[Size, Size], scarce: str, distinct: int, drawn: int) -> str:
    requested, taken = sizes
    said = []
    if taken != requested:
        said.append(
            f"{requested.positives}:{requested.negatives} pictures a fold requested, "
            f"{taken.positives}:{taken.negatives} taken, the largest balanced size: {scarce}"
        )
    if distinct < drawn:
        said.append(f"folds overlap: {drawn} pictures drawn, {distinct} different")
    return "; ".join(said)
