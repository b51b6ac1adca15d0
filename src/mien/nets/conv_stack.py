"""Convolutional autoencoders that stack, and a classifier that begins with their encoders.

Legend: B batch, C channels, H and W rows and columns.
Beltrán Prieto and Komínková Oplatková 2018, section 2.3: convolutional autoencoders "encode their input
using convolution into a compact internal representation which is then decoded using de-convolution"
(Masci et al., 2011).
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from mien.labels import EMOTIONS
from mien.nets.dense import SLOPE
from mien.nets.stack import Stack, Unit


class ConvUnit(Unit):
    """A convolution that halves the resolution, and the transposed one that restores it."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(inside, outside, 5, 2, 2, bias=False)
        self.norm = nn.BatchNorm2d(outside)
        self.decoder = nn.ConvTranspose2d(outside, inside, 4, 2, 1)

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the code (B, C', H/2, W/2)."""
        return nn.functional.leaky_relu(self.norm(self.encoder(x)), SLOPE)

    def decode(self, code: Tensor) -> Tensor:
        """The code (B, C', H/2, W/2) to (B, C, H, W)."""
        restored: Tensor = self.decoder(code)
        return restored


class ConvStack(Stack):
    """Convolutional units one on the other."""

    def __init__(self, widths: tuple[int, ...] = (32, 64, 128)) -> None:
        super().__init__(ConvUnit(a, b) for a, b in pairwise((1, *widths)))
        self.width = widths[-1]  # channels of the deepest code

    def prepare(self, images: Tensor) -> Tensor:
        """Gray levels to about -2..2."""
        return (images - 127.5) / 64.0

    def restore(self, x: Tensor) -> Tensor:
        """About -2..2 to gray levels."""
        return x * 64.0 + 127.5


class EncoderClassifier(nn.Module):
    """The stack's encoders as the first layers of a classifier (section 2.3: pretraining, fine-tuning)."""

    def __init__(self, stack: ConvStack, classes: int = len(EMOTIONS), dropout: float = 0.2) -> None:
        super().__init__()
        self.stack = stack
        self.body = nn.Sequential(
            nn.Conv2d(stack.width, stack.width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(stack.width),
            nn.LeakyReLU(SLOPE),
        )
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(stack.width, classes)
        )

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, 48, 48) gray levels to (B, 8) logits."""
        logits: Tensor = self.head(self.body(self.stack.encode(images)))
        return logits
