"""Section 3: confusion matrices and the paper's six scores, one emotion against the rest, over folds.

"Accuracy (Acc), Sensitivity (Sens), Specificity (Spec), Precision (Prec), Negative Predictive Value (NPV),
and F1 Score". A score that the counts do not define is nan, never 0; means and intervals take the folds
where it is defined.

Both readings of the paper come as one array of probabilities (N, K): those of the 8-way network, or a column
from each of eight binary networks. `compare_models` tests whether two networks differ by more than chance.

Legend: N samples; T of a test; F folds; K = 8 emotions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mien.errors import ConfigError, DataError
from mien.evaluate.metrics import wilson
from mien.labels import emotion_index
from mien.paper.folds import EmotionFolds

#: How the intervals below are made, for the reader of a table.
INTERVALS: Final = (
    "95 % interval: Wilson on the counts of all folds together, at their effective size (Kish), so that "
    "a picture that is in several folds does not count as several; none for F1, which is no share. "
    "'folds from' and 'to' are a bootstrap over folds; they and the standard deviation of folds (ddof 1) "
    "understate where folds overlap, since such folds share pictures."
)

_NAN: Final = float("nan")
Reals = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class BinaryCounts:
    """The confusion matrix of one test; `tp + fn` pictures are of the emotion."""

    tp: int
    fn: int
    fp: int
    tn: int

    def __add__(self, other: BinaryCounts) -> BinaryCounts:
        return BinaryCounts(self.tp + other.tp, self.fn + other.fn, self.fp + other.fp, self.tn + other.tn)

    def transposed(self) -> BinaryCounts:
        """Actual and predicted exchanged: sensitivity with precision, specificity with NPV."""
        return BinaryCounts(self.tp, self.fp, self.fn, self.tn)


def count(positive: Bools, predicted: Bools) -> BinaryCounts:
    """Counts of (T,) truths against (T,) predictions."""
    cells = np.bincount(2 * positive.astype(np.int64) + predicted, minlength=4)
    tn, fp, fn, tp = (int(cell) for cell in cells)
    return BinaryCounts(tp, fn, fp, tn)


#: Each score as a share: its numerator, and the pictures of the emotion and of others in its denominator.
#: In the order of the paper's columns.
SHARES: Final[dict[str, Callable[[BinaryCounts], tuple[int, int, int]]]] = {
    "accuracy": lambda c: (c.tp + c.tn, c.tp + c.fn, c.fp + c.tn),
    "sensitivity": lambda c: (c.tp, c.tp + c.fn, 0),  # of the emotion's pictures, those predicted as it
    "specificity": lambda c: (c.tn, 0, c.tn + c.fp),  # of the others' pictures, those not predicted as it
    "precision": lambda c: (c.tp, c.tp, c.fp),  # of the pictures predicted as the emotion, those of it
    "npv": lambda c: (c.tn, c.fn, c.tn),  # of the pictures not predicted as the emotion, those not of it
    # harmonic mean of precision and sensitivity; section 4 says accuracy, its figures do not
    "f1": lambda c: (2 * c.tp, 2 * c.tp + c.fn, c.fp),
}
SCORES: Final = tuple(SHARES)


def score(name: str, counts: BinaryCounts) -> float:
    """One of the six scores, 0 to 1; nan where the counts do not define it."""
    part, *kinds = SHARES[name](counts)
    return part / sum(kinds) if sum(kinds) else _NAN


@dataclass(frozen=True, slots=True)
class Threshold:
    """A picture is read as the emotion where its probability is `value` or more."""

    value: float
    how: str  # how a table describes it


HALF: Final = Threshold(0.5, "a half")
#: Of `winners`.
WINNER: Final = Threshold(0.5, "no threshold: the emotion with the highest probability")


def fit_threshold(probabilities: Reals, positive: Bools) -> Threshold:
    """The threshold with the best balanced accuracy, halfway between two values; ties: nearest a half.

    Args:
        probabilities: (T,) of the training data, never of those it is then judged on.
        positive: (T,) whether of the emotion.

    Raises:
        DataError: no picture of the emotion, no picture of another, or a value that is not finite.
    """
    total = int(positive.sum())
    if total in (0, len(positive)):
        raise DataError(
            f"threshold: expected pictures of the emotion and of others, got {total} of {len(positive)}; "
            "choose it on more data, or take a half"
        )
    given = _as_finite(probabilities, "threshold on training data")
    order = np.argsort(given, kind="stable")
    ranked = given[order]  # (T,) rising
    below = np.concatenate([[0], np.cumsum(positive[order])])  # (T + 1,) positives among the lowest i
    others_below = np.arange(len(ranked) + 1) - below  # (T + 1,)
    gain = (total - below) / total + others_below / (len(positive) - total)  # 2 x balanced accuracy at cut i
    cuts = np.flatnonzero(np.diff(ranked)) + 1  # between different values alone
    if not len(cuts) or gain[cuts].max() <= 1:
        return Threshold(0.5, "a half, as none is better than chance on training data")
    best = cuts[np.isclose(gain[cuts], gain[cuts].max(), rtol=0, atol=1e-12)]
    halfway = np.maximum((ranked[best - 1] + ranked[best]) / 2, np.nextafter(ranked[best - 1], np.inf))
    value = float(halfway[np.abs(halfway - 0.5).argmin()])
    return Threshold(value, "best balanced accuracy on training data")


def winners(probabilities: Reals) -> NDArray[np.float64]:
    """(N, K): 1 for the emotion with the highest probability, 0 for the others; nan rows stay.

    For `score_folds` at a half: the 8-way answer itself read one against the rest, where a
    probability need not reach a half to win.
    """
    known = np.isfinite(probabilities).all(axis=1)  # (N,)
    one_hot = np.full(probabilities.shape, np.nan)
    one_hot[known] = np.eye(probabilities.shape[1])[probabilities[known].argmax(axis=1)]
    return one_hot


@dataclass(frozen=True, slots=True, eq=False)
class EmotionScores:
    """The counts of one emotion's folds, and what they were drawn and read with."""

    folds: EmotionFolds
    counts: tuple[BinaryCounts, ...]  # (F,)
    thresholds: tuple[Threshold, ...]  # (F,)


