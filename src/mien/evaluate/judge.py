"""A model judged on a corpus: every picture read once, then scored under each protocol.

Legend: N pictures, S side of the model's input, K = 8 emotions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mien.card import ACCURATE, ModelCard
from mien.data.audit import digest
from mien.data.corpus import Corpus
from mien.errors import DataError, ImageError
from mien.evaluate import metrics
from mien.evaluate.metrics import Counts, Values
from mien.evaluate.policies import Figures, policy_figures
from mien.evaluate.protocol import LEFT_OUT, PROTOCOLS
from mien.faces.policy import decide
from mien.types import Floats, Image, Predictions, Sample

BATCH: Final = 256  # pictures held at a time, whatever the size of the corpus

#: A picture, (H, W) or (H, W, 3), to the crop the model takes, or None where it shows no face.
Cut = Callable[[Image], Image | None]
#: (N, S, S) or (N, S, S, 3) uint8 crops to (N, K) probabilities, as `run.classify.Classifier`.
Classify = Callable[[Image], Floats]


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """What the model said of a corpus, and what could not be read of it."""

    samples: tuple[Sample, ...]  # (N,) those with a prediction
    predictions: Predictions  # (N, K)
    digests: tuple[bytes, ...]  # (N,) of the pictures' pixels, to find copies
    broken: tuple[tuple[str, str], ...] = ()  # name and error of each picture that could not be read
    faceless: tuple[str, ...] = ()  # names of the pictures in which no face was found


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """The figures of N labelled predictions; nan where the data do not define one."""

    n: int
    counts: Counts  # (K, K) rows true, columns read
    accuracy: float
    accuracy_95: tuple[float, float]  # Wilson
    balanced_accuracy: float
    balanced_accuracy_95: tuple[float, float]  # bootstrap, 1000 draws, seed 0
    macro_f1: float
    macro_f1_95: tuple[float, float]  # bootstrap
    ece: float
    brier: float
    nll: float
    recall: Values  # (K,)
    precision: Values  # (K,)
    f1: Values  # (K,)
    one_vs_rest: Values  # (K,) accuracy at 50:50
    detection: Values | None = None  # (K,) the same by the card's thresholds; None: it has none


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """The scores under one protocol, and once more without the pictures that stand in training."""

    protocol: str
    left_out: int  # pictures that the protocol gives no label
    scores: Scores
    without_copies: Scores | None = None  # None: no training split at hand
    policies: Mapping[str, Figures] = field(default_factory=dict)  # each that the card has, on all pictures


def read_all(corpus: Corpus, classify: Classify, cut: Cut) -> Readings:
    """Read every picture of a corpus and classify it; what cannot be read is named and passed over.

    Raises:
        DataError: not one picture could be read, or none shows a face.
    """
    broken: list[tuple[str, str]] = []
    faceless: list[str] = []
    samples: list[Sample] = []
    marks: list[bytes] = []
    parts: list[Floats] = []
    crops: list[Image] = []

    def flush() -> None:
        if crops:
            parts.append(classify(np.stack(crops)))  # (B, S, S[, 3]) -> (B, K)
            crops.clear()

    for sample, mark, crop in _crops(corpus, cut, broken):
        if crop is None:
            faceless.append(sample.name)
            continue
        samples.append(sample)
        marks.append(mark)
        crops.append(crop)
        if len(crops) == BATCH:
            flush()
    flush()
    if not samples:
        raise DataError(_nothing_left(corpus, broken, faceless))
    predictions = Predictions(tuple(s.name for s in samples), np.concatenate(parts))  # (N, K)
    return Readings(tuple(samples), predictions, tuple(marks), tuple(broken), tuple(faceless))


def training_digests(corpus: Corpus) -> frozenset[bytes]:
    """The digests of a training split's pictures; those that cannot be read are passed over."""
    return frozenset(mark for _, mark, _ in _crops(corpus, lambda image: image, []))


