"""Clips whose truth is known: heads cut out of press photos, moved over backgrounds, drawn from fixed seeds.

In the order of the file: who is in a clip (`People`), where they go (paths), how a frame is drawn (`Scene`),
the kinds of scenes (`KINDS`), and what a middling detector would see (`simulate_detections`).

Truth boxes are what the photo detector finds on the photo, carried along, so that they mean what a detector's
boxes mean. People come in two halves, one to tune on and one to report.

Legend: T frames of a scene; x y of a face's middle and side in pixels of the frame.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from math import cos, radians, sin
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pil
from PIL import ImageFilter

from mien.faces.align import Matrix, invert, move
from mien.faces.detect import YuNet
from mien.types import Face, Floats, Image

FPS = 25
WIDTH, HEIGHT = 640, 360
CANVAS: Final = (1400, 800)  # pixels of a background, so that the camera can move
GRID: Final = 11  # points per side at which it is asked whether a face is hidden
Doubles = NDArray[np.float64]
Rng = np.random.Generator


@dataclass(frozen=True, eq=False)
class Head:
    """One photo, cut out."""

    picture: Pil.Image  # RGBA, alpha a soft ellipse
    box: Doubles  # (4,) x, y, width, height of the face in pixels of the photo
    landmarks: Floats  # (5, 2)

    @property
    def side(self) -> float:
        """Root of the area of the face's box, in pixels of the photo."""
        return float(np.sqrt(self.box[2] * self.box[3]))


