"""The frames of a video to tracked and classified faces, its steps side by side.

One thread decodes, as many as there are cores look for faces, cut them out and classify them, and the
caller's own tracks, while the others work on the frames that follow: FFmpeg, Pillow and ONNX Runtime let go
of Python's lock. Frames come out in order, whatever the threads do, and always with the same numbers.

Between two frames with the same faces the detector need not be asked (`detect_every`): there, boxes and
landmarks move in straight lines.
"""

from __future__ import annotations

import copy
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from mien.types import Face, Frame, Image
from mien.video.ahead import ahead
from mien.video.frames import VideoFrame
from mien.video.track import Tracker

BATCH: Final = 8  # frames whose faces are classified together
_MEMORY: Final = 64_000_000  # bytes of frames on their way
_MOST: Final = 16  # frames on their way

Detect = Callable[[Image], list[Face]]
#: Classifies the faces of several frames: their pixels and faces to the faces with probabilities.
Classify = Callable[[Sequence[Image], Sequence[Sequence[Face]]], list[list[Face]]]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A frame and its faces."""

    shot: VideoFrame
    faces: list[Face]

    def frame(self, source: str) -> Frame:
        """As a record without pixels."""
        return Frame(source, self.shot.index, self.shot.time, tuple(self.faces))


@dataclass(frozen=True, slots=True)
class Key:
    """The last frame that the detector was asked for: what a run that goes on starts from."""

    time: float
    faces: tuple[Face, ...]


@dataclass(frozen=True, slots=True)
class Start:
    """Where a follower stands, so that another can go on with the frames that come next."""

    tracker: Tracker
    key: Key | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Some frames in order, their faces read, and where the follower stood behind them."""

    found: list[Found]
    stand: Start


