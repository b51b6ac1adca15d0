"""Calibration: temperature, sets of emotions, the threshold of uncertainty, and a lean to rare emotions.

Everything is fitted on labelled faces that the network did not learn from, and is a handful of numbers:

- `temperature`: divides the logits, so that of the faces predicted with 80 % confidence 80 % are right.
- `set_from`: the emotions of this share or more hold the label of 90 % of faces, whatever the network.
- `uncertain`: of the faces predicted with this confidence or more, 90 % are right.
- `strengths`: how far the choice leans to emotions that the network seldom gives: the policy `accurate` as
  far as costs next to nothing, `balanced` as far as rare emotions need.

How well each holds on faces it was not fitted on is measured by cross-fitting: the faces are split in two at
random; what one half fits is applied to the other, and the other way round, so that every face is judged once
by numbers that never saw it. Many such splits show how far the figures depend on chance. Where the corpus
knows who is who, no person is in both halves.

Legend: N faces, K = 8 emotions; `logits` (N, K) up to a constant per row, `truth` (N,) labels in 0..7.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from math import ceil, exp, inf, log, nan
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mien._version import __version__
from mien.card import ACCURATE, ModelCard, Policy
from mien.errors import ConfigError, DataError
from mien.evaluate import metrics
from mien.evaluate.judge import Predictions
from mien.evaluate.metrics import PROTOCOLS, Figures, Labels, check_protocol, to_json
from mien.faces import network
from mien.faces.policy import Decisions, decide, shares
from mien.labels import EMOTIONS
from mien.types import Floats

Logits = NDArray[np.floating[Any]]
Probabilities = NDArray[np.float64]

#: Recall that the policy `balanced` must reach, and no more than that, as it costs accuracy.
FLOORS: Final[Mapping[str, float]] = {"contempt": 0.55, "disgust": 0.70, "fear": 0.80}
FLOORS_PROTOCOL: Final = "majority"  # the labels that the floors of recall are counted on
LEAN_COST: Final = 0.003  # accuracy that the lean of the policy `accurate` may cost
STRENGTHS: Final = tuple(step / 50 for step in range(51))  # of a lean; finer is chance
DRAWS: Final = 20  # of persons with replacement, in each split, for intervals of a comparison
_COMPARED: Final = ("accuracy", "coverage", "set size", "uncertain", "right if certain")  # of a policy
DIGITS: Final = 6  # of figures on the card; the rest is chance
MIN_FACES: Final = 20  # labelled; with fewer no set of 90 % is smaller than all emotions, in halves


@dataclass(frozen=True, slots=True)
class CalibrateOptions:
    """What a calibration aims at, and how it is measured."""

    coverage: float = 0.9  # share of faces whose set holds the label
    right: float = 0.9  # share of right predictions among those that are not uncertain
    protocol: str = "argmax"  # what counts as right; it labels nearly every face, unlike `majority`
    splits: int = 50  # random splits into halves
    seed: int = 0  # of the splits
    least: int = 0  # faces that an emotion needs, to have a floor of recall
    compare: bool = False  # also by the numbers that the card had before, with intervals

    def __post_init__(self) -> None:
        for option, value in (("--coverage", self.coverage), ("--right", self.right)):
            if not 0 < value < 1:
                raise ConfigError(f"{option}: expected a share between 0 and 1, got {value:g}")
        check_protocol(self.protocol)


@dataclass(frozen=True, slots=True)
class Calibration:
    """The fitted numbers, as the model card holds them."""

    temperature: float
    policies: Mapping[str, Policy]
    uncertain: float  # in [0.5, 1]
    strengths: Mapping[str, float]  # of each policy's lean, in [0, 1]


#: Indices of the faces to fit on, to a calibration.
Fit = Callable[[NDArray[np.int64]], Calibration]


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Probabilities and decisions for N faces, each by numbers fitted on the half that it is not in."""

    p: Probabilities  # (N, K)
    first: NDArray[np.bool_]  # (N,) which faces are of the first half
    decisions: Mapping[str, Decisions]  # of each policy
    fits: tuple[Calibration, Calibration]  # what the first half was given by, and the second


