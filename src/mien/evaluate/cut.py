"""How a picture of a corpus becomes the crop that a network reads."""

from __future__ import annotations

import numpy as np

from mien.card import ModelCard
from mien.evaluate.judge import Cut
from mien.faces.detect import YuNet
from mien.faces.preprocess import crop, fit
from mien.types import Image


def make_cut(card: ModelCard, *, detect: bool, threads: int = 1) -> Cut:
    """Whole pictures, or with `detect` the largest face of each, upright; None where there is none."""
    if not detect:
        return lambda image: fit(image, card)
    detector = YuNet(threads=threads)

    def largest(image: Image) -> Image | None:
        colour = image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)  # (H, W, 3)
        faces = detector.detect(colour)
        return crop(image, faces[0].landmarks, card) if faces else None

    return largest
