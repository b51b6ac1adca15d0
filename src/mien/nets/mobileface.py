"""Intel's face re-identification network, given a head for expressions: a teacher that has seen many faces.

`face-reidentification-retail-0095` of Intel's Open Model Zoo (Apache-2.0) is a MobileFaceNet
(arXiv:1804.07573) with squeeze and excitation; Intel says that it was trained on VGGFace2. `load_intel` fills
the network with the initialisers of its ONNX file. What tells persons apart, behind the last 1 x 1
convolution, is left out.

Legend: B batch, C channels, H and W rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  the name that PyTorch's own documentation uses

from mien.errors import ModelError
from mien.labels import EMOTIONS

#: (channels inside, channels outside, stride) of Intel's bottlenecks, in order.
BOTTLENECKS: Final = (
    *((128, 64, 2), *((128, 64, 1),) * 4),
    *((256, 128, 2), *((256, 128, 1),) * 6),
    *((512, 128, 2), *((256, 128, 1),) * 2),
)
_LEFT_OUT: Final = ((512, 1, 8, 8), (1, 512, 1, 1), (256, 512, 1, 1))  # of Intel's last layers


@dataclass(frozen=True, slots=True)
class MobileFaceOptions:
    """The shape of the network: 1.0 M weights and 221 M multiply-adds with these values."""

    side: int = 112  # pixels that a picture is enlarged to; Intel's own side is 128
    dropout: float = 0.3  # on the pooled features


class Bend(nn.Module):
    """A leaky ReLU whose slope is learnt, one for all channels."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(0.25))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        bent: Tensor = torch.relu(x) - self.slope * torch.relu(-x)
        return bent


class Bottleneck(nn.Module):
    """Widen by 1 x 1, filter each channel by 3 x 3, narrow by 1 x 1, weigh the channels."""

    def __init__(self, inside: int, middle: int, outside: int, stride: int) -> None:
        super().__init__()
        self.widen = _conv(inside, middle, 1)
        self.filter = _conv(middle, middle, 3, stride, groups=middle)
        self.narrow = nn.Sequential(nn.Conv2d(middle, outside, 1, bias=False), nn.BatchNorm2d(outside))
        self.reduce = nn.Conv2d(outside, outside // 8, 1)
        self.bend = Bend()
        self.expand = nn.Conv2d(outside // 8, outside, 1)
        self.shortcut = stride == 1

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H/stride, W/stride)."""
        y: Tensor = self.narrow(self.filter(self.widen(x)))
        weight = torch.sigmoid(self.expand(self.bend(self.reduce(y.mean((2, 3), keepdim=True)))))
        y = y * weight
        return x + y if self.shortcut else y


class MobileFace(nn.Module):
    """(B, 1, 48, 48) float32 gray levels 0..255 to (B, 8) logits in the order of EMOTIONS."""

    scale: Tensor
    shift: Tensor

    def __init__(self, options: MobileFaceOptions | None = None) -> None:
        super().__init__()
        self.side = (options := options or MobileFaceOptions()).side
        self.register_buffer("scale", torch.full((1, 3, 1, 1), 1 / 127.5))  # of blue, green and red
        self.register_buffer("shift", torch.full((1, 3, 1, 1), -1.0))
        self.stem = nn.Sequential(_conv(3, 64, 3, 2), _conv(64, 64, 3, groups=64))
        blocks, inside = [], 64
        for middle, outside, stride in BOTTLENECKS:
            blocks.append(Bottleneck(inside, middle, outside, stride))
            inside = outside
        self.body = nn.Sequential(*blocks, _conv(inside, 512, 1))
        self.drop = nn.Dropout(options.dropout)
        self.head = nn.Linear(512, len(EMOTIONS))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, H, W) gray levels to (B, 8) logits."""
        logits: Tensor = self.head(self.drop(self.features(x)))
        return logits

    def features(self, x: Tensor) -> Tensor:
        """(B, 1, H, W) gray levels, or (B, 3, H, W) blue, green and red, to (B, 512) pooled features."""
        x = F.interpolate(x, size=(self.side, self.side), mode="bilinear", align_corners=False)
        x = x * self.scale + self.shift  # (B, 3, side, side)
        pooled: Tensor = self.body(self.stem(x)).mean((2, 3))
        return pooled


def _conv(inside: int, outside: int, size: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inside, outside, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outside), Bend())


@torch.no_grad()
def load_intel(net: nn.Module, path: Path) -> None:
    """Fill all but the head of a `MobileFace` with Intel's weights; its norms shift alone for now.

    Raises:
        ModelError: the file is not Intel's network.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        tensors = [torch.tensor(onnx.numpy_helper.to_array(i)) for i in _in_order(onnx.load(path).graph)]
        found = iter(tensors)
        for buffer in ("scale", "shift"):
            net.get_buffer(buffer).copy_(next(found))
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.copy_(next(found))
                bias = next(found).flatten()  # the module's own, or that of the norm behind it
                if module.bias is not None:
                    module.bias.copy_(bias)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.constant_(module.get_buffer("running_var"), 1 - module.eps)
                module.bias.copy_(bias)
            elif isinstance(module, Bend):
                module.slope.copy_(next(found).flatten()[0])
        for shape in _LEFT_OUT:
            next(found).expand(shape)
    except (OSError, DecodeError, ValueError, RuntimeError, StopIteration) as error:
        raise ModelError(
            f"{path}: expected Intel's face-reidentification-retail-0095 as ONNX, could not read it as that "
            f"({error}); give that file, of Intel's Open Model Zoo"
        ) from error


def _in_order(graph: Any) -> list[Any]:
    """The initialisers in the order in which the nodes use them."""
    held = {i.name: i for i in graph.initializer}
    return [held[name] for node in graph.node for name in node.input if name in held]


@torch.no_grad()
def settle_norms(net: nn.Module, pictures: Tensor) -> None:
    """Give the norms of a network that `load_intel` filled the statistics of pictures; its answers stay.

    The file has the norms folded into the convolutions, from which nothing can learn at the usual rates.

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