def calibrate_card(
    card: ModelCard, corpus: str, predictions: Predictions, options: CalibrateOptions
) -> ModelCard:
    """The card with temperature, policies, threshold of uncertainty, and their figures on held-out faces.

    Args:
        card: of the network.
        corpus: name of the faces, e.g. "ferplus/valid".
        predictions: what the network gives at temperature 1, whatever the card says.
        options: coverage, share of right predictions, protocol, splits and seed.

    Raises:
        DataError: fewer than `MIN_FACES` faces have a label.
    """
    logits: Floats = np.log(np.maximum(predictions.probabilities, np.finfo(np.float32).tiny))  # (N, K)
    labels = {name: label(predictions.samples) for name, label in PROTOCOLS.items()}
    agreed = labels[FLOORS_PROTOCOL]
    known = labels[options.protocol] >= 0  # (N,)
    n = int(known.sum())
    if n < MIN_FACES:
        raise DataError(f"{corpus}: expected at least {MIN_FACES} faces with a label, got {n}; give more")

    numbers = np.bincount(agreed[agreed >= 0], minlength=metrics.K)
    floors = {e: floor for e, floor in FLOORS.items() if numbers[EMOTIONS.index(e)] >= options.least}
    kept = None
    if not floors and (lean := card.policies.get("balanced")):
        kept = Policy(tuple(card.temperature * offset for offset in lean.offsets))

    def fit(rows: NDArray[np.int64]) -> Calibration:
        rows = rows[known[rows]]
        truth = labels[options.protocol][rows]
        return calibrate(logits[rows], truth, options, floor_labels=agreed[rows], floors=floors, kept=kept)

    whole = fit(np.arange(len(logits)))
    # single labels are the same under every protocol: then one is enough
    measured = {
        name: truth
        for name, truth in labels.items()
        if (truth >= 0).any() and (truth is agreed or (truth != agreed).any())
    }
    persons = [sample.person for sample in predictions.samples]
    groups = None
    if None not in persons and len(set(persons)) > 1:
        groups = np.unique(np.array(persons), return_inverse=True)[1]
    # For emotions asked for alone, `metrics.detection`: what it divides the probabilities by.
    thresholds = network.softmax(logits[known] / np.float32(whole.temperature)).mean(axis=0)
    record = {
        "data": corpus,
        "faces": len(logits),
        "faces_sha256": sha256(b"".join(predictions.digests)).hexdigest()[:16],
        "protocol": options.protocol,
        "n": n,
        "coverage": options.coverage,
        "right": options.right,
        "floors": floors,
        "lean cost": LEAN_COST,
        "strengths": to_json(whole.strengths, DIGITS),
        "splits": options.splits,
        "seed": options.seed,
        "mien": __version__,
        "held_out": crossfit(logits, fit, measured, splits=options.splits, seed=options.seed, groups=groups),
    }
    if options.compare:
        truth = labels[options.protocol]
        some = None if groups is None else groups[known]
        record["compared"] = compare_cards(
            card, logits[known], truth[known], options, floors=floors, kept=kept, groups=some
        )
    return replace(
        card,
        temperature=whole.temperature,
        policies=whole.policies,
        uncertain=whole.uncertain,
        thresholds=tuple(thresholds.tolist()),
        calibration=record,
    )


def calibrate(
    logits: Logits,
    truth: Labels,
    options: CalibrateOptions,
    *,
    floor_labels: Labels | None = None,
    floors: Mapping[str, float] = FLOORS,
    kept: Policy | None = None,
) -> Calibration:
    """Fit everything on (N, K) logits, before any temperature, and (N,) labels.

    The floors of recall are counted on `floor_labels` (N,), -1 where there is none; None: on `truth`. With
    `kept`, whose offsets are those at temperature 1, the policy `balanced` shows what this one shows.
    """
    temperature = fit_temperature(logits, truth)
    p = softmax(logits, temperature)
    prior = p.mean(axis=0)
    floor_labels = truth if floor_labels is None else floor_labels
    known = floor_labels >= 0
    strengths = {
        ACCURATE: fit_lean(p, prior=prior),
        "balanced": fit_strength(p[known], floor_labels[known], prior=prior, floors=floors),
    }
    leans = {name: Policy(make_offsets(prior, strength)) for name, strength in strengths.items()}
    if kept is not None:
        leans["balanced"], strengths["balanced"] = Policy(tuple(o / temperature for o in kept.offsets)), nan
    policies = {
        name: replace(lean, set_from=fit_set(p, truth, lean, options.coverage))
        for name, lean in leans.items()
    }
    return Calibration(temperature, policies, fit_uncertain(p, truth, options.right), strengths)


def softmax(logits: Logits, temperature: float = 1.0) -> Probabilities:
    """(N, K) probabilities in float64."""
    scaled = logits.astype(np.float64) / temperature
    raised = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    result: Probabilities = raised / raised.sum(axis=1, keepdims=True)
    return result


