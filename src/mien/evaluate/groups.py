"""Compares groups of people: what a model reads in each, and where two groups differ most.

A measure is one number per picture (predicted as happiness or not, the confidence, ...); a group's figure is
its mean, with an interval of its own (Wilson for shares, normal for means).

A gap is the difference of two groups. Its interval and p hold for all pairs of groups and all measures of a
table at once: the single-step max-t of Westfall and Young (Resampling-Based Multiple Testing, 1993, section
2.3), from a bootstrap that redraws the pictures of each group. Shares take Agresti and Caffo's success and
failure more per group (The American Statistician 54(4), 2000), so that an expression never predicted in a
group has an interval as well. Each draw is divided by its own standard errors. In simulations without any
difference, with five groups of 40 to 400 and nine measures, 3 % of tables show a gap at 0.05, which is on the
safe side; with the standard errors of the whole it was 6 to 8 %.

Legend: P pictures looked at, the N with a face first; G groups, M measures, B draws, K = 8 emotions; a value
is nan where it does not concern the picture.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mien.card import ModelCard
from mien.data.corpus import Corpus
from mien.errors import ConfigError
from mien.evaluate.judge import Predictions
from mien.evaluate.metrics import LEFT_OUT, PROTOCOLS, Z95, Values, divide, wilson
from mien.labels import EMOTIONS
from mien.types import Sample

CONFIDENCE: Final = "confidence"  # the one measure that is no share of 0 and 1
FOUND: Final = "face found"  # the measure of the detection rate
WEIGHTS_AT_ONCE: Final = 1 << 21  # numbers of the bootstrap held in memory at a time

Codes = NDArray[np.int64]  # (P,) the group of each picture, in 0..G-1
Shares = NDArray[np.bool_]  # (M,) whether a measure is a share of 0 and 1, or any number


@dataclass(frozen=True, slots=True)
class GroupOptions:
    """What counts as unsure, and how gaps are looked for."""

    unsure_below: float = 0.5  # a prediction of less confidence is unsure
    unsure_from: str = "Mien's default"  # or "the model card"
    smallest: int = 30  # pictures of a group's figure; one of fewer is shown, not compared
    draws: int = 2000
    seed: int = 0

    @classmethod
    def of_card(cls, card: ModelCard) -> GroupOptions:
        """With the card's threshold of `uncertain`, where it has one."""
        return cls() if card.uncertain is None else cls(card.uncertain, "the model card")


@dataclass(frozen=True, slots=True)
class Gap:
    """Two groups that differ in a figure; interval and p hold for the whole table at once."""

    high: str
    low: str
    difference: float  # high - low
    interval_95: tuple[float, float]
    p: float  # adjusted; at least 1 / (draws + 1)


@dataclass(frozen=True, slots=True)
class Gaps:
    """The two pairs of groups worth naming for a measure; often they are the same."""

    largest: Gap
    clearest: Gap  # the largest t: where small groups differ most by chance, large ones may differ surely


@dataclass(frozen=True, slots=True, eq=False)
class MeasureByGroup:
    """The figures of one measure, of all pictures first, then of each group; nan where there is none."""

    name: str
    n: NDArray[np.int64]  # (1 + G,) pictures
    value: Values  # (1 + G,) in [0, 1]
    low: Values  # (1 + G,) 95 %, each for itself
    high: Values  # (1 + G,)
    gaps: Gaps | None  # None: fewer than two groups that can be compared, or all the same


@dataclass(frozen=True, slots=True, eq=False)
class GroupTable:
    """All measures by the values of one attribute."""

    attribute: str  # e.g. "age", or "race+gender"
    groups: tuple[str, ...]  # (G,)
    untagged: int  # pictures without this tag, left out
    comparisons: int  # pairs of groups, over all rows, for which the gaps' intervals hold at once
    rows: tuple[MeasureByGroup, ...]


@dataclass(frozen=True, slots=True, eq=False)
class GroupReport:
    """A table per attribute, and what the reader must know of all."""

    tables: tuple[GroupTable, ...]
    options: GroupOptions
    labelled: bool  # whether recall could be counted
    detected: bool  # whether faces were looked for, so that a picture could show none
    repeated: bool  # whether persons are known to be in several pictures


