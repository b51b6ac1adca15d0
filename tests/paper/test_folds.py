"""The ten folds: sizes, balance, disjointness, and what is said where a corpus is too small."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from mien.errors import ConfigError, DataError
from mien.labels import EMOTIONS
from mien.paper.folds import DESIGNS, EmotionFolds, FoldOptions, draw_folds, effective_size

LARGE = np.repeat(np.arange(8), 1450)
RAFD = np.tile(np.repeat(np.arange(8), 3), 67)  # frontal: 67 models x 8 emotions x 3 gazes
RAFD_PERSONS = [f"p{i // 24:02}" for i in range(len(RAFD))]
ALL_CAMERAS, ALL_PERSONS = np.repeat(RAFD, 5), np.repeat(RAFD_PERSONS, 5).tolist()  # 1005 of each emotion
SCARCE = np.repeat(np.arange(8), [900, 700, 400, 350, 300, 30, 60, 16])  # as FER+ valid: contempt 16


def check(folds: EmotionFolds, labels: np.ndarray) -> None:
    """One picture at a time: the size taken, each once, positives true, negatives even over the others."""
    for fold in folds.folds:
        truth = [EMOTIONS[labels[i]] == folds.emotion for i in fold.test]
        assert truth == fold.positive.tolist()
        assert len(set(fold.test.tolist())) == len(fold.test)
        assert (sum(truth), len(truth) - sum(truth)) == (folds.taken.positives, folds.taken.negatives)
        others = Counter(EMOTIONS[labels[i]] for i in fold.test if EMOTIONS[labels[i]] != folds.emotion)
        assert max(others.values()) - min(others.get(e, 0) for e in EMOTIONS if e != folds.emotion) <= 1
        assert fold.train is None or not set(fold.train.tolist()) & set(fold.test.tolist())
    assert folds.distinct == len({int(i) for fold in folds.folds for i in fold.test})


@pytest.mark.parametrize("design", DESIGNS)
def test_the_papers_sizes_where_the_corpus_is_large(design: str) -> None:
    persons = [f"p{i % 150}" for i in range(len(LARGE))]
    result = draw_folds(LARGE, FoldOptions(design), persons=persons)
    assert list(result) == list(EMOTIONS)
    for folds in result.values():
        check(folds, LARGE)
        assert [f.number for f in folds.folds] == list(range(1, 11))
        assert (folds.taken.positives, folds.taken.negatives) == (140, 140)
        assert folds.taken == folds.requested
        for fold in folds.folds:  # 20 of each other, to the picture
            assert sorted(Counter(LARGE[fold.test].tolist()).values()) == [20] * 7 + [140]
        if design != "repeated":
            assert (folds.note, folds.distinct, folds.effective) == ("", 2800, (1400, 1400))


def test_repeated_folds_overlap_and_say_so_and_train_on_nothing() -> None:
    folds = draw_folds(RAFD, FoldOptions())["fear"]  # 201 of each
    check(folds, RAFD)
    assert folds.distinct < folds.drawn == 2800
    assert folds.note == f"folds overlap: 2800 pictures drawn, {folds.distinct} different"
    assert all(fold.train is None for fold in folds.folds)
    assert len({tuple(fold.test.tolist()) for fold in folds.folds}) == 10  # each drawn anew


@pytest.mark.parametrize("design", ["kfold", "person"])
def test_disjoint_designs_share_ten_training_parts_among_the_emotions(design: str) -> None:
    result = draw_folds(RAFD, FoldOptions(design), persons=RAFD_PERSONS)
    for number in range(10):
        trains = {tuple(folds.folds[number].train.tolist()) for folds in result.values()}  # type: ignore[union-attr]
        assert len(trains) == 1
        tests = {int(i) for folds in result.values() for i in folds.folds[number].test}
        assert not tests & set(next(iter(trains)))
    for folds in result.values():
        check(folds, RAFD)
        assert folds.distinct == folds.drawn
    # 201 / 10: twenty of an emotion in the smallest part; 6 persons x 3 gazes
    assert result["anger"].taken.positives == {"kfold": 20, "person": 18}[design]


@pytest.mark.parametrize(("design", "parts"), [("kfold", 5), ("person", 4)])
def test_all_cameras_give_ten_folds_of_the_papers_size_from_fewer_parts(design: str, parts: int) -> None:
    result = draw_folds(ALL_CAMERAS, FoldOptions(design), persons=ALL_PERSONS)
    for folds in result.values():
        check(folds, ALL_CAMERAS)
        assert folds.taken == folds.requested
        assert [fold.part for fold in folds.folds] == [n % parts + 1 for n in range(10)]
        assert folds.note.startswith(
            f"10 folds drawn from {parts} disjoint parts, a network for each; folds ov"
        )
        for fold in folds.folds:
            same_part = [other for other in folds.folds if other.part == fold.part and other is not fold]
            for other in same_part:
                assert np.array_equal(fold.train, other.train)
                assert set(fold.test[fold.positive]) != set(other.test[other.positive])
            if design == "person":
                tested, learned = ({ALL_PERSONS[i] for i in part} for part in (fold.test, fold.train))
                assert not tested & learned


def test_too_few_pictures_take_the_largest_balanced_size_and_say_so() -> None:
    result = draw_folds(SCARCE, FoldOptions())
    for folds in result.values():
        check(folds, SCARCE)
    contempt = result["contempt"]
    assert (contempt.taken.positives, contempt.taken.negatives) == (11, 11)  # 16 x 140 / 201
    assert contempt.note.startswith(
        "140:140 pictures a fold requested, 11:11 taken, the largest balanced size: a fold has 16 of it to "
        "draw from (at most 11 are drawn, so that folds differ), and of the others 30 of disgust; folds over"
    )
    positives = {tuple(fold.test[fold.positive].tolist()) for fold in contempt.folds}
    assert len(positives) == 10, "no two folds have the same sensitivity by design"
    negatives = np.concatenate([fold.test[~fold.positive] for fold in contempt.folds])
    record = json.loads(json.dumps(contempt.record()))
    assert record["requested"] == {"positives": 140, "negatives": 140}
    assert record["taken"] == {"positives": 11, "negatives": 11}
    assert record["drawn"] == 220 > record["distinct"]
    assert 11 < contempt.effective[0] <= 16
    assert contempt.effective[1] == effective_size(negatives)
    assert "of the others 16 of contempt" in result["neutral"].note
    # sixteen of contempt hold the others down: 118 = 16 + 6 x 17 is the largest even spread
    assert result["neutral"].taken.positives == 118
    assert result["disgust"].taken.positives == 20


def test_largest_size_is_that_of_a_search_over_all() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        have = rng.integers(1, 30, 8)
        labels = np.repeat(np.arange(8), have)
        for emotion, folds in draw_folds(labels, FoldOptions(folds=1)).items():
            check(folds, labels)
            k = EMOTIONS.index(emotion)
            others = np.delete(have, k)
            fits = [
                n
                for n in range(1, min(140, have[k]) + 1)
                if sum(min(int(h), n // 7 + 1) for h in others) >= n and others.min() >= n // 7
            ]
            assert folds.taken.positives == folds.taken.negatives == max(fits)


@pytest.mark.parametrize(
    ("asked", "own", "others", "taken"),
    [
        ((120, 20), 1450, 1450, (120, 140)),  # the paper's text
        ((120, 20), 60, 60, (60, 70)),
        ((1, 1), 5, 5, (1, 7)),
        ((14, 1), 3, 5, (2, 1)),
        ((1000, 1), 20, 5, (1, 1)),  # no size keeps 1000 to 7
    ],
)
def test_other_sizes_keep_their_proportion(
    asked: tuple[int, int], own: int, others: int, taken: tuple[int, int]
) -> None:
    labels = np.repeat(np.arange(8), [own] + [others] * 7)
    folds = draw_folds(labels, FoldOptions(folds=1, positives=asked[0], others=asked[1]))["neutral"]
    check(folds, labels)
    assert (folds.taken.positives, folds.taken.negatives) == taken


def test_only_the_pool_and_the_labelled_are_drawn_and_all_that_a_fold_leaves_over_trains() -> None:
    labels = np.where(np.arange(len(LARGE)) % 3 == 0, -1, LARGE)
    pool = np.arange(0, len(LARGE), 2)
    usable = [i for i in pool.tolist() if labels[i] >= 0]
    for design in ("repeated", "kfold"):
        for folds in draw_folds(labels, FoldOptions(design, folds=2), among=pool).values():
            for fold in folds.folds:
                assert set(fold.test.tolist()) <= set(usable)
            if design == "kfold":
                trains = np.concatenate([fold.train for fold in folds.folds])  # type: ignore[misc]
                assert sorted(trains.tolist()) == usable


@pytest.mark.parametrize("design", DESIGNS)
def test_the_seed_fixes_the_folds(design: str) -> None:
    def tests(seed: int) -> list[list[int]]:
        folds = draw_folds(RAFD, FoldOptions(design, seed=seed), persons=RAFD_PERSONS)["fear"].folds
        return [fold.test.tolist() for fold in folds]

    assert tests(1) == tests(1)
    assert tests(1) != tests(2)


def test_a_part_that_holds_one_less_is_drawn_from_as_it_is() -> None:
    labels = np.repeat(np.arange(8), [40, 6, 5, 5, 5, 5, 5, 5])  # 3 and 3, or 3 and 2
    folds = draw_folds(labels, FoldOptions("kfold", folds=2))["neutral"]
    check(folds, labels)
    assert folds.taken.negatives == 7 * 2 + 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"design": "loo"}, "expected one of repeated, kfold, person, got 'loo'"),
        ({"design": "kfold", "folds": 1}, "expected 2 or more"),
        ({"others": 0}, "1 or more, got 140 against 0"),
    ],
)
def test_options_that_no_folds_have_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        FoldOptions(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("labels", "design", "persons", "said"),
    [
        (RAFD, "person", None, "expected persons, got none"),
        (RAFD, "person", [f"{i % 5}" for i in range(len(RAFD))], "at least 10 persons.*got 5"),
        (np.repeat(np.arange(8), [50] * 7 + [6]), "kfold", None, "of 10 has none of contempt; take fewer"),
        (RAFD[:1000], "repeated", None, "more than 140.* got 123 to 126.* the same ones; take the design"),
        (np.repeat(np.arange(7), 1500), "repeated", None, "the corpus has none of contempt; take"),
    ],
)
def test_a_corpus_that_has_too_little_says_what_to_do(labels, design, persons, said) -> None:
    with pytest.raises(DataError, match=said):
        draw_folds(labels, FoldOptions(design), persons=persons)


def test_effective_size_is_the_variance_of_a_share_over_repeats() -> None:
    rng = np.random.default_rng(0)
    samples = np.concatenate([rng.choice(201, 140, replace=False) for _ in range(10)])
    right = rng.random((8000, 201)) < 0.8  # as many corpora
    variance = right[:, samples].mean(axis=1).var()
    assert effective_size(samples) == pytest.approx(0.8 * 0.2 / variance, rel=0.06)


@given(
    counts=some.lists(some.integers(3, 14), min_size=8, max_size=8),
    options=some.builds(
        FoldOptions,
        design=some.sampled_from(DESIGNS),
        folds=some.integers(2, 4),
        positives=some.integers(1, 12),
        others=some.integers(1, 5),
        seed=some.integers(0, 1000),
    ),
)
def test_folds_test_what_they_do_not_train_on_and_are_balanced(counts, options):
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(8), counts))
    persons = [f"p{i % 5}" for i in range(len(labels))]
    try:
        found = draw_folds(labels, options, persons=persons)
    except DataError:
        with pytest.raises(DataError, match=r"has none of|would hold the same ones"):
            draw_folds(labels, options, persons=persons)
        return
    for folds in found.values():
        check(folds, labels)
        for fold in folds.folds:
            if fold.train is None:
                assert options.design == "repeated"
            elif options.design == "person":
                assert not {persons[i] for i in fold.train} & {persons[i] for i in fold.test}
