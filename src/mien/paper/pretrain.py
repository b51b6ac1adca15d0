"""Section 3, Pretraining: autoencoders learn without labels, one unit after the other.

"Pretraining consists of training a sequence of autoencoders, greedily one layer at a time, using
unsupervised data" (Bengio et al. 2007).

Legend: N pictures, B batch, H and W rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from mien.errors import ConfigError
from mien.paper.networks import AutoencoderUnit, DenseUnit, StackedAutoencoder, fit_pca
from mien.train import distributed
from mien.train.loop import CHECKPOINT, LoopOptions, Report, TrainingTask, staged, train

CORRUPTIONS: Final = ("none", "noise", "mask")
STARTS: Final = ("pca", "random")
_PATCH: Final = 8  # pixels of a side of what a mask hides


@dataclass(frozen=True, slots=True)
class PretrainOptions:
    """The autoencoder's input, and how long each unit learns. None of it is in the paper.

    "noise" is the denoising autoencoder (Vincent et al. 2008). "mask" is the masked one (FCMAE,
    arXiv:2301.00808; SparK, arXiv:2301.03580): patches are hidden from every unit, and the error is that
    of what was hidden. All units then learn at once: a first layer of 5 x 5 alone cannot see past a patch.
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


def pretrain(
    net: StackedAutoencoder,
    images: Tensor,
    options: PretrainOptions,
    run: Path,
    report: Report = lambda _: None,
) -> StackedAutoencoder:
    """Train the units of `net`; each stage has its own folder in `run` and resumes where it was stopped.

    Unit k learns to restore the clean code of unit k - 1 from that of the corrupted picture. The network
    learns on its own device; the pictures may be elsewhere.

    Args:
        net: the autoencoder, changed in place.
        images: (N, 1, H, W) uint8.
        options: corruption, epochs, rate.
        run: folder of the stages.
        report: takes one line for each epoch.
    """
    device = next(net.parameters()).device
    task = TrainingTask(
        images=images,
        targets=torch.zeros(len(images), 0, device=device),  # (N, 0): no labels
        loss=lambda stage, pictures, _, generator: stage(pictures, *corrupt(pictures, generator, options)),
        judge=lambda _: {},
    )
    # No weight decay, since there is nothing to overfit to but the pictures. Codes have no norm that would
    # hold their size, so that a long gradient is cut.
    batch = min(options.batch, len(images))
    loop = LoopOptions(options.epochs, batch, options.rate, weight_decay=0.0, seed=options.seed, clip=1.0)

    def learn(name: str, stage: nn.Module) -> None:
        trained = train(stage, task, loop, run / name, staged(name, report))
        net.load_state_dict(trained.net.state_dict())  # type: ignore[union-attr]

    if options.corruption == "mask":
        learn("masked", MaskedLoss(net))
    else:
        for depth in range(1, len(net.units) + 1):
            name, stage = f"unit-{depth}", UnitLoss(net, depth)
            fresh = not (run / name / CHECKPOINT).is_file()
            if options.start == "pca" and fresh and distributed.rank() == 0:
                stage.start_at_pca(images)  # the other processes take over its weights
            learn(name, stage)
    return net.requires_grad_()


def corrupt(
    images: Tensor, generator: torch.Generator, options: PretrainOptions
) -> tuple[Tensor, Tensor | None]:
    """(B, 1, H, W) gray levels to the autoencoder's input, and what it may see of it (None: all)."""
    if options.corruption == "mask":
        return images, draw_visible(images, generator, options.share)
    if options.corruption == "noise":
        noise = torch.randn(images.shape, generator=generator).to(images.device)
        return images + noise * options.deviation, None
    return images, None


def draw_visible(images: Tensor, generator: torch.Generator, hidden: float) -> Tensor:
    """(B, 1, H, W) of ones, and of zeros on a share of its square patches, drawn for each picture."""
    n, _, height, width = images.shape
    draw = torch.rand(n, 1, height // _PATCH, width // _PATCH, generator=generator)
    visible = (draw >= hidden).to(images)
    return visible.repeat_interleave(_PATCH, 2).repeat_interleave(_PATCH, 3)


class UnitLoss(nn.Module):
    """The error with which one unit of a stack restores its input; only that unit learns."""

    def __init__(self, net: StackedAutoencoder, depth: int) -> None:
        super().__init__()
        self.net = net.requires_grad_(False)
        self.depth = depth  # of the unit, from 1
        self.unit.requires_grad_()

    @property
    def unit(self) -> AutoencoderUnit:
        """The unit that learns."""
        return self.net.units[self.depth - 1]  # type: ignore[return-value]

    def forward(self, clean: Tensor, corrupted: Tensor, visible: None = None) -> Tensor:  # noqa: ARG002
        """(B, 1, H, W) clean and corrupted pictures to the mean squared error of the restored code."""
        with torch.no_grad():
            target = self.net.encode(clean, self.depth - 1)
            code = target if corrupted is clean else self.net.encode(corrupted, self.depth - 1)
        return nn.functional.mse_loss(self.unit.decode(self.unit.encode(code)), target)

    def start_at_pca(self, images: Tensor) -> None:
        """Give a dense unit the best linear solution for (N, 1, H, W) uint8 pictures as its first weights."""
        unit = self.unit
        if isinstance(unit, DenseUnit):
            device = unit.encoder.weight.device

            def encode(pictures: Tensor) -> Tensor:
                return self.net.encode(pictures.to(device), self.depth - 1)

            unit.start_at(fit_pca(images, encode, unit.encoder.out_features))


class MaskedLoss(nn.Module):
    """The error with which a whole stack restores what is hidden from it; all units learn."""

    def __init__(self, net: StackedAutoencoder) -> None:
        super().__init__()
        self.net = net.requires_grad_()

    def forward(self, clean: Tensor, corrupted: Tensor, visible: Tensor) -> Tensor:
        """(B, 1, H, W) pictures to the mean squared error of what is hidden, in units of 64 gray levels."""
        generated = self.net.decode(self.net.encode(corrupted, visible=visible))
        hidden = 1 - visible
        return (((generated - clean) / 64.0).square() * hidden).sum() / hidden.sum().clamp(min=1)