def fit_temperature(logits: Logits, truth: Labels) -> float:
    """The temperature (arXiv:1706.04599, section 4.2) at which the mean confidence is the accuracy.

    It is looked for from 1/20 to 20; the higher it is, the less the confidence. A network that learnt shares
    of votes is too modest against labels of one word: expect less than 1.

    # Deviates: Guo et al. take the least negative log-likelihood; benchmarks/results/network.md has both.

    >>> logits = np.log(np.array([[0.6, 0.4], [0.6, 0.4], [0.6, 0.4]]))
    >>> p = softmax(logits, fit_temperature(logits, np.array([0, 0, 1])))
    >>> round(float(p[0, 0]), 3)  # right in two of three
    0.667
    """
    accuracy = float((logits.argmax(axis=1) == truth).mean())
    low, high = -log(20), log(20)
    while high - low > 1e-6:
        middle = (low + high) / 2
        sure = softmax(logits, exp(middle)).max(axis=1).mean() > accuracy
        low, high = (middle, high) if sure else (low, middle)
    return exp((low + high) / 2)


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
    average; benchmarks/results/network.md compares them with the adaptive sets of Romano et al.
    (arXiv:2006.02544) and Angelopoulos et al. (arXiv:2009.14193). On the
    shares of a policy that lifts rare emotions the sets hold rare labels more often, as the
    prevalence-adjusted scores of Ding et al. (arXiv:2507.06867).
    """
    given = shares(p, policy)[np.arange(len(truth)), truth]  # (N,)
    return max(0.0, -quantile(-given, coverage))


def fit_uncertain(p: Probabilities, truth: Labels, right: float) -> float:
    """The least confidence from which on a share of `right` predictions is right; at least 0.5, at most 1.

    One error is added to those that are counted, as in conformal risk control (arXiv:2208.02814), so that
    few faces give no false security. From 0.5 on the emotion shown is the likeliest under any policy, so
    that one threshold serves all of them.
    """
    order = np.argsort(-p.max(axis=1), kind="stable")
    confidence = p.max(axis=1)[order]  # (N,) falling
    wrong = (p.argmax(axis=1) != truth)[order].cumsum()  # (N,) errors among the surest 1, 2, ...
    kept = np.arange(1, len(truth) + 1)
    whole = np.append(confidence[:-1] != confidence[1:], True)  # a threshold keeps all of the equally sure
    allowed = np.flatnonzero((wrong + 1 <= (1 - right) * (kept + 1)) & whole)
    least = float(confidence[allowed[-1]]) if len(allowed) else 1.0
    return min(1.0, max(0.5, least))


def make_offsets(prior: NDArray[np.float64], strength: float) -> tuple[float, ...]:
    """- strength log prior, the largest prior's being 0 (logit adjustment, arXiv:2007.07314, section 4.1).

    Strength 0 leaves the choice as it is; 1 treats every emotion as if it were as frequent as the others.
    `prior` is the mean of the network's own probabilities: what it has learnt to expect, whatever its
    training did about rare emotions.
    """
    logs = np.log(np.maximum(prior, np.finfo(np.float64).tiny))
    return tuple((strength * (logs.max() - logs)).tolist())


def fit_strength(
    p: Probabilities, truth: Labels, *, prior: NDArray[np.float64], floors: Mapping[str, float] = FLOORS
) -> float:
    """The least strength, in steps of 0.02, at which every floor of recall is reached; 1 if none does it.

    One number, not eight: with 16 faces of contempt free offsets learn the faces, not the emotion (the
    table of benchmarks/results/network.md). An emotion without faces has no floor.
    """
    for strength in STRENGTHS:
        shown = decide(p, Policy(make_offsets(prior, strength))).shown
        recall = metrics.recall(metrics.confusion(truth, shown))  # (K,)
        if not any(recall[EMOTIONS.index(emotion)] < floor for emotion, floor in floors.items()):
            return strength
    return 1.0


def fit_lean(p: Probabilities, *, prior: NDArray[np.float64], cost: float = LEAN_COST) -> float:
    """The largest strength that costs no more than `cost` of accuracy, as the probabilities themselves tell.

    Where they are calibrated, choosing another emotion than the likeliest costs the difference of the two
    probabilities. No label is asked, so that the strength hardly depends on which faces fitted it; a lean
    judged by labels follows chance (benchmarks/results/network.md).
    """
    rows = np.arange(len(p))
    largest = 0.0
    for strength in STRENGTHS:
        shown = decide(p, Policy(make_offsets(prior, strength))).shown
        if float((p.max(axis=1) - p[rows, shown]).mean()) <= cost:
            largest = strength
    return largest


def crossfit(
    logits: Logits,
    fit: Fit,
    labels: Mapping[str, Labels],
    *,
    splits: int,
    seed: int,
    groups: Labels | None = None,
) -> dict[str, Any]:
    """The figures of faces not fitted on: mean and the range of 95 % of the splits.

    Args:
        logits: (N, K) before any temperature.
        fit: indices of the faces to fit on, to a calibration.
        labels: name of a protocol to (N,) labels, -1 where it gives none.
        splits: number of random splits into halves.
        seed: of the splits.
        groups: (N,) numbers of the persons, who are in one half each; None: not known.

    Returns:
        For each protocol its figures, by name: `{"mean", "low", "high"}`, one number or one per emotion.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, list[Figures]] = {name: [] for name in labels}
    for _ in range(splits):
        held_out = hold_out(logits, fit, *draw_halves(rng, len(logits), groups))
        for name, truth in labels.items():
            found[name].append(measure(held_out, truth, rng))
    figures = {name: _measure_raw(logits, truth) | _summarise(found[name]) for name, truth in labels.items()}
    record: dict[str, Any] = to_json(figures, DIGITS)
    return record


