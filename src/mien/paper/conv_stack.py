"""Autoencoders of a convolutional network's own layers, one a layer, which stack.

Legend: B batch, C channels, H and W rows and columns, F filters.
Beltrán Prieto and Komínková Oplatková 2018, section 3: convolutional autoencoders "encode their input
using convolution into a compact internal representation which is then decoded using de-convolution", and
"encoder/decoder pairs can be optionally stacked" (Masci et al., 2011).
"""

from __future__ import annotations

from torch import Tensor, nn

from mien.paper.cnn import PaperCNN
from mien.paper.stack import Stack, Unit


class ConvUnit(Unit):
    """A layer that convolves and halves the resolution, and the transposed convolution that undoes it."""

    def __init__(self, layer: nn.Sequential, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.layer = layer
        self.decoder = nn.ConvTranspose2d(convolution.out_channels, convolution.in_channels, 4, 2, 1)

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the code (B, F, H/2, W/2)."""
        code: Tensor = self.layer(x)
        return code

    def decode(self, code: Tensor) -> Tensor:
        """The code (B, F, H/2, W/2) to (B, C, H, W)."""
        restored: Tensor = self.decoder(code)
        return restored


class FlatUnit(Unit):
    """A fully connected layer on maps, and the one that undoes it."""

    def __init__(self, layer: nn.Sequential, linear: nn.Linear, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.layer = layer
        self.decoder = nn.Linear(linear.out_features, linear.in_features)
        self.shape = shape

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the code (B, K)."""
        code: Tensor = self.layer(x)
        return code

    def decode(self, code: Tensor) -> Tensor:
        """The code (B, K) to (B, C, H, W)."""
        restored: Tensor = self.decoder(code).view(-1, *self.shape)
        return restored


class ConvStack(Stack):
    """All layers of the paper's network but its last, each the encoder of an autoencoder.

    The layers are the network's own, not copies: what the stack learns the network has learnt.
    """

    def __init__(self, net: PaperCNN) -> None:
        super().__init__(_unit(layer) for layer in net.layers)

    def prepare(self, images: Tensor) -> Tensor:
        """Gray levels to about -2..2, as the network itself does."""
        return (images - 127.5) / 64.0

    def restore(self, x: Tensor) -> Tensor:
        """About -2..2 to gray levels."""
        return x * 64.0 + 127.5


def _unit(layer: nn.Module) -> Unit:
    """The unit whose encoder is a layer of the paper's network."""
    assert isinstance(layer, nn.Sequential)  # noqa: S101  of our own making
    first = next(m for m in layer if isinstance(m, nn.Conv2d | nn.Linear))
    if isinstance(first, nn.Conv2d):
        return ConvUnit(layer, first)
    return FlatUnit(layer, first, (first.in_features // 36, 6, 6))
