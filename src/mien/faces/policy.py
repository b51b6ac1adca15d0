"""From probabilities to the emotion shown, the set of emotions it may be, and whether it is uncertain.

A policy adds an offset to each log probability before the choice (logit adjustment, Menon et al.,
arXiv:2007.07314), so that rare emotions can win; the resulting shares decide the emotion and the set. The
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
    """The emotions that N faces show under a policy."""

    shown: NDArray[np.int64]  # (N,) index into EMOTIONS
    member: NDArray[np.bool_] | None  # (N, K) which emotions are in the set; None: the policy has no sets
    uncertain: NDArray[np.bool_] | None  # (N,) confidence x quality below the threshold; None: no threshold


def shares(probabilities: NDArray[np.floating[Any]], policy: Policy) -> NDArray[np.float64]:
    """(N, K) probabilities weighed by the policy, rows sum to 1; without offsets they are unchanged.

    >>> shares(np.full((1, 8), 0.125), Policy()).tolist()
    [[0.125, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125]]
    """
    weighed = probabilities.astype(np.float64) * np.exp(policy.offsets)  # (N, K)
    result: NDArray[np.float64] = weighed / weighed.sum(axis=1, keepdims=True)
    return result


def decide(
    probabilities: NDArray[np.floating[Any]],
    policy: Policy,
    uncertain: float | None = None,
    quality: NDArray[np.floating[Any]] | float = 1.0,
) -> Decisions:
    """The emotions that N faces show, by their (N, K) probabilities, rows of which sum to 1, and a policy.

    A face is uncertain if its confidence times its quality, (N,), is below `uncertain`; None: no threshold.
    """
    weighed = shares(probabilities, policy)
    shown = weighed.argmax(axis=1)  # (N,)
    rows = np.arange(len(shown))
    in_set = None
    if policy.set_from is not None:
        in_set = weighed >= policy.set_from
        in_set[rows, shown] = True  # no set is empty: the emotion shown is in it
    is_uncertain = None if uncertain is None else probabilities[rows, shown] * quality < uncertain
    return Decisions(shown, in_set, is_uncertain)


def label_faces(
    faces: list[Face], probabilities: Floats, policy: Policy, uncertain: float | None
) -> list[Face]:
    """The N faces with their (N, K) probabilities and the decisions of the policy."""
    quality = np.array([1.0 if face.quality is None else face.quality for face in faces])
    decisions = decide(probabilities, policy, uncertain, quality)
    labelled = []
    for i, (face, row) in enumerate(zip(faces, probabilities, strict=True)):
        emotions, is_uncertain = None, None
        if decisions.member is not None:  # the most probable first
            order = np.argsort(-row, kind="stable")
            emotions = tuple(EMOTIONS[k] for k in order if decisions.member[i, k])
        if decisions.uncertain is not None:
            is_uncertain = bool(decisions.uncertain[i])
        shown = int(decisions.shown[i])
        labelled.append(replace(face, probabilities=row, shown=shown, set=emotions, uncertain=is_uncertain))
    return labelled
