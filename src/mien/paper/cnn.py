"""The paper's convolutional network, and what it is joined to an autoencoder by.

Legend: B batch, C input channels, F filters (512 in the paper), E emotions.
Beltrán Prieto and Komínková Oplatková 2018, section 3: three convolutions of 512 filters (5 x 5, 5 x 5,
3 x 3) with stride 1, an average pooling between the first two, a max pooling over 3 x 3 between the last
two, a third pooling, two fully connected layers: eight layers in all.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from mien.labels import EMOTIONS
from mien.paper.dense import SLOPE

FILTERS = 512  # section 3
HIDDEN = 256  # of the first fully connected layer; not in the paper


class PaperCNN(nn.Module):
    """(B, C, 48, 48) gray levels 0..255 to (B, E) logits.

    Not in the paper: same padding, pools of stride 2, a 2 x 2 third pool, leaky ReLU after every layer but
    the last.
    """

    def __init__(self, width: int = FILTERS, channels: int = 1, classes: int = len(EMOTIONS)) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [
                _convolution(channels, width, 5, nn.AvgPool2d(2)),  # (B, F, 24, 24)
                _convolution(width, width, 5, nn.MaxPool2d(3, 2, 1)),  # (B, F, 12, 12)
                _convolution(width, width, 3, nn.MaxPool2d(2)),  # (B, F, 6, 6)
                nn.Sequential(nn.Flatten(), nn.Linear(width * 36, HIDDEN), nn.LeakyReLU(SLOPE)),
            ]
        )
        self.last = nn.Linear(HIDDEN, classes)
        for layer in self.modules():  # not in the paper; He et al., arXiv:1502.01852, for leaky ReLU
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, SLOPE)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def prepare(self, images: Tensor) -> Tensor:
        """Gray levels to about -2..2."""
        return (images - 127.5) / 64.0

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, 48, 48) gray levels to (B, E) logits."""
        x = self.prepare(images)
        for layer in self.layers:
            x = layer(x)
        logits: Tensor = self.last(x)
        return logits


class OneAgainstRest(nn.Module):
    """A network an emotion, each of which tells it from the other seven.

    Section 4: "each test is binary". The paper does not say whether its networks are; this is the other
    reading beside one network of eight outputs.
    """

    def __init__(self, members: Iterable[PaperCNN]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, 48, 48) gray levels to (B, E) log-odds of each emotion against the rest."""
        return torch.cat([member(images) for member in self.members], 1)


class OnGenerated(nn.Module):
    """A network that is fed with what an autoencoder generates, never with the picture itself.

    Section 3: "an AutoEncoder used as an input for the Convolutional Neural Network". The autoencoder is
    learnt first and then held fixed.
    """

    def __init__(self, autoencoder: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.autoencoder = autoencoder.requires_grad_(False)
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, 48, 48) gray levels to (B, E) logits."""
        logits: Tensor = self.classifier(self.autoencoder(images).clamp(0.0, 255.0))
        return logits


def _convolution(inside: int, outside: int, side: int, pool: nn.Module) -> nn.Sequential:
    """A convolution of stride 1 (section 3), its leaky ReLU and the pool that halves the resolution."""
    return nn.Sequential(nn.Conv2d(inside, outside, side, padding=side // 2), nn.LeakyReLU(SLOPE), pool)
