"""Finds faces: YuNet over a ladder of sizes, with every find looked at again from nearby.

1. The picture is looked at in a few sizes: YuNet loses large faces that are noisy or blocky at full
   size, and small ones in a reduced picture.
2. What it half believes (a low threshold) is a candidate. Each is turned upright by its own landmarks,
   brought to one size, and looked at again: that second look refines the landmarks, and a candidate
   stays only when it passes the full threshold there. Where small ones are many, `sieve` goes first.
3. When nothing was found the picture is turned by every eighth of a turn. So is each face that does
   not look upright from nearby: YuNet finds many that lie on their side, with landmarks that do not.

Measured by `benchmarks/detector.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, cos, hypot, log, radians, sin, sqrt
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from mien.errors import ConfigError
from mien.faces.align import TEMPLATE, Matrix, invert, move, roll, similarity
from mien.faces.pyramid import TILE, TILE_OVERLAP, Pyramid, tiles
from mien.faces.sieve import SMALL, sift
from mien.faces.yunet import Network, Proposals, join, suppress
from mien.types import Face, Image, check_shape

_SMALLEST: Final = 40  # pixels: the smallest face that YuNet seldom misses
_ENLARGED: Final = 1.7  # the most by which a large picture is enlarged for its smallest faces, ...
_DOUBLED: Final = 2.0  # ... and one that stays below a tile
_LARGEST: Final = 8000  # pixels: nothing is enlarged beyond, which bounds time and memory
_PORTRAIT: Final = 1 / 3  # of the picture's longer side: a face of this size makes it a portrait
_STEP: Final = 4.0  # the most by which one size is larger than the next
_ALWAYS: Final = 640  # a picture up to this long side is looked at in full whatever `min_face` says
_SETTLED: Final = 1.0  # degrees of roll left in a look from nearby after which none follows
_ALIKE: Final = 1.8  # the most by which a face may be larger or smaller from nearby than was thought
_FEW: Final = 64  # small candidates up to which each is worth a look of its own
_MOST_SIFTED: Final = 2000  # small candidates sifted in one picture, best first, which bounds the time
_UPRIGHT: Final = 0.87  # score from nearby that an upright face reaches and a leaning one seldom does
_CLEARLY: Final = 0.05  # by how much another turn must score more for the landmarks to be mistrusted
_SQUARE: Final = 1.085  # side of the template's square in units of the root of the box's area, median
_ANGLES: Final = (45, 90, 135, 180, 225, 270, 315)  # degrees, clockwise
_NOTHING: Final = Proposals(
    np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32)
)


class Detector(Protocol):
    """Anything that finds faces; `Analyzer` takes any."""

    def detect(self, image: Image) -> list[Face]:
        """The unclassified faces of (H, W, 3) RGB uint8, largest first."""
        ...


@dataclass(frozen=True, slots=True)
class DetectorOptions:
    """How hard to look; the defaults are for photos."""

    min_face: int = 20  # pixels; faces whose longer side is less are left out, and not looked for
    threshold: float = 0.6  # score in [0, 1] from which a find is a face
    candidate: float = 0.2  # score from which a find is looked at again from nearby; >= threshold: never
    certain: float = 0.7  # score from which a find needs no second look to be a face
    coarse: int = 224  # long side in pixels of the smallest size looked at
    finest: int | None = None  # long side of the largest size looked at; None: as min_face asks
    turned: bool = True  # look at a picture without faces, and at doubtful faces, in every eighth of a turn
    refinements: int = 2  # looks at each face from nearby
    most_candidates: int = 100  # candidates looked at again in one picture, best first

    def __post_init__(self) -> None:
        if self.min_face < 1 or not 0 < self.threshold <= 1 or not 0 < self.candidate <= 1:
            raise ConfigError(
                "detector: expected min_face >= 1 and threshold and candidate in (0, 1], "
                f"got {self.min_face}, {self.threshold} and {self.candidate}"
            )

    @classmethod
    def video(cls, min_face: int = 20) -> DetectorOptions:
        """For clips: no more than 640 pixels, nothing turned, few second chances, one refinement."""
        return cls(
            min_face=min_face, candidate=0.2, finest=640, turned=False, refinements=1, most_candidates=8
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Near:
    """A look at one face from nearby."""

    side: int  # pixels of the square looked at
    face: int  # pixels of the template's square, in the middle of it
    threshold: float  # score from which something is seen

    @property
    def template(self) -> NDArray[np.float64]:
        """(5, 2) where the landmarks should be."""
        return np.array(TEMPLATE) * self.face + (self.side - self.face) / 2


#: Small: cheap, and sees nearly all that is there. Large: YuNet's landmarks follow only .2 of a turn when
#: the template's square is 104 pixels, .6 at 160, .84 at 180 and .94 at 240 (roll against a known turn of
#: 10 degrees, 60 photos), so what refines must look closely.
_VERIFY: Final = _Near(160, 104, 0.3)
_REFINE: Final = _Near(288, 240, 0.3)


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
        picture = Pyramid(image)
        found = self._confirm(picture, self._look(picture))
        if not len(found) and options.turned:
            found = self._confirm(picture, self._look_turned(picture))
        return _faces(found, options.min_face)

    def _sizes(self, long: int) -> list[float]:
        """The long sides of the sizes to look at, in pixels, smallest first; even ratios up to `_STEP`."""
        options = self.options
        wanted = long * _SMALLEST / options.min_face
        most = min(long * _DOUBLED, max(long * _ENLARGED, TILE), max(long, _LARGEST))
        finest = max(options.coarse, min(wanted, most), min(long, _ALWAYS))
        finest = min(finest, long, options.finest) if options.finest else finest
        steps = max(1, ceil(log(finest / options.coarse) / log(_STEP) - 1e-9))
        ratio = (options.coarse / finest) ** (1 / steps)
        return [finest * ratio**i for i in reversed(range(steps + 1))]

    def _look(self, picture: Pyramid) -> Proposals:
        """Candidates from the whole picture at each size, in pixels of the picture."""
        threshold = min(self.options.candidate, self.options.threshold)
        parts: list[Proposals] = []
        for wanted in self._sizes(picture.long):
            # A portrait is not enlarged: that would take twice the time for small faces it seldom has.
            size = min(wanted, picture.long) if self._is_portrait(parts, picture.long) else wanted
            small, scale = picture.resized(size)
            for left, top, tile in tiles(small):
                seen = self._network(tile, threshold)
                if tile is not small:  # what is cut by a tile's edge is seen whole at the next size
                    seen = seen.take(seen.boxes[:, 2:].max(axis=1, initial=0) < TILE_OVERLAP)
                parts.append(_moved(seen, left, top, scale))
        return suppress(join(parts))

    def _is_portrait(self, seen: Sequence[Proposals], long: int) -> bool:
        """Whether a face that is certain fills much of a picture with a long side of `long` pixels."""
        least = long * _PORTRAIT
        return any(
            ((p.scores >= self.options.certain) & (p.boxes[:, 2:].max(axis=1, initial=0) >= least)).any()
            for p in seen
        )

    def _look_turned(self, picture: Pyramid) -> Proposals:
        """Candidates from the picture turned by every eighth of a turn, at the smallest size."""
        parts = []
        for angle in _ANGLES:
            turn, side = picture.turn(angle, self.options.coarse)
            seen = self._network(picture.view(turn, side), self.options.candidate)
            back = invert(turn)
            parts += [_mapped(seen.take(np.array([i])), back) for i in range(len(seen))]
        return suppress(join(parts or [_NOTHING]))

    def _confirm(self, picture: Pyramid, candidates: Proposals) -> Proposals:
        """Look at each candidate from nearby; drop those that do not reach the full threshold either way."""
        options = self.options
        sure = candidates.scores >= options.threshold
        candidates = candidates.take(sure | ~_within(candidates, candidates.boxes[sure]))
        longer = candidates.boxes[:, 2:].max(axis=1, initial=0)  # (N,)
        sure = candidates.scores >= options.threshold
        small = ~sure & (longer >= options.min_face * 0.8) & (longer < SMALL)
        if small.sum() <= _FEW:
            unsure = candidates.take(~sure & (longer >= options.min_face * 0.8))
        else:
            sifted = sift(self._network, picture, candidates.take(np.flatnonzero(small)[:_MOST_SIFTED]))
            unsure = join([candidates.take(~sure & (longer >= SMALL)), sifted])
        tried = [candidates.take(sure), unsure.take(np.arange(min(len(unsure), options.most_candidates)))]
        looks = (
            self._from_nearby(picture, part.take(np.array([i]))) for part in tried for i in range(len(part))
        )
        return suppress(join([face for face in looks if face is not None] or [_NOTHING]))

    def _from_nearby(self, picture: Pyramid, face: Proposals) -> Proposals | None:
        """One face, its landmarks refined upright; None when it was unsure and is none from nearby."""
        options, first = self.options, face.scores
        if first[0] < options.certain or options.turned:
            seen = self._look_near(picture, _onto_template(face, _VERIFY), _VERIFY)
            upright = 0.0 if seen is None else seen.scores[0]
            if first[0] < options.certain:
                if seen is None or upright < options.threshold:
                    return None
                face = seen
            if options.turned and upright < _UPRIGHT:
                face = self._righted(picture, face, upright)
        for _ in range(options.refinements):
            seen = self._look_near(picture, _onto_template(face, _REFINE), _REFINE)
            if seen is None:
                break
            left = roll(seen.landmarks[0]) - roll(face.landmarks[0])
            face = seen
            if abs(left) < _SETTLED:
                break
        return Proposals(face.boxes, face.landmarks, np.maximum(face.scores, first))

    def _righted(self, picture: Pyramid, face: Proposals, upright: float) -> Proposals:
        """The face in that of eight turns in which it clearly scores highest, if in any."""
        looks = [self._look_near(picture, _by_box(face, angle, _VERIFY), _VERIFY) for angle in (0, *_ANGLES)]
        better = [look for look in looks if look is not None and look.scores[0] > upright + _CLEARLY]
        return max(better, key=lambda look: float(look.scores[0]), default=face)

    def _look_near(self, picture: Pyramid, matrix: Matrix, near: _Near) -> Proposals | None:
        """The one face that a (2, 3) similarity brings to the middle of a look; None: not seen."""
        seen = self._network(picture.view(matrix, near.side), near.threshold)
        middle = seen.boxes[:, :2] + seen.boxes[:, 2:] / 2 - near.side / 2  # (N, 2)
        size = np.sqrt(seen.boxes[:, 2:].prod(axis=1)) / near.face  # (N,)
        same = (np.hypot(*middle.T) < near.face / 3) & (size > 1 / _ALIKE) & (size < _ALIKE)
        return _mapped(seen.take(np.flatnonzero(same)[:1]), invert(matrix)) if same.any() else None


def _within(seen: Proposals, boxes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(N,) whether the middle of a find lies in one of (M, 4) boxes: a part of that face, no other face."""
    middles = seen.boxes[:, None, :2] + seen.boxes[:, None, 2:] / 2  # (N, 1, 2)
    inside = (middles > boxes[:, :2]) & (middles < boxes[:, :2] + boxes[:, 2:])  # (N, M, 2)
    within: NDArray[np.bool_] = inside.all(axis=2).sum(axis=1) > 0
    return within


