"""Finds faces: YuNet at a few sizes of the picture, then close-ups of each candidate.

1. The picture is scanned at a few sizes: YuNet loses large faces that are noisy or blocky at full size, and
   small ones in a reduced picture. Large pictures are scanned tile by tile; small ones in which no large face
   was found are enlarged. A dark picture is brightened first.
2. What is half believed is a candidate. It is turned upright by its own landmarks, brought to one size and
   detected again, twice. A face is what scores the threshold in two of these three looks. Alone, a scan loses
   most small faces or invents some; a close-up of what is no face seldom scores high, and never twice.
3. A face that does not look upright in its close-up is tried in every eighth of a turn: YuNet finds many
   faces turned on their side, but with upright landmarks. Larger close-ups then refine the landmarks.
4. Where nothing was found, all of the picture is turned by every eighth of a turn.

Thresholds and sizes were chosen on real pictures, with and without people: `benchmarks/results/detector.md`.
Views made here are for the detector alone; crops for networks come from `align`.

Legend: N proposals, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, cos, floor, hypot, inf, log, log2, radians, sin, sqrt
from typing import Final, Protocol

import numpy as np
from PIL import Image as Pil

from mien.errors import ConfigError, ImageError
from mien.faces.align import MIN_CROP, TEMPLATE, Matrix, invert, move, roll, similarity
from mien.faces.yunet import Proposals, YuNetNetwork, join, suppress
from mien.types import Face, Image, check_shape

# sizes at which a picture is scanned, pixels
TILE: Final = 1280  # the longest side of one pass of the network, which bounds its memory
TILE_OVERLAP: Final = 128  # that neighbouring tiles share at least
COARSE: Final = 224  # the long side of the smallest size; smaller pictures are enlarged to it
_RELIABLE_FACE: Final = 40  # the smallest face that YuNet seldom misses
_MAX_ENLARGED: Final = 1920  # no picture is enlarged beyond, which bounds the time

_MAX_STEP: Final = 3.0  # by which one size is larger than the next
_PORTRAIT_SHARE: Final = 1 / 3  # of the picture's longer side: a face of this size makes it a portrait
_DARK: Final = 96  # gray level that 99 of 100 pixels of a dark picture stay below
_BRIGHT: Final = 230  # gray level that these are brought to

# close-ups
_SEEN_SCORE: Final = 0.3  # from which a face is seen in a close-up
_ROLL_TOLERANCE_DEG: Final = 1.0  # change of roll in a close-up below which no further one follows
_MAX_SIZE_RATIO: Final = 1.8  # between a face in its close-up and the size that was expected
_UPRIGHT_SCORE: Final = 0.87  # in a close-up, that an upright face reaches and a leaning one seldom does
_SURE_SCORE: Final = 0.75  # from which a face comes before larger ones that score less, if not all are kept
_BETTER_SCORE: Final = 0.05  # by which another turn must score more for the landmarks to be mistrusted
_SQUARE_PER_BOX: Final = 1.085  # side of the template's square per root of the box's area, median
_ANGLES: Final = (45, 90, 135, 180, 225, 270, 315)  # degrees, clockwise


class Detector(Protocol):
    """Anything that finds faces; `Analyzer` takes any."""

    def detect(self, image: Image) -> list[Face]:
        """The unclassified faces of (H, W, 3) RGB uint8, largest first."""
        ...


class WholePicture:
    """The detector for pictures that already are faces: one face, as large as the picture."""

    def detect(self, image: Image) -> list[Face]:
        """One face over the whole (H, W, 3) picture, its landmarks where the template has them.

        Raises:
            ImageError: the picture is smaller than 48 x 48.
        """
        rows, columns = image.shape[:2]
        side = min(rows, columns)
        if side < MIN_CROP:
            raise ImageError(
                f"expected a face of at least {MIN_CROP} x {MIN_CROP} pixels, got {columns} x {rows}; "
                "use a larger picture (enlarging this one adds nothing)"
            )
        corner = np.array([columns - side, rows - side]) / 2
        landmarks = (np.array(TEMPLATE) * side + corner).astype(np.float32)  # (5, 2)
        return [Face((0.0, 0.0, float(columns), float(rows)), landmarks, 1.0)]


def keep_largest(faces: list[Face], most: int | None) -> list[Face]:
    """The `most` largest of the faces that are surely faces, then of the others; in the order they came."""
    if most is None or len(faces) <= most:
        return faces
    chosen = sorted(range(len(faces)), key=lambda i: (faces[i].score < _SURE_SCORE, i))[:most]
    return [faces[i] for i in sorted(chosen)]


@dataclass(frozen=True, slots=True)
class RegionDetector:
    """Another detector's faces, of which only those stay whose middle lies in a region of the picture.

    Raises:
        ConfigError: no region of at least 2 x 2 pixels.
    """

    detector: Detector
    region: tuple[float, float, float, float]  # x, y, width, height in pixels

    def __post_init__(self) -> None:
        if len(self.region) != 4 or not np.isfinite(self.region).all() or min(self.region[2:]) < 2:
            raise ConfigError(
                f"region: expected x, y, width, height in pixels, such as 0,0,640,360, got {self.region}"
            )

    def detect(self, image: Image) -> list[Face]:
        """The faces of (H, W, 3) RGB uint8 that lie in the region, largest first.

        Raises:
            ImageError: the region lies outside of the picture.
        """
        left, top, width, height = self.region
        rows, columns = image.shape[:2]
        if not (left < columns and top < rows and left + width > 0 and top + height > 0):
            raise ImageError(
                f"expected a picture with the region {left:g},{top:g},{width:g},{height:g}, got one of "
                f"{columns} x {rows} pixels; give another region"
            )
        found = []
        for face in self.detector.detect(image):
            x, y = face.box[0] + face.box[2] / 2, face.box[1] + face.box[3] / 2
            if left <= x < left + width and top <= y < top + height:
                found.append(face)
        return found


@dataclass(frozen=True, slots=True)
class DetectorOptions:
    """How thoroughly to search; the defaults are for photos."""

    min_face: int = 20  # pixels; faces whose longer side is less are left out, and not searched for
    min_score: float = 0.0  # faces that score less are left out
    threshold: float = 0.8  # score in [0, 1] that a face has in two of three looks
    candidate: float = 0.3  # score from which something gets close-ups; >= threshold: none, the scan decides
    finest: int | None = None  # long side of the largest size scanned; None: as min_face asks
    turned: bool = True  # turn pictures without faces, and faces that do not look upright
    refinements: int = 2  # larger close-ups of each face that refine its landmarks
    most_candidates: int = 100  # candidates below the threshold that get close-ups, best first

    def __post_init__(self) -> None:
        if self.min_face < 1 or not 0 < self.threshold <= 1 or not 0 < self.candidate <= 1:
            raise ConfigError(
                "detector: expected min_face >= 1 and threshold and candidate in (0, 1], "
                f"got {self.min_face}, {self.threshold} and {self.candidate}"
            )

    @classmethod
    def video(cls) -> DetectorOptions:
        """For clips: no more than 640 pixels, one look, nothing turned, one refinement."""
        return cls(candidate=1, finest=640, turned=False, refinements=1)


@dataclass(frozen=True, slots=True, eq=False)
class _CloseUp:
    """A view of one face, upright in its middle."""

    side: int  # pixels of the view
    face: int  # pixels of the template's square, in the middle of it

    def by_landmarks(self, face: Proposals) -> Matrix:
        """The similarity from the picture to the view, by the face's landmarks."""
        template = np.array(TEMPLATE) * self.face + (self.side - self.face) / 2  # (5, 2)
        return similarity(face.landmarks[0], template)

    def by_box(self, face: Proposals, angle: float) -> Matrix:
        """The same by its box alone, for a face that leans by `angle` degrees."""
        x, y, width, height = (float(v) for v in face.boxes[0])
        scale = self.face / (_SQUARE_PER_BOX * sqrt(width * height))
        c, s = scale * cos(radians(angle)), scale * sin(radians(angle))
        turn = np.array([[c, s], [-s, c]])
        return np.column_stack([turn, self.side / 2 - turn @ np.array([x + width / 2, y + height / 2])])


