"""Contempt and fear, which the paper could not explain: their errors, who disagreed, what is looked at.

    python benchmarks/rare.py FERPLUS [--model MODEL] [--plot rare.png]

FER+ valid, a face being of the emotion that got most votes (argmax), so that more of the rare ones count than
by majority. A second panel: what ten people drawn from a face's own votes would say, by chance alone. Looked
at: how much the logarithm of the emotion's probability falls when a square of 12 pixels is replaced by gray,
mean over the faces of that emotion and their mirror images.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.data.arrays import load_images
from mien.data.fer import ferplus
from mien.evaluate.protocol import PROTOCOLS
from mien.faces.network import Classifier
from mien.faces.policy import decide
from mien.labels import EMOTIONS
from mien.types import Floats, Image

PATCH, STEP = 12, 4  # pixels: of the square that is hidden, and between two of them
DRAWS = 400  # of panels
SHOWN = ("happiness", "anger", "disgust", "fear", "contempt")


def main() -> None:
    """Print the tables and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("ferplus", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    corpus = ferplus(options.ferplus, "valid")
    images = load_images(corpus)
    votes = np.array([sample.votes for sample in corpus.samples], float)  # (N, 8)
    truth = PROTOCOLS["argmax"](corpus.samples)
    classifier = Classifier.load(options.model)
    probabilities = classifier(images)
    for policy in classifier.card.policies:
        shown = decide(probabilities, classifier.card.policy(policy)).shown
        print(f"\n### What they are read as ({policy})\n\n{errors(truth, shown)}")
    print(f"\n### Who disagreed\n\n{voters(truth, votes, probabilities)}")
    if options.plot:
        draw({name: hidden(classifier, images, truth, name) for name in SHOWN}, images, truth, options.plot)


def errors(truth: NDArray[np.int64], shown: NDArray[np.int64]) -> str:
    """Per emotion: how many, recall, and what the others are read as, most first."""
    lines = ["| shown by | n | read so % | otherwise read as (per cent of n) |", "|---|---:|---:|---|"]
    for k, name in enumerate(EMOTIONS):
        of = truth == k
        counts = np.bincount(shown[of], minlength=len(EMOTIONS))
        others = [i for i in np.argsort(-counts) if i != k and counts[i]][:4]
        text = ", ".join(f"{EMOTIONS[i]} {100 * counts[i] / of.sum():.0f}" for i in others)
        lines.append(f"| {name} | {of.sum()} | {100 * counts[k] / of.sum():.0f} | {text} |")
    return "\n".join(lines)


def voters(truth: NDArray[np.int64], votes: NDArray[np.float64], probabilities: Floats) -> str:
    """Per emotion: the share of its votes, what a second panel says, and recall by how sure people were."""
    rng = np.random.default_rng(0)
    shares = votes / np.maximum(votes.sum(1, keepdims=True), 1)
    guess = probabilities.argmax(1)
    lines = [
        "| emotion | n | votes for it % | most votes besides | a second panel agrees % | network % "
        "| network % where 7 of 10 or more say so (n) | where fewer do (n) |",
        "|---|---:|---:|---|---:|---:|---:|---:|",
    ]
    for k, name in enumerate(EMOTIONS):
        of = np.flatnonzero(truth == k)
        mean = shares[of].mean(0)
        besides = [i for i in np.argsort(-mean) if i != k][:2]
        panel = np.mean(
            [(rng.multinomial(10, row / row.sum(), DRAWS).argmax(1) == k).mean() for row in shares[of]]
        )
        sure = shares[of, k] >= 0.7
        cells = [
            f"{100 * (guess[of][some] == k).mean():.0f} ({some.sum()})" if some.any() else ""
            for some in (sure, ~sure)
        ]
        text = ", ".join(f"{EMOTIONS[i]} {100 * mean[i]:.0f}" for i in besides)
        lines.append(
            f"| {name} | {len(of)} | {100 * mean[k]:.0f} | {text} | {100 * panel:.0f} "
            f"| {100 * (guess[of] == k).mean():.0f} | {cells[0]} | {cells[1]} |"
        )
    return "\n".join(lines)


def hidden(classifier: Classifier, images: Image, truth: NDArray[np.int64], name: str) -> Floats:
    """(G, G) mean fall of an emotion's log probability when the square at each place is hidden."""
    k = EMOTIONS.index(name)
    faces = images[truth == k][:200]
    faces = np.concatenate([faces, faces[:, :, ::-1]])
    before = np.log(np.maximum(classifier(faces)[:, k], 1e-6))
    places = range(0, images.shape[1] - PATCH + 1, STEP)
    falls = np.zeros((len(places), len(places)), np.float32)
    for row, top in enumerate(places):
        for column, left in enumerate(places):
            covered = faces.copy()
            covered[:, top : top + PATCH, left : left + PATCH] = 128
            falls[row, column] = (before - np.log(np.maximum(classifier(covered)[:, k], 1e-6))).mean()
    return falls


def draw(falls: dict[str, Floats], images: Image, truth: NDArray[np.int64], path: Path) -> None:
    """The mean face of each emotion, and over it where hiding costs most."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    top = max(float(fall.max()) for fall in falls.values())
    figure, axes = plt.subplots(2, len(falls), figsize=(2 * len(falls), 4.4), layout="constrained")
    for (name, fall), column in zip(falls.items(), axes.T, strict=True):
        mean = images[truth == EMOTIONS.index(name)].mean(0)
        for axis in column:
            axis.imshow(mean, cmap="gray", extent=(0, 48, 48, 0))
            axis.axis("off")
        edge = PATCH / 2 - STEP / 2
        place = (edge, 48 - edge, 48 - edge, edge)
        shown = column[1].imshow(
            fall, cmap="magma", alpha=0.65, extent=place, vmin=0, vmax=top, interpolation="bilinear"
        )
        column[0].set_title(f"{name} (n {int((truth == EMOTIONS.index(name)).sum())})", fontsize=10)
    figure.colorbar(shown, ax=axes[1], label="fall of log probability, nats", shrink=0.9)
    figure.savefig(path, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
