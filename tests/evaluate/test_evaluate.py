"""Votes to labels and scores, against naive rewrites and hand-worked cases."""

import json
import math
from collections import Counter

import numpy as np
import pytest

from mien.card import ModelCard, Policy
from mien.data.audit import digests
from mien.data.corpus import Corpus
from mien.data.fer import ferplus
from mien.errors import DataError, ImageError
from mien.evaluate import metrics, tables
from mien.evaluate.judge import judge, make_cropper, predict_corpus, score, training_digests
from mien.evaluate.protocol import LEFT_OUT, PROTOCOLS, accuracies
from mien.faces.align import crop, fit
from mien.faces.detect import YuNet
from mien.faces.policy import decide
from mien.labels import EMOTIONS
from mien.types import Sample

CLASSES = range(8)


def sample(*votes, name="x"):
    """A sample of ten columns."""
    return Sample(name, votes=tuple(votes[:8]), unknown=votes[8], not_face=votes[9])


def naive_majority(votes):
    """Microsoft's rule in plain Python: drop ones, more than half of the rest, no unknown, no non-face."""
    kept = [v if v > 1 else 0 for v in votes]
    for k in CLASSES:
        if kept[k] > sum(kept) / 2:
            return k
    return LEFT_OUT


def naive_argmax(votes):
    if not any(votes):
        return LEFT_OUT
    winner = votes.index(max(votes))
    return winner if winner < 8 else LEFT_OUT