def score_folds(
    folds: EmotionFolds, probabilities: Reals, thresholds: Sequence[Threshold] = (HALF,)
) -> EmotionScores:
    """Read the tests of an emotion's folds one against the rest, with one threshold for all folds, or (F,).

    The (N, K) probabilities are those of all samples; where a design trains by fold, each sample's from the
    network that did not see it. Samples that no test holds may be nan.

    Raises:
        ConfigError: not as many thresholds as folds.
        DataError: a test sample has no finite probability.
    """
    each = tuple(thresholds) * (len(folds.folds) if len(thresholds) == 1 else 1)  # (F,)
    if len(each) != len(folds.folds):
        raise ConfigError(f"thresholds: expected one, or {len(folds.folds)} for the folds, got {len(each)}")
    column = probabilities[:, emotion_index(folds.emotion)]  # (N,)
    counts = []
    for fold, threshold in zip(folds.folds, each, strict=True):
        given = _as_finite(column[fold.test], f"{folds.emotion}, fold {fold.number}")  # (T,)
        counts.append(count(fold.positive, given >= threshold.value))
    return EmotionScores(folds, tuple(counts), each)


def _as_finite(probabilities: Reals, what: str) -> NDArray[np.float64]:
    """(T,) as float64, in which a float32 and a threshold compare exactly."""
    given: NDArray[np.float64] = np.asarray(probabilities, np.float64)
    missing = int((~np.isfinite(given)).sum())
    if missing:
        raise DataError(
            f"{what}: expected a score for every picture, {missing} of {len(given)} have none; "
            "classify them first"
        )
    return given


@dataclass(frozen=True, slots=True)
class ErrorSums:
    """What emotions miss and wrongly claim, together: a test of how a system of eight tests is built.

    Where one network reads each picture as one of eight, a picture that one emotion misses is a false alarm
    of another. With the others balanced over seven emotions, the two figures then are equal in
    expectation, to which separate tests with thresholds of their own are not bound.
    """

    misses: float  # sum over the emotions of the share of its pictures that its tests miss
    alarms: float  # 7 times the sum over the emotions of the share of others that its tests take for it
    ratio: float  # alarms to misses: 1 for one network of eight answers, 7 for tests that err alike


def sum_errors(counts: Mapping[str, Sequence[BinaryCounts]]) -> ErrorSums:
    """Of each emotion to the counts of its folds, rows actual."""
    pooled = [sum(folds, BinaryCounts(0, 0, 0, 0)) for folds in counts.values()]
    misses = sum(1 - score("sensitivity", c) for c in pooled)
    alarms = 7 * sum(1 - score("specificity", c) for c in pooled)
    return ErrorSums(misses, alarms, alarms / misses if misses else _NAN)


@dataclass(frozen=True, slots=True)
class ScoreSummary:
    """One score over the folds of one emotion; nan where no fold defines it."""

    mean: float = _NAN  # of the folds where it is defined
    deviation: float = _NAN  # standard deviation of folds, ddof 1; nan for fewer than two
    low: float = _NAN  # the worst fold
    high: float = _NAN  # the best fold
    wilson_95: tuple[float, float] = (_NAN, _NAN)  # see INTERVALS; nan for F1
    bootstrap_95: tuple[float, float] = (_NAN, _NAN)  # mean of folds drawn with replacement


