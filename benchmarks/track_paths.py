"""The ways that people go in the clips of `track_scenes`.

Legend: T frames of a scene; x y of a face's middle and side in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import cos, sin

import numpy as np

from track_people import Doubles, Rng
from track_stage import HEIGHT, WIDTH


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
