"""The frames of a video to tracked and classified faces, its steps side by side.

One thread decodes, as many as there are cores detect, crop and classify faces, and the caller's own thread
tracks, while the others work on the frames that follow: FFmpeg, Pillow and ONNX Runtime release Python's
lock. Frames come out in order and with the same numbers for any number of threads.

Between two frames with the same faces the detector need not be run (`detect_every`): there, boxes and
landmarks move in straight lines.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from mien.config import count_cores
from mien.types import Face, Frame, Image
from mien.video.ahead import read_ahead
from mien.video.frames import VideoFrame
from mien.video.track import Tracker

BATCH: Final = 8  # frames whose faces are classified together
_MAX_BYTES: Final = 64_000_000  # of frames that are decoded and not yet done
_MAX_FRAMES: Final = 16  # that are decoded and not yet done

Detect = Callable[[Image], list[Face]]
#: Classifies the faces of several frames: their pixels and faces to the faces with probabilities.
Classify = Callable[[Sequence[Image], Sequence[Sequence[Face]]], list[list[Face]]]
_Tracked = tuple[VideoFrame, list[Face]]  # a frame, and its faces with their track numbers


@dataclass(frozen=True, slots=True)
class KeyFrame:
    """The last frame that the detector has seen: where straight lines start from."""

    time: float
    faces: tuple[Face, ...]


@dataclass(frozen=True, slots=True)
class FollowerState:
    """What a follower knows between two frames, so that another can resume with the next frame."""

    tracker: Tracker
    key: KeyFrame | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FrameBatch:
    """Some frames in order, their faces read, and the state of the follower after the last of them."""

    frames: list[tuple[Frame, Image]]  # each with its (H, W, 3) RGB pixels
    state: FollowerState


class Follower:
    """Goes through one video; `Analyzer.follower` makes one.

    Args:
        detect: finds the faces of a picture.
        classify: gives the faces of several frames their probabilities; both are called from several threads.
        detect_every: look for faces in every n-th frame only.
        threads: that detect and classify; 0: one per core.
        state: of another follower, to resume from.
    """

    def __init__(
        self,
        detect: Detect,
        classify: Classify,
        *,
        detect_every: int = 1,
        threads: int = 0,
        state: FollowerState | None = None,
    ) -> None:
        self._tracker = state.tracker if state else Tracker()
        self._key = state.key if state else None
        self._detect, self._classify = detect, classify
        self._every = detect_every
        self._threads = threads or count_cores()

    def one_by_one(self, frames: Iterable[VideoFrame], source: str) -> Iterator[FrameBatch]:
        """Each frame as soon as it comes, the detector run on all: for a camera.

        The state holds the follower's own tracker, which goes on with the next frame.
        """
        for frame in frames:
            tracked = self._track(frame, self._detect(frame.pixels))
            yield self._read([tracked], FollowerState(self._tracker, self._key), source)

    def batches(self, frames: Iterable[VideoFrame], source: str) -> Iterator[FrameBatch]:
        """The frames in order, some at a time; what reading them raises comes after the last of them."""
        failure: list[Exception] = []
        with closing(read_ahead(frames, 3)) as coming, ThreadPoolExecutor(self._threads) as pool:
            reading: deque[Future[FrameBatch]] = deque()
            for batch in self._gathered(_until_failure(coming, failure), pool):
                state = FollowerState(copy.deepcopy(self._tracker), self._key)  # the tracker itself goes on
                reading.append(pool.submit(self._read, batch, state, source))
                if len(reading) > self._threads:
                    yield reading.popleft().result()
            while reading:
                yield reading.popleft().result()
        if failure:
            raise failure[0]

    def _read(self, batch: list[_Tracked], state: FollowerState, source: str) -> FrameBatch:
        """Classify the faces of some frames."""
        read = self._classify([frame.pixels for frame, _ in batch], [faces for _, faces in batch])
        frames = [
            (Frame(source, frame.index, frame.time, tuple(faces), size=_size(frame)), frame.pixels)
            for (frame, _), faces in zip(batch, read, strict=True)
        ]
        return FrameBatch(frames, state)

    def _gathered(self, frames: Iterator[VideoFrame], pool: ThreadPoolExecutor) -> Iterator[list[_Tracked]]:
        """Frames with tracked faces, some at a time; the last of each batch was detected."""
        batch: list[_Tracked] = []
        between: list[VideoFrame] = []  # frames since the last one that is detected
        for frame, found in self._detected(frames, pool):
            if found is None:
                between.append(frame)
                continue
            batch += self._track_stretch(between, frame, found.result(), pool)
            between = []
            if len(batch) >= min(BATCH, _room(frame)):
                yield batch
                batch = []
        if between:  # the clip ended: its last frame is detected, too
            last = between.pop()
            batch += self._track_stretch(between, last, self._detect(last.pixels), pool)
        if batch:
            yield batch

    def _detected(
        self, frames: Iterator[VideoFrame], pool: ThreadPoolExecutor
    ) -> Iterator[tuple[VideoFrame, Future[list[Face]] | None]]:
        """Frames in order, detection of some already begun; None: not to be detected."""
        begun: deque[tuple[VideoFrame, Future[list[Face]] | None]] = deque()
        since = self._every if self._key is None else 1  # frames since the last one that is detected
        for frame in frames:
            due = since >= self._every
            begun.append((frame, pool.submit(self._detect, frame.pixels) if due else None))
            since = 1 if due else since + 1
            if len(begun) >= _room(frame):
                yield begun.popleft()
        yield from begun

    def _track_stretch(
        self, between: list[VideoFrame], last: VideoFrame, faces: list[Face], pool: ThreadPoolExecutor
    ) -> list[_Tracked]:
        """The frames since the last detected one, up to `last`, whose faces were detected."""
        tracker = copy.deepcopy(self._tracker) if between else self._tracker
        numbered = tracker.update(faces, last.time, last.pixels)
        known = None if self._key is None else {face.track for face in self._key.faces}
        if between and known != {face.track for face in numbered}:
            # somebody came or went: detect every frame between, with the tracker as it was before them
            found = list(pool.map(self._detect, [frame.pixels for frame in between]))
            stretch = [self._track(frame, some) for frame, some in zip(between, found, strict=True)]
            return [*stretch, self._track(last, faces)]
        before, self._tracker, self._key = self._key, tracker, KeyFrame(last.time, tuple(numbered))
        stretch = [(frame, interpolate(before, self._key, frame.time)) for frame in between] if before else []
        return [*stretch, (last, numbered)]

    def _track(self, frame: VideoFrame, faces: list[Face]) -> _Tracked:
        numbered = self._tracker.update(faces, frame.time, frame.pixels)
        self._key = KeyFrame(frame.time, tuple(numbered))
        return frame, numbered


def _size(frame: VideoFrame) -> tuple[int, int]:
    return frame.pixels.shape[1], frame.pixels.shape[0]


def _room(frame: VideoFrame) -> int:
    """How many frames of this size may be held at a time."""
    return min(_MAX_FRAMES, max(2, _MAX_BYTES // max(1, frame.pixels.nbytes)))


def _until_failure(frames: Iterable[VideoFrame], failure: list[Exception]) -> Iterator[VideoFrame]:
    """The frames until reading them fails: what it raised is appended to `failure`."""
    try:
        yield from frames
    except Exception as error:  # noqa: BLE001 - it is raised again once the frames before it are done
        failure.append(error)


def interpolate(before: KeyFrame, after: KeyFrame, time: float) -> list[Face]:
    """The faces at a time between two frames that show the same ones, in the order of the later frame.

    Boxes and landmarks move in straight lines; the score is the lower of the two.
    """
    span = after.time - before.time
    share = 0.0 if span <= 0 else min(1.0, max(0.0, (time - before.time) / span))
    starts = {face.track: face for face in before.faces}
    faces = []
    for end in after.faces:
        start = starts[end.track]
        x, y, width, height = ((1 - share) * a + share * b for a, b in zip(start.box, end.box, strict=True))
        landmarks = ((1 - share) * start.landmarks + share * end.landmarks).astype(np.float32)  # (5, 2)
        score = min(start.score, end.score)
        faces.append(replace(end, box=(x, y, width, height), landmarks=landmarks, score=score))
    return faces
