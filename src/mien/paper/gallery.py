"""The pictures of a report: plain arrays, so that it can be drawn again without torch or the corpus.

Legend: E emotions that there are, A autoencoders, L convolutions, M maps, n mistakes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError
from mien.files import load_arrays, save_arrays
from mien.types import Floats, Image


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """What one variant saw, generated, and read wrong."""

    originals: Image  # (E, 48, 48) a test picture of each emotion there is
    emotions: NDArray[np.int64]  # (E,) positions in EMOTIONS
    generated: Image | None  # (E, A, 48, 48) as A autoencoders generate them; None: none is used
    mapped: Image  # (48, 48) the picture of the feature maps
    maps: tuple[Floats, ...]  # L of (M, h, w): what each convolution makes of it
    mistakes: Image  # (n, 48, 48) contempt and fear read as something else, the most confident first
    mistaken_truth: NDArray[np.int64]  # (n,)
    mistaken_scores: Floats  # (n, 8)


def save_gallery(path: Path, gallery: Gallery) -> None:
    """Write one .npz file, which appears whole."""
    arrays: dict[str, Any] = {
        field.name: getattr(gallery, field.name) for field in fields(Gallery) if field.name != "maps"
    }
    arrays |= {f"maps_{i}": maps for i, maps in enumerate(gallery.maps)}
    save_arrays(path, {name: array for name, array in arrays.items() if array is not None})


def load_gallery(path: Path) -> Gallery:
    """Read one back.

    Raises:
        DataError: `path` is not such a file.
    """
    advice = "remove the file and run `mien reproduce` again"
    arrays: dict[str, Any] = dict(load_arrays(path, advice))
    maps = tuple(arrays.pop(name) for name in sorted(arrays) if name.startswith("maps_"))
    try:
        return Gallery(**{"generated": None, **arrays}, maps=maps)
    except TypeError as error:
        raise DataError(f"{path}: expected the pictures of a reproduction ({error}); {advice}") from error
