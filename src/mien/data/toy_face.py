"""Draws a face from a point of view.

Legend: H rows, W columns. Lengths are those of `toy_head`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, radians, sin, sqrt

import numpy as np
from PIL import Image as pil  # noqa: N813 - the name `Image` is ours
from PIL import ImageDraw

from mien.data.toy_head import Colour, Head, Pose, mix
from mien.types import Image

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class View:
    """From where the face is seen and where it looks."""

    turn: float = 0  # degrees, positive: the nose points to the right of the picture
    gaze: float = 0  # iris off its middle, -1..1 to the right of the picture
    roll: float = 0  # degrees
    shift: Point = (0, 0)


def draw_face(head: Head, pose: Pose, view: View, size: int) -> Image:
    """The face on a light ground: (size, size, 3) RGB, drawn twice as large and reduced."""
    picture = pil.new("RGB", (2 * size, 2 * size), (232, 232, 230))
    sheet = Sheet(ImageDraw.Draw(picture), view, 2 * size)
    _draw_back(sheet, head)
    _draw_skull(sheet, head, pose)
    for side in (-1, 1):
        _draw_eye(sheet, head, pose, side, view.gaze)
        _draw_brow(sheet, head, pose, side)
    _draw_nose(sheet, head, pose)
    _draw_mouth(sheet, head, pose)
    _draw_folds(sheet, head, pose)
    return np.asarray(picture.reduce(2))  # (size, size, 3)


class Sheet:
    """Draws in units of the head, turned and moved by a view."""

    def __init__(self, draw: ImageDraw.ImageDraw, view: View, side: int) -> None:
        self._draw = draw
        self._scale = 0.44 * side
        self._middle = (side * (0.5 + view.shift[0]), side * (0.52 + view.shift[1]))
        turn, roll = radians(view.turn), radians(view.roll)
        self._cos, self._sin = cos(turn), sin(turn)
        self._roll = (cos(roll), sin(roll))

    def at(self, x: float, y: float, *, flat: bool = False) -> Point:
        """Pixels of a place on the front of the head; `flat`: of its outline, round as a ball's is."""
        if flat:
            x += 0.12 * self._sin
        else:
            z = 0.5 * sqrt(max(0.0, 1 - (x / 0.85) ** 2 - (y / 1.5) ** 2)) * (1 - 0.25 * max(0.0, y))
            x = x * self._cos + z * self._sin
        c, s = self._roll
        return (
            self._middle[0] + self._scale * (x * c - y * s),
            self._middle[1] + self._scale * (x * s + y * c),
        )

    def fill(self, points: list[Point], colour: Colour, *, flat: bool = False) -> None:
        """A filled shape on the face, or `flat`, part of the outline."""
        self._draw.polygon([self.at(x, y, flat=flat) for x, y in points], fill=colour)

    def line(self, points: list[Point], colour: Colour, width: float) -> None:
        """A line on the face."""
        self._draw.line(
            [self.at(x, y) for x, y in points], colour, max(1, round(width * self._scale)), joint="curve"
        )

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """A circle on the face, narrow where the face turns away."""
        px, py = self.at(x, y)
        rx, ry = radius * self._scale * (0.4 + 0.6 * self._cos), radius * self._scale
        self._draw.ellipse([px - rx, py - ry, px + rx, py + ry], fill=colour)


def _draw_back(sheet: Sheet, head: Head) -> None:
    """What lies behind the face: hair, neck and a black shirt, as RaFD's models wear."""
    w, shade = head.width, mix(head.skin, (60, 30, 20), 0.25)
    if head.length > 0.2:
        top = _ellipse(0, -0.2, w * 1.2, 0.86, pi, 2 * pi)
        sheet.fill([*top, (w * 1.22, head.length), (-w * 1.22, head.length)], head.hair, flat=True)
    else:
        sheet.fill(_ellipse(0, -0.25, w * 1.1, 0.82), head.hair, flat=True)
    sheet.fill([(-0.34, 0.6), (0.34, 0.6), (0.4, 1.3), (-0.4, 1.3)], shade, flat=True)
    sheet.fill([(-1.3, 1.5), (-0.9, 1.14), (0, 1.26), (0.9, 1.14), (1.3, 1.5)], (30, 30, 34), flat=True)


