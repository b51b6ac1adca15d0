"""How large a network is: weights and multiply-adds."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def parameters(net: nn.Module) -> int:
    """The number of trainable weights."""
    return sum(p.numel() for p in net.parameters())


def multiply_adds(net: nn.Module, size: int = 48, channels: int = 1) -> int:
    """Multiply-adds of the convolutions and linear layers for one picture."""
    return sum(_each(net, torch.zeros(1, channels, size, size)).values())


def training_multiply_adds(net: nn.Module, *inputs: Tensor) -> int:
    """Multiply-adds of a training step for one picture.

    A layer that learns is gone through three times (forward, gradient of its input, gradient of its
    weights), one that is held still once.

    Args:
        net: the network, its held layers without `requires_grad`.
        inputs: (1, ...) what it is called with.
    """
    each = _each(net, *inputs)
    return sum(n * (3 if module.weight.requires_grad else 1) for module, n in each.items())


def _each(net: nn.Module, *inputs: Tensor) -> dict[nn.Module, int]:
    """Multiply-adds of each layer of weights in one call."""
    found: dict[nn.Module, int] = {}

    def count(module: nn.Module, came: tuple[Tensor, ...], out: Tensor) -> None:
        weight: Tensor = module.weight  # type: ignore[assignment]
        if isinstance(module, nn.ConvTranspose2d):
            cost = weight[0].numel() * came[0][0].numel()
        elif isinstance(module, nn.Conv2d):
            cost = weight[0].numel() * out[0].numel()
        else:
            cost = weight.numel()
        found[module] = found.get(module, 0) + cost

    kinds = nn.Conv2d | nn.ConvTranspose2d | nn.Linear
    hooks = [m.register_forward_hook(count) for m in net.modules() if isinstance(m, kinds)]
    was_training = net.training
    with torch.no_grad():
        net.eval()(*inputs)
    net.train(was_training)
    for hook in hooks:
        hook.remove()
    return found
