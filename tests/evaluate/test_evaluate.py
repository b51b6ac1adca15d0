"""Votes to labels and scores, against naive rewrites and hand-worked cases."""

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest

from mien.card import ModelCard, Policy
from mien.data.arrays import digest
from mien.data.corpus import Corpus
from mien.data.fer import ferplus
from mien.errors import DataError, ImageError
from mien.evaluate import evaluation, metrics
from mien.evaluate.judge import judge, make_cropper, predict_corpus, score, training_digests
from mien.evaluate.metrics import LEFT_OUT, PROTOCOLS
from mien.faces.align import crop, fit
from mien.faces.detect import YuNet
from mien.faces.policy import decide
from mien.labels import EMOTIONS
from mien.types import Sample

CLASSES = range(8)


@pytest.mark.parametrize(
    ("votes", "majority", "argmax"),
    [
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
    one = [Sample("x", votes=votes[:8], unknown=votes[8], not_face=votes[9])]
    assert [PROTOCOLS[name](one).tolist() for name in ("majority", "argmax")] == [[majority], [argmax]]


def test_protocols_of_nothing():
    assert [f([]).shape for f in PROTOCOLS.values()] == [(0,), (0,)]
    assert [f([Sample("unlabelled")]).tolist() for f in PROTOCOLS.values()] == [[LEFT_OUT], [LEFT_OUT]]


@pytest.mark.parametrize(
    ("split", "majority", "argmax"),
    [("valid", 3_191, 3_555), pytest.param("train", 25_045, 28_385, marks=pytest.mark.slow)],
)
def test_protocols_count_as_published(split, majority, argmax, shared_data):
    """25,045 and 3,191 are FER+'s usual sizes under majority, e.g. in SCN (arXiv:2002.10392)."""
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


def test_detection_finds_what_just_reaches_the_mean_of_the_ratios():
    assert metrics.detection(np.eye(8), np.arange(8), np.ones(8)).tolist() == [1.0] * 8
    same = metrics.detection(np.full((8, 8), 0.125), np.arange(8), np.full(8, 0.125))
    assert same.tolist() == [0.5] * 8, "everything is found everywhere"


def test_detection_is_right_more_often_than_a_threshold_on_each_probability_alone():
    """Half of the faces show the emotion, half the seven others in equal parts; the shares are true."""
    rng = np.random.default_rng(3)
    prior = np.array([0.4, 0.3, 0.1, 0.08, 0.06, 0.03, 0.02, 0.01])
    truth = rng.choice(8, 60_000, p=prior)
    logits = rng.normal(0, 1, (60_000, 8)) + 1.5 * np.eye(8)[truth]  # log likelihoods are 1.5 x + a constant
    p = prior * np.exp(1.5 * logits)
    p /= p.sum(1, keepdims=True)
    rates = np.stack([(p >= p.mean(0))[truth == k].mean(0) for k in range(8)])
    alone = [(rates[k, k] + 1 - np.delete(rates[:, k], k).mean()) / 2 for k in range(8)]
    assert metrics.detection(p, truth, p.mean(0)).mean() > np.mean(alone) + 0.005


def test_a_policy_without_sets_and_with_doubt_about_all(drawn):
    shares, truth = drawn
    figures = metrics.decision_figures(decide(shares, Policy(), 2.0), truth < 4, truth[truth < 4])
    assert (figures["uncertain"], "coverage" in figures) == (1, False)
    assert math.isnan(figures["right if certain"])


def test_wilson_of_a_published_case():
    assert metrics.wilson(7, 10) == pytest.approx((0.3968, 0.8922), abs=1e-4)
    assert {metrics.wilson(0, n)[0] for n in range(1, 100)} == {0}  # not a little beside it
    assert {metrics.wilson(n, n)[1] for n in range(1, 100)} == {1}


def test_scores_of_nothing_are_nan_and_null():
    nothing = score(np.empty((0, 8), np.float32), np.empty(0, np.int64))
    record = metrics.to_json(nothing)
    assert record["accuracy"] is None
    assert record["recall"] == dict.fromkeys(EMOTIONS)
    for value in (nothing.accuracy, nothing.balanced_accuracy, nothing.ece, nothing.brier, nothing.nll):
        assert math.isnan(value)
    assert all(map(math.isnan, (*nothing.accuracy_95, *nothing.macro_f1_95)))


def test_bootstrap_against_drawing_pictures(drawn):
    shares, truth = drawn
    guess = shares.argmax(1)
    rng = np.random.default_rng(5)
    draws = rng.integers(0, 400, (1000, 400))
    naive = [metrics.balanced_accuracy(metrics.confusion(truth[d], guess[d])) for d in draws]
    counts = metrics.confusion(truth, guess)
    got = metrics.bootstrap(counts, metrics.recall)
    assert got == pytest.approx(np.percentile(naive, [2.5, 97.5]), abs=0.012)
    assert got == metrics.bootstrap(counts, metrics.recall, draws=1000, seed=0)
    assert got != metrics.bootstrap(counts, metrics.recall, seed=1)


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


def test_pictures_are_read_in_batches_and_what_is_broken_is_named(monkeypatch):
    monkeypatch.setattr("mien.evaluate.judge.BATCH", 7)  # several batches, the last not full
    sizes = []

    def classify(crops):
        sizes.append(len(crops))
        return by_level(crops)

    def crop_level(image):
        if image[0, 0] == 40:
            raise ImageError("expected 48 x 48 or more")
        return None if image[0, 0] == 50 else image

    found = predict_corpus(memory_corpus(broken=(3,)), classify, crop_level)
    assert sizes == [7, 7, 3]
    assert found.unreadable == (
        ("3.png", "3.png: expected a picture, got noise"),
        ("4.png", "4.png: expected 48 x 48 or more"),
    )
    assert found.faceless == ("5.png",)
    assert [s.name for s in found.samples] == [f"{i}.png" for i in range(20) if i not in (3, 4, 5)]
    (verdict,) = judge(found, ["majority"])
    assert verdict.scores.n == 17
    assert verdict.scores.accuracy == pytest.approx(14 / 17)  # 16 is neutral, 17 to 19 are wrong
    assert verdict.without_copies is None


def test_judge_without_copies_of_training():
    predictions = predict_corpus(memory_corpus(), by_level, lambda image: image)
    training = frozenset(digest(np.full((48, 48), 10 * i, np.uint8)) for i in range(5))
    (verdict,) = judge(predictions, ["argmax"], training=training)
    assert (verdict.scores.n, verdict.without_copies.n) == (20, 15)
    assert verdict.without_copies.counts.sum(axis=1).tolist() == [2, 2, 2, 2, 1, 2, 2, 2]
    assert training_digests(memory_corpus(5, broken=(2,))) == training - {
        digest(np.full((48, 48), 20, np.uint8))
    }


def test_judge_leaves_out_what_the_protocol_leaves_out():
    corpus = memory_corpus(4)
    unsure = Sample("3.png", votes=(2, 2, 2, 2, 0, 0, 0, 0))
    corpus = Corpus("drawn", (*corpus.samples[:3], unsure), corpus.read)
    predictions = predict_corpus(corpus, by_level, lambda image: image)
    verdicts = judge(predictions, ["majority", "argmax"], training=frozenset(predictions.digests[:1]))
    assert [(v.left_out, v.scores.n, v.without_copies.n) for v in verdicts] == [(1, 3, 2), (0, 4, 3)]


def test_judge_of_nothing_says_so():
    with pytest.raises(DataError, match=r"2 could not be read.*0\.png: expected a picture"):
        predict_corpus(memory_corpus(2, broken=(0, 1)), by_level, lambda image: image)
    with pytest.raises(DataError, match=r"of 2 samples 0 could not be read and 2 show no face; check --root"):
        predict_corpus(memory_corpus(2), by_level, lambda _: None)
    unlabelled = Corpus("u", (Sample("0.png"),), lambda _: np.zeros((48, 48), np.uint8))
    with pytest.raises(DataError, match=r"argmax.*all 1 are left out"):
        judge(predict_corpus(unlabelled, by_level, lambda image: image), ["argmax"])


def test_every_score_is_that_of_metrics(drawn):
    shares, truth = drawn
    policy = Policy((0.0, 0.0, 0.3, 0.3, 0.5, 1.0, 1.0, 2.0))
    guess = decide(shares, policy).shown
    assert (guess != shares.argmax(1)).any()
    thresholds = np.linspace(0.05, 0.4, 8)
    counts = metrics.confusion(truth, guess)
    wanted = {"n": 400, "counts": counts, "accuracy_95": metrics.wilson(int((truth == guess).sum()), 400)}
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "recall", "precision", "f1", "one_vs_rest"):
        wanted[name] = getattr(metrics, name)(counts)
    wanted["balanced_accuracy_95"] = metrics.bootstrap(counts, metrics.recall)
    wanted["macro_f1_95"] = metrics.bootstrap(counts, metrics.f1)
    for name in ("ece", "brier", "nll"):
        wanted[name] = getattr(metrics, name)(shares, truth)
    wanted["detection"] = metrics.detection(shares, truth, thresholds)
    # seven expressions, face by face: contempt is no label and no answer
    pairs = [
        (t, max(range(7), key=lambda k: float(row[k]) * math.exp(policy.offsets[k])))
        for t, row in zip(truth.tolist(), shares, strict=True)
        if t != 7
    ]
    right = [t == guess for t, guess in pairs]
    own = [np.mean([r for r, (t, _) in zip(right, pairs, strict=True) if t == k]) for k in range(7)]
    seven = {"n": len(pairs), "accuracy": np.mean(right), "balanced_accuracy": np.mean(own)}
    got = asdict(score(shares, truth, policy, thresholds.tolist()))
    assert got["seven"].pop("accuracy_95") == metrics.wilson(sum(right), len(pairs))
    assert got.pop("seven") == pytest.approx(seven)
    np.testing.assert_equal(got, wanted)
    plain = score(shares, truth)
    assert plain.detection is None
    assert plain.counts.tolist() == metrics.confusion(truth, shares.argmax(1)).tolist()


def test_a_cards_policies_thresholds_and_doubt_are_judged():
    predictions = predict_corpus(memory_corpus(), by_level, lambda image: image)
    lean = Policy((0.0, 0.0, 0.0, 5.0, 0.0, 0.0, 0.0, 0.0), set_from=0.05)
    policies = {"accurate": Policy(set_from=0.2), "balanced": lean}
    card = ModelCard("net", policies=policies, uncertain=0.95, thresholds=(0.01, 0.9125) * 4)
    p, truth = predictions.probabilities, np.arange(20) % 8
    training = frozenset(predictions.digests[:4])
    (plain,) = judge(predictions, ["argmax"], card=card, training=training)
    (leant,) = judge(predictions, ["argmax"], card=card, training=training, policy="balanced")
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


def test_a_crop_is_the_largest_face_or_the_whole_picture(one_face, two_faces, no_face):
    card = ModelCard("m")
    assert np.array_equal(make_cropper(card, detect=False)(one_face), fit(one_face, card))
    crop_largest, detector = make_cropper(card, detect=True), YuNet()
    faces = detector.detect(two_faces)
    assert len(faces) == 2
    assert np.array_equal(crop_largest(two_faces), crop(two_faces, faces[0].landmarks, card))
    assert crop_largest(no_face) is None
    by_size, small = make_cropper(card, detect=None), one_face[:128, :128]
    assert np.array_equal(by_size(small), fit(small, card))
    assert np.array_equal(by_size(two_faces), crop_largest(two_faces))
    gray = one_face[:, :, 1]
    (face,) = detector.detect(np.dstack([gray] * 3))
    assert np.array_equal(crop_largest(gray), crop(gray, face.landmarks, card))


@pytest.fixture
def judged():
    predictions = predict_corpus(memory_corpus(broken=(3,)), by_level, lambda image: image)
    (verdict,) = judge(predictions, ["argmax"], training=frozenset(predictions.digests[:4]))
    heading = evaluation.Heading("tiny", "ab" * 32, "ferplus", "valid", "/a/very/long/root" * 9)
    return heading, verdict, predictions


def test_table_fits_80_columns_and_says_everything(judged):
    text = evaluation.render_verdict(*judged)
    assert max(map(len, text.splitlines())) <= 80
    assert not any(line != line.rstrip() for line in text.splitlines())
    for part in ("tiny", "valid", "argmax", "scored    19\n", "1 more, which could not be read", "no copy"):
        assert part in text
    head, *matrix = text.rstrip().splitlines()[-9:]
    assert head.split()[2:] == [e[:7] for e in EMOTIONS]
    counts = [[int(cell) for cell in line.split()[1:]] for line in matrix]
    assert counts == judged[1].scores.counts.tolist()
    assert "3.png: expected a picture" in evaluation.render_unreadable(judged[2])


def test_table_holds_large_numbers_and_undefined_ones(judged):
    heading, _, predictions = judged
    truth = np.zeros(300_000, np.int64)
    scores = score(np.tile(np.eye(8, dtype=np.float32)[0], (300_000, 1)), truth)
    many = replace(judge(predictions, ["argmax"])[0], scores=scores, without_copies=scores)
    text = evaluation.render_verdict(heading, many, predictions)
    assert max(map(len, text.splitlines())) <= 80
    assert "nan" not in text
    assert "100.00 (100.00 to 100.00)" in text


def test_the_record_says_the_same(judged):
    heading, verdict, predictions = judged
    record = evaluation.make_record(heading, [verdict], predictions, {"mien": "1"})
    json.dumps(record, allow_nan=False)
    got = record["protocols"]["argmax"]
    assert got["all"]["counts"] == verdict.scores.counts.tolist()
    assert got["all"]["recall"]["contempt"] == verdict.scores.recall[7]
    assert got["all"]["accuracy_95"] == list(verdict.scores.accuracy_95)
    assert got["without_copies"]["n"] == 15
    assert got["all"]["n"] == 19
    assert record["unreadable"][0]["name"] == "3.png"
    assert record["sha256"] == "ab" * 32