def _draw_skull(sheet: Sheet, head: Head, pose: Pose) -> None:
    """Ears, the face's outline and the fringe; the chin falls with the jaw."""
    w, chin = head.width, 0.97 + 0.35 * max(0.0, pose.gape - 0.08)
    for side in (-1, 1):
        sheet.fill(_ellipse(side * w, 0.0, 0.09, 0.19), mix(head.skin, (120, 50, 40), 0.2), flat=True)
    square = 0.55 + 0.25 * head.jaw
    cheeks = [(w * c, 0.75 * s if s < 0 else chin * s) for c, s in _circle()]
    outline = [(x * (1 - (1 - square) * max(0.0, y) ** 2 * 0.8), y - 0.05) for x, y in cheeks]
    sheet.fill(outline, head.skin, flat=True)
    crown = _ellipse(0, -0.12, w * 1.04, 0.92, 1.06 * pi, 1.94 * pi)
    fringe = ((0.9, 0.32), (0.6, 0.06), (0.15, 0), (-0.4, 0.02), (-0.9, 0.32))
    line = [(w * x, head.hairline + drop) for x, drop in fringe]
    sheet.fill([*crown, *line], head.hair, flat=True)


def _draw_eye(sheet: Sheet, head: Head, pose: Pose, side: int, gaze: float) -> None:
    """White, iris and pupil; the lids cover what is too much of the iris."""
    x, y, w = side * head.apart, -0.12, head.eye
    up = w * head.round * max(0.12, 1 + pose.lid)
    down = w * head.round * max(0.05, 0.7 - pose.squint)
    upper = [(x + w * c, y - up * s) for c, s in _half()]
    lower = [(x + w * c, y + down * s) for c, s in _half()]
    sheet.fill([*upper, *reversed(lower)], (246, 243, 240))
    radius, look = w * 0.5, x + 0.55 * w * gaze
    sheet.disc(look, y - 0.01, radius, head.iris)
    sheet.disc(look, y - 0.01, radius * 0.5, (12, 10, 10))
    sheet.disc(look + 0.02, y - 0.035, radius * 0.18, (250, 250, 250))
    lid, rim = mix(head.skin, (90, 40, 30), 0.16), 1.3 * radius
    sheet.fill([*upper, (x - w, y - max(up, rim)), (x + w, y - max(up, rim))], lid)
    sheet.fill([*lower, (x - w, y + max(down, rim)), (x + w, y + max(down, rim))], head.skin)
    sheet.line(upper, mix(head.hair, (20, 10, 10), 0.6), 0.035)
    sheet.line(lower, mix(head.skin, (90, 40, 30), 0.45), 0.016)


def _draw_brow(sheet: Sheet, head: Head, pose: Pose, side: int) -> None:
    """From the inner to the outer end, thinner outwards."""
    base, t = -0.12 - head.brow, head.thick
    inner = (side * (head.apart - 0.17 - pose.knit), base - pose.inner - head.slant)
    bend = (side * (head.apart + 0.05), base - 0.045 - 0.35 * pose.inner - 0.7 * pose.outer)
    outer = (side * (head.apart + 0.22), base + 0.02 - pose.outer + head.slant)
    edge = [(inner[0], inner[1] + t), (bend[0], bend[1] + 0.9 * t), outer]
    sheet.fill(
        [inner, bend, (outer[0], outer[1] - 0.01), *reversed(edge)], mix(head.hair, (20, 14, 12), 0.25)
    )


def _draw_nose(sheet: Sheet, head: Head, pose: Pose) -> None:
    w, tip = head.nose * (1 + 0.25 * pose.wrinkle), head.tip - 0.05 * pose.wrinkle
    shade = mix(head.skin, (90, 40, 30), 0.32)
    sheet.line([(0.05, -0.1), (0.06, tip - 0.1), (w, tip), (w * 0.7, tip + 0.05)], shade, 0.025)
    for side in (-1, 1):
        sheet.disc(side * w * 0.55, tip + 0.035, 0.035, mix(shade, (40, 10, 10), 0.5))
    for i in range(3 if pose.wrinkle > 0.3 else 0):
        y, half = -0.14 + 0.07 * i, 0.06 + 0.02 * i
        sheet.line([(-half, y - 0.02), (0, y + 0.02), (half, y - 0.02)], mix(shade, head.skin, 0.2), 0.022)


