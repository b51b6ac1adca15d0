"""The networks, one a file, the literal dict that names them, and how large one is. Needs torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import torch
from torch import Tensor, nn

from mien.errors import require_choice
from mien.nets.compact import LARGE, Compact
from mien.nets.mobileface import MobileFace, MobileFaceOptions

NETS: Final[dict[str, Callable[[], nn.Module]]] = {
    "compact": Compact,
    "compact-large": partial(Compact, LARGE),
    "mobileface-112": partial(MobileFace, MobileFaceOptions(side=112)),
    "mobileface-96": partial(MobileFace, MobileFaceOptions(side=96)),
}


def make_net(name: str) -> nn.Module:
    """A fresh network by name; ConfigError lists those there are."""
    require_choice("network", name, NETS)
    return NETS[name]()


def count_parameters(net: nn.Module) -> int:
    """The number of trainable weights."""
    return sum(p.numel() for p in net.parameters())


def count_multiply_adds(net: nn.Module, size: int = 48, channels: int = 1) -> int:
    """Multiply-adds of the convolutions and linear layers for one picture."""
    costs: list[int] = []

    def count(module: nn.Module, came: tuple[Tensor, ...], out: Tensor) -> None:
        weight = module.get_parameter("weight")
        if isinstance(module, nn.ConvTranspose2d):
            costs.append(weight[0].numel() * came[0][0].numel())
        elif isinstance(module, nn.Conv2d):
            costs.append(weight[0].numel() * out[0].numel())
        else:
            costs.append(weight.numel())

    kinds = nn.Conv2d | nn.ConvTranspose2d | nn.Linear
    hooks = [m.register_forward_hook(count) for m in net.modules() if isinstance(m, kinds)]
    was_training = net.training
    net.eval()(torch.zeros(1, channels, size, size))
    net.train(was_training)
    for hook in hooks:
        hook.remove()
    return sum(costs)
