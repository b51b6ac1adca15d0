"""One emotion against the rest: counts once, then the paper's six scores, over folds.

The scores of Beltran Prieto and Kominkova Oplatkova 2018, section 3 and Tables 3-10. A score that
the counts do not define is nan, never 0; means and intervals take the folds where it is defined.

Both readings of the paper come as one array `scores` (N, K): the probabilities of the 8-way network,
or a column from each of eight binary networks.

Legend: N samples; T of a test; F folds; K = 8 emotions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mien.errors import ConfigError, DataError
from mien.evaluate.metrics import wilson
from mien.labels import emotion_index
from mien.paper.folds import EmotionFolds

DRAWS: Final = 1000  # of the bootstrap over folds
#: How the intervals below are made, for the reader of a table.
INTERVALS: Final = (
    "95 % interval: Wilson on the counts of all folds together, at their effective size (Kish), so that "
    "a picture that stands in several folds does not count as several; none for F1, which is no share. "
    "'folds from' and 'to' are a bootstrap over folds; they and the standard deviation of folds (ddof 1) "
    "understate where folds overlap, since such folds share pictures."
)

_NOTHING: Final = (float("nan"), float("nan"))
Reals = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Binary:
    """Confusion counts of one test; `tp + fn` are of the emotion."""

    tp: int
    fn: int
    fp: int
    tn: int

    def __add__(self, other: Binary) -> Binary:
        return Binary(self.tp + other.tp, self.fn + other.fn, self.fp + other.fp, self.tn + other.tn)

    def transposed(self) -> Binary:
        """Actual and read exchanged: sensitivity with precision, specificity with NPV."""
        return Binary(self.tp, self.fp, self.fn, self.tn)


def count(positive: NDArray[np.bool_], read: NDArray[np.bool_]) -> Binary:
    """Counts of (T,) truths against (T,) readings."""
    cells = np.bincount(2 * positive.astype(np.int64) + read, minlength=4)  # tn, fp, fn, tp
    tn, fp, fn, tp = (int(cell) for cell in cells)
    return Binary(tp, fn, fp, tn)


def accuracy(c: Binary) -> float:
    """Right of all."""
    return _ratio(*SHARES["accuracy"](c))


def sensitivity(c: Binary) -> float:
    """Of the emotion's pictures, those read as it."""
    return _ratio(*SHARES["sensitivity"](c))


def specificity(c: Binary) -> float:
    """Of the others' pictures, those not read as it."""
    return _ratio(*SHARES["specificity"](c))


def precision(c: Binary) -> float:
    """Of the pictures read as the emotion, those of it."""
    return _ratio(*SHARES["precision"](c))


def npv(c: Binary) -> float:
    """Negative predictive value: of the pictures not read as the emotion, those not of it."""
    return _ratio(*SHARES["npv"](c))


def f1(c: Binary) -> float:
    """Harmonic mean of precision and sensitivity (section 4 says accuracy, its figures do not)."""
    return _ratio(*SHARES["f1"](c))


#: Score to its numerator, and the pictures of the emotion and of others in its denominator.
SHARES: Final[dict[str, Callable[[Binary], tuple[int, int, int]]]] = {
    "accuracy": lambda c: (c.tp + c.tn, c.tp + c.fn, c.fp + c.tn),
    "sensitivity": lambda c: (c.tp, c.tp + c.fn, 0),
    "specificity": lambda c: (c.tn, 0, c.tn + c.fp),
    "precision": lambda c: (c.tp, c.tp, c.fp),
    "npv": lambda c: (c.tn, c.fn, c.tn),
    "f1": lambda c: (2 * c.tp, 2 * c.tp + c.fn, c.fp),
}
#: The six in the order of the paper's columns.
SCORES: Final[dict[str, Callable[[Binary], float]]] = {
    "accuracy": accuracy,
    "sensitivity": sensitivity,
    "specificity": specificity,
    "precision": precision,
    "npv": npv,
    "f1": f1,
}


@dataclass(frozen=True, slots=True)
class Threshold:
    """A picture is read as the emotion where its score is `value` or more."""

    value: float
    how: str  # what a table says of it


HALF: Final = Threshold(0.5, "a half")


def choose_threshold(scores: Reals, positive: NDArray[np.bool_], *, on: str = "training data") -> Threshold:
    """The threshold with the best balanced accuracy, halfway between two scores; ties: nearest a half.

    Args:
        scores: (T,) of the data it is chosen on, never those it is then judged on.
        positive: (T,) whether of the emotion.
        on: name of those data, for the tables.

    Raises:
        DataError: no picture of the emotion, none of the others, or a score that is not finite.
    """
    total = int(positive.sum())
    if total in (0, len(positive)):
        raise DataError(
            f"threshold: expected pictures of the emotion and of others, got {total} of {len(positive)}; "
            "choose it on more data, or take a half"
        )
    given = _finite(scores, f"threshold on {on}")
    order = np.argsort(given, kind="stable")
    ranked = given[order]  # (T,) rising
    below = np.concatenate([[0], np.cumsum(positive[order])])  # (T + 1,) positives among the lowest i
    lost = np.arange(len(ranked) + 1) - below  # (T + 1,) others among the lowest i
    gain = (total - below) / total + lost / (len(positive) - total)  # 2 x balanced accuracy at cut i
    cuts = np.flatnonzero(np.diff(ranked)) + 1  # between different scores alone
    if not len(cuts) or gain[cuts].max() <= 1:
        return Threshold(0.5, f"a half, as none is better than chance on {on}")
    best = cuts[np.isclose(gain[cuts], gain[cuts].max(), rtol=0, atol=1e-12)]
    halfway = np.maximum((ranked[best - 1] + ranked[best]) / 2, np.nextafter(ranked[best - 1], np.inf))
    value = float(halfway[np.abs(halfway - 0.5).argmin()])
    return Threshold(value, f"best balanced accuracy on {on}")


