"""Where the loop takes its pictures from."""

from __future__ import annotations

import warnings
from typing import Final

import torch
from torch import Tensor

from mien.types import Image

_SHARE: Final = 0.5  # of a GPU's free memory that pictures may take; the rest is the network's


def as_pictures(images: Image, device: str) -> Tensor:
    """(N, H, W) uint8 to (N, 1, H, W): on the device if that is a GPU with room for all, else where they are.

    Nothing is copied but to a GPU: pictures in a mapped file stay there, and are not to be written to.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        pictures = torch.from_numpy(images)[:, None]
    if device.startswith("cuda") and pictures.nbytes <= _SHARE * torch.cuda.mem_get_info(device)[0]:
        return pictures.to(device)
    return pictures
