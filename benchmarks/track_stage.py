"""Draws the clips of `track_scenes` with their truth, and says what a middling detector would see in them.

A person's head follows a path, leans and is lit a little differently from frame to frame, and the whole
frame gets noise and JPEG, so that no two looks are alike.

Legend: T frames of a scene, x y in pixels of the frame.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import cos, radians, sin
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pil

from mien.faces.align import Matrix, invert, move
from mien.types import Face, Floats, Image
from track_people import CANVAS, Doubles, Head, Rng

WIDTH, HEIGHT = 640, 360
_GRID: Final = 11  # points a side at which it is asked whether a face is hidden


@dataclass(eq=False)
class Actor:
    """A person in a scene."""

    number: int
    heads: list[Head]
    path: Doubles  # (T, 3) x, y, side: where the face's box is, before the camera moves
    roll: Doubles  # (T,) degrees
    gain: Doubles  # (T,) brightness
    head: NDArray[np.int64]  # (T,) which head is shown; -1: turned away
    present: NDArray[np.bool_]  # (T,)

    def matrix(self, t: int, camera: Doubles) -> Matrix:
        """(2, 3) from pixels of the photo to pixels of frame `t`."""
        head = self.heads[max(0, int(self.head[t]))]
        x, y, side = self.path[t]
        scale, angle = side / head.side, radians(self.roll[t])
        turn = scale * np.array([[cos(angle), -sin(angle)], [sin(angle), cos(angle)]])
        middle = head.box[:2] + head.box[2:] / 2
        return np.column_stack([turn, np.array([x, y]) - camera - turn @ middle])


@dataclass(frozen=True, eq=False)
class Truth:
    """One face in one frame."""

    number: int
    box: tuple[float, float, float, float]
    landmarks: Floats  # (5, 2)
    visible: float  # share of the face in sight


@dataclass(frozen=True, eq=False)
class Shot:
    """One frame with its truth."""

    time: float
    pixels: Image  # (HEIGHT, WIDTH, 3)
    truth: tuple[Truth, ...]
    cut: bool  # the first of another scene


@dataclass(eq=False)
class Scene:
    """A clip to be drawn; actors stand far to near, later ones hide earlier ones."""

    kind: str
    seed: int
    times: Doubles  # (T,) seconds
    actors: list[Actor]
    canvases: list[Image]
    shot: NDArray[np.int64]  # (T,) which canvas
    camera: Doubles  # (T, 2)
    walls: list[Doubles] = field(default_factory=list)  # (T, 4) boxes that hide people; NaN: not there

    def frames(self) -> Iterator[Shot]:
        """The frames, drawn one after the other."""
        rng = np.random.default_rng(self.seed)
        for t, time in enumerate(self.times):
            cut = t > 0 and self.shot[t] != self.shot[t - 1]
            yield Shot(float(time), self._draw(t, rng), tuple(self._truth(t)), bool(cut))

    def _draw(self, t: int, rng: Rng) -> Image:
        left, top = (int(v) for v in (np.array(CANVAS) - (WIDTH, HEIGHT)) / 2 + self.camera[t])
        left, top = (int(np.clip(left, 0, CANVAS[0] - WIDTH)), int(np.clip(top, 0, CANVAS[1] - HEIGHT)))
        frame = Pil.fromarray(self.canvases[self.shot[t]][top : top + HEIGHT, left : left + WIDTH])
        for actor in self.actors:
            if actor.present[t]:
                _paste(frame, actor, t, self.camera[t])
        for wall in self.walls:
            if np.isfinite(wall[t, 0]):
                x, y, width, height = (int(v) for v in wall[t])
                frame.paste((70, 60, 50), (x, y, x + width, y + height))
        return _worn(frame, rng)

    def _truth(self, t: int) -> Iterator[Truth]:
        here = [a for a in self.actors if a.present[t]]
        for i, actor in enumerate(here):
            head, matrix = actor.heads[max(0, int(actor.head[t]))], actor.matrix(t, self.camera[t])
            x, y, side = actor.path[t]
            width, height = head.box[2:] * side / head.side
            x, y = x - self.camera[t, 0] - width / 2, y - self.camera[t, 1] - height / 2
            box = (float(x), float(y), float(width), float(height))
            seen = 0.0 if actor.head[t] < 0 else self._visible(box, here[i + 1 :], t)
            yield Truth(actor.number, box, move(matrix, head.landmarks), seen)

    def _visible(self, box: tuple[float, ...], nearer: Sequence[Actor], t: int) -> float:
        grid = (np.stack(np.meshgrid(*2 * [np.arange(_GRID)]), -1).reshape(-1, 2) + 0.5) / _GRID  # (G, 2)
        grid = grid[((grid - 0.5) ** 2).sum(1) < 0.25]
        points = grid * box[2:] + box[:2]
        free = ((points >= 0) & (points < (WIDTH, HEIGHT))).all(1)
        for wall in (w[t] for w in self.walls if np.isfinite(w[t, 0])):
            free &= ~((points >= wall[:2]) & (points < wall[:2] + wall[2:])).all(1)
        for actor in nearer:
            head, back = actor.heads[max(0, int(actor.head[t]))], invert(actor.matrix(t, self.camera[t]))
            on_photo = (points @ back[:, :2].T + back[:, 2]) / head.picture.size
            free &= ((on_photo - 0.5) ** 2).sum(1) > 0.22
        return float(free.mean())


def _paste(frame: Pil.Image, actor: Actor, t: int, camera: Doubles) -> None:
    head, matrix = actor.heads[max(0, int(actor.head[t]))], actor.matrix(t, camera)
    picture = head.picture
    shrink = max(1, int(1 / np.hypot(matrix[0, 0], matrix[1, 0])))
    if shrink > 1:
        picture, matrix = picture.reduce(shrink), matrix @ np.diag([shrink, shrink, 1.0])
    size = np.array(picture.size)
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * size @ matrix[:, :2].T + matrix[:, 2]
    left, top = np.floor(corners.min(0)).astype(int)
    right, bottom = np.ceil(corners.max(0)).astype(int)
    matrix = np.column_stack([matrix[:, :2], matrix[:, 2] - (left, top)])
    drawn = picture.transform(
        (int(right - left), int(bottom - top)),
        Pil.Transform.AFFINE,
        tuple(invert(matrix).ravel()),
        Pil.Resampling.BILINEAR,
    )
    *colours, alpha = drawn.split()
    if actor.head[t] < 0:  # the back of a head: the same outline, dark and without a face
        colours = [Pil.new("L", drawn.size, level) for level in (52, 44, 38)]
    else:
        colours = [band.point([min(255, int(v * actor.gain[t])) for v in range(256)]) for band in colours]
    frame.paste(Pil.merge("RGB", colours), (int(left), int(top)), alpha)


def _worn(frame: Pil.Image, rng: Rng) -> Image:
    """What a camera and a codec leave: noise and JPEG."""
    noise = rng.integers(-8, 9, (HEIGHT, WIDTH, 1), np.int16)
    noisy = (np.asarray(frame) + noise).clip(0, 255).astype(np.uint8)
    data = io.BytesIO()
    Pil.fromarray(noisy).save(data, "JPEG", quality=70)
    return np.asarray(Pil.open(data))


def simulated(shot: Shot, rng: Rng) -> list[Face]:
    """What a middling detector would say of a frame: boxes that tremble, some missing, a few that lie."""
    faces = []
    for truth in shot.truth:
        if rng.random() < 0.95 * np.clip((truth.visible - 0.35) / 0.3, 0, 1):
            side = float(np.sqrt(truth.box[2] * truth.box[3]))
            shift, growth = rng.normal(0, 0.03 * side, 2), float(np.exp(rng.normal(0, 0.03)))
            faces.append(_moved(truth, shift, growth, score=float(0.6 + 0.35 * truth.visible)))
    if rng.random() < 0.01:
        x, y, side = rng.uniform(0, WIDTH - 60), rng.uniform(0, HEIGHT - 60), rng.uniform(30, 60)
        faces.append(Face((x, y, side, side), np.full((5, 2), (x, y), np.float32), 0.62))
    return faces


def _moved(truth: Truth, shift: Doubles, growth: float, score: float) -> Face:
    x, y, width, height = truth.box
    middle = np.array([x + width / 2, y + height / 2])
    left, top = middle + shift - np.array([width, height]) * growth / 2
    landmarks = ((truth.landmarks - middle) * growth + middle + shift).astype(np.float32)
    return Face((float(left), float(top), width * growth, height * growth), landmarks, score)
