"""`mien evaluate` from the command line, with a tiny network and drawn corpora."""

import json
import subprocess
import sys
import zipfile
from hashlib import sha256

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from mien.cli.evaluate import evaluate
from mien.errors import ConfigError, DataError, ModelError, OutputError
from mien.faces.network import Classifier
from mien.labels import EMOTIONS

app = typer.Typer()
app.command()(evaluate)


def run(*args):
    """The command's result; an error of ours is raised, as `mien.cli.main` would show it."""
    result = CliRunner().invoke(app, [str(a) for a in args])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(9).integers(0, 256, (24, 48, 48), np.uint8)


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


def test_both_protocols_on_ferplus_as_the_classifier_says(ferplus_root, tiny_model, pictures, tmp_path):
    out = tmp_path / "scores.json"
    result = run("--model", tiny_model, "--root", ferplus_root, "--split", "valid", "--json", out)
    assert result.exit_code == 0
    assert [line.split()[1] for line in result.stdout.splitlines() if line.startswith("protocol")] == [
        "majority",
        "argmax",
    ]
    record = json.loads(out.read_text())
    guess = Classifier.load(tiny_model)(pictures[12:]).argmax(1)
    truth = np.arange(12, 24) % 8
    got = record["protocols"]["argmax"]
    assert got["all"]["n"] == 12
    assert got["all"]["accuracy"] == pytest.approx((guess == truth).mean())
    assert got["without_copies"]["n"] == 8
    assert got["without_copies"]["accuracy"] == pytest.approx((guess == truth)[4:].mean())
    assert (record["model"], record["split"], record["data"]) == ("tiny", "valid", "ferplus")
    assert record["sha256"] == sha256(tiny_model.read_bytes()).hexdigest()
    assert record["provenance"]["packages"]["onnxruntime"]


def test_zip_gives_what_the_folder_gives(ferplus_root, tiny_model, tmp_path):
    path = tmp_path / "ferplus.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in ferplus_root.rglob("*.*"):
            archive.write(file, f"ferplus/{file.relative_to(ferplus_root)}")
    texts = [
        run("--model", tiny_model, "--root", root, "--split", "valid").stdout for root in (path, ferplus_root)
    ]
    zipped, plain = ([part[part.index("\n\n") :] for part in text.split("model ")[1:]] for text in texts)
    assert len(zipped) == 2
    assert zipped == plain


def test_one_protocol_on_train_has_no_second_score(ferplus_root, tiny_model):
    result = run("--model", tiny_model, "--root", ferplus_root, "--split", "train", "--protocol", "argmax")
    assert result.stdout.count("protocol  ") == 1
    assert "no copy" not in result.stdout


def test_valid_without_train_at_hand(ferplus_root, tiny_model, tmp_path):
    path = tmp_path / "valid.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in (ferplus_root / "FER2013Valid").iterdir():
            archive.write(file, f"FER2013Valid/{file.name}")
    result = run("--model", tiny_model, "--root", path)
    assert result.exit_code == 0
    assert "no scores without training's copies" in result.stderr
    assert "no copy in training" not in result.stdout


def test_folder(faces, tiny_model):
    result = run("--model", tiny_model, "--data", "folder", "--root", faces)
    assert result.exit_code == 0
    assert "scored    6\n" in result.stdout
    assert "split" not in result.stdout
    assert result.stdout.count("protocol  ") == 1
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("contempt") and "66.57" in line]
    assert line.split()[:3] == ["contempt", "0", "-"]  # undefined, not 0


def test_damaged_pictures_are_named_and_the_rest_is_judged(faces, tiny_model, tmp_path):
    (faces / "happy" / "0.png").write_bytes((faces / "happy" / "0.png").read_bytes()[:500])
    Image.new("L", (20, 20)).save(faces / "happy" / "small.png")
    out = tmp_path / "scores.json"
    result = run("--model", tiny_model, "--data", "folder", "--root", faces, "--json", out)
    assert result.exit_code == 1
    assert "scored    5\n" in result.stdout
    assert "damaged   2 more" in result.stdout
    assert "could not be read: 2" in result.stderr
    assert "happy/0.png" in result.stderr
    assert "happy/small.png: expected a face picture of at least 48 x 48" in result.stderr
    record = json.loads(out.read_text())
    assert {one["name"] for one in record["unreadable"]} == {"happy/0.png", "happy/small.png"}
    assert record["read"] == 5


def test_detect_finds_the_face_and_counts_those_without(one_face, no_face, tiny_model, tmp_path):
    (tmp_path / "f" / "surprised").mkdir(parents=True)
    for name, pixels in (("one", one_face), ("none", no_face)):
        Image.fromarray(pixels).save(tmp_path / "f" / "surprised" / f"{name}.png")
    out = tmp_path / "scores.json"
    result = run(
        "--model", tiny_model, "--data", "folder", "--root", tmp_path / "f", "--detect", "--json", out
    )
    assert result.exit_code == 0
    assert "no face   1 more" in result.stdout
    record = json.loads(out.read_text())
    assert record["no_face"] == ["surprised/none.png"]
    assert record["protocols"]["argmax"]["all"]["n"] == 1


@pytest.mark.parametrize(
    ("args", "error", "said"),
    [
        (["--data", "affectnet"], ConfigError, "--data: expected one of ferplus, fer2013, rafd, ckplus"),
        (["--split", "dev"], ConfigError, "--split: expected one of train, valid, test, got 'dev'"),
        (["--split", "test"], DataError, "found only split train, valid"),
        (["--protocol", "most"], ConfigError, "--protocol: expected one of majority, argmax, got 'most'"),
        (["--data", "folder", "--split", "test"], ConfigError, "has no splits"),
        (["--json", "nowhere/x.json"], OutputError, "not there"),
        (["--model", "nowhere.onnx"], ModelError, "nowhere.onnx"),
    ],
)
def test_what_is_asked_wrongly(ferplus_root, tiny_model, args, error, said):
    with pytest.raises(error, match=said):
        run("--model", tiny_model, "--root", ferplus_root, *args)


def test_nothing_is_written_over_the_model(ferplus_root, tiny_model):
    before = tiny_model.read_bytes()
    with pytest.raises(OutputError, match="input"):
        run("--model", tiny_model, "--root", ferplus_root, "--json", tiny_model)
    assert tiny_model.read_bytes() == before


def test_registering_the_command_loads_nothing_heavy():
    code = "import sys, mien.cli.evaluate; print({'numpy', 'onnxruntime', 'PIL', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_emotions_stand_in_the_matrix(faces, tiny_model):
    text = run("--model", tiny_model, "--data", "folder", "--root", faces).stdout
    assert [line.split()[0] for line in text.splitlines()[-8:]] == list(EMOTIONS)
    assert max(map(len, (line for line in text.splitlines()))) <= 80
