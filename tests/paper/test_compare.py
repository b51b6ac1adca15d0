"""Comparing two models, against enumeration of every outcome and drawing every picture."""

from __future__ import annotations

import json
from itertools import product
from math import comb

import numpy as np
import pytest

from mien.errors import DataError
from mien.paper.compare import compare, mcnemar, paired_bootstrap, to_record


def by_enumeration(a: int, b: int) -> float:
    """Of all equally likely ways for the discordant pictures to fall, those as uneven as this one."""
    ways = [sum(way) for way in product((0, 1), repeat=a + b)]
    return sum(abs(2 * w - a - b) >= abs(a - b) for w in ways) / len(ways)


def test_mcnemar_is_enumeration() -> None:
    for a, b in product(range(7), range(7)):
        assert mcnemar(a, b) == pytest.approx(by_enumeration(a, b), rel=1e-12)
    assert mcnemar(0, 0) == 1


def test_mcnemar_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    for a, b in [(10, 25), (300, 340), (0, 80), (2000, 2100)]:
        assert mcnemar(a, b) == pytest.approx(stats.binomtest(a, a + b, 0.5).pvalue, rel=1e-9)


def test_mcnemar_of_many_pictures_neither_overflows_nor_takes_long() -> None:
    assert mcnemar(3000, 3000) == 1
    assert 0 < mcnemar(3000, 3300) < 0.001
    assert mcnemar(0, 3000) == 0  # below the smallest float
    a, b = 90, 130
    want = 2 * sum(comb(a + b, i) for i in range(a + 1)) / 2 ** (a + b)
    assert mcnemar(a, b) == mcnemar(b, a) == pytest.approx(want, rel=1e-15)


def test_bootstrap_is_that_of_drawing_pictures() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random(400) < 0.8, rng.random(400) < 0.7
    picked = np.random.default_rng(1).integers(0, 400, (4000, 400))
    naive = np.percentile(first[picked].mean(axis=1) - second[picked].mean(axis=1), [2.5, 97.5])
    assert paired_bootstrap(first, second, draws=4000) == pytest.approx(naive, abs=0.006)


def test_bootstrap_is_paired_and_fixed_by_its_seed() -> None:
    rng = np.random.default_rng(0)
    first = rng.random(500) < 0.6
    second = first.copy()
    second[:5] = ~second[:5]  # they differ on five pictures: an unpaired interval would be +-6 points
    low, high = paired_bootstrap(first, second)
    assert -0.012 <= low <= high <= 0.012
    assert paired_bootstrap(first, second, seed=3) == paired_bootstrap(first, second, seed=3)
    assert paired_bootstrap(first, first) == (0, 0)


def test_bootstrap_of_many_pictures_is_the_normal_interval() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 40_000)) < 0.7
    middle = first.mean() - second.mean()
    half = 1.96 * (first.astype(int) - second).std() / 200
    got = paired_bootstrap(first, second, draws=40_000)
    assert got == pytest.approx((middle - half, middle + half), abs=half / 40)


def test_the_seed_is_that_of_the_interval_and_nought_if_none_is_said() -> None:
    first, second = np.random.default_rng(0).random((2, 300)) < 0.6
    assert compare(first, second).interval_95 == paired_bootstrap(first, second, seed=0)
    assert compare(first, second, seed=3).interval_95 == paired_bootstrap(first, second, seed=3)
    assert paired_bootstrap(first, second, seed=3) != paired_bootstrap(first, second)
    assert paired_bootstrap(first, second) == paired_bootstrap(first, second, seed=0)


def test_comparison_says_who_is_right_where() -> None:
    first = np.array([True, True, True, False, False, True])
    second = np.array([True, False, False, False, True, False])
    got = compare(first, second)
    assert (got.n, got.first_alone, got.second_alone) == (6, 3, 1)
    assert (got.first, got.second) == pytest.approx((4 / 6, 2 / 6))
    assert got.difference == pytest.approx(2 / 6)
    assert got.p == mcnemar(3, 1) == 0.625
    assert got.interval_95[0] <= got.difference <= got.interval_95[1]
    mirrored = compare(second, first)
    assert (mirrored.difference, mirrored.p) == (-got.difference, got.p)
    assert json.loads(json.dumps(to_record(got))) == to_record(got)
    assert to_record(got)["interval_95"] == list(got.interval_95)


def test_errors_say_what_to_do() -> None:
    with pytest.raises(DataError, match=r"got \(3,\) and \(2,\); keep the pictures that both"):
        compare(np.ones(3, bool), np.ones(2, bool))
    with pytest.raises(DataError, match=r"got \(0,\)"):
        compare(np.ones(0, bool), np.ones(0, bool))
    with pytest.raises(DataError, match="prediction == truth"):
        compare(np.ones(3, np.int64), np.ones(3, bool))  # type: ignore[arg-type]
