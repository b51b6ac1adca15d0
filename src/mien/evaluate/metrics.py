"""Scores: the pictures are counted once, and each score is a short function of the counts.

Votes become labels under a protocol, `majority` or `argmax`: the two readings of FER+'s ten votes that
published figures use (Barsoum et al., arXiv:1608.01041). `majority` is what Microsoft's FERPlus code trains
and tests with (`src/ferplus.py`, `_process_data`, mode "majority"); `argmax` keeps nearly every picture,
and is therefore the harder one.

A value that the data do not define (the recall of an emotion of which there is no picture) is nan,
never 0; a mean over emotions takes only those for which the value is defined.

Legend: N samples, K = 8 emotions; `counts` is the (K, K) confusion matrix, rows true, columns predicted;
votes are (N, 10): the eight of `labels.EMOTIONS`, unknown, not a face.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from math import sqrt
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mien.errors import ConfigError
from mien.faces.policy import Decisions
from mien.labels import EMOTIONS
from mien.types import Floats, Sample

Counts = NDArray[np.int64]  # (K, K)
Values = NDArray[np.float64]  # (K,) one per emotion, nan where undefined
Figures = dict[str, float | Values]  # by name, one number or one per emotion

LEFT_OUT: Final = -1  # the label of a sample that the protocol does not score

Labels = NDArray[np.int64]  # (N,) index into EMOTIONS, or LEFT_OUT
Votes = NDArray[np.int64]  # (N, 10)

K: Final = len(EMOTIONS)
Z95: Final = 1.959963984540054  # the 97.5 % point of the normal distribution


# --- votes to labels


def majority(samples: Sequence[Sample]) -> Labels:
    """(N,) labels of the samples on which the voters agree, the others `LEFT_OUT`.

    Emotions with a single vote are set to zero; the winner must then hold more than half of the votes
    that are left, unknown and not-a-face counted. No such winner, or unknown or not-a-face as the
    winner: left out.

    # Deviates: a sample with one vote in all has a label that somebody gave (a folder per emotion), not
    an outlier among ten; it is kept. FER+ has ten votes per picture and no such sample.
    """
    votes = count_votes(samples)
    alone = votes.sum(axis=1, keepdims=True) == 1  # (N, 1)
    kept = np.where((votes > 1) | alone, votes, 0)  # (N, 10)
    return _label_winners(kept, 2 * kept.max(axis=1, initial=0) > kept.sum(axis=1))


def argmax(samples: Sequence[Sample]) -> Labels:
    """(N,) labels with the most votes over all ten columns, single votes included.

    Ties go to the first in the order of the columns (neutral first; unknown and not-a-face last, so
    that they lose every tie with an emotion). Unknown or not-a-face as the winner, or no votes at
    all: left out.
    """
    votes = count_votes(samples)
    return _label_winners(votes, votes.sum(axis=1) > 0)


#: Name to the function that labels samples.
PROTOCOLS: Final[dict[str, Callable[[Sequence[Sample]], Labels]]] = {
    "majority": majority,
    "argmax": argmax,
}


def accuracies(guess: Labels, samples: Sequence[Sample]) -> dict[str, float]:
    """Accuracy of (N,) predicted labels of N samples under each protocol, and the number it is of."""
    figures: dict[str, float] = {}
    for name, protocol in PROTOCOLS.items():
        truth = protocol(samples)
        used = truth != LEFT_OUT
        figures[name] = round(float((guess[used] == truth[used]).mean()), 5)
        figures[f"n_{name}"] = int(used.sum())
    return figures


def count_votes(samples: Sequence[Sample]) -> Votes:
    """(N, 10) votes: eight emotions, unknown, not a face; zeros where a sample has none."""
    none = (0,) * len(EMOTIONS)
    rows = [(*(s.votes or none), s.unknown, s.not_face) for s in samples]
    return np.array(rows, np.int64).reshape(-1, len(EMOTIONS) + 2)


def check_protocol(name: str) -> None:
    """Raise a ConfigError that lists the protocols unless `name` is one of them."""
    if name not in PROTOCOLS:
        raise ConfigError(f"--protocol: expected one of {', '.join(PROTOCOLS)}, got {name!r}")


def _label_winners(votes: Votes, decided: NDArray[np.bool_]) -> Labels:
    winner = votes.argmax(axis=1)  # (N,)
    return np.where(decided & (winner < len(EMOTIONS)), winner, LEFT_OUT)


# --- scores


def confusion(truth: NDArray[np.int64], guess: NDArray[np.int64]) -> Counts:
    """(K, K) counts from (N,) true and (N,) predicted labels, each in 0..7."""
    counts: Counts = np.bincount(truth * K + guess, minlength=K * K).astype(np.int64)
    return counts.reshape(K, K)


def accuracy(counts: Counts) -> float:
    """The share of pictures that is predicted right."""
    return _ratio(counts.trace(), counts.sum())


def recall(counts: Counts) -> Values:
    """(..., K) of (..., K, K): of the pictures of an emotion, the share predicted as it (sensitivity)."""
    return divide(counts.diagonal(axis1=-2, axis2=-1), counts.sum(axis=-1))


def precision(counts: Counts) -> Values:
    """(K,) of the pictures predicted as an emotion, the share that is of it."""
    return divide(counts.diagonal(), counts.sum(axis=0))


def f1(counts: Counts) -> Values:
    """(..., K) harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN); nan without pictures."""
    pictures = counts.sum(axis=-1)
    scores = divide(2 * counts.diagonal(axis1=-2, axis2=-1), pictures + counts.sum(axis=-2))
    return np.where(pictures > 0, scores, np.nan)


def balanced_accuracy(counts: Counts) -> float:
    """The mean recall of the emotions that have pictures: chance is one over their number."""
    return float(mean_defined(recall(counts)))


def macro_f1(counts: Counts) -> float:
    """The mean F1 of the emotions that have pictures."""
    return float(mean_defined(f1(counts)))


def specificity(counts: Counts) -> Values:
    """(K,) of the other emotions' pictures, the share not predicted as it; each other weighs the same."""
    return _specificity_of(divide(counts, counts.sum(axis=1, keepdims=True)))


