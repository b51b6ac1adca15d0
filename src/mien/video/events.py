"""Expressions that come and go in a clip: events of its smoothed frames, one after the other.

There are two thresholds, as in edge finding (Canny, IEEE PAMI 8(6), 1986): an event is a stretch at or above
the lower one that reaches the higher, so that a probability that hovers about one threshold does not make a
dozen events. A frame lasts until the next one begins, so each frame is used when the next one comes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Final, Literal

import numpy as np

from mien.errors import ConfigError
from mien.labels import EMOTIONS
from mien.types import Face, Frame, Image

#: Which ends of an event were not seen; None: both were.
CutEnds = Literal["start", "end", "both"] | None

#: The emotions that make events. Neutral is the rest between them: name it to get it too.
EXPRESSIONS: Final = ("happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")

FACE_SIDE: Final = 96  # pixels, of the longer side of the face at an apex
FACE_MARGIN: Final = 0.15  # of the box, on each side of it
_TOLERANCE = 1e-9  # seconds: sums of time stamps are not exact


@dataclass(frozen=True, slots=True)
class EventOptions:
    """What counts as an event: a stretch of probability at or above `leave` that reaches `enter`."""

    enter: float = 0.5  # probability that an event reaches at least once
    leave: float = 0.35  # probability below which it is over
    shortest: float = 0.2  # seconds; what is shorter is left out
    bridge: float = 0.2  # seconds below `leave`, or without the face, that do not end it
    emotions: tuple[str, ...] = EXPRESSIONS  # those that make events, of the eight


@dataclass(frozen=True, slots=True)
class Event:
    """One expression shown on one face, from its onset over its apex to its offset.

    It tells what a network read from the face, not what the person felt.
    """

    source: str  # path or name of the clip
    track: int  # the face's number in the clip
    emotion: str
    onset: float  # seconds: when its first frame begins
    apex: float  # seconds: the frame with the peak, the first of equals
    offset: float  # seconds: when its last frame ends, which is when the next one begins
    peak: float  # highest smoothed probability
    mean: float  # smoothed probability, mean over the time in which the face is seen
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

    Args:
        frames: in order, their faces smoothed.
        options: what counts as an event; None: the defaults.

    Raises:
        ConfigError: thresholds that are not 0 < leave <= enter <= 1, negative times, unknown emotions.
    """
    finder = EventFinder(options)  # not in the generator: errors come at the call

    def stream() -> Iterator[Event]:
        for frame in frames:
            yield from finder.push(frame)
        yield from finder.flush()

    return stream()


class EventFinder:
    """Finds events, frame after frame; one finder per clip.

    It uses `smoothed` of each face with a track, or `probabilities` where it was not smoothed; frames
    without a time are left out. It holds one frame, and one stretch per emotion of each face in sight.
    """

    def __init__(self, options: EventOptions | None = None) -> None:
        """Find events.

        Raises:
            ConfigError: thresholds that are not 0 < leave <= enter <= 1, negative times, unknown emotions.
        """
        self._options = _checked(options or EventOptions())
        self._emotions = [(e, EMOTIONS.index(e)) for e in self._options.emotions]
        self._tracks: dict[int, _Track] = {}
        self._frame: Frame | None = None  # the last one, whose end is not known yet
        self._pixels: Image | None = None  # of that frame
        self._step = 0.0  # seconds between the last two

    def push(self, frame: Frame, pixels: Image | None = None) -> Iterator[Event]:
        """Take the next frame, at once; gives the events that are now over.

        Args:
            frame: the next frame of the clip, or the first one of another clip.
            pixels: (H, W, 3) RGB of the frame, for events that hold the face at their apex; None: without.
        """
        last = self._frame
        if frame.time is None:
            return iter(())
        done: list[Event] = []
        if last is not None and last.time is not None:
            if frame.source != last.source or frame.time < last.time:  # another clip
                done = list(self.flush())
            else:
                self._step = frame.time - last.time
                done = self._take(last, last.time, frame.time)
        self._frame, self._pixels = frame, pixels
        return iter(done)

    def flush(self) -> Iterator[Event]:
        """End the clip: the events that were not over. Afterwards the finder is as new."""
        last, done = self._frame, []
        if last is not None and last.time is not None:
            done = self._take(last, last.time, last.time + self._step)
            for number, track in sorted(self._tracks.items()):
                done += self._closed(number, track, math.inf)
        self._tracks, self._frame, self._pixels, self._step = {}, None, None, 0.0
        return iter(done)

    def _take(self, frame: Frame, start: float, end: float) -> list[Event]:
        """One frame, which lasts from `start` to `end`; gives the events that are over."""
        for face in frame.faces:
            values = face.probabilities if face.smoothed is None else face.smoothed
            if face.track is None or values is None:
                continue
            new = face.track not in self._tracks
            track = self._tracks.setdefault(face.track, _Track(frame.source, start))
            cut = _no_face if self._pixels is None else cache(partial(cut_face, self._pixels, face))
            for emotion, i in self._emotions:
                track.take(emotion, float(values[i]), (start, end), self._options.leave, cut, new=new)
            track.seen = end
        done: list[Event] = []
        for number, track in sorted(self._tracks.items()):
            done += self._closed(number, track, end)
        bridge = self._options.bridge + _TOLERANCE
        self._tracks = {n: track for n, track in self._tracks.items() if end - track.seen <= bridge}
        return done

    def _closed(self, number: int, track: _Track, now: float) -> list[Event]:
        """The events of a track that have been over for longer than is bridged."""
        over = [e for e, run in track.runs.items() if now - run.end > self._options.bridge + _TOLERANCE]
        found = [(emotion, track.runs.pop(emotion)) for emotion in over]
        events = [run.event(track.source, number, emotion) for emotion, run in found if self._counts(run)]
        return sorted(events, key=lambda event: event.onset)

    def _counts(self, run: _Stretch) -> bool:
        long = run.end - run.start >= self._options.shortest - _TOLERANCE
        return long and run.peak >= self._options.enter


