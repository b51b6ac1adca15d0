"""A network calibrated on a lab's own codes: on tables whose truth is known, and as a command."""

import json
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest

from mien.card import ModelCard, Policy, with_card
from mien.errors import DataError
from mien.evaluate.calibrate import CalibrateOptions, calibrate, draw_halves
from mien.evaluate.codes import Code, write_codes
from mien.evaluate.lab import LEAST, calibrate_on_codes, find_coded_faces
from mien.evaluate.review import ReviewTable
from mien.faces.network import open_session, read_card
from mien.labels import EMOTIONS
from mien.results.sidecar import write_sidecar
from mien.results.tables import write
from mien.types import Face, Frame
from test_calibrate import draw, softmax

OPTIONS = CalibrateOptions(splits=2)
LANDMARKS = np.zeros((5, 2), np.float32)


def face(p, track=1, side=40):
    return Face((0, 0, side, side), LANDMARKS, 0.99, track=track, probabilities=p)


@pytest.fixture
def coded(tmp_path, tiny_model):
    """A function that writes n faces in clips of 20 s, 2 s each, with the codes that are true."""

    def make(n, heat=3.0, coder="anna"):
        logits, truth = draw(n, heat=heat, spread=2)
        p = softmax(logits).astype(np.float32)
        frames, codes = [], []
        for i in range(n):
            source, start = f"clip{i // 10}.mp4", 2.0 * (i % 10)
            for k in range(4):
                other = np.roll(p[i], 1)  # what stands at the rest of the stretch is not asked
                shown = face(p[i] if k == 2 else other)
                frames.append(Frame(source, 4 * (i % 10) + k, start + k / 2, (shown,)))
            codes.append(Code(source, 1, coder, start, start + 2, EMOTIONS[truth[i]]))
        table = tmp_path / "faces.csv"
        write(frames, table, overwrite=True)
        network = sha256(tiny_model.read_bytes()).hexdigest()
        about = {"mien": "0", "network": network, "settings": {}, "model": {"name": "tiny"}, "counts": {}}
        write_sidecar(table, "frames", about, ["{}"])
        write_codes(codes, tmp_path / "codes.csv", overwrite=True)
        return table, codes, logits, truth

    return make


def test_what_is_fitted_is_what_the_middles_of_the_stretches_say(coded, tmp_path, tiny_model):
    table, _, logits, truth = coded(600)
    out = tmp_path / "lab.onnx"
    card, notes = calibrate_on_codes(tiny_model, tmp_path / "codes.csv", table, out, OPTIONS)
    want = calibrate(logits, truth, OPTIONS)
    assert card.temperature == pytest.approx(want.temperature, rel=1e-3)
    assert card.uncertain == pytest.approx(want.uncertain, abs=1e-4)
    assert card.policies["accurate"].set_from == pytest.approx(want.policies["accurate"].set_from, abs=1e-4)
    assert read_card(open_session(out.read_bytes())) == card
    assert card.calibration["n"] == 600
    compared = card.calibration["compared"]
    assert compared["ece"]["change"]["high"] < 0  # a temperature of 3 was taken away
    assert compared["accurate/accuracy"]["before"]["low"] < (logits.argmax(1) == truth).mean()
    # rare emotions are told about, and nothing of them alone is measured
    numbers = np.bincount(truth, minlength=8)
    few = [emotion for emotion, n in zip(EMOTIONS, numbers, strict=True) if n < LEAST]
    assert {"contempt", "disgust", "fear"} <= set(few)
    assert all(
        f"{emotion} ({n})" in notes[-1]
        for emotion, n in zip(EMOTIONS, numbers, strict=True)
        if emotion in few
    )
    recall = card.calibration["held_out"]["majority"]["policies"]["accurate"]["recall"]["mean"]
    assert {emotion for emotion, value in recall.items() if value is None} == set(few)
    json.dumps(card.calibration, allow_nan=False)