@pytest.mark.parametrize(
    ("votes", "majority", "argmax"),
    [
        ((10, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0, 0),
        ((4, 0, 0, 1, 3, 2, 0, 0, 0, 0), LEFT_OUT, 0),  # 4 of 9 kept is not more than half
        ((5, 0, 0, 1, 3, 1, 0, 0, 0, 0), 0, 0),  # 5 of 8 kept is
        ((2, 0, 0, 2, 0, 0, 0, 0, 0, 0), LEFT_OUT, 0),  # exactly half is not more than half
        ((0, 3, 1, 1, 1, 1, 1, 1, 1, 0), 1, 1),  # single votes are dropped
        ((0, 0, 0, 0, 0, 0, 0, 4, 6, 0), LEFT_OUT, LEFT_OUT),  # unknown wins
        ((0, 0, 0, 0, 0, 0, 0, 0, 0, 10), LEFT_OUT, LEFT_OUT),  # not a face
        ((0, 0, 0, 0, 0, 0, 0, 5, 5, 0), LEFT_OUT, 7),  # a tie goes to the first column
        ((0, 3, 0, 0, 0, 0, 0, 0, 2, 2), LEFT_OUT, 1),  # unknown and not-a-face count in the sum
        ((1, 1, 1, 1, 1, 1, 1, 1, 1, 1), LEFT_OUT, 0),  # nothing left
        ((0,) * 10, LEFT_OUT, LEFT_OUT),
        ((0, 0, 0, 0, 0, 1, 0, 0, 0, 0), 5, 5),  # a single label is not an outlier
    ],
)
def test_protocols_by_hand(votes, majority, argmax):
    one = [sample(*votes)]
    assert [PROTOCOLS[name](one).tolist() for name in ("majority", "argmax")] == [[majority], [argmax]]


def test_protocols_against_naive():
    rng = np.random.default_rng(3)
    rows = rng.multinomial(10, rng.dirichlet(np.full(10, 0.4)), size=500).tolist()
    rows += [rng.multinomial(10, rng.dirichlet(np.full(10, 0.4))).tolist() for _ in range(500)]
    samples = [sample(*row) for row in rows]
    assert PROTOCOLS["majority"](samples).tolist() == [naive_majority(row) for row in rows]
    assert PROTOCOLS["argmax"](samples).tolist() == [naive_argmax(row) for row in rows]


def test_protocols_of_nothing():
    assert [f([]).shape for f in PROTOCOLS.values()] == [(0,), (0,)]
    assert [f([Sample("unlabelled")]).tolist() for f in PROTOCOLS.values()] == [[LEFT_OUT], [LEFT_OUT]]


def test_protocols_count_as_published(shared_data):
    # 25,045 and 3,191 are FER+'s usual sizes under majority, e.g. in SCN (arXiv:2002.10392)
    for split, majority, argmax in (("train", 25_045, 28_385), ("valid", 3_191, 3_555)):
        samples = ferplus(shared_data / "ferplus.zip", split).samples
        counted = {name: int((f(samples) != LEFT_OUT).sum()) for name, f in PROTOCOLS.items()}
        assert counted == {"majority": majority, "argmax": argmax}


@pytest.fixture
def drawn():
    """(400, 8) probabilities and labels, right in some 60 of 100."""
    rng = np.random.default_rng(11)
    truth = rng.choice(8, 400, p=[0.3, 0.25, 0.15, 0.1, 0.1, 0.04, 0.04, 0.02])
    logits = rng.normal(0, 1, (400, 8)) + 2 * np.eye(8)[truth]
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return shares.astype(np.float32), truth


def test_counts_and_rates_against_naive(drawn):
    shares, truth = drawn
    guess = shares.argmax(1)
    pairs = Counter(zip(truth.tolist(), guess.tolist(), strict=True))
    counts = metrics.confusion(truth, guess)
    assert counts.tolist() == [[pairs[t, g] for g in CLASSES] for t in CLASSES]
    assert metrics.accuracy(counts) == pytest.approx(np.mean(truth == guess))
    recall, precision, f1 = [], [], []
    for k in CLASSES:
        both = sum(truth[i] == k == guess[i] for i in range(400))
        recall.append(both / sum(truth == k))
        precision.append(both / sum(guess == k))
        f1.append(2 * recall[-1] * precision[-1] / (recall[-1] + precision[-1]))
    assert metrics.recall(counts) == pytest.approx(recall)
    assert metrics.precision(counts) == pytest.approx(precision)
    assert metrics.f1(counts) == pytest.approx(f1)
    assert metrics.balanced_accuracy(counts) == pytest.approx(sum(recall) / 8)
    assert metrics.macro_f1(counts) == pytest.approx(sum(f1) / 8)


def test_one_vs_rest_is_the_accuracy_of_a_balanced_test(drawn):
    shares, truth = drawn
    guess = shares.argmax(1)
    for k, got in enumerate(metrics.one_vs_rest(metrics.confusion(truth, guess))):
        weight = np.array([7.0 if t == k else 1.0 for t in truth])  # half of the test, then a seventh each
        for t in CLASSES:
            weight[truth == t] /= (truth == t).sum()
        right = (guess == k) == (truth == k)
        assert got == pytest.approx((weight * right).sum() / weight.sum())


def test_detection_is_the_accuracy_of_a_balanced_test_of_each_threshold(drawn):
    shares, truth = drawn
    thresholds = np.linspace(0.05, 0.4, 8)
    for k, got in enumerate(metrics.detection(shares, truth, thresholds)):
        weight = np.array([7.0 if t == k else 1.0 for t in truth])  # half of the test, then a seventh each
        for t in CLASSES:
            weight[truth == t] /= (truth == t).sum()
        right = (shares[:, k] >= thresholds[k]) == (truth == k)
        assert got == pytest.approx((weight * right).sum() / weight.sum())


def test_detection_says_nothing_of_an_emotion_without_pictures(drawn):
    shares, truth = drawn
    found = metrics.detection(shares[truth != 7], truth[truth != 7], np.full(8, 0.1))
    assert np.isnan(found).tolist() == [False] * 7 + [True]


def test_detection_finds_what_just_reaches_its_threshold():
    assert metrics.detection(np.eye(8), np.arange(8), np.ones(8)).tolist() == [1.0] * 8


def test_one_vs_rest_of_the_papers_sizes():
    counts = np.zeros((8, 8), np.int64)
    counts[7, 7], counts[7, 0] = 80, 60  # 140 positives, 80 found
    counts[:7] = np.diag([20] * 8)[:7]
    counts[0, 0], counts[0, 7] = 14, 6  # of 7 x 20 others, 6 taken for it
    assert metrics.one_vs_rest(counts)[7] == pytest.approx((80 + 134) / 280)


def test_what_is_not_there_is_nan_and_not_in_means():
    truth, guess = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2])  # nothing of 2..7; one read as 2
    counts = metrics.confusion(truth, guess)
    assert np.isnan(metrics.recall(counts)).tolist() == [False, False] + [True] * 6
    assert np.isnan(metrics.precision(counts)).tolist() == [False, False, False] + [True] * 5
    assert metrics.precision(counts)[2] == 0
    assert np.isnan(metrics.one_vs_rest(counts)).tolist() == [False, False] + [True] * 6
    assert metrics.balanced_accuracy(counts) == pytest.approx(0.75)
    assert metrics.macro_f1(counts) == pytest.approx((1 + 2 / 3) / 2)


