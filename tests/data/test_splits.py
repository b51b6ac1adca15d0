"""Splits against what they promise, counted one sample at a time."""

from __future__ import annotations

import numpy as np
import pytest

from mien.data.splits import FRACTIONS, by_person, fraction, stratified
from mien.errors import ConfigError, DataError


def make_labels(n: int = 1000, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1, 8, n)


def test_stratified_parts_hold_every_labelled_sample_once() -> None:
    labels = make_labels()
    parts = stratified(labels, (8, 1, 1))
    together = np.concatenate(parts)
    assert sorted(together.tolist()) == [i for i, label in enumerate(labels) if label >= 0]
    assert all((np.diff(part) > 0).all() for part in parts)


@pytest.mark.parametrize("shares", [(8, 1, 1), (1,) * 10, (0.5, 0.25, 0.25), (1,)])
def test_stratified_gives_each_emotion_its_share_within_one(shares: tuple[float, ...]) -> None:
    labels = make_labels()
    for share, part in zip(shares, stratified(labels, shares), strict=True):
        for k in range(8):
            exact = share / sum(shares) * sum(label == k for label in labels)
            assert abs(sum(labels[i] == k for i in part) - exact) < 1


def test_stratified_leftovers_do_not_all_fall_to_one_part() -> None:
    labels = np.repeat(np.arange(8), 5)  # 5 of each over 10 parts: half of the parts get one
    sizes = [len(part) for part in stratified(labels, (1,) * 10)]
    assert sum(sizes) == 40
    assert max(sizes) < 8


def test_by_person_keeps_each_person_in_one_part_and_the_emotions_even() -> None:
    persons = [f"p{i // 24:02}" for i in range(67 * 24)]  # RaFD frontal: 67 models, 8 emotions, 3 gazes
    labels = np.tile(np.repeat(np.arange(8), 3), 67)
    parts = by_person(persons, labels, (1,) * 10)
    homes = [{persons[i] for i in part} for part in parts]
    assert sum(len(home) for home in homes) == 67 == len(set.union(*homes))
    assert {len(home) for home in homes} == {6, 7}
    assert sum(len(part) for part in parts) == len(labels)


def test_by_person_spreads_a_rare_emotion() -> None:
    rng = np.random.default_rng(0)
    persons = [f"p{i // 5}" for i in range(600)]  # 120 persons
    labels = rng.integers(0, 7, 600)
    labels[rng.choice(120, 20, replace=False) * 5] = 7  # contempt shown by 20 of them once
    counts = [int((labels[part] == 7).sum()) for part in by_person(persons, labels, (1,) * 10)]
    assert counts == [2] * 10


def test_by_person_follows_unequal_shares_and_leaves_no_part_empty() -> None:
    persons = [f"p{i // 10}" for i in range(1000)]
    labels = np.random.default_rng(3).integers(0, 8, 1000)
    train, valid, test = (len(part) for part in by_person(persons, labels, (8, 1, 1)))
    assert (train, valid, test) == pytest.approx((800, 100, 100), abs=30)
    assert all(len(part) for part in by_person(["a"] * 90 + ["b", "c"], np.zeros(92, np.int64), (98, 1, 1)))


def test_fractions_are_nested_and_hold_every_emotion() -> None:
    labels = np.concatenate([make_labels(5000), [7]])
    small, middle, whole = (set(fraction(labels, share).tolist()) for share in FRACTIONS)
    assert small < middle < whole == {i for i, label in enumerate(labels) if label >= 0}
    for share, kept in ((0.01, small), (0.1, middle)):
        for k in range(8):
            assert sum(labels[i] == k for i in kept) == max(1, round(share * (labels == k).sum()))
    assert fraction(np.array([0, 0, -1, 7]), 0.01).tolist() in ([0, 3], [1, 3])


def test_seeds_fix_the_draw() -> None:
    labels, persons = make_labels(), [f"p{i % 50}" for i in range(1000)]
    for draw in (
        lambda seed: stratified(labels, (1, 1), seed=seed),
        lambda seed: by_person(persons, labels, (1, 1), seed=seed),
        lambda seed: (fraction(labels, 0.1, seed=seed),),
    ):
        again = [part.tolist() for part in draw(5)]
        assert again == [part.tolist() for part in draw(5)]
        assert again != [part.tolist() for part in draw(6)]


def test_errors_say_what_to_do() -> None:
    labels = np.zeros(3, np.int64)
    with pytest.raises(ConfigError, match="positive"):
        stratified(labels, (1, 0))
    with pytest.raises(ConfigError, match="positive"):
        stratified(labels, ())
    with pytest.raises(ConfigError, match="at most 1"):
        fraction(labels, 10)
    with pytest.raises(DataError, match=r"1 of 3 have none.*another split"):
        by_person(["a", None, "b"], labels, (1, 1))
    with pytest.raises(DataError, match=r"at least 3 persons.*got 2.*fewer"):
        by_person(["a", "b", "a"], labels, (1, 1, 1))
    assert [p.tolist() for p in by_person(["a", None, "b"], np.array([0, -1, 0]), (1, 1))] in (
        [[0], [2]],
        [[2], [0]],
    )
