"""The toy corpus: drawn faces under the file names of the Radboud Faces Database.

Every command that wants RaFD runs on it, so that a chain can be tried end to end with no data. Its
scores say nothing of real faces. Nothing in it is anybody's picture; it is free of any claim.

Models 1..39 are named Caucasian adults, 40..49 kids, 50..67 Moroccan men, as many as RaFD has of each
(Langner et al. 2010), so that code which counts groups has something to count.

Lengths are in units of the head: the origin between the cheeks, the chin near y = 1, x to the right of the
picture, y down. Legend: H rows, W columns.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from itertools import product
from math import cos, pi, radians, sin, sqrt
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image as pil  # noqa: N813 - the name `Image` is ours
from PIL import ImageDraw

from mien._version import __version__
from mien.data.posed import CAMERAS, GAZES, MODELS, rafd_name
from mien.errors import ConfigError, OutputError
from mien.image import encode_image
from mien.labels import EMOTIONS
from mien.types import Image

Colour = tuple[int, int, int]  # RGB
Point = tuple[float, float]

#: Camera to the turn of the drawn head in degrees, the middle first. Deviates: RaFD's outer cameras see
#: profiles; a drawing of which both eyes are to be seen stops at 42.
TURNS: Final = {"090": 0.0, "045": -22.0, "135": 22.0, "000": -42.0, "180": 42.0}
_GAZES: Final = {"frontal": 0.0, "left": -1.0, "right": 1.0}  # gaze to the position of the iris
_SKINS: Final = ((236, 196, 172), (226, 178, 148), (205, 152, 118), (172, 120, 88))  # from light to dark
_HAIRS: Final = ((38, 28, 24), (74, 48, 32), (120, 84, 50), (188, 150, 92))  # from dark to light
_SHADOW: Final = (90, 40, 30)
_EYE_X: Final = 0.33  # from the middle of the face
_NOISE: Final = 6.0  # deviation in gray levels


@dataclass(frozen=True, slots=True)
class ToySettings:
    """What is drawn."""

    models: int = MODELS
    cameras: int = len(CAMERAS)  # 1: camera 090 alone; 3: with 045 and 135
    gazes: int = len(GAZES)  # 1: frontal alone
    size: int = 96  # pixels, square
    seed: int = 0

    def __post_init__(self) -> None:
        bounds = {"models": (1, 999), "cameras": (1, 5), "gazes": (1, 3), "size": (16, 1024)}
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"{name}: expected {low} to {high}, got {getattr(self, name)}")
        if self.seed < 0:
            raise ConfigError(f"seed: expected 0 or more, got {self.seed}")

    def __len__(self) -> int:
        return self.models * len(EMOTIONS) * self.gazes * self.cameras


@dataclass(frozen=True, slots=True)
class Pose:
    """How far each part of the face has moved, by action unit (AU: Ekman, Friesen, Hager, FACS, 2002)."""

    inner: float = 0  # inner brow up, AU1; down, AU4
    outer: float = 0  # outer brow up, AU2
    knit: float = 0  # brows drawn together, AU4
    lid: float = 0  # upper lid up, AU5; down, AU43
    squint: float = 0  # lower lid up, AU6 and AU7
    width: float = 0  # mouth wider, AU20; narrower, AU18
    curve: float = 0  # lip corners up, AU12; down, AU15
    gape: float = 0  # lips and jaw apart, AU25 to AU27
    upper: float = 0  # upper lip up, AU10
    press: float = 0  # lips thin, AU23 and AU24
    fold: float = 0  # nose wrinkled and folds beside it, AU9 and AU11
    smirk: float = 0  # one lip corner back and up, AU14


#: The prototypes of RaFD (Langner et al. 2010). Contempt is one small movement and fear lies near surprise,
#: so that both are harder than happiness, as with people.
POSES: Final = {
    "neutral": Pose(),
    "happiness": Pose(lid=-0.1, squint=0.45, width=0.12, curve=0.19, gape=0.15, fold=0.5),
    "surprise": Pose(inner=0.15, outer=0.15, lid=0.55, width=-0.09, gape=0.3),
    "sadness": Pose(inner=0.13, outer=-0.06, knit=0.05, lid=-0.35, width=-0.03, curve=-0.13, press=0.2),
    "anger": Pose(inner=-0.13, outer=0.04, knit=0.07, lid=0.15, squint=0.45, curve=-0.04, press=0.8),
    "disgust": Pose(
        inner=-0.09, outer=-0.04, lid=-0.15, squint=0.6, curve=-0.07, gape=0.05, upper=0.1, fold=1
    ),
    "fear": Pose(inner=0.13, outer=0.09, knit=0.035, lid=0.5, width=0.03, curve=-0.03, gape=0.16),
    "contempt": Pose(lid=-0.1, smirk=1.0),
}


@dataclass(frozen=True, slots=True)
class Head:
    """One identity."""

    group: str  # as RaFD's file names have it
    gender: str
    skin: Colour
    hair: Colour
    width: float  # half of the head's
    eye: float  # half width of an eye
    brow: float  # height above the eye
    mouth: float  # half width
    rest: float  # height of the lip corners at rest
    strength: float  # how strongly this person shows an emotion; 1 is the prototype
    side: int  # the corner that smirks: -1 or 1


@dataclass(frozen=True, slots=True)
class View:
    """From where a face is seen, and where it looks."""

    turn: float = 0  # degrees, positive: the nose points to the right of the picture
    gaze: float = 0  # iris off its middle, -1..1 to the right of the picture
    roll: float = 0  # degrees
    shift: Point = (0, 0)  # share of the picture's side


def write_toy(folder: Path | str, settings: ToySettings = ToySettings()) -> int:
    """Write the corpus as JPEG files; the same settings give the same bytes with the same Pillow.

    The folder appears when all is written; `settings.json` in it says how it was made.

    Returns:
        How many pictures were written.

    Raises:
        OutputError: the folder is there and not empty, or cannot be written to.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{folder}: expected an empty or a new folder; give another or remove it first")
    partial = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name, pixels in draw_toy(settings):
            (partial / name).write_bytes(encode_image(pixels, ".jpg"))
        record = {"made by": f"mien {__version__}, drawn, no photographs", **asdict(settings)}
        (partial / "settings.json").write_text(json.dumps(record, indent=1) + "\n")
        partial.replace(folder)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror}); choose another place") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return len(settings)


