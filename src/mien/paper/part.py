"""One network of an experiment: learnt on some pictures, asked of others.

Legend: N pictures of the material, B batch, M maps.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mien.config import provenance, to_toml
from mien.data.arrays import data_hash
from mien.data.splits import fraction
from mien.errors import ConfigError
from mien.files import load_arrays, save_arrays
from mien.labels import EMOTIONS
from mien.paper.material import Indices, Material
from mien.paper.variants import AUTOENCODER, Lesson, PaperRecipe, learn
from mien.train.recipes import CONFIG, claim_provenance
from mien.types import Floats, Image

if TYPE_CHECKING:
    from torch import Tensor, nn

Report = Callable[[Mapping[str, Any]], None]

OUTCOME: Final = "outcome.npz"
_BATCH: Final = 256


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What trains a network, and what it is asked."""

    train: Indices
    test: Indices


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What is kept of a network that has been learnt and asked."""

    trained: Floats  # (train, 8) probabilities of the pictures that trained it
    tested: Floats  # (test, 8) and of those that did not
    squared_error: tuple[float, float] | None  # of the test's generated pixels: autoencoder's, PCA's


@dataclass(frozen=True, slots=True)
class Means:
    """What learning may use, beside the material."""

    share: float = 1.0  # of the labels
    unlabelled: Image | None = None  # (M, 48, 48) uint8 more pictures for the autoencoders
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ConfigError(f"share of the labels: expected more than 0 and at most 1, got {self.share}")


def run_part(
    recipe: PaperRecipe, part: Part, material: Material, means: Means, run: Path, report: Report
) -> tuple[Outcome, nn.Module | None]:
    """Learn and ask, or take what an earlier call kept; the network only where it was learnt just now."""
    path = run / OUTCOME
    if path.is_file():
        return _load(path), None
    lesson = _lesson(recipe, part, material, means)
    run.mkdir(parents=True, exist_ok=True)
    (run / CONFIG).write_text(to_toml(recipe))
    facts = provenance(
        seed=recipe.loop.seed,
        corpus=material.name,
        pictures=len(lesson.images),
        data=data_hash(material.images[part.train]),
        unlabelled=0 if means.unlabelled is None else len(means.unlabelled),
        share=means.share,
        recipe=f"mien reproduce paper, variant {recipe.name}, {run.name}: it knows all folds but its own",
    )
    claim_provenance(run, facts)
    net = learn(recipe, lesson, run, report)
    outcome = Outcome(
        predict(recipe, net, material.images[part.train], means.device),
        predict(recipe, net, material.images[part.test], means.device),
        _squared_error(recipe, net, lesson, material.images[part.test]),
    )
    _save(path, outcome)
    return outcome, net


def predict(recipe: PaperRecipe, net: nn.Module, images: Image, device: str) -> Floats:
    """(N, 48, 48) uint8 to (N, 8) probabilities: sum 1, or of each emotion alone where networks are eight."""
    import torch

    net.eval().to(device)
    rows = [np.empty((0, len(EMOTIONS)), np.float32)]
    with torch.no_grad():
        for i in range(0, len(images), _BATCH):
            logits = net(as_tensor(images[i : i + _BATCH]).float().to(device))  # (B, 8)
            each = torch.sigmoid(logits) if recipe.networks == "eight" else torch.softmax(logits, 1)
            rows.append(each.cpu().numpy())
    return np.concatenate(rows)


def as_tensor(images: Image) -> Tensor:
    """(N, 48, 48) to (N, 1, 48, 48)."""
    import torch

    return torch.from_numpy(images)[:, None]


def curves(run: Path) -> list[dict[str, Any]]:
    """The log of each stage of a part, a line an epoch, in the order in which they are learnt."""
    from mien.paper.finetune import LAST_LAYER, WHOLE
    from mien.train.loop import LOG

    stages = [*sorted((run / AUTOENCODER).rglob(LOG)), run / LAST_LAYER / LOG, run / WHOLE / LOG]
    return [
        {
            "part": run.name,
            "stage": log.parent.relative_to(run).as_posix(),
            "lines": [json.loads(line) for line in log.read_text().splitlines()],
        }
        for log in stages
        if log.is_file()
    ]


def _lesson(recipe: PaperRecipe, part: Part, material: Material, means: Means) -> Lesson:
    """The autoencoder learns from all the training pictures, the network from a share of their labels."""
    import torch

    labels = material.labels[part.train]
    chosen = part.train[fraction(labels, means.share, seed=recipe.loop.seed)]
    pool = [material.images[part.train]]
    pool += [] if means.unlabelled is None else [means.unlabelled]
    return Lesson(
        images=as_tensor(material.images[chosen]).to(means.device),
        targets=torch.from_numpy(material.targets[chosen]).to(means.device),
        unlabelled=as_tensor(np.concatenate(pool)).to(means.device),
    )


def _squared_error(
    recipe: PaperRecipe, net: nn.Module, lesson: Lesson, images: Image
) -> tuple[float, float] | None:
    """Of what the autoencoder generates, and of as many principal components of the same pictures.

    Both are cut to 0..255. Where there is one an emotion there is no floor that fits them all: None.
    """
    import torch

    from mien.paper.cnn import OnGenerated
    from mien.paper.pca import principal

    if not isinstance(net, OnGenerated) or recipe.autoencoders == "each":
        return None
    with torch.no_grad():
        floor = principal(lesson.unlabelled, lambda pictures: pictures.flatten(1), min(recipe.hidden))
        ours = theirs = 0.0
        for i in range(0, len(images), _BATCH):
            batch = as_tensor(images[i : i + _BATCH]).float().to(lesson.images.device)  # (B, 1, 48, 48)
            generated = net.autoencoder(batch).clamp(0, 255)  # (B, A, 48, 48)
            ours += float((generated - batch).square().mean((1, 2, 3)).sum())
            flat = batch.flatten(1)
            theirs += float((floor.project(flat).clamp(0, 255) - flat).square().mean(1).sum())
    return ours, theirs


def _save(path: Path, outcome: Outcome) -> None:
    arrays = {"trained": outcome.trained, "tested": outcome.tested}
    error = outcome.squared_error
    save_arrays(path, arrays if error is None else {**arrays, "squared_error": np.array(error)})


def _load(path: Path) -> Outcome:
    held = load_arrays(path, "remove the file, and the part's network is asked again")
    error = held.get("squared_error")
    return Outcome(held["trained"], held["tested"], None if error is None else (error[0], error[1]))
