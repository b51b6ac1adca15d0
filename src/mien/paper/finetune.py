"""Learning with labels on top of what was pretrained: the last layer alone, then the whole network.

Legend: N pictures, B batch, H and W rows and columns.
Beltrán Prieto and Komínková Oplatková 2018, section 3: "first the last layer is trained by using
supervised data. After that, backpropagation is used to fine-tune the entire network".
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Self

import torch
from torch import Tensor, nn

from mien.paper.cnn import PaperCNN
from mien.train.augment import AugmentOptions, augment
from mien.train.loop import LoopOptions, Loss, Report, TrainingTask, staged, train

#: Folders of a run's stages with labels.
LAST_LAYER: Final = "last-layer"
WHOLE: Final = "whole"


def binary_loss(options: AugmentOptions, prevalence: Tensor) -> Loss:
    """Of eight networks, each against the rest: cross-entropy in which both halves weigh the same.

    A test of the paper is balanced (140 of the emotion, 140 of others), training pictures are not: the
    emotion's own weigh more, so that a probability of a half is where the test has its middle.

    Args:
        options: of the augmentation.
        prevalence: (8,) share of each emotion among the training labels; one that is absent counts for
            nothing.
    """
    weight = (1 - prevalence) / prevalence.clamp(min=1e-6)  # (8,)
    there = (prevalence > 0).to(prevalence)

    def loss(net: nn.Module, pictures: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        odds = net(augment(pictures, generator, options))  # (B, 8)
        each = nn.functional.binary_cross_entropy_with_logits(
            odds, target, pos_weight=weight.to(odds), weight=there.to(odds)
        )
        return each * 0.5

    return loss


class LastLayer(nn.Module):
    """A network of which the last layer alone learns; the rest is held still, batch norms too."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net.requires_grad_(False)
        for part in net.modules():
            if isinstance(part, PaperCNN):
                part.last.requires_grad_()

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, H, W) to (B, 8) logits."""
        logits: Tensor = self.net(images)
        return logits

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002  nothing but the last layer changes with it
        """Learning or not; what is held still never learns."""
        super().train(False)
        return self


def finetune(
    net: nn.Module, task: TrainingTask, *, head: LoopOptions, whole: LoopOptions, run: Path, report: Report
) -> nn.Module:
    """Learn the last layer (of each network), then all of it; each stage goes on where it stopped."""
    learned = train(LastLayer(net), task, head, run / LAST_LAYER, staged(LAST_LAYER, report))
    net.load_state_dict(learned.net.state_dict())  # type: ignore[union-attr]
    return train(net.requires_grad_(), task, whole, run / WHOLE, staged(WHOLE, report))
