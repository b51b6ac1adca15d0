"""Finds faces: YuNet proposes them at a few sizes of the picture, the face network confirms each.

1. The picture is scanned at a few sizes: YuNet loses large faces that are noisy or blocky at full size, and
   small ones in a reduced picture. Large pictures are scanned tile by tile; small ones in which no large face
   was found are enlarged. A dark picture is brightened first.
2. What YuNet half believes is a candidate. The face network (`parts`) looks at it twice, the second time
   by the landmarks that it found itself. Both have to believe in it.
3. A candidate that does not look upright is looked at in every eighth of a turn: YuNet finds many faces
   turned on their side, but with upright landmarks.
4. Where nothing was found, all of the picture is turned by every eighth of a turn.

Thresholds and sizes were chosen on real pictures, with and without people: `benchmarks/results/detector.md`.
Views made here are for the detector alone; crops for networks come from `align`.

Legend: N proposals, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, cos, exp, floor, hypot, inf, log, log2, radians, sin
from typing import Final, Protocol

import numpy as np
from PIL import Image as Pil

from mien.errors import ConfigError, ImageError
from mien.faces.align import TEMPLATE, Matrix, brighten, face_side, invert, move, transform
from mien.faces.parts import Parts, PartsNetwork, with_parts
from mien.faces.yunet import Proposals, YuNetNetwork, join, suppress
from mien.types import Face, Floats, Image, check_shape

# sizes at which a picture is scanned, pixels
TILE: Final = 1280  # the longest side of one pass of the network, which bounds its memory
TILE_OVERLAP: Final = 128  # that neighbouring tiles share at least
COARSE: Final = 224  # the long side of the smallest size; smaller pictures are enlarged to it
_RELIABLE_FACE: Final = 32  # to which the smallest face is enlarged at most: YuNet seldom misses it there
_LEAST_FACE: Final = 11  # to which it is reduced at most: a little larger, YuNet half believes in most
_CHEAP: Final = 640  # a picture of this long side is scanned at its own size first
_USUAL: Final = 1920  # no picture is enlarged beyond; larger ones are scanned finer for small faces alone
_MAX_STEP: Final = 3.0  # by which one size is larger than the next
_LARGE_SCORE: Final = 0.8  # YuNet's, of a large face for which the picture may be scanned no further, and ...
_SMALL_SCORE: Final = 0.5  # ... of a small one for which it is
_PORTRAIT_SHARE: Final = 1 / 3  # of the picture's longer side: a face of this size makes it a portrait

# candidates
_MOST_CANDIDATES: Final = 400  # of a picture, that are looked at, best first: bounds the time of a crowd
_TURNED_SCORE: Final = (
    0.6  # YuNet's, from which a candidate that is no face upright is looked at in other turns
)
_SURE_SCORE: Final = 0.99  # from which a face comes before larger ones that score less, if not all are kept
_SQUARE_PER_BOX: Final = 1.085  # side of the template's square per root of the box's area, median
_ANGLES: Final = (45, 90, 135, 180, 225, 270, 315)  # degrees, clockwise

#: Of YuNet's score and the face network's presence, both as logits: the share of candidates that are faces is
#: the sigmoid of their weighted sum (fitted on faces and on pictures without people, `detector.md`).
_WEIGHTS: Final = (2.0, 2.1, -10.0)
_MOST_LOGIT: Final = 7.0  # a presence of .999, beyond which it says no more


class Detector(Protocol):
    """Anything that finds faces; `Analyzer` takes any."""

    def detect(self, image: Image) -> list[Face]:
        """The unclassified faces of (H, W, 3) RGB uint8, in any order."""
        ...


class WholePicture:
    """The detector for pictures that already are faces: one face, as large as the picture."""

    def detect(self, image: Image) -> list[Face]:
        """One face over the whole (H, W, 3) picture, its landmarks where the template has them.

        Raises:
            ImageError: the picture is smaller than 48 x 48.
        """
        rows, columns = image.shape[:2]
        side = face_side(image)
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

    @property
    def parts(self) -> PartsNetwork | None:
        """The face network whose landmarks the faces have; None: they have others."""
        return getattr(self.detector, "parts", None)

    def detect(self, image: Image) -> list[Face]:
        """The faces of (H, W, 3) RGB uint8 that lie in the region.

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

    min_face: int = 16  # pixels; faces whose longer side is less are left out, and not searched for
    threshold: float = 0.95  # score in [0, 1] from which something is a face
    candidate: float = 0.3  # YuNet's score from which the face network looks at something
    finest: int | None = None  # long side of the largest size scanned; None: as min_face asks
    turned: bool = True  # turn pictures without faces, and candidates that do not look upright

    def __post_init__(self) -> None:
        if self.min_face < 1 or not 0 <= self.threshold <= 1 or not 0 < self.candidate <= 1:
            raise ConfigError(
                "detector: expected min_face >= 1, threshold in [0, 1] and candidate in (0, 1], "
                f"got {self.min_face}, {self.threshold} and {self.candidate}"
            )

    @classmethod
    def video(cls) -> DetectorOptions:
        """For clips: no more than 640 pixels, nothing turned, candidates that YuNet rather believes in."""
        return cls(candidate=0.5, finest=640, turned=False)