def test_never_right_is_zero_and_not_nan():
    counts = metrics.confusion(np.array([0, 1]), np.array([1, 0]))
    assert metrics.f1(counts)[:2].tolist() == [0, 0]
    assert metrics.macro_f1(counts) == 0


def test_scores_of_nothing_are_nan():
    nothing = score(np.empty((0, 8), np.float32), np.empty(0, np.int64))
    for value in (nothing.accuracy, nothing.balanced_accuracy, nothing.ece, nothing.brier, nothing.nll):
        assert math.isnan(value)
    assert all(map(math.isnan, (*nothing.accuracy_95, *nothing.macro_f1_95)))


def test_ece_against_naive(drawn):
    shares, truth = drawn
    total = 0.0
    for m in range(15):
        inside = [i for i in range(400) if m / 15 < shares[i].max() <= (m + 1) / 15]
        if inside:
            right = np.mean([shares[i].argmax() == truth[i] for i in inside])
            total += len(inside) / 400 * abs(right - np.mean([shares[i].max() for i in inside]))
    assert metrics.ece(shares, truth) == pytest.approx(total, abs=1e-6)


def test_ece_of_the_sure():
    sure = np.eye(8, dtype=np.float32)[[0, 1, 2, 3]]
    assert metrics.ece(sure, np.array([0, 1, 2, 3])) == 0
    assert metrics.ece(sure, np.array([0, 1, 2, 4])) == pytest.approx(0.25)


def test_ece_bins_hold_their_upper_end():
    shares = np.array([[0.5, 0.25], [0.375, 0.25]], np.float32)  # both in (0.25, 0.5] of four bins
    shares = np.pad(shares, ((0, 0), (0, 6)))
    assert metrics.ece(shares, np.array([0, 1]), bins=4) == pytest.approx(abs(0.5 - 0.4375))


def test_ece_keeps_the_lowest_and_the_highest_bin_apart():
    shares = np.array([[0.4, 0.3, 0.3], [0.9, 0.1, 0.0]])
    assert metrics.ece(shares, np.array([0, 1]), bins=2) == pytest.approx((0.6 + 0.9) / 2)


def test_brier_and_nll_against_naive(drawn):
    shares, truth = drawn
    squares = [sum((shares[i, k] - (k == truth[i])) ** 2 for k in CLASSES) for i in range(400)]
    logs = [-math.log(shares[i, truth[i]]) for i in range(400)]
    assert metrics.brier(shares, truth) == pytest.approx(np.mean(squares), rel=1e-5)
    assert metrics.nll(shares, truth) == pytest.approx(np.mean(logs), rel=1e-5)
    wrong = np.eye(8, dtype=np.float32)[[0]]
    assert metrics.brier(wrong, np.array([1])) == 2
    assert 80 < metrics.nll(wrong, np.array([1])) < 90  # -log of float32's smallest, not infinity


