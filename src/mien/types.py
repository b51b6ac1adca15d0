"""The records that pass between rooms: frozen, their shapes checked once, when they are made.

Legend: N samples or faces, H rows, W columns; boxes and landmarks are in pixels of the
picture they were found in, origin top left, x to the right and y down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.labels import EMOTIONS

Image = NDArray[np.uint8]  # (H, W, 3) RGB, or (H, W) gray where said
Floats = NDArray[np.float32]


def check_shape(name: str, array: NDArray[Any], shape: tuple[int | None, ...]) -> None:
    """Raise a `ValueError` that says expected and actual unless `array` has `shape` (None: any)."""
    fits = array.ndim == len(shape) and all(
        want is None or want == got for want, got in zip(shape, array.shape, strict=True)
    )
    if not fits:
        want = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
        raise ValueError(f"{name}: expected an array of shape {want}, got {array.shape}")


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face in one frame, and the expression it shows once it has been classified."""

    box: tuple[float, float, float, float]  # x, y, width, height in pixels; may reach past the edge
    landmarks: Floats  # (5, 2) x, y: eye, eye, nose tip, mouth corner, mouth corner; image left first
    score: float  # detection score in [0, 1]
    track: int | None = None  # the same number for the same face through a clip; None in a photo
    probabilities: Floats | None = None  # (8,) in the order of EMOTIONS, sum 1; None: not classified
    shown: int | None = None  # index of the emotion that the policy chose; None: the likeliest
    set: tuple[str, ...] | None = None  # emotions it may be, likeliest first; None: the network knows no sets
    uncertain: bool | None = None  # confidence below the card's threshold; None: the card has none
    smoothed: Floats | None = None  # (8,) probabilities smoothed over time, along its track; None: not so

    def __post_init__(self) -> None:
        check_shape("Face.landmarks", self.landmarks, (5, 2))
        for name, values in (("probabilities", self.probabilities), ("smoothed", self.smoothed)):
            if values is not None:
                check_shape(f"Face.{name}", values, (len(EMOTIONS),))

    @property
    def emotion(self) -> str | None:
        """The expression that the policy chose; without one, that with the highest probability."""
        return None if self.probabilities is None else EMOTIONS[self._index(self.probabilities)]

    @property
    def confidence(self) -> float | None:
        """The probability of `emotion`."""
        p = self.probabilities
        return None if p is None else float(p[self._index(p)])

    def _index(self, probabilities: Floats) -> int:
        return int(probabilities.argmax()) if self.shown is None else self.shown


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture with its time and faces; a photo is a video of one frame.

    It holds no pixels, so that a list of the frames of a long clip stays small.
    """

    source: str  # path or name of what was read
    index: int  # 0 for a photo; the position among the decoded frames of a clip
    time: float | None  # seconds, the container's own time stamp; None for a photo
    faces: tuple[Face, ...]  # largest first
    notes: tuple[str, ...] = ()  # what the reader should know, e.g. "animated: first frame used"


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled (or unlabelled) face of a corpus; pixels are read through its `Corpus`."""

    name: str  # unique within the corpus
    votes: tuple[int, ...] = ()  # (8,) votes in the order of EMOTIONS; one vote if one label; () if none
    unknown: int = 0  # votes for "unknown" (FER+)
    not_face: int = 0  # votes for "not a face" (FER+)
    person: str | None = None  # identity, where the corpus knows it
    tags: Mapping[str, str] = field(default_factory=dict)  # e.g. age, gender, race

    def __post_init__(self) -> None:
        if len(self.votes) not in (0, len(EMOTIONS)):
            raise ValueError(f"Sample.votes: expected 0 or {len(EMOTIONS)} counts, got {len(self.votes)}")
