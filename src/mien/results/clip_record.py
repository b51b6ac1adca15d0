"""What is kept of a clip for its page and its picture: bounded, however long it becomes."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from mien.results.clip_bins import Bins
from mien.results.clip_faces import Apexes
from mien.results.page import img
from mien.types import Frame, Image
from mien.video.events import Event, EventOptions

EVENTS: Final = 150  # a face, the strongest
PICTURES: Final = 12  # a face, of the strongest events
NOTES: Final = 20
PIXELS: Final = 96  # of a picture's longer side


@dataclass(slots=True)
class FaceRecord:
    """The events of one face."""

    counts: Counter[str] = field(default_factory=Counter)  # emotion: events, those not kept too
    _events: list[tuple[float, float, int, Event]] = field(default_factory=list)  # a heap, weakest first
    _pictures: list[tuple[float, float, int, str]] = field(default_factory=list)  # a heap of HTML images

    def add(self, event: Event, picture: Image | None) -> None:
        """Take an event and the face at its apex."""
        self.counts[event.emotion] += 1
        number = self.counts.total()
        _push(self._events, (event.peak, event.duration, number, event), EVENTS)
        if picture is not None:
            weakest = self._pictures[0][:2] if len(self._pictures) >= PICTURES else (-1.0, 0.0)
            if (event.peak, event.duration) > weakest:
                says = f"Face {event.track} at the apex of {event.emotion}"
                _push(
                    self._pictures, (event.peak, event.duration, number, img(picture, PIXELS, says)), PICTURES
                )

    def events(self) -> list[tuple[Event, str | None]]:
        """The strongest events in the order of time, each with its picture if that is kept."""
        pictures = {number: image for _, _, number, image in self._pictures}
        kept = [(event, pictures.get(number)) for _, _, number, event in self._events]
        return sorted(kept, key=lambda pair: (pair[0].onset, pair[0].emotion))


class ClipRecord:
    """Takes frames and events one by one."""

    def __init__(self, options: EventOptions) -> None:
        self.options = options
        self.bins = Bins()
        self.faces: dict[int, FaceRecord] = {}
        self.notes: dict[str, None] = {}  # each once, in order
        self.frames = 0
        self._apexes = Apexes(options)

    def add(self, frame: Frame, pixels: Image | None) -> None:
        """Take a frame and its pixels."""
        self.frames += 1
        self.bins.add(frame)
        self._apexes.add(frame, pixels)
        for note in frame.notes:
            if len(self.notes) < NOTES:
                self.notes[note] = None

    def event(self, event: Event) -> None:
        """Take an event that is over."""
        picture = self._apexes.take(event)
        if event.track not in self.bins:
            return
        self.faces = {n: face for n, face in self.faces.items() if n in self.bins}
        self.faces.setdefault(event.track, FaceRecord()).add(event, picture)

    def face(self, track: int) -> FaceRecord:
        """The events of a face; none if it had none."""
        return self.faces.get(track, FaceRecord())


def _push(heap: list[Any], item: Any, limit: int) -> None:
    """Add to a heap and drop its smallest if it is full."""
    if len(heap) < limit:
        heapq.heappush(heap, item)
    else:
        heapq.heappushpop(heap, item)
