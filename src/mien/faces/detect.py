"""Finds faces: YuNet at several sizes of the picture, with a close-up of every candidate.

1. The picture is scanned at a few sizes: YuNet loses large faces that are noisy or blocky at full
   size, and small ones in a reduced picture. Large pictures are scanned tile by tile.
2. What scores above a low threshold is a candidate. Each is turned upright by its own landmarks, brought
   to one size, and detected again: this close-up refines the landmarks, and a candidate stays only when it
   passes the full threshold there. Where small candidates are many, they are first enlarged and checked
   together, on sheets.
3. When nothing was found, the picture is turned by every eighth of a turn. So is each face that does
   not look upright in its close-up: YuNet finds many faces turned on their side, but with upright landmarks.

Measured by `benchmarks/detector.py`. Views made here are for the detector alone; crops for networks come
from `align`.

Legend: N candidates, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, cos, floor, hypot, log, log2, radians, sin, sqrt
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pil

from mien.errors import ConfigError, ImageError
from mien.faces.align import MIN_CROP, TEMPLATE, Matrix, invert, move, roll, similarity
from mien.faces.yunet import Proposals, YuNetNetwork, join, suppress
from mien.types import Face, Image, check_shape

# sizes at which a picture is scanned, pixels
TILE: Final = 1280  # the longest side of one pass of the network, which bounds its memory
TILE_OVERLAP: Final = 128  # that neighbouring tiles share at least
_RELIABLE_FACE: Final = 40  # the smallest face that YuNet seldom misses
_MAX_ENLARGED: Final = 8000  # nothing is enlarged beyond, which bounds time and memory
_ALWAYS_FULL: Final = 640  # a picture up to this long side is scanned in full whatever `min_face` says
_MAX_ENLARGEMENT: Final = 1.7  # of a large picture, for its smallest faces, ...
_MAX_ENLARGEMENT_SMALL: Final = 2.0  # ... and of one that stays below a tile
_MAX_STEP: Final = 4.0  # by which one size is larger than the next
_PORTRAIT_SHARE: Final = 1 / 3  # of the picture's longer side: a face of this size makes it a portrait

# close-ups
_SEEN_SCORE: Final = 0.3  # from which a face is seen in a close-up
_ROLL_TOLERANCE_DEG: Final = 1.0  # change of roll in a close-up below which no further one follows
_MAX_SIZE_RATIO: Final = 1.8  # between a face in its close-up and the size that was expected
_UPRIGHT_SCORE: Final = 0.87  # in a close-up, that an upright face reaches and a leaning one seldom does
_SURE_SCORE: Final = 0.75  # from which a face comes before larger ones that score less, if not all are kept
_BETTER_SCORE: Final = 0.05  # by which another turn must score more for the landmarks to be mistrusted
_SQUARE_PER_BOX: Final = 1.085  # side of the template's square per root of the box's area, median
_ANGLES: Final = (45, 90, 135, 180, 225, 270, 315)  # degrees, clockwise

# sheets of small candidates
_SMALL_FACE: Final = 40  # pixels: longer side of a candidate from which enlarging it brings nothing
_MAX_CLOSE_UPS_OF_SMALL: Final = 64  # small candidates up to which each gets a close-up of its own
_MAX_ON_SHEETS: Final = 2000  # small candidates checked in one picture, best first, which bounds the time
_CELL: Final = 64  # pixels: side of a candidate's cell
_CELL_FACE: Final = 40  # pixels of a candidate's longer side in its cell
_CELLS_ACROSS: Final = 20
_SHEET_SCORE: Final = 0.4  # from which a candidate stays


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
    threshold: float = 0.6  # score in [0, 1] from which a candidate is a face
    candidate: float = 0.2  # score from which a candidate gets a close-up; >= threshold: no close-ups
    certain: float = 0.7  # score from which a candidate is a face without a close-up
    coarse: int = 224  # long side in pixels of the smallest size scanned
    finest: int | None = None  # long side of the largest size scanned; None: as min_face asks
    turned: bool = True  # turn pictures without faces, and uncertain faces, by every eighth of a turn
    refinements: int = 2  # close-ups of each face that refine its landmarks
    most_candidates: int = 100  # candidates that get a close-up in one picture, best first

    def __post_init__(self) -> None:
        if self.min_face < 1 or not 0 < self.threshold <= 1 or not 0 < self.candidate <= 1:
            raise ConfigError(
                "detector: expected min_face >= 1 and threshold and candidate in (0, 1], "
                f"got {self.min_face}, {self.threshold} and {self.candidate}"
            )

    @classmethod
    def video(cls) -> DetectorOptions:
        """For clips: no more than 640 pixels, nothing turned, few close-ups, one refinement."""
        return cls(finest=640, turned=False, refinements=1, most_candidates=8)


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


#: Small: cheap, and sees nearly all that is there. Large: YuNet's landmarks follow only .2 of a turn when
#: the template's square is 104 pixels, .6 at 160, .84 at 180 and .94 at 240 (roll against a known turn of
#: 10 degrees, 60 photos), so that refining needs the large one.
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
        picture = Pyramid(image)
        found = self._confirm(picture, self._scan(picture))
        if not len(found) and self.options.turned:
            found = self._confirm(picture, self._scan_turned(picture))
        faces = [
            Face((float(x), float(y), float(width), float(height)), points, float(score))
            for (x, y, width, height), points, score in zip(
                found.boxes, found.landmarks, found.scores, strict=True
            )
            if max(width, height) >= self.options.min_face and score >= self.options.threshold
        ]
        return sorted(faces, key=lambda face: -face.box[2] * face.box[3])

    def sizes(self, long: int) -> list[float]:
        """The long sides at which a picture with a long side of `long` pixels is scanned, smallest first.

        Ratios between them are even and at most 4.
        """
        options = self.options
        wanted = long * _RELIABLE_FACE / options.min_face
        enlarged = max(long * _MAX_ENLARGEMENT, TILE)
        most = min(long * _MAX_ENLARGEMENT_SMALL, enlarged, max(long, _MAX_ENLARGED))
        finest = max(options.coarse, min(wanted, most), min(long, _ALWAYS_FULL))
        finest = min(finest, long, options.finest) if options.finest else finest
        steps = max(1, ceil(log(finest / options.coarse) / log(_MAX_STEP) - 1e-9))
        ratio = (options.coarse / finest) ** (1 / steps)
        return [finest * ratio**i for i in reversed(range(steps + 1))]

    def _scan(self, picture: Pyramid) -> Proposals:
        """Candidates from the whole picture at each size, in pixels of the picture."""
        threshold = min(self.options.candidate, self.options.threshold)
        parts: list[Proposals] = []
        for wanted in self.sizes(picture.long):
            size = wanted
            if wanted > picture.long:
                # a portrait is not enlarged: that would take twice the time for small faces it seldom has
                least = picture.long * _PORTRAIT_SHARE
                if any(((p.scores >= self.options.certain) & (p.longer >= least)).any() for p in parts):
                    size = picture.long
            small, scale = picture.resized(size)
            for left, top, tile in tiles(small):
                seen = self._network(tile, threshold)
                if tile is not small:  # what is cut by a tile's edge is seen whole at the next size
                    seen = seen.take(seen.longer < TILE_OVERLAP)
                corner = np.array([left, top], np.float32)
                boxes = np.concatenate([seen.boxes[:, :2] + corner, seen.boxes[:, 2:]], axis=1) * scale
                landmarks = (seen.landmarks + corner) * scale  # (N, 5, 2)
                parts.append(Proposals(boxes.astype(np.float32), landmarks.astype(np.float32), seen.scores))
        return suppress(join(parts))

    def _scan_turned(self, picture: Pyramid) -> Proposals:
        """Candidates from the picture turned by every eighth of a turn, at the smallest size."""
        parts = []
        for angle in _ANGLES:
            turn, side = picture.turn(angle, self.options.coarse)
            seen = self._network(picture.view(turn, side), self.options.candidate)
            back = invert(turn)
            parts += [map_proposal(seen.take(np.array([i])), back) for i in range(len(seen))]
        return suppress(join(parts))

    def _confirm(self, picture: Pyramid, candidates: Proposals) -> Proposals:
        """Those candidates that reach the full threshold, at once or in a close-up; landmarks refined."""
        options = self.options
        # drop unsure candidates whose middle is in the box of a sure one: they are a part of that face
        sure = candidates.scores >= options.threshold
        boxes, middles = candidates.boxes[sure], candidates.middles[:, None]  # (M, 4), (N, 1, 2)
        inside = (middles > boxes[:, :2]) & (middles < boxes[:, :2] + boxes[:, 2:])  # (N, M, 2)
        candidates = candidates.take(sure | (inside.all(axis=2).sum(axis=1) == 0))
        sure = candidates.scores >= options.threshold
        large_enough = candidates.longer >= options.min_face * 0.8
        small = ~sure & large_enough & (candidates.longer < _SMALL_FACE)
        if small.sum() <= _MAX_CLOSE_UPS_OF_SMALL:
            uncertain = candidates.take(~sure & large_enough)
        else:
            on_sheets = candidates.take(np.flatnonzero(small)[:_MAX_ON_SHEETS])
            checked = check_on_sheets(self._network, picture, on_sheets)
            uncertain = join([candidates.take(~sure & (candidates.longer >= _SMALL_FACE)), checked])
        tried = [
            candidates.take(sure),
            uncertain.take(np.arange(min(len(uncertain), options.most_candidates))),
        ]
        refined = [
            self._refine(picture, part.take(np.array([i]))) for part in tried for i in range(len(part))
        ]
        return suppress(join([face for face in refined if face is not None]))

    def _refine(self, picture: Pyramid, face: Proposals) -> Proposals | None:
        """One face, its landmarks refined upright; None: uncertain, and no face in its close-up."""
        options, first = self.options, face.scores
        if first[0] < options.certain or options.turned:
            seen = self._see(picture, _VERIFY.by_landmarks(face), _VERIFY)
            upright = 0.0 if seen is None else float(seen.scores[0])
            if first[0] < options.certain:
                if seen is None or upright < options.threshold:
                    return None
                face = seen
            if options.turned and upright < _UPRIGHT_SCORE:
                # take that of eight turns in which it clearly scores highest, if there is one
                turns = [self._see(picture, _VERIFY.by_box(face, a), _VERIFY) for a in (0, *_ANGLES)]
                better = [t for t in turns if t is not None and t.scores[0] > upright + _BETTER_SCORE]
                face = max(better, key=lambda turn: float(turn.scores[0]), default=face)
        for _ in range(options.refinements):
            seen = self._see(picture, _REFINE.by_landmarks(face), _REFINE)
            if seen is None:
                break
            change = roll(seen.landmarks[0]) - roll(face.landmarks[0])
            face = seen
            if abs(change) < _ROLL_TOLERANCE_DEG:
                break
        return Proposals(face.boxes, face.landmarks, np.maximum(face.scores, first))

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


def check_on_sheets(network: YuNetNetwork, picture: Pyramid, candidates: Proposals) -> Proposals:
    """Those of N small candidates in which a face is seen when they are enlarged, best there first.

    Each is enlarged into a cell of a sheet, and the sheet is detected at once. In a large picture full of
    texture YuNet gives low scores to thousands of places of some twenty pixels, and a true face of that
    size scores no higher. Enlarged about twice it scores far higher, and a cell costs a sixth of a close-up.
    """
    scores = np.zeros(len(candidates), np.float32)
    per_sheet = _CELLS_ACROSS * _CELLS_ACROSS
    for start in range(0, len(candidates), per_sheet):
        boxes = candidates.boxes[start : start + per_sheet]
        seen = network(_sheet(picture, boxes), _SHEET_SCORE)
        column, row = np.floor(seen.middles / _CELL).astype(np.intp).T  # (M,) each
        cell = row * _CELLS_ACROSS + column
        inside = (column >= 0) & (column < _CELLS_ACROSS) & (cell >= 0) & (cell < len(boxes))
        np.maximum.at(scores, start + cell[inside], seen.scores[inside])
    order = np.argsort(-scores, kind="stable")
    return candidates.take(order[scores[order] > 0])


def _sheet(picture: Pyramid, boxes: NDArray[np.float32]) -> Image:
    """The surroundings of (N, 4) boxes, each in the middle of its cell: (rows * cell, columns * cell, 3)."""
    rows = -(-len(boxes) // _CELLS_ACROSS)
    sheet = np.zeros((rows * _CELL, min(len(boxes), _CELLS_ACROSS) * _CELL, 3), np.uint8)
    for i, (x, y, width, height) in enumerate(boxes.astype(np.float64)):
        scale = _CELL_FACE / max(width, height)
        left, top = _CELL / 2 - scale * (x + width / 2), _CELL / 2 - scale * (y + height / 2)
        row, column = divmod(i, _CELLS_ACROSS)
        view = picture.view(np.array([[scale, 0, left], [0, scale, top]]), _CELL)
        sheet[row * _CELL : (row + 1) * _CELL, column * _CELL : (column + 1) * _CELL] = view
    return sheet


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
    rows, columns = image.shape[:2]
    if max(rows, columns) <= TILE:
        yield 0, 0, image
        return
    for top in tile_starts(rows):
        for left in tile_starts(columns):
            yield left, top, image[top : top + TILE, left : left + TILE]


def tile_starts(length: int) -> list[int]:
    """Where the tiles begin along one side: evenly, overlapping by at least `TILE_OVERLAP`."""
    count = max(1, ceil((length - TILE_OVERLAP) / (TILE - TILE_OVERLAP)))
    return [round(i * (length - TILE) / (count - 1)) for i in range(count)] if count > 1 else [0]
