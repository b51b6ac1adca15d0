"""A few drawn faces, and plans of experiments that take seconds on them."""

import pytest

from makers import shrink_recipe
from mien.data.toy import ToySettings, write_toy


@pytest.fixture(scope="session")
def toy_faces(tmp_path_factory):
    """10 drawn models, 8 emotions, 2 gazes: 160 pictures."""
    pytest.importorskip("torch", reason="the learning half is not installed: pip install 'mien[train]'")
    from mien.paper.corpora import load_corpus

    folder = tmp_path_factory.mktemp("corpus")
    write_toy(folder / "toy", ToySettings(models=10, cameras=1, gazes=2))
    return load_corpus("toy", folder / "toy", folder / "cache")


@pytest.fixture(scope="session")
def tiny_plan():
    """(names of variants, more of `ExperimentPlan`) to a plan of two folds and networks of two filters."""
    from mien.paper.folds import FoldOptions
    from mien.paper.reproduce import ExperimentPlan
    from mien.paper.variants import make_variant

    def make_plan(*names, readings=(None, None), **more):
        recipes = tuple(shrink_recipe(make_variant(name)).with_readings(*readings) for name in names)
        folds = FoldOptions("person", folds=2, positives=8, others=1)
        return ExperimentPlan(**{"variants": recipes, "folds": folds, **more})

    return make_plan


@pytest.fixture(scope="session")
def reproduced(toy_faces, tiny_plan, tmp_path_factory):
    """The folder of a reproduction of variants of several kinds, raw pictures first; not to be changed."""
    from mien.paper.reproduce import reproduce

    folder = tmp_path_factory.mktemp("reproduced")
    variants = ("paper-raw", "paper-300", "paper-300-8way", "paper-300-one")
    reproduce(tiny_plan(*variants), toy_faces, folder)
    return folder