def test_wilson_by_inverting_the_test():
    # The interval's ends p are where |share - p| is z standard errors of p (Wilson 1927).
    for right, total in ((0, 10), (7, 10), (10, 10), (2500, 3191)):
        for end in metrics.wilson(right, total):
            if 0 < end < 1:
                assert abs(right / total - end) == pytest.approx(
                    metrics.Z95 * math.sqrt(end * (1 - end) / total), rel=1e-9
                )
    assert metrics.wilson(0, 10)[0] == 0
    assert metrics.wilson(10, 10)[1] == 1
    assert metrics.wilson(7, 10) == pytest.approx((0.3968, 0.8922), abs=1e-4)
    assert {metrics.wilson(0, n)[0] for n in range(1, 100)} == {0}  # not a little beside it
    assert {metrics.wilson(n, n)[1] for n in range(1, 100)} == {1}
    assert metrics.wilson(1, 10)[0] == pytest.approx(1 - metrics.wilson(9, 10)[1]) != 0


def test_bootstrap_against_drawing_pictures(drawn):
    shares, truth = drawn
    guess = shares.argmax(1)
    rng = np.random.default_rng(5)
    draws = rng.integers(0, 400, (1000, 400))
    naive = [metrics.balanced_accuracy(metrics.confusion(truth[d], guess[d])) for d in draws]
    got = metrics.bootstrap(metrics.confusion(truth, guess), metrics.balanced_accuracy)
    assert got == pytest.approx(np.percentile(naive, [2.5, 97.5]), abs=0.012)
    assert got == metrics.bootstrap(metrics.confusion(truth, guess), metrics.balanced_accuracy)


def test_bootstrap_of_many_pictures_is_the_normal_interval(drawn):
    shares, truth = drawn
    counts = metrics.confusion(truth, shares.argmax(1)) * 100
    share, n = metrics.accuracy(counts), counts.sum()
    half = metrics.Z95 * math.sqrt(share * (1 - share) / n)
    got = metrics.bootstrap(counts, metrics.accuracy, draws=10_000)
    assert got == pytest.approx((share - half, share + half), abs=half / 30)
    assert got != metrics.bootstrap(counts, metrics.accuracy, draws=10_000, seed=1)
    assert metrics.bootstrap(counts, metrics.accuracy) == metrics.bootstrap(
        counts, metrics.accuracy, draws=1000, seed=0
    )


def memory_corpus(count=20, broken=()):
    """Pictures of constant level 10 i, labelled i mod 8; a classifier below reads the level."""
    samples = tuple(
        Sample(f"{i}.png", votes=tuple(10 * int(i % 8 == k) for k in CLASSES)) for i in range(count)
    )

    def read(one):
        i = int(one.name.split(".")[0])
        if i in broken:
            raise ImageError(f"{one.name}: expected a picture, got noise")
        return np.full((48, 48), 10 * i, np.uint8)

    return Corpus("drawn", samples, read)


def by_level(crops):
    """Right for every picture below level 160, neutral above."""
    level = crops[:, 0, 0] // 10
    return np.eye(8, dtype=np.float32)[np.where(level < 16, level % 8, 0)] * 0.9 + np.float32(0.0125)


def test_judge_names_what_is_broken_and_goes_on(monkeypatch):
    monkeypatch.setattr("mien.evaluate.judge.BATCH", 7)  # several batches, the last not full
    corpus = memory_corpus(broken=(3, 17))
    readings = predict_corpus(corpus, by_level, lambda image: None if image[0, 0] == 50 else image)
    assert [name for name, _ in readings.unreadable] == ["3.png", "17.png"]
    assert readings.faceless == ("5.png",)
    kept = [f"{i}.png" for i in range(20) if i not in (3, 5, 17)]
    assert [s.name for s in readings.samples] == kept
    (verdict,) = judge(readings, ["majority"])
    assert verdict.scores.n == 17
    assert verdict.scores.accuracy == pytest.approx(15 / 17)  # 16 is neutral, 18 and 19 are wrong
    assert verdict.without_copies is None


