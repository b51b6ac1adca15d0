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

from mien.nets.stack import Stack, Unit

SIDE: Final = 48  # section 3: 48 x 48 pixels
SLOPE: Final = 0.01  # section 3: leaky ReLU


class DenseUnit(Unit):
    """One hidden layer."""

    def __init__(self, inside: int, hidden: int) -> None:
        super().__init__()
        self.encoder = nn.Linear(inside, hidden)
        self.decoder = nn.Linear(hidden, inside)

    def encode(self, x: Tensor) -> Tensor:
        """(B, inside) to (B, K)."""
        return nn.functional.leaky_relu(self.encoder(x), SLOPE)

    def decode(self, code: Tensor) -> Tensor:
        """(B, K) to (B, inside); linear, since gray levels have no reason to be bent (not in the paper)."""
        restored: Tensor = self.decoder(code)
        return restored


class DenseAutoencoder(Stack):
    """2304-300-2304 or 2304-500-2304 as in the paper, or the stack of both with `hidden=(300, 500)`."""

    def __init__(self, hidden: tuple[int, ...] = (300,), side: int = SIDE) -> None:
        super().__init__(DenseUnit(a, b) for a, b in pairwise((side * side, *hidden)))
        self.side = side

    def prepare(self, images: Tensor) -> Tensor:
        """(B, 1, H, W) gray levels to (B, H * W) in 0..1."""
        return images.flatten(1) / 255.0

    def restore(self, x: Tensor) -> Tensor:
        """(B, H * W) in 0..1 to (B, 1, H, W) gray levels."""
        return x.view(-1, 1, self.side, self.side) * 255.0


class EmotionAutoencoders(nn.Module):
    """One autoencoder an emotion, of which every one reconstructs each picture.

    Section 3: "categorizing each of them per emotion". All reconstruct a test picture, since to choose
    the one of its true emotion would tell the network the answer.
    """

    def __init__(self, members: Iterable[Stack]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, H, W) to (B, E, H, W): the picture as each emotion's autoencoder generates it."""
        return torch.cat([member(images) for member in self.members], 1)
