"""`mien evaluate` from the command line, with a tiny network and drawn corpora."""

import csv
import json
import xml.etree.ElementTree as ET
import zipfile
from hashlib import sha256

import numpy as np
import pytest
from PIL import Image

from mien.data.toy import ToySettings, write_toy
from mien.faces.network import Classifier
from mien.labels import EMOTIONS


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(9).integers(0, 256, (90, 48, 48), np.uint8)


@pytest.fixture(scope="module")
def ferplus_root(tmp_path_factory, pictures):
    """Train: pictures 0..15; valid: 12..23, so that four of its twelve stand in train."""
    root = tmp_path_factory.mktemp("ferplus")
    for split, which in (("FER2013Train", range(16)), ("FER2013Valid", range(12, 24))):
        (root / split).mkdir()
        lines = []
        for i in which:
            Image.fromarray(pictures[i]).save(root / split / f"fer{i:07d}.png")
            votes = [0] * 10
            votes[i % 8], votes[8] = (6, 4) if i % 6 else (4, 3)
            lines.append(f'fer{i:07d}.png,"(0, 0, 48, 48)",{",".join(map(str, votes))}\n')
        (root / split / "label.csv").write_text("".join(lines))
    return root


@pytest.fixture
def faces(tmp_path, pictures):
    """A folder an emotion, three pictures each in two."""
    root = tmp_path / "faces"
    for i, name in enumerate(["happy", "Sad"] * 3):
        (root / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pictures[i]).save(root / name / f"{i}.png")
    return root