def one_vs_rest(counts: Counts) -> Values:
    """(K,) accuracy of one emotion against the rest at 50:50, half of each test its own pictures.

    The paper's test (Beltran Prieto and Kominkova Oplatkova 2018, section 3: one emotion against the
    other seven, balanced over the seven), in expectation over its draws. Chance is 1/2, not 1/8.
    """
    return (recall(counts) + specificity(counts)) / 2


def detection(
    probabilities: Floats, truth: NDArray[np.int64], thresholds: NDArray[np.floating[Any]]
) -> Values:
    """(K,) the same with each emotion asked for alone; of (N, K) probabilities and (N,) labels.

    The (K,) thresholds are the emotions' mean probabilities. By Bayes' rule, a probability divided by its
    mean is how much likelier these pixels are where the emotion is shown than on any face. So where half of
    the faces show an emotion and half the seven others in equal parts (the paper's test, section 3), it is
    likelier than not where its ratio is at least the mean of the others': then it is shown.
    """
    ratios = probabilities / np.maximum(thresholds, np.finfo(np.float32).tiny)  # (N, K)
    found = ratios >= ratios.mean(axis=1, keepdims=True)  # (N, K)
    rates = np.full((K, K), np.nan)  # of the pictures of an emotion (row), the share in which each is found
    for k in np.unique(truth):
        rates[k] = found[truth == k].mean(axis=0)
    return (rates.diagonal() + _specificity_of(rates)) / 2


def decision_figures(decisions: Decisions, known: NDArray[Any], truth: NDArray[np.int64]) -> Figures:
    """What a policy's decisions are worth: the emotion shown, the set it may be of, and the doubt.

    Args:
        decisions: for N faces.
        known: (N,) which of them are counted, or the numbers of these: n that have a label.
        truth: (n,) their labels.
    """
    shown = decisions.shown[known]
    counts = confusion(truth, shown)
    figures: Figures = {
        "accuracy": accuracy(counts),
        "balanced accuracy": balanced_accuracy(counts),
        "recall": recall(counts),
    }
    if decisions.member is not None:
        member = decisions.member[known]
        held = member[np.arange(len(truth)), truth]  # (n,) whether the label is in the set
        figures["coverage"] = _ratio(held.sum(), len(held))
        figures["set size"] = float(member.sum(axis=1).mean())
        figures["coverage by emotion"] = divide(
            np.bincount(truth[held], minlength=K), np.bincount(truth, minlength=K)
        )
    if decisions.uncertain is not None:
        unsure = decisions.uncertain[known]
        figures["uncertain"] = _ratio(unsure.sum(), len(unsure))
        figures["right if certain"] = _ratio((shown == truth)[~unsure].sum(), (~unsure).sum())
    return figures


