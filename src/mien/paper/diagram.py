"""The network of a variant as a picture: drawn from its own modules, so that it shows what is trained.

    PaperRecipe -> network without weights -> one picture through it, each layer noted -> SVG

Legend: C channels, H and W rows and columns, D numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import log2
from typing import Any, Final

import torch
from torch import Tensor, nn

from mien.nets import count_parameters
from mien.paper.networks import SIDE, find_autoencoders, find_cnns
from mien.paper.variants import PaperRecipe, make_network
from mien.results.page import template_environment

_COLUMN: Final = 104  # pixels from one layer to the next
_SCALE: Final = 1.9  # pixels of a side per row of a map
_HALF: Final = 66  # pixels from the axis to the top of a picture with its depth


@dataclass(frozen=True, slots=True)
class LayerTrace:
    """One layer, and what it made of one picture."""

    group: str  # what it belongs to: "" (the picture), "autoencoder" or "CNN"
    times: int  # how many of the group there are, each with weights of its own
    words: str  # what it does
    shape: tuple[int, ...]  # of what it makes: (C, H, W) or (D,)
    weights: int


def trace_layers(recipe: PaperRecipe) -> list[LayerTrace]:
    """The layers that a picture goes through, in order; of several networks of a kind those of the first."""
    with torch.device("meta"):  # shapes alone: nothing is allocated or computed
        net = make_network(recipe)
    autoencoders, cnns = find_autoencoders(net), find_cnns(net)
    found = [LayerTrace("", 1, "picture", (1, SIDE, SIDE), 0)]

    def note(group: str, times: int, layer: nn.Module, made: Tensor) -> None:
        found.append(
            LayerTrace(group, times, _describe(layer), tuple(made.shape[1:]), count_parameters(layer))
        )

    if autoencoders:
        units: list[Any] = list(autoencoders[0].units)
        times, made = len(autoencoders), torch.zeros(1, SIDE * SIDE, device="meta")
        for layer in (*(unit.encoder for unit in units), *(unit.decoder for unit in reversed(units))):
            made = layer(made)
            note("autoencoder", times, layer, made)
        found.append(LayerTrace("autoencoder", times, "generated picture", (1, SIDE, SIDE), 0))
    made = torch.zeros(1, cnns[0].channels, SIDE, SIDE, device="meta")
    for layer in (*(layer for block in cnns[0].layers for layer in block.children()), cnns[0].last):
        made = layer(made)
        if not isinstance(layer, nn.LeakyReLU | nn.Flatten):  # these are part of the layer before
            note("CNN", len(cnns), layer, made)
    return found


def _describe(layer: nn.Module) -> str:
    if isinstance(layer, nn.Conv2d):
        return f"convolution {layer.kernel_size[0]}×{layer.kernel_size[1]}"
    if isinstance(layer, nn.AvgPool2d | nn.MaxPool2d):
        kind = "average" if isinstance(layer, nn.AvgPool2d) else "max"
        return f"{kind} pool {layer.kernel_size}×{layer.kernel_size}"
    return "fully connected"


def draw_network(recipe: PaperRecipe, *, alone: bool = False) -> str:
    """An SVG picture of a variant's network.

    Args:
        recipe: the variant.
        alone: as a file of its own, on white; else in the ink of the page that it stands in.
    """
    layers = trace_layers(recipe)
    # the CNN stands below the autoencoder, so that its words stay readable on a page
    cnn = next(i for i, layer in enumerate(layers) if layer.group == "CNN")
    rows = [layers[:cnn], layers[cnn:]] if layers[cnn - 1].group else [layers]
    template = template_environment("mien.paper").get_template("network.svg")
    return template.render(
        rows=[{"boxes": [_box(i, one) for i, one in enumerate(row)], "groups": _groups(row)} for row in rows],
        width=max(map(len, rows)) * _COLUMN,
        words="; ".join(f"{layer.words}: {_size(layer)}" for layer in layers),
        alone=alone,
    )


def _groups(row: Sequence[LayerTrace]) -> Iterator[dict[str, Any]]:
    """The bracket over each group, with its title."""
    for (name, times), members in groupby(enumerate(row), lambda item: (item[1].group, item[1].times)):
        numbers = [i for i, _ in members]
        if name:
            title = f"{name} of each emotion ({times})" if times > 1 else f"one {name} for all emotions"
            yield {"title": title, "left": numbers[0] * _COLUMN + 6, "right": (numbers[-1] + 1) * _COLUMN - 6}


def _box(number: int, layer: LayerTrace) -> dict[str, Any]:
    """Where a layer's answer is drawn: a block as wide as its maps and as deep as there are many."""
    flat = len(layer.shape) == 1
    channels, side = (1, layer.shape[0]) if flat else (layer.shape[0], layer.shape[1])
    depth = 0.0 if flat else 2.5 * log2(channels)
    height = 12 * log2(side + 1) / 2 if flat else _SCALE * side
    width = 7.0 if flat else height if channels == 1 else height / 2
    middle = (number + 0.5) * _COLUMN
    return {
        "kind": layer.words.split(" ")[-1 if channels == 1 and not flat else 0],
        "words": layer.words,
        "shape": _size(layer),
        "weights": _weights_in_words(layer.weights),
        "middle": middle,
        "left": middle - (width + depth) / 2,
        "top": _HALF + 24 - height / 2 + depth / 2,
        "width": width,
        "height": height,
        "depth": depth,
    }


def _size(layer: LayerTrace) -> str:
    """Rows, columns and maps, or nodes."""
    return "×".join(map(str, (*layer.shape[1:], layer.shape[0])))


def _weights_in_words(count: int) -> str:
    if count < 1000:
        return f"{count or 'no'} weights"
    return f"{count / 1e6:.1f} M weights" if count >= 1e6 else f"{count / 1e3:.0f} k weights"
