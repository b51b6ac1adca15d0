"""Finds faces: YuNet over a ladder of sizes, with every find looked at again from nearby.

1. The picture is looked at in a few sizes: YuNet loses large faces that are noisy or blocky at full
   size, and small ones in a reduced picture.
2. What it half believes (a low threshold) is a candidate. Each is turned upright by its own landmarks,
   brought to one size, and looked at again: that second look refines the landmarks, and a candidate
   stays only when it passes the full threshold there.
3. When nothing was found the picture is turned by 90, 180 and 270 degrees.

Measured by `benchmarks/detector.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, hypot, log
from typing import Final, Protocol

import numpy as np
from PIL import Image as Pil

from mien.align import TEMPLATE, Matrix, invert, move, similarity
from mien.errors import ConfigError
from mien.preprocess import warp
from mien.run.yunet import Network, Proposals, join, suppress
from mien.types import Face, Image, check_shape

_SMALLEST: Final = 16  # pixels: the smallest face that YuNet makes a candidate of
_STEP: Final = 4.0  # the most by which one size is larger than the next
_ALWAYS: Final = 640  # a picture up to this long side is looked at in full whatever `min_face` says
_TILE: Final = 1280  # the most pixels a side in one pass, which bounds the memory
_TILE_OVERLAP: Final = 128
_NEAR: Final = 160  # side of the look from nearby
_NEAR_FACE: Final = 96  # side of the template's square in it
_NEAR_TEMPLATE: Final = np.array(TEMPLATE) * _NEAR_FACE + (_NEAR - _NEAR_FACE) / 2  # (5, 2)


class Detector(Protocol):
    """Anything that finds faces; `Analyzer` takes any."""

    def detect(self, image: Image) -> list[Face]:
        """The unclassified faces of (H, W, 3) RGB uint8, largest first."""
        ...


@dataclass(frozen=True, slots=True)
class DetectorOptions:
    """How hard to look; the defaults are for photos."""

    min_face: int = 16  # pixels; faces whose longer side is less are left out, and not looked for
    threshold: float = 0.6  # score in [0, 1] from which a find is a face
    candidate: float = 0.25  # score from which a find is looked at again from nearby; >= threshold: never
    coarse: int = 320  # long side in pixels of the smallest size looked at
    finest: int | None = None  # long side in pixels of the largest size looked at; None: as min_face asks
    levels: int | None = None  # how many sizes to look at, the largest first; None: as many as it takes
    turned: bool = True  # look at the picture turned when nothing was found
    refinements: int = 2  # looks at each face from nearby
    most_candidates: int = 48  # candidates looked at again in one picture, best first

    def __post_init__(self) -> None:
        if self.min_face < 1 or not 0 < self.threshold <= 1 or not 0 < self.candidate <= 1:
            raise ConfigError(
                "detector: expected min_face >= 1 and threshold and candidate in (0, 1], "
                f"got {self.min_face}, {self.threshold} and {self.candidate}"
            )

    @classmethod
    def video(cls, min_face: int = 16) -> DetectorOptions:
        """For clips: one look at no more than 640 pixels, no second chances, one refinement."""
        return cls(min_face=min_face, candidate=1.0, finest=640, levels=1, turned=False, refinements=1)


class YuNet:
    """The detector that Mien ships with."""

    def __init__(self, options: DetectorOptions = DetectorOptions(), threads: int = 1) -> None:
        self.options = options
        self._network = Network(threads)

    def detect(self, image: Image) -> list[Face]:
        """The faces of a picture.

        Args:
            image: (H, W, 3) RGB uint8.

        Returns:
            The faces, largest first, without probabilities.

        Raises:
            ValueError: the array is not (H, W, 3).
            ModelError: the weights are absent or not the expected ones (when made, not here).
        """
        check_shape("detect: image", image, (None, None, 3))
        if 0 in image.shape:
            return []
        options = self.options
        found = self._confirm(image, self._look(image, self._sizes(image)))
        if not len(found) and options.turned:
            found = self._confirm(image, self._look_turned(image))
        return _faces(found, options.min_face)

    def _sizes(self, image: Image) -> list[float]:
        """The long sides of the sizes to look at, in pixels, largest first; even ratios up to `_STEP`."""
        options = self.options
        long = max(image.shape[:2])
        finest = max(options.coarse, min(long, _ALWAYS), long * min(1.0, _SMALLEST / options.min_face))
        finest = min(finest, long, options.finest or long) if options.levels == 1 else finest
        steps = max(1, ceil(log(finest / options.coarse) / log(_STEP) - 1e-9))
        ratio = (options.coarse / finest) ** (1 / steps)
        return [finest * ratio**i for i in range(steps + 1)][: options.levels]

    def _look(self, image: Image, sizes: list[float]) -> Proposals:
        """Candidates from the whole picture at each size, in pixels of the picture."""
        threshold = min(self.options.candidate, self.options.threshold)
        parts = []
        for size in sizes:
            small, scale = _resized(image, size)
            for left, top, tile in _tiles(small):
                seen = self._network(tile, threshold)
                if tile is not small:  # what is cut by a tile's edge is seen whole at the next size
                    seen = seen.take(seen.boxes[:, 2:].max(axis=1, initial=0) < _TILE_OVERLAP)
                parts.append(_moved(seen, left, top, scale))
        return suppress(join(parts))

    def _look_turned(self, image: Image) -> Proposals:
        """Candidates from the picture turned by 90, 180 and 270 degrees, at the smallest size."""
        small, scale = _resized(image, self.options.coarse)
        parts = []
        for quarter in (1, 2, 3):
            seen = self._network(np.ascontiguousarray(np.rot90(small, quarter)), self.options.candidate)
            parts.append(_moved(_unturned(seen, quarter, small.shape), 0, 0, scale))
        return suppress(join(parts))

    def _confirm(self, image: Image, candidates: Proposals) -> Proposals:
        """Look at each candidate from nearby; drop those that do not reach the full threshold either way."""
        options = self.options
        large = candidates.boxes[:, 2:].max(axis=1, initial=0) >= options.min_face * 0.8
        candidates = candidates.take(large)
        sure = candidates.scores >= options.threshold
        unsure = np.flatnonzero(~sure)[: options.most_candidates]
        kept = [
            face
            for i in (*np.flatnonzero(sure), *unsure)
            if (face := self._from_nearby(image, candidates.take(np.array([i])))) is not None
        ]
        return suppress(join([*kept, candidates.take(np.zeros(0, np.intp))]))

    def _from_nearby(self, image: Image, face: Proposals) -> Proposals | None:
        """One face after its looks from nearby; as it was when they find nothing, None when it was unsure."""
        sure = face.scores[0] >= self.options.threshold
        for _ in range(self.options.refinements):
            matrix = similarity(face.landmarks[0], _NEAR_TEMPLATE)
            seen = self._network(warp(image, matrix, (_NEAR, _NEAR)), self.options.threshold)
            middle = seen.boxes[:, :2] + seen.boxes[:, 2:] / 2 - _NEAR / 2  # (N, 2)
            seen = seen.take(np.hypot(*middle.T) < _NEAR / 4)
            if not len(seen):
                break
            face = _mapped(seen.take(np.array([0])), invert(matrix), float(face.scores[0]))
            sure = True
        return face if sure else None


def _resized(image: Image, long: float) -> tuple[Image, float]:
    """The picture with its long side at `long` pixels, and the scale from it to the picture."""
    rows, columns = image.shape[:2]
    scale = long / max(rows, columns)
    if round(long) == max(rows, columns):
        return image, 1.0
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    small = Pil.fromarray(image).resize(size, Pil.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(small), 1 / scale


def _tiles(image: Image) -> Iterator[tuple[int, int, Image]]:
    """Left, top and pixels of the overlapping tiles of a large picture; the picture itself if it is small."""
    rows, columns = image.shape[:2]
    if max(rows, columns) <= _TILE:
        yield 0, 0, image
        return
    for top in _starts(rows):
        for left in _starts(columns):
            yield left, top, image[top : top + _TILE, left : left + _TILE]


def _starts(length: int) -> list[int]:
    """Where the tiles begin along one side: evenly, overlapping by at least `_TILE_OVERLAP`."""
    count = max(1, ceil((length - _TILE_OVERLAP) / (_TILE - _TILE_OVERLAP)))
    return [round(i * (length - _TILE) / (count - 1)) for i in range(count)] if count > 1 else [0]


def _moved(seen: Proposals, left: int, top: int, scale: float) -> Proposals:
    """Proposals of a tile in pixels of the picture."""
    corner = np.array([left, top], np.float32)
    boxes = np.concatenate([seen.boxes[:, :2] + corner, seen.boxes[:, 2:]], axis=1) * scale  # (N, 4)
    landmarks = (seen.landmarks + corner) * scale  # (N, 5, 2)
    return Proposals(boxes.astype(np.float32), landmarks.astype(np.float32), seen.scores)


def _unturned(seen: Proposals, quarter: int, shape: tuple[int, ...]) -> Proposals:
    """Proposals found in `np.rot90(picture, quarter)` in pixels of the picture of that shape."""
    rows, columns = shape[:2]
    turn = {
        1: np.array([[0, -1, columns], [1, 0, 0]], np.float64),
        2: np.array([[-1, 0, columns], [0, -1, rows]], np.float64),
        3: np.array([[0, 1, 0], [-1, 0, rows]], np.float64),
    }[quarter]
    parts = [_mapped(seen.take(np.array([i])), turn, 0.0) for i in range(len(seen))]
    return join([*parts, seen.take(np.zeros(0, np.intp))])


def _mapped(face: Proposals, matrix: Matrix, score: float) -> Proposals:
    """One proposal taken through a similarity; its score, or `score` if that is higher.

    The new box holds the ellipse that the old one held, so that it neither swells when a face is
    turned by 45 degrees nor keeps its sides when turned by 90.
    """
    x, y, width, height = face.boxes[0].astype(np.float64)
    centre = matrix[:, :2] @ np.array([x + width / 2, y + height / 2]) + matrix[:, 2]
    half = [hypot(matrix[i, 0] * width / 2, matrix[i, 1] * height / 2) for i in (0, 1)]
    box = np.array([[*(centre - half), 2 * half[0], 2 * half[1]]], np.float32)  # (1, 4)
    landmarks = move(matrix, face.landmarks[0])[None]  # (1, 5, 2)
    return Proposals(box, landmarks, np.maximum(face.scores, np.float32(score)))


def _faces(found: Proposals, min_face: int) -> list[Face]:
    faces = [
        Face((float(b[0]), float(b[1]), float(b[2]), float(b[3])), points, float(score))
        for b, points, score in zip(found.boxes, found.landmarks, found.scores, strict=True)
        if b[2:].max() >= min_face
    ]
    return sorted(faces, key=lambda face: -face.box[2] * face.box[3])
