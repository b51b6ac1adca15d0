"""How well readings hold on faces that are hard to see; fits `quality` and the threshold of `uncertain`.

    python benchmarks/quality.py --ferplus ../shared/data/ferplus.zip

Each of FER+'s validation faces (majority label, no copy of a training face) is enlarged to 192 pixels with a
border of 24, and spoilt in eight ways, how much drawn at random: blurred (deviation up to 8 pixels), reduced
(to a fifteenth), darkened (to 1/2 to 1/64 of the light, with noise of 1.5 levels), noisy (deviation up to
60 levels), masked (a painted mask over nose and mouth, of one gray), masked by one with shade and folds,
partly covered (a square of 40 to 130 pixels), turned (up to 20 degrees). All nine go through the face
network, the crop and the classifier.

`quality` is fitted to whether the spoilt face is read as the clean one, the threshold so that a share of the
readings called certain (--right) are right over all nine kinds together. Both are judged on the half of the
faces they were not fitted on. `--write MODEL` puts the threshold into the card of a network.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image as Pil
from PIL import ImageDraw, ImageFilter

import mien
from mien.card import with_card
from mien.data.arrays import in_other, load_images
from mien.data.fer import ferplus
from mien.evaluate.metrics import majority
from mien.faces.align import TEMPLATE, crop
from mien.faces.network import Classifier
from mien.faces.parts import HIDDEN_QUALITY, PartsNetwork

KINDS = ("clean", "blurred", "reduced", "dark", "noisy", "masked", "folded", "covered", "turned")
SIDE, BORDER = 192, 24
PLACE = (np.array(TEMPLATE) * SIDE + BORDER).astype(np.float32)  # (5, 2)


def spoil(picture: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """(S, S, 3) uint8 in one of the ways."""
    much, image, pixels = rng.random(), Pil.fromarray(picture), picture.astype(float)
    gray = tuple([int(rng.integers(0, 256))] * 3)
    if kind == "blurred":
        image = image.filter(ImageFilter.GaussianBlur(8 * much))
    elif kind == "reduced":
        small = (max(8, round(len(picture) / (1 + 14 * much))),) * 2
        image = image.resize(small, Pil.Resampling.BOX).resize(image.size, Pil.Resampling.BICUBIC)
    elif kind in ("dark", "noisy"):
        gain, noise = (0.5 ** (1 + 5 * much), 1.5) if kind == "dark" else (1.0, 60 * much)
        spoilt = pixels * gain + rng.normal(0, noise, pixels.shape)
        image = Pil.fromarray(spoilt.clip(0, 255).round().astype(np.uint8))
    elif kind == "masked":
        ImageDraw.Draw(image).polygon([(50, 125), (190, 125), (190, 200), (120, 235), (50, 200)], fill=gray)
    elif kind == "folded":
        image.paste(*fold(image.size, rng))
    elif kind == "covered":
        left, top = rng.integers(30, 150, 2)
        side = 40 + 90 * much
        ImageDraw.Draw(image).rectangle([left, top, left + side, top + side], fill=gray)
    elif kind == "turned":
        image = image.rotate(40 * much - 20, Pil.Resampling.BICUBIC, fillcolor=(90, 90, 90))
    return np.asarray(image)


def fold(size: tuple[int, int], rng: np.random.Generator) -> tuple[Pil.Image, tuple[int, int], Pil.Image]:
    """A mask with shade, up to three folds and some texture; where it lies; and its soft outline."""
    y, x = np.mgrid[: size[1], : size[0]]
    across = (x - 120) / 60
    shade = rng.integers(40, 240) - 20 + 25 * np.cos(across) + across * rng.normal(0, 10)
    for i in range(rng.integers(0, 4)):
        top = 130 + 25 * i + rng.integers(-4, 4)
        shade = shade - rng.integers(5, 35) * np.exp(-(((y - top - 4 * across**2) / 2) ** 2))
    gray = (shade + rng.normal(0, rng.uniform(0, 4), shade.shape)).clip(0, 255).astype(np.uint8)
    outline = Pil.new("L", size)
    ImageDraw.Draw(outline).polygon(
        [(45, 120), (120, 108), (195, 120), (192, 195), (120, 238), (48, 195)], 255
    )
    return Pil.fromarray(gray).convert("RGB"), (0, 0), outline.filter(ImageFilter.GaussianBlur(1.2))


def fit(features: np.ndarray, outcome: np.ndarray) -> np.ndarray:
    """The weights of a logistic regression, by Newton's method."""
    weights = np.zeros(features.shape[1])
    for _ in range(40):
        p = 1 / (1 + np.exp(-features @ weights))
        hessian = (features * (p * (1 - p))[:, None]).T @ features + 1e-3 * np.eye(len(weights))
        weights -= np.linalg.solve(hessian, features.T @ (p - outcome))
    return weights


