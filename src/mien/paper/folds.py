"""Section 3: ten folds for each emotion, balanced over the other seven.

"The Fold cross-validation technique was used ... For each emotion, 10 folds were generated". The text says
240 pictures a fold, 120 of the emotion; every matrix it prints (Tables 1-10) sums to 280, 140 of the emotion
and 20 of each other, and that is taken here.

    corpus -> pools (a design: disjoint parts, or one) -> a balanced test for each fold, drawn from its pool

A disjoint design cuts the corpus once, for all emotions: fold 3 of every emotion trains on the same
samples, so that ten 8-way networks serve all eight tables, and the probabilities of all pools, each
from the network that did not see it, make one (N, 8) array.

Ten disjoint tests of 140 pictures are 1400 of each emotion. RaFD has 1005 from all cameras: such a corpus
is cut into the most parts that hold 140 with room to spare, and several folds are drawn from a part.

Legend: N samples; T of a test; F folds; P pools; K = 8 emotions. `labels` is (N,) positions in
`labels.EMOTIONS`, negative where a sample has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mien.data.splits import Indices, Labels, by_person, stratified
from mien.errors import ConfigError, DataError, require_choice
from mien.labels import EMOTIONS, emotion_index

#: `repeated`, as printed: each fold is drawn again from all pictures, without replacement within it, so that
#: folds may overlap. `kfold`: disjoint parts, but a person may be in several. `person`: parts disjoint by
#: person, so that nobody in a fold's test is in the training pictures of its network.
DESIGNS: Final = ("repeated", "kfold", "person")

Persons = Sequence[str | None]  # (N,)


@dataclass(frozen=True, slots=True)
class FoldOptions:
    """How folds are drawn; the sizes are those of the paper's Tables 1-10."""

    design: str = "repeated"  # one of DESIGNS
    folds: int = 10  # section 3: "10 sets for testing"
    positives: int = 140  # of the emotion; the rows of Tables 1-2
    others: int = 20  # of each other emotion; section 3: "20 images per sentiment"
    seed: int = 0

    def __post_init__(self) -> None:
        require_choice("design", self.design, DESIGNS)
        least = 1 if self.design == "repeated" else 2
        if self.folds < least:
            raise ConfigError(f"folds: expected {least} or more for {self.design!r}, got {self.folds}")
        if min(self.positives, self.others) < 1:
            raise ConfigError(
                f"sizes: expected 1 or more, got {self.positives} against {self.others} of each"
            )


@dataclass(frozen=True, slots=True)
class FoldSize:
    """Pictures of one fold: of the emotion, and of all others together."""

    positives: int
    negatives: int


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """One test of one emotion, and what the network that it judges may be trained on."""

    number: int  # from 1, as the paper counts
    test: Indices  # (T,)
    positive: NDArray[np.bool_]  # (T,) whether a test sample is of the emotion
    train: Indices | None  # every labelled sample outside the fold's pool; None: the pool is all of them
    part: int  # of the pool, from 1; folds of one part are judged with the same network


@dataclass(frozen=True, slots=True, eq=False)
class EmotionFolds:
    """The folds of one emotion, all of one size."""

    emotion: str
    options: FoldOptions
    folds: tuple[Fold, ...]
    requested: FoldSize
    taken: FoldSize  # smaller where the corpus has too few
    distinct: int  # different samples among all the folds' tests; less than their sum: folds overlap
    effective: tuple[float, float]  # positives, negatives of all folds by `effective_size`
    note: str  # what a table must say; empty where the folds are as requested and disjoint

    @property
    def drawn(self) -> int:
        """Samples in all tests together, one that is in two folds counted twice."""
        return sum(len(fold.test) for fold in self.folds)

    def record(self) -> dict[str, Any]:
        """Design, seed and sizes as numbers and strings, for a result file."""
        return {
            "design": self.options.design,
            "seed": self.options.seed,
            "requested": asdict(self.requested),
            "taken": asdict(self.taken),
            "distinct": self.distinct,
            "effective": list(self.effective),
            "drawn": self.drawn,
            "note": self.note,
        }


