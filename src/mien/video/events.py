"""Expressions and action units that come and go in a clip: events of its frames, one after the other.

There are two thresholds, as in edge finding (Canny, IEEE PAMI 8(6), 1986): an event is a stretch at or above
the lower one that reaches the higher, so that a probability that hovers about one threshold does not make a
dozen events. A frame lasts until the next one begins, so each frame is used when the next one comes.

Networks read an open mouth as surprise, and people who talk open it all the time. In FACS surprise has raised
brows (AU 1 and 2) or eyelids (AU 5), too (Ekman, Friesen and Hager, "Facial Action Coding System", 2002): a
stretch without them is no event of surprise. `benchmarks/results/smoothing.md` tells what that leaves out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from mien.errors import ConfigError
from mien.labels import EMOTIONS
from mien.types import Face, Frame, Image
from mien.units import ACTION_UNITS

#: Which ends of an event were not seen; None: both were.
CutEnds = Literal["start", "end", "both"] | None

#: The emotions that make events. Neutral is the rest between them: name it to get it too.
EXPRESSIONS: Final = EMOTIONS[1:]

FACE_SIDE: Final = 96  # pixels, of the longer side of the face at an apex
FACE_MARGIN: Final = 0.15  # of the box, on each side of it
_TOLERANCE: Final = 1e-9  # seconds: sums of time stamps are not exact
_SURPRISE: Final = "surprise"
_RAISED: Final = 0.15  # by which brows rise above where the person's are at rest, in a surprise
_QUARTILE: Final = 0.25  # of the time brows are lower than what counts as at rest


@dataclass(frozen=True, slots=True)
class EventOptions:
    """What counts as an event: a stretch of probability at or above `leave` that reaches `enter`.

    Raises:
        ConfigError: thresholds that are not 0 < leave <= enter <= 1, negative times, unknown emotions.
    """

    enter: float = 0.5  # probability that an event reaches at least once
    leave: float = 0.35  # probability below which it is over
    shortest: float = 0.2  # seconds; what is shorter is left out
    bridge: float = 0.2  # seconds below `leave`, or without the face, that do not end it
    emotions: tuple[str, ...] = EXPRESSIONS  # those that make events, of the eight
    units: bool = False  # the action units of FACS make events, too ...
    shortest_unit: float = 0.06  # ... from this many seconds: a blink lasts .1 to .4

    def __post_init__(self) -> None:
        if not 0 < self.leave <= self.enter <= 1:
            raise ConfigError(
                f"events: expected 0 < leave <= enter <= 1, got leave {self.leave} and enter {self.enter}"
            )
        if not all(seconds >= 0 for seconds in (self.shortest, self.shortest_unit, self.bridge)):
            raise ConfigError(
                "events: expected shortest, shortest_unit and bridge of 0 seconds or more, "
                f"got {self.shortest}, {self.shortest_unit} and {self.bridge}"
            )
        unknown = [e for e in self.emotions if e not in EMOTIONS]
        if unknown:
            raise ConfigError(f"events: expected emotions of {', '.join(EMOTIONS)}, got {', '.join(unknown)}")


@dataclass(frozen=True, slots=True)
class Event:
    """One expression or action unit shown on one face, from its onset over its apex to its offset.

    It tells what a network read from the face, not what the person felt.
    """

    source: str  # path or name of the clip
    track: int  # the face's number in the clip
    emotion: str  # or the action unit, such as AU45, a blink
    onset: float  # seconds: when its first frame begins
    apex: float  # seconds: the frame with the peak, the first of equals
    offset: float  # seconds: when its last frame ends, which is when the next one begins
    peak: float  # highest smoothed probability; of an action unit the highest value, not smoothed
    mean: float  # likewise, mean over the time in which the face is seen
    frames: int  # that show the face from onset to offset
    cut: CutEnds = None  # "start": the face came with it; "end": the face went, or the clip ended, with it
    #: (H, W, 3) RGB, the face at the apex, at most 96 pixels a side; None: no pixels were given
    face: Image | None = field(default=None, compare=False, repr=False)

    @property
    def duration(self) -> float:
        """Seconds from onset to offset; at least so long where it is cut."""
        return self.offset - self.onset


def find_events(frames: Iterable[Frame], options: EventOptions | None = None) -> Iterator[Event]:
    """The events of the frames of a clip, such as `Analyzer.video` gives; each comes once it is over.

    for event in find_events(analyzer.video("clip.mp4")):
        print(event.track, event.emotion, event.onset, event.offset)
    """
    finder = EventFinder(options)
    for frame in frames:
        yield from finder.push(frame)
    yield from finder.flush()


class EventFinder:
    """Finds events, frame after frame; one finder per clip.

    It uses `smoothed` of each face with a track, or `probabilities` where it was not smoothed, and
    `action_units` as they are: a blink would be smoothed away. Frames without a time are left out. It holds
    one frame, and one stretch per emotion and action unit of each face in sight.
    """

    def __init__(self, options: EventOptions | None = None) -> None:
        self._options = options or EventOptions()
        self._emotions = [(e, EMOTIONS.index(e)) for e in self._options.emotions]
        self._tracks: dict[int, _Track] = {}
        self._frame: Frame | None = None  # the last one, whose end is not known yet
        self._pixels: Image | None = None  # of that frame
        self._step = 0.0  # seconds between the last two

    def push(self, frame: Frame, pixels: Image | None = None) -> list[Event]:
        """Take the next frame of the clip, or the first of another one; gives the events that are now over.

        With its (H, W, 3) RGB pixels, events hold the face at their apex.
        """
        last = self._frame
        if frame.time is None:
            return []
        done: list[Event] = []
        if last is not None and last.time is not None:
            if frame.source != last.source or frame.time < last.time:  # another clip
                done = self.flush()
            else:
                self._step = frame.time - last.time
                done = self._take(last, last.time, frame.time)
        self._frame, self._pixels = frame, pixels
        return done

    def flush(self) -> list[Event]:
        """End the clip: the events that were not over. Afterwards the finder is as new."""
        last, done = self._frame, []
        if last is not None and last.time is not None:
            done = self._take(last, last.time, last.time + self._step) + self._pop_events(math.inf)
        self._tracks, self._frame, self._pixels, self._step = {}, None, None, 0.0
        return done

    def _take(self, frame: Frame, start: float, end: float) -> list[Event]:
        """One frame, which lasts from `start` to `end` seconds; gives the events that are over."""
        for face in frame.faces:
            if face.track is None:
                continue
            values = self._values(face)
            if not values:
                continue
            new = face.track not in self._tracks
            track = self._tracks.setdefault(face.track, _Track(frame.source))
            track.seen = end
            brows = _raise_of_brows(face)
            cut = cache(partial(cut_face, self._pixels, face))  # once, whatever the number of apexes
            for emotion, value in values.items():
                run = track.runs.get(emotion)
                if value >= self._options.leave:
                    if run is None:
                        run = track.runs[emotion] = _Run(start, new, end)
                    run.above(value, start, end, cut)
                    run.raised = max(run.raised, brows - track.rest)
                elif run is not None:
                    run.below(value, start, end)
            if _SURPRISE not in track.runs:
                track.learn_rest(brows, end - start)
        done = self._pop_events(end)
        bridge = self._options.bridge + _TOLERANCE
        self._tracks = {n: track for n, track in self._tracks.items() if end - track.seen <= bridge}
        return done

    def _values(self, face: Face) -> dict[str, float]:
        """What can make an event of a face, by its name."""
        shown = face.probabilities if face.smoothed is None else face.smoothed
        values = {} if shown is None else {emotion: float(shown[k]) for emotion, k in self._emotions}
        return values | face.action_units if self._options.units else values

    def _pop_events(self, now: float) -> list[Event]:
        """The events that have been over for longer than is bridged, by track and onset."""
        events = []
        for number, track in sorted(self._tracks.items()):
            over = [e for e, run in track.runs.items() if now - run.end > self._options.bridge + _TOLERANCE]
            found = [(emotion, track.runs.pop(emotion)) for emotion in over]
            for emotion, run in sorted(found, key=lambda one: one[1].start):
                shortest = self._options.shortest_unit if emotion in ACTION_UNITS else self._options.shortest
                shown = emotion != _SURPRISE or run.raised >= _RAISED
                if shown and run.end - run.start >= shortest - _TOLERANCE and run.peak >= self._options.enter:
                    events.append(run.event(track.source, number, emotion))
        return events


@dataclass(slots=True)
class _Track:
    """A face in sight."""

    source: str
    seen: float = 0.0  # seconds, end of the last frame that shows it
    runs: dict[str, _Run] = field(default_factory=dict)  # by emotion or action unit
    rest: float = 0.0  # how far the brows are raised at rest: about the lower quartile so far

    def learn_rest(self, raised: float, seconds: float) -> None:
        """Take brows that are `raised` for some seconds, and show no surprise."""
        # a step towards the quartile, whatever the rate of frames, no further than the brows themselves
        # (Robbins and Monro, Annals of Mathematical Statistics 22(3), 1951)
        if raised >= self.rest:
            self.rest = min(raised, self.rest + _QUARTILE * seconds)
        else:
            self.rest = max(raised, self.rest - (1 - _QUARTILE) * seconds)


def _raise_of_brows(face: Face) -> float:
    """Of brows or eyelids, from 0 to 1; infinite where the movements are not known."""
    units = face.action_units
    return max((units["AU01"] + units["AU02"]) / 2, 1.5 * units["AU05"]) if units else math.inf


def _no_sums() -> NDArray[np.float64]:
    """Over no frames: probability times seconds, seconds, probability, and the frames."""
    return np.zeros(4)


@dataclass(slots=True)
class _Run:
    """A stretch of one emotion at or above `leave`, short gaps bridged."""

    start: float  # seconds
    first: bool  # it begins with the first frame of the face
    end: float  # seconds, of the last frame at or above `leave`
    peak: float = -1.0
    apex: float = 0.0
    face: Image | None = None  # of the frame with the peak
    raised: float = 0.0  # how far the brows came up, at most
    faded: bool = False  # the face was seen below `leave` since `end`
    sums: NDArray[np.float64] = field(default_factory=_no_sums)
    gap: NDArray[np.float64] = field(default_factory=_no_sums)  # since `end`; counts once it is bridged

    def above(self, value: float, start: float, end: float, cut: Callable[[], Image | None]) -> None:
        """Take a frame at or above `leave`; `cut` gives the picture of its face."""
        self.sums += self.gap
        self.sums += (value * (end - start), end - start, value, 1)
        self.gap, self.faded, self.end = _no_sums(), False, end
        if value > self.peak:
            self.peak, self.apex, self.face = value, start, cut()

    def below(self, value: float, start: float, end: float) -> None:
        """Take a frame below `leave`."""
        self.gap += (value * (end - start), end - start, value, 1)
        self.faded = True

    def event(self, source: str, track: int, emotion: str) -> Event:
        cut: CutEnds = "start" if self.first else None
        if not self.faded:
            cut = "both" if self.first else "end"
        area, seconds, values, frames = self.sums.tolist()
        mean = area / seconds if seconds else values / frames
        times = self.start, self.apex, self.end
        return Event(source, track, emotion, *times, self.peak, mean, int(frames), cut, self.face)


def cut_face(pixels: Image | None, face: Face) -> Image | None:
    """A face and a margin around it, (H, W, 3) RGB, at most `FACE_SIDE` pixels a side.

    None: its box lies outside the (H, W, 3) picture, or no picture was given.
    """
    from PIL import Image as Pillow

    if pixels is None:
        return None
    x, y, width, height = face.box
    dx, dy = FACE_MARGIN * width, FACE_MARGIN * height
    left, top = max(0, round(x - dx)), max(0, round(y - dy))
    cut = pixels[top : max(0, round(y + height + dy)), left : max(0, round(x + width + dx))]
    if not cut.size:
        return None
    small = Pillow.fromarray(np.ascontiguousarray(cut)).convert("RGB")
    small.thumbnail((FACE_SIDE, FACE_SIDE), Pillow.Resampling.BILINEAR)
    return np.asarray(small)
