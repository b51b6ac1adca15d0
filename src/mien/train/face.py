"""How the face network learns: what Google's Face Landmarker says of faces, on crops of them that are spoilt.

The teacher labelled the clean picture; the network sees it turned, scaled, shifted, blurred, darkened,
noisy or partly covered, and must still say the same. Crops that hold no face, or hold it far out of place,
teach it what no face is. All of it happens on the batch, on the device of the network.

Legend: N pictures, B batch, S side of a picture, L = 146 landmarks, U = 45 movements, D numbers of a target.
Coordinates are shares of a side: (0, 0) is the outer corner of the first pixel, (1, 1) of the last.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  the name that PyTorch's own documentation uses

from mien.faces.align import PARTS_TEMPLATE
from mien.units import ALIGN, OUTPUTS, UNITS

#: Random numbers of a shape, on the device of the pictures.
Draw = Callable[..., Tensor]

FACE, BARE, NO_FACE = 1.0, 2.0, 0.0  # a face with labels, a face without, no face

#: What a target holds, beside one another.
TARGET: Final = {"kind": 1, "weight": 1, "align": 8, "landmarks": 292, "turn": 9, "units": 45}


@dataclass(frozen=True, slots=True)
class FaceAugmentOptions:
    """How far each change goes."""

    turn: float = 9.0  # degrees, deviation
    scale: float = 0.09  # deviation of its logarithm
    shift: float = 0.035  # share of the side, deviation
    wild: float = 0.25  # share of faces that are moved three times as far
    misframed: float = 0.08  # share of faces put far out of place, which count as no face
    blur: float = 0.45  # share that loses sharpness, as a face of a third of the pixels or more does
    dark: float = 0.25  # share with few levels and much noise
    cover: float = 0.3  # share that loses a rectangle or half the face
    noise: float = 6.0  # gray levels, the largest deviation of a crop's noise


@dataclass(frozen=True, slots=True)
class FaceLossOptions:
    """How much each part of the answer counts."""

    presence: float = 0.5
    spread: float = 0.02
    landmarks: float = 10.0
    turn: float = 4.0
    units: float = 1.0


class FaceLoss:
    """The loss of the training loop: crops made of the pictures, and the distance of the answers."""

    def __init__(
        self,
        mirror: Tensor,
        deviations: Tensor,
        augment: FaceAugmentOptions | None = None,
        weights: FaceLossOptions | None = None,
        side: int = 96,
    ) -> None:
        """Args: mirror, (L,) each landmark's partner; deviations, (U,) of the movements among the faces."""
        self.mirror = mirror
        self.mirror_units = torch.tensor([UNITS.index(_other_side(u)) for u in UNITS])
        self.deviations = deviations
        self.augment = augment or FaceAugmentOptions()
        self.weights = weights or FaceLossOptions()
        self.side = side

    def __call__(
        self, net: nn.Module, pictures: Tensor, targets: Tensor, generator: torch.Generator
    ) -> Tensor:
        """(B, 1, S, S) gray levels and (B, D) targets to the mean loss."""
        with torch.autocast(pictures.device.type, enabled=False):
            crops, wanted = self.crops(pictures, targets, generator)
        return self.distance(net(crops).float(), wanted)

    def crops(
        self, pictures: Tensor, targets: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The crops (B, 1, side, side) that the network sees, and what it should say of them."""
        o, n, device = self.augment, len(pictures), pictures.device

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator).to(device, non_blocking=True)

        def uniform(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=generator).to(device, non_blocking=True)

        target = split(targets, TARGET)
        kind = target["kind"][:, 0]
        none = kind == NO_FACE
        # a turn about the middle of the crop, a scale and a shift; wild ones go three times as far
        reach = torch.where(uniform(n) < o.wild, 3.0, 1.0)
        angle = normal(n) * math.radians(o.turn) * reach
        size = torch.exp(normal(n) * o.scale * reach)
        shift = normal(n, 2) * (o.shift * reach)[:, None]
        out = (uniform(n) < o.misframed) & ~none
        lot = uniform(n)
        away = uniform(n) * 2 * math.pi
        far = torch.stack([torch.cos(away), torch.sin(away)], 1) * (0.45 + 0.35 * uniform(n))[:, None]
        shift = torch.where((out & (lot < 0.4))[:, None], far, shift)
        size = torch.where(out & (lot >= 0.4) & (lot < 0.6), 0.2 + 0.2 * uniform(n), size)  # tiny in the crop
        size = torch.where(out & (lot >= 0.6) & (lot < 0.8), 2.4 + 2.0 * uniform(n), size)  # an eye, a cheek
        over = math.radians(100) + uniform(n) * math.radians(160)
        angle = torch.where(out & (lot >= 0.8), over, angle)  # upside down
        angle = torch.where(none, uniform(n) * 2 * math.pi, angle)
        size = torch.where(none, 0.75 + uniform(n) * 0.9, size)
        flip = torch.where(uniform(n) < 0.5, -1.0, 1.0)

        to_template = similarities(target["align"].view(n, 4, 2), PARTS_TEMPLATE)  # (B, 2, 3)
        cos, sin = torch.cos(angle) * size, torch.sin(angle) * size
        jitter = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)  # (B, 2, 2)
        # about the middle, then shifted, then mirrored
        linear = jitter @ to_template[:, :, :2]
        offset = (jitter @ (to_template[:, :, 2:] - 0.5))[:, :, 0] + 0.5 + shift
        linear = torch.stack([linear[:, 0] * flip[:, None], linear[:, 1]], 1)
        offset = torch.stack([(offset[:, 0] - 0.5) * flip + 0.5, offset[:, 1]], 1)

        inverse = torch.linalg.inv(linear)
        # grid_sample's coordinates go from -1 to 1
        theta = torch.cat([inverse, (2 * (inverse @ (0.5 - offset)[:, :, None]) - 1)], 2)
        grid = F.affine_grid(theta, [n, 1, self.side, self.side], align_corners=False)
        crops = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
        crops = self._spoil(crops, normal, uniform)

        points = target["landmarks"].view(n, -1, 2) @ linear.mT + offset[:, None]
        units = target["units"]
        mirrored = flip < 0
        points = torch.where(mirrored[:, None, None], points[:, self.mirror.to(device)], points)
        units = torch.where(mirrored[:, None], units[:, self.mirror_units.to(device)], units)
        # the head's turn in the crop: turned in the picture's plane, seen in a mirror or not
        lean = torch.atan2(to_template[:, 1, 0], to_template[:, 0, 0]) + angle
        c, s, zero = torch.cos(lean), torch.sin(lean), torch.zeros_like(lean)
        plane = torch.stack([c, -s, zero, s, c, zero, zero, zero, zero + 1], 1).view(n, 3, 3)
        turn = plane @ target["turn"].view(n, 3, 3)
        hand = torch.stack([flip, torch.ones_like(flip), torch.ones_like(flip)], 1)
        turn = turn * hand[:, :, None] * hand[:, None, :]
        return crops, {
            "presence": (~none & ~out).float(),
            "known": (kind == FACE).float() * (~out).float() * target["weight"][:, 0],
            "landmarks": points,
            "turn": turn[:, :2].reshape(n, 6),
            "units": units,
        }

    def _spoil(self, crops: Tensor, normal: Draw, uniform: Draw) -> Tensor:
        """Blur, cover, darken and make noisy, each crop for itself."""
        o, n, side = self.augment, len(crops), self.side
        # cover: a rectangle, or everything below a line as a mask does, with flat gray or another crop's
        # pixels
        draw = uniform(n, 8)
        rows = (torch.arange(side, device=crops.device) + 0.5) / side
        height, width = 0.15 + 0.4 * draw[:, 0], 0.15 + 0.4 * draw[:, 1]
        top, left = draw[:, 2] * (1 - height), draw[:, 3] * (1 - width)
        mask = draw[:, 4] < 0.25
        top, height = torch.where(mask, 0.55, top), torch.where(mask, 0.5, height)
        left, width = torch.where(mask, 0.1, left), torch.where(mask, 0.8, width)
        inside = ((rows >= top[:, None]) & (rows < (top + height)[:, None]))[:, :, None]
        inside = inside & ((rows >= left[:, None]) & (rows < (left + width)[:, None]))[:, None, :]
        inside = inside & (draw[:, 5] < o.cover)[:, None, None]
        flat = (255 * draw[:, 6]).view(n, 1, 1, 1).expand_as(crops)
        filling = torch.where((draw[:, 7] < 0.5).view(n, 1, 1, 1), flat, crops.roll(1, 0).flip(2))
        crops = torch.where(inside[:, None], filling, crops)
        # blur: a third to a quarter of the pixels, or the mean of neighbours
        lot = uniform(n, 1, 1, 1)
        for share, small in (
            (o.blur * 0.4, side // 2),
            (o.blur * 0.35, side // 3),
            (o.blur * 0.25, side // 4),
        ):
            soft = F.interpolate(
                crops, size=(small, small), mode="bilinear", antialias=True, align_corners=False
            )
            soft = F.interpolate(soft, size=(side, side), mode="bicubic", align_corners=False)
            crops = torch.where((lot >= 0) & (lot < share), soft, crops)
            lot = lot - share
        # light: contrast, a curve, then darkness; noise after it, and whole levels
        draw = uniform(n, 5, 1, 1, 1)
        curve = torch.exp((draw[:, 0] * 2 - 1) * 0.6)
        crops = 255 * (crops.clamp(0, 255) / 255).pow(curve)
        dark = draw[:, 1] < o.dark
        gain = torch.where(dark, 0.04 + 0.3 * draw[:, 2], 0.6 + 0.6 * draw[:, 2])
        crops = crops * gain + torch.where(dark, 0.0, 30 * (draw[:, 3] * 2 - 1))
        deviation = o.noise * draw[:, 4].square() * torch.where(dark, 0.4, 1.0)
        spoilt: Tensor = (crops + normal(*crops.shape) * deviation).clamp(0, 255).round()
        return spoilt

    def distance(self, answer: Tensor, wanted: dict[str, Tensor]) -> Tensor:
        """(B, 345) answers against what `crops` gave, as one number."""
        w, said = self.weights, split(answer, OUTPUTS)
        known = wanted["known"]  # (B,)
        count = known.sum().clamp(min=1)
        presence = F.binary_cross_entropy_with_logits(said["presence"][:, 0], wanted["presence"])
        points = said["landmarks"].view(len(answer), -1, 2)
        away = points - wanted["landmarks"]
        eyes = eye_distance(wanted["landmarks"])  # (B,)
        error = (
            F.smooth_l1_loss(points, wanted["landmarks"], reduction="none", beta=0.004).sum(2).mean(1) / eyes
        )
        # the error that is to be expected of this crop's landmarks: Laplace's likelihood of what it was
        happened = (away.square().sum(2) + 1e-8).sqrt().mean(1).detach() / eyes
        log_spread = said["spread"][:, 0].clamp(-6, 2)
        spread = happened * torch.exp(-log_spread) + log_spread
        turn = (said["turn"] - wanted["turn"]).square().sum(1)
        units = ((said["units"] - wanted["units"]) / self.deviations.to(answer.device)).square().mean(1)
        each = w.landmarks * error + w.turn * turn + w.units * units + w.spread * spread
        return w.presence * presence + (each * known).sum() / count


def face_targets(
    landmarks: NDArray[Any],
    units: NDArray[Any],
    rotation: NDArray[Any],
    known: NDArray[Any],
    weight: float,
    elsewhere: NDArray[Any],
) -> NDArray[np.float32]:
    """The targets of faces, from what the teacher says of them.

    Args:
        landmarks: (N, L, 2) shares of the picture's sides.
        units: (N, U) in [0, 1].
        rotation: (N, 3) yaw, pitch and roll in degrees.
        known: (N,) bool: the teacher saw a face.
        weight: of these labels.
        elsewhere: (N, 4, 2) pupils and corners of the mouth where the teacher saw none.

    Returns:
        (N, D) float32.
    """
    align = np.where(known[:, None, None], landmarks[:, ALIGN], elsewhere)
    yaw, pitch, roll = np.radians(rotation.astype(np.float64)).T
    turn = about(1, yaw) @ about(0, pitch) @ about(2, roll)  # (N, 3, 3)
    n = len(landmarks)
    parts = [
        np.where(known, FACE, BARE)[:, None],
        np.full((n, 1), weight),
        align.reshape(n, -1),
        landmarks.reshape(n, -1),
        turn.reshape(n, -1),
        units,
    ]
    return np.concatenate(parts, 1).astype(np.float32)


def about(axis: int, angle: NDArray[Any]) -> NDArray[Any]:
    """(N,) angles to (N, 3, 3) rotations about x (0), y (1) or z (2), in x right, y down, z away."""
    c, s, zero, one = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
    rows = {
        0: ([one, zero, zero], [zero, c, -s], [zero, s, c]),
        1: ([c, zero, s], [zero, one, zero], [-s, zero, c]),
        2: ([c, -s, zero], [s, c, zero], [zero, zero, one]),
    }[axis]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def split(values: Tensor, parts: dict[str, int]) -> dict[str, Tensor]:
    """(B, D) to the named parts of it."""
    return dict(zip(parts, torch.split(values, list(parts.values()), dim=1), strict=True))


def eye_distance(points: Tensor) -> Tensor:
    """(B, L, 2) landmarks to (B,) the distance of the pupils, at least .1: a head turned away hides it."""
    right, left = points[:, ALIGN[0]], points[:, ALIGN[1]]
    return (right - left).square().sum(1).sqrt().clamp(min=0.1)


def similarities(points: Tensor, template: tuple[tuple[float, float], ...]) -> Tensor:
    """`faces.align.similarity` of many at a time: (B, P, 2) to (B, 2, 3)."""
    q = torch.tensor(template, device=points.device)  # (P, 2)
    p_mean, q_mean = points.mean(1, keepdim=True), q.mean(0)
    p, q = points - p_mean, q - q_mean
    spread = (p * p).sum((1, 2)).clamp(min=1e-8)
    a = (p * q).sum((1, 2)) / spread
    b = (p[..., 0] * q[:, 1] - p[..., 1] * q[:, 0]).sum(1) / spread
    turn = torch.stack([torch.stack([a, -b], 1), torch.stack([b, a], 1)], 1)  # (B, 2, 2)
    shift = q_mean - (turn @ p_mean.mT)[:, :, 0]
    return torch.cat([turn, shift[:, :, None]], 2)


def _other_side(name: str) -> str:
    for one, other in (("Left", "Right"), ("Right", "Left")):
        if name.endswith(one):
            return name.removesuffix(one) + other
    return name
