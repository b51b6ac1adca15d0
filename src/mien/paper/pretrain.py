"""Learning without labels: the units of an autoencoder, greedily, one after the other.

Legend: N pictures, B batch, H and W rows and columns.
Beltrán Prieto and Komínková Oplatková 2018, section 3: "training a sequence of autoencoders, greedily
one layer at a time, using unsupervised data" (Bengio et al., 2007).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import torch
from torch import Tensor, nn

from mien.errors import ConfigError
from mien.paper.dense import DenseUnit
from mien.paper.pca import principal
from mien.paper.stack import Stack, Unit, add_noise, patches_seen
from mien.train import distributed
from mien.train.loop import CHECKPOINT, LoopOptions, Report, TrainingTask, staged, train

CORRUPTIONS: Final = ("none", "noise", "mask")
STARTS: Final = ("pca", "random")


@dataclass(frozen=True, slots=True)
class PretrainOptions:
    """What the autoencoder is fed with, and how long each unit learns. None of it is in the paper.

    "noise" is the denoising autoencoder (Vincent et al., 2008). "mask" is the masked one (FCMAE,
    arXiv:2301.00808; SparK, arXiv:2301.03580): patches are hidden from every unit, and the error is of what
    was hidden. All units then learn at once: a first layer of 5 x 5 alone cannot see past a patch.
    """

    corruption: str = "none"  # one of CORRUPTIONS
    share: float = 0.6  # of the patches that a mask hides
    deviation: float = 25.0  # of the noise, in gray levels
    epochs: int = 30  # for each unit
    batch: int = 128
    rate: float = 0.1  # peak learning rate
    seed: int = 0
    start: str = "pca"  # first weights of dense units, one of STARTS; section 2.3 has random ones

    def __post_init__(self) -> None:
        if self.corruption not in CORRUPTIONS or self.start not in STARTS:
            raise ConfigError(
                f"pretraining: expected corruption one of {', '.join(CORRUPTIONS)} and start one of "
                f"{', '.join(STARTS)}, got {self.corruption!r} and {self.start!r}"
            )

    def loop(self, pictures: int) -> LoopOptions:
        """The settings of the one loop; no decay, since there is nothing to overfit to but the pictures.

        Codes have no norm that would hold their size, so that a long gradient is cut.
        """
        batch = min(self.batch, pictures)
        return LoopOptions(self.epochs, batch, self.rate, weight_decay=0.0, seed=self.seed, clip=1.0)


def pretrain(
    net: Stack, images: Tensor, options: PretrainOptions, run: Path, report: Report = lambda _: None
) -> Stack:
    """Learn the units of `net` on (N, 1, H, W) uint8 pictures; each stage has its own folder in `run`.

    Unit k learns to restore the clean code of unit k - 1 from that of the corrupted picture. It learns where
    the network is; the pictures may be elsewhere. A run that was stopped goes on where it stood.
    """
    device = next(net.parameters()).device
    targets = torch.zeros(len(images), 0, device=device)  # (N, 0): no labels
    task = TrainingTask(
        images=images,
        targets=targets,
        loss=lambda learner, pictures, _, generator: learner(
            pictures, *corrupt(pictures, generator, options)
        ),
        judge=lambda _: {},
    )
    for stage, learner in _stages(net, options):
        if options.start == "pca" and distributed.rank() == 0 and not (run / stage / CHECKPOINT).is_file():
            learner.start_at_pca(images)  # the other processes take over its weights
        learned = train(learner, task, options.loop(len(images)), run / stage, staged(stage, report))
        net.load_state_dict(learned.net.state_dict())  # type: ignore[union-attr]
    return net.requires_grad_()


def corrupt(
    images: Tensor, generator: torch.Generator, options: PretrainOptions
) -> tuple[Tensor, Tensor | None]:
    """(B, 1, H, W) gray levels to what the autoencoder is fed with, and what it may see of it (None: all)."""
    if options.corruption == "mask":
        return images, patches_seen(images, generator, options.share)
    if options.corruption == "noise":
        return add_noise(images, generator, options.deviation), None
    return images, None


class Greedy(nn.Module):
    """A stack of which one unit learns: the others are held still, their batch norms too."""

    def __init__(self, net: Stack, depth: int) -> None:
        super().__init__()
        self.net = net.requires_grad_(False)
        self.depth = depth
        net.units[depth - 1].requires_grad_()

    @property
    def unit(self) -> Unit:
        """The unit that learns."""
        unit = self.net.units[self.depth - 1]
        assert isinstance(unit, Unit)  # noqa: S101  a stack holds nothing else
        return unit

    def forward(self, clean: Tensor, fed: Tensor, seen: None = None) -> Tensor:  # noqa: ARG002
        """(B, 1, H, W) clean and corrupted pictures to the mean squared error of the restored code."""
        with torch.no_grad():
            target = self.net.encode(clean, self.depth - 1)
            code = target if fed is clean else self.net.encode(fed, self.depth - 1)
        return nn.functional.mse_loss(self.unit.decode(self.unit.encode(code)), target)

    def start_at_pca(self, images: Tensor) -> None:
        """Give a dense unit the best linear solution for (N, 1, H, W) uint8 pictures to start from."""
        if not isinstance(self.unit, DenseUnit):
            return
        encoder = self.unit.encoder
        found = principal(
            images,
            lambda pictures: self.net.encode(pictures.to(encoder.weight.device), self.depth - 1),
            encoder.out_features,
        )
        self.unit.start_at(found.mean, found.axes, found.least)

    def train(self, mode: bool = True) -> Self:
        """Learning or not; the units that are held still never learn."""
        super().train(False)
        self.unit.train(mode)
        return self


class Masked(nn.Module):
    """A stack that learns whole, to restore what is hidden from it."""

    def __init__(self, net: Stack) -> None:
        super().__init__()
        self.net = net.requires_grad_()

    def forward(self, clean: Tensor, fed: Tensor, seen: Tensor) -> Tensor:
        """(B, 1, H, W) pictures to the mean squared error of what is hidden, in units of 64 gray levels."""
        generated = self.net.decode(self.net.encode(fed, seen=seen))
        hidden = 1 - seen
        return (((generated - clean) / 64.0).square() * hidden).sum() / hidden.sum().clamp(min=1)

    def start_at_pca(self, images: Tensor) -> None:
        """Start at random: PCA has nothing to say of what is hidden."""


def _stages(net: Stack, options: PretrainOptions) -> Iterator[tuple[str, Greedy | Masked]]:
    """Name and learner of each stage, made when its turn comes."""
    if options.corruption == "mask":
        yield "masked", Masked(net)
        return
    for depth in range(1, len(net.units) + 1):
        yield f"unit-{depth}", Greedy(net, depth)
