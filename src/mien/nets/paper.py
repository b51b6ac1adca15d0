"""The paper's convolutional network.

Legend: B batch, C input channels, F filters (512 in the paper).
Section 3: three convolutions of 512 filters (5 x 5, 5 x 5, 3 x 3) with stride 1, an average pooling
between the first two, a max pooling over 3 x 3 between the last two, a third pooling, two fully
connected layers: eight layers in all.
"""

from __future__ import annotations

from torch import Tensor, nn

from mien.labels import EMOTIONS
from mien.nets.dense import SLOPE

FILTERS = 512  # section 3
HIDDEN = 256  # of the first fully connected layer; not in the paper


class PaperCNN(nn.Module):
    """(B, C, 48, 48) gray levels 0..255 to (B, 8) logits.

    Not in the paper: same padding, pools of stride 2, a 2 x 2 third
    pool, leaky ReLU after every layer but the last.
    """

    def __init__(self, width: int = FILTERS, channels: int = 1, classes: int = len(EMOTIONS)) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, width, 5, padding=2),  # (B, F, 48, 48)
            nn.LeakyReLU(SLOPE),
            nn.AvgPool2d(2),  # (B, F, 24, 24)
            nn.Conv2d(width, width, 5, padding=2),
            nn.LeakyReLU(SLOPE),
            nn.MaxPool2d(3, 2, 1),  # (B, F, 12, 12)
            nn.Conv2d(width, width, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.MaxPool2d(2),  # (B, F, 6, 6)
        )
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(width * 36, HIDDEN),
            nn.LeakyReLU(SLOPE),
            nn.Linear(HIDDEN, classes),
        )

        for layer in self.modules():  # not in the paper; He et al., arXiv:1502.01852, for leaky ReLU
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, SLOPE)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, 48, 48) gray levels to (B, 8) logits."""
        x = (x - 127.5) / 64.0
        logits: Tensor = self.head(self.features(x))
        return logits


class OnGenerated(nn.Module):
    """A network that is fed with what an autoencoder generates, never with the picture itself.

    Section 3: "the generated images were used as input" of the CNN. The autoencoder is learnt first and
    then held fixed.
    """

    def __init__(self, autoencoder: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.autoencoder = autoencoder.requires_grad_(False)
        self.classifier = classifier

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, 48, 48) gray levels to (B, 8) logits."""
        logits: Tensor = self.classifier(self.autoencoder(x).clamp(0.0, 255.0))
        return logits
