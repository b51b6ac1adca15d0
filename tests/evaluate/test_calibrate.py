"""Calibration against naive oracles, on drawn logits whose truth is known, and as a command."""

import json
import math
import sys
from hashlib import sha256

import numpy as np
import pytest
from PIL import Image

from mien._version import __version__
from mien.card import ModelCard, Policy
from mien.errors import DataError
from mien.evaluate import metrics
from mien.evaluate.calibrate import (
    CalibrateOptions,
    calibrate,
    calibrate_card,
    compare_cards,
    crossfit,
    fit_lean,
    fit_set,
    fit_strength,
    fit_temperature,
    fit_uncertain,
    hold_out,
    make_offsets,
    quantile,
    risk_coverage_area,
    softmax,
)
from mien.evaluate.evaluation import EvaluateOptions, calibrate_model, evaluate
from mien.evaluate.judge import Predictions
from mien.evaluate.metrics import PROTOCOLS
from mien.faces.network import Classifier
from mien.faces.policy import decide
from mien.labels import EMOTIONS
from mien.types import Sample

CLASS_SHARES = np.array([0.35, 0.25, 0.13, 0.12, 0.09, 0.02, 0.03, 0.01])


def draw(n, *, seed=0, heat=1.0, spread=2):
    """Logits (n, 8) with labels drawn from softmax(logits / heat), so that `heat` is the true temperature."""
    rng = np.random.default_rng(seed)
    logits = np.log(CLASS_SHARES) + rng.normal(0, spread, (n, 8))
    p = softmax(logits, 1.0)
    truth = (rng.random((n, 1)) > p.cumsum(axis=1)).sum(axis=1).clip(0, 7)
    return logits * heat, truth


@pytest.mark.parametrize("seed", range(3))
def test_at_the_temperature_predictions_are_as_sure_as_they_are_right(seed):
    logits, truth = draw(150, seed=seed, heat=0.5 + 2 * seed)
    p = softmax(logits, fit_temperature(logits, truth))
    assert p.max(axis=1).mean() == pytest.approx((p.argmax(axis=1) == truth).mean(), abs=1e-5)


def test_the_temperature_does_not_see_constants_and_stays_finite():
    logits, truth = draw(200)
    shifted = logits + np.random.default_rng(1).normal(0, 50, (200, 1))
    assert fit_temperature(shifted, truth) == pytest.approx(fit_temperature(logits, truth), rel=1e-4)
    assert 0.04 < fit_temperature(np.eye(8) * 5, np.arange(8)) < 0.06  # all right: as sure as may be
    assert 19 < fit_temperature(np.eye(8) * 5, (np.arange(8) + 1) % 8) < 21  # all wrong


@pytest.mark.parametrize("n", [1, 8, 9, 10, 57, 200])
@pytest.mark.parametrize("coverage", [0.5, 0.9, 0.95])
def test_the_quantile_against_counting(n, coverage):
    scores = np.random.default_rng(n).random(n)
    got = quantile(scores, coverage)
    enough = [s for s in scores if sum(scores <= s) >= (n + 1) * coverage - 1e-9]
    assert got == (min(enough) if enough else math.inf)


@pytest.mark.parametrize(
    ("offsets", "coverage"), [((0.0,) * 8, 0.9), ((0.0, 0.2, 0.5, 0.5, 0.7, 2.0, 1.4, 2.2), 0.8)]
)
def test_sets_hold_the_label_as_often_as_asked_on_faces_not_seen(offsets, coverage):
    held = []
    for seed in range(60):  # (60, 400) new faces: a standard error of 0.2 % and of the fits 0.25 %
        logits, truth = draw(800, seed=seed, heat=0.6)
        p = softmax(logits, 1.0)  # not even calibrated: the coverage does not need it
        threshold = fit_set(p[:400], truth[:400], Policy(offsets), coverage)
        member = decide(p[400:], Policy(offsets, threshold)).member
        held.append(member[np.arange(400), truth[400:]].mean())
    assert np.mean(held) == pytest.approx(coverage, abs=0.01)


def test_sets_of_too_few_faces_hold_everything():
    logits, truth = draw(5)
    p = softmax(logits)
    threshold = fit_set(p, truth, Policy(), 0.9)
    assert decide(p, Policy(set_from=threshold)).member.all()


