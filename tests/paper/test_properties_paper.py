"""The paper's scores against counting in plain Python, whatever was read."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as some

from mien.paper import binary
from mien.paper.binary import Binary, choose_threshold, summarize
from mien.paper.compare import compare, mcnemar

quick = settings(max_examples=30, deadline=None, derandomize=True, database=None)


def same(got, wanted):
    np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-12)


# --- one emotion against the rest


cells = some.tuples(*[some.integers(0, 9)] * 4).map(lambda four: Binary(*four))


@quick
@given(cells)
def test_binary_scores_are_ratios_of_pictures(c):
    pictures = (
        [(True, True)] * c.tp + [(True, False)] * c.fn + [(False, True)] * c.fp + [(False, False)] * c.tn
    )
    truth, read = (np.array([one[i] for one in pictures], bool) for i in (0, 1))
    assert binary.count(truth, read) == c
    assert binary.count(read, truth) == c.transposed()

    def share(right, of):
        return sum(right) / sum(of) if any(of) else math.nan

    same(binary.accuracy(c), share(truth == read, truth | True))
    same(binary.sensitivity(c), share(truth & read, truth))
    same(binary.specificity(c), share(~truth & ~read, ~truth))
    same(binary.precision(c), share(truth & read, read))
    same(binary.npv(c), share(~truth & ~read, ~read))
    same(binary.f1(c), 2 * c.tp / (2 * c.tp + c.fp + c.fn) if c.tp + c.fp + c.fn else math.nan)


@quick
@given(
    some.lists(some.tuples(some.sampled_from([0.0, 0.1, 0.3, 0.5, 0.8, 1.0]), some.booleans()), max_size=14)
)
def test_no_threshold_reads_better_than_the_chosen(drawn):
    scores, positive = np.array([s for s, _ in drawn]), np.array([p for _, p in drawn], bool)
    assume(0 < positive.sum() < len(positive))

    def worth(threshold):
        c = binary.count(positive, scores >= threshold)
        return binary.sensitivity(c) + binary.specificity(c)

    chosen = choose_threshold(scores, positive, on="these")
    tried = [-1.0, *np.sort(scores) + 1e-6]
    assert worth(chosen.value) >= max(map(worth, tried)) - 1e-12 or max(map(worth, tried)) <= 1 + 1e-12
    assert "these" in chosen.how


@quick
@given(some.lists(cells, min_size=1, max_size=6), some.integers(0, 9))
def test_a_summary_is_that_of_the_folds_that_define_it(folds, seed):
    for name, summary in summarize(folds, seed=seed).items():
        values = [v for c in folds if not math.isnan(v := binary.SCORES[name](c))]
        if not values:
            assert math.isnan(summary.mean)
            continue
        same(summary.mean, sum(values) / len(values))
        same((summary.low, summary.high), (min(values), max(values)))
        same(summary.deviation, np.std(values, ddof=1) if len(values) > 1 else math.nan)
        assert (
            summary.low - 1e-12 <= summary.bootstrap_95[0] <= summary.bootstrap_95[1] <= summary.high + 1e-12
        )
        pooled = binary.SCORES[name](sum(folds, Binary(0, 0, 0, 0)))
        if name != "f1":
            assert summary.wilson_95[0] - 1e-12 <= pooled <= summary.wilson_95[1] + 1e-12


# --- two models


@quick
@given(
    some.lists(some.tuples(some.booleans(), some.booleans()), min_size=1, max_size=30), some.integers(0, 9)
)
def test_comparing_the_other_way_round_says_the_opposite(pairs, seed):
    first, second = (np.array([pair[i] for pair in pairs], bool) for i in (0, 1))
    one, other = compare(first, second, seed=seed), compare(second, first, seed=seed)
    alone = sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)
    assert (one.first_alone, one.second_alone) == alone == (other.second_alone, other.first_alone)
    assert one.p == other.p
    same(one.difference, sum(a for a, _ in pairs) / len(pairs) - sum(b for _, b in pairs) / len(pairs))
    same(one.difference, -other.difference)
    low, high = one.interval_95
    assert -1 <= low <= high <= 1
    if not any(alone):
        assert (low, high, one.p) == (0, 0, 1)


@quick
@given(some.integers(0, 8), some.integers(0, 8))
def test_mcnemar_is_the_share_of_coins_as_uneven(first, second):
    total = first + second
    uneven = [abs(total - 2 * heads) >= abs(first - second) for heads in range(total + 1)]
    chance = sum(math.comb(total, heads) for heads, far in enumerate(uneven) if far) / 2**total
    assert mcnemar(first, second) == pytest.approx(chance)
