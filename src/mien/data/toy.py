"""The toy corpus: drawn faces under the file names of the Radboud Faces Database.

Every command that wants RaFD runs on it, so that a chain can be tried end to end with no data. Its
scores say nothing of real faces. Nothing in it is anybody's picture; it is free of any claim.

Models 1..39 are named Caucasian adults, 40..49 kids, 50..67 Moroccan men, as many as RaFD has of each
(Langner et al. 2010), so that code which counts groups has something to count.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mien._version import __version__
from mien.data.rafd import CAMERAS, GAZES, MODELS, rafd_name
from mien.data.toy_face import View, draw_face
from mien.data.toy_head import POSES, Head, Pose, make_head
from mien.errors import ConfigError, OutputError
from mien.image import encode_image
from mien.labels import EMOTIONS
from mien.types import Image

#: Camera to the turn of the drawn head in degrees. Deviates: RaFD's outer cameras see profiles; a
#: drawing of which both eyes are to be seen stops at 42.
TURNS: Final = {"000": -42.0, "045": -22.0, "090": 0.0, "135": 22.0, "180": 42.0}
_LOOKS: Final = {"left": -1.0, "frontal": 0.0, "right": 1.0}
#: Which cameras and gazes are drawn where not all are: the middle first.
_CAMERA_ORDER: Final = ("090", "045", "135", "000", "180")
_GAZE_ORDER: Final = ("frontal", "left", "right")


@dataclass(frozen=True, slots=True)
class ToySettings:
    """What is drawn, and how hard it is to tell the emotions apart."""

    models: int = MODELS
    cameras: int = len(CAMERAS)  # 1: camera 090 alone; 3: with 045 and 135
    gazes: int = len(GAZES)  # 1: frontal alone
    size: int = 96  # pixels, square
    seed: int = 0
    strength: float = 0.8  # mean of how strongly an emotion is shown; 1 is the prototype
    spread: float = 0.35  # most it differs from the mean, from picture to picture
    noise: float = 6.0  # deviation in gray levels

    def __post_init__(self) -> None:
        bounds = {"models": (1, 999), "cameras": (1, 5), "gazes": (1, 3), "size": (16, 1024)}
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"{name}: expected {low} to {high}, got {getattr(self, name)}")
        if self.seed < 0 or min(self.strength, self.spread, self.noise) < 0:
            raise ConfigError("seed, strength, spread and noise: expected 0 or more of each")

    def __len__(self) -> int:
        return self.models * len(EMOTIONS) * self.gazes * self.cameras


def write_toy(folder: Path, settings: ToySettings = ToySettings()) -> int:
    """Write the corpus as JPEG files; the same settings give the same bytes with the same Pillow.

    The folder appears when all is written; `settings.json` in it says how it was made.

    Returns:
        How many pictures were written.

    Raises:
        OutputError: the folder is there and not empty, or cannot be written to.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{folder}: expected an empty or a new folder; give another or remove it first")
    part = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for name, pixels in draw_toy(settings):
            (part / name).write_bytes(encode_image(pixels, ".jpg"))
        record = {"made by": f"mien {__version__}, drawn, no photographs", **asdict(settings)}
        (part / "settings.json").write_text(json.dumps(record, indent=1) + "\n")
        part.replace(folder)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror}); choose another place") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return len(settings)


def draw_toy(settings: ToySettings = ToySettings()) -> Iterator[tuple[str, Image]]:
    """Name and (size, size, 3) RGB of each picture, model after model.

    A moment is seen by all cameras at once, as in RaFD: the expression and the light are one, the
    noise is each camera's own. A picture depends on the seed and its own name, not on how many others
    are drawn.
    """
    for model in range(1, settings.models + 1):
        head = toy_head(model, settings.seed)
        for k, emotion in enumerate(EMOTIONS):
            for g, gaze in enumerate(_GAZE_ORDER[: settings.gazes]):
                rng = np.random.default_rng([settings.seed, model, k, g])
                pose = _pose(head, emotion, settings, rng)
                light, shift = rng.uniform(-1, 1, 3), rng.uniform(-0.02, 0.02, 2)
                roll = float(rng.normal(0, 2.5))
                for camera in _CAMERA_ORDER[: settings.cameras]:
                    look = _LOOKS[gaze] + float(rng.uniform(-0.12, 0.12))
                    view = View(TURNS[camera], look, roll, (float(shift[0]), float(shift[1])))
                    pixels = draw_face(head, pose, view, settings.size)
                    name = rafd_name(camera, model, head.group, head.gender, emotion, gaze)
                    yield name, _photograph(pixels, light, settings.noise, rng)


def toy_head(model: int, seed: int = 0) -> Head:
    """The identity of a model, numbered from 1."""
    place = (model - 1) % MODELS  # RaFD has 39 Caucasian adults, 10 kids and 18 Moroccan men
    group = "Caucasian" if place < 39 else "Kid" if place < 49 else "Moroccan"
    gender = "male" if group == "Moroccan" or place % 2 else "female"
    return make_head(group, gender, np.random.default_rng([seed, model]))


def _pose(head: Head, emotion: str, settings: ToySettings, rng: np.random.Generator) -> Pose:
    """The prototype as this person shows it this time, with a little of what nobody asked for."""
    strength = head.vigour * (settings.strength + settings.spread * float(rng.uniform(-1, 1)))
    slip = rng.normal(0, 0.2, len(fields(Pose)))
    shown = POSES[emotion].scaled(max(0.1, strength), tuple(slip))
    stray = rng.normal(0, 1, 6) * (0.018, 0.018, 0.07, 0.06, 0.012, 0.016)
    names = ("inner", "outer", "lid", "squint", "width", "curve")
    moved = {n: getattr(shown, n) + float(s) for n, s in zip(names, stray, strict=True)}
    return Pose(**(asdict(shown) | moved))


def _photograph(pixels: Image, light: NDArray[np.float64], noise: float, rng: np.random.Generator) -> Image:
    """Light from a side and above, over- or underexposed, and grain."""
    size = len(pixels)
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    x, y, gain = (light * (0.22, 0.12, 0.15)).astype(np.float32)
    lit = (1 + gain) * (1 + x * ramp[None, :]) * (1 + y * ramp[:, None])  # (H, W)
    grain = noise * rng.standard_normal((size, size), dtype=np.float32)
    seen = pixels * lit[:, :, None] + grain[:, :, None]  # (H, W, 3)
    taken: Image = np.clip(seen, 0, 255).astype(np.uint8)
    return taken
