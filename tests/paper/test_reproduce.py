"""The paper's experiment end to end, on a few drawn models."""

import json
import re

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the learning half is not installed: pip install 'mien[train]'")

from dataclasses import replace  # noqa: E402

from mien.data.toy import ToySettings, write_toy  # noqa: E402
from mien.errors import ConfigError, DataError  # noqa: E402
from mien.labels import EMOTIONS  # noqa: E402
from mien.paper.binary import choose_threshold  # noqa: E402
from mien.paper.folds import FoldSettings  # noqa: E402
from mien.paper.gallery import load_gallery  # noqa: E402
from mien.paper.material import make_material  # noqa: E402
from mien.paper.part import Means  # noqa: E402
from mien.paper.reproduce import GALLERY, PREDICTIONS, RESULTS, Plan, reproduce  # noqa: E402
from mien.paper.train import export_paper_run  # noqa: E402
from mien.paper.variants import PAPER, make_paper, seeded, with_readings  # noqa: E402

FOLDS = FoldSettings("person", folds=2, positives=8, others=1)


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """10 drawn models, 8 emotions, 2 gazes: 160 pictures."""
    folder = tmp_path_factory.mktemp("corpus")
    write_toy(folder / "toy", ToySettings(models=10, cameras=1, gazes=2))
    return make_material("toy", folder / "toy", folder / "cache")


