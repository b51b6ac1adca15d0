"""The frames of a video to tracked and classified faces, its steps side by side.

One thread decodes, as many as there are cores detect, follow, crop and classify faces, and the caller's own
thread tracks, while the others work on the frames that come next: FFmpeg, Pillow and ONNX Runtime release
Python's lock. Frames come out in order and with the same numbers for any number of threads.

Between two frames with the same faces the detector need not be run (`detect_every`): there, the face network
follows each face from frame to frame, by the landmarks that it had in the one before.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from math import hypot
from typing import Final

import numpy as np

from mien.config import count_cores
from mien.faces.align import similarity
from mien.types import Face, Floats, Frame, Image
from mien.video.ahead import read_ahead
from mien.video.frames import VideoFrame
from mien.video.track import Tracker

BATCH: Final = 8  # frames whose faces are classified together
_MAX_BYTES: Final = 64_000_000  # of frames that are decoded and not yet done
_MAX_FRAMES: Final = 16  # that are decoded and not yet done
_MAX_WAITING: Final = 256_000_000  # bytes of frames whose faces are being classified
_DETECT_SECONDS: Final = 0.5  # after which a frame is detected, however few frames came in between

Detect = Callable[[Image], list[Face]]
#: Looks in a picture for faces where they were a frame before; None: one of them is not there any more.
Follow = Callable[[Image, Sequence[Face]], list[Face] | None]
#: Classifies the faces of several frames: their pixels and faces to the faces with probabilities.
Classify = Callable[[Sequence[Image], Sequence[Sequence[Face]]], list[list[Face]]]
_Tracked = tuple[VideoFrame, list[Face]]  # a frame, and its faces with their track numbers


@dataclass(frozen=True, slots=True)
class KeyFrame:
    """The last frame that the detector has seen: from where faces are followed."""

    time: float
    faces: tuple[Face, ...]


@dataclass(frozen=True, slots=True)
class FollowerState:
    """What a follower knows between two frames, so that another can resume with the next frame."""

    tracker: Tracker
    key: KeyFrame | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Stretch:
    """Frames up to one that is detected, and what is done with them meanwhile."""

    between: list[VideoFrame]  # the frames before the one that is detected
    last: VideoFrame
    found: Future[list[Face]]  # in the last frame
    followed: Future[list[list[Face]] | None] | None  # from the stretch before through those between


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
        follow: finds faces again in the next frame; None: the detector is run on every frame.
        detect_every: look for faces in every n-th frame only.
        threads: that detect and classify; 0: one per core.
        state: of another follower, to resume from.
    """

    def __init__(
        self,
        detect: Detect,
        classify: Classify,
        *,
        follow: Follow | None = None,
        detect_every: int = 1,
        threads: int = 0,
        state: FollowerState | None = None,
    ) -> None:
        self._tracker = state.tracker if state else Tracker()
        self._key = state.key if state else None
        self._detect, self._classify, self._follow = detect, classify, follow
        self._every = 1 if follow is None else detect_every
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
                held = sum(frame.pixels.nbytes for frame, _ in batch)
                while len(reading) > min(self._threads, _MAX_WAITING // max(1, held)):
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
        for stretch in self._begun(self._stretches(frames), pool):
            batch += self._track_stretch(stretch, pool)
            if len(batch) >= min(BATCH, _room(stretch.last)):
                yield batch
                batch = []
        if batch:
            yield batch

    def _stretches(self, frames: Iterator[VideoFrame]) -> Iterator[list[VideoFrame]]:
        """The frames in order, cut after each that is to be detected; the last of the clip is."""
        stretch: list[VideoFrame] = []
        last = None if self._key is None else self._key.time
        for frame in frames:
            stretch.append(frame)
            late = last is None or abs(frame.time - last) >= _DETECT_SECONDS
            if late or len(stretch) >= min(self._every, _room(frame)):
                last = frame.time
                yield stretch
                stretch = []
        if stretch:
            yield stretch

    def _begun(self, stretches: Iterator[list[VideoFrame]], pool: ThreadPoolExecutor) -> Iterator[_Stretch]:
        """The stretches in order, those that come next already begun: detected and followed in the pool."""
        begun: deque[_Stretch] = deque()
        before: Future[list[Face]] | None = None
        if self._key is not None:
            before = Future()
            before.set_result([*self._key.faces])
        for *between, last in stretches:
            found = pool.submit(self._detect, last.pixels)
            # what it waits for was submitted before it: no thread waits for one that waits for it
            followed = pool.submit(self._follow_on, before, between, found) if before and between else None
            begun.append(_Stretch(between, last, found, followed))
            before = found
            while len(begun) > 1 and sum(len(one.between) + 1 for one in begun) > _room(last):
                yield begun.popleft()
        yield from begun

    def _follow_on(
        self, before: Future[list[Face]], frames: list[VideoFrame], after: Future[list[Face]]
    ) -> list[list[Face]] | None:
        """The faces of a detected frame in each of the frames up to the next; None: somebody came or went."""
        faces, followed = before.result(), []
        for frame in frames:
            if self._follow is None or (after.done() and len(after.result()) != len(faces)):
                return None
            if (found := self._follow(frame.pixels, faces)) is None:
                return None
            faces = found
            followed.append(faces)
        return followed

    def _track_stretch(self, stretch: _Stretch, pool: ThreadPoolExecutor) -> list[_Tracked]:
        """The frames of a stretch with their faces, numbered."""
        between, last, faces = stretch.between, stretch.last, stretch.found.result()
        if between:
            tracker = copy.deepcopy(self._tracker)
            key = KeyFrame(last.time, tuple(tracker.update(faces, last.time, last.pixels)))
            followed = self._settle_between(stretch, key)
            if followed is not None:
                self._tracker, self._key = tracker, key
                return [*zip(between, followed, strict=True), (last, [*key.faces])]
        # somebody came or went: detect every frame between, with the tracker as it was before them
        found = list(pool.map(self._detect, [frame.pixels for frame in between]))
        return [self._track(*one) for one in zip([*between, last], [*found, faces], strict=True)]

    def _settle_between(self, stretch: _Stretch, after: KeyFrame) -> list[list[Face]] | None:
        """The faces of the frames between two that were detected; None: somebody came or went."""
        before, followed = self._key, None if stretch.followed is None else stretch.followed.result()
        places = {} if before is None else {face.track: i for i, face in enumerate(before.faces)}
        if before is None or followed is None or set(places) != {face.track for face in after.faces}:
            return None
        if self._tracker.finds_cut(frame.pixels for frame in [*stretch.between, stretch.last]):
            return None
        order = [places[face.track] for face in after.faces]
        followed = [[faces[i] for i in order] for faces in followed]
        if not all(map(is_near, followed[-1], after.faces)):
            return None
        times = [frame.time for frame in stretch.between]
        return [settle(before, after, time, at) for time, at in zip(times, followed, strict=True)]

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


def is_near(face: Face, other: Face) -> bool:
    """Whether two faces are one a frame later: their eyes and mouths less than half a face apart."""
    away = np.hypot(*(face.landmarks - other.landmarks).mean(axis=0))
    return bool(away < min(other.box[2:]) / 2)


def settle(before: KeyFrame, after: KeyFrame, time: float, faces: list[Face]) -> list[Face]:
    """Followed faces at a time between two frames that were detected, with the boxes and scores of those.

    A box moves, turns and grows as its landmarks do; it goes from the one of the frame before to that of the
    frame after in a straight line. The score is the lower of the two.
    """
    span = after.time - before.time
    share = 0.0 if span <= 0 else min(1.0, max(0.0, (time - before.time) / span))
    starts = {face.track: face for face in before.faces}
    settled = []
    for face, end in zip(faces, after.faces, strict=True):
        start = starts[end.track]
        forth, back = (carry_box(one, face.landmarks) for one in (start, end))
        x, y, width, height = map(float, (1 - share) * forth + share * back)
        score = min(start.score, end.score)
        settled.append(replace(face, box=(x, y, width, height), score=score, track=end.track))
    return settled


def carry_box(face: Face, landmarks: Floats) -> Floats:
    """(4,): the box of a face where its landmarks are these."""
    x, y, width, height = face.box
    matrix = similarity(face.landmarks, landmarks)
    middle = matrix[:, :2] @ (x + width / 2, y + height / 2) + matrix[:, 2]
    size = np.array([width, height]) * hypot(matrix[0, 0], matrix[1, 0])
    return np.concatenate([middle - size / 2, size]).astype(np.float32)
