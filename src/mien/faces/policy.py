"""From probabilities to what is shown: one emotion, the set of those it may be, and whether it is certain.

A policy adds an offset to each log probability before the choice (logit adjustment, Menon et al.,
arXiv:2007.07314), so that rare emotions can win; the shares that result decide the emotion and the set. The
probabilities themselves stay as they are, and the confidence is the probability of the emotion shown.

Legend: N faces, K = 8 emotions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.card import Policy
from mien.labels import EMOTIONS
from mien.types import Face, Floats


@dataclass(frozen=True, slots=True, eq=False)
class Decisions:
    """What N faces are said to show under a policy."""

    shown: NDArray[np.int64]  # (N,) index into EMOTIONS
    member: NDArray[np.bool_] | None  # (N, K) which emotions are in the set; None: the policy knows no sets
    uncertain: NDArray[np.bool_] | None  # (N,) confidence below the threshold; None: there is no threshold


def shares(probabilities: NDArray[np.floating[Any]], policy: Policy) -> NDArray[np.float64]:
    """(N, K) probabilities weighed by the policy, rows sum to 1; without offsets as they were.

    >>> shares(np.full((1, 8), 0.125), Policy()).tolist()
    [[0.125, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125]]
    """
    weighed = probabilities.astype(np.float64) * np.exp(policy.offsets)  # (N, K)
    result: NDArray[np.float64] = weighed / weighed.sum(axis=1, keepdims=True)
    return result


def decide(
    probabilities: NDArray[np.floating[Any]], policy: Policy, uncertain: float | None = None
) -> Decisions:
    """What N faces are said to show, by their (N, K) probabilities and a policy.

    Args:
        probabilities: rows sum to 1.
        policy: of the model card.
        uncertain: the confidence below which a reading is uncertain; None: not known.
    """
    weighed = shares(probabilities, policy)
    shown = weighed.argmax(axis=1)  # (N,)
    rows = np.arange(len(shown))
    member = None
    if policy.set_from is not None:
        member = weighed >= policy.set_from
        member[rows, shown] = True  # no set is empty: what is shown is in it
    unsure = None if uncertain is None else probabilities[rows, shown] < uncertain
    return Decisions(shown, member, unsure)


def label_faces(
    faces: list[Face], probabilities: Floats, policy: Policy, uncertain: float | None
) -> list[Face]:
    """The N faces with their (N, K) probabilities and what the policy makes of them."""
    decisions = decide(probabilities, policy, uncertain)
    labelled = []
    for i, (face, row) in enumerate(zip(faces, probabilities, strict=True)):
        emotions, unsure = None, None
        if decisions.member is not None:  # the likeliest first
            likeliest = np.argsort(-row, kind="stable")
            emotions = tuple(EMOTIONS[k] for k in likeliest if decisions.member[i, k])
        if decisions.uncertain is not None:
            unsure = bool(decisions.uncertain[i])
        shown = int(decisions.shown[i])
        labelled.append(replace(face, probabilities=row, shown=shown, set=emotions, uncertain=unsure))
    return labelled
