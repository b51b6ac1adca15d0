"""Autoencoders as units that stack: each codes the code of the one before it.

Legend: B batch, C channels, H and W rows and columns, K nodes of a code.
Beltrán Prieto and Komínková Oplatková 2018, section 2.3.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Unit(nn.Module):
    """One autoencoder: `encode` to a code, `decode` back."""

    def encode(self, x: Tensor) -> Tensor:
        """What the unit is fed with to its code."""
        raise NotImplementedError

    def decode(self, code: Tensor) -> Tensor:
        """The code to what the unit was fed with."""
        raise NotImplementedError


class Stack(nn.Module):
    """(B, 1, H, W) gray levels 0..255 to generated pictures of the same shape.

    Generated pictures are not cut to 0..255 here, so that their gradient is never lost.
    """

    def __init__(self, units: Iterable[Unit]) -> None:
        super().__init__()
        self.units = nn.ModuleList(units)

    def prepare(self, images: Tensor) -> Tensor:
        """(B, 1, H, W) gray levels to what the first unit is fed with."""
        raise NotImplementedError

    def restore(self, x: Tensor) -> Tensor:
        """The reverse of `prepare`."""
        raise NotImplementedError

    def encode(self, images: Tensor, depth: int | None = None, seen: Tensor | None = None) -> Tensor:
        """(B, 1, H, W) to the code of the first `depth` units (all by default; 0: none).

        Where `seen` (B, 1, H, W) is zero, nothing of the picture enters any unit: maps are cut at their
        own resolution, as the sparse convolutions of SparK do it (arXiv:2301.03580).
        """
        x = self.prepare(images)
        for unit in self.units[:depth]:
            x = unit.encode(x if seen is None else _cut(x, seen))  # type: ignore[operator]
        return x

    def decode(self, code: Tensor) -> Tensor:
        """The code of the last unit to (B, 1, H, W) gray levels."""
        for unit in reversed(self.units):
            code = unit.decode(code)  # type: ignore[operator]
        return self.restore(code)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, H, W) to the generated (B, 1, H, W)."""
        return self.decode(self.encode(images))


def patches_seen(images: Tensor, generator: torch.Generator, hidden: float, patch: int = 8) -> Tensor:
    """(B, 1, H, W) of ones, and of zeros on a share of its square patches, drawn for each picture."""
    n, _, height, width = images.shape
    draw = torch.rand(n, 1, height // patch, width // patch, generator=generator)
    seen = (draw >= hidden).to(images)
    return seen.repeat_interleave(patch, 2).repeat_interleave(patch, 3)


def add_noise(images: Tensor, generator: torch.Generator, deviation: float) -> Tensor:
    """(B, 1, H, W) with Gaussian noise of `deviation` gray levels (Vincent et al., 2008)."""
    noise = torch.randn(images.shape, generator=generator).to(images.device)
    return images + noise * deviation


def _cut(x: Tensor, seen: Tensor) -> Tensor:
    """Pictures, maps (B, C, h, w) or flat pictures (B, H * W) with zeros where nothing is seen."""
    if x.ndim == 2:
        return x * seen.flatten(1)
    return x * nn.functional.interpolate(seen, x.shape[-2:])  # nearest: a patch halves with the maps
