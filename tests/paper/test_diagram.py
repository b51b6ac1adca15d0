"""The drawing of a network against the network."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the learning half is not installed: pip install 'mien[train]'")

import torch

from mien.config import from_toml
from mien.nets import count_parameters
from mien.paper.diagram import draw_network, trace_layers
from mien.paper.networks import DenseAutoencoder, PaperCNN
from mien.paper.variants import VARIANTS, PaperRecipe, make_network, make_variant

ROOT = Path(__file__).parents[2]
NARROW = {name: replace(recipe, width=4) for name, recipe in VARIANTS.items()}


@pytest.mark.parametrize("name", VARIANTS)
def test_all_weights_of_a_network_are_in_its_drawing(name):
    recipe = NARROW[name]
    with torch.device("meta"):
        net = make_network(recipe)
    assert sum(layer.weights * layer.times for layer in trace_layers(recipe)) == count_parameters(net)


@pytest.mark.parametrize("readings", [("one", "one"), ("each", "one"), ("one", "eight"), ("each", "eight")])
def test_readings_show_how_many_networks_there_are(readings):
    recipe = NARROW["paper-300"].with_readings(*readings)
    layers = trace_layers(recipe)
    with torch.device("meta"):
        net = make_network(recipe)
    assert sum(layer.weights * layer.times for layer in layers) == count_parameters(net)
    for group, kind in (("autoencoder", DenseAutoencoder), ("CNN", PaperCNN)):
        count = len({module for module in net.modules() if isinstance(module, kind)})
        assert {layer.times for layer in layers if layer.group == group} == {count}


def test_the_papers_layers_are_drawn_in_its_order_with_their_sizes():
    layers = trace_layers(VARIANTS["paper-300"])
    cnn = [layer for layer in layers if layer.group == "CNN"]
    before = layers[-len(cnn) - 1]
    assert (before.words, before.shape) == ("generated picture", (1, 48, 48))
    assert [layer.words for layer in cnn] == [
        "convolution 5×5", "average pool 2×2", "convolution 5×5", "max pool 3×3", "convolution 3×3",
        "max pool 2×2", "fully connected", "fully connected",
    ]  # fmt: skip
    assert [layer.shape for layer in cnn[:7]] == [
        (512, 48, 48), (512, 24, 24), (512, 24, 24), (512, 12, 12), (512, 12, 12), (512, 6, 6), (256,),
    ]  # fmt: skip


def test_the_drawing_says_what_it_shows_and_stands_alone_on_white():
    recipe = NARROW["paper-raw"]
    inside, alone = draw_network(recipe), draw_network(recipe, alone=True)
    for layer in trace_layers(recipe):
        assert f">{layer.words}</text>" in inside
    assert "#fff" in alone
    assert "#fff" not in inside
    assert re.match(r'<svg xmlns="[^"]*" viewBox="0 0 \d+ \d+"', alone)


def test_the_drawing_in_the_guide_is_that_of_its_modules():
    drawn = draw_network(VARIANTS["paper-300"], alone=True)
    assert (ROOT / "docs" / "network.svg").read_text() == drawn, "run `make refresh`"


def test_the_runs_whose_figures_are_told_have_the_recipes_that_a_user_gets():
    results = ROOT / "benchmarks" / "results"
    default = make_variant("paper-300").with_width(16)
    assert from_toml(PaperRecipe, (results / "paper-300-16.toml").read_text()) == default
    alone = make_variant("paper-300-alone").with_width(64).with_precision("bfloat16")
    assert from_toml(PaperRecipe, (results / "paper-300-alone-64.toml").read_text()) == alone