def parse_attributes(text: str, samples: Sequence[Sample]) -> tuple[str, ...]:
    """The attributes in "age,gender" or, crossed, "race+gender", each once.

    Raises:
        ConfigError: a tag that no sample has; the message lists those there are.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    known = list(dict.fromkeys(tag for sample in samples for tag in sample.tags))
    if not known:
        raise ConfigError(f"--by: expected a corpus whose samples carry tags, got {text!r} and none do")
    for tag in (tag for name in names for tag in name.split("+")):
        if tag not in known:
            raise ConfigError(f"--by: expected tags out of {', '.join(known)}, got {tag!r}")
    return names


def compare_groups(
    corpus: Corpus,
    predictions: Predictions,
    attributes: Sequence[str],
    *,
    protocols: Sequence[str] = (),
    detected: bool = False,
    guess: NDArray[np.int64] | None = None,
    options: GroupOptions = GroupOptions(),
) -> GroupReport:
    """Every measure by group.

    Args:
        corpus: what `predictions` are of; its samples carry the tags.
        predictions: from `judge.predict_corpus`; pictures that could not be read are in no group.
        attributes: from `parse_attributes`.
        protocols: names in `PROTOCOLS` under which recall is counted; none where there are no labels.
        detected: whether faces were looked for.
        guess: (N,) emotions shown, where a policy chose them; None: the likeliest.
        options: thresholds and seed.
    """
    by_name = {sample.name: sample for sample in corpus.samples}
    samples = (*predictions.samples, *(by_name[name] for name in predictions.faceless))  # (P,)
    persons = [s.person for s in samples if s.person is not None]
    guess = predictions.probabilities.argmax(axis=1) if guess is None else guess  # (N,)
    confidence = predictions.probabilities[np.arange(len(guess)), guess].astype(np.float64)  # (N,)
    measures: dict[str, NDArray[Any]] = {e: guess == k for k, e in enumerate(EMOTIONS)}  # (N,) each
    measures |= {"unsure": confidence < options.unsure_below, CONFIDENCE: confidence}
    # of the pictures of an emotion, whether each is predicted as it
    for protocol in protocols:
        truth = PROTOCOLS[protocol](predictions.samples)  # (N,)
        suffix = f" ({protocol})" if len(protocols) > 1 else ""
        for k in np.unique(truth[truth != LEFT_OUT]):
            measures[f"recall {EMOTIONS[k]}{suffix}"] = np.where(truth == k, guess == k, np.nan)
    faceless = np.full(len(predictions.faceless), np.nan)
    padded = {name: np.concatenate([values, faceless]) for name, values in measures.items()}  # (P,) each
    if detected:
        padded[FOUND] = np.repeat([1.0, 0.0], [len(guess), len(faceless)])
    return GroupReport(
        tables=tuple(_make_table(samples, attribute, padded, options) for attribute in attributes),
        options=options,
        labelled=bool(protocols),
        detected=detected,
        repeated=len(set(persons)) < len(persons),
    )


def _make_table(
    samples: Sequence[Sample], attribute: str, measures: Mapping[str, Values], options: GroupOptions
) -> GroupTable:
    """The measures, name to (P,) values, of P samples by an attribute."""
    tags = [[sample.tags.get(tag, "") for tag in attribute.split("+")] for sample in samples]
    names = np.array([" + ".join(values) if all(values) else "" for values in tags], object)  # (P,)
    groups = tuple(sorted(set(names) - {""}, key=_natural_order))
    tagged = names != ""
    codes = np.array([groups.index(name) for name in names[tagged]], np.int64)
    values = np.stack(list(measures.values()), axis=1)[tagged]  # (P, M) of those with the tag
    shares = np.array([name != CONFIDENCE for name in measures])  # (M,)
    gaps, comparisons = find_gaps(codes, values, shares=shares, groups=groups, options=options)
    # the figures of all, then of each group
    parts = (sum_by_group(np.zeros_like(codes), values, 1), sum_by_group(codes, values, len(groups)))
    n, total, squares = (np.concatenate(pair) for pair in zip(*parts, strict=True))  # (1 + G, M) each
    mean = divide(total, n)
    half = Z95 * np.sqrt(variance_of(n, total, squares, shares))
    rows = []
    for m, name in enumerate(measures):
        low, high = mean[:, m] - half[:, m], mean[:, m] + half[:, m]
        if shares[m]:
            limits = [wilson(round(t), round(of)) for t, of in zip(total[:, m], n[:, m], strict=True)]
            low, high = np.array(limits).T
        rows.append(MeasureByGroup(name, n[:, m].astype(np.int64), mean[:, m], low, high, gaps[m]))
    return GroupTable(attribute, groups, int((~tagged).sum()), comparisons, tuple(rows))


def _natural_order(name: str) -> tuple[float, str]:
    """Ages in their order: by the first number, then by name."""
    number = re.search(r"\d+", name)
    return (float(number[0]) if number else -1.0), name


def find_gaps(
    codes: Codes, values: Values, *, shares: Shares, groups: Sequence[str], options: GroupOptions
) -> tuple[list[Gaps | None], int]:
    """(M,) gaps of (P, M) measures, nan where one does not concern a picture, between G groups by name.

    None where fewer than two groups can be compared, or all are the same. Also the number of pairs of groups
    over all measures, for which the intervals hold at once.
    """
    n, total, squares = sum_by_group(codes, values, len(groups))  # (G, M) each
    enough = n >= max(options.smallest, 2)  # (G, M)
    comparisons = sum(k * (k - 1) // 2 for k in enough.sum(axis=0).tolist())
    if not comparisons:
        return [None] * len(shares), 0
    value, centre = total / np.maximum(n, 1), _centre(n, total, shares)
    variance = variance_of(n, total, squares, shares)
    chance = _draw_largest_t(codes, values, shares, centre, enough, options)
    gaps: list[Gaps | None] = []
    for m in range(len(shares)):
        fit = np.flatnonzero(enough[:, m])  # (g,) the groups that are compared
        names = [groups[g] for g in fit.tolist()]
        gaps.append(_name_gaps(names, value[fit, m], centre[fit, m], variance[fit, m], chance))
    return gaps, comparisons


def _name_gaps(
    names: Sequence[str], value: Values, centre: Values, variance: Values, chance: Values
) -> Gaps | None:
    """The pair of (g,) groups that is furthest apart in a measure, and the pair with the largest t."""
    if len(names) < 2 or value.max() == value.min():
        return None
    difference = centre[:, None] - centre[None]  # (g, g)
    error = np.sqrt(variance[:, None] + variance[None])
    half = float(np.quantile(chance, 0.95)) or Z95  # draws of groups that are all alike do not differ

    def gap(i: int, j: int) -> Gap:
        low, high = difference[i, j] - half * error[i, j], difference[i, j] + half * error[i, j]
        p = (1 + int((chance >= abs(difference[i, j]) / error[i, j]).sum())) / (len(chance) + 1)
        limits = max(-1.0, float(low)), min(1.0, float(high))
        return Gap(names[i], names[j], float(value[i] - value[j]), limits, p)

    i, j = np.unravel_index(int((difference / error).argmax()), difference.shape)
    return Gaps(gap(int(value.argmax()), int(value.argmin())), gap(int(i), int(j)))


def sum_by_group(codes: Codes, values: Values, groups: int) -> tuple[Values, Values, Values]:
    """(G, M) counts, sums and sums of squares."""
    one_hot = (codes == np.arange(groups)[:, None]).astype(np.float64)  # (G, P)
    filled = np.nan_to_num(values)  # (P, M)
    return one_hot @ ~np.isnan(values), one_hot @ filled, one_hot @ filled**2


def variance_of(n: Values, total: Values, squares: Values, shares: Shares) -> Values:
    """Of `_centre`, by its estimate; nan for a mean of fewer than two, never 0."""
    share = (total + 1) / (n + 2)
    spread = squares - total**2 / np.maximum(n, 1)  # sum of squares about the mean
    with_two = np.where(n > 1, n * (n - 1), np.nan)
    of_mean = np.maximum(spread, 1e-12) / with_two
    return np.where(shares, share * (1 - share) / (n + 2), of_mean)


def _centre(n: Values, total: Values, shares: Shares) -> Values:
    """Means, and shares with a success and a failure more; what has no picture is 0 or a half."""
    return (total + shares) / np.maximum(n + 2 * shares, 1)


def _draw_largest_t(
    codes: Codes,
    values: Values,
    shares: Shares,
    centre: Values,
    enough: NDArray[np.bool_],
    options: GroupOptions,
) -> Values:
    """(B,) the largest t over all pairs and measures by chance: the pictures of each group drawn again.

    `centre` (G, M) is that of the pictures as they are; `enough` (G, M) says which groups are compared.
    """
    rng = np.random.default_rng(options.seed)
    sizes = np.bincount(codes)  # (G,)
    drawn = np.zeros((options.draws, *centre.shape))  # (B, G, M) centres; 0 of small groups
    spread = np.ones_like(drawn)  # their variances
    for g in np.flatnonzero(sizes >= options.smallest):
        mine = values[codes == g]  # (n, M)
        known, filled = (~np.isnan(mine)).astype(np.float64), np.nan_to_num(mine)
        step = max(1, WEIGHTS_AT_ONCE // len(mine))
        for start in range(0, options.draws, step):
            # draw n of the n pictures, with replacement, b times, and count how often each is drawn
            b = min(step, options.draws - start)
            which = rng.integers(len(mine), size=(b, len(mine))) + len(mine) * np.arange(b)[:, None]
            weights = np.bincount(which.ravel(), minlength=which.size).reshape(which.shape).astype(np.float64)
            n, total, squares = (weights @ one for one in (known, filled, filled**2))  # (b, M)
            drawn[start : start + step, g] = _centre(n, total, shares)
            spread[start : start + step, g] = variance_of(n, total, squares, shares)
    drawn -= centre
    largest = np.zeros(options.draws)
    for i, j in combinations(range(len(sizes)), 2):
        t = np.abs(drawn[:, i] - drawn[:, j]) / np.sqrt(spread[:, i] + spread[:, j])  # (B, M)
        largest = np.maximum(largest, np.where(enough[i] & enough[j], t, 0).max(axis=1))
    return largest