def test_the_threshold_of_doubt_against_trying_all():
    logits, truth = draw(300, seed=4)
    p = softmax(logits)
    top, wrong = p.max(axis=1), p.argmax(axis=1) != truth
    fits = [t for t in top if wrong[top >= t].sum() + 1 <= 0.1 * ((top >= t).sum() + 1)]
    assert fit_uncertain(p, truth, 0.9) == pytest.approx(max(0.5, min(fits, default=1.0)))
    assert fit_uncertain(p, np.where(wrong, truth, (truth + 1) % 8), 0.9) == 1.0  # nearly all wrong


@pytest.mark.parametrize(
    ("confidence", "truth", "right", "threshold"),
    [
        ([0.9, 0.8], [0, 1], 0.5, 0.9),  # one of one: 0 + 1 errors of 1 + 1 are half
        ([0.9, 0.8], [0, 0], 0.5, 0.8),
        ([0.9, 0.8], [1, 0], 0.5, 1.0),
        ([0.9] * 10, [0] * 5 + [1] * 5, 0.8, 1.0),  # the equally sure stand on one side, in any order
        ([0.9] * 10, [1] * 5 + [0] * 5, 0.8, 1.0),
    ],
)
def test_the_threshold_of_doubt_by_hand(confidence, truth, right, threshold):
    p = np.zeros((len(truth), 8))
    p[:, 0], p[:, 1] = confidence, 1 - np.array(confidence)
    assert fit_uncertain(p, np.array(truth), right) == threshold


def test_no_strength_is_the_likeliest():
    assert make_offsets(CLASS_SHARES, 0.0) == (0.0,) * 8
    full = np.array(make_offsets(CLASS_SHARES, 1.0))
    np.testing.assert_allclose(np.exp(full) * CLASS_SHARES, CLASS_SHARES.max())
    assert full.argmin() == CLASS_SHARES.argmax()


def test_the_strength_is_the_least_that_reaches_the_floors():
    logits, truth = draw(4000, seed=5)
    p = softmax(logits)
    prior, floors = p.mean(axis=0), {"contempt": 0.5, "fear": 0.55}

    def reached(strength):
        shown = decide(p, Policy(make_offsets(prior, strength))).shown
        return all(
            (shown[truth == EMOTIONS.index(e)] == EMOTIONS.index(e)).mean() >= f for e, f in floors.items()
        )

    got = fit_strength(p, truth, prior=prior, floors=floors)
    assert 0 < got < 1
    assert reached(got)
    assert not any(reached(s) for s in np.arange(0, got - 1e-9, 0.02))
    assert fit_strength(p, truth, prior=prior, floors={"fear": 1.01}) == 1.0  # never reached
    plain = truth != EMOTIONS.index("contempt")
    assert fit_strength(p[plain], truth[plain], prior=prior, floors={"contempt": 0.9}) == 0.0  # none to find


def test_a_floor_that_is_just_reached_is_reached():
    logits, truth = draw(4000, seed=8)
    p = softmax(logits)
    prior = p.mean(axis=0)
    for strength in (0.0, 1.0):
        shown = decide(p, Policy(make_offsets(prior, strength))).shown
        floor = (shown[truth == 7] == 7).mean()
        assert fit_strength(p, truth, prior=prior, floors={"contempt": floor}) == strength


def test_a_calibration_is_its_parts_each_fitted_on_what_it_should_be():
    logits, truth = draw(600, seed=9, heat=2.0, spread=4)
    agreed = np.where(np.arange(600) % 2, truth, -1)
    options = CalibrateOptions(coverage=0.8, right=0.7)
    got = calibrate(logits, truth, options, floor_labels=agreed)
    p = softmax(logits, fit_temperature(logits, truth))
    prior = p.mean(axis=0)
    strengths = {
        "accurate": fit_lean(p, prior=prior),
        "balanced": fit_strength(p[1::2], truth[1::2], prior=prior),
    }
    leans = {name: make_offsets(prior, strength) for name, strength in strengths.items()}
    assert (got.temperature, got.strengths) == (fit_temperature(logits, truth), strengths)
    assert got.policies == {
        name: Policy(lean, fit_set(p, truth, Policy(lean), 0.8)) for name, lean in leans.items()
    }
    assert got.uncertain == fit_uncertain(p, truth, 0.7)
    alone = calibrate(logits, truth, options)
    assert strengths["balanced"] != alone.strengths["balanced"] == fit_strength(p, truth, prior=prior)


