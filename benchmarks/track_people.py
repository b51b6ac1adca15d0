"""People for the clips of `track_scenes`: heads cut out of press photos by a soft ellipse.

Truth boxes are what the photo detector finds on the photo, carried along, so that they mean what a
detector's boxes mean. People come in two halves, one to tune on and one to report.

Legend: x y in pixels of the photo.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pil
from PIL import ImageFilter

from mien.faces.detect import YuNet
from mien.types import Floats, Image

CANVAS: Final = (1400, 800)  # pixels of a background, so that the camera can move
Doubles = NDArray[np.float64]
Rng = np.random.Generator


@dataclass(frozen=True, eq=False)
class Head:
    """One photo, cut out."""

    picture: Pil.Image  # RGBA, alpha a soft ellipse
    box: Doubles  # (4,) x, y, width, height of the face in pixels of the photo
    landmarks: Floats  # (5, 2)

    @property
    def side(self) -> float:
        """Root of the area of the face's box, in pixels of the photo."""
        return float(np.sqrt(self.box[2] * self.box[3]))


class People:
    """One half of the people of photos.zip; a head is cut when it is asked for."""

    def __init__(self, archive: Path, half: int) -> None:
        self._zip = zipfile.ZipFile(archive)
        self._detector = YuNet()
        names = sorted(n for n in self._zip.namelist() if n.endswith(".jpg"))
        of: dict[str, list[str]] = {}
        for name in names:
            of.setdefault(name.rsplit("_", 1)[0], []).append(name)
        self._photos = [of[person] for person in sorted(of)[half::2]]
        self._several = [photos for photos in self._photos if len(photos) > 1]
        self._head = lru_cache(maxsize=400)(self._cut)

    def draw(self, rng: Rng, number: int, photos: int = 1) -> list[list[Head]]:
        """The heads of so many people, each from so many of their photos."""
        found: list[list[Head]] = []
        pool = self._photos if photos == 1 else self._several
        for i in rng.permutation(len(pool)):
            heads = [head for name in pool[i] if (head := self._head(name)) is not None][:photos]
            found += [heads] if len(heads) == photos else []
            if len(found) == number:
                return found
        raise ValueError(f"expected {number} people with {photos} photos, got {len(found)}")

    def canvas(self, rng: Rng) -> Image:
        """A background: a blurred, enlarged photo in another tint, with things in it."""
        name = self._photos[rng.integers(len(self._photos))][0]
        blurred = self._read(name).resize((48, 32)).filter(ImageFilter.GaussianBlur(2))
        large = np.asarray(blurred.resize(CANVAS, Pil.Resampling.BICUBIC), np.float32)
        large = large * rng.uniform(0.75, 1.1, 3).astype(np.float32)
        for _ in range(40):
            x, y = rng.integers(0, CANVAS[0]), rng.integers(0, CANVAS[1])
            width, height = rng.integers(20, 200, 2)
            large[y : y + height, x : x + width] *= rng.uniform(0.6, 1.5)
        grain = rng.normal(0, 14, (CANVAS[1] // 4, CANVAS[0] // 4)).repeat(4, 0).repeat(4, 1)
        return (large + grain[:, :, None]).clip(0, 255).astype(np.uint8)

    def _read(self, name: str) -> Pil.Image:
        return Pil.open(io.BytesIO(self._zip.read(name))).convert("RGB")

    def _cut(self, name: str) -> Head | None:
        """The head of a photo; None where the photo is small, or no one large face is found."""
        picture = self._read(name)
        if min(picture.size) < 150:
            return None
        faces = self._detector.detect(np.asarray(picture))
        if not faces or faces[0].score < 0.8 or faces[0].box[2] < 0.4 * picture.width:
            return None
        x, y = (((np.arange(n) + 0.5) / n - 0.5) ** 2 for n in picture.size)
        alpha = ((0.5 - np.sqrt(x[None] + y[:, None])) / 0.05).clip(0, 1) * 255
        picture.putalpha(Pil.fromarray(alpha.astype(np.uint8)))
        return Head(picture, np.array(faces[0].box, float), faces[0].landmarks)
