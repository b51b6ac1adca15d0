"""Sections 2.2, 2.3 and 3: the networks, the CNN first, then autoencoders, dense and convolutional.

PCA, with which a dense autoencoder is compared, and from whose solution it may start, comes last.

Legend: B batch, N pictures, C input channels, F filters (512 in the paper), H and W rows and columns,
D numbers of a flat picture or code, K hidden nodes, E emotions, P principal components.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, interpolate, leaky_relu

from mien.labels import EMOTIONS

SIDE: Final = 48  # section 3: pictures of 48 x 48 pixels
SLOPE: Final = 0.01  # section 3: leaky ReLU with a slope of 0.01 against "dead neurons"
FILTERS: Final = 512  # section 3: "the filter count was stablished at 512"
HIDDEN: Final = 256  # nodes of the first fully connected layer; not in the paper

_WHITE: Final = 127.5 / 64.0  # of a normalized picture; black is as far below zero
_BATCH: Final = 1024  # pictures per batch of the PCA


def normalize(images: Tensor) -> Tensor:
    """Gray levels 0..255 to -2..2, of any shape."""
    return (images - 127.5) / 64.0


class PaperCNN(nn.Module):
    """(B, C, 48, 48) gray levels 0..255 to (B, E) logits.

    Section 3: "an 8-layer designed CNN which included three convolutional layers, three pooling layers, and
    two fully connected layers": convolutions of 5 x 5, 5 x 5 and 3 x 3 with stride 1, an average pooling
    after the first, a max pooling over 3 x 3 after the second. Not in the paper: padding that keeps the
    size, pools of stride 2, a third pool of 2 x 2, a leaky ReLU after every layer but the last.
    """

    def __init__(
        self, width: int = FILTERS, channels: int = 1, classes: int = len(EMOTIONS), dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.width = width
        self.channels = channels
        self.dropout = dropout  # share of the 256 nodes that rest in a step of training; not in the paper
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
        nn.init.zeros_(
            self.last.weight
        )  # so that learning begins at the loss of knowing nothing, at any width

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, 48, 48) gray levels to (B, E) logits."""
        x = normalize(images)
        for layer in self.layers:
            x = layer(x)
        logits: Tensor = self.last(dropout(x, self.dropout, self.training))
        return logits


