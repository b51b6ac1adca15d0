"""Photos of many requests, read together: threads that find faces, one run of the network for several photos.

Each thread takes its share of the photos that wait, a few at most, finds their faces one after the other, and
classifies those of all of them in one batch. Under load batches are full; a lone photo waits for nobody.
"""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, TypeVar

import numpy as np

from mien.analyzer import Analyzer, crop_whole
from mien.faces.detect import Detector, WholePicture, YuNet
from mien.faces.policy import label_faces
from mien.image import read_image
from mien.server.kinds import check_kind
from mien.server.problem import Problem
from mien.types import Face, Frame, Image

TOGETHER: Final = 4  # photos a thread takes at once, ...
_PIXELS: Final = 16_000_000  # ... unless they have more pixels than this

T = TypeVar("T")
#: Makes what is answered of the pixels of a photo and its frame; called in the thread.
Finish = Callable[[Image, Frame], T]


@dataclass(frozen=True, slots=True)
class Options:
    """How the photos of one request are read."""

    min_face: int | None = None
    max_faces: int | None = None
    policy: str = "accurate"
    crops: bool = False


@dataclass(slots=True, eq=False)
class Order(Generic[T]):
    """A photo that waits to be read."""

    data: Callable[[], bytes]
    kind: str  # media type, as its sender says
    options: Options
    finish: Finish[T]
    future: Future[T] = field(default_factory=Future)


@dataclass(slots=True, eq=False)
class _Found:
    """A photo whose faces are found."""

    order: Order[Any]
    pixels: Image
    faces: list[Face]
    crops: list[Image]
    notes: tuple[str, ...]


class Reader:
    """Reads photos in threads of its own; `close` ends them.

    Args:
        analyzer: its detector, cut and classifier are used.
        threads: that read.
        pixels: of a photo, at most.
        faces: of a photo, at most.
    """

    def __init__(self, analyzer: Analyzer, *, threads: int, pixels: int, faces: int) -> None:
        self.analyzer = analyzer
        self._pixels, self._faces = pixels, faces
        self._waiting: deque[Order[Any]] = deque()
        self._news = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"mien-reader-{n}", daemon=True) for n in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, order: Order[T]) -> Future[T]:
        """Queue a photo: its future gives what `finish` makes, or raises; it may be cancelled as it waits."""
        with self._news:
            if self._closed:
                raise Problem("busy", "expected a server that runs, it is ending; try again")
            self._waiting.append(order)
            self._news.notify()
        return order.future

    @property
    def waiting(self) -> int:
        """Photos that nobody has begun."""
        return len(self._waiting)

    def close(self) -> None:
        """End the threads, after what they have begun."""
        with self._news:
            self._closed = True
            for order in self._waiting:
                order.future.cancel()
            self._waiting.clear()
            self._news.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while share := self._share():
            found: list[_Found] = []
            while share:
                order = share.popleft()
                if not order.future.set_running_or_notify_cancel():
                    continue
                try:
                    found.append(self._find(order))
                except Exception as error:  # noqa: BLE001 - it is raised where the photo is waited for
                    order.future.set_exception(error)
                if sum(one.pixels.size // 3 for one in found) > _PIXELS:
                    self._finish(found)
                    found = []
            self._finish(found)
            del found  # else the last photo's pixels stay until the next one comes

    def _share(self) -> deque[Order[Any]]:
        """This thread's part of what waits; empty: it is over."""
        with self._news:
            self._news.wait_for(lambda: self._waiting or self._closed)
            number = min(TOGETHER, -(-len(self._waiting) // len(self._threads)))
            return deque(self._waiting.popleft() for _ in range(number))

    def _find(self, order: Order[Any]) -> _Found:
        data = order.data()
        picture = read_image(data, max_pixels=self._pixels)  # it says best what is wrong with other files
        check_kind(data, order.kind)
        pixels, notes, options = picture.pixels, picture.notes, order.options
        if options.crops:
            faces = WholePicture().detect(pixels)
        else:
            faces = self._detector(options.min_face).detect(pixels)
        if len(faces) > self._faces:
            notes = (*notes, f"{len(faces)} faces found, the {self._faces} largest read")
        faces = faces[: min(self._faces, options.max_faces or self._faces)]
        card, cut = self.analyzer.classifier.card, crop_whole if options.crops else self.analyzer.crop
        return _Found(order, pixels, faces, [cut(pixels, face, card) for face in faces], notes)

    def _detector(self, min_face: int | None) -> Detector:
        """The detector, with another limit if asked: it shares the network."""
        detector = self.analyzer.detector
        if min_face is None or not isinstance(detector, YuNet):
            return detector
        other = copy.copy(detector)
        other.options = replace(detector.options, min_face=min_face)
        return other

    def _finish(self, found: list[_Found]) -> None:
        """Classify the faces of several photos in one batch, and answer each photo."""
        classifier = self.analyzer.classifier
        crops = [crop for one in found for crop in one.crops]
        try:
            probabilities = classifier(np.stack(crops)) if crops else np.zeros((0, 8), np.float32)  # (N, 8)
        except Exception as error:  # noqa: BLE001 - it is raised where the photos are waited for
            for one in found:
                one.order.future.set_exception(error)
            return
        start = 0
        for one in found:
            end = start + len(one.faces)
            try:
                policy = classifier.card.policy(one.order.options.policy)
                faces = label_faces(one.faces, probabilities[start:end], policy, classifier.card.uncertain)
                answer = one.order.finish(one.pixels, Frame("", 0, None, tuple(faces), one.notes))
                one.order.future.set_result(answer)
            except Exception as error:  # noqa: BLE001 - it is raised where the photo is waited for
                one.order.future.set_exception(error)
            start = end
