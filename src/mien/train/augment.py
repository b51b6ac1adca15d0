"""Augmentation of a batch of gray faces, as one pure function of pixels and a random generator.

Legend: B batch, H and W rows and columns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  the name that PyTorch's own documentation uses

from mien.train.loop import Loss, soft_cross_entropy


@dataclass(frozen=True, slots=True)
class AugmentOptions:
    """How far each change goes; every draw is uniform, and independent for each picture."""

    rotation: float = 18.0  # degrees either way
    scale: float = 0.15  # share either way
    stretch: float = 0.06  # share of width against height either way
    shift: float = 0.08  # share of the side either way
    contrast: float = 0.35  # share either way
    brightness: float = 35.0  # gray levels either way
    blur: float = 0.15  # share of pictures that lose sharpness
    erase: float = 0.4  # share of pictures that lose a rectangle (arXiv:1708.04896)
    erase_area: float = 0.2  # largest share of the picture that is lost


def labelled_loss(options: AugmentOptions) -> Loss:
    """Soft cross-entropy on augmented pictures, for the loop."""

    def loss(net: nn.Module, pictures: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        return soft_cross_entropy(net(augment(pictures, generator, options)), target)

    return loss


def augment(images: Tensor, generator: torch.Generator, options: AugmentOptions) -> Tensor:
    """(B, 1, H, W) float32 gray levels 0..255 to the same, each picture changed independently.

    In float32 also under autocast: the eight bits of bfloat16 would move pixels by a tenth of their size.
    """
    with torch.autocast(images.device.type, enabled=False):
        images = _warp(images, generator, options)
        images = _blur(images, generator, options)
        images = _light(images, generator, options)
        return _erase(images, generator, options)


def _move(draw: Tensor, like: Tensor) -> Tensor:
    """To the device of `like`, without waiting for a GPU to finish its earlier work."""
    return draw.to(like.device, non_blocking=True)


def _uniform(n: int, reach: float, like: Tensor, generator: torch.Generator) -> Tensor:
    """(n,) draws in -reach..reach."""
    return _move((torch.rand(n, generator=generator) * 2 - 1).mul_(reach), like)


def _warp(images: Tensor, generator: torch.Generator, o: AugmentOptions) -> Tensor:
    """Flip, turn, scale, stretch and shift in one resampling."""
    n = images.shape[0]
    angle = _uniform(n, math.radians(o.rotation), images, generator)
    scale = torch.exp(_uniform(n, math.log1p(o.scale), images, generator))
    stretch = torch.exp(_uniform(n, math.log1p(o.stretch), images, generator))
    flip = torch.sign(_uniform(n, 1.0, images, generator))
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    theta = torch.zeros(n, 2, 3, device=images.device)
    theta[:, 0, 0], theta[:, 0, 1] = cos * stretch * flip, -sin * stretch
    theta[:, 1, 0], theta[:, 1, 1] = sin * flip, cos
    theta[:, 0, 2] = _uniform(n, 2 * o.shift, images, generator)
    theta[:, 1, 2] = _uniform(n, 2 * o.shift, images, generator)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)  # (B, H, W, 2)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _blur(images: Tensor, generator: torch.Generator, o: AugmentOptions) -> Tensor:
    """Halve and double the size of some pictures, as if the face were small or out of focus."""
    positions = (torch.rand(images.shape[0], generator=generator) < o.blur).nonzero()[:, 0]
    if not len(positions):
        return images
    chosen = _move(positions, images)
    size = images.shape[-2:]
    soft = F.interpolate(F.avg_pool2d(images[chosen], 2), size=size, mode="bilinear", align_corners=False)
    images = images.clone()
    images[chosen] = soft
    return images


def _light(images: Tensor, generator: torch.Generator, o: AugmentOptions) -> Tensor:
    """Contrast about the picture's own mean, then brightness; cut to 0..255."""
    n = images.shape[0]
    gain = torch.exp(_uniform(n, math.log1p(o.contrast), images, generator)).view(n, 1, 1, 1)
    lift = _uniform(n, o.brightness, images, generator).view(n, 1, 1, 1)
    mean = images.mean((2, 3), keepdim=True)  # (B, 1, 1, 1)
    return ((images - mean) * gain + mean + lift).clamp_(0, 255)


def _erase(images: Tensor, generator: torch.Generator, o: AugmentOptions) -> Tensor:
    """Replace a rectangle by the picture's own mean."""
    n, _, height, width = images.shape
    draw = _move(torch.rand(n, 5, generator=generator), images)
    area = draw[:, 0] * o.erase_area
    aspect = torch.exp((draw[:, 1] * 2 - 1) * math.log(3.0))
    h, w = torch.sqrt(area * aspect) * height, torch.sqrt(area / aspect) * width
    top, left = draw[:, 2] * (height - h), draw[:, 3] * (width - w)
    rows = torch.arange(height, device=images.device).view(1, height, 1)
    columns = torch.arange(width, device=images.device).view(1, 1, width)
    inside = (rows >= top.view(n, 1, 1)) & (rows < (top + h).view(n, 1, 1))
    inside = inside & (columns >= left.view(n, 1, 1)) & (columns < (left + w).view(n, 1, 1))  # (B, H, W)
    inside = inside & (draw[:, 4] < o.erase).view(n, 1, 1)
    return torch.where(inside[:, None], images.mean((2, 3), keepdim=True), images)
