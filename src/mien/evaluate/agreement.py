"""How far raters agree: Mien with people, and people among themselves.

Each figure is a function of sums over clips. So an interval comes from drawing whole clips with replacement
and adding up their sums: moments of one clip resemble each other, and drawing them one by one would make the
intervals many times too narrow.

Kappa, and the greatest possible one: Cohen, Educational and Psychological Measurement 20(1), 1960. Alpha, for
nominal data of any number of raters with values missing: Krippendorff, Content Analysis, 2004, chapter 11.
ICC(2,1) and ICC(3,1): Shrout and Fleiss, Psychological Bulletin 86(2), 1979. Specific agreement: Cicchetti
and Feinstein, Journal of Clinical Epidemiology 43(6), 1990.

Legend: C clips, B draws, K = 9 labels, E = 8 emotions, V = 1 + K rows: in all, then each label; `...`: the
draws, or nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mien.evaluate.codes import Code
from mien.evaluate.metrics import divide
from mien.evaluate.ratings import LABELS, AgreeOptions, FaceRatings, Ratings, Stretch, read_ratings
from mien.labels import EMOTIONS

K: Final = len(LABELS)
ROWS: Final = ("in all", *LABELS)
#: What is estimated of two raters, in words.
MEASURES: Final = {
    "percent": "share of the moments in which both say the same; of a label: whether it is shown",
    "kappa": "Cohen's kappa",
    "alpha": "Krippendorff's alpha",
    "specific": "twice the moments that both give the label, divided by those of the one plus those of the "
    "other",
    "kappa_at_rate": "kappa if Mien showed the expression as often as the coder does",
    "events_paired": "share of the events of either that both have",
    "events_within": "the same, onset and offset within the tolerance",
    "icc_2_1": "ICC(2,1), absolute agreement",
    "icc_3_1": "ICC(3,1), consistency",
}
WEIGHTS_AT_ONCE: Final = 1 << 22  # numbers of the bootstrap held in memory at a time
FEW_CLIPS: Final = 10
LEAST_DEFINED: Final = 0.95  # share of draws in which a figure is defined, for an interval

Array = NDArray[np.float64]
Sums = dict[str, Array]  # by name, (C, ...)


@dataclass(frozen=True, slots=True, eq=False)
class Estimates:
    """A figure by row, with 95 % intervals; nan where it is not defined."""

    value: Array  # (V,)
    low: Array  # (V,)
    high: Array  # (V,)


@dataclass(frozen=True, slots=True, eq=False)
class PairAgreement:
    """How far two raters agree."""

    first: str
    second: str
    clips: int  # with moments that both label
    moments: int
    seconds: float  # of these moments; 0 where they are photos
    counts: NDArray[np.int64]  # (K, K) moments, the first rater's labels in rows
    figures: dict[str, Estimates]  # by the names of MEASURES
    kappa_max: Array  # (V,) the greatest kappa that the two rates of use allow
    rates: Array  # (2, V) share of the moments in which each uses the label
    events: NDArray[np.int64]  # (V, 4) of the first, of the second, paired, paired within the tolerance
    #: (V, 3) of pairs: onset and offset of the second less the first's, s; overlap by union
    event_medians: Array
    uncovered: tuple[int, int]  # events of each that are left out: the other codes under half of their time
    #: moments that Mien marks uncertain, and the share of agreement in these and in others; None: not known
    doubtful: tuple[int, float, float] | None


@dataclass(frozen=True, slots=True, eq=False)
class GroupAgreement:
    """How far three raters or more agree together."""

    raters: tuple[str, ...]
    moments: int  # that at least two of them label
    alpha: Estimates


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """The result of `agree`."""

    options: AgreeOptions
    raters: tuple[str, ...]
    mien: str  # what Mien's table holds, "frames" or "events"; "": Mien is not among the raters
    clips: tuple[str, ...]
    pairs: tuple[PairAgreement, ...]
    groups: tuple[GroupAgreement, ...]
    left_out: dict[str, list[str]]  # what has no counterpart, by its kind
    notes: tuple[str, ...]


def agree(
    table: str | Path, codes: Sequence[str | Path | Code], options: AgreeOptions | None = None
) -> Agreement:
    """Compare Mien's table with codes by people, and people with each other.

    Args:
        table: of frames or of events, as `mien analyze` wrote it; or further codes, to compare people alone.
        codes: files or folders as `read_codes` takes them, or "NAME=PATH" with the coder's name; or codes.
        options: how to read and compare them; None: the defaults.

    Raises:
        DataError: a file cannot be read, nothing can be compared, or codes do not fit their clips.
        ConfigError: options that make no sense.
    """
    options = options or AgreeOptions()
    ratings = read_ratings(Path(table), codes, options)
    pairs = tuple(
        estimate_pair(ratings, a, b, options) for a, b in combinations(range(len(ratings.raters)), 2)
    )
    people = tuple(range(1 if ratings.mien else 0, len(ratings.raters)))
    groups = [g for g in (people, tuple(range(len(ratings.raters)))) if len(g) > 2]
    notes = [*ratings.notes]
    notes += [f"{p.first} and {p.second} have no moment in common" for p in pairs if not p.moments]
    if few := [f"{p.first} and {p.second} {p.clips}" for p in pairs if 0 < p.clips < FEW_CLIPS]:
        notes.append(
            f"Clips or photos in common: {', '.join(few)}. With fewer than {FEW_CLIPS}, intervals are "
            "rough and mostly too narrow; with one there are none"
        )
    return Agreement(
        options=options,
        raters=ratings.raters,
        mien=ratings.mien,
        clips=ratings.clips,
        pairs=pairs,
        groups=tuple(_estimate_group(ratings, group, options) for group in dict.fromkeys(groups)),
        left_out={what: some for what, some in ratings.left_out.items() if some},
        notes=tuple(notes),
    )


# --- figures of sums


def kappa(counts: Array) -> Array:
    """(...) Cohen's kappa of (..., K, K) counts; nan where chance alone would agree always."""
    total = counts.sum(axis=(-2, -1))
    by_chance = (counts.sum(axis=-1) * counts.sum(axis=-2)).sum(axis=-1)
    return divide(total * _trace(counts) - by_chance, total**2 - by_chance)