def draw_folds(
    labels: Labels, options: FoldOptions, *, persons: Persons | None = None, among: Indices | None = None
) -> dict[str, EmotionFolds]:
    """The folds of each emotion.

    Args:
        labels: (N,).
        options: design, sizes, seed.
        persons: (N,) identities, for the design `person`.
        among: positions to draw from, e.g. a test split; None: all that are labelled.

    Returns:
        emotion to its folds, positions into the N samples. Where a pool has too few, the largest size
        that keeps the balance is taken in all folds: positives against negatives as requested, the
        negatives over the other emotions as evenly as whole numbers go.

    Raises:
        DataError: a pool lacks an emotion; the design `person` got no persons, or fewer than folds; the
            design `repeated` would put the same pictures of each emotion into every fold.
    """
    usable = labels >= 0  # (N,)
    if among is not None:
        usable &= np.isin(np.arange(len(labels)), among)
    kept = np.where(usable, labels, -1)  # (N,)
    _require_emotions(kept, options, "the corpus")
    pools = _make_pools(kept, persons, options)
    trains: list[Indices | None] = []
    for number, pool in enumerate(pools, start=1):
        _require_emotions(kept[pool], options, f"part {number} of {len(pools)}")
        train = np.setdiff1d(np.flatnonzero(usable), pool)
        trains.append(train if len(train) else None)
    return {emotion: _draw_emotion(emotion, kept, pools, trains, options) for emotion in EMOTIONS}


