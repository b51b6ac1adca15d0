"""One geometry: fits `align.TEMPLATE` to FER+'s own crops, shows both side by side, and measures the loss.

    python benchmarks/geometry.py --n 1500 --picture geometry.png --model src/mien/models/compact.onnx

FER+ train faces are enlarged, given a border so that the detector has context, found, and their
landmarks brought back to the 48 pixel crop. The medians over upright frontal faces, made symmetric,
are the template. The accuracy is that of FER+ valid's pictures as they are, against the same pictures
enlarged, found, aligned and cropped again; a face that is not found counts as wrong.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pil

from mien.card import ModelCard
from mien.data.corpus import Corpus
from mien.data.ferplus import ferplus
from mien.evaluate.protocol import majority
from mien.faces.align import TEMPLATE, crop, roll
from mien.faces.detect import DetectorOptions, YuNet
from mien.faces.network import Classifier
from mien.types import Floats, Image

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
ENLARGE = 5  # 48 -> 240 pixels
BORDER = 80  # pixels on every side of the enlarged face
UPRIGHT = 8.0  # degrees of roll at most for a face to count in the fit
FRONTAL = 0.12  # the nose's way off the middle of the eyes, as a share of their distance

Classify = Callable[[Image], Floats]


def enlarged(face: Image) -> Image:
    """A (48, 48) crop as a (400, 400, 3) picture with its edge repeated around it."""
    side = face.shape[0] * ENLARGE
    large = np.asarray(Pil.fromarray(face).resize((side, side), Pil.Resampling.BICUBIC))
    return np.repeat(np.pad(large, BORDER, mode="edge")[:, :, None], 3, axis=2)


def landmarks_of(face: Image, detector: YuNet) -> NDArray[np.float32] | None:
    """(5, 2) landmarks in the enlarged picture of the largest face found, or None."""
    found = detector.detect(enlarged(face))
    return found[0].landmarks if found else None


def upright_frontal(points: NDArray[np.float32]) -> bool:
    """Whether a face looks straight at the camera: (5, 2) landmarks."""
    eyes = points[1] - points[0]
    off = abs(points[2, 0] - points[:2, 0].mean()) / max(1.0, float(np.hypot(*eyes)))
    return abs(roll(points)) < UPRIGHT and off < FRONTAL


def fit(corpus: Corpus, number: int) -> NDArray[np.float64]:
    """(5, 2) landmarks in units of the crop's side, the same on both sides of the middle."""
    detector = YuNet(DetectorOptions(turned=False))
    chosen = np.random.default_rng(0).permutation(len(corpus))[:number]
    found = [landmarks_of(corpus.read(corpus.samples[i]), detector) for i in chosen]
    straight = [p for p in found if p is not None and upright_frontal(p)]
    points = (np.array(straight) - BORDER) / (48 * ENLARGE)  # (N, 5, 2)
    medians = np.median(points, axis=0)  # (5, 2)
    spread = np.percentile(points, 75, axis=0) - np.percentile(points, 25, axis=0)
    print(
        f"fit: {number} faces, {sum(p is not None for p in found)} found, {len(straight)} upright and frontal"
    )
    print("medians\n", medians.round(4), "\nquartile range\n", spread.round(4))
    mirrored = medians[[1, 0, 2, 4, 3]] * [-1, 1] + [1, 0]
    return (medians + mirrored) / 2


def through_pipeline(faces: list[Image], card: ModelCard) -> list[Image | None]:
    """Every face enlarged, found, aligned and cropped; None where none was found."""
    detector = YuNet()
    pictures = [(enlarged(face), landmarks_of(face, detector)) for face in faces]
    return [None if points is None else crop(picture, points, card) for picture, points in pictures]


def compare(
    faces: list[Image], again: list[Image | None], truth: NDArray[np.int64], classify: Classify
) -> None:
    """Print the accuracy on straight crops and on those that came through the pipeline."""
    found = np.array([face is not None for face in again])
    straight = classify(np.array(faces)).argmax(axis=1) == truth
    through = np.zeros(len(faces), bool)
    through[found] = classify(np.array([f for f in again if f is not None])).argmax(axis=1) == truth[found]
    print(f"accuracy, FER+ valid, majority: n {len(faces)}, found {found.mean():.4f}")
    loss = (straight.mean() - through.mean()) * 100
    print(f"  straight {straight.mean():.4f}  through {through.mean():.4f}  loss {loss:.2f} points")
    print(f"  of those found: straight {straight[found].mean():.4f}  through {through[found].mean():.4f}")


def side_by_side(faces: list[Image], again: list[Image | None], path: Path) -> None:
    """Write pairs (own crop | crop through the pipeline), eight pairs a row, doubled."""
    pairs = [
        np.concatenate([a, np.zeros_like(a) if b is None else b], axis=1)  # (48, 96)
        for a, b in zip(faces, again, strict=True)
    ]
    framed = [np.pad(pair, ((0, 4), (0, 8)), constant_values=255) for pair in pairs]
    rows = [np.concatenate(framed[i : i + 8], axis=1) for i in range(0, len(framed) // 8 * 8, 8)]
    sheet = Pil.fromarray(np.concatenate(rows))
    sheet.resize((sheet.width * 2, sheet.height * 2), Pil.Resampling.NEAREST).save(path)
    print(f"side by side: {path}")


def main() -> None:
    """Fit, picture, accuracy."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder that holds ferplus.zip")
    parser.add_argument("--n", type=int, default=1500, help="faces to fit on; at most so many to judge on")
    parser.add_argument("--picture", type=Path, help="write the side-by-side picture here")
    parser.add_argument("--model", type=Path, help="an ONNX network to measure the loss with")
    given = parser.parse_args()
    root = given.data / "ferplus.zip"
    print("template\n", fit(ferplus(root, "train"), given.n).round(4), "\nin use\n", np.array(TEMPLATE))

    valid = ferplus(root, "valid")
    labels = majority(valid.samples)  # (N,) the emotion's index, or -1: left out
    chosen = np.random.default_rng(1).permutation(np.flatnonzero(labels >= 0))[: given.n]
    faces = [valid.read(valid.samples[i]) for i in chosen]
    again = through_pipeline(faces, ModelCard(name="geometry", template=TEMPLATE))
    if given.picture:
        side_by_side(faces[:48], again[:48], given.picture)
    if given.model:
        compare(faces, again, labels[chosen], Classifier.load(given.model))


if __name__ == "__main__":
    main()
