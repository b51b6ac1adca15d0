"""A model judged on a corpus: every picture is read once, then scored under each protocol.

Legend: N pictures, S side of the model's input, K = 8 emotions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mien.card import ACCURATE, ModelCard, Policy
from mien.data.arrays import digest
from mien.data.corpus import Corpus
from mien.errors import DataError, ImageError
from mien.evaluate import metrics
from mien.evaluate.metrics import LEFT_OUT, PROTOCOLS, Counts, Figures, Labels, Values
from mien.faces.align import crop, fit
from mien.faces.detect import YuNet
from mien.faces.policy import decide, shares
from mien.labels import EMOTIONS
from mien.types import Floats, Image, Sample, check_shape

SEVEN: Final = EMOTIONS.index("contempt")  # the last, so that the first seven are the others
LIKELIEST: Final = Policy()
LARGEST_CROP: Final = 128  # pixels, of the longer side; a larger picture may show more than a face
BATCH: Final = 256  # pictures held in memory at a time, whatever the size of the corpus

#: A picture, (H, W) or (H, W, 3), to the crop the model takes, or None where it shows no face.
Cropper = Callable[[Image], Image | None]
#: (N, S, S) or (N, S, S, 3) uint8 crops to (N, K) probabilities, as `faces.network.Classifier`.
Classify = Callable[[Image], Floats]


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What the model says of a corpus, and which pictures could not be read."""

    samples: tuple[Sample, ...]  # (N,) those with a prediction
    probabilities: Floats  # (N, K)
    digests: tuple[bytes, ...] = ()  # (N,) of the pictures' pixels, to find copies
    unreadable: tuple[tuple[str, str], ...] = ()  # name and error of each picture that could not be read
    faceless: tuple[str, ...] = ()  # names of the pictures in which no face was found

    def __post_init__(self) -> None:
        check_shape("Predictions.probabilities", self.probabilities, (len(self.samples), metrics.K))


@dataclass(frozen=True, slots=True, eq=False)
class Seven:
    """Seven expressions, as most corpora and packages have them: contempt is no label and no answer.

    Of the n faces labelled otherwise, the answer is the one of seven that the policy gives the largest share.
    """

    n: int
    accuracy: float
    accuracy_95: tuple[float, float]  # Wilson
    balanced_accuracy: float  # mean recall of the seven


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """The figures of N labelled predictions; nan where the data do not define one."""

    n: int
    counts: Counts  # (K, K) rows true, columns predicted
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
    detection: Values | None  # (K,) the same by the card's thresholds; None: it has none
    seven: Seven


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """The scores under one protocol, and again without the pictures that are also in the training split."""

    protocol: str
    left_out: int  # pictures to which the protocol gives no label
    scores: Scores
    without_copies: Scores | None  # None: no training split at hand
    policies: Mapping[str, Figures]  # each that the card has, on all pictures


def make_cropper(card: ModelCard, *, detect: bool | None, threads: int = 1) -> Cropper:
    """Take whole pictures as faces or, with `detect`, the largest face of each, upright.

    None: whole pictures of up to `LARGEST_CROP` pixels, the largest face of others.
    """
    if detect is False:
        return lambda image: fit(image, card)
    detector = YuNet(threads=threads)

    def crop_largest(image: Image) -> Image | None:
        if detect is None and max(image.shape[:2]) <= LARGEST_CROP:
            return fit(image, card)
        colour = image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)  # (H, W, 3)
        faces = detector.detect(colour)
        return crop(image, faces[0].landmarks, card) if faces else None

    return crop_largest


def predict_corpus(corpus: Corpus, classify: Classify, cropper: Cropper) -> Predictions:
    """Read every picture of a corpus and classify it; what cannot be read is named and skipped.

    Raises:
        DataError: not one picture could be read, or none shows a face.
    """
    unreadable: list[tuple[str, str]] = []
    faceless: list[str] = []
    kept: list[tuple[Sample, bytes]] = []
    batches: list[Floats] = []
    crops: list[Image] = []
    for sample in corpus.samples:
        try:
            image = corpus.read(sample)
            face = cropper(image)
        except (ImageError, DataError) as error:
            text = str(error)
            unreadable.append((sample.name, text if sample.name in text else f"{sample.name}: {text}"))
            continue
        if face is None:
            faceless.append(sample.name)
            continue
        kept.append((sample, digest(image)))
        crops.append(face)
        if len(crops) == BATCH:
            batches.append(classify(np.stack(crops)))  # (B, S, S[, 3]) -> (B, K)
            crops = []
    if crops:
        batches.append(classify(np.stack(crops)))
    if not kept:
        first = f"; the first error: {unreadable[0][1]}" if unreadable else ""
        raise DataError(
            f"{corpus.name}: expected pictures of faces, of {len(corpus)} samples {len(unreadable)} could "
            f"not be read and {len(faceless)} show no face{first}; check --root"
        )
    samples, digests = zip(*kept, strict=True)
    return Predictions(samples, np.concatenate(batches), digests, tuple(unreadable), tuple(faceless))