def judge(
    readings: Readings,
    protocols: Sequence[str],
    *,
    training: frozenset[bytes] | None = None,
    card: ModelCard | None = None,
    policy: str = ACCURATE,
) -> list[Verdict]:
    """Score readings under each protocol.

    Args:
        readings: from `read_all`.
        protocols: names in `PROTOCOLS`.
        training: digests of the training split, for the scores without its copies; None: no such scores.
        card: of the network, whose policies are compared; None: the likeliest emotion is what counts.
        policy: which of the card's policies chooses the emotion that is scored.

    Raises:
        ConfigError: the card has no such policy.
        DataError: a protocol labels none of the pictures.
    """
    guess = readings.predictions.probabilities.argmax(axis=1)  # (N,)
    if card is not None:
        guess = decide(readings.predictions.probabilities, card.policy(policy)).shown
    fresh = None if training is None else np.array([d not in training for d in readings.digests])
    return [_verdict(readings, name, fresh, guess, card) for name in protocols]


def score(
    probabilities: Floats,
    truth: NDArray[np.int64],
    guess: NDArray[np.int64] | None = None,
    thresholds: Sequence[float] | None = None,
) -> Scores:
    """The figures of (N, K) probabilities against (N,) labels in 0..7.

    `guess` (N,) are the emotions shown, where a policy chose them; None: the likeliest. ECE, Brier and NLL
    are of the probabilities, whatever was chosen.
    """
    counts = metrics.confusion(truth, probabilities.argmax(axis=1) if guess is None else guess)
    return Scores(
        n=len(truth),
        counts=counts,
        accuracy=metrics.accuracy(counts),
        accuracy_95=metrics.wilson(int(counts.trace()), len(truth)),
        balanced_accuracy=metrics.balanced_accuracy(counts),
        balanced_accuracy_95=metrics.bootstrap(counts, metrics.balanced_accuracy),
        macro_f1=metrics.macro_f1(counts),
        macro_f1_95=metrics.bootstrap(counts, metrics.macro_f1),
        ece=metrics.ece(probabilities, truth),
        brier=metrics.brier(probabilities, truth),
        nll=metrics.nll(probabilities, truth),
        recall=metrics.recall(counts),
        precision=metrics.precision(counts),
        f1=metrics.f1(counts),
        one_vs_rest=metrics.one_vs_rest(counts),
        detection=None
        if thresholds is None
        else metrics.detection(probabilities, truth, np.array(thresholds)),
    )


def _verdict(
    readings: Readings,
    protocol: str,
    fresh: NDArray[np.bool_] | None,
    guess: NDArray[np.int64],
    card: ModelCard | None,
) -> Verdict:
    truth = PROTOCOLS[protocol](readings.samples)  # (N,)
    labelled = truth != LEFT_OUT
    if not labelled.any():
        raise DataError(
            f"protocol {protocol!r}: expected at least one picture with a label, "
            f"all {len(truth)} are left out; check the votes or take another --protocol"
        )
    p = readings.predictions.probabilities
    thresholds = None if card is None else card.thresholds
    whole = score(p[labelled], truth[labelled], guess[labelled], thresholds)
    kept = None if fresh is None else labelled & fresh
    rest = None if kept is None else score(p[kept], truth[kept], guess[kept], thresholds)
    policies = {} if card is None else _policies(card, p, labelled, truth[labelled])
    return Verdict(protocol, int((~labelled).sum()), whole, rest, policies)


def _policies(
    card: ModelCard, p: Floats, known: NDArray[np.bool_], truth: NDArray[np.int64]
) -> dict[str, Figures]:
    return {
        name: policy_figures(decide(p, policy, card.uncertain), known, truth)
        for name, policy in card.policies.items()
    }


def _crops(
    corpus: Corpus, cut: Cut, broken: list[tuple[str, str]]
) -> Iterator[tuple[Sample, bytes, Image | None]]:
    """Each readable sample with its digest and crop; the others go to `broken`."""
    for sample in corpus.samples:
        try:
            image = corpus.read(sample)
            crop = cut(image)
        except (ImageError, DataError) as error:
            said = str(error)
            broken.append((sample.name, said if sample.name in said else f"{sample.name}: {said}"))
            continue
        yield sample, digest(image), crop


def _nothing_left(corpus: Corpus, broken: list[tuple[str, str]], faceless: list[str]) -> str:
    first = f"; the first error: {broken[0][1]}" if broken else ""
    return (
        f"{corpus.name}: expected pictures of faces, of {len(corpus)} samples {len(broken)} could not be "
        f"read and {len(faceless)} show no face{first}; check --root"
    )
