"""The compact network: plain 3 x 3 convolutions once learnt, so that it is quick, also in 8 bits.

While it learns, a 1 x 1 convolution and the input itself stand beside each 3 x 3 convolution; for reading, the
three are one (RepVGG, arXiv:2101.03697). There is no attention and no shortcut: on a processor these cost more
time than their multiply-adds tell, in 8 bits most of all (docs/model.md).

Legend: B batch, C channels, H and W rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from mien.labels import EMOTIONS


@dataclass(frozen=True, slots=True)
class CompactOptions:
    """The shape of the network: 0.6 M weights and 21 M multiply-adds as it stands, once fused."""

    widths: tuple[int, ...] = (16, 32, 64, 64, 128, 128, 256)  # channels of each convolution
    strides: tuple[int, ...] = (2, 1, 2, 1, 2, 1, 2)
    dropout: float = 0.2  # on the pooled features
    mean: float = 0.5077  # of FER+ train after /255
    deviation: float = 0.2550  # likewise


class RepConv(nn.Module):
    """A 3 x 3 convolution, a 1 x 1 beside it and, where shapes allow it, the input: each with its norm."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.wide = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.wide_norm = nn.BatchNorm2d(outside)
        self.narrow = nn.Conv2d(inside, outside, 1, stride, bias=False)
        self.narrow_norm = nn.BatchNorm2d(outside)
        self.same_norm = nn.BatchNorm2d(outside) if inside == outside and stride == 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H/stride, W/stride)."""
        y = self.wide_norm(self.wide(x)) + self.narrow_norm(self.narrow(x))
        if self.same_norm is not None:
            y = y + self.same_norm(x)
        return torch.relu(y)

    def fused(self) -> nn.Module:
        """One 3 x 3 convolution and a ReLU that give the same, in eval mode."""
        kernels = [(self.wide.weight, self.wide_norm)]  # (C', C, 3, 3)
        kernels.append((_centred(self.narrow.weight), self.narrow_norm))
        if self.same_norm is not None:
            eye = torch.eye(len(self.same_norm.weight), device=self.wide.weight.device)
            kernels.append((_centred(eye[:, :, None, None]), self.same_norm))
        weight, bias = (sum(parts) for parts in zip(*(_folded(*one) for one in kernels), strict=True))
        shape = self.wide
        conv = nn.Conv2d(shape.in_channels, shape.out_channels, 3, shape.stride, 1)  # type: ignore[arg-type]
        conv.weight, conv.bias = nn.Parameter(weight), nn.Parameter(bias)
        return nn.Sequential(conv, nn.ReLU())


class Compact(nn.Module):
    """(B, 1, 48, 48) float32 gray levels 0..255 to (B, 8) logits in the order of EMOTIONS."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, options: CompactOptions | None = None) -> None:
        super().__init__()
        options = options or CompactOptions()
        self.register_buffer("mean", torch.tensor(options.mean))
        self.register_buffer("deviation", torch.tensor(options.deviation))
        insides = (1, *options.widths)
        self.body = nn.Sequential(
            *(RepConv(*shape) for shape in zip(insides, options.widths, options.strides, strict=False))
        )
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(options.dropout),
            nn.Linear(options.widths[-1], len(EMOTIONS)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, 48, 48) gray levels to (B, 8) logits."""
        logits: Tensor = self.head(self.body((x / 255.0 - self.mean) / self.deviation))
        return logits


def _centred(kernel: Tensor) -> Tensor:
    """(C', C, 1, 1) in the middle of (C', C, 3, 3) zeros."""
    return nn.functional.pad(kernel, (1, 1, 1, 1))


def _folded(kernel: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """A kernel and its norm as a kernel and a bias."""
    mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    weight, bias = fuse_conv_bn_weights(kernel, None, mean, variance, norm.eps, norm.weight, norm.bias)
    return weight.detach(), bias.detach()
