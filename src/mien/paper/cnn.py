"""Section 2.2 and the second part of section 3: the convolutional neural network (CNN).

Legend: B batch, C input channels, F filters (512 in the paper), E emotions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import torch
from torch import Tensor, nn

from mien.labels import EMOTIONS

SIDE: Final = 48  # section 3: pictures of 48 x 48 pixels
SLOPE: Final = 0.01  # section 3: leaky ReLU with a slope of 0.01 against "dead neurons"
FILTERS: Final = 512  # section 3: "the filter count was stablished at 512"
HIDDEN: Final = 256  # nodes of the first fully connected layer; not in the paper


class PaperCNN(nn.Module):
    """(B, C, 48, 48) gray levels 0..255 to (B, E) logits.

    Section 3: "an 8-layer designed CNN which included three convolutional layers, three pooling layers, and
    two fully connected layers": convolutions of 5 x 5, 5 x 5 and 3 x 3 with stride 1, an average pooling
    after the first, a max pooling over 3 x 3 after the second. Not in the paper: padding that keeps the
    size, pools of stride 2, a third pool of 2 x 2, a leaky ReLU after every layer but the last.
    """

    def __init__(self, width: int = FILTERS, channels: int = 1, classes: int = len(EMOTIONS)) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [
                _convolution(channels, width, 5, nn.AvgPool2d(2)),  # (B, F, 24, 24)
                _convolution(width, width, 5, nn.MaxPool2d(3, 2, 1)),  # (B, F, 12, 12)
                _convolution(width, width, 3, nn.MaxPool2d(2)),  # (B, F, 6, 6)
                nn.Sequential(nn.Flatten(), nn.Linear(width * 36, HIDDEN), nn.LeakyReLU(SLOPE)),  # (B, 256)
            ]
        )
        self.last = nn.Linear(HIDDEN, classes)
        for layer in self.modules():  # not in the paper; He et al., arXiv:1502.01852, for leaky ReLU
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, SLOPE)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, 48, 48) gray levels to (B, E) logits."""
        x = normalize(images)
        for layer in self.layers:
            x = layer(x)
        logits: Tensor = self.last(x)
        return logits


class OneAgainstRest(nn.Module):
    """One network for each emotion, which tells it from the other seven.

    Section 4: "each test is binary". The paper does not say whether its networks are; this is the other
    reading beside one network with eight outputs.
    """

    def __init__(self, members: Iterable[PaperCNN]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, 48, 48) gray levels to (B, E) log-odds of each emotion against the rest."""
        return torch.cat([member(images) for member in self.members], 1)


class AutoencoderThenCNN(nn.Module):
    """A classifier that sees what an autoencoder generates, never the picture itself.

    Section 3: "an AutoEncoder used as an input for the Convolutional Neural Network", "the generated images
    were used as input". The autoencoder is trained first and then kept as it is.
    """

    def __init__(self, autoencoder: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.autoencoder = autoencoder.requires_grad_(False)
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, 48, 48) gray levels to (B, E) logits."""
        logits: Tensor = self.classifier(self.autoencoder(images).clamp(0.0, 255.0))
        return logits


def normalize(images: Tensor) -> Tensor:
    """Gray levels 0..255 to -2..2, of any shape."""
    return (images - 127.5) / 64.0


def _convolution(channels: int, filters: int, side: int, pool: nn.Module) -> nn.Sequential:
    """A convolution of stride 1 (section 3), its leaky ReLU and the pool that halves the resolution."""
    return nn.Sequential(nn.Conv2d(channels, filters, side, padding=side // 2), nn.LeakyReLU(SLOPE), pool)