#: Small: cheap, and scores an upright face high. Large: YuNet's landmarks follow only .2 of a turn when the
#: template's square is 104 pixels, .6 at 160, .84 at 180 and .94 at 240 (roll against a known turn of 10
#: degrees, 60 photos), so that refining needs the large one.
_VERIFY: Final = _CloseUp(side=160, face=104)
_REFINE: Final = _CloseUp(side=288, face=240)


class YuNet:
    """The detector that comes with Mien; the network may be shared with another.

    Raises:
        ModelError: the weights are absent or not the expected ones.
    """

    def __init__(
        self,
        options: DetectorOptions = DetectorOptions(),
        threads: int = 1,
        *,
        network: YuNetNetwork | None = None,
    ) -> None:
        self.options = options
        self._network = network or YuNetNetwork(threads)

    def detect(self, image: Image) -> list[Face]:
        """The unclassified faces of (H, W, 3) RGB uint8, largest first.

        Raises:
            ValueError: the array is not (H, W, 3).
        """
        check_shape("detect: image", image, (None, None, 3))
        if 0 in image.shape:
            return []
        picture = Pyramid(brighten(image))
        found = self._confirm(picture, self._scan(picture))
        if not len(found) and self.options.turned:
            found = self._confirm(picture, self._scan_turned(picture))
        faces = [
            Face((float(x), float(y), float(width), float(height)), points, float(score))
            for (x, y, width, height), points, score in zip(
                found.boxes, found.landmarks, found.scores, strict=True
            )
            if max(width, height) >= self.options.min_face and score >= self.options.min_score
        ]
        return sorted(faces, key=lambda face: -face.box[2] * face.box[3])

    def sizes(self, long: int) -> list[float]:
        """The long sides at which a picture with a long side of `long` pixels is scanned, smallest first.

        Up to the picture's own size the ratios between them are even and at most 3; a larger one is for small
        faces.
        """
        wanted = long * _RELIABLE_FACE / self.options.min_face
        finest = max(COARSE, min(wanted, max(long, _MAX_ENLARGED), self.options.finest or inf))
        own = max(COARSE, min(finest, long))
        steps = ceil(log(own / COARSE) / log(_MAX_STEP) - 1e-9)
        ladder = [COARSE * (own / COARSE) ** (i / max(1, steps)) for i in range(steps + 1)]
        return [*ladder, finest] if finest > own and self.options.finest is None else ladder

    def _scan(self, picture: Pyramid) -> Proposals:
        """Candidates in the whole picture at each size, in pixels of the picture."""
        threshold = min(self.options.candidate, self.options.threshold)
        parts: list[Proposals] = []
        least = picture.long * _PORTRAIT_SHARE
        for size in self.sizes(picture.long):
            # a portrait is not enlarged: that would take long for small faces it seldom has
            if size > max(COARSE, picture.long) and any(
                ((part.scores >= self.options.threshold) & (part.longer >= least)).any() for part in parts
            ):
                break
            small, scale = picture.resized(size)
            for left, top, tile in tiles(small):
                seen = self._network(tile, threshold)
                if tile.shape != small.shape:  # what is cut by a tile's edge is seen whole at the next size
                    seen = seen.take(seen.longer < TILE_OVERLAP)
                corner = np.array([left, top], np.float32)
                boxes = np.concatenate([seen.boxes[:, :2] + corner, seen.boxes[:, 2:]], axis=1) * scale
                landmarks = (seen.landmarks + corner) * scale  # (N, 5, 2)
                parts.append(Proposals(boxes.astype(np.float32), landmarks.astype(np.float32), seen.scores))
        return suppress(join(parts))

    def _scan_turned(self, picture: Pyramid) -> Proposals:
        """Candidates in the picture turned by every eighth of a turn, at the smallest size."""
        parts = []
        for angle in _ANGLES:
            turn, side = picture.turn(angle, COARSE)
            seen = self._network(picture.view(turn, side), self.options.candidate)
            back = invert(turn)
            parts += [map_proposal(seen.take(np.array([i])), back) for i in range(len(seen))]
        return suppress(join(parts))

    def _confirm(self, picture: Pyramid, candidates: Proposals) -> Proposals:
        """Those candidates that are faces, their landmarks refined."""
        options = self.options
        sure = candidates.scores >= options.threshold
        tried = sure | (
            (candidates.longer >= options.min_face * 0.8) & (np.cumsum(~sure) <= options.most_candidates)
        )
        looks = [self._look(picture, candidates.take(np.array([i]))) for i in np.flatnonzero(tried)]
        return suppress(join([face for face in looks if face is not None]))

    def _look(self, picture: Pyramid, face: Proposals) -> Proposals | None:
        """One candidate seen in close-ups, its landmarks refined; None: no face."""
        options, score = self.options, float(face.scores[0])
        if options.candidate < options.threshold:
            scan = score
            face, first = self._verify(picture, face)
            if options.turned and first < _UPRIGHT_SCORE and scan >= options.threshold:
                # take that of eight turns in which it clearly scores highest, if there is one
                turns = [self._see(picture, _VERIFY.by_box(face, a), _VERIFY) for a in (0, *_ANGLES)]
                better = [t for t in turns if t is not None and t.scores[0] > first + _BETTER_SCORE]
                if better:
                    face = max(better, key=lambda turn: float(turn.scores[0]))
                    first = float(face.scores[0])
            if max(scan, first) < options.threshold:
                return None  # the second close-up cannot make it two
            face, second = self._verify(picture, face)
            score = sorted((scan, first, second))[1]
        if score < options.threshold:
            return None
        for _ in range(self.options.refinements):
            seen = self._see(picture, _REFINE.by_landmarks(face), _REFINE)
            if seen is None:
                break
            change = roll(seen.landmarks[0]) - roll(face.landmarks[0])
            face = seen
            if abs(change) < _ROLL_TOLERANCE_DEG:
                break
        return Proposals(face.boxes, face.landmarks, np.array([score], np.float32))

    def _verify(self, picture: Pyramid, face: Proposals) -> tuple[Proposals, float]:
        """The candidate as a close-up shows it, and its score there; the same and 0 where it is not seen."""
        seen = self._see(picture, _VERIFY.by_landmarks(face), _VERIFY)
        return (face, 0.0) if seen is None else (seen, float(seen.scores[0]))

    def _see(self, picture: Pyramid, matrix: Matrix, view: _CloseUp) -> Proposals | None:
        """The one face that a (2, 3) similarity brings to the middle of a close-up; None: not seen."""
        seen = self._network(picture.view(matrix, view.side), _SEEN_SCORE)
        away = np.hypot(*(seen.middles - view.side / 2).T)  # (N,) pixels
        size = np.sqrt(seen.boxes[:, 2:].prod(axis=1)) / view.face  # (N,)
        same = (away < view.face / 3) & (size > 1 / _MAX_SIZE_RATIO) & (size < _MAX_SIZE_RATIO)
        return map_proposal(seen.take(np.flatnonzero(same)[:1]), invert(matrix)) if same.any() else None


