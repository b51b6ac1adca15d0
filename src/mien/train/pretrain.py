"""Learning without labels: the units of an autoencoder, greedily, one after the other.

Legend: N pictures, B batch, H and W rows and columns.
Beltrán Prieto and Komínková Oplatková 2018, section 2.3: "training a sequence of autoencoders, greedily
one layer at a time, using unsupervised data" (Bengio et al., 2007).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from mien.nets.stack import Stack, add_noise, mask_patches
from mien.train.loop import LoopOptions, Task, train

Report = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class PretrainOptions:
    """What the autoencoder is fed with, and how long each unit learns. None of it is in the paper."""

    corruption: str = "none"  # what it must undo: "none", "noise" (denoising) or "mask" (masked)
    share: float = 0.6  # of the patches that a mask hides
    deviation: float = 25.0  # of the noise, in gray levels
    epochs: int = 30  # for each unit
    batch: int = 128
    rate: float = 0.1  # peak learning rate
    seed: int = 0

    def loop(self) -> LoopOptions:
        """The settings of the one loop; no decay, since there is nothing to overfit to but the pictures."""
        return LoopOptions(self.epochs, self.batch, self.rate, weight_decay=0.0, seed=self.seed)


def pretrain(
    net: Stack, images: Tensor, options: PretrainOptions, run: Path, report: Report = lambda _: None
) -> Stack:
    """Learn the units of `net` on (N, 1, H, W) uint8 pictures; each has its own folder in `run`.

    Unit k learns to restore the clean code of unit k - 1 from that of the corrupted picture. A run that
    was stopped goes on where it stood.
    """
    targets = torch.zeros(len(images), 0, device=images.device)  # (N, 0): no labels
    for depth in range(1, len(net.units) + 1):
        unit = Greedy(net, depth)
        task = Task(
            images=images,
            targets=targets,
            loss=lambda unit, pictures, _, generator: unit(pictures, corrupt(pictures, generator, options)),
            judge=lambda _: {},
        )
        learned = train(unit, task, options.loop(), run / f"unit-{depth}", report)
        net.load_state_dict(learned.net.state_dict())  # type: ignore[union-attr]
    return net.requires_grad_()


def corrupt(images: Tensor, generator: torch.Generator, options: PretrainOptions) -> Tensor:
    """(B, 1, H, W) gray levels to what the autoencoder is fed with."""
    if options.corruption == "mask":
        return mask_patches(images, generator, options.share)
    if options.corruption == "noise":
        return add_noise(images, generator, options.deviation)
    return images


class Greedy(nn.Module):
    """A stack of which one unit learns: the others are held still, their batch norms too."""

    def __init__(self, net: Stack, depth: int) -> None:
        super().__init__()
        self.net = net.requires_grad_(False)
        self.depth = depth
        net.units[depth - 1].requires_grad_()

    def forward(self, clean: Tensor, fed: Tensor) -> Tensor:
        """(B, 1, H, W) clean and corrupted pictures to the mean squared error of the restored code."""
        unit = self.net.units[self.depth - 1]
        with torch.no_grad():
            target = self.net.encode(clean, self.depth - 1)
            code = self.net.encode(fed, self.depth - 1)
        return nn.functional.mse_loss(unit.decode(unit.encode(code)), target)  # type: ignore[operator]

    def train(self, mode: bool = True) -> Self:
        """Learning or not; the units that are held still never learn."""
        super().train(False)
        self.net.units[self.depth - 1].train(mode)
        return self