def test_a_lean_costs_what_it_may_by_the_probabilities_and_no_label_is_asked():
    logits, truth = draw(4000, seed=5)
    p = softmax(logits)
    prior = p.mean(axis=0)

    def cost(strength):
        shown = decide(p, Policy(make_offsets(prior, strength))).shown
        return np.mean([row.max() - row[k] for row, k in zip(p, shown, strict=True)])

    got = fit_lean(p, prior=prior, cost=0.01)
    assert 0 < got < 1
    assert cost(got) <= 0.01 < cost(got + 0.02)
    assert fit_lean(p, prior=prior, cost=0.0) == 0
    assert fit_lean(p, prior=prior, cost=1.0) == 1
    right = [(decide(p, Policy(make_offsets(prior, s))).shown == truth).mean() for s in (0, got)]
    assert right[1] > right[0] - 0.02, "calibrated probabilities tell the cost"


@pytest.mark.parametrize("levels", [400, 3])
def test_the_area_is_that_of_the_surest_one_by_one_and_the_equally_sure_in_their_order(levels):
    rng = np.random.default_rng(6)
    confidence, right = rng.integers(0, levels, 60) / levels, rng.random(60) < 0.7
    order = sorted(range(60), key=lambda i: -confidence[i])
    naive = np.mean([np.mean([not right[i] for i in order[: k + 1]]) for k in range(60)])
    assert risk_coverage_area(confidence, right) == pytest.approx(naive)


def test_each_half_is_read_by_what_the_other_fits():
    logits, truth = draw(201, seed=7)
    seen = []

    def fit(rows):
        seen.append(set(rows.tolist()))
        return calibrate(logits[rows], truth[rows], CalibrateOptions())

    order = np.random.default_rng(0).permutation(201)
    held_out = hold_out(logits, fit, order)
    assert [len(rows) for rows in seen] == [101, 100]
    assert seen[0].isdisjoint(seen[1])
    assert seen[0] | seen[1] == set(range(201))
    assert set(np.flatnonzero(held_out.first).tolist()) == seen[1]  # the first half is read by the first fit
    for i in range(201):
        one = held_out.fits[0 if held_out.first[i] else 1]
        p = softmax(logits[i : i + 1], one.temperature)
        np.testing.assert_allclose(held_out.p[i], p[0])
        for name, policy in one.policies.items():
            said = decide(p, policy, one.uncertain)
            assert held_out.decisions[name].shown[i] == said.shown[0]
            assert np.array_equal(held_out.decisions[name].member[i], said.member[0])
            assert held_out.decisions[name].uncertain[i] == said.uncertain[0]


def test_figures_of_the_held_out_are_close_to_what_was_asked():
    logits, truth = draw(4000, seed=8, heat=0.6)
    truth[::50] = -1  # without a label

    def fit(rows):
        known = rows[truth[rows] >= 0]
        return calibrate(logits[known], truth[known], CalibrateOptions())

    (found,) = crossfit(logits, fit, {"argmax": truth}, splits=5, seed=0).values()
    assert found["n"] == 3920
    assert found["temperature"]["mean"] == pytest.approx(0.6, rel=0.1)
    assert found["ece"]["mean"] < 0.02 < found["ece before"]
    assert found["nll"]["mean"] < found["nll before"]
    for policy in ("accurate", "balanced"):
        assert found["policies"][policy]["coverage"]["mean"] == pytest.approx(0.9, abs=0.01)
    accurate = found["policies"]["accurate"]
    assert accurate["accuracy"]["mean"] == pytest.approx(found["accuracy"], abs=0.005)
    assert accurate["right if certain"]["mean"] == pytest.approx(0.9, abs=0.01)
    json.dumps(found, allow_nan=False)