def draw_toy(settings: ToySettings = ToySettings()) -> Iterator[tuple[str, Image]]:
    """Name and (size, size, 3) RGB of each picture, model after model.

    A moment is seen by all cameras at once, as in RaFD: the expression and the light are one, the
    noise is each camera's own. A picture depends on the seed and its own name, not on how many others
    are drawn.
    """
    ramp = np.linspace(-1, 1, settings.size, dtype=np.float32)[:, None]  # (W, 1)
    for model in range(1, settings.models + 1):
        head = make_head(model, settings.seed)
        gazes = enumerate(list(_GAZES)[: settings.gazes])
        for (k, emotion), (g, gaze) in product(enumerate(EMOTIONS), gazes):
            rng = np.random.default_rng([settings.seed, model, k, g])
            # each movement differs from the prototype by a share of it, and by a little of its own
            strength = max(0.1, head.strength * (0.8 + 0.35 * rng.uniform(-1, 1)))
            slip, stray = rng.normal(1, 0.2, len(fields(Pose))), rng.normal(0, 0.012, len(fields(Pose)))
            moves = strength * slip * list(asdict(POSES[emotion]).values()) + stray
            light = 1 + rng.uniform(-0.15, 0.15) + rng.uniform(-0.25, 0.25) * ramp  # from one side
            roll, shift = rng.normal(0, 2.5), rng.uniform(-0.02, 0.02, 2)
            for camera in list(TURNS)[: settings.cameras]:
                iris = _GAZES[gaze] + rng.uniform(-0.12, 0.12)
                view = View(TURNS[camera], iris, roll, tuple(shift))
                pixels = draw_face(head, Pose(*moves.tolist()), view, settings.size)  # (H, W, 3)
                taken = pixels * light + _NOISE * rng.standard_normal((*pixels.shape[:2], 1))
                name = rafd_name(camera, model, head.group, head.gender, emotion, gaze)
                yield name, np.clip(taken, 0, 255).astype(np.uint8)


