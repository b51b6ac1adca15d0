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

    def encode(self, images: Tensor, depth: int | None = None) -> Tensor:
        """(B, 1, H, W) to the code of the first `depth` units (all by default; 0: none)."""
        x = self.prepare(images)
        for unit in self.units[:depth]:
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


def mask_patches(images: Tensor, generator: torch.Generator, share: float, patch: int = 8) -> Tensor:
    """(B, 1, H, W) with a share of its square patches at mid gray (as in SparK, arXiv:2301.03580)."""
    n, _, height, width = images.shape
    rows, columns = height // patch, width // patch
    hidden = torch.rand(n, 1, rows, columns, generator=generator).to(images.device) < share
    hidden = hidden.repeat_interleave(patch, 2).repeat_interleave(patch, 3)  # (B, 1, H, W)
    return torch.where(hidden, images.new_tensor(127.5), images)


def add_noise(images: Tensor, generator: torch.Generator, deviation: float) -> Tensor:
    """(B, 1, H, W) with Gaussian noise of `deviation` gray levels (Vincent et al., 2008)."""
    noise = torch.randn(images.shape, generator=generator).to(images.device)
    return images + noise * deviation
