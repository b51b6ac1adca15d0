"""A network in 8 bits, offered only where it reads as well as before.

Legend: N faces, K = 8 emotions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mien.card import ModelCard
from mien.data.corpus import Corpus, draw
from mien.data.ferplus import ferplus
from mien.errors import ModelError
from mien.evaluate import metrics
from mien.evaluate.protocol import LEFT_OUT, PROTOCOLS, accuracies
from mien.faces.classify import Classifier
from mien.faces.rewrite import with_card
from mien.faces.session import open_session, read_card
from mien.files import write_whole
from mien.labels import EMOTIONS
from mien.types import Image

FACES: Final = 1024  # of train, whose activations set the ranges
PROTOCOL: Final = "majority"  # the labels that recall is counted on


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Recall before and after, on the same faces."""

    n: NDArray[np.int64]  # (K,) faces of each emotion
    before: NDArray[np.float64]  # (K,) recall
    after: NDArray[np.float64]  # (K,)
    accuracy: tuple[float, float]  # before, after
    agreement: float  # share of the faces read alike

    @property
    def loss(self) -> NDArray[np.float64]:
        """(K,) points of recall that were lost; negative: won."""
        return 100 * (self.before - self.after)


def run_quantize(model: Path, root: Path, path: Path, *, within: float = 1.0, seed: int = 0) -> Comparison:
    """Write the network in 8 bits, if no emotion's recall on FER+ valid falls by more than `within` points.

    Args:
        model: an ONNX file with a card.
        root: folder or zip of FER+.
        path: the file to write.
        within: points of recall that an emotion may lose.
        seed: of the draw of the faces that set the ranges.

    Raises:
        DataError: FER+ is not at `root`.
        ModelError: the network cannot be quantised, or loses more than that.
        OutputError: the file cannot be written.
    """
    from mien.train.quantize import quantize

    train, valid = draw(ferplus(root, "train"), FACES, seed=seed), ferplus(root, "valid")
    content = model.read_bytes()
    card = read_card(open_session(content))
    small = quantize(content, _pictures(train))
    faces = _pictures(valid)
    guesses = [Classifier.read(one)(faces).argmax(1) for one in (content, small)]  # (N,) each
    found = _compare(guesses, PROTOCOLS[PROTOCOL](valid.samples))
    worst = int(np.nanargmax(found.loss))
    if found.loss[worst] > within:
        raise ModelError(
            f"{model}: expected every emotion to keep its recall within {within:g} points, in 8 bits "
            f"{EMOTIONS[worst]} loses {found.loss[worst]:.1f}: keep the network in float32, or give a "
            "larger --within"
        )
    scores = accuracies(guesses[1], valid.samples)
    write_whole(path, with_card(small, _card(card, content, train.name, scores)))
    return found


def _pictures(corpus: Corpus) -> Image:
    return np.stack([corpus.read(sample) for sample in corpus.samples])  # (N, H, W)


def _compare(guesses: Sequence[NDArray[np.int64]], truth: NDArray[np.int64]) -> Comparison:
    """Of what was read before and after, both (N,); faces whose truth is left out do not count."""
    used = truth != LEFT_OUT
    before, after = (guess[used] for guess in guesses)
    counts = [metrics.confusion(truth[used], guess) for guess in (before, after)]
    return Comparison(
        n=counts[0].sum(axis=1),
        before=metrics.recall(counts[0]),
        after=metrics.recall(counts[1]),
        accuracy=(metrics.accuracy(counts[0]), metrics.accuracy(counts[1])),
        agreement=float((before == after).mean()),
    )


def _card(card: ModelCard, content: bytes, faces: str, scores: dict[str, float]) -> ModelCard:
    """The same card for the network in 8 bits; what was measured in float32 is left out."""
    made = {
        "from": hashlib.sha256(content).hexdigest(),
        "faces": FACES,
        "of": faces,
        "weights": "int8 a channel",
    }
    return replace(
        card,
        name=f"{card.name}-int8",
        recipe=f"{card.recipe}; mien quantize",
        scores={"ferplus/valid": scores},
        calibration={},
        provenance={**card.provenance, "quantised": made},
    )
