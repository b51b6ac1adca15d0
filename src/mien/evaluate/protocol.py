"""Votes to labels: the two readings of FER+'s ten votes that published figures use.

Votes: Barsoum et al., arXiv:1608.01041. `majority` is what Microsoft's FERPlus code trains and
tests with (`src/ferplus.py`, `_process_data`, mode "majority"); `argmax` keeps nearly every picture
and is therefore the harder one.

Legend: N samples; votes are (N, 10): the eight of `labels.EMOTIONS`, unknown, not a face.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mien.errors import ConfigError
from mien.labels import EMOTIONS
from mien.types import Sample

LEFT_OUT: Final = -1  # the label of a sample that the protocol does not score

Labels = NDArray[np.int64]  # (N,) index into EMOTIONS, or LEFT_OUT
Votes = NDArray[np.int64]  # (N, 10)


def majority(samples: Sequence[Sample]) -> Labels:
    """(N,) labels of the samples on which the voters agree, the others `LEFT_OUT`.

    Emotions with a single vote are set to zero; the winner must then hold more than half of the votes
    that are left, unknown and not-a-face counted. No such winner, or unknown or not-a-face as the
    winner: left out.

    # Deviates: a sample with one vote in all has a label that somebody gave (a folder per emotion), not
    an outlier among ten; it is kept. FER+ has ten votes per picture and no such sample.
    """
    votes = count_votes(samples)
    alone = votes.sum(axis=1, keepdims=True) == 1  # (N, 1)
    kept = np.where((votes > 1) | alone, votes, 0)  # (N, 10)
    return _label_winners(kept, 2 * kept.max(axis=1, initial=0) > kept.sum(axis=1))


def argmax(samples: Sequence[Sample]) -> Labels:
    """(N,) labels with the most votes over all ten columns, single votes included.

    Ties go to the first in the order of the columns (neutral first; unknown and not-a-face last, so
    that they lose every tie with an emotion). Unknown or not-a-face as the winner, or no votes at
    all: left out.
    """
    votes = count_votes(samples)
    return _label_winners(votes, votes.sum(axis=1) > 0)


#: Name to the function that labels samples.
PROTOCOLS: Final[dict[str, Callable[[Sequence[Sample]], Labels]]] = {
    "majority": majority,
    "argmax": argmax,
}


def accuracies(guess: Labels, samples: Sequence[Sample]) -> dict[str, float]:
    """Accuracy of (N,) predicted labels of N samples under each protocol, and the number it is of."""
    figures: dict[str, float] = {}
    for name, protocol in PROTOCOLS.items():
        truth = protocol(samples)
        used = truth != LEFT_OUT
        figures[name] = round(float((guess[used] == truth[used]).mean()), 5)
        figures[f"n_{name}"] = int(used.sum())
    return figures


def count_votes(samples: Sequence[Sample]) -> Votes:
    """(N, 10) votes: eight emotions, unknown, not a face; zeros where a sample has none."""
    none = (0,) * len(EMOTIONS)
    rows = [(*(s.votes or none), s.unknown, s.not_face) for s in samples]
    return np.array(rows, np.int64).reshape(-1, len(EMOTIONS) + 2)


def check_protocol(name: str) -> None:
    """Raise a ConfigError that lists the protocols unless `name` is one of them."""
    if name not in PROTOCOLS:
        raise ConfigError(f"--protocol: expected one of {', '.join(PROTOCOLS)}, got {name!r}")


def _label_winners(votes: Votes, decided: NDArray[np.bool_]) -> Labels:
    winner = votes.argmax(axis=1)  # (N,)
    return np.where(decided & (winner < len(EMOTIONS)), winner, LEFT_OUT)