def make_head(model: int, seed: int = 0) -> Head:
    """The identity of a model, numbered from 1, drawn at random within what is usual in its group."""
    place = (model - 1) % MODELS  # RaFD has 39 Caucasian adults, 10 kids and 18 Moroccan men
    group = "Caucasian" if place < 39 else "Kid" if place < 49 else "Moroccan"
    dark = group == "Moroccan"
    rng = np.random.default_rng([seed, model])
    return Head(
        group=group,
        gender="male" if dark or place % 2 else "female",
        skin=_SKINS[int(rng.integers(2, 4) if dark else rng.integers(0, 2))],
        hair=_HAIRS[int(rng.integers(0, 2 if dark else len(_HAIRS)))],
        width=rng.uniform(0.64, 0.76),
        eye=rng.uniform(0.14, 0.18),
        brow=rng.uniform(0.185, 0.255),
        mouth=rng.uniform(0.215, 0.285),
        rest=rng.uniform(-0.022, 0.022),
        strength=rng.uniform(0.75, 1.15),
        side=int(rng.choice((-1, 1))),
    )


class _Canvas:
    """Draws in units of the head, turned and moved by a view, twice as large as asked."""

    def __init__(self, view: View, size: int) -> None:
        self.picture = pil.new("RGB", (2 * size, 2 * size), (232, 232, 230))
        self._draw = ImageDraw.Draw(self.picture)
        self._view, self._side, self._scale = view, 2 * size, 0.88 * size

    def _at(self, x: float, y: float, *, flat: bool = False) -> Point:
        """Pixels of a place on the front of the head; `flat`: of its outline, which hardly moves."""
        turn, roll = radians(self._view.turn), radians(self._view.roll)
        if flat:
            x += 0.12 * sin(turn)
        else:
            depth = 0.5 * sqrt(max(0.0, 1 - (x / 0.85) ** 2 - (y / 1.5) ** 2)) * (1 - 0.25 * max(0.0, y))
            x = x * cos(turn) + depth * sin(turn)
        return (
            self._side * (0.5 + self._view.shift[0]) + self._scale * (x * cos(roll) - y * sin(roll)),
            self._side * (0.52 + self._view.shift[1]) + self._scale * (x * sin(roll) + y * cos(roll)),
        )

    def fill(self, points: list[Point], colour: Colour, *, flat: bool = False) -> None:
        self._draw.polygon([self._at(x, y, flat=flat) for x, y in points], fill=colour)

    def line(self, points: list[Point], colour: Colour, width: float = 0.025) -> None:
        pixels = [self._at(x, y) for x, y in points]
        self._draw.line(pixels, colour, max(1, round(width * self._scale)), joint="curve")


def draw_face(head: Head, pose: Pose, view: View, size: int) -> Image:
    """The face on a light ground: (size, size, 3) RGB, drawn twice as large and reduced."""
    canvas = _Canvas(view, size)
    shadow, w = _mix(head.skin, _SHADOW, 0.35), head.width
    # hair behind the face, neck, the face with a chin that falls with the jaw, and hair on the forehead
    canvas.fill(_arc(0, -0.2, w * 1.15, 0.86, 0, 2), head.hair, flat=True)
    canvas.fill(
        [(-0.34, 0.6), (0.34, 0.6), (0.4, 1.3), (-0.4, 1.3)], _mix(head.skin, _SHADOW, 0.2), flat=True
    )
    chin = 0.97 + 0.35 * max(0.0, pose.gape - 0.08)
    jaw = [(x * (1 - 0.25 * y**2), y * chin - 0.05) for x, y in _arc(0, 0, w, 1, 0, 1)]
    canvas.fill(jaw + _arc(0, -0.05, w, 0.75, 1, 2), head.skin, flat=True)
    canvas.fill(_arc(0, -0.12, w * 1.04, 0.92, 1.2, 1.8), head.hair, flat=True)
    for side in (-1, 1):
        _draw_eye(canvas, head, pose, side, view.gaze)
        if pose.fold > 0.3:  # from the nose to the corner of the mouth
            canvas.line([(side * 0.15, 0.22), (side * (head.mouth + pose.width + 0.09), 0.5)], shadow)
    # the nose: one side of its ridge and its base; and the wrinkles above
    tip, half = 0.24 - 0.05 * pose.fold, 0.12 + 0.03 * pose.fold
    canvas.line([(0.05, -0.1), (0.06, tip - 0.1), (half, tip), (-half, tip)], shadow)
    for y in (-0.14, -0.07, 0.0) if pose.fold > 0.6 else ():
        canvas.line([(-0.08, y - 0.02), (0, y + 0.02), (0.08, y - 0.02)], shadow)
    _draw_mouth(canvas, head, pose)
    return np.asarray(canvas.picture.reduce(2))  # (size, size, 3)