def training_digests(corpus: Corpus) -> frozenset[bytes]:
    """The digests of a training split's pictures; those that cannot be read are skipped."""
    found = set()
    for sample in corpus.samples:
        try:
            found.add(digest(corpus.read(sample)))
        except (ImageError, DataError):
            continue
    return frozenset(found)


def judge(
    predictions: Predictions,
    protocols: Sequence[str],
    *,
    training: frozenset[bytes] | None = None,
    card: ModelCard | None = None,
    policy: str = ACCURATE,
) -> list[Verdict]:
    """Score predictions under each protocol.

    Args:
        predictions: from `predict_corpus`.
        protocols: names in `PROTOCOLS`.
        training: digests of the training split, for the scores without its copies; None: no such scores.
        card: of the network, whose policies are compared; None: the likeliest emotion is what counts.
        policy: which of the card's policies chooses the emotion that is scored.

    Raises:
        ConfigError: the card has no such policy.
        DataError: a protocol labels none of the pictures.
    """
    card = card or ModelCard("")
    p = predictions.probabilities
    chosen = card.policy(policy)
    decisions = {name: decide(p, one, card.uncertain) for name, one in card.policies.items()}
    new = None if training is None else np.array([d not in training for d in predictions.digests])  # (N,)

    def score_where(keep: NDArray[np.bool_], truth: Labels) -> Scores:
        return score(p[keep], truth[keep], chosen, card.thresholds)

    verdicts = []
    for protocol in protocols:
        truth = PROTOCOLS[protocol](predictions.samples)  # (N,)
        known = truth != LEFT_OUT
        if not known.any():
            raise DataError(
                f"protocol {protocol!r}: expected at least one picture with a label, "
                f"all {len(truth)} are left out; check the votes or choose another --protocol"
            )
        figures = {name: metrics.decision_figures(d, known, truth[known]) for name, d in decisions.items()}
        without_copies = None if new is None else score_where(known & new, truth)
        left_out = int((~known).sum())
        verdicts.append(Verdict(protocol, left_out, score_where(known, truth), without_copies, figures))
    return verdicts


def score(
    probabilities: Floats,
    truth: NDArray[np.int64],
    policy: Policy = LIKELIEST,
    thresholds: Sequence[float] | None = None,
) -> Scores:
    """The figures of (N, K) probabilities against (N,) labels in 0..7.

    ECE, Brier and NLL are of the probabilities, whatever the policy chooses.
    """
    weighed = shares(probabilities, policy)  # (N, K)
    counts = metrics.confusion(truth, weighed.argmax(axis=1))
    among = truth < SEVEN  # (N,)
    seven = metrics.confusion(truth[among], weighed[among, :SEVEN].argmax(axis=1))
    found = None if thresholds is None else metrics.detection(probabilities, truth, np.array(thresholds))
    return Scores(
        n=len(truth),
        counts=counts,
        accuracy=metrics.accuracy(counts),
        accuracy_95=metrics.wilson(int(counts.trace()), len(truth)),
        balanced_accuracy=metrics.balanced_accuracy(counts),
        balanced_accuracy_95=metrics.bootstrap(counts, metrics.recall),
        macro_f1=metrics.macro_f1(counts),
        macro_f1_95=metrics.bootstrap(counts, metrics.f1),
        ece=metrics.ece(probabilities, truth),
        brier=metrics.brier(probabilities, truth),
        nll=metrics.nll(probabilities, truth),
        recall=metrics.recall(counts),
        precision=metrics.precision(counts),
        f1=metrics.f1(counts),
        one_vs_rest=metrics.one_vs_rest(counts),
        detection=found,
        seven=Seven(
            n=int(seven.sum()),
            accuracy=metrics.accuracy(seven),
            accuracy_95=metrics.wilson(int(seven.trace()), int(seven.sum())),
            balanced_accuracy=metrics.balanced_accuracy(seven),
        ),
    )