def naive_figures(held_out, truth, rng):
    """The figures of one split, face by face where that is not another function's work."""
    known, first = truth >= 0, held_out.first

    def of(some):
        """ECE of these faces, and the ECE if each were right with its confidence."""
        p, y = held_out.p[some].astype(np.float32), truth[some]
        lucky = rng.random(len(p)) < p.max(axis=1)
        top = p.argmax(axis=1)
        return metrics.ece(p, y), metrics.ece(p, np.where(lucky, top, (top + 1) % 8))

    p = held_out.p[known].astype(np.float32)
    figures = {
        "temperature": sum(one.temperature for one in held_out.fits) / 2,
        "nll": metrics.nll(p, truth[known]),
        "aurc": risk_coverage_area(p.max(axis=1), p.argmax(axis=1) == truth[known]),
    }
    figures["ece"], figures["ece if right"] = of(known)
    figures["ece of one half"], figures["ece of one half if right"] = of(known & first)
    policies = {}
    for name, said in held_out.decisions.items():
        held = [said.member[i, truth[i]] for i in np.flatnonzero(known & first)]
        policies[name] = metrics.decision_figures(said, known, truth[known])
        policies[name]["coverage of one half"] = sum(held) / len(held)
        policies[name]["strength"] = sum(one.strengths[name] for one in held_out.fits) / 2
    return figures, policies


def plain(value):
    if np.ndim(value):
        return {emotion: plain(one) for emotion, one in zip(EMOTIONS, value, strict=True)}
    return None if math.isnan(value) else pytest.approx(value, abs=1e-6)


def spread(splits):
    """Of the figures of every split: mean and the middle 95 %."""
    found = {}
    for name in splits[0]:
        values = np.array([figures[name] for figures in splits])
        low, high = np.percentile(values, [2.5, 97.5], axis=0)
        found[name] = {"mean": plain(values.mean(axis=0)), "low": plain(low), "high": plain(high)}
    return found


def test_what_is_told_of_the_splits_is_what_they_gave():
    logits, truth = draw(90, seed=12, heat=1.5)
    truth[truth == 7] = 6  # nobody shows contempt
    logits[0, 1] = -30
    labels = {"majority": np.where(np.arange(90) % 4, truth, -1), "argmax": truth}

    def fit(rows):
        return calibrate(logits[rows], truth[rows], CalibrateOptions(0.8, 0.7))

    found = crossfit(logits, fit, labels, splits=3, seed=5)
    rng = np.random.default_rng(5)
    splits = {name: [] for name in labels}
    for _ in range(3):
        held_out = hold_out(logits, fit, rng.permutation(90))
        for name, y in labels.items():
            splits[name].append(naive_figures(held_out, y, rng))
    raw = softmax(logits).astype(np.float32)
    for name, y in labels.items():
        known = y >= 0
        right, n = int((raw.argmax(axis=1) == y).sum()), int(known.sum())
        figures, policies = zip(*splits[name], strict=True)
        assert found[name] == {
            "n": n,
            "n of": {e: int((y == k).sum()) for k, e in enumerate(EMOTIONS)},
            "accuracy": plain(right / n),
            "accuracy 95": [plain(end) for end in metrics.wilson(right, n)],
            "ece before": plain(metrics.ece(raw[known], y[known])),
            "nll before": plain(metrics.nll(raw[known], y[known])),
            **spread(figures),
            "policies": {policy: spread([by[policy] for by in policies]) for policy in policies[0]},
        }
    assert found["argmax"]["policies"]["accurate"]["recall"]["mean"]["contempt"] is None


