"""What a batch is asked to do with each input, and the parts that come of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mien.batch.sources import Source
from mien.results.rows import Row, failure_row

if TYPE_CHECKING:
    from mien.analyzer import Analyzer


@dataclass(frozen=True, slots=True)
class Job:
    """What to do with every input."""

    model: Path | None = None  # None: the network that comes with Mien
    crops: bool = False  # pictures already are faces
    min_face: int | None = None  # pixels
    max_faces: int | None = None  # a picture
    every: int = 1  # of a clip, each so-manieth frame ...
    fps: float | None = None  # ... or so many a second
    start: float | None = None  # seconds of a clip, by its time stamps: from here ...
    end: float | None = None  # ... to here
    detect_every: int = 1  # of the frames taken, look for faces in each so-manieth
    smooth: float | None = None  # seconds over which a clip's probabilities are smoothed; None: as is best
    events: bool = False  # look for events in clips
    policy: str = "accurate"  # how probabilities become the emotion shown
    runtime: str = "onnxruntime"  # what runs the classifier
    journals: Path | None = None  # folder of what has been read of clips, to go on from; None: none is kept
    threads: int = 0  # that decode a clip and look for faces; 0: one a core, 1 in a worker that has one core

    def open(self) -> Analyzer:
        """Load the networks; one thread, so that workers do not crowd each other."""
        from mien.analyzer import load

        return load(
            self.model,
            policy=self.policy,
            crops=self.crops,
            min_face=self.min_face,
            max_faces=self.max_faces,
            runtime=self.runtime,
        )


@dataclass(frozen=True, slots=True)
class Task:
    """One input, and where its annotated copy and its page go."""

    source: Source
    copy: Path | None = None
    page: Path | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of one input's result; the last one closes the input."""

    name: str  # the source's
    rows: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)  # rows of the events' table
    frames: int = 0
    faces: int = 0
    share: float = 0.0  # of the input that is read, 0 to 1, where its length is known
    notes: tuple[str, ...] = ()
    error: str = ""  # why the input failed
    lost: bool = False  # it failed because it could not be fetched, whatever is in it
    last: bool = False
    inputs: int = 1  # that the last part closes: one, or those of a whole shard


def failure(name: str, error: str, *, lost: bool = False) -> Part:
    """The last part of an input that failed: its row has success 0."""
    return Part(name, [failure_row(name)], error=error, lost=lost, last=True)