def _draw_mouth(sheet: Sheet, head: Head, pose: Pose) -> None:
    """Upper lip, what is between the lips (teeth above), lower lip; one corner may stand higher."""
    y, w, lip = 0.52, head.mouth + pose.width, head.lip * (1 - 0.75 * min(1.0, pose.press))
    curve, gape = head.rest + pose.curve, max(0.0, pose.gape)
    ts = [i / 6 - 1 for i in range(13)]  # corner to corner

    def row(middle: float, weight: float) -> list[Point]:
        """A curve from corner to corner whose middle lies lower by `middle`, pulled up by the upper lip."""
        points = []
        for t in ts:
            pull = pose.smirk * max(0.0, t * head.side) ** 2
            lift = pose.upper * weight * (1 - t * t)
            rise = curve * (t * t - 0.35) + 0.12 * pull
            arch = (1 - t * t) ** 0.7  # rounder than a parabola
            points.append((w * t + 0.07 * pull * head.side, y - rise + middle * arch - lift))
        return points

    top, above = row(-lip * 1.1 - 0.2 * gape, 1), row(-0.25 * gape, 0.8)
    below, bottom = row(0.8 * gape, 0), row(0.8 * gape + 1.2 * lip, 0)
    sheet.fill([*top, *reversed(above)], mix(head.lips, (90, 30, 30), 0.15))
    sheet.fill([*below, *reversed(bottom)], head.lips)
    if gape + pose.upper > 0.03:
        sheet.fill([*above, *reversed(below)], (70, 20, 24))
        drop = 0.3 * (gape + pose.upper)
        teeth = [(x, min(v + drop, w)) for (x, v), (_, w) in zip(above, below, strict=True)]
        sheet.fill([*above[2:-2], *reversed(teeth[2:-2])], (238, 234, 226))
    else:
        sheet.line(above, (96, 40, 40), 0.026)


def _draw_folds(sheet: Sheet, head: Head, pose: Pose) -> None:
    """Cheeks, forehead, between the brows, and the dimple of a smirk."""
    fold = mix(head.skin, (90, 40, 30), 0.38)
    w = head.mouth + pose.width
    for side in (-1, 1):
        if pose.cheek > 0.3:
            sheet.line(
                [(side * 0.15, head.tip), (side * 0.27, 0.34), (side * (w + 0.09), 0.5)],
                fold,
                0.025 * pose.cheek,
            )
        if pose.knit > 0.03:
            sheet.line([(side * 0.05, -0.42), (side * 0.04, -0.27)], fold, 0.024)
    if pose.inner > 0.08:
        half = 0.34 if pose.outer > 0.1 else 0.17
        for y in (-0.58, -0.66):
            sheet.line([(-half, y), (0, y - 0.015), (half, y)], fold, 0.018)
    if pose.smirk > 0.3:
        x = head.side * (w + 0.11)
        sheet.line([(x - head.side * 0.03, 0.34), (x, 0.42), (x - head.side * 0.01, 0.5)], fold, 0.028)


def _ellipse(x: float, y: float, rx: float, ry: float, start: float = 0, end: float = 2 * pi) -> list[Point]:
    steps = 20
    angles = [start + (end - start) * i / steps for i in range(steps + 1)]
    return [(x + rx * cos(a), y + ry * sin(a)) for a in angles]


def _circle() -> list[Point]:
    return _ellipse(0, 0, 1, 1)


def _half() -> list[Point]:
    """The upper half of a flat lens, left to right: (-1, 0) .. (0, 1) .. (1, 0)."""
    return [(cos(pi - pi * i / 10), sin(pi * i / 10)) for i in range(11)]
