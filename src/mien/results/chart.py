"""The expressions of a clip over its time, as the pages chart them: means of each face over steps of time.

A `Timeline` takes frames one by one and keeps none, in a bounded number of steps, however long the clip
becomes. The charts themselves are SVG, in `templates/chart.html`.

Legend: T steps of time, E the eight emotions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mien.labels import EMOTIONS
from mien.results.draw import COLOURS
from mien.types import Face, Floats, Frame

MAX_STEPS: Final = 1500  # about the pixels of a wide screen
FIRST_STEP: Final = 1 / 32  # seconds of a step at first; it doubles when there are too many
MAX_FACES: Final = 48  # held; in a crowd those seen for the shortest time make way
SHOWN_FACES: Final = 12  # charts on a page, of the faces seen longest
HEIGHT: Final = 200  # units of a chart's height; one is half a per cent
TABLE_ROWS: Final = 12  # steps in numbers

Seconds = NDArray[np.float64]


def clock(time: float) -> str:
    """A time to a tenth of a second, as a player shows it.

    >>> clock(4.25), clock(83.0), clock(3725.5)
    ('0:04.2', '1:23.0', '1:02:05.5')
    """
    tenths = round(10 * time)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}:{minutes:02}" if hours else str(minutes)
    return f"{head}:{rest // 10:02}.{rest % 10}"


@dataclass(frozen=True, slots=True, eq=False)
class FaceSeries:
    """One face through a clip, to be drawn."""

    track: int | None
    edges: Seconds  # (T + 1,) seconds at which the steps begin, and the end
    values: Floats  # (T, E) mean probabilities of each step; NaN where the face is not in sight

    @property
    def name(self) -> str:
        """The name of the face on the page."""
        return "Faces" if self.track is None else f"Face {self.track}"

    @property
    def headline(self) -> str:
        """Which expression the face showed most."""
        mean = np.nanmean(self.values, axis=0)  # (E,)
        return f"shows {EMOTIONS[int(mean.argmax())]} most, {100 * mean.max():.0f}\u00a0% on average"

    def ticks(self, count: int) -> list[str]:
        """Times evenly from the start to the end."""
        return [clock(time) for time in np.linspace(self.edges[0], self.edges[-1], count).tolist()]

    def place(self, time: float) -> float:
        """Where a time stands in the chart, from 0 at its start to 1 at its end."""
        start, end = float(self.edges[0]), float(self.edges[-1])
        return (time - start) / (end - start)

    def layers(self) -> list[tuple[str, str]]:
        """(colour, outline) of an SVG path for each emotion, in T by `HEIGHT` units, the highest first.

        Each path covers all below it, and those that follow cover it in turn: so each edge is written once,
        which keeps the file small.
        """
        tops = np.nancumsum(self.values, axis=1)  # (T, E)
        heights = (HEIGHT * (1 - tops)).round().astype(int).clip(0, HEIGHT)  # down from the top
        seen = ~np.isnan(self.values[:, 0])
        runs = [list(run) for here, run in groupby(range(len(seen)), lambda i: bool(seen[i])) if here]
        outlines = [
            "".join(_outline(heights[run, e].tolist(), run[0]) for run in runs) for e in range(len(EMOTIONS))
        ]
        return list(zip(COLOURS.values(), outlines, strict=True))[::-1]

    def table(self) -> list[tuple[str, list[float]]]:
        """A few steps in numbers, for those who do not see the chart: time and the eight means."""
        seen = np.flatnonzero(~np.isnan(self.values[:, 0]))
        picks = seen[np.unique(np.linspace(0, len(seen) - 1, min(TABLE_ROWS, len(seen))).round().astype(int))]
        return [(clock(float(self.edges[i])), self.values[i].tolist()) for i in picks]


def _outline(heights: Sequence[int], first: int) -> str:
    """The area under one unbroken stretch: one stair per step, equal ones as one."""
    path, level = f"M{first} {HEIGHT}", HEIGHT
    for height, same in groupby(heights):
        path += f"v{height - level}h{len(list(same))}"
        level = height
    return path + f"V{HEIGHT}z"


class Timeline:
    """Means of each face over steps of time; frames come one by one and are not kept.

    A frame lasts until the next one begins. A frame without a time begins at its index, in seconds. The
    probabilities are the smoothed ones where there are such.
    """

    def __init__(self) -> None:
        self.start = 0.0  # seconds, of the first frame
        self.end = 0.0  # seconds, of the last frame
        self.step = FIRST_STEP  # seconds
        self._left_out = 0  # faces that made way
        #: by track: (MAX_STEPS, E + 1) sums of probability times seconds, and of seconds in sight
        self._faces: dict[int | None, NDArray[np.float64]] = {}
        self._last: tuple[float, Frame] | None = None  # the last frame, and the seconds at which it begins
        self._pace = 0.0  # seconds between the last two frames

    def __contains__(self, track: int | None) -> bool:
        return track in self._faces

    def add(self, frame: Frame) -> None:
        """Take the next frame."""
        time = float(frame.index) if frame.time is None else frame.time
        if self._last is None:
            self.start = self.end = time
        elif time > self._last[0]:
            self._pace = time - self._last[0]
            self._spread(*self._last, time)
        self._last = time, frame
        self._make_room(frame)

    def close(self) -> None:
        """End the last frame, which lasts as long as the one before it."""
        if self._last is not None:
            self._spread(*self._last, self._last[0] + (self._pace or 1.0))
        self._last = None

    def seconds(self, track: int | None) -> float:
        """How long a face was in sight."""
        return float(self._faces[track][:, -1].sum())

    def series(self) -> tuple[list[FaceSeries], int]:
        """The faces seen longest, the longest first, and how many more there were."""
        if self.end <= self.start:
            return [], 0
        used = min(MAX_STEPS, math.ceil((self.end - self.start) / self.step))
        edges: Seconds = self.start + self.step * np.arange(used + 1.0)  # (T + 1,)
        edges[-1] = self.end
        seen = sorted((track for track in self._faces if self.seconds(track)), key=self.seconds, reverse=True)
        shown = []
        for track in seen[:SHOWN_FACES]:
            area, seconds = self._faces[track][:used, :-1], self._faces[track][:used, -1:]  # (T, E), (T, 1)
            means = np.where(seconds > 0, area / np.where(seconds > 0, seconds, 1), np.nan)
            shown.append(FaceSeries(track, edges, means.astype("f4")))
        return shown, len(seen) - len(shown) + self._left_out

    def _spread(self, time: float, frame: Frame, end: float) -> None:
        """Spread a frame that lasts from `time` until `end` over the steps that it touches."""
        self.end = end
        while end - self.start > MAX_STEPS * self.step:  # merge the steps two by two
            self.step *= 2
            for sums in self._faces.values():
                half = sums[0::2] + sums[1::2]
                sums[: len(half)], sums[len(half) :] = half, 0
        low, high = (time - self.start) / self.step, (end - self.start) / self.step
        touched = np.arange(int(low), min(MAX_STEPS, math.ceil(high)))
        share = (np.minimum(high, touched + 1) - np.maximum(low, touched)) * self.step  # seconds in each
        for face in frame.faces:
            values = _probabilities(face)
            if values is not None and face.track in self._faces:
                self._faces[face.track][touched] += np.outer(share, np.append(values, 1.0))

    def _make_room(self, frame: Frame) -> None:
        """Begin with new faces, for which faces out of sight make way."""
        here = {face.track for face in frame.faces if _probabilities(face) is not None}
        for track in sorted(here - self._faces.keys(), key=lambda track: -1 if track is None else track):
            if len(self._faces) >= MAX_FACES:
                away = [n for n in self._faces if n not in here]
                if not away:
                    continue  # it gets its place when another face has gone
                del self._faces[min(away, key=self.seconds)]
                self._left_out += 1
            self._faces[track] = np.zeros((MAX_STEPS, len(EMOTIONS) + 1))


def _probabilities(face: Face) -> Floats | None:
    return face.probabilities if face.smoothed is None else face.smoothed
