"""A calibration as part of a model card: the numbers that the reading half uses, and how well they hold.

Legend: N faces, K = 8 emotions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mien._version import __version__
from mien.card import ModelCard
from mien.errors import DataError
from mien.evaluate.calibrate import FLOORS, Calibration, Labels, Logits, Settings, calibrate
from mien.evaluate.crossfit import SPLITS, crossfit
from mien.evaluate.judge import Readings
from mien.evaluate.protocol import LEFT_OUT, PROTOCOLS

AGREED: Final = "majority"  # the labels that floors of recall are counted on (issue 4)
FEWEST: Final = 20  # labelled faces; with fewer no set of 90 % is smaller than all emotions, in halves


@dataclass(frozen=True, slots=True)
class Plan:
    """How a card is calibrated and measured."""

    settings: Settings = field(default_factory=Settings)
    protocol: str = "argmax"  # what counts as right; it labels nearly every face, unlike `majority`
    splits: int = SPLITS
    seed: int = 0


def calibrated_card(card: ModelCard, corpus: str, readings: Readings, plan: Plan) -> ModelCard:
    """The card with temperature, policies, threshold of doubt, and what they gave on faces held out.

    Args:
        card: of the network.
        corpus: name of the faces, e.g. "ferplus/valid".
        readings: what the network gives at temperature 1, whatever the card says.
        plan: how.

    Raises:
        DataError: too few faces have a label.
    """
    logits = np.log(np.maximum(readings.predictions.probabilities, np.finfo(np.float32).tiny))  # (N, K)
    labels = {name: label(readings.samples) for name, label in PROTOCOLS.items()}
    known = int((labels[plan.protocol] != LEFT_OUT).sum())
    if known < FEWEST:
        raise DataError(f"{corpus}: expected at least {FEWEST} faces with a label, got {known}; give more")

    def fit(rows: NDArray[np.int64]) -> Calibration:
        return _fit(logits[rows], {name: truth[rows] for name, truth in labels.items()}, plan)

    whole = fit(np.arange(len(logits)))
    shown = {name: truth for name, truth in labels.items() if _differs(labels, name)}
    record = {
        "data": corpus,
        "faces": len(logits),
        "faces_sha256": sha256(b"".join(readings.digests)).hexdigest()[:16],
        "protocol": plan.protocol,
        "n": known,
        "coverage": plan.settings.coverage,
        "right": plan.settings.right,
        "floors": dict(FLOORS),
        "strength": whole.strength,
        "splits": plan.splits,
        "seed": plan.seed,
        "mien": __version__,
        "held_out": crossfit(logits, fit, shown, splits=plan.splits, seed=plan.seed),
    }
    return replace(
        card,
        temperature=whole.temperature,
        policies=whole.policies,
        uncertain=whole.uncertain,
        thresholds=_thresholds(logits[labels[plan.protocol] != LEFT_OUT], whole.temperature),
        calibration=record,
    )


def _thresholds(logits: Logits, temperature: float) -> tuple[float, ...]:
    """Each emotion's mean probability: where half of the faces show it, one above that more likely does.

    By Bayes' rule the odds of an emotion grow by the odds of its share, and its share among the faces is the
    mean of calibrated probabilities. (The paper tests each emotion on such halves, section 3.)
    """
    heated = logits / temperature  # (N, K)
    shares = np.exp(heated - heated.max(axis=1, keepdims=True))
    return tuple((shares / shares.sum(axis=1, keepdims=True)).mean(axis=0).tolist())


def _fit(logits: Logits, labels: Mapping[str, Labels], plan: Plan) -> Calibration:
    truth = labels[plan.protocol]
    known = truth != LEFT_OUT
    return calibrate(logits[known], truth[known], plan.settings, agreed=labels[AGREED][known])


def _differs(labels: Mapping[str, Labels], name: str) -> bool:
    """Whether a protocol labels anybody, and not as another does: single labels are the same under all."""
    some = bool((labels[name] != LEFT_OUT).any())
    return some and (name == AGREED or bool((labels[name] != labels[AGREED]).any()))
