"""Splits of a labelled corpus: stratified, by person, and small shares of the labels.

Every function is pure and fixed by its seed, gives sorted positions in the samples, and passes over
samples without a label.

Legend: N samples; K = 8 emotions; S parts; P persons. `labels` is (N,) positions in
`labels.EMOTIONS`, negative where a sample has none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mien.errors import ConfigError, DataError
from mien.labels import EMOTIONS

Labels = NDArray[np.int64]  # (N,)
Indices = NDArray[np.int64]  # positions in the samples, sorted, none twice


def stratified(labels: Labels, shares: Sequence[float], *, seed: int = 0) -> tuple[Indices, ...]:
    """Parts of the labelled samples, each emotion divided over the parts by the shares.

    Args:
        labels: (N,).
        shares: (S,) positive, in any unit: (8, 1, 1) is 80, 10 and 10 %.
        seed: of the draw.

    Returns:
        S disjoint arrays that together hold every labelled sample. A part has of an emotion its
        share rounded down or up; what is left over by rounding down goes to the parts that lack most.
    """
    weights = _weights(shares)  # (S,)
    parts: list[list[Indices]] = [[] for _ in weights]
    for k in range(len(EMOTIONS)):
        rng = np.random.default_rng([seed, k])
        mixed = rng.permutation(np.flatnonzero(labels == k))  # (n of k,)
        cuts = np.cumsum(_apportion(len(mixed), weights, rng))[:-1]
        for part, piece in zip(parts, np.split(mixed, cuts), strict=True):
            part.append(piece)
    return tuple(np.sort(np.concatenate(part)) for part in parts)


def by_person(
    persons: Sequence[str | None], labels: Labels, shares: Sequence[float], *, seed: int = 0
) -> tuple[Indices, ...]:
    """Parts of the labelled samples, each person in one part alone, emotions spread by the shares.

    The persons who hold most of an emotion are placed first, each where the emotions then lie
    closest to the shares; ties go by the seed.

    Raises:
        DataError: a labelled sample without a person, or fewer persons than parts.
    """
    weights = _weights(shares)  # (S,)
    known = np.flatnonzero(labels >= 0)
    given = [persons[i] for i in known.tolist()]
    if missing := given.count(None):
        raise DataError(
            f"expected a person for every labelled sample, {missing} of {len(given)} have none; "
            "this corpus cannot be split by person: take another split"
        )
    names, owner = np.unique(np.array(given, np.str_), return_inverse=True)  # (P,), (known,)
    if len(names) < len(weights):
        raise DataError(
            f"expected at least {len(weights)} persons for {len(weights)} parts, got {len(names)}; "
            "take fewer parts"
        )
    counts = np.zeros((len(names), len(EMOTIONS)))  # (P, K)
    np.add.at(counts, (owner, labels[known]), 1)
    counts /= np.maximum(counts.sum(axis=0), 1)  # share of all pictures of the emotion
    home = _place(counts, weights, np.random.default_rng(seed))[owner]  # (known,) part
    return tuple(known[home == part] for part in range(len(weights)))


def fraction(labels: Labels, share: float, *, seed: int = 0) -> Indices:
    """A share of the labelled samples, the same of each emotion, at least one of each that is there.

    For one seed a smaller share lies within a larger one, so that 1, 10 and 100 % are nested.
    """
    if not 0 < share <= 1:
        raise ConfigError(
            f"share of the labels: expected above 0 and at most 1, got {share}; give 0.01 for 1 %"
        )
    kept = []
    for k in range(len(EMOTIONS)):
        mixed = np.random.default_rng([seed, k]).permutation(np.flatnonzero(labels == k))
        kept.append(mixed[: max(1, round(share * len(mixed)))])
    return np.sort(np.concatenate(kept))


def _weights(shares: Sequence[float]) -> NDArray[np.float64]:
    weights: NDArray[np.float64] = np.array(shares, np.float64)
    if not len(weights) or not (np.isfinite(weights) & (weights > 0)).all():
        raise ConfigError(f"shares: expected one or more positive numbers, got {list(shares)}")
    weights /= weights.sum()
    return weights


def _apportion(total: int, weights: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """(S,) whole numbers that sum to `total`, by largest remainder, ties at random."""
    exact = total * weights
    sizes = np.floor(exact + 1e-9).astype(np.int64)
    order = rng.permutation(len(weights))
    order = order[np.argsort(-(exact - sizes)[order].round(9), kind="stable")]
    sizes[order[: total - sizes.sum()]] += 1
    return sizes


def _place(
    counts: NDArray[np.float64], weights: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """(P,) part of each person: the sum of load^2 / weight over parts and emotions kept small, greedily."""
    order = rng.permutation(len(counts))
    order = order[np.argsort(-counts[order].max(axis=1), kind="stable")]  # largest first
    load = np.zeros((len(weights), counts.shape[1]))  # (S, K)
    home = np.zeros(len(counts), np.int64)
    empty = np.ones(len(weights), np.bool_)
    for done, person in enumerate(order):
        rise = ((2 * load + counts[person]) * counts[person]).sum(axis=1) / weights  # (S,)
        if len(order) - done <= empty.sum():  # each part gets somebody
            rise[~empty] = np.inf
        best = int(rise.round(12).argmin())
        home[person], empty[best] = best, False
        load[best] += counts[person]
    return home