def test_a_policy_without_enough_rare_faces_leans_as_before(coded, tmp_path, tiny_model):
    table, *_ = coded(300)
    first, second = tmp_path / "one.onnx", tmp_path / "two.onnx"
    card, _ = calibrate_on_codes(tiny_model, tmp_path / "codes.csv", table, first, OPTIONS)
    assert not any(card.policies["balanced"].offsets)  # the tiny network had no such policy
    content = first.read_bytes()
    lean = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    content = with_card(
        content, replace(card, temperature=1.0, policies={**card.policies, "balanced": Policy(lean, 0.1)})
    )
    first.write_bytes(content)
    record = json.loads((tmp_path / "faces.csv.json").read_text())
    record["network"] = sha256(content).hexdigest()
    (tmp_path / "faces.csv.json").write_text(json.dumps(record))
    card, notes = calibrate_on_codes(first, tmp_path / "codes.csv", table, second, OPTIONS)
    assert np.multiply(card.policies["balanced"].offsets, card.temperature) == pytest.approx(lean)
    compared = card.calibration["compared"]["balanced/accuracy"]  # so it shows the same, whatever was fitted
    assert compared["change"] == {"mean": 0, "low": 0, "high": 0}
    assert card.policies["balanced"].set_from != 0.1
    assert "what it showed before" in notes[-1]


def test_coders_must_agree_and_what_is_left_out_is_said(tmp_path):
    p = softmax(np.eye(8) * 3).astype(np.float32)
    frames = [Frame("a.mp4", i, i / 10, (face(p[1], 1, 80), face(p[4], 2, 40))) for i in range(40)]
    frames += [Frame("b.png", 0, None, (face(p[2], None),))]
    write(frames, tmp_path / "faces.csv")
    table = ReviewTable(tmp_path / "faces.csv", probabilities=True)
    codes = [
        Code("x/a.mp4", 1, "anna", 0, 2, "happiness"),
        Code("a.mp4", 1, "ben", 0, 2, "happiness"),
        Code("a.mp4", 2, "anna", 0, 2, "anger"),
        Code("a.mp4", 2, "ben", 0, 2, "fear"),
        Code("a.mp4", None, "anna", 2, 4, "surprise"),  # the largest face
        Code("a.mp4", 1, "anna", 8, 9, "fear"),  # the clip is over
        Code("a.mp4", 7, "anna", 0, 2, "fear"),
        Code("c.mp4", 1, "anna", 0, 2, "fear"),
        Code("b.png", 0, "anna", None, None, "none"),
    ]
    notes: list[str] = []
    found = find_coded_faces(table, codes, ModelCard("", temperature=1.0), notes)
    assert [sample.votes[EMOTIONS.index("happiness")] for sample in found.samples] == [2, 0]
    assert found.probabilities.argmax(axis=1).tolist() == [1, 1]
    np.testing.assert_allclose(found.probabilities, p[[1, 1]], rtol=1e-5)
    said = " ".join(notes)
    for part in ("1 of files", "1 of faces", "2 on which no emotion", "1 of stretches"):
        assert part in said
    hot = find_coded_faces(table, codes, ModelCard("", temperature=2.0), [])
    np.testing.assert_allclose(hot.probabilities[0], softmax(np.eye(8)[[1]] * 6)[0], rtol=1e-4)


def test_too_few_faces_and_tables_of_other_networks_are_refused(coded, tmp_path, tiny_model):
    table, *_ = coded(LEAST - 1)
    out = tmp_path / "lab.onnx"
    with pytest.raises(DataError, match=str(LEAST - 1)):
        calibrate_on_codes(tiny_model, tmp_path / "codes.csv", table, out, OPTIONS)
    with pytest.raises(DataError, match="tiny"):
        calibrate_on_codes("compact", tmp_path / "codes.csv", table, out, OPTIONS)
    (tmp_path / "faces.csv.json").unlink()
    with pytest.raises(DataError, match="beside a table"):
        calibrate_on_codes(tiny_model, tmp_path / "codes.csv", table, out, OPTIONS)
    assert not out.exists()


def test_no_person_is_in_both_halves():
    groups = np.random.default_rng(0).integers(0, 9, 200)
    groups[0] = 8
    for seed in range(20):
        order, cut = draw_halves(np.random.default_rng(seed), 200, groups)
        assert sorted(order) == list(range(200))
        assert not set(groups[order[:cut]]) & set(groups[order[cut:]])
        assert 60 < cut < 140


def test_the_command_prints_before_and_after(coded, tmp_path, tiny_model, mien):
    table, *_ = coded(120)
    out = tmp_path / "lab.onnx"
    basic = ("calibrate", tiny_model, "--data", "review", "--root", tmp_path / "codes.csv", "-o", out)
    assert mien(*basic).code == 2  # no --table
    ran = mien(*basic, "--table", table, "--splits", "3")
    assert ran.code == 0, ran.err
    printed = ran.out.decode()
    assert "before" in printed
    assert all(len(line) <= 80 for line in printed.splitlines())
    assert "too few" in ran.err
    shown = mien("card", out).out.decode()
    assert printed.strip() in shown