def test_pictures_are_read_in_batches_and_every_error_names_its_picture(monkeypatch):
    monkeypatch.setattr("mien.evaluate.judge.BATCH", 7)
    sizes = []

    def classify(crops):
        sizes.append(len(crops))
        return by_level(crops)

    def cut(image):
        if image[0, 0] == 40:
            raise ImageError("expected 48 x 48 or more")
        return image

    readings = predict_corpus(memory_corpus(broken=(3,)), classify, cut)
    assert sizes == [7, 7, 4]
    assert readings.unreadable == (
        ("3.png", "3.png: expected a picture, got noise"),
        ("4.png", "4.png: expected 48 x 48 or more"),
    )


def test_judge_without_copies_of_training():
    readings = predict_corpus(memory_corpus(), by_level, lambda image: image)
    training = frozenset(digests(np.full((5, 48, 48), 10 * np.arange(5)[:, None, None], np.uint8)))
    (verdict,) = judge(readings, ["argmax"], training=training)
    assert (verdict.scores.n, verdict.without_copies.n) == (20, 15)
    assert verdict.without_copies.counts.sum(axis=1).tolist() == [2, 2, 2, 2, 1, 2, 2, 2]
    assert training_digests(memory_corpus(5, broken=(2,))) == training - set(
        digests(np.full((1, 48, 48), 20, np.uint8))
    )


def test_judge_leaves_out_what_the_protocol_leaves_out():
    corpus = memory_corpus(4)
    unsure = Sample("3.png", votes=(2, 2, 2, 2, 0, 0, 0, 0))
    corpus = Corpus("drawn", (*corpus.samples[:3], unsure), corpus.read)
    readings = predict_corpus(corpus, by_level, lambda image: image)
    verdicts = judge(readings, ["majority", "argmax"], training=frozenset(readings.digests[:1]))
    assert [(v.left_out, v.scores.n, v.without_copies.n) for v in verdicts] == [(1, 3, 2), (0, 4, 3)]


def test_judge_of_nothing_says_so():
    with pytest.raises(DataError, match=r"2 could not be read.*0\.png: expected a picture"):
        predict_corpus(memory_corpus(2, broken=(0, 1)), by_level, lambda image: image)
    unlabelled = Corpus("u", (Sample("0.png"),), lambda _: np.zeros((48, 48), np.uint8))
    with pytest.raises(DataError, match=r"argmax.*all 1 are left out"):
        judge(predict_corpus(unlabelled, by_level, lambda image: image), ["argmax"])


def test_pictures_that_show_no_face_are_not_called_broken():
    with pytest.raises(DataError, match=r"of 2 samples 0 could not be read and 2 show no face; check --root"):
        predict_corpus(memory_corpus(2), by_level, lambda _: None)


def test_every_score_is_that_of_metrics(drawn):
    shares, truth = drawn
    guess = np.where(truth % 2, truth, shares.argmax(1))
    thresholds = np.linspace(0.05, 0.4, 8)
    got = score(shares, truth, guess, thresholds.tolist())
    counts = metrics.confusion(truth, guess)
    assert got.n == 400
    assert got.counts.tolist() == counts.tolist()
    assert got.accuracy_95 == metrics.wilson(int((truth == guess).sum()), 400)
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        assert getattr(got, name) == getattr(metrics, name)(counts)
    for name in ("balanced_accuracy", "macro_f1"):
        assert getattr(got, f"{name}_95") == metrics.bootstrap(counts, getattr(metrics, name))
    for name in ("ece", "brier", "nll"):
        assert getattr(got, name) == getattr(metrics, name)(shares, truth)
    for name in ("recall", "precision", "f1", "one_vs_rest"):
        assert getattr(got, name).tolist() == getattr(metrics, name)(counts).tolist()
    assert got.detection.tolist() == metrics.detection(shares, truth, thresholds).tolist()
    plain = score(shares, truth)
    assert plain.detection is None
    assert plain.counts.tolist() == metrics.confusion(truth, shares.argmax(1)).tolist()