def kappa_max(counts: Array) -> Array:
    """(...) the greatest kappa of raters who use the labels as often as those of (..., K, K) counts."""
    total, rows, columns = counts.sum(axis=(-2, -1)), counts.sum(axis=-1), counts.sum(axis=-2)
    by_chance = (rows * columns).sum(axis=-1)
    return divide(total * np.minimum(rows, columns).sum(axis=-1) - by_chance, total**2 - by_chance)


def alpha(coincidences: Array) -> Array:
    """(...) Krippendorff's nominal alpha of (..., K, K) coincidences; nan where all values are the same.

    A unit with m values adds 1 / (m - 1) for each ordered pair of them.
    """
    values = coincidences.sum(axis=-1)  # (..., K)
    total = values.sum(axis=-1)
    expected = total**2 - (values**2).sum(axis=-1)
    return 1 - divide((total - 1) * (total - _trace(coincidences)), expected)


def icc(sums: Array, raters: int) -> tuple[Array, Array]:
    """(...) ICC(2,1), absolute agreement, and ICC(3,1), consistency, of sums over targets.

    Args:
        sums: (..., 1 + R + 2) number of targets, sum of each rater, sum of squares, sum of the squared
            totals of the targets.
        raters: R.
    """
    n, by_rater = sums[..., 0], sums[..., 1 : 1 + raters]
    squares, of_totals = sums[..., -2], sums[..., -1] / raters
    centre = divide(by_rater.sum(axis=-1) ** 2, n * raters)
    between_raters = divide((by_rater**2).sum(axis=-1), n) - centre
    targets = divide(of_totals - centre, n - 1)  # mean squares
    judges = between_raters / (raters - 1)
    error = divide(squares - of_totals - between_raters, (n - 1) * (raters - 1))
    common = targets + (raters - 1) * error
    absolute = common + raters * divide(judges - error, n)
    return divide(targets - error, absolute), divide(targets - error, common)


def one_against_rest(counts: Array) -> Array:
    """(..., K, 2, 2) counts of each label against all others, of (..., K, K)."""
    both = np.diagonal(counts, axis1=-2, axis2=-1)  # (..., K)
    first, second = counts.sum(axis=-1) - both, counts.sum(axis=-2) - both
    rest = counts.sum(axis=(-2, -1))[..., None] - both - first - second
    return np.stack([np.stack([both, first], -1), np.stack([second, rest], -1)], -2)


def _trace(counts: Array) -> Array:
    return np.asarray(np.trace(counts, axis1=-2, axis2=-1))