class YuNet:
    """The detector that comes with Mien; its networks may be shared with another.

    Raises:
        ModelError: weights are absent or not the expected ones.
    """

    def __init__(
        self,
        options: DetectorOptions = DetectorOptions(),
        threads: int = 1,
        *,
        network: YuNetNetwork | None = None,
        parts: PartsNetwork | None = None,
    ) -> None:
        self.options = options
        self._network = network or YuNetNetwork(threads)
        self.parts = parts or PartsNetwork(threads)  # by which its faces are followed through clips

    def detect(self, image: Image) -> list[Face]:
        """The unclassified faces of (H, W, 3) RGB uint8, largest first.

        Raises:
            ValueError: the array is not (H, W, 3).
        """
        check_shape("detect: image", image, (None, None, 3))
        if 0 in image.shape:
            return []
        picture = Pyramid(brighten(image))
        faces = self._confirm(image, self._scan(picture))
        if not faces and self.options.turned:
            faces = self._confirm(image, self._scan_turned(picture))
        return sorted(drop_copies(faces), key=lambda face: -face.box[2] * face.box[3])

    def sizes(self, long: int) -> list[float]:
        """The long sides at which a picture with a long side of `long` pixels is scanned, smallest first.

        Up to its own, or 1920 pixels, the ratios between them are even and at most 3; a larger one is
        for small faces.
        """
        wanted, least = (long * face / self.options.min_face for face in (_RELIABLE_FACE, _LEAST_FACE))
        finest = max(COARSE, min(wanted, max(min(least, long), _USUAL), self.options.finest or inf))
        own = max(COARSE, min(finest, long, _USUAL))
        steps = ceil(log(own / COARSE) / log(_MAX_STEP) - 1e-9)
        ladder = [COARSE * (own / COARSE) ** (i / max(1, steps)) for i in range(steps)] + [own]
        return [*ladder, finest] if finest > own and self.options.finest is None else ladder

    def _scan(self, picture: Pyramid) -> Proposals:
        """Candidates in the whole picture at each size, in pixels of the picture."""
        found = join([])
        sizes = self.sizes(picture.long)
        own = max(size for size in sizes if size <= max(COARSE, min(picture.long, _USUAL)))
        if own <= _CHEAP:
            sizes.sort(key=lambda size: size != own)
        for size in sizes:
            small, scale = picture.resized(size)
            parts = [found]
            for left, top, tile in tiles(small):
                seen = self._network(tile, self.options.candidate)
                if tile.shape != small.shape:  # what is cut by a tile's edge is seen whole at the next size
                    seen = seen.take(seen.longer < TILE_OVERLAP)
                corner = np.array([left, top], np.float32)
                boxes = np.concatenate([seen.boxes[:, :2] + corner, seen.boxes[:, 2:]], axis=1) * scale
                landmarks = (seen.landmarks + corner) * scale  # (N, 5, 2)
                parts.append(Proposals(boxes.astype(np.float32), landmarks.astype(np.float32), seen.scores))
            # a portrait is not scanned further, nor a large picture of large faces: they seldom have others
            found = join(parts)
            large, any_size = (found.longer[found.scores >= least] for least in (_LARGE_SCORE, _SMALL_SCORE))
            portrait = large.max(initial=0) >= picture.long * _PORTRAIT_SHARE
            all_large = size >= _USUAL and len(large) and any_size.min() >= _RELIABLE_FACE * scale
            if size >= own and (portrait or all_large):
                break
        return suppress(found)

    def _scan_turned(self, picture: Pyramid) -> Proposals:
        """Candidates in the picture turned by every eighth of a turn, at the smallest size."""
        parts = []
        for angle in _ANGLES:
            turn, side = picture.turn(angle, COARSE)
            seen = self._network(picture.view(turn, side), self.options.candidate)
            back = invert(turn)
            parts += [map_proposal(seen.take(np.array([i])), back) for i in range(len(seen))]
        return suppress(join(parts))

    def _confirm(self, pixels: Image, candidates: Proposals) -> list[Face]:
        """Those candidates in which the face network believes, with all that it says of them."""
        least = self.options.threshold
        candidates = candidates.take(
            np.flatnonzero(candidates.longer >= self.options.min_face)[:_MOST_CANDIDATES]
        )
        believed: list[tuple[Floats, float, Parts]] = []  # box, YuNet's score, and the first look
        looks = self.parts(pixels, list(candidates.landmarks))
        for box, score, look in zip(candidates.boxes, candidates.scores.tolist(), looks, strict=True):
            first = look
            if self.options.turned and score >= _TURNED_SCORE and share_of_faces(score, first) < least:
                turns = self.parts(pixels, [landmarks_in(box, angle) for angle in _ANGLES])
                first = max(turns, key=lambda turn: turn.presence)
            if share_of_faces(score, first) >= least:
                believed.append((box, score, first))
        faces = []
        seconds = self.parts(pixels, [first.landmarks for _, _, first in believed])
        for (box, score, first), second in zip(believed, seconds, strict=True):
            share = min(share_of_faces(score, first), share_of_faces(score, second))
            if share >= least:
                x, y, width, height = map(float, box)
                faces.append(with_parts(Face((x, y, width, height), second.landmarks, share), second))
        return faces


