"""The faces that networks learn from: found, cut to the network's size, and kept in a file.

Legend: N pictures, M pictures without labels, T teachers, H rows, W columns, S the side of a face.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pil
from torch import Tensor, nn

from mien.card import ModelCard
from mien.data.arrays import corpus_key, data_hash
from mien.data.corpus import Corpus
from mien.data.fairface import fairface
from mien.errors import DataError, ImageError
from mien.faces.align import TEMPLATE, crop
from mien.faces.detect import DetectorOptions, YuNet
from mien.faces.network import Classifier
from mien.files import load_arrays, save_arrays
from mien.labels import EMOTIONS
from mien.types import Floats, Image, Sample

#: What all networks here are fed with: 48 x 48 gray, cut as everything that Mien reads is cut.
FACE_INPUT: Final = ModelCard("face", template=TEMPLATE)

_BATCH: Final = 256  # pictures of one call of a network
_TEACHER_BATCH: Final = 1024  # faces whose mirror images are in memory at a time
_AGAIN: Final = "remove the file, and it is made again"
#: FairFace's pictures hold one face each, upright and in the middle, so that a quick search is enough.
_ONE_LARGE_FACE: Final = DetectorOptions(min_face=40, finest=224, turned=False)


def unlabelled_faces(root: Path, cache: Path) -> Image:
    """(M, 48, 48) uint8: FairFace's pictures, each face found and cut as the labelled ones are.

    Nothing is known of what they show: teachers label them, and autoencoders learn from them.

    Raises:
        DataError: FairFace is not at `root`, or no face is found.
    """
    detector = YuNet(_ONE_LARGE_FACE)
    return cut_faces("fairface", fairface(root), lambda pixels: find_face(pixels, detector), cache).crops


def align_faces(corpus: Corpus, cache: Path) -> FaceCrops:
    """FER+'s faces, found and cut as everything that Mien reads is cut, instead of as FER2013's makers did.

    A picture of 48 x 48 is enlarged four times for the detector; one in which it finds no face is left out.

    Raises:
        DataError: no face is found.
    """
    detector = YuNet(_ONE_LARGE_FACE)

    def cut(pixels: Image) -> Image | None:
        picture = Pil.fromarray(pixels)  # (H, W)
        large = picture.resize((4 * picture.width, 4 * picture.height), Pil.Resampling.BICUBIC)
        return find_face(np.asarray(large.convert("RGB")), detector)

    return cut_faces(corpus.name.replace("/", "-"), corpus, cut, cache)


def find_face(pixels: Image, detector: YuNet | None = None) -> Image | None:
    """The largest face of (H, W, 3) RGB, cut to (S, S); None if no face is found."""
    faces = (detector or _default_detector()).detect(pixels)
    return crop(pixels, faces[0].landmarks, FACE_INPUT) if faces else None


@dataclass(frozen=True, slots=True, eq=False)
class FaceCrops:
    """The faces of a corpus, one of each picture that shows one."""

    crops: Image  # (N, S, S)
    kept: NDArray[np.int64]  # (N,) the positions of their samples
    damaged: tuple[
        str, ...
    ] = ()  # samples whose pictures cannot be read; the rest of those left out has no face


def cut_faces(name: str, corpus: Corpus, cut: Callable[[Image], Image | None], cache: Path) -> FaceCrops:
    """The face of each picture, kept in a file of `cache`, since finding them takes long.

    A picture that cannot be read is left out and named, and tried again the next time.

    Args:
        name: of the corpus, for the file's name.
        corpus: the pictures.
        cut: (H, W, 3) RGB to the face (S, S), or None where no face is found.
        cache: a folder.

    Raises:
        DataError: no picture shows a face, or none can be read.
    """
    path = cache / f"{name}-{corpus_key(corpus)}.npz"
    if path.is_file():
        held = load_arrays(path, _AGAIN)
        damaged = tuple(held["damaged"].tolist()) if "damaged" in held else ()
        if not any(_readable(corpus, sample) for sample in corpus.samples if sample.name in damaged):
            return FaceCrops(held["crops"], held["kept"], damaged)
    kept, crops, errors = [], [], {}
    for i, sample in enumerate(corpus.samples):
        try:
            pixels = corpus.read(sample)
        except (ImageError, DataError) as error:
            errors[sample.name] = str(error)
            continue
        face = cut(pixels)
        if face is not None:
            kept.append(i)
            crops.append(face)
    if not kept:
        first = f", {len(errors)} cannot be read, the first: {next(iter(errors.values()))}" if errors else ""
        raise DataError(
            f"{corpus.name}: expected faces in its {len(corpus)} pictures, found none{first}; "
            "give a corpus of faces"
        )
    found = FaceCrops(np.stack(crops), np.array(kept, np.int64), tuple(errors))
    save_arrays(path, {"crops": found.crops, "kept": found.kept, "damaged": np.array(found.damaged, np.str_)})
    return found


def _readable(corpus: Corpus, sample: Sample) -> bool:
    try:
        corpus.read(sample)
    except (ImageError, DataError):
        return False
    return True


def vote_shares(samples: tuple[Sample, ...]) -> Floats:
    """(N, 8) label distributions: single votes dropped as noise (arXiv:1608.01041), then shares.

    Where there are only single votes, all are kept; without votes, the row is zeros.
    """
    votes = np.array([s.votes for s in samples], np.float32)  # (N, 8)
    kept = np.where(votes > 1, votes, 0)
    kept = np.where(kept.sum(1, keepdims=True) > 0, kept, votes)
    shares: Floats = kept / np.maximum(kept.sum(1, keepdims=True), 1)
    return shares


def as_tensor(images: Image, device: str = "cpu") -> Tensor:
    """(N, H, W) uint8 to (N, 1, H, W): on the device if that is a GPU with room for all, else where they are.

    Nothing is copied but to a GPU: pictures in a mapped file stay there, and are not to be written to.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        pictures = torch.from_numpy(images)[:, None]
    if device.startswith("cuda"):
        free, _ = torch.cuda.mem_get_info(device)
        if pictures.nbytes <= 0.5 * free:  # the rest is the network's
            return pictures.to(device)
    return pictures