@dataclass(slots=True)
class _Sums:
    """Sums over frames."""

    area: float = 0.0  # probability times seconds
    seconds: float = 0.0
    value: float = 0.0  # sum of probabilities, for frames that last no time
    frames: int = 0

    def add(self, other: _Sums) -> None:
        self.area += other.area
        self.seconds += other.seconds
        self.value += other.value
        self.frames += other.frames


@dataclass(slots=True)
class _Stretch:
    """A stretch at or above `leave`, short gaps bridged."""

    start: float  # seconds
    first: bool  # it begins with the first frame of the face
    end: float  # seconds, of the last frame at or above `leave`
    peak: float = -1.0
    apex: float = 0.0
    face: Image | None = None  # of the frame with the peak
    faded: bool = False  # the face was seen below `leave` since `end`
    sums: _Sums = field(default_factory=_Sums)
    gap: _Sums = field(default_factory=_Sums)  # since `end`; counts once it is bridged

    def above(self, value: float, time: tuple[float, float], cut: Callable[[], Image | None]) -> None:
        """A frame at or above `leave`."""
        self.sums.add(self.gap)
        self.sums.add(_of_one(value, time))
        self.gap, self.faded, self.end = _Sums(), False, time[1]
        if value > self.peak:
            self.peak, self.apex, self.face = value, time[0], cut()

    def below(self, value: float, time: tuple[float, float]) -> None:
        """A frame below `leave`."""
        self.gap.add(_of_one(value, time))
        self.faded = True

    def event(self, source: str, track: int, emotion: str) -> Event:
        cut: CutEnds = "start" if self.first else None
        if not self.faded:
            cut = "both" if self.first else "end"
        mean = self.sums.area / self.sums.seconds if self.sums.seconds else self.sums.value / self.sums.frames
        frames = self.sums.frames
        return Event(
            source, track, emotion, self.start, self.apex, self.end, self.peak, mean, frames, cut, self.face
        )


@dataclass(slots=True)
class _Track:
    """A face in sight."""

    source: str
    seen: float  # seconds, end of the last frame that shows it
    runs: dict[str, _Stretch] = field(default_factory=dict)

    def take(
        self,
        emotion: str,
        value: float,
        time: tuple[float, float],
        leave: float,
        cut: Callable[[], Image | None],
        *,
        new: bool,
    ) -> None:
        """One frame of one emotion.

        Args:
            emotion: of the eight.
            value: its probability.
            time: seconds at which the frame begins and ends.
            leave: see `EventOptions`.
            cut: gives the picture of the face.
            new: the frame is the first one of the face.
        """
        run = self.runs.get(emotion)
        if value >= leave:
            if run is None:
                run = self.runs[emotion] = _Stretch(time[0], new, time[1])
            run.above(value, time, cut)
        elif run is not None:
            run.below(value, time)


def cut_face(pixels: Image, face: Face) -> Image | None:
    """A small picture of a face and a margin around it.

    Args:
        pixels: (H, W, 3) RGB or (H, W) gray.
        face: its box is cut out.

    Returns:
        (H, W, 3) RGB, at most `FACE_SIDE` pixels a side; None: the box lies outside the picture.
    """
    from PIL import Image as Pillow

    x, y, width, height = face.box
    dx, dy = FACE_MARGIN * width, FACE_MARGIN * height
    left, top = max(0, round(x - dx)), max(0, round(y - dy))
    cut = pixels[top : max(0, round(y + height + dy)), left : max(0, round(x + width + dx))]
    if not cut.size:
        return None
    small = Pillow.fromarray(np.ascontiguousarray(cut)).convert("RGB")
    small.thumbnail((FACE_SIDE, FACE_SIDE), Pillow.Resampling.BILINEAR)
    return np.asarray(small)


def _no_face() -> None:
    """What is cut out of a frame without pixels."""


def _of_one(value: float, time: tuple[float, float]) -> _Sums:
    seconds = time[1] - time[0]
    return _Sums(value * seconds, seconds, value, 1)


def _checked(options: EventOptions) -> EventOptions:
    if not 0 < options.leave <= options.enter <= 1:
        raise ConfigError(
            f"events: expected 0 < leave <= enter <= 1, got leave {options.leave} and enter {options.enter}"
        )
    if not (options.shortest >= 0 and options.bridge >= 0):
        raise ConfigError(
            "events: expected shortest and bridge of 0 seconds or more, "
            f"got {options.shortest} and {options.bridge}"
        )
    unknown = [e for e in options.emotions if e not in EMOTIONS]
    if unknown:
        raise ConfigError(f"events: expected emotions of {', '.join(EMOTIONS)}, got {', '.join(unknown)}")
    return options
