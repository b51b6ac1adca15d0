"""Scores against counting in plain Python, whatever was read."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as some

from mien.card import Policy
from mien.evaluate import metrics
from mien.evaluate.metrics import LEFT_OUT, accuracies, argmax, majority
from mien.faces.policy import decide, shares
from mien.labels import EMOTIONS
from mien.types import Sample

K = len(EMOTIONS)
readings = some.lists(some.tuples(*[some.integers(0, K - 1)] * 2), min_size=1, max_size=40)


def same(got, wanted):
    np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-12)


def counted(pairs):
    truth, guess = np.array(pairs).T
    return metrics.confusion(truth, guess)


@some.composite
def sure(draw):
    """(N, K) float32 probabilities on a coarse grid, so that ties and edges of bins come, and (N,) labels."""
    rows = draw(some.lists(some.lists(some.integers(0, 6), min_size=K, max_size=K).filter(any),
                           min_size=1, max_size=12))  # fmt: skip
    p = np.array(rows, np.float64)
    truth = [draw(some.integers(0, K - 1)) for _ in rows]
    return (p / p.sum(axis=1, keepdims=True)).astype(np.float32), np.array(truth)


# --- counts


@given(readings)
def test_rates_are_those_counted_one_by_one(pairs):
    counts = counted(pairs)
    assert counts.sum() == len(pairs)
    recalls, f1s = [], []
    for k in range(K):
        tp = sum(t == g == k for t, g in pairs)
        own, read = sum(t == k for t, _ in pairs), sum(g == k for _, g in pairs)
        same(metrics.recall(counts)[k], tp / own if own else math.nan)
        same(metrics.precision(counts)[k], tp / read if read else math.nan)
        f1 = 2 * tp / (own + read) if own else math.nan
        same(metrics.f1(counts)[k], f1)
        others = [
            sum(t == o and g != k for t, g in pairs) / n
            for o in range(K)
            if o != k and (n := sum(t == o for t, _ in pairs))
        ]
        rest = sum(others) / len(others) if others else math.nan
        same(metrics.specificity(counts)[k], rest)
        same(metrics.one_vs_rest(counts)[k], ((tp / own if own else math.nan) + rest) / 2)
        if own:
            recalls.append(tp / own)
            f1s.append(f1)
    same(metrics.accuracy(counts), sum(t == g for t, g in pairs) / len(pairs))
    same(metrics.balanced_accuracy(counts), sum(recalls) / len(recalls))
    same(metrics.macro_f1(counts), sum(f1s) / len(f1s))


@given(sure(), some.integers(1, 20))
def test_calibration_is_that_of_bins_filled_by_hand(drawn, bins):
    p, truth = drawn
    gaps = [0.0] * bins
    for row, label in zip(p, truth, strict=True):
        confidence = float(row.max())
        place = next(i for i in range(bins) if confidence * bins <= i + 1 or i == bins - 1)
        gaps[place] += float(int(row.argmax()) == label) - confidence
    same(metrics.ece(p, truth, bins), sum(map(abs, gaps)) / len(truth))
    wrong = [
        sum((float(v) - (k == t)) ** 2 for k, v in enumerate(row)) for row, t in zip(p, truth, strict=True)
    ]
    same(metrics.brier(p, truth), sum(wrong) / len(truth))
    tiny = float(np.finfo(np.float32).tiny)
    logs = [-math.log(max(float(row[t]), tiny)) for row, t in zip(p, truth, strict=True)]
    same(metrics.nll(p, truth), sum(logs) / len(truth))


@given(sure(), some.lists(some.sampled_from([0.01, 0.1, 0.25, 0.5, 1.0]), min_size=K, max_size=K))
def test_detection_is_that_counted_one_by_one(drawn, thresholds):
    p, truth = drawn
    ratios = [[float(v) / t for v, t in zip(row, thresholds, strict=True)] for row in p]
    assume(all(abs(r - math.fsum(row) / K) > 1e-9 for row in ratios for r in row))  # no ties to round away
    got = metrics.detection(p, truth, np.array(thresholds))
    for k in range(K):
        rates = {}
        for o in range(K):
            own = [row[k] >= math.fsum(row) / K for row, t in zip(ratios, truth, strict=True) if t == o]
            if own:
                rates[o] = sum(own) / len(own)
        others = [1 - rate for o, rate in rates.items() if o != k]
        wanted = (rates[k] + sum(others) / len(others)) / 2 if k in rates and others else math.nan
        same(got[k], wanted)


@given(some.integers(0, 60), some.integers(0, 60))
def test_wilson_holds_the_share_and_is_the_mirror_of_its_rest(right, wrong):
    total = right + wrong
    low, high = metrics.wilson(right, total)
    if not total:
        assert math.isnan(low)
        assert math.isnan(high)
        return
    assert 0 <= low <= right / total <= high <= 1
    same(metrics.wilson(wrong, total), (1 - high, 1 - low))
    for edge in {low, high} - {0.0, 1.0}:  # where the share is just as many deviations away
        away = abs(right / total - edge) / math.sqrt(edge * (1 - edge) / total)
        assert away == pytest.approx(metrics.Z95, rel=1e-6)


# --- votes


votes = some.lists(
    some.tuples(some.lists(some.integers(0, 10), min_size=8, max_size=8), *[some.integers(0, 9)] * 2),
    max_size=12,
)


@given(votes, some.integers(0, 7))
def test_accuracies_count_the_labelled_alone(drawn, guess):
    agreed = ([0, 0, 0, 5, 0, 0, 0, 0], 0, 0)  # by either rule
    samples = [Sample(str(i), tuple(v), *more) for i, (v, *more) in enumerate([*drawn, agreed])]
    figures = accuracies(np.full(len(samples), guess), samples)
    for name, labels in {"majority": majority(samples), "argmax": argmax(samples)}.items():
        known = [label for label in labels.tolist() if label != LEFT_OUT]
        assert figures[f"n_{name}"] == len(known)
        assert figures[name] == round(known.count(guess) / len(known), 5)


# --- policies


@given(
    sure(), some.lists(some.floats(0, 3), min_size=K, max_size=K), some.floats(0.05, 0.9), some.floats(0.1, 1)
)
def test_policy_figures_are_counted_one_by_one(drawn, offsets, least, doubt):
    p, truth = drawn
    policy = Policy(tuple(offsets), least)
    said = decide(p, policy, doubt)
    weighed = shares(p, policy)
    same(weighed.sum(axis=1), 1)
    for i, (k, j) in product(range(len(p)), [(0, 1), (2, 5)]):  # ratios change by the offsets alone
        if p[i, k] and p[i, j]:
            change = math.log(weighed[i, k] / weighed[i, j]) - math.log(float(p[i, k]) / float(p[i, j]))
            assert change == pytest.approx(offsets[k] - offsets[j], abs=1e-6)
    for i, row in enumerate(said.member):
        assert {k for k in range(K) if row[k]} == {k for k in range(K) if weighed[i, k] >= least} | {
            said.shown[i]
        }
    known = np.arange(len(p)) % 3 < 2
    figures = metrics.decision_figures(said, known, truth[known])
    faces = [(said.shown[i] == truth[i], said.member[i], truth[i]) for i in np.flatnonzero(known)]
    same(figures["accuracy"], sum(right for right, _, _ in faces) / len(faces))
    same(figures["coverage"], sum(bool(row[t]) for _, row, t in faces) / len(faces))
    same(figures["set size"], sum(sum(row) for _, row, _ in faces) / len(faces))
    unsure = [float(p[i, said.shown[i]]) < doubt for i in np.flatnonzero(known)]
    same(figures["uncertain"], sum(unsure) / len(unsure))
    sure_of = [right for (right, _, _), doubted in zip(faces, unsure, strict=True) if not doubted]
    same(figures["right if certain"], sum(sure_of) / len(sure_of) if sure_of else math.nan)
    for k in range(K):
        own = [(right, bool(row[t])) for right, row, t in faces if t == k]
        same(figures["recall"][k], sum(right for right, _ in own) / len(own) if own else math.nan)
        same(figures["coverage by emotion"][k], sum(held for _, held in own) / len(own) if own else math.nan)