def predicted(logits, votes):
    samples = tuple(Sample(f"{i}.png", votes=v) for i, v in enumerate(votes))
    digests = tuple(bytes([i]) for i in range(len(votes)))
    return Predictions(samples, softmax(logits).astype(np.float32), digests)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_card_holds_what_was_fitted_on_the_labelled_and_how(protocol):
    logits, truth = draw(120, seed=13, heat=2.0)
    logits[5] = [0, 800, 0, 0, 0, 0, 0, 0]  # so sure that the others are nought
    votes = [tuple(int(k == t) * 5 for k in range(8)) for t in truth]
    votes[:30] = [tuple(v + 3 * (k < 2) for k, v in enumerate(one)) for one in votes[:30]]  # no majority
    votes[40:50] = [()] * 10
    predictions = predicted(logits, votes)
    options = CalibrateOptions(0.8, 0.7, protocol, splits=2, seed=4)
    got = calibrate_card(ModelCard("net", limits=("kept",)), "here/valid", predictions, options)

    given = np.log(np.maximum(predictions.probabilities, np.finfo(np.float32).tiny))
    labels = {name: label(predictions.samples) for name, label in PROTOCOLS.items()}
    known = labels[protocol] >= 0
    assert labels["majority"].tolist() != labels["argmax"].tolist()

    def fit(rows):
        rows = rows[known[rows]]
        return calibrate(given[rows], labels[protocol][rows], options, floor_labels=labels["majority"][rows])

    whole = fit(np.arange(120))
    assert (got.name, got.limits) == ("net", ("kept",))
    assert (got.temperature, got.uncertain, got.policies) == (
        whole.temperature,
        whole.uncertain,
        whole.policies,
    )
    assert got.thresholds == pytest.approx(softmax(given[known], whole.temperature).mean(axis=0))
    assert got.calibration == {
        "data": "here/valid",
        "faces": 120,
        "faces_sha256": sha256(bytes(range(120))).hexdigest()[:16],
        "protocol": protocol,
        "n": int(known.sum()),
        "coverage": 0.8,
        "right": 0.7,
        "floors": {"contempt": 0.55, "disgust": 0.7, "fear": 0.8},
        "lean cost": 0.003,
        "strengths": whole.strengths,
        "splits": 2,
        "seed": 4,
        "mien": __version__,
        "held_out": crossfit(given, fit, labels, splits=2, seed=4),
    }


def test_a_protocol_that_labels_nobody_has_no_figures():
    logits, truth = draw(40, seed=15)
    votes = [tuple(2 + int(k == t) for k in range(8)) for t in truth]  # the most votes, and no majority
    card = calibrate_card(
        ModelCard("m"), "split", predicted(logits, votes), CalibrateOptions(protocol="argmax", splits=1)
    )
    assert list(card.calibration["held_out"]) == ["argmax"]


def test_twenty_labelled_faces_are_enough_and_nineteen_are_not():
    logits, truth = draw(25, seed=14)
    votes = [tuple(int(k == t) for k in range(8)) for t in truth]
    options = CalibrateOptions(splits=1)
    enough = calibrate_card(ModelCard("m"), "few", predicted(logits, votes[:20] + [()] * 5), options)
    assert enough.calibration["n"] == 20
    assert list(enough.calibration["held_out"]) == ["majority"]
    with pytest.raises(DataError, match="few: expected at least 20 faces with a label, got 19; give more"):
        calibrate_card(ModelCard("m"), "few", predicted(logits, votes[:19] + [()] * 6), options)


@pytest.fixture
def labelled(tmp_path, tiny_model):
    """96 pictures of noise with a label that the tiny network gives to most, in folders."""
    rng = np.random.default_rng(11)
    root = tmp_path / "faces"
    pictures = rng.integers(0, 256, (96, 48, 48), np.uint8)
    guess = Classifier.load(tiny_model)(pictures).argmax(1)
    for i, (pixels, k) in enumerate(zip(pictures, guess, strict=True)):
        folder = root / EMOTIONS[k if i % 4 else (k + 1) % 8]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return root