def _by_row(whole: Array, parts: Array) -> Array:
    """(..., V) of (...) and (..., K)."""
    return np.concatenate([whole[..., None], parts], axis=-1)


# --- two raters


def estimate_pair(ratings: Ratings, a: int, b: int, options: AgreeOptions) -> PairAgreement:
    """What there is to say of the raters a and b."""
    clips = len(ratings.clips)
    clip, labels, seconds, faces = _moments(ratings, [a, b])
    known = (labels >= 0).all(axis=0)
    clip, labels, seconds = clip[known], labels[:, known], seconds[known]
    events, medians, uncovered = _pair_events(ratings, a, b, options)
    sums: Sums = {
        "counts": _count(clip, labels[0], labels[1], clips),
        "at_rate": np.zeros((clips, K, 2, 2)),
        "doubtful": np.zeros((clips, K, K)),
        "events": events,
        "icc": _intensity_sums(ratings, a, b),
    }
    doubt = np.concatenate([face.uncertain for face in faces] or [np.empty(0, np.int64)])[known]
    if ratings.mien == "frames" and a == 0:
        p = np.concatenate([face.probabilities for face in faces] or [np.empty((0, len(EMOTIONS)))])
        sums["at_rate"][:, : len(EMOTIONS)] = _count_at_rate(clip, p[known], labels[1], clips)
        sums["doubtful"] = _count(clip[doubt == 1], labels[0, doubt == 1], labels[1, doubt == 1], clips)
    total = {name: values.sum(axis=0) for name, values in sums.items()}
    counts, doubtful = total["counts"], total["doubtful"]
    n = counts.sum()
    shares = [np.concatenate([[1.0 if n else np.nan], divide(counts.sum(axis=axis), n)]) for axis in (1, 0)]
    unsure, sure = (float(divide(_trace(some), some.sum())) for some in (doubtful, counts - doubtful))
    return PairAgreement(
        first=ratings.raters[a],
        second=ratings.raters[b],
        clips=len(np.unique(clip)),
        moments=int(n),
        seconds=float(seconds.sum()),
        counts=counts.astype(np.int64),
        figures=_estimate(sums, _pair_figures, options),
        kappa_max=_by_row(kappa_max(counts), kappa_max(one_against_rest(counts))),
        rates=np.stack(shares),
        events=total["events"].astype(np.int64),
        event_medians=medians,
        uncovered=uncovered,
        doubtful=(int(doubtful.sum()), unsure, sure) if a == 0 and (doubt >= 0).any() else None,
    )


def _pair_figures(sums: Sums) -> Sums:
    """(..., V) of each measure, of sums (...)."""
    counts, events = sums["counts"], sums["events"]
    each = one_against_rest(counts)  # (..., K, 2, 2)
    coincidences = counts + np.swapaxes(counts, -2, -1)
    either = 2 * each[..., 0, 0] + each[..., 0, 1] + each[..., 1, 0]
    undefined = np.full(counts.shape[:-2], np.nan)
    of_two = events[..., 0] + events[..., 1]
    absolute, consistent = icc(sums["icc"], 2)
    return {
        "percent": _by_row(
            divide(_trace(counts), counts.sum(axis=(-2, -1))), divide(_trace(each), each.sum(axis=(-2, -1)))
        ),
        "kappa": _by_row(kappa(counts), kappa(each)),
        "alpha": _by_row(alpha(coincidences), alpha(one_against_rest(coincidences))),
        "specific": _by_row(undefined, divide(2 * each[..., 0, 0], either)),
        "kappa_at_rate": _by_row(undefined, kappa(sums["at_rate"])),
        "events_paired": divide(2 * events[..., 2], of_two),
        "events_within": divide(2 * events[..., 3], of_two),
        "icc_2_1": absolute,
        "icc_3_1": consistent,
    }


def _moments(
    ratings: Ratings, raters: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64], Array, list[FaceRatings]]:
    """(N,) clips, (R, N) labels and (N,) seconds of all moments, and the faces that they are of."""
    faces = ratings.faces
    sizes = [face.labels.shape[1] for face in faces]
    labels = np.concatenate(
        [face.labels[list(raters)] for face in faces] or [np.empty((2, 0), np.int64)], axis=1
    )
    clip = np.repeat(np.array([face.clip for face in faces], np.int64), sizes)
    return clip, labels, np.repeat(np.array([face.step for face in faces], float), sizes), faces