def test_a_cards_policies_thresholds_and_doubt_are_judged():
    readings = predict_corpus(memory_corpus(), by_level, lambda image: image)
    lean = Policy((0.0, 0.0, 0.0, 5.0, 0.0, 0.0, 0.0, 0.0), set_from=0.05)
    policies = {"accurate": Policy(set_from=0.2), "balanced": lean}
    card = ModelCard("net", policies=policies, uncertain=0.95, thresholds=(0.01, 0.9125) * 4)
    p, truth = readings.probabilities, np.arange(20) % 8
    training = frozenset(readings.digests[:4])
    (plain,) = judge(readings, ["argmax"], card=card, training=training)
    (leant,) = judge(readings, ["argmax"], card=card, training=training, policy="balanced")
    for verdict, policy in ((plain, policies["accurate"]), (leant, lean)):
        shown = decide(p, policy).shown
        assert verdict.scores.counts.tolist() == metrics.confusion(truth, shown).tolist()
        assert verdict.without_copies.counts.tolist() == metrics.confusion(truth[4:], shown[4:]).tolist()
        thresholds = np.array(card.thresholds)
        found = metrics.detection(p, truth, thresholds), metrics.detection(p[4:], truth[4:], thresholds)
        assert verdict.scores.detection.tolist() == found[0].tolist()
        assert verdict.without_copies.detection.tolist() == found[1].tolist()
        assert list(verdict.policies) == list(policies)
        for name, own in policies.items():
            want = metrics.decision_figures(decide(p, own, 0.95), np.ones(20, bool), truth)
            np.testing.assert_equal(dict(verdict.policies[name]), want)
    assert plain.scores.accuracy != leant.scores.accuracy


def test_figures_of_a_policy_against_naive(drawn):
    shares, truth = drawn
    shares, truth = shares[:60], truth[:60]
    said = decide(shares, Policy(set_from=0.15), 0.6)
    known = np.arange(60) % 3 < 2
    figures = metrics.decision_figures(said, known, truth[known])
    faces = [(int(said.shown[i]), said.member[i], int(truth[i])) for i in np.flatnonzero(known)]
    right = [shown == t for shown, _, t in faces]
    held = [bool(member[t]) for _, member, t in faces]
    sure = [shares[i, said.shown[i]] >= 0.6 for i in np.flatnonzero(known)]

    def by_emotion(of):
        own = [[x for x, (_, _, t) in zip(of, faces, strict=True) if t == k] for k in CLASSES]
        return [np.mean(some) if some else math.nan for some in own]

    wanted = {
        "accuracy": np.mean(right),
        "balanced accuracy": np.nanmean(by_emotion(right)),
        "recall": by_emotion(right),
        "coverage": np.mean(held),
        "set size": np.mean([member.sum() for _, member, _ in faces]),
        "coverage by emotion": by_emotion(held),
        "uncertain": 1 - np.mean(sure),
        "right if certain": np.mean([one for one, trusted in zip(right, sure, strict=True) if trusted]),
    }
    assert figures.keys() == wanted.keys()
    for name, value in wanted.items():
        assert figures[name] == pytest.approx(value, nan_ok=True), name
    doubted = metrics.decision_figures(decide(shares, Policy(), 2.0), known, truth[known])
    assert (doubted["uncertain"], "coverage" in doubted) == (1, False)
    assert math.isnan(doubted["right if certain"])