def summarize(
    counts: Sequence[BinaryCounts], effective: tuple[float, float] | None = None
) -> dict[str, ScoreSummary]:
    """Each of the six scores over (F,) folds.

    `effective` are the sizes of all folds' positives and negatives (`EmotionFolds.effective`); None: as many
    as were drawn, all different.
    """
    pooled = sum(counts, BinaryCounts(0, 0, 0, 0))
    drawn = float(pooled.tp + pooled.fn), float(pooled.fp + pooled.tn)
    weights = [e / d if d else 1.0 for e, d in zip(effective or drawn, drawn, strict=True)]
    summaries = {}
    for name in SCORES:
        values = np.array([score(name, c) for c in counts])  # (F,)
        values = values[~np.isnan(values)]
        if not len(values):
            summaries[name] = ScoreSummary()
            continue
        picked = np.random.default_rng(0).integers(0, len(values), (1000, len(values)))  # draws of folds
        low, high = np.percentile(values[picked].mean(axis=1), [2.5, 97.5])
        summaries[name] = ScoreSummary(
            mean=float(values.mean()),
            deviation=float(values.std(ddof=1)) if len(values) > 1 else _NAN,
            low=float(values.min()),
            high=float(values.max()),
            wilson_95=_wilson(name, pooled, weights),
            bootstrap_95=(float(low), float(high)),
        )
    return summaries


def _wilson(name: str, pooled: BinaryCounts, weights: Sequence[float]) -> tuple[float, float]:
    """Wilson's interval of a share at its effective size.

    `weights` are the effective sizes over the drawn ones, of positives and of negatives.
    """
    part, *kinds = SHARES[name](pooled)
    whole = sum(kinds)
    if name == "f1" or not whole:
        return _NAN, _NAN
    size = max(1, round(whole**2 / sum(kind / weight for kind, weight in zip(kinds, weights, strict=True))))
    return wilson(round(part * size / whole), size)


def compare_models(first: Bools, second: Bools) -> dict[str, Any]:
    """Two models on the same pictures, and whether the difference could be chance.

    The (N,) values say whether each model reads each picture right, in the same order. Both tests compare
    single pictures, each once: pictures that are in several repeated folds must not be given twice.

    Returns:
        `n`, the accuracies `first` and `second`, how many pictures `first_alone` and `second_alone` reads
        right, their `difference` with `interval_95`, and `p` (exact McNemar, two-sided). The interval is
        exact too, given how many pictures one alone reads right: it leaves out zero just where p is below
        0.05.

    Raises:
        DataError: no pictures, arrays of different length, or values that are not bool.
    """
    n = len(first)
    if not n or first.shape != second.shape or not first.dtype == second.dtype == np.bool_:
        raise DataError(
            "comparison: expected two (N,) arrays of bool, whether each picture is read right, got "
            f"{first.shape} of {first.dtype} and {second.shape} of {second.dtype}; give prediction == truth "
            "of the pictures that both models read"
        )
    alone = int((first & ~second).sum()), int((second & ~first).sum())
    return {
        "n": n,
        "first": float(first.mean()),
        "second": float(second.mean()),
        "difference": (alone[0] - alone[1]) / n,
        "interval_95": [(2 * share - 1) * sum(alone) / n for share in clopper_pearson(*alone)],
        "first_alone": alone[0],
        "second_alone": alone[1],
        "p": mcnemar(*alone),
    }


def clopper_pearson(part: int, rest: int) -> tuple[float, float]:
    """The exact 95 % interval of the share that `part` is of both (Clopper, Pearson, Biometrika 26, 1934).

    Shares at which so many, or so few, have a chance of 2.5 %; `mcnemar` asks for that chance at a half.

    >>> "{:.4f} to {:.4f}".format(*clopper_pearson(0, 5))
    '0.0000 to 0.5218'
    """
    total = part + rest
    logs = np.concatenate([[0], np.cumsum(np.log(np.arange(1, total + 1)))])  # of factorials
    ways = logs[total] - logs - logs[::-1]  # (total + 1,) logs of total over i
    i = np.arange(total + 1)

    def chance(share: float, least: int, most: int) -> float:
        """Of `least` to `most` of the total."""
        return float(
            np.exp(ways + i * np.log(share) + (total - i) * np.log1p(-share))[least : most + 1].sum()
        )

    def solve(least: int, most: int, rising: bool) -> float:
        low, high = 0.0, 1.0
        for _ in range(50):
            middle = (low + high) / 2
            below = (chance(middle, least, most) < 0.025) == rising
            low, high = (middle, high) if below else (low, middle)
        return (low + high) / 2

    return solve(part, total, True) if part else 0.0, solve(0, part, False) if rest else 1.0


def mcnemar(first_alone: int, second_alone: int) -> float:
    """Exact two-sided p that the discordant pictures fall to either model alike.

    Twice the smaller binomial tail at a half, 1 at most (McNemar 1947; the exact form, as chi-square
    is off where few differ). Whole numbers until the last division.

    >>> mcnemar(0, 5)
    0.0625
    """
    total = first_alone + second_alone
    term = tail = 1  # of the sum of total-over-i, each term from the one before
    for i in range(min(first_alone, second_alone)):
        term = term * (total - i) // (i + 1)
        tail += term
    return min(1.0, 2 * tail / (1 << total))