def _make_pools(labels: Labels, persons: Persons | None, options: FoldOptions) -> tuple[Indices, ...]:
    """(P,) what the tests may be drawn from; fold n draws from pool n, and after the last from the first."""
    if options.design == "repeated":
        _require_different_folds(labels, options)
        return (np.flatnonzero(labels >= 0),)
    if options.design == "person" and persons is None:
        raise DataError("design 'person': expected persons, got none; take 'kfold' or 'repeated'")

    def cut(parts: int) -> tuple[Indices, ...]:
        if options.design == "kfold":
            return stratified(labels, (1,) * parts, seed=options.seed)
        return by_person(persons or (), labels, (1,) * parts, seed=options.seed)

    pools = cut(options.folds)
    have = _count_emotions(labels, pools)  # (P, K)
    if min(have.min() - options.positives, have.min() - options.others) >= 0:
        return pools
    # the most parts that hold the size asked for, if there are any
    fewest = int(_count_emotions(labels, [np.flatnonzero(labels >= 0)]).min())
    for parts in range(min(options.folds - 1, _most_of_shared(fewest) // options.positives), 1, -1):
        larger = cut(parts)
        least = int(_count_emotions(labels, larger).min())
        if _most_of_shared(least) >= options.positives and least >= options.others:
            return larger
    return pools


def _most_of_shared(have: int) -> int:
    """The most pictures of an emotion that a fold takes of so many in a pool that other folds draw from too.

    The paper's share: 140 of the 201 that are RaFD's frontal pictures. Were it all, the positives of
    every fold would be the same, and so would their sensitivity.
    """
    return max(1, have * 140 // 201)


def _count_emotions(labels: Labels, pools: Sequence[Indices]) -> NDArray[np.int64]:
    """(P, K) pictures of each emotion in each pool."""
    return np.array([np.bincount(labels[pool], minlength=len(EMOTIONS)) for pool in pools])


def _require_different_folds(labels: Labels, options: FoldOptions) -> None:
    have = _count_emotions(labels, [np.flatnonzero(labels >= 0)])[0]  # (K,)
    if options.folds > 1 and have.max() <= options.positives:
        raise DataError(
            f"design 'repeated': expected more than {options.positives} pictures of an emotion to draw "
            f"each fold from, got {have.min()} to {have.max()}, so that every fold would hold the same ones; "
            "take the design 'person' or 'kfold', smaller folds, or more pictures (all cameras of RaFD)"
        )


def effective_size(samples: Indices) -> float:
    """How many different samples carry as much information as these, some of which are repeated.

    The sum of multiplicities squared over the sum of their squares (Kish, Survey Sampling, 1965): the
    variance of a share over all of them is that of a share of that many.

    >>> effective_size(np.array([1, 1, 2, 2])), effective_size(np.array([1, 2, 3]))
    (2.0, 3.0)
    """
    times = np.bincount(samples)
    return float(times.sum() ** 2 / (times**2).sum())


def _require_emotions(labels: Labels, options: FoldOptions, where: str) -> None:
    missing = [emotion for k, emotion in enumerate(EMOTIONS) if not (labels == k).any()]
    if missing:
        raise DataError(
            f"folds ({options.design}): expected pictures of all eight emotions, {where} has none of "
            f"{', '.join(missing)}; take fewer folds or the design 'repeated', or a corpus that has them"
        )


def _draw_emotion(
    emotion: str,
    labels: Labels,
    pools: Sequence[Indices],
    trains: Sequence[Indices | None],
    options: FoldOptions,
) -> EmotionFolds:
    own = emotion_index(emotion)
    kinds = [own, *(k for k in range(len(EMOTIONS)) if k != own)]
    have = _count_emotions(labels, pools)[:, kinds]  # (P, K), its own first
    fewest = have.min(axis=0)  # (K,)
    shared = options.folds > len(pools)
    usable = fewest.copy()
    if shared:
        usable[0] = _most_of_shared(fewest[0])
    requested = FoldSize(options.positives, options.others * (len(EMOTIONS) - 1))
    taken = _largest_balanced(requested, usable)
    folds = []
    for number in range(1, options.folds + 1):
        part = (number - 1) % len(pools)
        pool = pools[part]
        rng = np.random.default_rng([options.seed, own, number])
        quota = _spread(taken.negatives, have[part, 1:], rng)
        picked = [
            rng.choice(pool[labels[pool] == k], n, replace=False)
            for k, n in zip(kinds, (taken.positives, *quota), strict=True)
        ]
        test = np.sort(np.concatenate(picked))  # (T,)
        folds.append(Fold(number, test, labels[test] == own, trains[part], part + 1))

    samples = np.concatenate([fold.test for fold in folds])  # (F x T,)
    positive = np.concatenate([fold.positive for fold in folds])  # (F x T,)
    distinct = len(np.unique(samples))
    notes = []
    if taken != requested:
        rarest = 1 + int(fewest[1:].argmin())
        drawn = f" (at most {usable[0]} are drawn, so that folds differ)" if shared else ""
        notes.append(
            f"{requested.positives}:{requested.negatives} pictures a fold requested, "
            f"{taken.positives}:{taken.negatives} taken, the largest balanced size: a fold has {fewest[0]} "
            f"of it to draw from{drawn}, and of the others {fewest[rarest]} of {EMOTIONS[kinds[rarest]]}"
        )
    if 1 < len(pools) < options.folds:
        notes.append(f"{options.folds} folds drawn from {len(pools)} disjoint parts, a network for each")
    if distinct < len(samples):
        notes.append(f"folds overlap: {len(samples)} pictures drawn, {distinct} different")
    return EmotionFolds(
        emotion=emotion,
        options=options,
        folds=tuple(folds),
        requested=requested,
        taken=taken,
        distinct=distinct,
        effective=(effective_size(samples[positive]), effective_size(samples[~positive])),
        note="; ".join(notes),
    )


def _largest_balanced(requested: FoldSize, have: NDArray[np.int64]) -> FoldSize:
    """The largest balanced size up to the requested, of (K,) pictures, the emotion's own first."""
    for negatives in range(requested.negatives, 0, -1):
        positives = max(1, round(negatives * requested.positives / requested.negatives))
        least, extra = divmod(negatives, len(have) - 1)
        even = (have[1:] >= least).all() and (have[1:] > least).sum() >= extra
        if positives <= have[0] and even:
            return FoldSize(positives, negatives)
    return FoldSize(1, 1)


def _spread(negatives: int, have: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """(others,) how many of each: even, what is left over one each to some that have more, at random."""
    least, extra = divmod(negatives, len(have))
    quota = np.full(len(have), least)
    quota[rng.permutation(np.flatnonzero(have > least))[:extra]] += 1
    return quota
