"""How well a calibration holds on faces that it was not fitted on.

The faces are cut in two at random; what one half fits is applied to the other, and the other way round, so
that every face is read once by numbers that never saw it. The figures of such a cut are those of all faces;
many cuts show how far they depend on chance.

Legend: N faces, K = 8 emotions, S cuts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mien.evaluate import metrics
from mien.evaluate.calibrate import Calibration, Labels, Logits, Probabilities, softmax
from mien.evaluate.policies import Figures, policy_figures
from mien.faces.policy import Decisions, decide
from mien.labels import EMOTIONS

SPLITS: Final = 50

#: Logits and the rows to fit on, to a calibration.
Fit = Callable[[NDArray[np.int64]], Calibration]


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """What N faces are given by numbers fitted on the other half of them."""

    p: Probabilities  # (N, K)
    first: NDArray[np.bool_]  # (N,) of the first half
    policies: Mapping[str, Decisions]
    fits: tuple[Calibration, Calibration]


def crossfit(
    logits: Logits, fit: Fit, labels: Mapping[str, Labels], *, splits: int = SPLITS, seed: int = 0
) -> dict[str, Any]:
    """The figures of faces not fitted on: mean and the range of 95 % of the cuts.

    Args:
        logits: (N, K) before any temperature.
        fit: rows of the faces to fit on, to a calibration.
        labels: name of a protocol to (N,) labels, -1 where it gives none.
        splits: number of cuts.
        seed: of the cuts.

    Returns:
        For each protocol its figures, by name: `{"mean", "low", "high"}`, one number or one an emotion.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, list[Figures]] = {name: [] for name in labels}
    for _ in range(splits):
        cut = hold_out(logits, fit, rng.permutation(len(logits)))
        for name, truth in labels.items():
            found[name].append(measure(cut, truth, rng))
    return {
        name: _before(softmax(logits[truth >= 0]), truth[truth >= 0]) | _summary(found[name])
        for name, truth in labels.items()
    }


def hold_out(logits: Logits, fit: Fit, order: NDArray[np.int64]) -> HeldOut:
    """Each half of the faces, cut in two by `order` (N,), read by what the other half fits."""
    halves = np.split(order, [len(order) // 2])
    fits = (fit(halves[1]), fit(halves[0]))
    p = np.empty((len(order), metrics.K))
    first = np.zeros(len(order), np.bool_)
    first[halves[0]] = True
    said: dict[str, list[Decisions]] = {name: [] for name in fits[0].policies}
    for half, one in zip(halves, fits, strict=True):
        p[half] = softmax(logits[half], one.temperature)
        for name, policy in one.policies.items():
            said[name].append(decide(p[half], policy, one.uncertain))
    back = np.argsort(order)  # from the halves one after the other to the faces' own order
    joined = {name: _join(parts, back) for name, parts in said.items()}
    return HeldOut(p, first, joined, fits)


def measure(cut: HeldOut, truth: Labels, rng: np.random.Generator) -> Figures:
    """The figures of one cut against (N,) labels."""
    known = truth >= 0
    p, y = cut.p[known].astype(np.float32), truth[known]
    half = cut.first[known]
    fits = cut.fits
    figures: Figures = {
        "temperature": float(np.mean([one.temperature for one in fits])),
        "strength": float(np.mean([one.strength for one in fits])),
        "ece": metrics.ece(p, y),
        "ece if right": _floor(p, rng),
        "ece of one half": metrics.ece(p[half], y[half]),
        "ece of one half if right": _floor(p[half], rng),
        "nll": metrics.nll(p, y),
        "aurc": risk_coverage_area(p.max(axis=1), p.argmax(axis=1) == y),
    }
    for name, said in cut.policies.items():
        figures |= {f"{name}/{key}": value for key, value in policy_figures(said, known, y).items()}
        one_half = policy_figures(said, known & cut.first, y[half])
        figures[f"{name}/coverage of one half"] = one_half.get("coverage", np.nan)
    return figures


def risk_coverage_area(confidence: NDArray[np.floating[Any]], right: NDArray[np.bool_]) -> float:
    """The mean error of the surest 1, 2, ..., N readings: the area under the risk-coverage curve.

    Geifman, Uziel and El-Yaniv, arXiv:1805.08206, section 2; 0 is best, the error of all where the
    confidence says nothing.

    >>> risk_coverage_area(np.array([0.9, 0.8]), np.array([True, False]))
    0.25
    """
    wrong = ~right[np.argsort(-confidence, kind="stable")]
    return float((wrong.cumsum() / np.arange(1, len(right) + 1)).mean())


def _before(p: Probabilities, truth: Labels) -> dict[str, Any]:
    """What needs no fit: numbers of faces, accuracy with its interval, the raw probabilities' figures."""
    raw = p.astype(np.float32)
    right = int((raw.argmax(axis=1) == truth).sum())
    return {
        "n": len(truth),
        "n of": _plain(np.bincount(truth, minlength=metrics.K)),
        "accuracy": _plain(right / max(1, len(truth))),
        "accuracy 95": [_plain(end) for end in metrics.wilson(right, len(truth))],
        "ece before": _plain(metrics.ece(raw, truth)),
        "nll before": _plain(metrics.nll(raw, truth)),
    }


def _floor(p: NDArray[np.float32], rng: np.random.Generator) -> float:
    """The ECE that these very confidences would have if each were right: it is never 0 for a finite N.

    Right with the stated probability, drawn once; the cuts average it (Roelofs et al., arXiv:2012.08668).
    """
    right = rng.random(len(p)) < p.max(axis=1)
    return metrics.ece(p, np.where(right, p.argmax(axis=1), p.argmin(axis=1)))


def _join(parts: list[Decisions], back: NDArray[np.int64]) -> Decisions:
    members = [part.member for part in parts if part.member is not None]
    doubts = [part.uncertain for part in parts if part.uncertain is not None]
    return Decisions(
        np.concatenate([part.shown for part in parts])[back],
        np.concatenate(members)[back] if members else None,
        np.concatenate(doubts)[back] if doubts else None,
    )


def _summary(cuts: list[Figures]) -> dict[str, Any]:
    """Mean and the range of 95 % of the cuts; arrays by emotion, the policies' figures by policy."""
    found: dict[str, Any] = {"policies": {}}
    for name in cuts[0]:
        policy, _, key = name.rpartition("/")
        place = found["policies"].setdefault(policy, {}) if policy else found
        place[key] = _range(np.array([cut[name] for cut in cuts]))
    return found


def _range(values: NDArray[np.float64]) -> dict[str, Any]:
    low, high = np.percentile(values, [2.5, 97.5], axis=0)  # nan where undefined in every cut
    return {"mean": _plain(values.mean(axis=0)), "low": _plain(low), "high": _plain(high)}


def _plain(value: Any) -> Any:
    """Numbers, or emotions to numbers; None where undefined, six digits as the rest is chance."""
    if np.ndim(value):
        return dict(zip(EMOTIONS, map(_plain, value), strict=True))
    return None if np.isnan(value) else round(float(value), 6)
