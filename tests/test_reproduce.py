"""The paper's experiment end to end, on a few drawn models."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the learning half is not installed: pip install 'mien[train]'")

from dataclasses import replace  # noqa: E402

from mien.data.toy import ToySettings, write_toy  # noqa: E402
from mien.errors import ConfigError  # noqa: E402
from mien.evaluate.folds import FoldSettings  # noqa: E402
from mien.labels import EMOTIONS  # noqa: E402
from mien.recipes.material import make_material  # noqa: E402
from mien.recipes.paper import PAPER, make_paper, seeded  # noqa: E402
from mien.recipes.reproduce import PREDICTIONS, RESULTS, Plan, reproduce  # noqa: E402

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
    assert resumed["variants"] == whole["variants"]
    assert resumed["pairs"] == whole["pairs"]
    once = len(lines)
    reproduce(plan, material, tmp_path / "b", lines.append)
    assert len(lines) == once, "what is finished is not learnt again"


def test_no_person_is_in_both_halves_of_a_fold(material, tmp_path, monkeypatch):
    from mien.recipes import reproduce as module

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


def test_folds_that_would_test_on_training_pictures_are_refused(material, tmp_path):
    with pytest.raises(ConfigError, match="'person' or 'kfold'"):
        reproduce(
            Plan((tiny("paper-raw"),), FoldSettings("repeated", positives=8, others=1)), material, tmp_path
        )


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
