"""How large a network is: weights and multiply-adds."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def parameters(net: nn.Module) -> int:
    """The number of trainable weights."""
    return sum(p.numel() for p in net.parameters())


def multiply_adds(net: nn.Module, size: int = 48, channels: int = 1) -> int:
    """Multiply-adds of the convolutions and linear layers for one picture."""
    total = 0

    def count(module: nn.Module, _: tuple[Tensor, ...], out: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += module.weight[0].numel() * out[0].numel()
        elif isinstance(module, nn.Linear):
            total += module.weight.numel()

    hooks = [m.register_forward_hook(count) for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    was_training = net.training
    with torch.no_grad():
        net.eval()(torch.zeros(1, channels, size, size))
    net.train(was_training)
    for hook in hooks:
        hook.remove()
    return total
