"""Principal components: the best that any linear autoencoder of their number can do (Bourlard and Kamp 1988).

Legend: N pictures, D numbers each, K components.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

_BATCH = 1024

Code = Callable[[Tensor], Tensor]  # (B, 1, H, W) float32 gray levels to (B, D)


@dataclass(frozen=True, slots=True, eq=False)
class Principal:
    """The K directions along which rows vary most."""

    mean: Tensor  # (D,)
    axes: Tensor  # (D, K) orthonormal, the most important first
    least: Tensor  # (K,) the least value of a row along each axis

    def project(self, rows: Tensor) -> Tensor:
        """(N, D) to the nearest (N, D) that K components make."""
        return (rows - self.mean) @ self.axes @ self.axes.T + self.mean


@torch.no_grad()
def principal(images: Tensor, code: Code, most: int) -> Principal:
    """The first components of what `code` makes of (N, 1, H, W) uint8 pictures: `most`, or all there are."""
    mean = torch.cat([rows.double().sum(0, keepdim=True) for rows in _rows(images, code)]).sum(0) / len(
        images
    )
    mean = mean.to(torch.float32)  # (D,)
    if len(images) <= len(mean):
        centred = torch.cat([rows - mean for rows in _rows(images, code)])  # (N, D)
        axes = torch.linalg.svd(centred, full_matrices=False)[2].T  # (D, N)
    else:
        spread = sum((rows - mean).T @ (rows - mean) for rows in _rows(images, code))  # (D, D)
        axes = torch.linalg.eigh(spread)[1].flip(1)  # (D, D)
    axes = axes[:, :most].contiguous()
    least = torch.stack([((rows - mean) @ axes).amin(0) for rows in _rows(images, code)]).amin(0)
    return Principal(mean, axes, least)


def _rows(images: Tensor, code: Code) -> Iterator[Tensor]:
    return (code(images[i : i + _BATCH].float()) for i in range(0, len(images), _BATCH))