def map_proposal(face: Proposals, matrix: Matrix) -> Proposals:
    """One proposal taken through a (2, 3) similarity.

    The new box holds the ellipse that the old one held, so that it neither swells when a face is
    turned by 45 degrees nor keeps its sides when turned by 90.
    """
    x, y, width, height = face.boxes[0].astype(np.float64)
    centre = matrix[:, :2] @ np.array([x + width / 2, y + height / 2]) + matrix[:, 2]
    half = [hypot(matrix[i, 0] * width / 2, matrix[i, 1] * height / 2) for i in (0, 1)]
    box = np.array([[*(centre - half), 2 * half[0], 2 * half[1]]], np.float32)  # (1, 4)
    landmarks = move(matrix, face.landmarks[0])[None]  # (1, 5, 2)
    return Proposals(box, landmarks, face.scores)


def brighten(image: Image) -> Image:
    """A dark picture with its levels stretched, (H, W, 3) uint8; any other as it is."""
    step = 1 + max(image.shape) // 256
    level = float(np.percentile(image[::step, ::step], 99))
    if level >= _DARK:
        return image
    return (image * np.float32(_BRIGHT / max(level, 1.0))).clip(0, 255).astype(np.uint8)


class Pyramid:
    """One picture, (H, W, 3) RGB uint8, and its halves, quarters and so on, made when they are needed."""

    def __init__(self, image: Image) -> None:
        self._pixels = image
        self._halved = {0: Pil.fromarray(image)}
        self.height, self.width = image.shape[:2]  # pixels
        self.long = max(self.height, self.width)

    def resized(self, long: float) -> tuple[Image, float]:
        """The picture with its long side at `long` pixels, and the scale from it to the picture."""
        if round(long) == self.long:
            return self._pixels, 1.0
        picture = self._halved[0]
        scale = long / self.long
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        small = picture.resize(size, Pil.Resampling.BILINEAR, reducing_gap=2.0)
        return np.asarray(small), 1 / scale

    def view(self, matrix: Matrix, side: int) -> Image:
        """(side, side, 3) of the picture through a (2, 3) similarity; black past the edge.

        The last halving that is still larger than the view is turned and reduced by less than two,
        which bilinear interpolation does without aliasing that a detector would mind.
        """
        level = max(0, floor(-log2(hypot(matrix[0, 0], matrix[1, 0]))))
        if level not in self._halved:
            self._halved[level] = self._halved[0].reduce(2**level)
        back = invert(matrix) / 2**level  # a halving rounds its sides up, its pixels stay 2**level wide
        turned = self._halved[level].transform(
            (side, side), Pil.Transform.AFFINE, tuple(back.ravel()), Pil.Resampling.BILINEAR
        )
        return np.asarray(turned)

    def turn(self, angle: float, long: float) -> tuple[Matrix, int]:
        """The transform that turns it by `angle` degrees, its long side at `long`, and the result's side."""
        scale = long / self.long
        c, s = scale * cos(radians(angle)), scale * sin(radians(angle))
        side = ceil((abs(c) + abs(s)) * self.long)
        turn = np.array([[c, -s], [s, c]])
        shift = side / 2 - turn @ np.array([self.width / 2, self.height / 2])
        return np.column_stack([turn, shift]), side  # (2, 3)


def tiles(image: Image) -> Iterator[tuple[int, int, Image]]:
    """Left, top and pixels of the overlapping tiles of a large picture; the picture itself if it is small."""
    for top, bottom in spans(image.shape[0]):
        for left, right in spans(image.shape[1]):
            yield left, top, image[top:bottom, left:right]


def spans(length: int) -> list[tuple[int, int]]:
    """Where the tiles begin and end along one side: as few as there can be, of one size, overlapping."""
    count = max(1, ceil((length - TILE_OVERLAP) / (TILE - TILE_OVERLAP)))
    side = ceil((length + (count - 1) * TILE_OVERLAP) / count)
    starts = [round(i * (length - side) / max(1, count - 1)) for i in range(count)]
    return [(start, start + side) for start in starts]