def test_accuracies_are_of_the_labelled():
    samples = [sample(*(5 * (k == t) for k in range(10))) for t in (0, 1, 1, 2, 8)]
    samples.append(sample(0, 3, 2, 2, 0, 0, 0, 0, 0, 0))  # no majority
    assert accuracies(np.array([0, 1, 2, 0, 0, 1]), samples) == {
        "majority": 0.5,
        "n_majority": 4,
        "argmax": 0.6,
        "n_argmax": 5,
    }
    assert accuracies(np.array([0, 0, 0]), samples[:3])["argmax"] == 0.33333


def test_a_cut_is_the_largest_face_or_the_whole_picture(one_face, two_faces, no_face):
    card = ModelCard("m")
    assert np.array_equal(make_cropper(card, detect=False)(one_face), fit(one_face, card))
    cut, detector = make_cropper(card, detect=True), YuNet()
    faces = detector.detect(two_faces)
    assert len(faces) == 2
    assert np.array_equal(cut(two_faces), crop(two_faces, faces[0].landmarks, card))
    assert cut(no_face) is None
    gray = one_face[:, :, 1]
    (face,) = detector.detect(np.dstack([gray] * 3))
    assert np.array_equal(cut(gray), crop(gray, face.landmarks, card))


@pytest.fixture
def judged():
    readings = predict_corpus(memory_corpus(broken=(3,)), by_level, lambda image: image)
    (verdict,) = judge(readings, ["argmax"], training=frozenset(readings.digests[:4]))
    heading = tables.Heading("tiny", "ab" * 32, "ferplus", "valid", "/a/very/long/root" * 9)
    return heading, verdict, readings


def test_table_fits_80_columns_and_says_everything(judged):
    text = tables.render_verdict(*judged)
    assert max(map(len, text.splitlines())) <= 80
    assert not any(line != line.rstrip() for line in text.splitlines())
    for part in (
        "tiny",
        "valid",
        "argmax",
        "scored    19\n",
        "1 more, which could not be read",
        "Brier",
        "ECE",
        "no copy",
        *EMOTIONS,
    ):
        assert part in text
    head, *matrix = text.rstrip().splitlines()[-9:]
    assert head.split()[2:] == [e[:7] for e in EMOTIONS]
    counts = [[int(cell) for cell in line.split()[1:]] for line in matrix]
    assert counts == judged[1].scores.counts.tolist()
    assert "3.png: expected a picture" in tables.render_unreadable(judged[2])


def test_table_holds_large_numbers_and_undefined_ones(judged):
    heading, _, readings = judged
    truth = np.zeros(300_000, np.int64)
    shares = np.tile(np.eye(8, dtype=np.float32)[0], (300_000, 1))
    many = judge(readings, ["argmax"])[0]
    many = type(many)("argmax", 0, score(shares, truth), score(shares, truth))
    text = tables.render_verdict(heading, many, readings)
    assert max(map(len, text.splitlines())) <= 80
    assert "nan" not in text
    assert "100.00 (100.00 to 100.00)" in text


def test_the_record_says_the_same(judged):
    heading, verdict, readings = judged
    record = tables.make_record(heading, [verdict], readings, {"mien": "1"})
    json.dumps(record, allow_nan=False)
    got = record["protocols"]["argmax"]
    assert got["all"]["counts"] == verdict.scores.counts.tolist()
    assert got["all"]["recall"]["contempt"] == verdict.scores.recall[7]
    assert got["all"]["accuracy_95"] == list(verdict.scores.accuracy_95)
    assert got["without_copies"]["n"] == 15
    assert got["without_copies"]["n"] < got["all"]["n"] == 19
    assert record["unreadable"][0]["name"] == "3.png"
    assert record["sha256"] == "ab" * 32


def test_json_undefined_is_null():
    none = tables.to_json(score(np.empty((0, 8), np.float32), np.empty(0, np.int64)))
    assert none["accuracy"] is None
    assert none["recall"] == dict.fromkeys(EMOTIONS)
