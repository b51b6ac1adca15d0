"""What makes a network's numbers mean what they say: temperature, sets, doubt, and a lean to the rare.

Everything is fitted on labelled faces that the network did not learn from, and is a handful of numbers:

- `temperature`: divides the logits, so that of the faces read with 80 % confidence 80 % are right.
- `set_from`: the emotions of this share or more hold the label of 90 % of faces, whatever the network.
- `uncertain`: of the faces read with this confidence or more, 90 % are right.
- `strength`: how far the choice leans to emotions that the network seldom gives (policy `balanced`).

How well each holds on faces it was not fitted on is measured by `evaluate.crossfit`.

Legend: N faces, K = 8 emotions; `logits` (N, K) up to a constant a row, `truth` (N,) labels in 0..7.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil, exp, inf, log
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mien.card import ACCURATE, Policy
from mien.evaluate import metrics
from mien.faces.policy import decide, shares
from mien.labels import EMOTIONS

Logits = NDArray[np.floating[Any]]
Probabilities = NDArray[np.float64]
Labels = NDArray[np.int64]

BALANCED: Final = "balanced"
#: Recall that the policy `balanced` must reach, and no more than that, as it costs accuracy.
FLOORS: Final[Mapping[str, float]] = {"contempt": 0.40, "disgust": 0.50, "fear": 0.60}
STEP: Final = 0.02  # of the strength, tried from 0 to 1
WIDEST: Final = 20.0  # temperatures are looked for from 1 / WIDEST to WIDEST
_GOLDEN: Final = (5**0.5 - 1) / 2


@dataclass(frozen=True, slots=True)
class Settings:
    """What is asked of a calibration."""

    coverage: float = 0.9  # share of faces whose set holds the label
    right: float = 0.9  # share of right readings among those that are not uncertain


@dataclass(frozen=True, slots=True)
class Calibration:
    """The fitted numbers, as they stand on the model card."""

    temperature: float
    policies: Mapping[str, Policy]
    uncertain: float  # in [0.5, 1]
    strength: float  # of the policy `balanced`, in [0, 1]


def calibrate(
    logits: Logits, truth: Labels, settings: Settings, *, agreed: Labels | None = None
) -> Calibration:
    """Fit everything on labelled faces.

    Args:
        logits: (N, K) before any temperature.
        truth: (N,) labels.
        settings: coverage and share of right readings.
        agreed: (N,) labels that the floors of recall are counted on, -1 where there is none; None: `truth`.
    """
    temperature = fit_temperature(logits, truth)
    p = softmax(logits, temperature)
    agreed = truth if agreed is None else agreed
    known = agreed >= 0
    strength = fit_strength(p[known], agreed[known], prior=p.mean(axis=0))
    policies = {
        name: Policy(offsets, fit_set(p, truth, Policy(offsets), settings.coverage))
        for name, offsets in (
            (ACCURATE, Policy().offsets),
            (BALANCED, offsets_of(p.mean(axis=0), strength)),
        )
    }
    return Calibration(temperature, policies, fit_uncertain(p, truth, settings.right), strength)


def softmax(logits: Logits, temperature: float = 1.0) -> Probabilities:
    """(N, K) probabilities in float64."""
    scaled = logits.astype(np.float64) / temperature
    raised = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    result: Probabilities = raised / raised.sum(axis=1, keepdims=True)
    return result


def nll_at(logits: Logits, truth: Labels, temperature: float) -> float:
    """Mean negative log-likelihood in nats; unlike `metrics.nll` exact for the smallest probabilities."""
    scaled = logits.astype(np.float64) / temperature
    scaled = scaled - scaled.max(axis=1, keepdims=True)
    given = scaled[np.arange(len(truth)), truth] - np.log(np.exp(scaled).sum(axis=1))  # (N,)
    return float(-given.mean())


def fit_temperature(logits: Logits, truth: Labels) -> float:
    """The temperature with the least negative log-likelihood (Guo et al., arXiv:1706.04599, section 4.2).

    The likelihood is convex in 1 / temperature, so that it has one valley in log temperature too. A network
    that learnt shares of votes is too modest against labels of one word: expect less than 1.

    >>> logits = np.log(np.array([[0.6, 0.4], [0.6, 0.4], [0.6, 0.4]]))
    >>> p = softmax(logits, fit_temperature(logits, np.array([0, 0, 1])))
    >>> round(float(p[0, 0]), 3)  # right in two of three
    0.667
    """
    return exp(_valley(lambda x: nll_at(logits, truth, exp(x)), -log(WIDEST), log(WIDEST)))


def quantile(scores: NDArray[np.floating[Any]], coverage: float) -> float:
    """The ceil((N + 1) coverage)-th smallest score, infinity if there is no such.

    A further score of the same kind is no greater with a probability of at least `coverage`, for any N and
    any distribution (Vovk et al. 2005; Angelopoulos and Bates, arXiv:2107.07511, section 1).

    >>> quantile(np.arange(9.0), 0.9), quantile(np.arange(8.0), 0.9)
    (8.0, inf)
    """
    rank = ceil(round((len(scores) + 1) * coverage, 9))
    return inf if rank > len(scores) else float(np.sort(scores)[rank - 1])


def fit_set(p: Probabilities, truth: Labels, policy: Policy, coverage: float) -> float:
    """The share from which on emotions are in the set, so that sets hold the label of `coverage` of faces.

    Sadinle, Lei and Wasserman (arXiv:1609.00451): sets of all labels above one threshold are the smallest on
    average; docs/model.md has them beside the adaptive sets of Romano et al. (arXiv:2006.02544) and
    Angelopoulos et al. (arXiv:2009.14193). On the shares of a policy that lifts rare emotions the sets hold
    rare labels more often, as the prevalence-adjusted scores of Ding et al. (arXiv:2507.06867).
    """
    given = shares(p, policy)[np.arange(len(truth)), truth]  # (N,)
    return max(0.0, -quantile(-given, coverage))


def fit_uncertain(p: Probabilities, truth: Labels, right: float) -> float:
    """The least confidence from which on a share of `right` readings is right; at least 0.5, at most 1.

    One error is added to those that are counted, as in conformal risk control (arXiv:2208.02814), so that
    few faces give no false security. From 0.5 on the emotion shown is the likeliest under any policy, so
    that one threshold serves all of them.
    """
    order = np.argsort(-p.max(axis=1), kind="stable")
    sure = p.max(axis=1)[order]  # (N,) falling
    wrong = (p.argmax(axis=1) != truth)[order].cumsum()  # (N,) errors among the surest 1, 2, ...
    kept = np.arange(1, len(truth) + 1)
    whole = np.append(sure[:-1] != sure[1:], True)  # a threshold keeps all of the equally sure
    held = np.flatnonzero((wrong + 1 <= (1 - right) * (kept + 1)) & whole)
    least = float(sure[held[-1]]) if len(held) else 1.0
    return min(1.0, max(0.5, least))


def offsets_of(prior: NDArray[np.float64], strength: float) -> tuple[float, ...]:
    """- strength log prior, the largest prior's being 0 (logit adjustment, arXiv:2007.07314, section 4.1).

    Strength 0 leaves the choice as it is; 1 treats every emotion as if it were as frequent as the others.
    `prior` is the mean of the network's own probabilities: what it has learnt to expect, whatever its
    training did about rare emotions.
    """
    logs = np.log(np.maximum(prior, np.finfo(np.float64).tiny))
    return tuple((strength * (logs.max() - logs)).tolist())


def fit_strength(
    p: Probabilities,
    truth: Labels,
    *,
    prior: NDArray[np.float64],
    floors: Mapping[str, float] = FLOORS,
) -> float:
    """The least strength at which every floor of recall is reached; 1 if none does it.

    One number, not eight: with 16 faces of contempt free offsets learn the faces, not the emotion (the
    table of docs/model.md). An emotion without faces has no floor.
    """
    for strength in np.arange(0, 1 + STEP / 2, STEP).round(6).tolist():
        shown = decide(p, Policy(offsets_of(prior, strength))).shown
        recall = metrics.recall(metrics.confusion(truth, shown))  # (K,)
        if not any(recall[EMOTIONS.index(emotion)] < floor for emotion, floor in floors.items()):
            return float(strength)
    return 1.0


def _valley(value: Callable[[float], float], low: float, high: float, *, close: float = 1e-6) -> float:
    """Where a function with one valley is least: golden section (Kiefer 1953)."""
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = value(left), value(right)
    while high - low > close:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = value(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = value(right)
    return (low + high) / 2