def _count(
    clip: NDArray[np.int64],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    clips: int,
    weights: Any = None,
) -> Array:
    """(C, K, K) moments, or their weights, by labels."""
    cells = (clip * K + first) * K + second
    return np.bincount(cells, weights, minlength=clips * K * K).astype(float).reshape(clips, K, K)


def _count_at_rate(
    clip: NDArray[np.int64], probabilities: Array, labels: NDArray[np.int64], clips: int
) -> Array:
    """(C, E, 2, 2) moments with each expression, were Mien to show it as often as the coder does.

    Mien then shows it where its (N, E) probability is highest, at whatever threshold gives that number.
    """
    counts = np.zeros((clips, len(EMOTIONS), 2, 2))
    for k in range(len(EMOTIONS)):
        coded = labels == k
        often = int(coded.sum())
        if often:
            p = np.nan_to_num(probabilities[:, k], nan=-1.0)
            shown = p >= np.partition(p, len(p) - often)[len(p) - often]
            cells = clip * 4 + 2 * ~shown + ~coded
            counts[:, k] = np.bincount(cells, minlength=clips * 4).reshape(clips, 2, 2)
    return counts


def _intensity_sums(ratings: Ratings, a: int, b: int) -> Array:
    """(C, V, 5) for `icc`, of coded intensities or Mien's probabilities; 0 where there are none."""
    sums = np.zeros((len(ratings.clips), len(ROWS), 5))
    for face in ratings.faces:
        # (T, E) each
        x = face.probabilities if a == 0 and ratings.mien == "frames" else face.intensity.get(a)
        y = face.intensity.get(b)
        if x is None or y is None:
            continue
        known = ~np.isnan(x) & ~np.isnan(y)
        x, y = np.where(known, x, 0), np.where(known, y, 0)
        each = [
            known.sum(axis=0),
            x.sum(axis=0),
            y.sum(axis=0),
            (x**2 + y**2).sum(axis=0),
            ((x + y) ** 2).sum(axis=0),
        ]
        sums[face.clip, 1 : 1 + len(EMOTIONS)] += np.stack(each, axis=-1)
    sums[:, 0] = sums.sum(axis=1)
    return sums


# --- events


def _pair_events(
    ratings: Ratings, a: int, b: int, options: AgreeOptions
) -> tuple[Array, Array, tuple[int, int]]:
    """As `PairAgreement` has them: (C, V, 4) events, (V, 3) medians of pairs, and those that do not count."""
    sums = np.zeros((len(ratings.clips), len(ROWS), 4))
    differences: list[tuple[int, float, float, float]] = []
    uncovered = [0, 0]
    for face in ratings.faces:
        counted = []
        for i, (one, other) in enumerate([(a, b), (b, a)]):
            covered = [event for event in face.events[one] if _is_covered(event, face, other)]
            uncovered[i] += len(face.events[one]) - len(covered)
            counted.append(covered)
        for emotion in {event[0] for both in counted for event in both}:
            row = ROWS.index(emotion)
            first, second = ([(on, off) for name, on, off in both if name == emotion] for both in counted)
            pairs = pair_events(first, second, options.tolerance)
            within = 0
            for i, j in pairs:
                onset, offset = (second[j][side] - first[i][side] for side in (0, 1))
                within += max(abs(onset), abs(offset)) <= options.tolerance
                differences.append((row, onset, offset, _overlap(first[i], second[j])))
            sums[face.clip, row] += len(first), len(second), len(pairs), within
    sums[:, 0] = sums.sum(axis=1)
    medians = np.full((len(ROWS), 3), np.nan)
    found = np.array(differences).reshape(-1, 4)
    for row in range(len(ROWS)):
        mine = found[(found[:, 0] == row) | (row == 0), 1:]
        if len(mine):
            medians[row] = np.median(mine, axis=0)
    return sums, medians, (uncovered[0], uncovered[1])