def make_fairface(root, pictures):
    """FairFace as a folder: these pictures, and a table of ages, genders and races."""
    (root / "images").mkdir(parents=True)
    ages, races = ("03-Sep", "Oct-19", "0-2"), ("Black", "Southeast Asian")
    with (root / "legend.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["image", "age", "gender", "race"])
        for i, pixels in enumerate(pictures):
            Image.fromarray(pixels).save(root / "images" / f"{i}.png")
            out.writerow([f"{i}.png", ages[i % 3], ("Male", "Female")[i % 2], races[i % 2]])
    return root


@pytest.fixture
def unlabelled(tmp_path, pictures):
    """FairFace as a folder, 90 pictures."""
    return make_fairface(tmp_path / "fairface", pictures)


@pytest.fixture
def evaluate(mien, tiny_model):
    """The command with the tiny network on a corpus: how it went, and what it printed."""

    def run(data, root, *args, code=0):
        ran = mien("evaluate", "--model", tiny_model, "--data", data, "--root", root, *args)
        assert ran.code == code, ran.err
        return ran.out.decode(), ran.err

    return run


def test_both_protocols_on_ferplus_as_the_classifier_says(
    evaluate, ferplus_root, tiny_model, pictures, tmp_path
):
    out = tmp_path / "scores.json"
    text, _ = evaluate("ferplus", ferplus_root, "--split", "valid", "--json", out)
    assert [line.split()[1] for line in text.splitlines() if line.startswith("protocol")] == [
        "majority",
        "argmax",
    ]
    record = json.loads(out.read_text())
    guess = Classifier.load(tiny_model)(pictures[12:24]).argmax(1)
    right = guess == np.arange(12, 24) % 8
    got = record["protocols"]["argmax"]
    assert (got["all"]["n"], got["without_copies"]["n"]) == (12, 8)
    assert got["all"]["accuracy"] == pytest.approx(right.mean())
    assert got["without_copies"]["accuracy"] == pytest.approx(right[4:].mean())
    assert (record["model"], record["split"], record["data"]) == ("tiny", "valid", "ferplus")
    assert record["sha256"] == sha256(tiny_model.read_bytes()).hexdigest()
    assert record["provenance"]["packages"]["onnxruntime"]


def test_one_protocol_on_train_has_no_second_score(evaluate, ferplus_root):
    text, _ = evaluate("ferplus", ferplus_root, "--split", "train", "--protocol", "argmax")
    assert text.count("protocol  ") == 1
    assert "no copy" not in text


def test_valid_without_train_at_hand(evaluate, ferplus_root, tmp_path):
    path = tmp_path / "valid.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in (ferplus_root / "FER2013Valid").iterdir():
            archive.write(file, f"FER2013Valid/{file.name}")
    text, notes = evaluate("ferplus", path)
    assert "no scores without training's copies" in notes
    assert "no copy in training" not in text


def test_folder(evaluate, faces):
    text, _ = evaluate("folder", faces)
    assert "scored    6\n" in text
    assert "split" not in text
    assert text.count("protocol  ") == 1
    (line,) = [line for line in text.splitlines() if line.startswith("contempt") and "66.57" in line]
    assert line.split()[:3] == ["contempt", "0", "-"]  # undefined, not 0
    assert [line.split()[0] for line in text.splitlines()[-8:]] == list(EMOTIONS)
    assert max(map(len, text.splitlines())) <= 80


def test_damaged_pictures_are_named_and_the_rest_is_judged(evaluate, faces, tmp_path):
    (faces / "happy" / "0.png").write_bytes((faces / "happy" / "0.png").read_bytes()[:500])
    Image.new("L", (20, 20)).save(faces / "happy" / "small.png")
    out = tmp_path / "scores.json"
    text, err = evaluate("folder", faces, "--json", out, code=1)
    assert "scored    5\n" in text
    assert "damaged   2 more" in text
    assert "could not be read: 2" in err
    assert "happy/0.png" in err
    assert "happy/small.png: expected a face picture of at least 48 x 48" in err
    record = json.loads(out.read_text())
    assert {one["name"] for one in record["unreadable"]} == {"happy/0.png", "happy/small.png"}
    assert record["read"] == 5


def test_detect_finds_the_face_and_counts_those_without(evaluate, one_face, no_face, tmp_path):
    (tmp_path / "f" / "surprised").mkdir(parents=True)
    for name, pixels in (("one", one_face), ("none", no_face)):
        Image.fromarray(pixels).save(tmp_path / "f" / "surprised" / f"{name}.png")
    out = tmp_path / "scores.json"
    text, _ = evaluate("folder", tmp_path / "f", "--detect", "--json", out)
    assert "no face   1 more" in text
    record = json.loads(out.read_text())
    assert record["no_face"] == ["surprised/none.png"]
    assert record["protocols"]["argmax"]["all"]["n"] == 1


def test_groups_without_labels_are_a_table_an_attribute(evaluate, unlabelled, tmp_path):
    out = tmp_path / "g.json"
    text, _ = evaluate("fairface", unlabelled, "--crops", "--by", "age,gender,race", "--json", out)
    heads = [line for line in text.splitlines() if line.startswith("by ")]
    assert heads == ["by age", "by gender", "by race"]
    assert "accuracy" not in text
    assert max(map(len, text.splitlines())) <= 80
    record = json.loads(out.read_text())
    assert record["protocols"] == {}
    assert list(record["groups"]["by"]) == ["age", "gender", "race"]
    assert record["groups"]["by"]["age"]["groups"] == ["0-2", "3-9", "10-19"]  # of dates, ages again
    rows = record["groups"]["by"]["gender"]["rows"]
    assert rows["neutral"]["all"]["n"] == sum(g["n"] for g in rows["neutral"]["groups"].values()) == 90
    assert "face found" not in rows


def test_groups_of_a_part(evaluate, unlabelled):
    args = ("fairface", unlabelled, "--crops", "--by", "gender")
    text, _ = evaluate(*args, "--limit", "20")
    assert "drawn     20 of 90 pictures, seed 0" in text
    assert "scored    20\n" in text
    assert evaluate(*args, "--limit", "20")[0] == text
    assert "drawn" not in evaluate(*args, "--limit", "90")[0]


def test_groups_with_the_detector_count_pictures_without_a_face(evaluate, one_face, no_face, tmp_path):
    root = make_fairface(tmp_path / "f", [one_face, no_face, one_face, one_face])
    out, plot = tmp_path / "g.json", tmp_path / "g.svg"
    evaluate("fairface", root, "--by", "gender", "--json", out, "--plot", plot)
    ET.fromstring(plot.read_text())  # noqa: S314 - our own
    found = json.loads(out.read_text())["groups"]["by"]["gender"]["rows"]["face found"]["groups"]
    assert {name: (g["n"], g["value"]) for name, g in found.items()} == {"Male": (2, 1.0), "Female": (2, 0.5)}


def test_groups_with_labels_add_recall_to_the_verdict(evaluate, tmp_path):
    write_toy(tmp_path / "toy", ToySettings(models=4, cameras=1, gazes=1, size=48))
    text, _ = evaluate("toy", tmp_path / "toy", "--by", "gender,group")
    assert text.count("protocol  ") == 1
    assert "recall contempt" in text
    assert max(map(len, text.splitlines())) <= 80


def test_damaged_pictures_are_in_no_group(evaluate, unlabelled):
    (unlabelled / "images" / "0.png").write_bytes(b"no picture")
    text, _ = evaluate("fairface", unlabelled, "--crops", "--by", "race", code=1)
    assert "damaged   1 more" in text
    assert next(line for line in text.splitlines() if line.startswith("all ")).split()[1] == "89"


@pytest.mark.parametrize(
    ("code", "data", "args", "said"),
    [
        (2, "affectnet", (), "--data: expected one of ferplus, fer2013, rafd, ckplus"),
        (2, "ferplus", ("--split", "dev"), "--split: expected one of train, valid, test, got 'dev'"),
        (1, "ferplus", ("--split", "test"), "found only split train, valid"),
        (2, "ferplus", ("--protocol", "most"), "--protocol: expected one of majority, argmax, got 'most'"),
        (1, "ferplus", ("--json", "nowhere/x.json"), "does not exist"),
        (1, "ferplus", ("--model", "nowhere.onnx"), "nowhere.onnx"),
        (2, "folder", ("--split", "test"), "has no splits"),
        (2, "folder", ("--by", "age"), "samples carry tags"),
        (2, "fairface", (), "no labels to score by: expected --by TAGS"),
        (2, "fairface", ("--by", "age", "--protocol", "argmax"), "got --protocol argmax"),
        (2, "fairface", ("--by", "height"), "tags out of age, gender, race, got 'height'"),
        (2, "fairface", ("--plot", "a.svg"), "--plot: expected --by TAGS"),
        (2, "fairface", ("--by", "age", "--plot", "a.png"), "ends in .svg"),
        (1, "fairface", ("--by", "age", "--plot", "nowhere/a.svg"), "--plot: expected a file in a folder"),
    ],
)
def test_what_is_asked_wrongly(evaluate, ferplus_root, faces, unlabelled, code, data, args, said):
    root = {"folder": faces, "fairface": unlabelled}.get(data, ferplus_root)
    assert said in evaluate(data, root, *args, code=code)[1]


def test_nothing_is_written_over_the_model(evaluate, ferplus_root, tiny_model):
    before = tiny_model.read_bytes()
    assert "input" in evaluate("ferplus", ferplus_root, "--json", tiny_model, code=1)[1]
    assert tiny_model.read_bytes() == before
