"""One against the rest: counts and scores against counting by hand, one picture at a time."""

from __future__ import annotations

from math import isnan, nan, sqrt
from statistics import mean, stdev

import numpy as np
import pytest

from mien.errors import ConfigError, DataError
from mien.evaluate.metrics import wilson
from mien.labels import EMOTIONS
from mien.paper import binary
from mien.paper.binary import (
    HALF,
    SCORES,
    Binary,
    Threshold,
    choose_threshold,
    count,
    score_folds,
    summarize,
)
from mien.paper.folds import FoldSettings, draw

LABELS = np.repeat(np.arange(8), 300)


def make_scores(seed: int = 0) -> np.ndarray:
    """(N, 8) probabilities that lean to the truth."""
    logits = np.random.default_rng(seed).normal(size=(len(LABELS), 8)) + 2 * np.eye(8)[LABELS]
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def naive(truth: list[bool], read: list[bool]) -> dict[str, float]:
    pairs = list(zip(truth, read, strict=True))
    tp, fn = pairs.count((True, True)), pairs.count((True, False))
    fp, tn = pairs.count((False, True)), pairs.count((False, False))
    sens, prec = tp / (tp + fn) if tp + fn else nan, tp / (tp + fp) if tp + fp else nan
    return {
        "accuracy": sum(t == r for t, r in pairs) / len(pairs),
        "sensitivity": sens,
        "specificity": tn / (tn + fp) if tn + fp else nan,
        "precision": prec,
        "npv": tn / (tn + fn) if tn + fn else nan,
        "f1": 2 / (1 / sens + 1 / prec) if sens and prec and not isnan(sens + prec) else None,
    }


def test_scores_are_those_counted_by_hand() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        truth, read = rng.random(12) < rng.random(), rng.random(12) < rng.random()
        counts = count(truth, read)
        for name, want in naive(truth.tolist(), read.tolist()).items():
            if want is not None:
                assert SCORES[name](counts) == pytest.approx(want, nan_ok=True)


def test_what_is_undefined_is_nan() -> None:
    nothing_read = count(np.array([True, False]), np.array([False, False]))
    assert isnan(binary.precision(nothing_read))
    assert binary.f1(nothing_read) == 0
    assert all(isnan(score(Binary(0, 0, 0, 0))) for score in SCORES.values())
    assert isnan(binary.sensitivity(Binary(0, 0, 3, 4)))


def test_transposing_exchanges_the_scores_as_the_paper_did() -> None:
    counts = Binary(tp=130, fn=10, fp=5, tn=135)
    turned = counts.transposed()
    assert turned.transposed() == counts
    assert (binary.sensitivity(turned), binary.precision(turned)) == (
        binary.precision(counts),
        binary.sensitivity(counts),
    )
    assert (binary.specificity(turned), binary.npv(turned)) == (
        binary.npv(counts),
        binary.specificity(counts),
    )
    assert (binary.accuracy(turned), binary.f1(turned)) == (binary.accuracy(counts), binary.f1(counts))


def test_chosen_threshold_is_the_best_of_all() -> None:
    rng = np.random.default_rng(1)
    for _ in range(60):
        positive = rng.random(40) < 0.3
        positive[:2] = True, False
        scores = np.round(rng.random(40) * 0.6 + 0.2 * positive, 1)  # many ties
        chosen = choose_threshold(scores, positive)

        def balanced(value: float, scores: np.ndarray = scores, positive: np.ndarray = positive) -> float:
            counts = count(positive, scores >= value)
            return (binary.sensitivity(counts) + binary.specificity(counts)) / 2

        best = max(balanced(v) for v in [*np.unique(scores), 2.0])
        assert balanced(chosen.value) == pytest.approx(best) or best == pytest.approx(0.5)