def _draw_eye(canvas: _Canvas, head: Head, pose: Pose, side: int, gaze: float) -> None:
    """White and iris; the lids, which cover what is too much of the iris; the brow."""
    x, y, w = side * _EYE_X, -0.12, head.eye
    up, down = 0.46 * w * max(0.12, 1 + pose.lid), 0.46 * w * max(0.05, 0.7 - pose.squint)
    upper = [(px, min(py, y)) for px, py in _arc(x, y, w, up, 1, 2)]
    lower = _arc(x, y, w, down, 1, 0)
    canvas.fill([*upper, *reversed(lower)], (246, 243, 240))
    iris = w * 0.5
    canvas.fill(_arc(x + 0.55 * w * gaze, y, iris, iris, 0, 2), (46, 36, 30))
    for edge, end in ((upper, y - max(up, 1.3 * iris)), (lower, y + max(down, 1.3 * iris))):
        canvas.fill([*edge, (x + w, end), (x - w, end)], _mix(head.skin, _SHADOW, 0.1))
    canvas.line(upper, _mix(head.hair, (20, 10, 10), 0.6), 0.035)
    base = y - head.brow
    inner = (side * (_EYE_X - 0.17 - pose.knit), base - pose.inner)
    bend = (side * (_EYE_X + 0.05), base - 0.045 - 0.35 * pose.inner - 0.7 * pose.outer)
    outer = (side * (_EYE_X + 0.22), base + 0.02 - pose.outer)
    canvas.line([inner, bend, outer], _mix(head.hair, (20, 14, 12), 0.25), 0.06)


def _draw_mouth(canvas: _Canvas, head: Head, pose: Pose) -> None:
    """Upper lip, lower lip, and between them the open mouth; one corner may be raised."""
    half, lip = head.mouth + pose.width, 0.065 * (1 - 0.75 * min(1.0, max(0.0, pose.press)))
    gape, curve = max(0.0, pose.gape), head.rest + pose.curve

    def curve_of(middle: float, lifted: float) -> list[Point]:
        """From corner to corner, the middle lower by `middle` and pulled up by a share of the upper lip."""
        points = []
        for t in np.linspace(-1, 1, 13).tolist():
            pull = pose.smirk * max(0.0, t * head.side) ** 2
            y = 0.52 - curve * (t * t - 0.35) - 0.12 * pull - pose.upper * lifted * (1 - t * t)
            points.append((half * t + 0.07 * pull * head.side, y + middle * (1 - t * t) ** 0.7))
        return points

    top, above = curve_of(-1.1 * lip - 0.2 * gape, 1), curve_of(-0.25 * gape, 0.8)
    below, bottom = curve_of(0.8 * gape, 0), curve_of(0.8 * gape + 1.2 * lip, 0)
    red = _mix(head.skin, (170, 60, 66), 0.55)
    canvas.fill([*top, *reversed(above)], _mix(red, _SHADOW, 0.15))
    canvas.fill([*below, *reversed(bottom)], red)
    canvas.fill([*above, *reversed(below)], (70, 20, 24))
    canvas.line(above, (96, 40, 40))


def _arc(x: float, y: float, rx: float, ry: float, start: float, end: float) -> list[Point]:
    """Points of an ellipse, its angles in units of pi: from 0 to 1 the lower half, from right to left."""
    return [(x + rx * cos(pi * a), y + ry * sin(pi * a)) for a in np.linspace(start, end, 15).tolist()]


def _mix(one: Colour, two: Colour, share: float) -> Colour:
    """A colour between two: the first where `share` is 0."""
    r, g, b = (round(a + (c - a) * share) for a, c in zip(one, two, strict=True))
    return r, g, b
