"""The two groups that differ most in a figure, with an interval that allows for all that were compared.

Interval and p of a gap hold for all pairs of groups and all measures of a table at once: the single-step
max-t of Westfall and Young (Resampling-Based Multiple Testing, 1993, section 2.3), from a bootstrap that
draws the pictures of each group anew. Shares take Agresti and Caffo's success and failure more a group (The
American Statistician 54(4), 2000), so that an expression never read in a group has a width as well. Each draw
is divided by its own errors. Simulated where nothing differs, five groups of 40 to 400, nine measures: 3 % of
tables then show a gap at 0.05, so this is on the safe side; by the errors of the whole it was 6 to 8 %.

Legend: P pictures, G groups, M measures, B draws; a value is nan where it does not concern the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mien.evaluate.metrics import Z95, Values

_AT_ONCE: Final = 1 << 21  # weights of the bootstrap held at a time
_LEVEL: Final = 0.95

Codes = NDArray[np.int64]  # (P,) the group of each picture, in 0..G-1
Shares = NDArray[np.bool_]  # (M,) whether a measure is a share of 0 and 1, or any number


@dataclass(frozen=True, slots=True)
class GapSettings:
    """How gaps are looked for."""

    smallest: int = 30  # pictures of a group's figure; one of fewer is shown, not compared
    draws: int = 2000
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Gap:
    """Two groups that differ in a figure; interval and p hold for the whole table at once."""

    high: str
    low: str
    difference: float  # high - low
    interval_95: tuple[float, float]
    p: float  # adjusted; at least 1 / (draws + 1)


@dataclass(frozen=True, slots=True)
class Gaps:
    """The two pairs of groups that are worth naming in a figure; often they are the same."""

    largest: Gap
    clearest: Gap  # the largest t: where small groups differ most by chance, large ones may differ surely


@dataclass(frozen=True, slots=True, eq=False)
class _Figures:
    """(G, M) figures of groups, and what the gaps between them are measured with."""

    value: Values
    centre: Values
    variance: Values
    fit: NDArray[np.bool_]  # whether a group has enough pictures


def find_gaps(
    codes: Codes, values: Values, *, shares: Shares, groups: Sequence[str], settings: GapSettings
) -> tuple[list[Gaps | None], int]:
    """The gaps of each of the (P, M) measures, and how many comparisons their intervals allow for.

    Args:
        codes: (P,) group of each picture, in 0..G-1.
        values: (P, M), nan where a measure does not concern a picture.
        shares: (M,) whether a measure is 0 or 1.
        groups: (G,) names.
        settings: smallest group, draws and seed.

    Returns:
        (M,) gaps, None where fewer than two groups can be compared or all are the same; the number of
        pairs of groups over all measures.
    """
    n, total, squares = sums(codes, values, len(groups))  # (G, M) each
    fit: NDArray[np.bool_] = np.greater_equal(n, max(settings.smallest, 2))
    figures = _Figures(
        total / np.maximum(n, 1), _centre(n, total, shares), variance_of(n, total, squares, shares), fit
    )
    comparisons = sum(k * (k - 1) // 2 for k in fit.sum(axis=0).tolist())
    if not comparisons:
        return [None] * len(shares), 0
    drawn, spread = _draws(codes, values, shares, settings)
    most = _chance(drawn - figures.centre, spread, fit)
    return [_gaps(figures, m, groups, most) for m in range(len(shares))], comparisons


def _chance(drawn: Values, variance: Values, fit: NDArray[np.bool_]) -> Values:
    """(B,) the largest t over all pairs and measures, from (B, G, M) deviations that chance made."""
    most = np.zeros(len(drawn))
    for i, j in combinations(range(len(fit)), 2):
        t = np.abs(drawn[:, i] - drawn[:, j]) / np.sqrt(variance[:, i] + variance[:, j])  # (B, M)
        most = np.maximum(most, np.where(fit[i] & fit[j], t, 0).max(axis=1))
    return most


def _gaps(figures: _Figures, m: int, groups: Sequence[str], most: Values) -> Gaps | None:
    """The pair that is furthest apart in measure m, and the pair with the largest t."""
    where = np.flatnonzero(figures.fit[:, m])
    value, centre, variance = (a[where, m] for a in (figures.value, figures.centre, figures.variance))
    if len(where) < 2 or value.max() == value.min():
        return None
    between = centre[:, None] - centre[None]  # (g, g) of the groups that are compared
    error = np.sqrt(variance[:, None] + variance[None])
    half = float(np.quantile(most, _LEVEL)) or Z95  # draws of groups that are all alike do not differ

    def gap(i: int, j: int) -> Gap:
        low, high = between[i, j] - half * error[i, j], between[i, j] + half * error[i, j]
        p = (1 + int((most >= abs(between[i, j]) / error[i, j]).sum())) / (len(most) + 1)
        limits = max(-1.0, float(low)), min(1.0, float(high))
        return Gap(groups[where[i]], groups[where[j]], float(value[i] - value[j]), limits, p)

    surest = np.unravel_index(int((between / error).argmax()), between.shape)
    return Gaps(gap(int(value.argmax()), int(value.argmin())), gap(int(surest[0]), int(surest[1])))


def sums(codes: Codes, values: Values, groups: int) -> tuple[Values, Values, Values]:
    """(G, M) counts, sums and sums of squares."""
    one_hot = (codes == np.arange(groups)[:, None]).astype(np.float64)  # (G, P)
    filled = np.nan_to_num(values)  # (P, M)
    return one_hot @ ~np.isnan(values), one_hot @ filled, one_hot @ filled**2


def variance_of(n: Values, total: Values, squares: Values, shares: Shares) -> Values:
    """Of `_centre`, by its estimate; nan for a mean of fewer than two, never 0."""
    share = (total + 1) / (n + 2)
    spread = squares - total**2 / np.maximum(n, 1)  # sum of squares about the mean
    with_two = np.where(n > 1, n * (n - 1), np.nan)
    of_mean = np.maximum(spread, 1e-12) / with_two
    return np.where(shares, share * (1 - share) / (n + 2), of_mean)


def _centre(n: Values, total: Values, shares: Shares) -> Values:
    """Means, and shares with a success and a failure more; what has no picture is 0 or a half."""
    return (total + shares) / np.maximum(n + 2 * shares, 1)


def _draws(codes: Codes, values: Values, shares: Shares, settings: GapSettings) -> tuple[Values, Values]:
    """(B, G, M) centres and variances, the pictures of each group drawn anew; 0 and 1 of small groups."""
    rng = np.random.default_rng(settings.seed)
    sizes = np.bincount(codes)  # (G,)
    drawn = np.zeros((settings.draws, len(sizes), values.shape[1]))
    spread = np.ones_like(drawn)
    for g in np.flatnonzero(sizes >= settings.smallest):
        mine = values[codes == g]  # (n, M)
        known, filled = (~np.isnan(mine)).astype(np.float64), np.nan_to_num(mine)
        step = max(1, _AT_ONCE // len(mine))
        for start in range(0, settings.draws, step):
            weights = _weights(len(mine), min(step, settings.draws - start), rng)  # (b, n)
            n, total, squares = (weights @ one for one in (known, filled, filled**2))  # (b, M)
            drawn[start : start + step, g] = _centre(n, total, shares)
            spread[start : start + step, g] = variance_of(n, total, squares, shares)
    return drawn, spread


def _weights(n: int, draws: int, rng: np.random.Generator) -> Values:
    """(draws, n) how often each of n pictures is drawn when n are, with replacement."""
    which = rng.integers(n, size=(draws, n)) + n * np.arange(draws)[:, None]
    return np.bincount(which.ravel(), minlength=draws * n).reshape(draws, n).astype(np.float64)