def test_chosen_threshold_ties_go_nearest_a_half_and_chance_is_a_half() -> None:
    positive = np.array([False, True, False, True])
    assert choose_threshold(np.array([0.1, 0.45, 0.6, 0.9]), positive).value == pytest.approx(0.275)
    assert choose_threshold(np.array([0.1, 0.3, 0.2, 0.9]), positive).value == pytest.approx(0.25)
    flat = choose_threshold(np.array([0.3, 0.3, 0.3, 0.3]), positive, on="FER+ train")
    assert (flat.value, flat.how) == (0.5, "a half, as none is better than chance on FER+ train")
    two = np.array([0.2, np.nextafter(np.float32(0.2), np.float32(1))], np.float32)
    close = choose_threshold(two, np.array([False, True]))
    assert (two.astype(np.float64) >= close.value).tolist() == [False, True]
    with pytest.raises(DataError, match=r"got 0 of 4.*take a half"):
        choose_threshold(np.zeros(4), np.zeros(4, bool))


def test_a_threshold_no_better_than_chance_is_a_half_and_a_tie_goes_up_too() -> None:
    chance = choose_threshold(np.array([0.1, 0.1, 0.9, 0.9]), np.array([True, False, True, False]))
    assert chance == Threshold(0.5, "a half, as none is better than chance on training data")
    positive = np.array([False, True, False, True])
    assert choose_threshold(np.array([0.0, 0.02, 0.4, 0.7]), positive) == Threshold(
        pytest.approx(0.55), "best balanced accuracy on training data"
    )


def test_a_threshold_better_by_a_hair_is_no_tie() -> None:
    scores = np.repeat([0.1, 0.2, 0.3, 0.8], [400, 1, 1, 399])  # 400 of 401 and all, or all and 399 of 400
    positive = np.repeat([False, True, False, True], [400, 1, 1, 399])
    assert choose_threshold(scores, positive).value == pytest.approx(0.15)


def test_a_score_that_is_missing_names_the_data_it_should_have_been_chosen_on() -> None:
    with pytest.raises(DataError, match=r"threshold on valid: expected a score .* 1 of 2 have none"):
        choose_threshold(np.array([0.3, nan]), np.array([False, True]), on="valid")


@pytest.mark.parametrize("threshold", [HALF, Threshold(0.2, "chosen")])
def test_folds_are_read_picture_by_picture(threshold: Threshold) -> None:
    scores = make_scores()
    for emotion, folds in draw(LABELS, FoldSettings("kfold")).items():
        result = score_folds(folds, scores, threshold)
        k = EMOTIONS.index(emotion)
        for fold, counts in zip(folds.folds, result.counts, strict=True):
            truth = [bool(LABELS[i] == k) for i in fold.test]
            read = [bool(scores[i, k] >= threshold.value) for i in fold.test]
            want = naive(truth, read)
            assert binary.accuracy(counts) == pytest.approx(want["accuracy"])
            assert binary.npv(counts) == pytest.approx(want["npv"], nan_ok=True)
        assert result.thresholds == (threshold,) * 10


def test_a_threshold_for_each_fold_and_scores_for_the_tests_alone() -> None:
    folds = draw(LABELS, FoldSettings("kfold", folds=2))["fear"]
    scores = make_scores()
    tested = np.concatenate([fold.test for fold in folds.folds])
    scores[np.setdiff1d(np.arange(len(LABELS)), tested)] = nan  # nothing but tests needs a score
    none, everything = score_folds(folds, scores, [Threshold(2, "a"), Threshold(0, "b")]).counts
    assert none.tp + none.fp == 0 == everything.tn + everything.fn
    with pytest.raises(ConfigError, match="expected one, or 2 for the folds, got 3"):
        score_folds(folds, scores, [HALF] * 3)
    scores[folds.folds[1].test[0]] = nan
    with pytest.raises(DataError, match=r"fear, fold 2: .* 1 of 280 have none"):
        score_folds(folds, scores)


def test_summary_is_that_of_the_folds() -> None:
    rng = np.random.default_rng(2)
    counts = [Binary(*(int(n) for n in rng.integers(1, 100, 4))) for _ in range(10)]
    values = [binary.npv(c) for c in counts]
    got = summarize(counts)["npv"]
    assert got.mean == pytest.approx(mean(values))
    assert got.deviation == pytest.approx(stdev(values))  # ddof 1
    assert (got.low, got.high) == (min(values), max(values))
    assert got.wilson_95 == wilson(sum(c.tn for c in counts), sum(c.tn + c.fn for c in counts))
    assert got.bootstrap_95 == pytest.approx(
        (mean(values) - 1.96 * stdev(values) / sqrt(11), mean(values) + 1.96 * stdev(values) / sqrt(11)),
        abs=0.02,
    )
    assert all(isnan(v) for v in summarize(counts)["f1"].wilson_95)


