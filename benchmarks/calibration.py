"""What the calibration of `mien calibrate` was chosen over: leans to rare emotions, sets, scores of doubt.

    python benchmarks/calibration.py FERPLUS_ROOT [--model MODEL.onnx] [--splits 50]

Every figure is of faces of FER+ valid that the numbers were not fitted on: the faces are cut in two at
random, each half is read by what the other fits; means over the cuts. Minutes on one core.

Legend: N faces, K = 8 emotions.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.data.ferplus import ferplus
from mien.evaluate import metrics
from mien.evaluate.calibrate import (
    FLOORS,
    fit_strength,
    fit_temperature,
    make_offsets,
    quantile,
    risk_coverage_area,
    softmax,
)
from mien.evaluate.judge import make_cropper, predict_corpus
from mien.evaluate.protocol import argmax, count_votes, majority
from mien.faces.network import Classifier
from mien.labels import EMOTIONS

K = len(EMOTIONS)
Array = NDArray[np.float64]
Labels = NDArray[np.int64]
#: Probabilities and labels to fit on, and log priors, to K offsets.
Lean = Callable[[Array, Labels, Array], Array]
#: (N, K) probabilities to (N, K) scores; an emotion is in the set if its score is small.
SetScore = Callable[[Array], Array]


@dataclass(frozen=True)
class Faces:
    """FER+ valid as the network sees it."""

    logits: Array  # (N, K) before any temperature
    argmax: Labels  # (N,) -1 without a label
    majority: Labels  # (N,)
    priors: dict[str, Array]  # of training, (K,) each


def load(root: Path, model: Path | None) -> Faces:
    """The network's answers on valid, and what training's labels say of how frequent each emotion is."""
    classifier = Classifier.load(model)
    classifier.card = replace(classifier.card, temperature=1.0)
    readings = predict_corpus(ferplus(root, "valid"), classifier, make_cropper(classifier.card, detect=False))
    logits = np.log(np.maximum(readings.probabilities, np.finfo(np.float32).tiny))
    train = ferplus(root, "train").samples
    labels = argmax(train)
    priors = {
        "labels of train": np.bincount(labels[labels >= 0], minlength=K) / (labels >= 0).sum(),
        "votes of train": (votes := count_votes(train)[:, :K].sum(axis=0)) / votes.sum(),
    }
    return Faces(logits.astype(np.float64), argmax(readings.samples), majority(readings.samples), priors)


def cuts(n: int, splits: int) -> Iterator[list[tuple[Labels, Labels]]]:
    """(fit, read) rows, both ways round."""
    rng = np.random.default_rng(0)
    for _ in range(splits):
        one, two = np.split(rng.permutation(n), [n // 2])
        yield [(two, one), (one, two)]


def counts_of(p: Array, truth: Labels, offsets: Array) -> metrics.Counts:
    """(K, K) counts of the emotions chosen with offsets."""
    return metrics.confusion(truth, (np.log(p) + offsets).argmax(axis=1))


def worth(p: Array, truth: Labels, offsets: Array, weight: float) -> float:
    """Accuracy and balanced accuracy, weighed."""
    counts = counts_of(p, truth, offsets)
    return weight * metrics.accuracy(counts) + (1 - weight) * metrics.balanced_accuracy(counts)


def one_strength(weight: float) -> Lean:
    """The strength that is worth most."""

    def lean(p: Array, truth: Labels, prior: Array) -> Array:
        tried = [np.array(make_offsets(prior, s)) for s in np.arange(0, 1.5, 0.05)]
        return max(tried, key=lambda offsets: worth(p, truth, offsets, weight))

    return lean


def to_floors(p: Array, truth: Labels, prior: Array) -> Array:
    """The rule that ships."""
    return np.array(make_offsets(prior, fit_strength(p, truth, prior=prior)))


def eight_free(weight: float) -> Lean:
    """Eight offsets, one after the other, three rounds."""

    def lean(p: Array, truth: Labels, prior: Array) -> Array:  # noqa: ARG001 - a `Lean` gets the priors
        offsets = np.zeros(K)
        for k in list(range(K)) * 3:
            tried = [np.where(np.arange(K) == k, value, offsets) for value in np.arange(-1, 3.01, 0.25)]
            offsets = max([offsets, *tried], key=lambda one: worth(p, truth, one, weight))
        return offsets

    return lean


def no_lean(p: Array, truth: Labels, prior: Array) -> Array:  # noqa: ARG001 - a `Lean` gets all three
    """The likeliest."""
    return np.zeros(K)


def compare_leans(faces: Faces, splits: int) -> None:
    """Accuracy and recall, labels by majority."""
    own = "own probabilities"
    rows: list[tuple[str, str, Lean, int]] = [
        ("none", own, no_lean, splits),
        *(("floors of recall", prior, to_floors, splits) for prior in (own, *faces.priors)),
        ("accuracy + balanced", own, one_strength(0.5), splits),
        ("balanced accuracy", own, one_strength(0.0), splits),
        ("eight free, both", "-", eight_free(0.5), max(1, splits // 5)),
        ("eight free, balanced", "-", eight_free(0.0), max(1, splits // 5)),
    ]
    print(
        f"{'fitted for':<22}{'prior':<20}{'accuracy':>9}{'balanced':>9}"
        f"{'contempt':>9}{'disgust':>9}{'fear':>6}"
    )
    for name, prior, lean, times in rows:
        found = []
        for cut in cuts(len(faces.logits), times):
            total = np.zeros((K, K), np.int64)
            for fit, read in cut:
                seen = faces.argmax[fit] >= 0
                temperature = fit_temperature(faces.logits[fit][seen], faces.argmax[fit][seen])
                p = softmax(faces.logits, temperature)
                known = fit[faces.majority[fit] >= 0]
                log_prior = faces.priors.get(prior, p[fit][seen].mean(axis=0))
                offsets = lean(p[known], faces.majority[known], log_prior)
                new = read[faces.majority[read] >= 0]
                total += counts_of(p[new], faces.majority[new], offsets)
            found.append([metrics.accuracy(total), metrics.balanced_accuracy(total), *metrics.recall(total)])
        mean = 100 * np.mean(found, axis=0)
        rare = [mean[2 + EMOTIONS.index(e)] for e in FLOORS]
        cells = "".join(f"{value:>9.1f}" for value in (mean[0], mean[1], *rare[:2]))
        print(f"{name:<22}{prior:<20}{cells}{rare[2]:>6.1f}")


def adaptive(weight: float = 0.0, free: int = 1) -> SetScore:
    """APS without chance (Romano et al., arXiv:2006.02544); with a weight RAPS (arXiv:2009.14193)."""

    def score(p: Array) -> Array:
        order = np.argsort(-p, axis=1, kind="stable")
        sums = np.take_along_axis(p, order, axis=1).cumsum(axis=1)  # (N, K)
        scores = np.empty_like(p)
        np.put_along_axis(scores, order, sums + weight * np.maximum(0, np.arange(1, K + 1) - free), axis=1)
        return scores

    return score


def adjusted(strength: float) -> SetScore:
    """One threshold on the shares of a policy."""
    return lambda p: -softmax(np.log(p) + make_offsets(p.mean(axis=0), strength))


def compare_sets(faces: Faces, splits: int) -> None:
    """Coverage of all faces and by emotion, and size, labels by argmax."""
    rows: dict[str, SetScore] = {
        "threshold (LAC)": lambda p: -p,
        "LAC, lean 0.5": adjusted(0.5),
        "LAC, lean 1": adjusted(1.0),
        "APS": adaptive(),
        "RAPS, 0.02, 1": adaptive(0.02),
        "RAPS, 0.1, 1": adaptive(0.1),
        "RAPS, 0.1, 2": adaptive(0.1, 2),
    }
    known = faces.argmax >= 0
    logits, truth = faces.logits[known], faces.argmax[known]
    print(
        f"{'sets at 90 %':<18}{'coverage':>9}{'size':>6}{'by emotion':>11}"
        f"{'contempt':>9}{'disgust':>8}{'fear':>6}"
    )
    for name, score in rows.items():
        found = []
        for cut in cuts(len(truth), splits):
            held, size = np.empty(len(truth)), np.empty(len(truth))
            for fit, read in cut:
                scores = score(softmax(logits, fit_temperature(logits[fit], truth[fit])))
                member = scores[read] <= quantile(scores[fit, truth[fit]], 0.9)
                member[np.arange(len(read)), scores[read].argmin(axis=1)] = True
                held[read], size[read] = member[np.arange(len(read)), truth[read]], member.sum(axis=1)
            by = [held[truth == k].mean() for k in range(K)]
            found.append(
                [held.mean(), size.mean() / 100, np.mean(by), *(by[EMOTIONS.index(e)] for e in FLOORS)]
            )
        mean = 100 * np.mean(found, axis=0)
        print(
            f"{name:<18}{mean[0]:>9.1f}{mean[1]:>6.2f}{mean[2]:>11.1f}{mean[3]:>9.1f}{mean[4]:>8.1f}{mean[5]:>6.1f}"
        )


def compare_doubt(faces: Faces) -> None:
    """How well each score puts wrong readings last, labels by argmax."""
    known = faces.argmax >= 0
    truth = faces.argmax[known]
    p = softmax(faces.logits[known], fit_temperature(faces.logits[known], truth))
    ordered = np.sort(p, axis=1)
    right = p.argmax(axis=1) == truth
    scores = {
        "highest probability": ordered[:, -1],
        "lead over the second": ordered[:, -1] - ordered[:, -2],
        "entropy": (p * np.log(p)).sum(axis=1),
        "the truth (bound)": right.astype(float),
    }
    print("area under the risk-coverage curve, %")
    for name, score in scores.items():
        print(f"{name:<22}{100 * risk_coverage_area(score, right):>6.2f}")


def main() -> None:
    """Print the three comparisons."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--splits", type=int, default=50)
    given = parser.parse_args()
    faces = load(given.root, given.model)
    compare_leans(faces, given.splits)
    compare_sets(faces, given.splits)
    compare_doubt(faces)


if __name__ == "__main__":
    main()
