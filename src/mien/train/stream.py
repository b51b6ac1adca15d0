"""Learning from pictures that are read as they are needed, and are nowhere all at once.

Legend: B batch, H and W rows and columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from mien.train import dist
from mien.train.loop import Judge, Loss
from mien.types import Floats, Image

#: (seed, start, stop) -> the pictures (H, W) and targets (8,) from start to stop of an order that the seed
#: decides; parts that do not overlap have none in common.
Read = Callable[[int, int, int], Iterator[tuple[Image, Floats]]]


@dataclass(frozen=True, slots=True)
class Stream:
    """What to learn, read anew in each epoch; the loop takes it as it takes a `Task`."""

    pictures: int  # of an epoch
    read: Read
    loss: Loss
    judge: Judge
    device: torch.device

    def __len__(self) -> int:
        return self.pictures

    @property
    def images(self) -> Tensor:
        """(<= 1024, 1, H, W) uint8, some of the pictures: what a network may look at before it learns."""
        faces = [face for face, _ in self.read(0, 0, min(self.pictures, 1024))]
        return torch.from_numpy(np.stack(faces))[:, None]

    def batches(self, size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """As `loop.Lesson` has it; each process reads a part of its own."""
        own = len(dist.share(torch.arange(size)))
        count = len(self) // size
        seed = int(torch.randint(2**32, (), generator=generator))
        start = dist.rank() * count * own
        return self._batches(own, self.read(seed, start, start + count * own))

    def _batches(self, own: int, faces: Iterator[tuple[Image, Floats]]) -> Iterator[tuple[Tensor, Tensor]]:
        while batch := list(islice(faces, own)):
            images = torch.from_numpy(np.stack([face for face, _ in batch]))[:, None]  # (B, 1, H, W)
            targets = torch.from_numpy(np.stack([target for _, target in batch]))  # (B, 8)
            yield images.to(self.device), targets.to(self.device)