def test_the_bootstrap_over_many_folds_is_the_normal_interval() -> None:
    rng = np.random.default_rng(2)
    counts = [Binary(*(int(n) for n in rng.integers(1, 100, 4))) for _ in range(60)]
    values = [binary.npv(c) for c in counts]
    ends = [summarize(counts, seed=seed)["npv"].bootstrap_95 for seed in range(20)]
    half = 1.96 * stdev(values) / sqrt(60)
    assert np.mean(ends, axis=0) == pytest.approx((mean(values) - half, mean(values) + half), abs=half / 30)
    assert ends[0] == summarize(counts)["npv"].bootstrap_95 != ends[1]


def test_pictures_that_stand_in_several_folds_count_once_in_the_interval() -> None:
    counts = [Binary(90, 10, 20, 80)] * 10  # the same test ten times
    once, tenfold = summarize(counts[:1]), summarize(counts, effective=(100.0, 100.0))
    for name in ("accuracy", "sensitivity", "specificity", "precision", "npv"):
        assert tenfold[name].wilson_95 == pytest.approx(once[name].wilson_95)
    low, high = summarize(counts)["accuracy"].wilson_95
    assert high - low < (once["accuracy"].wilson_95[1] - once["accuracy"].wilson_95[0]) / 3


def test_few_different_positives_widen_what_rests_on_them() -> None:
    counts = [Binary(8, 8, 2, 14)] * 10  # FER+ contempt: the same 16 in every fold, the others all different
    got = summarize(counts, effective=(16.0, 160.0))
    assert got["sensitivity"].wilson_95 == wilson(8, 16)
    assert got["specificity"].wilson_95 == wilson(140, 160)
    low, high = got["accuracy"].wilson_95
    spread = sqrt(0.5 * 0.5 / 16 + 0.875 * 0.125 / 160) / 2  # of the mean of two independent shares
    assert (high - low) / (2 * 1.96) == pytest.approx(spread, rel=0.2)


def test_a_score_that_just_reaches_its_threshold_is_read() -> None:
    folds = draw(LABELS, FoldSettings("kfold", folds=2))["fear"]
    for counts in score_folds(folds, np.full((len(LABELS), 8), 0.5)).counts:
        assert (counts.fn, counts.tn) == (0, 0)
    below = np.full((len(LABELS), 8), 0.7, np.float32)  # 0.69999999, which is not 0.7
    for counts in score_folds(folds, below, Threshold(0.7, "chosen")).counts:
        assert (counts.tp, counts.fp) == (0, 0)


def test_two_folds_have_a_deviation() -> None:
    got = summarize([Binary(3, 1, 0, 4), Binary(1, 3, 0, 4)])["sensitivity"]
    assert got.deviation == pytest.approx(stdev([0.75, 0.25]))


def test_folds_without_a_value_are_passed_over() -> None:
    got = summarize([Binary(0, 5, 0, 5), Binary(4, 1, 1, 4)])["precision"]
    assert (got.mean, got.low, got.high) == (0.8, 0.8, 0.8)
    assert isnan(got.deviation)
    nothing = summarize([Binary(0, 5, 0, 5)])["precision"]
    assert isnan(nothing.mean)
    assert all(isnan(v) for v in (*nothing.wilson_95, *nothing.bootstrap_95))


def test_winners_read_the_8_way_answer() -> None:
    scores = make_scores()
    folds = draw(LABELS, FoldSettings("kfold", folds=2))["sadness"]
    k = EMOTIONS.index("sadness")
    for fold, counts in zip(folds.folds, score_folds(folds, binary.winners(scores)).counts, strict=True):
        read = [int(scores[i].argmax()) == k for i in fold.test]
        assert counts == count(fold.positive, np.array(read))
    scores[3] = nan
    assert np.isnan(binary.winners(scores)).all(axis=1).tolist() == [i == 3 for i in range(len(LABELS))]
