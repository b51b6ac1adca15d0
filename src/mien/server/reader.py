"""Photos of many requests, read together by threads: one run of the network serves several photos.

Each thread takes its share of the photos that wait, a few at most, finds their faces one photo after the
other, and classifies all of these faces in one batch. Under load batches are full; a lone photo waits for
nobody.
"""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Final, Generic, TypeVar

from mien.analyzer import Analyzer, crop_whole
from mien.errors import ImageError
from mien.faces.detect import WholePicture, YuNet, keep_largest
from mien.image import read_image
from mien.server.answers import Problem
from mien.server.content import check_picture, tell_photo_error
from mien.types import Face, Frame, Image

BATCH: Final = 4  # photos that a thread takes at once, ...
_BATCH_PIXELS: Final = 16_000_000  # ... unless they have more pixels than this

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PhotoOptions:
    """How the photos of one request are read."""

    min_face: int | None = None  # pixels; None: the detector's own limit
    max_faces: int | None = None  # of a picture, the largest; None: as many as the server allows
    policy: str = "accurate"
    crops: bool = False  # pictures already are faces


@dataclass(slots=True, eq=False)
class PhotoTask(Generic[T]):
    """A photo that waits to be read."""

    data: Callable[[], bytes]
    media_type: str  # as the client says
    options: PhotoOptions
    finish: Callable[[Image, Frame], T]  # makes the answer of its pixels and faces; called in the thread
    future: Future[T] = field(default_factory=Future)


@dataclass(slots=True, eq=False)
class _Found:
    """A photo whose faces are found and not yet classified."""

    task: PhotoTask[Any]
    pixels: Image
    faces: list[Face]
    notes: tuple[str, ...]


class PhotoReader:
    """Reads photos in threads of its own; `pixels` and `faces` are the most of one photo."""

    def __init__(self, analyzer: Analyzer, *, threads: int, pixels: int, faces: int) -> None:
        self._photos, self._pixels, self._faces = analyzer, pixels, faces
        self._crops = replace(analyzer, detector=WholePicture(), crop=crop_whole)
        self._waiting: deque[PhotoTask[Any]] = deque()
        self._lock = threading.Lock()
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, "mien-reader")

    def submit(self, task: PhotoTask[T]) -> Future[T]:
        """Queue a photo; its future gives what `finish` makes, and may be cancelled while it waits."""
        self._waiting.append(task)
        try:
            self._pool.submit(self._read_share)
        except RuntimeError:  # it is closed
            raise Problem("busy", "the server is shutting down; try again") from None
        return task.future

    @property
    def waiting(self) -> int:
        """Photos that no thread has begun."""
        return len(self._waiting)

    def close(self) -> None:
        """End the threads, after what they have begun."""
        with self._lock:
            for task in self._waiting:
                task.future.cancel()
            self._waiting.clear()
        self._pool.shutdown()

    def _read_share(self) -> None:
        """Read this thread's share of what waits; nothing if other threads have taken it all."""
        with self._lock:
            number = min(BATCH, -(-len(self._waiting) // self._threads))
            share = [self._waiting.popleft() for _ in range(number)]
        found: list[_Found] = []
        for task in share:
            if not task.future.set_running_or_notify_cancel():
                continue
            try:
                found.append(self._find_faces(task))
            except Exception as error:  # noqa: BLE001 - it is raised where the photo is waited for
                task.future.set_exception(error)
            if sum(photo.pixels.size // 3 for photo in found) > _BATCH_PIXELS:
                self._finish(found)
                found = []
        self._finish(found)

    def _find_faces(self, task: PhotoTask[Any]) -> _Found:
        data, options = task.data(), task.options
        try:
            picture = read_image(data, max_pixels=self._pixels)  # first: it says best what is damaged
        except ImageError as error:
            raise tell_photo_error(data, error) from error
        check_picture(data, task.media_type)
        detector = (self._crops if options.crops else self._photos).detector
        if options.min_face is not None and isinstance(detector, YuNet):
            detector = copy.copy(detector)  # it shares the network
            detector.options = replace(detector.options, min_face=options.min_face)
        faces, notes = detector.detect(picture.pixels), picture.notes
        if len(faces) > self._faces:
            notes = (*notes, f"{len(faces)} faces found, the {self._faces} largest read")
        most = min(self._faces, options.max_faces or self._faces)
        return _Found(task, picture.pixels, keep_largest(faces, most), notes)

    def _finish(self, found: list[_Found]) -> None:
        """Classify the faces of several photos, in one batch if options agree, and answer each photo."""

        def alike(photo: _Found) -> tuple[bool, str]:
            return photo.task.options.crops, photo.task.options.policy

        for (crops, policy), group in groupby(sorted(found, key=alike), alike):
            photos = list(group)
            try:
                analyzer = self._crops if crops else self._photos
                analyzer = replace(analyzer, policy=analyzer.classifier.card.policy(policy))
                read = analyzer.read_faces(
                    [photo.pixels for photo in photos], [photo.faces for photo in photos]
                )
            except Exception as error:  # noqa: BLE001 - it is raised where the photos are waited for
                for photo in photos:
                    photo.task.future.set_exception(error)
                continue
            for photo, faces in zip(photos, read, strict=True):
                try:
                    frame = Frame("", 0, None, tuple(faces), photo.notes)
                    photo.task.future.set_result(photo.task.finish(photo.pixels, frame))
                except Exception as error:  # noqa: BLE001 - it is raised where the photo is waited for
                    photo.task.future.set_exception(error)