class People:
    """One half of the people of photos.zip; a head is cut when it is asked for."""

    def __init__(self, archive: Path, half: int) -> None:
        self._zip = zipfile.ZipFile(archive)
        self._detector = YuNet()
        names = sorted(n for n in self._zip.namelist() if n.endswith(".jpg"))
        of: dict[str, list[str]] = {}
        for name in names:
            of.setdefault(name.rsplit("_", 1)[0], []).append(name)
        self._photos = [of[person] for person in sorted(of)[half::2]]
        self._several = [photos for photos in self._photos if len(photos) > 1]
        self._head = lru_cache(maxsize=400)(self._cut)

    def draw(self, rng: Rng, number: int, photos: int = 1) -> list[list[Head]]:
        """The heads of so many people, each from so many of their photos."""
        found: list[list[Head]] = []
        pool = self._photos if photos == 1 else self._several
        for i in rng.permutation(len(pool)):
            heads = [head for name in pool[i] if (head := self._head(name)) is not None][:photos]
            found += [heads] if len(heads) == photos else []
            if len(found) == number:
                return found
        raise ValueError(f"expected {number} people with {photos} photos, got {len(found)}")

    def canvas(self, rng: Rng) -> Image:
        """A background: a blurred, enlarged photo in another tint, with things in it."""
        name = self._photos[rng.integers(len(self._photos))][0]
        blurred = self._read(name).resize((48, 32)).filter(ImageFilter.GaussianBlur(2))
        large = np.asarray(blurred.resize(CANVAS, Pil.Resampling.BICUBIC), np.float32)
        large = large * rng.uniform(0.75, 1.1, 3).astype(np.float32)
        for _ in range(40):
            x, y = rng.integers(0, CANVAS[0]), rng.integers(0, CANVAS[1])
            width, height = rng.integers(20, 200, 2)
            large[y : y + height, x : x + width] *= rng.uniform(0.6, 1.5)
        grain = rng.normal(0, 14, (CANVAS[1] // 4, CANVAS[0] // 4)).repeat(4, 0).repeat(4, 1)
        return (large + grain[:, :, None]).clip(0, 255).astype(np.uint8)

    def _read(self, name: str) -> Pil.Image:
        return Pil.open(io.BytesIO(self._zip.read(name))).convert("RGB")

    def _cut(self, name: str) -> Head | None:
        """The head of a photo; None where the photo is small, or no one large face is found."""
        picture = self._read(name)
        if min(picture.size) < 150:
            return None
        faces = self._detector.detect(np.asarray(picture))
        if not faces or faces[0].score < 0.8 or faces[0].box[2] < 0.4 * picture.width:
            return None
        x, y = (((np.arange(n) + 0.5) / n - 0.5) ** 2 for n in picture.size)
        alpha = ((0.5 - np.sqrt(x[None] + y[:, None])) / 0.05).clip(0, 1) * 255
        picture.putalpha(Pil.fromarray(alpha.astype(np.uint8)))
        return Head(picture, np.array(faces[0].box, float), faces[0].landmarks)


def smooth(times: Doubles, knots: Sequence[tuple[float, ...]]) -> Doubles:
    """(T, 3) x, y, side through (time, x, y, side), slow at each."""
    array = np.array(knots)
    at = np.interp(times, array[:, 0], np.arange(len(array)))
    whole = np.floor(at)
    eased = whole + (1 - np.cos(np.pi * (at - whole))) / 2
    return np.column_stack([np.interp(eased, np.arange(len(array)), array[:, i]) for i in (1, 2, 3)])


def sway(times: Doubles, rng: Rng, low: float = 0.3, high: float = 1.8) -> Doubles:
    """(T,) within about [-1, 1]: two slow waves."""
    waves = rng.uniform([low, 0], [high, 2 * np.pi], (2, 2))
    return sum(np.sin(2 * np.pi * f * times + p) for f, p in waves) / 2  # type: ignore[no-any-return]


def wander(times: Doubles, rng: Rng, side: float, pace: float) -> Doubles:
    """(T, 3) from place to place within the frame; `pace` in sides a second."""
    inside = np.array([[side, WIDTH - side], [side, HEIGHT - side]])
    time, place = 0.0, rng.uniform(*inside.T)
    knots = [(time, *place, side)]
    while time < times[-1]:
        goal = rng.uniform(*inside.T)
        time += max(0.5, float(np.hypot(*(goal - place))) / (pace * side))
        place = goal
        knots.append((time, *place, side * rng.uniform(0.9, 1.1)))
    return smooth(times, knots)


def passing(rng: Rng, times: Doubles, offset: float, gap: float, meet: Sequence[float]) -> list[Doubles]:
    """Two paths that pass each other at the times `meet`; `offset` and `gap` in pixels and seconds.

    `gap` is the time that they need to go by one another by a face's side.
    """
    sides = rng.uniform(60, 90) * rng.uniform(0.92, 1.08, 2)
    speed = sides.mean() / gap / 2  # pixels a second, each
    middle = np.array([WIDTH / 2 + rng.uniform(-60, 60), HEIGHT / 2 + rng.uniform(-30, 30)])
    angle = rng.uniform(-0.25, 0.25)
    along, across = np.array([cos(angle), sin(angle)]), np.array([-sin(angle), cos(angle)])
    reach = min(260.0, *(speed * (b - a) / 2 for a, b in pairwise(meet)), 1e9)
    way = np.zeros(len(times))  # pixels from the middle, to and fro
    for i, moment in enumerate(meet):
        near = (times - moment) * speed * (-1) ** i
        way = np.where(np.abs(times - moment) * speed <= reach, near.clip(-reach, reach), way)
    first = (times < meet[0]) & (np.abs(times - meet[0]) * speed > reach)
    between = np.searchsorted(meet, times) - 1  # after which meeting
    rest = np.abs(way) < 1e-9
    way = np.where(rest & ~first, reach * (-1.0) ** between.clip(0), way)
    way = np.where(first, -reach, way)
    kernel = np.ones(5) / 5  # nobody turns on the spot
    way = np.convolve(np.pad(way, 2, mode="edge"), kernel, "valid")
    paths = []
    for sign, side in zip((1, -1), sides, strict=True):
        at = middle + sign * (way[:, None] * along + offset / 2 * across)
        paths.append(np.column_stack([at, np.full(len(times), side)]))
    return paths


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
class TrueFrame:
    """One frame with its truth."""

    time: float
    pixels: Image  # (HEIGHT, WIDTH, 3)
    truth: tuple[Truth, ...]


@dataclass(eq=False)
class Scene:
    """A clip to be drawn; actors stand far to near, later ones hide earlier ones."""

    seed: int
    times: Doubles  # (T,) seconds
    actors: list[Actor]
    canvases: list[Image]
    place: NDArray[np.int64]  # (T,) which canvas
    camera: Doubles  # (T, 2)
    walls: list[Doubles] = field(default_factory=list)  # (T, 4) boxes that hide people; NaN: not there

    def frames(self) -> Iterator[TrueFrame]:
        """The frames, drawn one after the other."""
        rng = np.random.default_rng(self.seed)
        for t, time in enumerate(self.times):
            yield TrueFrame(float(time), self._draw(t, rng), tuple(self._truth(t)))

    def _draw(self, t: int, rng: Rng) -> Image:
        left, top = (int(v) for v in (np.array(CANVAS) - (WIDTH, HEIGHT)) / 2 + self.camera[t])
        left, top = (int(np.clip(left, 0, CANVAS[0] - WIDTH)), int(np.clip(top, 0, CANVAS[1] - HEIGHT)))
        frame = Pil.fromarray(self.canvases[self.place[t]][top : top + HEIGHT, left : left + WIDTH])
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
        grid = (np.stack(np.meshgrid(*2 * [np.arange(GRID)]), -1).reshape(-1, 2) + 0.5) / GRID  # (G, 2)
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


def _actor(times: Doubles, number: int, heads: list[Head], path: Doubles, rng: Rng) -> Actor:
    """A person on a path, with the small movements of a living one."""
    bob = np.column_stack([sway(times, rng), sway(times, rng)]) * path[:, 2:] * 0.06
    path = np.column_stack([path[:, :2] + bob, path[:, 2] * (1 + 0.03 * sway(times, rng))])
    return Actor(
        number,
        heads,
        path,
        roll=8 * sway(times, rng, 0.1, 0.8),
        gain=1 + 0.15 * sway(times, rng, 0.1, 0.6),
        head=np.zeros(len(times), np.int64),
        present=np.ones(len(times), bool),
    )


def _actors(times: Doubles, heads: Sequence[list[Head]], paths: Sequence[Doubles], rng: Rng) -> list[Actor]:
    return [_actor(times, i, h, p, rng) for i, (h, p) in enumerate(zip(heads, paths, strict=True))]


def _scene(seed: int, times: Doubles, actors: list[Actor], people: People, **more: Any) -> Scene:
    rng = np.random.default_rng(seed + 10**6)
    still = {"place": np.zeros(len(times), np.int64), "camera": np.zeros((len(times), 2))}
    return Scene(seed, times, actors, canvases=[people.canvas(rng)], **{**still, **more})


def _steady(seconds: float, fps: float = FPS) -> Doubles:
    return np.arange(int(seconds * fps)) / fps


def crossing(people: People, seed: int, photos: int = 1) -> Scene:
    """Two people pass close by one another, twice, and neither is hidden."""
    rng, times = np.random.default_rng(seed), _steady(8)
    paths = passing(rng, times, rng.uniform(95, 130), rng.uniform(0.2, 0.8), (2.2, 5.8))
    heads = people.draw(rng, 2, photos)
    actors = _actors(times, heads, paths, rng)
    return _scene(seed, times, actors, people)


def occluded(people: People, seed: int, photos: int = 1) -> Scene:
    """Two people pass, twice, and one is hidden behind the other for 0.2 to 0.8 s."""
    rng, times = np.random.default_rng(seed), _steady(8)
    paths = passing(rng, times, rng.uniform(-20, 20), rng.uniform(0.2, 0.8), (2.2, 5.8))
    heads = people.draw(rng, 2, photos)
    actors = _actors(times, heads, paths, rng)
    if photos > 1:
        for actor in actors:  # after the first meeting everybody looks different
            actor.head[times > 2.2] = 1
    return _scene(seed, times, actors, people)


def changed(people: People, seed: int) -> Scene:
    """As `occluded`, and whoever was hidden comes back as another photo of the same person."""
    scene = occluded(people, seed, photos=2)
    scene.actors[1].head[:] = 0  # the nearer one is in sight all the time and stays as he is
    return scene


def returning(people: People, seed: int) -> Scene:
    """Two people meet, one behind the other for 0.2 to 0.8 s, and each goes back: motion misleads."""
    rng, times = np.random.default_rng(seed), _steady(8)
    hidden, side = rng.uniform(0.2, 0.8), rng.uniform(60, 90)
    x, y = WIDTH / 2 + rng.uniform(-60, 60), HEIGHT / 2 + rng.uniform(-30, 30)
    knots: list[list[tuple[float, ...]]] = [[], []]
    for meet in (2.2, 5.8):
        for sign, knot in zip((-1, 1), knots, strict=True):
            away, near = sign * 170, sign * 0.18 * side
            knot += [(meet - 1.5, x + away, y, side), (meet - hidden / 2, x + near, y, side)]
            knot += [(meet + hidden / 2, x + near, y, side), (meet + 1.5, x + away, y, side)]
    heads = people.draw(rng, 2)
    actors = _actors(times, heads, [smooth(times, k) for k in knots], rng)
    return _scene(seed, times, actors, people)


def lost(people: People, seed: int) -> Scene:
    """Faces that turn away, or that something passes in front of, for 0.2 to 0.8 s."""
    rng, times = np.random.default_rng(seed), _steady(8)
    count = int(rng.integers(2, 4))
    actors, walls = [], []
    for i, heads in enumerate(people.draw(rng, count)):
        side, x = rng.uniform(60, 90), WIDTH * (i + 0.5) / count
        knots = [
            (t, x + rng.uniform(-60, 60), HEIGHT / 2 + rng.uniform(-70, 70), side) for t in range(0, 10, 2)
        ]
        actor = _actor(times, i, heads, smooth(times, knots), rng)
        for start in (rng.uniform(1, 3), rng.uniform(4, 6)):
            gone = (times >= start) & (times < start + rng.uniform(0.2, 0.8))
            if rng.random() < 0.5:
                actor.head[gone] = -1
            else:
                wall = np.full((len(times), 4), np.nan)
                wall[gone] = [0, 0, 1.3 * side, 1.7 * side]
                wall[gone, :2] += actor.path[gone, :2] - [0.65 * side, 0.85 * side]
                walls.append(wall)
        actors.append(actor)
    return _scene(seed, times, actors, people, walls=walls)


def _wanderers(
    people: People,
    rng: Rng,
    times: Doubles,
    counts: tuple[int, int],
    sizes: tuple[float, float],
    paces: tuple[float, float],
) -> list[Actor]:
    count = int(rng.integers(*counts))
    sides = np.sort(rng.uniform(*sizes, count))
    heads = people.draw(rng, count)
    return [
        _actor(times, i, heads[i], wander(times, rng, sides[i], rng.uniform(*paces)), rng)
        for i in range(count)
    ]


def crowd(people: People, seed: int) -> Scene:
    """Five to eight people who wander about, nearer ones in front."""
    rng, times = np.random.default_rng(seed), _steady(8)
    actors = _wanderers(people, rng, times, (5, 9), (38, 75), (0.6, 1.6))
    return _scene(seed, times, actors, people)


def entering(people: People, seed: int) -> Scene:
    """Four to six people, each of whom comes from one edge and leaves by another."""
    rng, times = np.random.default_rng(seed), _steady(10)
    actors = []
    for i, heads in enumerate(people.draw(rng, int(rng.integers(4, 7)))):
        side, start = rng.uniform(45, 85), rng.uniform(-1, 6)
        y = rng.uniform(side, HEIGHT - side, 3)
        edges = (-side, WIDTH + side)[:: 1 if rng.random() < 0.5 else -1]
        middle, stay = rng.uniform(150, 490), rng.uniform(0.1, 1)
        knots = [
            (start, edges[0], y[0], side),
            (start + 1.8, middle, y[1], side),
            (start + 1.8 + stay, middle + 20, y[1], side),
            (start + 3.6 + stay, edges[int(rng.random() < 0.7)], y[2], side),
        ]
        actors.append(_actor(times, i, heads, smooth(times, knots), rng))
    return _scene(seed, times, actors, people)


def scale(people: People, seed: int) -> Scene:
    """People who walk to the camera and away from it."""
    rng, times = np.random.default_rng(seed), _steady(7)
    actors = []
    for i, heads in enumerate(people.draw(rng, 3)):
        far, near = rng.uniform(28, 40), rng.uniform(110, 160)
        sizes = (far, near, far) if i % 2 else (near, far, near)
        x, turn = WIDTH * (i + 0.5) / 3, rng.uniform(2.5, 4.5)
        knots = [
            (t, x + rng.uniform(-30, 30), HEIGHT / 2 + rng.uniform(-30, 30), s)
            for t, s in zip((0, turn, 7), sizes, strict=True)
        ]
        actors.append(_actor(times, i, heads, smooth(times, knots), rng))
    return _scene(seed, times, actors, people)


def cuts(people: People, seed: int) -> Scene:
    """Three to five scenes of 1.4 to 2.4 s: other people at the same places, another background."""
    rng = np.random.default_rng(seed)
    lengths = rng.uniform(1.4, 2.4, int(rng.integers(3, 6)))
    times = _steady(float(lengths.sum()))
    place = np.searchsorted(np.cumsum(lengths), times, side="right").clip(0, len(lengths) - 1)
    count = int(rng.integers(1, 4))
    heads = people.draw(rng, count * len(lengths))
    places = [(WIDTH * (i + 0.5) / count, HEIGHT / 2 + rng.uniform(-40, 40)) for i in range(count)]
    actors = []
    for number, head in enumerate(heads):
        which, i = divmod(number, count)
        x, y = np.array(places[i]) + rng.normal(0, 10, 2)
        side = rng.uniform(65, 95)
        knots = [(t, x + rng.uniform(-30, 30), y + rng.uniform(-20, 20), side) for t in range(0, 14, 2)]
        actor = _actor(times, number, head, smooth(times, knots), rng)
        actor.present = place == which
        actors.append(actor)
    canvases = [people.canvas(rng) for _ in lengths]
    scene = _scene(seed, times, actors, people, place=place)
    scene.canvases = canvases
    return scene


def _swayers(people: People, rng: Rng, times: Doubles, reach: tuple[int, int], stops: range) -> list[Actor]:
    """Two to four people side by side, each of whom moves a little about a place."""
    count = int(rng.integers(2, 5))
    actors = []
    for i, heads in enumerate(people.draw(rng, count)):
        side, x = rng.uniform(50, 80), WIDTH * (i + 0.5) / count
        knots = [
            (t, x + rng.uniform(-reach[0], reach[0]), HEIGHT / 2 + rng.uniform(-reach[1], reach[1]), side)
            for t in stops
        ]
        actors.append(_actor(times, i, heads, smooth(times, knots), rng))
    return actors


def shake(people: People, seed: int) -> Scene:
    """A camera held by hand that also swings to the side."""
    rng, times = np.random.default_rng(seed), _steady(8)
    actors = _swayers(people, rng, times, (50, 60), range(0, 10, 2))
    strength = rng.uniform(4, 14)
    jitter = np.column_stack([sway(times, rng, 1, 7) for _ in range(2)]) * strength
    swing, start = rng.uniform(80, 220) * rng.choice([-1, 1]), rng.uniform(2, 4)
    length = rng.uniform(0.3, 1.2)
    knots = [
        (0.0, 0.0, 0.0, 0.0),
        (start, 0.0, 0.0, 0.0),
        (start + length, swing, 0.0, 0.0),
        (start + 2, swing, 0.0, 0.0),
        (start + 2 + length, 0.0, 0.0, 0.0),
        (20.0, 0.0, 0.0, 0.0),
    ]
    return _scene(seed, times, actors, people, camera=jitter + smooth(times, knots)[:, :2])


def sparse(people: People, seed: int) -> Scene:
    """A few who wander, at 5 frames a second or at times that jump by 0.02 to 0.25 s."""
    rng = np.random.default_rng(seed)
    times = _steady(10, 5) if seed % 2 else np.cumsum(rng.choice([0.02, 0.04, 0.1, 0.25], 100))
    actors = _wanderers(people, rng, times, (2, 5), (50, 80), (0.5, 1.3))
    return _scene(seed, times, actors, people)


def seconds(people: People, seed: int) -> Scene:
    """Two to four people who sit and sway, at one frame a second."""
    rng, times = np.random.default_rng(seed), _steady(30, 1)
    actors = _swayers(people, rng, times, (35, 35), range(0, 32, 3))
    return _scene(seed, times, actors, people)


#: The kinds of scenes by name; each takes the people and a seed.
SCENES: Final = (
    crossing,
    occluded,
    changed,
    returning,
    lost,
    crowd,
    entering,
    scale,
    cuts,
    shake,
    sparse,
    seconds,
)
KINDS: Final[dict[str, Callable[[People, int], Scene]]] = {scene.__name__: scene for scene in SCENES}


def simulate_detections(frame: TrueFrame, rng: Rng) -> list[Face]:
    """What a middling detector would say of a frame: boxes that tremble, some missing, a few that lie."""
    faces = []
    for truth in frame.truth:
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
