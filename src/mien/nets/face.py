"""The face network: is this a face, where are its parts, how is the head turned, which parts move how much.

It sees the aligned crop of `faces/align` and learns from Google's Face Landmarker (`train/face`); what its
outputs mean is in `mien.units`.

Legend: B batch, C channels, H and W rows and columns, L landmarks, U movements.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mien.nets.compact import ResidualBlock
from mien.units import OUTPUTS


@dataclass(frozen=True, slots=True)
class FaceNetOptions:
    """The shape of the network: 1.2 M weights and 58 M multiply-adds with these values, at 96 x 96."""

    stem: int = 16  # channels at half resolution
    widths: tuple[int, ...] = (32, 64, 128)  # channels of each stage; each halves the resolution
    blocks: tuple[int, ...] = (2, 2, 2)  # residual blocks of each stage
    squeeze: int = 32  # channels in which places are kept, before the linear layers
    hidden: int = 256
    side: int = 96  # pixels of the crop


class FaceNet(nn.Module):
    """(B, 1, 96, 96) float32 gray levels 0..255 to (B, 345): the parts of `OUTPUTS` beside one another.

    Each crop is centred on its own mean and scaled by its own deviation, so that a dark crop reads as a
    bright one does.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, options: FaceNetOptions | None = None) -> None:
        super().__init__()
        options = options or FaceNetOptions()
        self.register_buffer("scale", torch.ones(sum(OUTPUTS.values())))
        self.register_buffer("shift", torch.zeros(sum(OUTPUTS.values())))
        self.stem = nn.Sequential(
            nn.Conv2d(1, options.stem, 3, 2, 1, bias=False), nn.BatchNorm2d(options.stem), nn.ReLU()
        )
        blocks, inside = [], options.stem
        for width, count in zip(options.widths, options.blocks, strict=True):
            for i in range(count):
                blocks.append(ResidualBlock(inside, width, 2 if i == 0 else 1))
                inside = width
        self.body = nn.Sequential(*blocks)
        places = options.squeeze * (options.side // 16) ** 2
        self.places = nn.Sequential(
            nn.Conv2d(inside, options.squeeze, 1, bias=False),
            nn.BatchNorm2d(options.squeeze),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.hidden = nn.Sequential(nn.Linear(places + inside, options.hidden), nn.ReLU())
        self.head = nn.Linear(options.hidden, sum(OUTPUTS.values()))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, H, W) gray levels to (B, 345)."""
        mean = x.mean((2, 3), keepdim=True)
        centred = x - mean
        x = centred / (centred.square().mean((2, 3), keepdim=True) + 25.0).sqrt()  # 5 gray levels of noise
        x = self.body(self.stem(x))  # (B, 128, 6, 6)
        x = torch.cat([self.places(x), x.mean((2, 3))], 1)
        answer: Tensor = self.head(self.hidden(x)) * self.scale + self.shift
        return answer

    def begin_at(self, shape: Tensor, mean: Tensor, deviation: Tensor) -> None:
        """Let an untrained network answer the mean: (L, 2) landmarks, (U,) movements, their deviation."""
        looks_ahead = torch.tensor([1.0, 0, 0, 0, 1, 0])
        zero, one = torch.zeros(2), torch.ones(2)
        self.shift.copy_(torch.cat([zero, shape.flatten(), looks_ahead, mean]))
        self.scale.copy_(
            torch.cat([one, torch.full((shape.numel(),), 0.03), torch.full((6,), 0.3), deviation])
        )
