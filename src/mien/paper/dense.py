"""The paper's autoencoder: one hidden layer between picture and generated picture.

Legend: B batch, E emotions, H and W rows and columns, K hidden nodes.
Beltrán Prieto and Komínková Oplatková 2018, section 3: "an autoencoder network with one hidden layer
containing 300 and 500 nodes", leaky ReLU with a slope of 0.01, 48 x 48 pictures.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from mien.paper.stack import Stack, Unit

SIDE: Final = 48  # section 3: 48 x 48 pixels
SLOPE: Final = 0.01  # section 3: leaky ReLU
_WHITE: Final = 127.5 / 64.0  # of a prepared picture; black is as far below zero


class DenseUnit(Unit):
    """One hidden layer.

    Where what it restores has bounds (gray levels do), its output bends at them as a leaky ReLU does. Were
    it linear, it could at best be as good as PCA of its width: all that it generates would lie in a space
    of K dimensions, and PCA's is the best of those (Bourlard and Kamp 1988).
    """

    def __init__(self, inside: int, hidden: int, bound: float | None = None) -> None:
        super().__init__()
        self.encoder = nn.Linear(inside, hidden)
        self.decoder = nn.Linear(hidden, inside)
        self.bound = bound  # what it restores lies in -bound..bound

    def encode(self, x: Tensor) -> Tensor:
        """(B, inside) to (B, K)."""
        return leaky_relu(self.encoder(x), SLOPE)

    def decode(self, code: Tensor) -> Tensor:
        """(B, K) to (B, inside)."""
        restored: Tensor = self.decoder(code)
        if self.bound is None:
            return restored
        above = leaky_relu(restored + self.bound, SLOPE) - self.bound
        return self.bound - leaky_relu(self.bound - above, SLOPE)

    @torch.no_grad()
    def start_at(self, mean: Tensor, axes: Tensor, least: Tensor) -> None:
        """Take PCA's solution as the first weights.

        The biases keep every node of the code above zero, where a leaky ReLU is a straight line, with as
        much again to spare for pictures that did not train.

        Args:
            mean: (inside,) of what the unit is fed with.
            axes: (inside, P) orthonormal; nodes past P keep their random weights and are not decoded.
            least: (P,) the least that each axis gives on the training pictures.
        """
        p = axes.shape[1]
        least = 2 * least
        self.encoder.weight[:p] = axes.T
        self.encoder.bias[:p] = -least - mean @ axes
        self.decoder.weight.zero_()
        self.decoder.weight[:, :p] = axes
        self.decoder.bias[:] = mean + axes @ least


class DenseAutoencoder(Stack):
    """2304-300-2304 or 2304-500-2304 as in the paper, or the stack of both with `hidden=(300, 500)`."""

    def __init__(self, hidden: tuple[int, ...] = (300,), side: int = SIDE) -> None:
        sizes = list(pairwise((side * side, *hidden)))
        super().__init__(DenseUnit(a, b, None if i else _WHITE) for i, (a, b) in enumerate(sizes))
        self.side = side

    def prepare(self, images: Tensor) -> Tensor:
        """(B, 1, H, W) gray levels to (B, H * W), about -2..2."""
        return (images.flatten(1) - 127.5) / 64.0

    def restore(self, x: Tensor) -> Tensor:
        """(B, H * W) to (B, 1, H, W) gray levels."""
        return x.view(-1, 1, self.side, self.side) * 64.0 + 127.5


class EmotionAutoencoders(nn.Module):
    """One autoencoder an emotion, of which every one reconstructs each picture.

    Section 2.3: "capable of learning a specific emotion shape for different classes". All reconstruct a
    test picture, since to choose the one of its true emotion would tell the network the answer.
    """

    def __init__(self, members: Iterable[Stack]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, H, W) to (B, E, H, W): the picture as each emotion's autoencoder generates it."""
        return torch.cat([member(images) for member in self.members], 1)
