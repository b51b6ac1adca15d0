"""An expression that came and went on one face of a clip, and what counts as one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

#: Where an event is not seen whole; None: its coming and its going were both seen.
Cut = Literal["start", "end", "both"] | None

#: The emotions that make events. Neutral is the rest between them: name it to get it too.
EXPRESSIONS: Final = ("happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")


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
    cut: Cut = None  # "start": it showed as the face came; "end": as the face or the clip went

    @property
    def duration(self) -> float:
        """Seconds from onset to offset; at least so long where it is cut."""
        return self.offset - self.onset