def judge(features: np.ndarray, mouthless: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """`Parts.quality` by these weights."""
    quality = 1 / (1 + np.exp(-features @ weights))
    return np.where(mouthless, np.minimum(quality, HIDDEN_QUALITY), quality)


def threshold(score: np.ndarray, right: np.ndarray, wanted: float) -> float:
    """The least score from which the wanted share of readings are right."""
    order = np.argsort(-score)
    share = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    return float(score[order][np.flatnonzero(share >= wanted)[-1]])


def main() -> None:
    """Look at all faces, fit, judge, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ferplus", type=Path, required=True)
    parser.add_argument("--n", type=int, default=1000, help="faces")
    parser.add_argument("--right", type=float, default=0.92)
    parser.add_argument("--model", type=Path, help="None: the network that ships")
    parser.add_argument("--write", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    classifier, network = mien.load(options.model).classifier, PartsNetwork()
    pictures, labels = fresh_faces(options.ferplus)
    chosen = rng.permutation(len(pictures))[: options.n]
    crops, features, hidden = [], [], []
    for picture in pictures[chosen]:
        large = Pil.fromarray(picture).convert("RGB").resize((SIDE, SIDE), Pil.Resampling.BICUBIC)
        framed = np.pad(np.asarray(large), ((BORDER, BORDER), (BORDER, BORDER), (0, 0)), "edge")
        for kind in KINDS:
            spoilt = spoil(framed, kind, rng)
            (first,) = network(spoilt, [PLACE])
            (parts,) = network(spoilt, [first.landmarks])
            crops.append(crop(spoilt, parts.landmarks, classifier.card))
            features.append([np.log(parts.error), np.log(max(parts.contrast, 1.0)), 1.0])
            hidden.append(parts.hidden)
    p = classifier(np.stack(crops)).reshape(len(chosen), len(KINDS), -1)  # (N, kinds, 8)
    x = np.array(features).reshape(len(chosen), len(KINDS), -1)
    shown, confidence = p.argmax(2), p.max(2)
    right, same = shown == labels[chosen][:, None], shown == shown[:, :1]
    mouthless = np.reshape(hidden, right.shape)
    seen = ~mouthless
    seen[:, 0] = False  # the clean ones teach nothing
    weights = fit(x[seen], same[seen].astype(float))
    quality = judge(x, mouthless, weights)
    print("weights of log error, log contrast, 1:", weights.round(3).tolist())
    least = threshold((confidence * quality).ravel(), right.ravel(), options.right)
    print("threshold of confidence x quality:", round(least, 4))
    half = np.arange(len(chosen)) % 2
    certain, alone = np.zeros_like(right), np.zeros_like(right)
    for one in (0, 1):
        mine, other = half == one, half != one
        learnt = seen & other[:, None]
        score = confidence * judge(x, mouthless, fit(x[learnt], same[learnt].astype(float)))
        for into, by in ((certain, score), (alone, confidence)):
            into[mine] = by[mine] >= threshold(by[other].ravel(), right[other].ravel(), options.right)
    columns = {"right": right, "read as clean": same, "mouth hidden": mouthless, "certain": certain}
    print("\n| faces |", " | ".join(columns), "| quality | right if certain | by confidence alone |")
    print("|---" * (len(columns) + 4) + "|")
    for k, kind in [*enumerate(KINDS), (slice(None), "all")]:
        cells = [values[:, k].mean() for values in columns.values()] + [np.median(quality[:, k])]
        cells += [right[:, k][one[:, k]].mean() for one in (certain, alone)]
        print(f"| {kind} |", " | ".join(f"{cell:.2f}" for cell in cells), "|")
    for path in options.write:
        card = Classifier.load(path).card
        path.write_bytes(with_card(path.read_bytes(), replace(card, uncertain=round(least, 4))))


def fresh_faces(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(N, 48, 48) validation faces that are no copies of training faces, and their (N,) majority labels."""
    valid, train = (ferplus(path, split) for split in ("valid", "train"))
    pictures, labels = load_images(valid), majority(valid.samples)
    kept = (labels >= 0) & ~in_other(pictures, load_images(train))
    return pictures[kept], labels[kept]


if __name__ == "__main__":
    main()
