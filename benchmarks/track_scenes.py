"""Clips whose truth is known: real faces moved over backgrounds, drawn in memory from fixed seeds.

`KINDS` lists the kinds of scenes; `track_people` cuts out who is in them, `track_paths` says where they go
and `track_stage` draws them.

Legend: T frames of a scene, x y in pixels of the frame.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from track_paths import passing, smooth, sway, wander
from track_people import Doubles, Head, People, Rng
from track_stage import HEIGHT, WIDTH, Actor, Scene

FPS = 25


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


def _scene(kind: str, seed: int, times: Doubles, actors: list[Actor], people: People, **more: Any) -> Scene:
    rng = np.random.default_rng(seed + 10**6)
    still = {"shot": np.zeros(len(times), np.int64), "camera": np.zeros((len(times), 2))}
    return Scene(kind, seed, times, actors, canvases=[people.canvas(rng)], **{**still, **more})


def _steady(seconds: float, fps: float = FPS) -> Doubles:
    return np.arange(int(seconds * fps)) / fps


def crossing(people: People, seed: int, photos: int = 1) -> Scene:
    """Two people pass close by one another, twice, and neither is hidden."""
    rng, times = np.random.default_rng(seed), _steady(8)
    paths = passing(rng, times, rng.uniform(95, 130), rng.uniform(0.2, 0.8), (2.2, 5.8))
    heads = people.draw(rng, 2, photos)
    actors = [_actor(times, i, h, p, rng) for i, (h, p) in enumerate(zip(heads, paths, strict=True))]
    return _scene("crossing", seed, times, actors, people)


def occluded(people: People, seed: int, photos: int = 1) -> Scene:
    """Two people pass, twice, and one is hidden behind the other for 0.2 to 0.8 s."""
    rng, times = np.random.default_rng(seed), _steady(8)
    paths = passing(rng, times, rng.uniform(-20, 20), rng.uniform(0.2, 0.8), (2.2, 5.8))
    heads = people.draw(rng, 2, photos)
    actors = [_actor(times, i, h, p, rng) for i, (h, p) in enumerate(zip(heads, paths, strict=True))]
    if photos > 1:
        for actor in actors:  # after the first meeting everybody looks different
            actor.head[times > 2.2] = 1
    return _scene("occluded", seed, times, actors, people)


def changed(people: People, seed: int) -> Scene:
    """As `occluded`, and whoever was hidden comes back as another photo of the same person."""
    scene = occluded(people, seed, photos=2)
    scene.actors[1].head[:] = 0  # the nearer one is in sight all the time and stays as he is
    scene.kind = "changed"
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
    actors = [
        _actor(times, i, h, smooth(times, k), rng) for i, (h, k) in enumerate(zip(heads, knots, strict=True))
    ]
    return _scene("returning", seed, times, actors, people)


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
    return _scene("lost", seed, times, actors, people, walls=walls)


def crowd(people: People, seed: int, times: Doubles | None = None) -> Scene:
    """Five to eight people who wander about, nearer ones in front."""
    rng = np.random.default_rng(seed)
    times = _steady(8) if times is None else times
    count = int(rng.integers(5, 9))
    sides = np.sort(rng.uniform(38, 75, count))
    heads = people.draw(rng, count)
    actors = [
        _actor(times, i, heads[i], wander(times, rng, sides[i], rng.uniform(0.6, 1.6)), rng)
        for i in range(count)
    ]
    return _scene("crowd", seed, times, actors, people)


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
    return _scene("entering", seed, times, actors, people)


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
    return _scene("scale", seed, times, actors, people)


def cuts(people: People, seed: int) -> Scene:
    """Three to five shots of 1.4 to 2.4 s: other people at the same places, another background."""
    rng = np.random.default_rng(seed)
    lengths = rng.uniform(1.4, 2.4, int(rng.integers(3, 6)))
    times = _steady(float(lengths.sum()))
    shot = np.searchsorted(np.cumsum(lengths), times, side="right").clip(0, len(lengths) - 1)
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
        actor.present = shot == which
        actors.append(actor)
    canvases = [people.canvas(rng) for _ in lengths]
    scene = _scene("cuts", seed, times, actors, people, shot=shot)
    scene.canvases = canvases
    return scene


def shake(people: People, seed: int) -> Scene:
    """A camera held by hand that also swings to the side."""
    rng, times = np.random.default_rng(seed), _steady(8)
    actors = []
    count = int(rng.integers(2, 5))
    for i, heads in enumerate(people.draw(rng, count)):
        side, x = rng.uniform(50, 80), WIDTH * (i + 0.5) / count
        knots = [
            (t, x + rng.uniform(-50, 50), HEIGHT / 2 + rng.uniform(-60, 60), side) for t in range(0, 10, 2)
        ]
        actors.append(_actor(times, i, heads, smooth(times, knots), rng))
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
    return _scene("shake", seed, times, actors, people, camera=jitter + smooth(times, knots)[:, :2])


def sparse(people: People, seed: int) -> Scene:
    """A few who wander, at 5 frames a second or at times that jump by 0.02 to 0.25 s."""
    rng = np.random.default_rng(seed)
    times = _steady(10, 5) if seed % 2 else np.cumsum(rng.choice([0.02, 0.04, 0.1, 0.25], 100))
    count = int(rng.integers(2, 5))
    sides = np.sort(rng.uniform(50, 80, count))
    heads = people.draw(rng, count)
    actors = [
        _actor(times, i, heads[i], wander(times, rng, sides[i], rng.uniform(0.5, 1.3)), rng)
        for i in range(count)
    ]
    return _scene("sparse", seed, times, actors, people)


def seconds(people: People, seed: int) -> Scene:
    """Two to four people who sit and sway, at one frame a second."""
    rng, times = np.random.default_rng(seed), _steady(30, 1)
    count = int(rng.integers(2, 5))
    actors = []
    for i, heads in enumerate(people.draw(rng, count)):
        side, x = rng.uniform(50, 80), WIDTH * (i + 0.5) / count
        knots = [
            (t, x + rng.uniform(-35, 35), HEIGHT / 2 + rng.uniform(-35, 35), side) for t in range(0, 32, 3)
        ]
        actors.append(_actor(times, i, heads, smooth(times, knots), rng))
    return _scene("seconds", seed, times, actors, people)


#: The kinds of scenes by name; each takes the people and a seed.
KINDS: Final[dict[str, Callable[[People, int], Scene]]] = {
    "crossing": crossing,
    "occluded": occluded,
    "changed": changed,
    "returning": returning,
    "lost": lost,
    "crowd": crowd,
    "entering": entering,
    "scale": scale,
    "cuts": cuts,
    "shake": shake,
    "sparse": sparse,
    "seconds": seconds,
}
