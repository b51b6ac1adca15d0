"""What a policy's decisions are worth: the emotion shown, the set it may be of, and the doubt.

Legend: N faces, K = 8 emotions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.evaluate import metrics
from mien.evaluate.metrics import Values
from mien.faces.policy import Decisions

Figures = dict[str, float | Values]  # by name, one number or (K,) one an emotion


def policy_figures(said: Decisions, known: NDArray[np.bool_], truth: NDArray[np.int64]) -> Figures:
    """What a policy's decisions are worth.

    Args:
        said: of N faces.
        known: (N,) those that have a label.
        truth: (n,) the labels of the n known.
    """
    counts = metrics.confusion(truth, said.shown[known])
    figures: Figures = {
        "accuracy": metrics.accuracy(counts),
        "balanced accuracy": metrics.balanced_accuracy(counts),
        "recall": metrics.recall(counts),
    }
    if said.member is not None:
        member = said.member[known]
        held = member[np.arange(len(truth)), truth]  # (n,) whether the label is in the set
        figures["coverage"] = _share(held)
        figures["set size"] = float(member.sum(axis=1).mean())
        figures["coverage by emotion"] = np.array([_share(held[truth == k]) for k in range(metrics.K)])
    if said.uncertain is not None:
        unsure = said.uncertain[known]
        figures["uncertain"] = _share(unsure)
        figures["right if certain"] = _share((said.shown[known] == truth)[~unsure])
    return figures


def _share(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else float("nan")