def ece(probabilities: Floats, truth: NDArray[np.int64], bins: int = 15) -> float:
    """Expected calibration error of (N, K) probabilities against (N,) labels.

    |accuracy - confidence| over equal bins of confidence, ((m - 1) / bins, m / bins] (Guo et al.,
    arXiv:1706.04599, sections 2 and 5).
    """
    if not len(truth):
        return float("nan")
    confidence = probabilities.max(axis=1).astype(np.float64)  # (N,)
    right = probabilities.argmax(axis=1) == truth  # (N,)
    where = np.clip(np.ceil(confidence * bins) - 1, 0, bins - 1).astype(np.int64)  # (N,)
    gaps = np.bincount(where, weights=right - confidence, minlength=bins)  # (bins,) sums of differences
    return float(np.abs(gaps).sum() / len(truth))


def brier(probabilities: Floats, truth: NDArray[np.int64]) -> float:
    """Mean squared distance of (N, K) probabilities from the truth, 0 (right and sure) to 2 (Brier 1950)."""
    wrong = probabilities.astype(np.float64) - np.eye(K)[truth]  # (N, K)
    return _ratio((wrong**2).sum(), len(truth))


def nll(probabilities: Floats, truth: NDArray[np.int64]) -> float:
    """Mean negative log-likelihood in nats; a probability of 0 counts as float32's smallest normal number."""
    given = probabilities[np.arange(len(truth)), truth].astype(np.float64)  # (N,)
    return _ratio(-np.log(np.maximum(given, np.finfo(np.float32).tiny)).sum(), len(truth))


def wilson(right: int, total: int) -> tuple[float, float]:
    """The 95 % score interval of a share (E. B. Wilson, JASA 22, 1927)."""
    if total == 0:
        return float("nan"), float("nan")
    share, weight = right / total, Z95 * Z95 / total
    centre = (share + weight / 2) / (1 + weight)
    half = Z95 / (1 + weight) * sqrt(share * (1 - share) / total + weight / (4 * total))
    return 0.0 if right == 0 else centre - half, 1.0 if right == total else centre + half


def bootstrap(
    counts: Counts, score: Callable[[Counts], Values], *, draws: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """A 95 % percentile interval of the mean of `recall` or `f1` over the emotions that have pictures.

    The pictures are drawn again with replacement. Drawing N of them is drawing their cells of the matrix from
    a multinomial distribution.
    """
    total = int(counts.sum())
    if total == 0:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(total, counts.ravel() / total, size=draws).reshape(draws, K, K)
    low, high = np.percentile(mean_defined(score(drawn)), [2.5, 97.5])
    return float(low), float(high)


def mean_defined(values: Values) -> Values:
    """The means over the last axis of the values that are defined; nan where none is."""
    defined = ~np.isnan(values)
    return divide(np.where(defined, values, 0).sum(axis=-1), defined.sum(axis=-1))


def divide(part: NDArray[Any], whole: NDArray[Any]) -> Values:
    """Part by whole, in the shape that both broadcast to; nan where the whole is 0."""
    part, whole = np.broadcast_arrays(part, whole)
    return np.asarray(np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole != 0))


def to_json(value: Any, digits: int | None = None) -> Any:
    """Records, arrays and tuples as JSON has them: emotions by name, nan as None; floats to `digits`."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {key: to_json(one, digits) for key, one in value.items()}
    if isinstance(value, np.ndarray) and value.ndim == 2:
        return value.tolist()
    if isinstance(value, np.ndarray):
        return {e: to_json(one, digits) for e, one in zip(EMOTIONS, value.tolist(), strict=True)}
    if isinstance(value, tuple):
        return [to_json(one, digits) for one in value]
    if isinstance(value, float):
        number = float(value)
        return None if np.isnan(value) else number if digits is None else round(number, digits)
    return value


def _specificity_of(rates: Values) -> Values:
    """(K,) from (K, K) rates at which each emotion's pictures (rows) are predicted as each (columns)."""
    others = rates.copy()
    np.fill_diagonal(others, np.nan)
    return 1 - mean_defined(others.T)


def _ratio(part: Any, whole: Any) -> float:
    return float(part) / float(whole) if whole else float("nan")