def tiny(name):
    recipe = make_paper(name)
    return replace(
        recipe,
        width=2,
        hidden=tuple(k // 20 for k in recipe.hidden),
        pretrain=replace(recipe.pretrain, epochs=1, batch=32),
        head=replace(recipe.head, epochs=1, batch=32),
        loop=replace(recipe.loop, epochs=2, batch=32),
    )


def timeless(variants):
    """Without the seconds of each epoch."""
    return re.sub(r'"seconds": [\d.]+', "", json.dumps(variants))


@pytest.mark.parametrize("name", PAPER)
def test_every_variant_runs_to_a_full_set_of_tables(name, material, tmp_path):
    results = reproduce(Plan((tiny(name),), FOLDS), material, tmp_path)
    assert json.loads((tmp_path / RESULTS).read_text()) == json.loads(json.dumps(results))
    figures = results["variants"][name]
    assert {table["emotion"] for table in figures["measures"]} == set(EMOTIONS)
    scores = np.load(tmp_path / name / PREDICTIONS)
    assert scores.shape == (160, 8)
    assert np.allclose(scores.sum(1), 1, atol=1e-5), "disjoint folds ask of every picture once"


def test_a_killed_reproduction_goes_on_and_ends_alike(material, tmp_path):
    plan = Plan((tiny("paper-300"), tiny("paper-pretrained")), FOLDS)
    whole = reproduce(plan, material, tmp_path / "a")
    lines = []

    def kill(line):
        lines.append(line)
        if len(lines) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reproduce(plan, material, tmp_path / "b", kill)
    resumed = reproduce(plan, material, tmp_path / "b", lines.append)
    assert timeless(resumed["variants"]) == timeless(whole["variants"])
    assert resumed["pairs"] == whole["pairs"]
    once = len(lines)
    reproduce(plan, material, tmp_path / "b", lines.append)
    assert len(lines) == once, "what is finished is not learnt again"


def test_no_person_is_in_both_halves_of_a_fold(material, tmp_path, monkeypatch):
    from mien.paper import reproduce as module

    seen = []
    real = module._parts
    monkeypatch.setattr(module, "_parts", lambda *call: seen.append(real(*call)) or seen[-1])
    reproduce(Plan((tiny("paper-raw"),), FOLDS), material, tmp_path)
    persons = np.array(material.persons)
    for part in seen[0]:
        assert not set(persons[part.train]) & set(persons[part.test])


def test_a_folder_with_other_settings_is_refused(material, tmp_path):
    reproduce(Plan((tiny("paper-raw"),), FOLDS), material, tmp_path)
    with pytest.raises(ConfigError, match="other settings"):
        reproduce(Plan((seeded(tiny("paper-raw"), 5),), FOLDS), material, tmp_path)


def spy(monkeypatch):
    """What every network is given to learn from, in order."""
    from mien.paper import part

    seen = []
    learn = part.learn

    def watched(recipe, given, *more):
        seen.append(given)
        return learn(recipe, given, *more)

    monkeypatch.setattr(part, "learn", watched)
    return seen


def test_repeated_draws_come_from_people_who_train_nothing(material, tmp_path, monkeypatch):
    from mien.paper import part as module

    seen = []
    real = module.learn
    monkeypatch.setattr(
        module, "learn", lambda recipe, lesson, *rest: seen.append(lesson) or real(recipe, lesson, *rest)
    )
    settings = FoldSettings("repeated", folds=3, positives=5, others=1)
    results = reproduce(Plan((tiny("paper-300"),), settings), material, tmp_path)
    assert len(seen) == 1, "one network serves all draws"
    scores = np.load(tmp_path / "paper-300" / PREDICTIONS)
    asked = np.isfinite(scores).all(1)
    persons = np.array(material.persons)
    assert not set(persons[asked]) & set(persons[~asked])
    learnt = {image.tobytes() for image in seen[0].unlabelled.numpy()}
    assert learnt == {image.tobytes() for image in material.images[~asked]}, (
        "the autoencoder sees no test picture"
    )
    assert len(seen[0].images) == (~asked).sum()
    assert "repeated draws from 80 pictures" in results["notes"][-1]


def test_a_share_of_the_labels_trains_the_network_and_all_pictures_the_autoencoder(
    material, tmp_path, monkeypatch
):
    from mien.paper import part as module

    seen = []
    real = module.learn
    monkeypatch.setattr(
        module, "learn", lambda recipe, lesson, *rest: seen.append(lesson) or real(recipe, lesson, *rest)
    )
    plan = Plan((tiny("paper-300"),), FOLDS, Means(share=0.25), threshold="training")
    reproduce(plan, material, tmp_path)
    assert [len(lesson.images) for lesson in seen] == [16, 16]
    assert [len(lesson.unlabelled) for lesson in seen] == [80, 80]
    with pytest.raises(ConfigError, match="expected more than 0 and at most 1, got 2"):
        Means(share=2)


def test_each_variant_is_held_against_the_first(material, tmp_path):
    names = ("paper-raw", "paper-noise")
    results = reproduce(Plan(tuple(map(tiny, names)), FOLDS), material, tmp_path)
    right = [np.load(tmp_path / name / PREDICTIONS).argmax(1) == material.labels for name in names]
    (pair,) = results["pairs"]
    assert pair["variants"] == list(names)
    assert pair["difference"] == pytest.approx(right[0].mean() - right[1].mean())
    assert pair["first_alone"] == (right[0] & ~right[1]).sum()


def test_another_corpus_under_the_same_name_is_cut_anew(tmp_path):
    write_toy(tmp_path / "a", ToySettings(models=3, cameras=1, gazes=1))
    write_toy(tmp_path / "b", ToySettings(models=3, cameras=1, gazes=1, seed=1))
    first, second = (make_material("toy", tmp_path / name, tmp_path / "cache") for name in "ab")
    assert not np.array_equal(first.images, second.images)
    assert np.array_equal(make_material("toy", tmp_path / "a", tmp_path / "cache").images, first.images)


def test_a_damaged_outcome_says_what_to_do(material, tmp_path):
    reproduce(Plan((tiny("paper-raw"),), FOLDS), material, tmp_path)
    (tmp_path / "paper-raw" / "part-1" / "outcome.npz").write_bytes(b"PK half")
    with pytest.raises(DataError, match=r"outcome\.npz: expected arrays .* remove the file"):
        reproduce(Plan((tiny("paper-raw"),), FOLDS), material, tmp_path)


def test_an_unknown_variant_or_corpus_lists_the_known(tmp_path):
    with pytest.raises(ConfigError, match="expected one of paper-raw, paper-300"):
        make_paper("paper-9")
    with pytest.raises(ConfigError, match="expected one of rafd, ferplus, toy"):
        make_material("affectnet", tmp_path, tmp_path)


@pytest.mark.parametrize("name", PAPER)
def test_each_recipe_has_a_small_twin(name):
    full, small = make_paper(name), make_paper(f"{name}-small")
    assert small.name == f"{full.name}-small"
    assert small.width < full.width
    assert small.loop.epochs < full.loop.epochs


def test_one_autoencoder_an_emotion_and_eight_networks_run_to_the_tables(material, tmp_path):
    recipe = with_readings(tiny("paper-300"), "each", "eight")
    results = reproduce(Plan((recipe,), FOLDS), material, tmp_path)
    figures = results["variants"]["paper-300-each-eight"]
    assert {t["how"] for table in figures["measures"] for t in table["thresholds"]} == {"a half"}
    scores = np.load(tmp_path / recipe.name / PREDICTIONS)
    assert not np.allclose(scores.sum(1), 1), "each network speaks of its own emotion alone"
    assert load_gallery(tmp_path / recipe.name / GALLERY).generated.shape == (8, 8, 48, 48)
    folders = {path.name for path in (tmp_path / recipe.name / "part-1" / "autoencoder").iterdir()}
    assert folders == set(EMOTIONS)


def test_a_threshold_of_training_is_chosen_on_what_trained_each_fold(material, tmp_path):
    plan = Plan((tiny("paper-raw"),), FOLDS, threshold="training")
    figures = reproduce(plan, material, tmp_path)["variants"]["paper-raw"]
    with np.load(tmp_path / "paper-raw" / "part-2" / "outcome.npz") as held:
        trained = held["trained"]
    test = np.load(tmp_path / "paper-raw" / PREDICTIONS)
    with np.load(tmp_path / "paper-raw" / "part-2" / "outcome.npz") as held:
        asked = np.array([any(np.array_equal(row, each) for each in held["tested"]) for row in test])
    expected = choose_threshold(trained[:, 3], (material.labels == 3)[~asked])
    table = next(t for t in figures["measures"] if t["emotion"] == "sadness")
    assert table["thresholds"][1]["value"] == pytest.approx(expected.value)


def test_generated_pictures_are_measured_beside_principal_components(material, tmp_path):
    found = reproduce(Plan((tiny("paper-300"),), FOLDS), material, tmp_path)["variants"]["paper-300"]
    error = found["reconstruction"]
    assert error["width"] == 15
    assert error["n"] == 160
    assert 0 < error["autoencoder"] < 1.02 * error["pca"], "it starts there"


def test_a_part_exports_as_one_model_with_its_card(material, tmp_path):
    from mien.faces.network import Classifier

    recipe = with_readings(tiny("paper-500"), "each")
    reproduce(Plan((recipe,), FOLDS), material, tmp_path)
    part = tmp_path / recipe.name / "part-1"
    export_paper_run(part, tmp_path / "model.onnx")
    classifier = Classifier.load(tmp_path / "model.onnx")
    assert classifier.card.name == "paper-500-each"
    with np.load(part / "outcome.npz") as held:
        tested = held["tested"]
    scores = np.load(tmp_path / recipe.name / PREDICTIONS)
    mine = np.array([any(np.array_equal(row, each) for each in tested) for row in scores])
    assert np.abs(classifier(material.images[mine]) - tested).max() < 1e-3
