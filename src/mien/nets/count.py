"""How large a network is: weights and multiply-adds."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def parameters(net: nn.Module) -> int:
    """The number of trainable weights."""
    return sum(p.numel() for p in net.parameters())


def multiply_adds(net: nn.Module, size: int = 48, channels: int = 1) -> int:
    """Multiply-adds of the convolutions and linear layers for one picture."""
    return sum(cost for cost, _ in _calls(net, torch.zeros(1, channels, size, size)))


def training_multiply_adds(net: nn.Module, *inputs: Tensor) -> int:
    """Multiply-adds of a training step for one picture.

    Each call of a layer costs its forward pass, as much again if its weights learn, and as much again if
    what it is fed with needs a gradient, i.e. something before it learns.

    Args:
        net: the network, its held layers without `requires_grad`.
        inputs: (1, ...) what it is called with.
    """
    return sum(cost * passes for cost, passes in _calls(net, *inputs))


def _calls(net: nn.Module, *inputs: Tensor) -> list[tuple[int, int]]:
    """Multiply-adds of each call of a layer with weights, and how often a training step goes through it."""
    found: list[tuple[int, int]] = []

    def count(module: nn.Module, came: tuple[Tensor, ...], out: Tensor) -> None:
        weight: Tensor = module.weight  # type: ignore[assignment]
        if isinstance(module, nn.ConvTranspose2d):
            cost = weight[0].numel() * came[0][0].numel()
        elif isinstance(module, nn.Conv2d):
            cost = weight[0].numel() * out[0].numel()
        else:
            cost = weight.numel()
        found.append((cost, 1 + weight.requires_grad + came[0].requires_grad))

    kinds = nn.Conv2d | nn.ConvTranspose2d | nn.Linear
    hooks = [m.register_forward_hook(count) for m in net.modules() if isinstance(m, kinds)]
    was_training = net.training
    net.eval()(*inputs)
    net.train(was_training)
    for hook in hooks:
        hook.remove()
    return found