def drop_copies(faces: list[Face]) -> list[Face]:
    """The faces without those whose landmarks lie on those of another that scores more."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        sides = [min(max(face.box[2:]), max(other.box[2:])) for other in kept]
        away = [np.hypot(*(face.landmarks - other.landmarks).T).mean() for other in kept]
        if all(far >= side / 4 for far, side in zip(away, sides, strict=True)):
            kept.append(face)
    return kept


def share_of_faces(score: float, parts: Parts) -> float:
    """The share that are faces of candidates with YuNet's `score` and this look of the face network."""
    seen, present = (
        log(p / (1 - p)) for p in (min(max(float(v), 1e-6), 1 - 1e-6) for v in (score, parts.presence))
    )
    a, b, c = _WEIGHTS
    return 1 / (1 + exp(-(a * seen + b * min(present, _MOST_LOGIT) + c)))


def landmarks_in(box: Floats, angle: float) -> Floats:
    """(5, 2): where the landmarks of a face that leans by `angle` degrees lie in its (4,) box, about."""
    x, y, width, height = (float(v) for v in box)
    c, s = cos(radians(angle)), sin(radians(angle))
    turn = np.array([[c, s], [-s, c]]) * _SQUARE_PER_BOX * np.sqrt(width * height)  # applied from the right
    points: Floats = ((np.array(TEMPLATE) - 0.5) @ turn + (x + width / 2, y + height / 2)).astype(np.float32)
    return points


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


class Pyramid:
    """One picture, (H, W, 3) RGB uint8, and its halves, quarters and so on, made when they are needed."""

    def __init__(self, image: Image) -> None:
        self.pixels = image
        self._halved = {0: Pil.fromarray(image)}
        self.height, self.width = image.shape[:2]  # pixels
        self.long = max(self.height, self.width)

    def resized(self, long: float) -> tuple[Image, float]:
        """The picture with its long side at `long` pixels, and the scale from it to the picture."""
        if round(long) == self.long:
            return self.pixels, 1.0
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
        return transform(self._halved[level], back, (side, side), Pil.Resampling.BILINEAR)

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