def pair_events(
    first: Sequence[tuple[float, float]], second: Sequence[tuple[float, float]], tolerance: float
) -> list[tuple[int, int]]:
    """Which of two raters' events of one expression are the same, each in one pair at most, in order.

    Two may be a pair if they overlap or at most `tolerance` seconds lie between them. Of all ways to pair
    them in order, this is one with the most pairs plus overlap (time of both, by time of either).

    Args:
        first: (onset, offset) in seconds, in order, not overlapping.
        second: the same of the other rater.
        tolerance: seconds.

    Returns:
        Positions in `first` and `second`.
    """
    best = np.zeros((len(first) + 1, len(second) + 1))  # of the first i and j events
    worth = np.zeros((len(first), len(second)))
    for i, one in enumerate(first):
        for j, other in enumerate(second):
            apart = max(one[0], other[0]) - min(one[1], other[1])
            worth[i, j] = 1 + _overlap(one, other) if apart <= tolerance else 0
            best[i + 1, j + 1] = max(best[i, j + 1], best[i + 1, j], best[i, j] + worth[i, j])
    pairs = []
    i, j = worth.shape
    while i and j:
        if best[i, j] == best[i - 1, j]:
            i -= 1
        elif best[i, j] == best[i, j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            pairs.append((i, j))
    return pairs[::-1]


def _overlap(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Time that both hold, by time from the first onset to the last offset; 0 for those apart."""
    common = min(one[1], other[1]) - max(one[0], other[0])
    return max(0.0, common) / (max(one[1], other[1]) - min(one[0], other[0]))


def _is_covered(event: Stretch, face: FaceRatings, rater: int) -> bool:
    """Whether a rater labels half of the time of an event at least."""
    _, onset, offset = event
    first, last = (round(time / face.step) for time in (onset, offset)) if face.step else (0, 0)
    here = face.labels[rater, first : max(last, first + 1)]
    return 2 * int((here >= 0).sum()) >= max(1, len(here)) and bool(len(here))


# --- all raters


def _estimate_group(ratings: Ratings, group: Sequence[int], options: AgreeOptions) -> GroupAgreement:
    """Krippendorff's alpha of several raters."""
    clip, labels, _, _ = _moments(ratings, group)
    values = (labels >= 0).sum(axis=0)  # (N,) of each moment
    coincidences = np.zeros((len(ratings.clips), K, K))
    for first, second in permutations(labels, 2):
        both = (first >= 0) & (second >= 0)
        coincidences += _count(
            clip[both], first[both], second[both], len(ratings.clips), 1 / (values[both] - 1)
        )

    def figures(sums: Sums) -> Sums:
        one = sums["coincidences"]
        return {"alpha": _by_row(alpha(one), alpha(one_against_rest(one)))}

    estimates = _estimate({"coincidences": coincidences}, figures, options)
    return GroupAgreement(
        tuple(ratings.raters[r] for r in group), int((values > 1).sum()), estimates["alpha"]
    )


def _estimate(sums: Sums, figures: Any, options: AgreeOptions) -> dict[str, Estimates]:
    """Each figure, with the 95 % percentile interval of a bootstrap over the clips that have anything."""
    values = figures({name: one.sum(axis=0) for name, one in sums.items()})
    held = np.any([one.any(axis=tuple(range(1, one.ndim))) for one in sums.values()], axis=0)  # (C,)
    sums = {name: one[held] for name, one in sums.items()}
    clips = int(held.sum())
    if clips < 2:
        nothing = np.full(len(ROWS), np.nan)
        return {name: Estimates(value, nothing, nothing) for name, value in values.items()}
    rng = np.random.default_rng(options.seed)
    drawn: dict[str, list[Array]] = {name: [] for name in values}
    step = max(1, WEIGHTS_AT_ONCE // max(clips, *(one[0].size for one in sums.values())))
    for start in range(0, options.draws, step):
        draws = min(step, options.draws - start)
        weights = rng.multinomial(clips, np.full(clips, 1 / clips), size=draws).astype(float)  # (B, C)
        drawn_sums = {name: np.tensordot(weights, one, axes=1) for name, one in sums.items()}
        for name, value in figures(drawn_sums).items():
            drawn[name].append(value)
    return {name: Estimates(value, *_interval(np.concatenate(drawn[name]))) for name, value in values.items()}


def _interval(drawn: Array) -> tuple[Array, Array]:
    """(V,) and (V,) limits of (B, V) figures; nan where too many draws are not defined."""
    limits = np.full((2, drawn.shape[1]), np.nan)
    for row, column in enumerate(drawn.T):
        defined = column[~np.isnan(column)]
        if len(defined) >= LEAST_DEFINED * len(column):
            limits[:, row] = np.percentile(defined, [2.5, 97.5])
    return limits[0], limits[1]