def winners(probabilities: Reals) -> NDArray[np.float64]:
    """(N, K) scores of 1 for the emotion with the highest probability, 0 for the others; nan rows stay.

    For `score_folds` at a half: the 8-way answer itself read one against the rest, where a
    probability need not reach a half to win.
    """
    known = np.isfinite(probabilities).all(axis=1)  # (N,)
    scores = np.full(probabilities.shape, np.nan)
    scores[known] = np.eye(probabilities.shape[1])[probabilities[known].argmax(axis=1)]
    return scores


@dataclass(frozen=True, slots=True)
class Summary:
    """One score over the folds of one emotion."""

    mean: float  # of the folds where it is defined
    deviation: float  # standard deviation of folds, ddof 1; nan for fewer than two
    low: float  # the worst fold
    high: float  # the best fold
    wilson_95: tuple[float, float]  # see INTERVALS; nan for F1
    bootstrap_95: tuple[float, float]  # mean of folds drawn with replacement


@dataclass(frozen=True, slots=True, eq=False)
class EmotionResult:
    """The counts of one emotion's folds, and what they were drawn and read with."""

    folds: EmotionFolds
    counts: tuple[Binary, ...]  # (F,)
    thresholds: tuple[Threshold, ...]  # (F,)


def score_folds(
    folds: EmotionFolds, scores: Reals, thresholds: Threshold | Sequence[Threshold] = HALF
) -> EmotionResult:
    """Read the tests of an emotion's folds one against the rest.

    Args:
        folds: of one emotion.
        scores: (N, K) of all samples; where a design trains by fold, each sample's from the network
            that did not see it. Samples that no test holds may be nan.
        thresholds: one for all folds, or (F,).

    Raises:
        ConfigError: not as many thresholds as folds.
        DataError: a test sample has no finite score.
    """
    each = (thresholds,) * len(folds.folds) if isinstance(thresholds, Threshold) else tuple(thresholds)
    if len(each) != len(folds.folds):
        raise ConfigError(f"thresholds: expected one, or {len(folds.folds)} for the folds, got {len(each)}")
    column = scores[:, emotion_index(folds.emotion)]  # (N,)
    counts = []
    for fold, threshold in zip(folds.folds, each, strict=True):
        given = _finite(column[fold.test], f"{folds.emotion}, fold {fold.number}")  # (T,)
        counts.append(count(fold.positive, given >= threshold.value))
    return EmotionResult(folds, tuple(counts), each)


def summarize(
    counts: Sequence[Binary], *, effective: tuple[float, float] | None = None, seed: int = 0
) -> dict[str, Summary]:
    """Each of the six scores over folds.

    Args:
        counts: (F,).
        effective: sizes of all folds' positives and negatives (`EmotionFolds.effective`); None: as many
            as were drawn, all different.
        seed: of the bootstrap.
    """
    pooled = sum(counts, Binary(0, 0, 0, 0))
    drawn = float(pooled.tp + pooled.fn), float(pooled.fp + pooled.tn)
    weights = [e / d if d else 1.0 for e, d in zip(effective or drawn, drawn, strict=True)]
    return {name: _summary(name, counts, _wilson(name, pooled, weights), seed) for name in SCORES}


def _summary(name: str, counts: Sequence[Binary], interval: tuple[float, float], seed: int) -> Summary:
    values = np.array([SCORES[name](c) for c in counts])  # (F,)
    values = values[~np.isnan(values)]
    if not len(values):
        return Summary(*(float("nan"),) * 4, _NOTHING, _NOTHING)
    picked = np.random.default_rng(seed).integers(0, len(values), (DRAWS, len(values)))
    low, high = np.percentile(values[picked].mean(axis=1), [2.5, 97.5])
    return Summary(
        mean=float(values.mean()),
        deviation=float(values.std(ddof=1)) if len(values) > 1 else float("nan"),
        low=float(values.min()),
        high=float(values.max()),
        wilson_95=interval,
        bootstrap_95=(float(low), float(high)),
    )


def _wilson(name: str, pooled: Binary, weights: Sequence[float]) -> tuple[float, float]:
    """Wilson's interval of a share at its effective size; `weights` are effective by drawn, of each kind."""
    part, *kinds = SHARES[name](pooled)
    whole = sum(kinds)
    if name == "f1" or not whole:
        return _NOTHING
    size = max(1, round(whole**2 / sum(kind / weight for kind, weight in zip(kinds, weights, strict=True))))
    return wilson(round(part * size / whole), size)


def _finite(scores: Reals, what: str) -> NDArray[np.float64]:
    """(T,) scores as float64, in which a float32 and a threshold compare exactly."""
    given: NDArray[np.float64] = np.asarray(scores, np.float64)
    missing = int((~np.isfinite(given)).sum())
    if missing:
        raise DataError(
            f"{what}: expected a score for every picture, {missing} of {len(given)} have none; "
            "classify them first"
        )
    return given


def _ratio(part: int, positives: int, negatives: int) -> float:
    whole = positives + negatives
    return part / whole if whole else float("nan")