def _convolution(channels: int, filters: int, side: int, pool: nn.Module) -> nn.Sequential:
    """A convolution of stride 1 (section 3), its leaky ReLU and the pool that halves the resolution."""
    return nn.Sequential(nn.Conv2d(channels, filters, side, padding=side // 2), nn.LeakyReLU(SLOPE), pool)


class OneForEachEmotion(nn.Module):
    """One network for each emotion, all of which are given every picture.

    Networks of one class each, since in section 4 "each test is binary", and since its tables have 7 times as
    many false alarms as one network of eight classes can have with so few misses. Each may have an
    autoencoder of its emotion, "capable of learning a specific emotion shape for different classes" (section
    2.3): to choose the one of a picture's true emotion would tell the CNN the answer.
    """

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, 48, 48) to (B, E) log-odds of each emotion against the rest, or (B, E, 48, 48) generated."""
        return torch.cat([member(images) for member in self.members], 1)


class AutoencoderThenCNN(nn.Module):
    """A classifier that sees what an autoencoder generates, never the picture itself.

    Section 3: "an AutoEncoder used as an input for the Convolutional Neural Network", "the generated images
    were used as input". The autoencoder is trained first and then kept as it is, or learns on with the CNN.
    """

    def __init__(self, autoencoder: nn.Module, classifier: nn.Module, joint: bool = False) -> None:
        super().__init__()
        self.autoencoder = autoencoder.requires_grad_(joint)
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, 48, 48) gray levels to (B, E) logits."""
        logits: Tensor = self.classifier(self.autoencoder(images).clamp(0.0, 255.0))
        return logits


def find_cnns(net: nn.Module) -> list[PaperCNN]:
    """The CNNs of a variant: one, or one of each emotion in their order."""
    return [module for module in net.modules() if isinstance(module, PaperCNN)]


def find_autoencoders(net: nn.Module) -> list[DenseAutoencoder]:
    """The dense autoencoders of a variant, in the order of the emotions: none, one for all, or eight."""
    return [module for module in net.modules() if isinstance(module, DenseAutoencoder)]


def generate(net: nn.Module, images: Tensor) -> Tensor | None:
    """(B, 1, 48, 48) gray levels to what A autoencoders make of them for the CNN: (B, A, 48, 48), 0..255.

    None where the CNN is given the pictures themselves.
    """
    made = [autoencoder(images) for autoencoder in find_autoencoders(net)]
    return torch.cat(made, 1).clamp(0, 255) if made else None


class AutoencoderUnit(nn.Module):
    """One autoencoder: an encoder makes a code of its input, a decoder restores the input from the code."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def encode(self, x: Tensor) -> Tensor:
        """The input to its code."""
        code: Tensor = self.encoder(x)
        return code

    def decode(self, code: Tensor) -> Tensor:
        """The code to the input as far as it can be restored."""
        restored: Tensor = self.decoder(code)
        return restored


class StackedAutoencoder(nn.Module):
    """(B, 1, H, W) gray levels 0..255 to generated pictures of the same shape, by one or more units.

    Each unit encodes the code of the one before it. Section 3: "encoder/decoder pairs can be optionally
    stacked" (Masci et al. 2011). Generated pictures are not cut to 0..255 here, so that their gradient is
    never lost.
    """

    def __init__(self, units: Iterable[AutoencoderUnit]) -> None:
        super().__init__()
        self.units = nn.ModuleList(units)

    def prepare(self, images: Tensor) -> Tensor:
        """(B, 1, H, W) gray levels to the input of the first unit."""
        return normalize(images)

    def restore(self, x: Tensor) -> Tensor:
        """The reverse of `prepare`."""
        return x * 64.0 + 127.5

    def encode(self, images: Tensor, depth: int | None = None, visible: Tensor | None = None) -> Tensor:
        """(B, 1, H, W) to the code of the first `depth` units (all by default; 0: none).

        Where `visible` (B, 1, H, W) is zero, nothing of the picture enters any unit: maps are masked at
        their own resolution, as the sparse convolutions of SparK do it (arXiv:2301.03580).
        """
        x = self.prepare(images)
        for unit in self.units[:depth]:
            if visible is not None:  # (B, D) flat pictures or (B, C, h, w) maps
                x = x * (visible.flatten(1) if x.ndim == 2 else interpolate(visible, x.shape[-2:]))
            x = unit.encode(x)  # type: ignore[operator]
        return x

    def decode(self, code: Tensor) -> Tensor:
        """The code of the last unit to (B, 1, H, W) gray levels."""
        for unit in reversed(self.units):
            code = unit.decode(code)  # type: ignore[operator]
        return self.restore(code)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, H, W) to the generated (B, 1, H, W)."""
        return self.decode(self.encode(images))


class DenseUnit(AutoencoderUnit):
    """One hidden layer with a leaky ReLU.

    Where the input has bounds (gray levels do), the output bends at them as a leaky ReLU does. Were it
    linear, the unit could at best be as good as PCA of its width: all that it generates would lie in a
    space of K dimensions, and PCA's is the best of those (Bourlard and Kamp 1988).
    """

    encoder: nn.Linear
    decoder: nn.Linear

    def __init__(self, inputs: int, hidden: int, bound: float | None = None) -> None:
        super().__init__(nn.Linear(inputs, hidden), nn.Linear(hidden, inputs))
        self.bound = bound  # inputs are within -bound..bound; None: unbounded

    def encode(self, x: Tensor) -> Tensor:
        """(B, D) to (B, K)."""
        return leaky_relu(self.encoder(x), SLOPE)

    def decode(self, code: Tensor) -> Tensor:
        """(B, K) to (B, D)."""
        restored: Tensor = self.decoder(code)
        if self.bound is None:
            return restored
        above = leaky_relu(restored + self.bound, SLOPE) - self.bound
        return self.bound - leaky_relu(self.bound - above, SLOPE)

    @torch.no_grad()
    def start_at(self, pca: PrincipalComponents) -> None:
        """Take the P components of PCA as the first weights; nodes past P are not decoded.

        The biases keep every node of the code above zero, where a leaky ReLU is a straight line, with as
        much again to spare for pictures that were not trained on.
        """
        p = pca.axes.shape[1]
        least = 2 * pca.least
        self.encoder.weight[:p] = pca.axes.T
        self.encoder.bias[:p] = -least - pca.mean @ pca.axes
        self.decoder.weight.zero_()
        self.decoder.weight[:, :p] = pca.axes
        self.decoder.bias[:] = pca.mean + pca.axes @ least


class DenseAutoencoder(StackedAutoencoder):
    """Section 3: "one hidden layer containing 300 and 500 nodes", on 48 x 48 pictures.

    2304-300-2304 or 2304-500-2304, or the stack of both with `hidden=(300, 500)`.
    """

    def __init__(self, hidden: tuple[int, ...] = (300,)) -> None:
        sizes = pairwise((SIDE * SIDE, *hidden))
        super().__init__(DenseUnit(a, b, None if i else _WHITE) for i, (a, b) in enumerate(sizes))
        self.width = min(hidden)  # numbers that its code is made of at most, as many as components of PCA

    def prepare(self, images: Tensor) -> Tensor:
        """(B, 1, 48, 48) gray levels to (B, D)."""
        return super().prepare(images).flatten(1)

    def restore(self, x: Tensor) -> Tensor:
        """(B, D) to (B, 1, 48, 48) gray levels."""
        return super().restore(x).view(-1, 1, SIDE, SIDE)


class ConvolutionalAutoencoder(StackedAutoencoder):
    """All layers of the paper's CNN but its last, each the encoder of one unit.

    Section 3: convolutional autoencoders "encode their input using convolution into a compact internal
    representation which is then decoded using de-convolution". The layers are the CNN's own, not copies:
    what the stack learns the CNN has learned.
    """

    def __init__(self, net: PaperCNN) -> None:
        width = net.width
        doubling = [nn.ConvTranspose2d(width, inputs, 4, 2, 1) for inputs in (net.channels, width, width)]
        dense = nn.Sequential(nn.Linear(HIDDEN, width * 36), nn.Unflatten(1, (width, 6, 6)))
        super().__init__(map(AutoencoderUnit, net.layers, [*doubling, dense]))


@dataclass(frozen=True, slots=True, eq=False)
class PrincipalComponents:
    """The P directions along which rows vary most: the best that a linear autoencoder of P nodes can do."""

    mean: Tensor  # (D,)
    axes: Tensor  # (D, P) orthonormal, the most important first
    least: Tensor  # (P,) the least value of a row along each axis

    def project(self, rows: Tensor) -> Tensor:
        """(N, D) to the nearest (N, D) that P components make."""
        return (rows - self.mean) @ self.axes @ self.axes.T + self.mean


@torch.no_grad()
def fit_pca(images: Tensor, encode: Callable[[Tensor], Tensor], components: int) -> PrincipalComponents:
    """Principal components of what `encode` makes of pictures.

    Args:
        images: (N, 1, H, W) uint8.
        encode: (B, 1, H, W) float32 gray levels to (B, D).
        components: how many; fewer where there are fewer.
    """

    def batches() -> Iterator[Tensor]:
        return (encode(images[i : i + _BATCH].float()) for i in range(0, len(images), _BATCH))

    total = torch.cat([rows.double().sum(0, keepdim=True) for rows in batches()]).sum(0)
    mean = (total / len(images)).to(torch.float32)  # (D,)
    if len(images) <= len(mean):
        centred = torch.cat([rows - mean for rows in batches()])  # (N, D)
        axes = torch.linalg.svd(centred, full_matrices=False)[2].T  # (D, N)
    else:
        spread = sum((rows - mean).T @ (rows - mean) for rows in batches())  # (D, D)
        axes = torch.linalg.eigh(spread)[1].flip(1)  # (D, D)
    axes = axes[:, :components].contiguous()
    least = torch.stack([((rows - mean) @ axes).amin(0) for rows in batches()]).amin(0)
    return PrincipalComponents(mean, axes, least)
