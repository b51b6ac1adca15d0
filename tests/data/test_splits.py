"""What holds of splits and labels whatever the corpus is, and how evenly splits share out."""

from math import ceil, floor

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as some

from mien.data.splits import by_person, fraction, stratified
from mien.errors import ConfigError, DataError
from mien.labels import EMOTIONS, SPELLINGS, emotion_index, parse_emotion

labels_of = some.builds(
    lambda size, seed: np.random.default_rng(seed).integers(-1, 8, size),
    some.integers(0, 120),
    some.integers(0, 99),
)
shares_of = some.lists(some.floats(0.01, 100), min_size=1, max_size=6)
seeds = some.integers(0, 1000)


def lists(parts):
    return [part.tolist() for part in parts]


def disjoint_and_whole(parts, labels):
    """Every labelled sample in one part, in order; none without a label in any."""
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.flatnonzero(labels >= 0))
    assert all((np.diff(part) > 0).all() for part in parts)


@given(labels_of, shares_of, seeds)
def test_stratified_parts_are_disjoint_whole_and_of_the_asked_size(labels, shares, seed):
    parts = stratified(labels, shares, seed=seed)
    disjoint_and_whole(parts, labels)
    for part, share in zip(parts, shares, strict=True):
        for k in range(8):
            exact = (labels == k).sum() * share / sum(shares)
            assert floor(exact - 1e-6) <= (labels[part] == k).sum() <= ceil(exact + 1e-6)


@given(labels_of, shares_of, seeds, some.floats(0.01, 100))
def test_neither_the_unit_of_the_shares_nor_samples_without_a_label_matter(labels, shares, seed, unit):
    assume(len({round(share / sum(shares), 6) for share in shares}) == len(shares))  # ties go by lot
    parts, known = stratified(labels, shares, seed=seed), np.flatnonzero(labels >= 0)
    assert lists(parts) == lists(stratified(labels, [s * unit for s in shares], seed=seed))
    assert lists(parts) == lists(known[part] for part in stratified(labels[known], shares, seed=seed))


@some.composite
def corpora(draw):
    """Labels, persons and a number of parts that the persons can fill."""
    labels = draw(labels_of.filter(lambda given: (given >= 0).any()))
    persons = [draw(some.sampled_from("abcdefgh")) for _ in labels]
    known = {person for person, label in zip(persons, labels, strict=True) if label >= 0}
    return labels, persons, draw(some.integers(1, len(known)))


@given(corpora(), seeds)
def test_nobody_is_in_two_parts_and_no_part_is_empty(corpus, seed):
    labels, persons, count = corpus
    parts = by_person(persons, labels, range(1, count + 1), seed=seed)
    disjoint_and_whole(parts, labels)
    assert all(len(part) for part in parts)
    people = [{persons[i] for i in part} for part in parts]
    assert sum(map(len, people)) == len(set.union(*people))


@given(corpora(), seeds, seeds)
def test_who_is_in_which_part_does_not_depend_on_the_order_of_samples(corpus, seed, order):
    labels, persons, count = corpus
    mixed = np.random.default_rng(order).permutation(len(labels))
    one = by_person(persons, labels, (1,) * count, seed=seed)
    other = by_person([persons[i] for i in mixed], labels[mixed], (1,) * count, seed=seed)
    assert lists(one) == [sorted(mixed[part].tolist()) for part in other]


@given(labels_of, some.floats(0.001, 1), some.floats(0.001, 1), seeds)
def test_shares_of_the_labels_are_nested_and_hold_every_emotion(labels, one, other, seed):
    small, large = (fraction(labels, share, seed=seed) for share in sorted((one, other)))
    assert set(small.tolist()) <= set(large.tolist())
    for k in set(labels.tolist()) - {-1}:
        there = int((labels == k).sum())
        assert (labels[large] == k).sum() == max(1, round(max(one, other) * there))
    np.testing.assert_array_equal(fraction(labels, 1.0, seed=seed), np.flatnonzero(labels >= 0))


def test_stratified_leftovers_do_not_all_fall_to_one_part():
    labels = np.repeat(np.arange(8), 5)  # 5 of each over 10 parts: half of the parts get one
    assert max(len(part) for part in stratified(labels, (1,) * 10)) < 8


def test_ten_folds_of_rafd_have_six_or_seven_persons_each():
    persons = [f"p{i // 24:02}" for i in range(67 * 24)]  # 67 models, 8 emotions, 3 gazes
    labels = np.tile(np.repeat(np.arange(8), 3), 67)
    assert {len({persons[i] for i in part}) for part in by_person(persons, labels, (1,) * 10)} == {6, 7}


def test_by_person_spreads_a_rare_emotion():
    rng = np.random.default_rng(0)
    persons = [f"p{i // 5}" for i in range(600)]  # 120 persons
    labels = rng.integers(0, 7, 600)
    labels[rng.choice(120, 20, replace=False) * 5] = 7  # contempt shown by 20 of them once
    counts = [int((labels[part] == 7).sum()) for part in by_person(persons, labels, (1,) * 10)]
    assert counts == [2] * 10


def test_by_person_follows_unequal_shares():
    persons = [f"p{i // 10}" for i in range(1000)]
    labels = np.random.default_rng(3).integers(0, 8, 1000)
    sizes = [len(part) for part in by_person(persons, labels, (8, 1, 1))]
    assert sizes == pytest.approx([800, 100, 100], abs=30)


def test_seeds_fix_the_draw():
    labels, persons = np.random.default_rng(1).integers(-1, 8, 1000), [f"p{i % 50}" for i in range(1000)]
    for draw in (
        lambda seed: stratified(labels, (1, 1), seed=seed),
        lambda seed: by_person(persons, labels, (1, 1), seed=seed),
        lambda seed: (fraction(labels, 0.1, seed=seed),),
    ):
        assert lists(draw(5)) == lists(draw(5)) != lists(draw(6))


def test_errors_say_what_to_do():
    labels = np.zeros(3, np.int64)
    for shares in ((1, 0), ()):
        with pytest.raises(ConfigError, match="positive"):
            stratified(labels, shares)
    with pytest.raises(ConfigError, match="at most 1"):
        fraction(labels, 10)
    with pytest.raises(DataError, match=r"1 of 3 have none.*another split"):
        by_person(["a", None, "b"], labels, (1, 1))
    with pytest.raises(DataError, match=r"at least 3 persons.*got 2.*fewer"):
        by_person(["a", "b", "a"], labels, (1, 1, 1))
    nobody = by_person(["a", None, "b"], np.array([0, -1, 0]), (1, 1))  # and no label: left out
    assert lists(nobody) in ([[0], [2]], [[2], [0]])


@given(some.sampled_from([*EMOTIONS, *SPELLINGS]), some.sampled_from(["", " ", "\t", "\n"]), some.randoms())
def test_an_emotion_is_known_in_any_case_and_between_blanks(word, blank, random):
    written = blank + "".join(random.choice((letter.upper(), letter)) for letter in word) + blank
    assert parse_emotion(written) == parse_emotion(word)
    assert EMOTIONS[emotion_index(written)] == parse_emotion(word)


@given(some.text(max_size=12))
def test_any_other_word_is_refused_with_the_words_that_are_known(word):
    assume(word.strip().lower() not in {*EMOTIONS, *SPELLINGS})
    with pytest.raises(DataError, match="expected one of the emotions neutral") as refused:
        parse_emotion(word)
    assert repr(word) in str(refused.value)