def teacher_labels(teachers: Sequence[Classifier], images: Image, cache: Path) -> Floats:
    """(N, 8) mean probabilities of the teachers, each over the face and its mirror image.

    Each teacher's answers are kept in a file of `cache`: they take minutes.

    Args:
        teachers: for gray faces of the size of `images`.
        images: (N, H, W) uint8.
        cache: a folder.
    """
    pictures = data_hash(images)
    answers: list[Floats] = []  # T of (N, 8)
    for teacher in teachers:
        kept = cache / f"taught-{teacher.digest[:16]}-{pictures}.npz"
        if not kept.is_file():
            batches = (images[i : i + _TEACHER_BATCH] for i in range(0, len(images), _TEACHER_BATCH))
            both = [(teacher(one) + teacher(np.ascontiguousarray(one[:, :, ::-1]))) / 2 for one in batches]
            save_arrays(kept, {"answers": np.concatenate(both)})
        answers.append(load_arrays(kept, _AGAIN)["answers"])
    mean: Floats = np.mean(answers, axis=0, dtype=np.float32)
    return mean


def file_hash(path: Path) -> str:
    """A short sha256 of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def predict(
    net: nn.Module, images: Image, device: str, activation: Callable[[Tensor], Tensor] | None = None
) -> Floats:
    """(N, H, W) uint8 to (N, 8) float32: the network's logits, or what the activation makes of them."""
    net.eval().to(device)
    rows = [np.empty((0, len(EMOTIONS)), np.float32)]
    with torch.no_grad():
        for i in range(0, len(images), _BATCH):
            logits = net(as_tensor(images[i : i + _BATCH]).float().to(device))  # (B, 8)
            rows.append((activation(logits) if activation else logits).cpu().numpy())
    return np.concatenate(rows)


@lru_cache(maxsize=1)
def _default_detector() -> YuNet:
    return YuNet()
