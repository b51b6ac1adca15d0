"""Optimizer, learning-rate schedule, loss and weight averaging, as functions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def make_sgd(net: nn.Module, *, weight_decay: float, momentum: float) -> torch.optim.Optimizer:
    """Stochastic gradient descent with Nesterov momentum; no decay on biases and norms."""
    decay = [p for p in net.parameters() if p.ndim > 1]
    plain = [p for p in net.parameters() if p.ndim <= 1]
    groups = [{"params": decay, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=0.0, momentum=momentum, nesterov=True)


def cosine(step: int, steps: int, *, peak: float, warmup: int) -> float:
    """The learning rate at a step: linear warm-up, then half a cosine to zero (arXiv:1608.03983).

    >>> cosine(0, 100, peak=1.0, warmup=10), cosine(9, 100, peak=1.0, warmup=10)
    (0.1, 1.0)
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def soft_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy of (B, 8) logits against (B, 8) label distributions (arXiv:1608.01041, eq. 4).

    In float32 whatever the logits are in: autocast sees to that on a GPU, not on a CPU.
    """
    return -(target * torch.log_softmax(logits.float(), 1)).sum(1).mean()


@torch.no_grad()
def average(into: nn.Module, net: nn.Module, decay: float) -> None:
    """Move the averaged weights `into` towards those of `net`: exponential moving average."""
    for slow, fast in zip(into.state_dict().values(), net.state_dict().values(), strict=True):
        if slow.is_floating_point():
            slow.lerp_(fast, 1 - decay)
        else:
            slow.copy_(fast)