class Follower:
    """Goes through one video; `Analyzer.follower` makes one.

    Args:
        detect: finds faces.
        classify: gives the faces of several frames their probabilities; both are called from several threads.
        detect_every: look for faces in each so-manieth frame only.
        threads: that look for faces; 0: one a core.
        start: where another follower stood.
    """

    def __init__(
        self,
        detect: Detect,
        classify: Classify,
        *,
        detect_every: int = 1,
        threads: int = 0,
        start: Start | None = None,
    ) -> None:
        self._tracker = start.tracker if start else Tracker()
        self._key = start.key if start else None
        self._detect, self._classify = detect, classify
        self._every = detect_every
        self._threads = threads or os.cpu_count() or 1

    def one_by_one(self, shots: Iterable[VideoFrame]) -> Iterator[Batch]:
        """Each frame as soon as it comes, all looked at: for a camera, of which no frame is to be late.

        Where it stood is the follower's own tracker, which goes on with the next frame.
        """
        for shot in shots:
            yield self._read([self._step(shot, self._detect(shot.pixels))], Start(self._tracker, self._key))

    def batches(self, shots: Iterable[VideoFrame]) -> Iterator[Batch]:
        """The frames in order, some at a time, their faces tracked and classified.

        What reading the frames raises is raised behind the last frame that came.
        """
        failure: list[Exception] = []
        with closing(ahead(shots, 2)) as coming, ThreadPoolExecutor(self._threads) as pool:
            reads: deque[Future[Batch]] = deque()
            for batch in self._gathered(_until(coming, failure), pool):
                reads.append(pool.submit(self._read, batch, self._stand()))
                if len(reads) > self._threads:
                    yield reads.popleft().result()
            while reads:
                yield reads.popleft().result()
        if failure:
            raise failure[0]

    def _gathered(self, shots: Iterator[VideoFrame], pool: ThreadPoolExecutor) -> Iterator[list[Found]]:
        """Frames with tracked faces, some at a time, up to and with one that was looked at."""
        batch: list[Found] = []
        for stretch in self._stretches(shots, pool):
            batch += stretch
            if len(batch) >= min(BATCH, _room(batch[-1].shot)):
                yield batch
                batch = []
        if batch:
            yield batch

    def _read(self, batch: list[Found], stand: Start) -> Batch:
        faces = self._classify([one.shot.pixels for one in batch], [one.faces for one in batch])
        return Batch([Found(one.shot, found) for one, found in zip(batch, faces, strict=True)], stand)

    def _stand(self) -> Start:
        """Where it stands now; the tracker itself goes on."""
        return Start(copy.deepcopy(self._tracker), self._key)

    def _stretches(self, shots: Iterator[VideoFrame], pool: ThreadPoolExecutor) -> Iterator[list[Found]]:
        """Frames up to and with the next one that is detected, tracked."""
        between: list[VideoFrame] = []
        for shot, found in self._looked_at(shots, pool):
            if found is None:
                between.append(shot)
                continue
            yield self._tracked(between, shot, found.result(), pool)
            between = []
        if between:  # the clip ended: its last frame is looked at, too
            last = between.pop()
            yield self._tracked(between, last, self._detect(last.pixels), pool)

    def _looked_at(
        self, shots: Iterator[VideoFrame], pool: ThreadPoolExecutor
    ) -> Iterator[tuple[VideoFrame, Future[list[Face]] | None]]:
        """Frames in order, some on their way while the oldest is waited for; None: one between."""
        way: deque[tuple[VideoFrame, Future[list[Face]] | None]] = deque()
        since = self._every if self._key is None else 1  # frames since the last one looked at
        for shot in shots:
            looked = since >= self._every
            way.append((shot, pool.submit(self._detect, shot.pixels) if looked else None))
            since = 1 if looked else since + 1
            if len(way) >= _room(shot):
                yield way.popleft()
        yield from way

    def _tracked(
        self, between: list[VideoFrame], shot: VideoFrame, faces: list[Face], pool: ThreadPoolExecutor
    ) -> list[Found]:
        tried = copy.deepcopy(self._tracker) if between else self._tracker
        numbered = tried.update(faces, shot.time, shot.pixels)
        if between and (self._key is None or not _same(self._key.faces, numbered)):
            looks = list(pool.map(self._detect, [one.pixels for one in between]))
            stretch = [self._step(one, look) for one, look in zip(between, looks, strict=True)]
            return [*stretch, self._step(shot, faces)]
        key, self._tracker, self._key = self._key, tried, Key(shot.time, tuple(numbered))
        stretch = [Found(one, moved(key, self._key, one.time)) for one in between] if key else []
        return [*stretch, Found(shot, numbered)]

    def _step(self, shot: VideoFrame, faces: list[Face]) -> Found:
        numbered = self._tracker.update(faces, shot.time, shot.pixels)
        self._key = Key(shot.time, tuple(numbered))
        return Found(shot, numbered)


def _room(shot: VideoFrame) -> int:
    """How many frames of this size may be on their way."""
    return min(_MOST, max(2, _MEMORY // max(1, shot.pixels.nbytes)))


def _until(shots: Iterable[VideoFrame], failure: list[Exception]) -> Iterator[VideoFrame]:
    """The frames until reading them fails: what it raised goes into `failure`."""
    try:
        yield from shots
    except Exception as error:  # noqa: BLE001 - it is raised again once the frames before it are through
        failure.append(error)


def moved(before: Key, after: Key, time: float) -> list[Face]:
    """The faces between two frames that show the same ones, in the order of the later frame.

    Boxes and landmarks move in straight lines; the score is the lower of the two.
    """
    span = after.time - before.time
    share = 0.0 if span <= 0 else min(1.0, max(0.0, (time - before.time) / span))
    starts = {face.track: face for face in before.faces}
    return [_between(starts[face.track], face, share) for face in after.faces]


def _between(start: Face, end: Face, share: float) -> Face:
    x, y, width, height = ((1 - share) * a + share * b for a, b in zip(start.box, end.box, strict=True))
    landmarks = (1 - share) * start.landmarks + share * end.landmarks  # (5, 2)
    return replace(
        end,
        box=(x, y, width, height),
        landmarks=landmarks.astype(np.float32),
        score=min(start.score, end.score),
    )


def _same(before: Sequence[Face], after: Sequence[Face]) -> bool:
    return {face.track for face in before} == {face.track for face in after}
