"""One emotion against the rest, and two models: against counting by hand and enumerating every outcome."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from itertools import product
from math import isnan, nan, sqrt
from statistics import mean, stdev

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as some

from mien.errors import ConfigError, DataError
from mien.evaluate.metrics import wilson
from mien.labels import EMOTIONS
from mien.paper.folds import FoldOptions, draw_folds
from mien.paper.scores import (
    HALF,
    BinaryCounts,
    Threshold,
    clopper_pearson,
    compare_models,
    count,
    fit_threshold,
    mcnemar,
    score,
    score_folds,
    summarize,
    winners,
)

LABELS = np.repeat(np.arange(8), 300)

cells = some.tuples(*[some.integers(0, 9)] * 4).map(lambda four: BinaryCounts(*four))


def same(got, wanted):
    np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-12)


def make_probabilities(seed: int = 0) -> np.ndarray:
    """(N, 8) probabilities that lean to the truth."""
    logits = np.random.default_rng(seed).normal(size=(len(LABELS), 8)) + 2 * np.eye(8)[LABELS]
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


# --- scores


@given(cells)
def test_scores_are_ratios_of_pictures(c):
    pictures = (
        [(True, True)] * c.tp + [(True, False)] * c.fn + [(False, True)] * c.fp + [(False, False)] * c.tn
    )
    truth, read = (np.array([one[i] for one in pictures], bool) for i in (0, 1))
    assert count(truth, read) == c
    assert count(read, truth) == c.transposed()

    def share(right, of):
        return sum(right) / sum(of) if any(of) else nan

    same(score("accuracy", c), share(truth == read, truth | True))
    same(score("sensitivity", c), share(truth & read, truth))
    same(score("specificity", c), share(~truth & ~read, ~truth))
    same(score("precision", c), share(truth & read, read))
    same(score("npv", c), share(~truth & ~read, ~read))
    same(score("f1", c), 2 * c.tp / (2 * c.tp + c.fp + c.fn) if c.tp + c.fp + c.fn else nan)


# --- thresholds


@given(
    some.lists(some.tuples(some.sampled_from([0.0, 0.1, 0.3, 0.5, 0.8, 1.0]), some.booleans()), max_size=14)
)
def test_no_threshold_reads_better_than_the_fitted(drawn):
    values, positive = np.array([s for s, _ in drawn]), np.array([p for _, p in drawn], bool)
    assume(0 < positive.sum() < len(positive))

    def worth(threshold):
        c = count(positive, values >= threshold)
        return score("sensitivity", c) + score("specificity", c)

    fitted = fit_threshold(values, positive)
    tried = [-1.0, *np.sort(values) + 1e-6]
    assert worth(fitted.value) >= max(map(worth, tried)) - 1e-12 or max(map(worth, tried)) <= 1 + 1e-12


@pytest.mark.parametrize(
    ("values", "positive", "value", "how"),
    [
        ([0.1, 0.45, 0.6, 0.9], [0, 1, 0, 1], 0.275, "best balanced accuracy on"),
        ([0.1, 0.3, 0.2, 0.9], [0, 1, 0, 1], 0.25, "best balanced accuracy on"),
        ([0.0, 0.02, 0.4, 0.7], [0, 1, 0, 1], 0.55, "best balanced accuracy on"),  # a tie goes up
        ([0.3, 0.3, 0.3, 0.3], [0, 1, 0, 1], 0.5, "a half, as none is better than chance on"),
        ([0.1, 0.1, 0.9, 0.9], [1, 0, 1, 0], 0.5, "a half, as none is better than chance on"),
    ],
)
def test_ties_go_nearest_a_half_and_chance_is_a_half(values, positive, value, how) -> None:
    found = fit_threshold(np.array(values), np.array(positive, bool))
    assert found == Threshold(pytest.approx(value), f"{how} training data")


def test_a_fitted_threshold_tells_values_apart_that_are_next_to_each_other() -> None:
    two = np.array([0.2, np.nextafter(np.float32(0.2), np.float32(1))], np.float32)
    close = fit_threshold(two, np.array([False, True]))
    assert (two.astype(np.float64) >= close.value).tolist() == [False, True]
    values = np.repeat([0.1, 0.2, 0.3, 0.8], [400, 1, 1, 399])  # 400 of 401 and all, or all and 399 of 400
    positive = np.repeat([False, True, False, True], [400, 1, 1, 399])
    assert fit_threshold(values, positive).value == pytest.approx(0.15), "better by a hair is no tie"


def test_a_threshold_that_cannot_be_fitted_says_why() -> None:
    with pytest.raises(DataError, match=r"got 0 of 4.*take a half"):
        fit_threshold(np.zeros(4), np.zeros(4, bool))
    with pytest.raises(DataError, match=r"threshold on training data: expected a score .* 1 of 2 have none"):
        fit_threshold(np.array([0.3, nan]), np.array([False, True]))


# --- folds


@pytest.mark.parametrize("threshold", [HALF, Threshold(0.2, "chosen")])
def test_folds_are_read_picture_by_picture(threshold: Threshold) -> None:
    probabilities = make_probabilities()
    for emotion, folds in draw_folds(LABELS, FoldOptions("kfold")).items():
        result = score_folds(folds, probabilities, [threshold])
        k = EMOTIONS.index(emotion)
        for fold, counts in zip(folds.folds, result.counts, strict=True):
            pairs = [(bool(LABELS[i] == k), bool(probabilities[i, k] >= threshold.value)) for i in fold.test]
            found = [pairs.count(pair) for pair in product((True, False), repeat=2)]
            assert counts == BinaryCounts(*found)
        assert result.thresholds == (threshold,) * 10


def test_a_threshold_for_each_fold_and_probabilities_for_the_tests_alone() -> None:
    folds = draw_folds(LABELS, FoldOptions("kfold", folds=2))["fear"]
    probabilities = make_probabilities()
    tested = np.concatenate([fold.test for fold in folds.folds])
    probabilities[np.setdiff1d(np.arange(len(LABELS)), tested)] = nan  # nothing but tests needs one
    none, everything = score_folds(folds, probabilities, [Threshold(2, "a"), Threshold(0, "b")]).counts
    assert none.tp + none.fp == 0 == everything.tn + everything.fn
    with pytest.raises(ConfigError, match="expected one, or 2 for the folds, got 3"):
        score_folds(folds, probabilities, [HALF] * 3)
    probabilities[folds.folds[1].test[0]] = nan
    with pytest.raises(DataError, match=r"fear, fold 2: .* 1 of 280 have none"):
        score_folds(folds, probabilities)


def test_a_probability_that_just_reaches_its_threshold_is_read() -> None:
    folds = draw_folds(LABELS, FoldOptions("kfold", folds=2))["fear"]
    for counts in score_folds(folds, np.full((len(LABELS), 8), 0.5)).counts:
        assert (counts.fn, counts.tn) == (0, 0)
    below = np.full((len(LABELS), 8), 0.7, np.float32)  # 0.69999999, which is not 0.7
    for counts in score_folds(folds, below, [Threshold(0.7, "chosen")]).counts:
        assert (counts.tp, counts.fp) == (0, 0)


def test_winners_read_the_8_way_answer() -> None:
    probabilities = make_probabilities()
    folds = draw_folds(LABELS, FoldOptions("kfold", folds=2))["sadness"]
    k = EMOTIONS.index("sadness")
    for fold, counts in zip(folds.folds, score_folds(folds, winners(probabilities)).counts, strict=True):
        read = [int(probabilities[i].argmax()) == k for i in fold.test]
        assert counts == count(fold.positive, np.array(read))
    probabilities[3] = nan
    assert np.isnan(winners(probabilities)).all(axis=1).tolist() == [i == 3 for i in range(len(LABELS))]


# --- summaries


@given(some.lists(cells, min_size=1, max_size=6))
def test_a_summary_is_that_of_the_folds_that_define_it(folds):
    pooled = sum(folds, BinaryCounts(0, 0, 0, 0))
    for name, summary in summarize(folds).items():
        values = [v for c in folds if not isnan(v := score(name, c))]
        if not values:
            assert isnan(summary.mean)
            assert all(isnan(v) for v in (*summary.wilson_95, *summary.bootstrap_95))
            continue
        same(summary.mean, sum(values) / len(values))
        same((summary.low, summary.high), (min(values), max(values)))
        same(summary.deviation, stdev(values) if len(values) > 1 else nan)  # ddof 1
        low, high = summary.bootstrap_95
        assert summary.low - 1e-12 <= low <= high <= summary.high + 1e-12
        if name == "f1":
            assert all(map(isnan, summary.wilson_95))
        else:
            assert summary.wilson_95[0] - 1e-12 <= score(name, pooled) <= summary.wilson_95[1] + 1e-12
    got = summarize(folds)["npv"].wilson_95
    if pooled.tn + pooled.fn:
        assert got == wilson(pooled.tn, pooled.tn + pooled.fn)


def test_the_bootstrap_over_many_folds_is_the_normal_interval() -> None:
    rng = np.random.default_rng(2)
    counts = [BinaryCounts(*(int(n) for n in rng.integers(1, 100, 4))) for _ in range(60)]
    values = [score("npv", c) for c in counts]
    half = 1.96 * stdev(values) / sqrt(60)
    assert summarize(counts)["npv"].bootstrap_95 == pytest.approx(
        (mean(values) - half, mean(values) + half), abs=half / 8
    )


def test_pictures_that_stand_in_several_folds_count_once_in_the_interval() -> None:
    counts = [BinaryCounts(90, 10, 20, 80)] * 10  # the same test ten times
    once, tenfold = summarize(counts[:1]), summarize(counts, effective=(100.0, 100.0))
    for name in ("accuracy", "sensitivity", "specificity", "precision", "npv"):
        assert tenfold[name].wilson_95 == pytest.approx(once[name].wilson_95)
    low, high = summarize(counts)["accuracy"].wilson_95
    assert high - low < (once["accuracy"].wilson_95[1] - once["accuracy"].wilson_95[0]) / 3


def test_few_different_positives_widen_what_rests_on_them() -> None:
    # FER+ contempt: the same 16 in every fold, others all different
    counts = [BinaryCounts(8, 8, 2, 14)] * 10
    got = summarize(counts, effective=(16.0, 160.0))
    assert got["sensitivity"].wilson_95 == wilson(8, 16)
    assert got["specificity"].wilson_95 == wilson(140, 160)
    low, high = got["accuracy"].wilson_95
    spread = sqrt(0.5 * 0.5 / 16 + 0.875 * 0.125 / 160) / 2  # of the mean of two independent shares
    assert (high - low) / (2 * 1.96) == pytest.approx(spread, rel=0.2)


# --- two models


@given(some.integers(0, 8), some.integers(0, 8))
def test_mcnemar_is_the_share_of_coins_as_uneven(first, second):
    total = first + second
    uneven = [abs(total - 2 * heads) >= abs(first - second) for heads in range(total + 1)]
    chance = sum(math.comb(total, heads) for heads, far in enumerate(uneven) if far) / 2**total
    assert mcnemar(first, second) == pytest.approx(chance)


def test_mcnemar_of_many_pictures_neither_overflows_nor_takes_long() -> None:
    assert mcnemar(3000, 3000) == 1
    assert 0 < mcnemar(3000, 3300) < 0.001
    assert mcnemar(0, 3000) == 0  # below the smallest float
    a, b = 90, 130
    want = 2 * sum(math.comb(a + b, i) for i in range(a + 1)) / 2 ** (a + b)
    assert mcnemar(a, b) == mcnemar(b, a) == pytest.approx(want, rel=1e-15)


def test_the_interval_of_a_difference_is_that_of_clopper_and_pearson() -> None:
    """At each end, so many pictures or more (or fewer) have a chance of 2.5 %, counted in whole numbers."""
    for part, rest in ((1, 9), (7, 0), (40, 61)):
        total = part + rest
        low, high = (Fraction(end) for end in clopper_pearson(part, rest))

        def chance(share: Fraction, numbers: range, total: int = total) -> float:
            return float(sum(math.comb(total, i) * share**i * (1 - share) ** (total - i) for i in numbers))

        assert chance(low, range(part, total + 1)) == pytest.approx(0.025)
        assert high == 1 if rest == 0 else chance(high, range(part + 1)) == pytest.approx(0.025)


def test_the_interval_of_a_difference_and_p_agree() -> None:
    for total in range(20):
        for part in range(total + 1):
            pairs = np.repeat([[1, 0], [0, 1], [1, 1]], [part, total - part, 5], axis=0).astype(bool)
            found = compare_models(pairs[:, 0], pairs[:, 1])
            low, high = found["interval_95"]
            assert low <= found["difference"] <= high
            assert (low > 0 or high < 0) == (found["p"] < 0.05)


def test_the_interval_of_a_difference_is_nearly_that_of_drawing_pictures() -> None:
    rng = np.random.default_rng(0)
    first = rng.random(400) < 0.8
    # seven pictures apart, so that an interval that is not paired would be far wider; and most apart
    for second in (np.concatenate([~first[:7], first[7:]]), rng.random(400) < 0.7):
        picked = np.random.default_rng(1).integers(0, 400, (4000, 400))
        naive = np.percentile(first[picked].mean(axis=1) - second[picked].mean(axis=1), [2.5, 97.5])
        assert compare_models(first, second)["interval_95"] == pytest.approx(naive, abs=0.012)


@given(some.lists(some.tuples(some.booleans(), some.booleans()), min_size=1, max_size=30))
def test_a_comparison_says_who_is_right_where_and_the_opposite_the_other_way_round(pairs):
    first, second = (np.array([pair[i] for pair in pairs], bool) for i in (0, 1))
    one, other = compare_models(first, second), compare_models(second, first)
    alone = sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)
    assert (one["first_alone"], one["second_alone"]) == alone == (other["second_alone"], other["first_alone"])
    assert (one["n"], one["p"]) == (len(pairs), mcnemar(*alone)) == (other["n"], other["p"])
    same((one["first"], one["second"]), np.array(pairs).mean(axis=0))
    same(one["difference"], one["first"] - one["second"])
    same(one["difference"], -other["difference"])
    low, high = one["interval_95"]
    assert -1 <= low <= high <= 1
    if not any(alone):
        assert (low, high, one["p"]) == (0, 0, 1)
    assert json.loads(json.dumps(one)) == one


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (np.ones(3, bool), np.ones(2, bool), r"got \(3,\) of bool and \(2,\)"),
        (np.ones(0, bool), np.ones(0, bool), r"got \(0,\)"),
        (np.ones(3, np.int64), np.ones(3, bool), "prediction == truth"),
    ],
)
def test_what_cannot_be_compared_says_what_to_do(first, second, said) -> None:
    with pytest.raises(DataError, match=said):
        compare_models(first, second)