def _onto_template(face: Proposals, near: _Near) -> Matrix:
    """The similarity that brings a face upright and to the size of a look, by its landmarks."""
    return similarity(face.landmarks[0], near.template)


def _by_box(face: Proposals, angle: float, near: _Near) -> Matrix:
    """The same by its box alone, for a face that leans by `angle` degrees."""
    x, y, width, height = (float(v) for v in face.boxes[0])
    scale = near.face / (_SQUARE * sqrt(width * height))
    c, s = scale * cos(radians(angle)), scale * sin(radians(angle))
    turn = np.array([[c, s], [-s, c]])
    return np.column_stack([turn, near.side / 2 - turn @ np.array([x + width / 2, y + height / 2])])


def _moved(seen: Proposals, left: int, top: int, scale: float) -> Proposals:
    """Proposals of a tile in pixels of the picture."""
    corner = np.array([left, top], np.float32)
    boxes = np.concatenate([seen.boxes[:, :2] + corner, seen.boxes[:, 2:]], axis=1) * scale  # (N, 4)
    landmarks = (seen.landmarks + corner) * scale  # (N, 5, 2)
    return Proposals(boxes.astype(np.float32), landmarks.astype(np.float32), seen.scores)


def _mapped(face: Proposals, matrix: Matrix) -> Proposals:
    """One proposal taken through a similarity.

    The new box holds the ellipse that the old one held, so that it neither swells when a face is
    turned by 45 degrees nor keeps its sides when turned by 90.
    """
    x, y, width, height = face.boxes[0].astype(np.float64)
    centre = matrix[:, :2] @ np.array([x + width / 2, y + height / 2]) + matrix[:, 2]
    half = [hypot(matrix[i, 0] * width / 2, matrix[i, 1] * height / 2) for i in (0, 1)]
    box = np.array([[*(centre - half), 2 * half[0], 2 * half[1]]], np.float32)  # (1, 4)
    landmarks = move(matrix, face.landmarks[0])[None]  # (1, 5, 2)
    return Proposals(box, landmarks, face.scores)


def _faces(found: Proposals, min_face: int) -> list[Face]:
    faces = [
        Face((float(b[0]), float(b[1]), float(b[2]), float(b[3])), points, float(score))
        for b, points, score in zip(found.boxes, found.landmarks, found.scores, strict=True)
        if b[2:].max() >= min_face
    ]
    return sorted(faces, key=lambda face: -face.box[2] * face.box[3])