def draw_halves(
    rng: np.random.Generator, n: int, groups: Labels | None = None
) -> tuple[NDArray[np.int64], int]:
    """An order of n faces, and how many are the first half; no group of (N,) is in both halves."""
    if groups is None:
        return rng.permutation(n), n // 2
    rank = rng.permutation(groups.max() + 1)[groups]
    ends = np.bincount(rank).cumsum()[:-1]  # cuts between groups
    return np.argsort(rank, kind="stable"), int(ends[np.abs(ends - n / 2).argmin()])


def hold_out(logits: Logits, fit: Fit, order: NDArray[np.int64], cut: int | None = None) -> HeldOut:
    """Each half, the first `cut` of `order` (N,) and the rest, judged by what the other half fits."""
    halves = np.split(order, [len(order) // 2 if cut is None else cut])
    fits = (fit(halves[1]), fit(halves[0]))
    p = np.empty((len(order), metrics.K))
    first = np.zeros(len(order), np.bool_)
    first[halves[0]] = True
    for half, one in zip(halves, fits, strict=True):
        p[half] = softmax(logits[half], one.temperature)
    back = np.argsort(order)  # from the halves one after the other to the faces' own order
    decisions = {}
    for name in fits[0].policies:
        parts = [
            decide(p[half], one.policies[name], one.uncertain) for half, one in zip(halves, fits, strict=True)
        ]
        arrays = ([getattr(part, field.name) for part in parts] for field in fields(Decisions))
        decisions[name] = Decisions(*(np.concatenate(both)[back] for both in arrays))
    return HeldOut(p, first, decisions, fits)


def measure(held_out: HeldOut, truth: Labels, rng: np.random.Generator) -> Figures:
    """The figures of one split against (N,) labels."""
    known = truth >= 0
    p, y = held_out.p[known].astype(np.float32), truth[known]
    half = held_out.first[known]
    figures: Figures = {
        "temperature": float(np.mean([one.temperature for one in held_out.fits])),
        "ece": metrics.ece(p, y),
        "ece if right": _least_ece(p, rng),
        "ece of one half": metrics.ece(p[half], y[half]),
        "ece of one half if right": _least_ece(p[half], rng),
        "nll": metrics.nll(p, y),
        "aurc": risk_coverage_area(p.max(axis=1), p.argmax(axis=1) == y),
    }
    for name, decisions in held_out.decisions.items():
        of_all = metrics.decision_figures(decisions, known, y)
        of_half = metrics.decision_figures(decisions, known & held_out.first, y[half])
        figures |= {f"{name}/{key}": value for key, value in of_all.items()}
        figures[f"{name}/coverage of one half"] = of_half["coverage"]
        figures[f"{name}/strength"] = float(np.mean([one.strengths[name] for one in held_out.fits]))
    return figures


def compare_cards(
    card: ModelCard,
    logits: Logits,
    truth: Labels,
    options: CalibrateOptions,
    *,
    floors: Mapping[str, float],
    kept: Policy | None,
    groups: Labels | None,
) -> dict[str, dict[str, Any]]:
    """Figures of faces by the card as it is, and by numbers that other faces fit.

    Intervals hold 95 % of figures of persons (else faces) drawn again with replacement, over all splits.

    Returns:
        For each figure, by name: "before", "after" and "change", each `{"mean", "low", "high"}`.
    """

    def fit(rows: NDArray[np.int64]) -> Calibration:
        return calibrate(logits[rows], truth[rows], options, floors=floors, kept=kept)

    rng, n = np.random.default_rng(options.seed), len(logits)
    members = [np.flatnonzero(groups == g) for g in np.unique(groups)] if groups is not None else None
    before = softmax(logits, card.temperature)
    decided = {name: decide(before, policy, card.uncertain) for name, policy in card.policies.items()}
    whole: list[list[Figures]] = []
    drawn: list[list[Figures]] = []
    for _ in range(options.splits):
        held = hold_out(logits, fit, *draw_halves(rng, n, groups))
        sides = ((before, decided), (held.p, held.decisions))
        for i in range(1 + DRAWS):
            if i == 0:
                rows = np.arange(n)
            elif members is None:
                rows = rng.integers(n, size=n)
            else:
                rows = np.concatenate([members[g] for g in rng.integers(len(members), size=len(members))])
            figures = [_side_figures(p, decisions, truth, rows) for p, decisions in sides]
            (drawn if i else whole).append(figures)
    found: dict[str, dict[str, Any]] = {}
    for name in whole[0][0].keys() & whole[0][1].keys():
        values, all_faces = (
            np.array([[float(side[name]) for side in figures] for figures in some]) for some in (drawn, whole)
        )  # (splits x draws, 2), (splits, 2)
        found[name] = {}
        for key, weights in (("before", (1, 0)), ("after", (0, 1)), ("change", (-1, 1))):
            spread = values @ weights
            defined = spread[~np.isnan(spread)]  # none where no face is certain
            low, high = np.percentile(defined, [2.5, 97.5]) if len(defined) else (nan, nan)
            mean = (all_faces @ weights).mean()
            found[name][key] = {"mean": mean, "low": low, "high": high}
    record: dict[str, dict[str, Any]] = to_json({n: found[n] for n in whole[0][1] if n in found}, DIGITS)
    return record


def _side_figures(
    p: Probabilities, decisions: Mapping[str, Decisions], truth: Labels, rows: NDArray[np.int64]
) -> Figures:
    """The figures of some faces by one card; those of policies as "policy/figure"."""
    y, some_p = truth[rows], p[rows].astype(np.float32)
    figures: Figures = {"ece": metrics.ece(some_p, y), "nll": metrics.nll(some_p, y)}
    for name, one in decisions.items():
        of_policy = metrics.decision_figures(one, rows, y)
        figures |= {f"{name}/{key}": value for key, value in of_policy.items() if key in _COMPARED}
    return figures


def risk_coverage_area(confidence: NDArray[np.floating[Any]], right: NDArray[np.bool_]) -> float:
    """The mean error of the surest 1, 2, ..., N predictions: the area under the risk-coverage curve.

    Geifman, Uziel and El-Yaniv, arXiv:1805.08206, section 2; 0 is best, the error of all where the
    confidence says nothing.

    >>> risk_coverage_area(np.array([0.9, 0.8]), np.array([True, False]))
    0.25
    """
    wrong = ~right[np.argsort(-confidence, kind="stable")]
    return float((wrong.cumsum() / np.arange(1, len(right) + 1)).mean())


def _measure_raw(logits: Logits, truth: Labels) -> dict[str, Any]:
    """What needs no fit: numbers of faces, accuracy with its interval, the raw probabilities' figures."""
    known = truth >= 0
    raw, y = softmax(logits[known]).astype(np.float32), truth[known]
    right = int((raw.argmax(axis=1) == y).sum())
    return {
        "n": len(y),
        "n of": np.bincount(y, minlength=metrics.K).astype(float),
        "accuracy": right / max(1, len(y)),
        "accuracy 95": metrics.wilson(right, len(y)),
        "ece before": metrics.ece(raw, y),
        "nll before": metrics.nll(raw, y),
    }


def _least_ece(p: NDArray[np.float32], rng: np.random.Generator) -> float:
    """The ECE that these very confidences would have if each were right: it is never 0 for a finite N.

    Right with the stated probability, drawn once; the splits average it (Roelofs et al., arXiv:2012.08668).
    """
    right = rng.random(len(p)) < p.max(axis=1)
    return metrics.ece(p, np.where(right, p.argmax(axis=1), p.argmin(axis=1)))


def _summarise(splits: list[Figures]) -> dict[str, Any]:
    """Mean and the range of 95 % of the splits; "policy/figure" becomes figures by policy."""
    found: dict[str, Any] = {"policies": {}}
    for name in splits[0]:
        values = np.array([figures[name] for figures in splits])
        low, high = np.percentile(values, [2.5, 97.5], axis=0)  # nan where undefined in any split
        policy, _, key = name.rpartition("/")
        place = found["policies"].setdefault(policy, {}) if policy else found
        place[key] = {"mean": values.mean(axis=0), "low": low, "high": high}
    return found
