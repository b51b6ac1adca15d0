"""Labels that networks give to faces, for another network to learn from.

Legend: N faces, H rows, W columns.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from mien.data.arrays import data_hash
from mien.faces.classify import Classifier
from mien.files import load_arrays, save_arrays
from mien.types import Floats, Image

_CHUNK: Final = 1024  # faces whose mirror images are in memory at a time


def taught(teachers: Sequence[Path], images: Image, cache: Path) -> Floats:
    """(N, 8) mean probabilities of the teachers, each asked of the face and of its mirror image.

    Each teacher's answers are kept in a file of `cache`: asking takes minutes.

    Args:
        teachers: ONNX files with a card, for gray faces of the size of `images`.
        images: (N, H, W) uint8.
        cache: a folder.

    Raises:
        ModelError: a teacher cannot be read, or reads pictures of another size.
    """
    pictures = data_hash(images)
    answers = np.stack([_answers(path, images, pictures, cache) for path in teachers])  # (teachers, N, 8)
    mean: Floats = answers.mean(axis=0, dtype=np.float32)
    return mean


def file_hash(path: Path) -> str:
    """A short sha256 of a file's bytes, to tell teachers apart."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _answers(teacher: Path, images: Image, pictures: str, cache: Path) -> Floats:
    kept = cache / f"taught-{file_hash(teacher)}-{pictures}.npz"
    if kept.is_file():
        return load_arrays(kept, "remove the file, and it is made again")["answers"]
    net = Classifier.load(teacher, threads=0)
    parts = (images[i : i + _CHUNK] for i in range(0, len(images), _CHUNK))
    answers = np.concatenate(
        [(net(part) + net(np.ascontiguousarray(part[:, :, ::-1]))) / np.float32(2) for part in parts]
    )
    save_arrays(kept, {"answers": answers})
    return answers