def test_the_command_writes_a_model_that_reads_with_it(mien, tiny_model, labelled, tmp_path):
    out = tmp_path / "calibrated.onnx"
    args = ("calibrate", tiny_model, "--data", "folder", "--root", labelled, "--splits", "1", "-o", out)
    (labelled / "fear" / "97.gone").touch()
    ran = mien(*args)
    assert ran.code == 0, ran.err
    assert "1 files that are no pictures by their names were left out: fear/97.gone" in ran.err
    assert b"calibrated on   96 faces" in ran.out
    card = Classifier.load(out).card
    assert card.temperature != 1
    assert list(card.policies) == ["accurate", "balanced"]
    assert 0.5 <= card.uncertain <= 1
    assert sum(card.thresholds) == pytest.approx(1), "shares of the emotions among the faces"
    assert list(card.calibration["held_out"]) == ["majority"]  # one label a picture: both are the same
    assert mien(*args).code == 1  # it exists
    first = out.read_bytes()
    assert mien(*args, "--overwrite", "--limit", "It was not tried in the dark.").code == 0
    assert Classifier.load(out).card.limits == (*card.limits, "It was not tried in the dark.")
    assert mien(*args, "--overwrite").code == 0
    assert out.read_bytes() == first
    again = tmp_path / "again.onnx"  # what the card said before makes no difference
    assert mien("calibrate", out, *args[2:-1], again).code == 0
    assert Classifier.load(again).card.temperature == pytest.approx(card.temperature, rel=1e-4)
    shipped = tmp_path / "shipped.onnx"
    assert mien("calibrate", "compact", *args[2:-1], shipped).code == 0
    assert Classifier.load(shipped).card.calibration["faces"] == 96
    ran = mien("evaluate", "--model", out, "--data", "folder", "--root", labelled, "--policy", "balanced")
    assert ran.code == 0
    assert b"policy    balanced" in ran.out
    assert b"label in set" in ran.out
    assert b"(alone: each emotion asked for by itself" in ran.out
    assert b"(uncertain: by the confidence alone; a table of faces counts quality in, too)" in ran.out
    ran = mien("card", out)
    assert b"calibrated on" in ran.out
    assert max(map(len, ran.out.decode().splitlines())) <= 80
    assert ModelCard.from_json(mien("card", out, "--json").out.decode()) == card


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--coverage", "1"], "--coverage: expected a share between 0 and 1"),
        (["--right", "0"], "--right: expected a share"),
        (["--seed", "-1"], "greater than or equal to 0"),
        (["--protocol", "most"], "--protocol: expected one of majority, argmax"),
        (["--data", "ferplus"], "no FER+ split"),
        (["--splits", "1"], "at least 20 faces with a label, got 10"),
    ],
)
def test_what_is_asked_wrongly_writes_nothing(mien, tiny_model, labelled, tmp_path, args, said):
    for path in sorted(labelled.rglob("*.png"))[10:]:
        path.unlink()
    out = tmp_path / "out.onnx"
    ran = mien("calibrate", tiny_model, "--data", "folder", "--root", labelled, "-o", out, *args)
    assert ran.code == (1 if "FER+ split" in said or "at least" in said else 2)  # two are about the data
    assert said in ran.err
    assert not list(tmp_path.glob("*out.onnx*"))


def test_a_policy_that_the_network_has_not(mien, tiny_model, labelled, one_face, tmp_path):
    Image.fromarray(one_face).save(tmp_path / "face.png")
    for command in (("analyze", tmp_path / "face.png"), ("evaluate", "--data", "folder", "--root", labelled)):
        ran = mien(*command, "--model", tiny_model, "--policy", "balanced")
        assert ran.code == 2
        assert "--policy: expected one of accurate of the network 'tiny', got 'balanced'" in ran.err


def test_calibrating_needs_onnx_and_no_torch(mien, tiny_model, labelled, tmp_path, monkeypatch):
    command = ("calibrate", tiny_model, "--data", "folder", "--root", labelled, "--splits", "1", "-o")
    for name in [name for name in sys.modules if name.startswith(("mien.train", "mien.nets", "mien.paper"))]:
        monkeypatch.delitem(sys.modules, name)  # each would need PyTorch again
    monkeypatch.setitem(sys.modules, "torch", None)
    ran = mien(*command, tmp_path / "o.onnx")
    assert ran.code == 0, ran.err
    monkeypatch.setitem(sys.modules, "onnx", None)
    ran = mien(*command, tmp_path / "other.onnx")
    assert ran.code
    assert "mien[train]" in ran.err


def test_a_comparison_tells_nothing_of_certain_faces_where_none_is():
    rng = np.random.default_rng(0)
    truth = rng.integers(8, size=80)
    logits = rng.normal(size=(80, 8)) + 2 * np.eye(8)[truth]
    card = ModelCard("x", uncertain=1.0)  # above every confidence
    found = compare_cards(card, logits, truth, CalibrateOptions(splits=2), floors={}, kept=None, groups=None)
    assert found["accurate/right if certain"]["before"] == dict.fromkeys(("mean", "low", "high"))
    assert found["accurate/uncertain"]["before"] == {"mean": 1, "low": 1, "high": 1}


def test_python_takes_paths_as_text(tiny_model, labelled, tmp_path):
    out = str(tmp_path / "out.onnx")
    calibrate_model(str(tiny_model), str(labelled), out, CalibrateOptions(splits=1), data="folder")
    (verdict,) = evaluate(EvaluateOptions(str(labelled), "folder", out)).verdicts
    assert verdict.scores.n == 96
