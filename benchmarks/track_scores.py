"""What a tracker did, against the truth: switches, fragments, MOTA and IDF1, from counts that add up.

MOTA and switches as in CLEAR MOT (Bernardin and Stiefelhagen 2008), with a pair kept for as long as it
overlaps; IDF1 as in Ristani and others 2016: the truth's people and the tracker's numbers are paired once
for the whole clip, so that the boxes in common are most.

Legend: N people of the truth, M numbers of the tracker.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

OVERLAP: Final = 0.5  # the least intersection over union of a face with its truth
Box = tuple[float, float, float, float]  # x, y, width, height


@dataclass(frozen=True, slots=True)
class Step:
    """One frame: boxes by the person's number, boxes by the tracker's, and truth that nobody has to find."""

    truth: Mapping[int, Box]
    faces: Mapping[int, Box]
    ignored: Sequence[Box] = ()  # a face that lies on one of these counts neither way


@dataclass(frozen=True, slots=True)
class Score:
    """Counts over one clip, or over several when added."""

    truth: int = 0  # boxes
    faces: int = 0
    hits: int = 0  # pairs of both, frame by frame
    same: int = 0  # pairs of both under the one pairing of people and numbers
    switches: int = 0  # a person's number is not the last one that they had
    fragments: int = 0  # a person is found again after some frames without
    clips: int = 0

    def __add__(self, other: Self) -> Score:
        return Score(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def mota(self) -> float:
        """1 less misses, false finds and switches as shares of the truth."""
        wrong = self.truth + self.faces - 2 * self.hits + self.switches
        return 1 - wrong / max(1, self.truth)

    @property
    def idf1(self) -> float:
        """The boxes that carry their person's number: harmonic mean of their shares of truth and of faces."""
        return 2 * self.same / max(1, self.truth + self.faces)


def overlap(a: Sequence[Box], b: Sequence[Box]) -> NDArray[np.float64]:
    """(N, M) intersection over union of N and M boxes."""
    one, two = np.reshape(a, (-1, 1, 4)).astype(float), np.reshape(b, (1, -1, 4)).astype(float)
    low = np.maximum(one[..., :2], two[..., :2])  # (N, M, 2)
    high = np.minimum(one[..., :2] + one[..., 2:], two[..., :2] + two[..., 2:])
    common = (high - low).clip(0).prod(-1)  # (N, M)
    ratio: NDArray[np.float64] = common / (one[..., 2:].prod(-1) + two[..., 2:].prod(-1) - common + 1e-9)
    return ratio


def score(steps: Sequence[Step]) -> Score:
    """The counts of one clip."""
    number: dict[int, int] = {}  # the last number that a person had
    missed: set[int] = set()  # who has been found before and is not now
    common: Counter[tuple[int, int]] = Counter()
    counts: Counter[str] = Counter()
    for step in map(_without_ignored, steps):
        people, found = list(step.truth), list(step.faces)
        ratio = overlap(list(step.truth.values()), list(step.faces.values()))
        common.update((people[i], found[j]) for i, j in np.argwhere(ratio >= OVERLAP))
        pairs = _pairs(ratio, [(i, found.index(number[p])) for i, p in enumerate(people)
                               if number.get(p) in step.faces])  # fmt: skip
        counts.update(truth=len(people), faces=len(found), hits=len(pairs))
        now = {people[i]: found[j] for i, j in pairs}
        counts["switches"] += sum(number.get(person, own) != own for person, own in now.items())
        counts["fragments"] += len(missed & now.keys())
        number |= now
        missed = (missed | {p for p in people if p in number}) - now.keys()
    return Score(**counts, same=_same(common), clips=1)


def _without_ignored(step: Step) -> Step:
    """The step without the faces that lie on ignored truth and on no other."""
    if not step.ignored or not step.faces:
        return step
    boxes = list(step.faces.values())
    free = overlap(list(step.ignored), boxes).max(0) < OVERLAP  # (M,)
    if step.truth:
        free |= overlap(list(step.truth.values()), boxes).max(0) >= OVERLAP
    return Step(step.truth, {n: box for (n, box), keep in zip(step.faces.items(), free, strict=True) if keep})


def _pairs(ratio: NDArray[np.float64], before: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Pairs of a frame: those of before that still overlap, then the best of the rest."""
    value = np.where(ratio >= OVERLAP, ratio, 0.0)
    for i, j in before:
        value[i, j] += 2.0 * len(value) * (value[i, j] > 0)
    return [(int(i), int(j)) for i, j in zip(*linear_sum_assignment(-value), strict=True) if value[i, j] > 0]


def _same(common: Mapping[tuple[int, int], int]) -> int:
    """Boxes in common under the best one-to-one pairing of people and numbers."""
    people, numbers = sorted({p for p, _ in common}), sorted({n for _, n in common})
    table = np.zeros((len(people), len(numbers)), np.int64)  # (N, M)
    for (person, number), count in common.items():
        table[people.index(person), numbers.index(number)] = count
    return int(table[linear_sum_assignment(-table)].sum())
