"""The face at the apex of an event: kept small while the event lasts, since its end shows which frame it was.

Legend: H rows, W columns.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from PIL import Image as Pillow

from mien.labels import EMOTIONS
from mien.results.clip_bins import shown
from mien.types import Face, Frame, Image
from mien.video.events import Event, EventOptions

SIDE: Final = 96  # pixels, of the longer side
MARGIN: Final = 0.15  # of the box, on each side
FORGET: Final = 250  # frames after its end at which a run is dropped that made no event


@dataclass(slots=True)
class _Run:
    """A stretch at or above `leave`, as `run/events.py` finds it."""

    start: float  # seconds
    end: float | None = None  # seconds, of the last frame at or above `leave`; None: it goes on
    peak: float = -1.0
    picture: Image | None = None  # of the frame with the peak
    age: int = 0  # frames since the end


@dataclass(slots=True)
class Apexes:
    """Holds the face of the strongest frame of each run that may become an event."""

    options: EventOptions
    _runs: dict[tuple[int, str], list[_Run]] = field(default_factory=dict)  # the last two of each

    def add(self, frame: Frame, pixels: Image | None) -> None:
        """Take a frame with its (H, W, 3) pixels; None: it has none."""
        if frame.time is None:
            return
        self._age(frame.time)
        for face in frame.faces:
            values = shown(face)
            if values is None or face.track is None:
                continue
            for emotion in self.options.emotions:
                value = float(values[EMOTIONS.index(emotion)])
                if value >= self.options.leave:
                    run = self._run(face.track, emotion, frame.time)
                    if value > run.peak:
                        run.peak, run.picture = value, None if pixels is None else cut_face(pixels, face)

    def take(self, event: Event) -> Image | None:
        """The face at the event's apex, at most 96 pixels a side; None: there were no pixels."""
        runs = self._runs.get((event.track, event.emotion), [])
        found = next((run for run in runs if run.start == event.onset), None)
        if found is None:
            return None
        runs.remove(found)
        return found.picture

    def _age(self, time: float) -> None:
        """Runs end where this frame begins, unless it goes on with them; old ones are dropped."""
        for key, runs in list(self._runs.items()):
            for run in runs:
                run.end = time if run.end is None else run.end
                run.age += 1
            self._runs[key] = [run for run in runs if run.age <= FORGET]
            if not self._runs[key]:
                del self._runs[key]

    def _run(self, track: int, emotion: str, time: float) -> _Run:
        runs = self._runs.setdefault((track, emotion), [])
        if runs and runs[-1].end is not None and time - runs[-1].end <= self.options.bridge + 1e-9:
            run = runs[-1]
            run.end, run.age = None, 0
            return run
        runs.append(_Run(time))
        del runs[:-2]
        return runs[-1]


def cut_face(pixels: Image, face: Face) -> Image | None:
    """The face with a margin from (H, W, 3) or (H, W) pixels, small; None: it lies outside."""
    x, y, width, height = face.box
    dx, dy = MARGIN * width, MARGIN * height
    left, top = max(0, round(x - dx)), max(0, round(y - dy))
    cut = pixels[top : max(0, round(y + height + dy)), left : max(0, round(x + width + dx))]
    if not cut.size:
        return None
    small = Pillow.fromarray(np.ascontiguousarray(cut)).convert("RGB")
    small.thumbnail((SIDE, SIDE), Pillow.Resampling.BILINEAR)
    return np.asarray(small)
