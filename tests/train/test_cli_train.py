"""`mien train` and `mien export` on the paper's variants: from a corpus to a model that reads faces."""

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("torch", reason="the learning half is not installed: pip install 'mien[train]'")

import torch

from makers import shrink_recipe
from mien.cli import app
from mien.data.toy import ToySettings, write_toy
from mien.errors import ConfigError
from mien.faces.network import Classifier
from mien.paper import variants


def call(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args], catch_exceptions=True)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus") / "toy"
    write_toy(folder, ToySettings(models=10, cameras=1, gazes=1))
    return folder


@pytest.fixture(scope="module")
def run(toy, tmp_path_factory):
    """A trained run of one autoencoder and one network, of a recipe that takes seconds."""
    out = tmp_path_factory.mktemp("run") / "run"
    recipe = shrink_recipe(variants.make_variant("paper-300-small")).with_readings("one", "one")
    recipe = replace(recipe, name="paper-300-small", pretrain=replace(recipe.pretrain, epochs=4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variants, "make_variant", lambda _: recipe)
        done = call("train", "paper-300-small", "--data", "toy", "--root", toy, "--out", out, "--epochs", 2)
    assert done.exit_code == 0, done.output
    assert "stage autoencoder/unit-1  epoch 4" in done.output
    assert "stage whole  epoch 2" in done.output
    return out


def test_the_command_exports_a_run_with_what_is_known_of_it_on_the_card(run, tmp_path, monkeypatch):
    written = []

    def note(net, card, path):  # test_train.py compares a file with PyTorch: that takes seconds
        written.append((net, card))
        path.touch()

    monkeypatch.setattr("mien.train.export.export_onnx", note)
    done = call("export", run, "-o", tmp_path / "model.onnx", "--name", "mine")
    assert done.exit_code == 0, done.output
    ((net, card),) = written
    assert card.name == "mine"
    assert card.recipe == "mien train paper-300-small --data toy --seed 0 --epochs 2"
    assert card.scores["toy/held out"]["n"] == 8, "a tenth of the persons is kept to judge"
    assert str(tmp_path) not in card.to_json()
    assert net(torch.zeros(2, 1, 48, 48)).shape == (2, 8)


@pytest.mark.slow
def test_a_run_exports_reads_faces_and_is_judged(run, toy, tmp_path):
    model = tmp_path / "model.onnx"
    assert call("export", run, "-o", model, "--name", "mine").exit_code == 0
    classifier = Classifier.load(model)
    assert classifier.card.name == "mine"
    assert np.allclose(classifier(np.zeros((2, 48, 48), np.uint8)).sum(1), 1, atol=1e-6)
    scores = tmp_path / "scores.json"
    done = call("evaluate", "--model", model, "--data", "toy", "--root", toy, "--json", scores)
    assert done.exit_code == 0, done.output
    assert json.loads(scores.read_text())["protocols"]["argmax"]["all"]["n"] == 80


def test_a_folder_with_a_run_of_other_settings_is_refused(run, toy):
    done = call("train", "paper-500-small", "--data", "toy", "--root", toy, "--out", run)
    assert isinstance(done.exception, ConfigError)
    assert "other settings" in str(done.exception)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (
            ["nothing"],
            "expected one of compact, votes, teacher, teacher-96, teacher-large, "
            "face, face-more, face-fine, face-last, paper-300, paper-500",
        ),
        (["paper-raw", "--data", "affectnet"], "expected one of rafd, ferplus, toy, got 'affectnet'"),
        (["compact", "--data", "toy"], "learns from 'ferplus', got --data toy"),
        (["compact", "--precision", "half"], "expected one of float32, bfloat16, got 'half'"),
    ],
)
def test_what_is_asked_wrongly_lists_what_there_is(args, said, tmp_path):
    done = call("train", *args, "--root", tmp_path, "--out", tmp_path / "out")
    assert isinstance(done.exception, ConfigError)
    assert said in str(done.exception)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("face",), "needs --labels and --negatives"),
        (("face", "--labels", "a", "--negatives", "b", "--teacher", "c"), "takes no --teacher"),
        (("votes", "--labels", "a"), "are for face"),
        (("face-more", "--labels", "a", "--negatives", "b"), "give --start"),
        (("face", "--labels", "a", "--negatives", "b"), "expected fairface or fairface.zip"),
    ],
)
def test_what_the_face_networks_recipes_need_is_said(arguments, said, tmp_path):
    done = call("train", *arguments, "--root", tmp_path, "--out", tmp_path / "run")
    assert done.exit_code
    assert said in str(done.exception)
