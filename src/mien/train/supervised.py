"""Labelled faces, and faces that teachers label, as the task of the training loop.

Legend: N labelled and M unlabelled faces, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mien.data.arrays import data_hash, gather, load_images
from mien.data.audit import in_other
from mien.data.ferplus import ferplus
from mien.errors import ConfigError
from mien.evaluate.protocol import PROTOCOLS, accuracies
from mien.train.faces import as_tensor, unlabelled_faces, vote_shares
from mien.train.recipes import Recipe
from mien.train.teachers import file_hash, taught
from mien.types import Floats, Image, Sample

if TYPE_CHECKING:
    from torch import nn

    from mien.train.loop import Judge, Loss, Task


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """What there is to learn from, and what is known of it."""

    images: Image  # (N + M, H, W), in a mapped file
    targets: Floats  # (N + M, 8) label distributions
    facts: dict[str, Any]  # for the run's provenance


def make_task(
    recipe: Recipe,
    root: Path,
    run: Path,
    *,
    teachers: Sequence[Path] = (),
    unlabelled: Path | None = None,
    device: str = "cpu",
) -> tuple[Task, dict[str, Any]]:
    """The task of a recipe, with its targets on the device, and facts for its provenance.

    Pictures that also stand in valid are left out.

    Raises:
        ConfigError: a recipe that leans on teachers got none, or one that does not got some.
        DataError: a corpus is not where it is said to be.
        ModelError: a teacher cannot be read.
        OutputError: the decoded pictures cannot be written into the run's folder.
    """
    import torch

    from mien.train.loop import Task

    _check_teachers(recipe, teachers, unlabelled)
    held = ferplus(root, "valid")
    valid = load_images(held, cache=run / "cache")
    faces = _labelled(root, run, valid)
    if teachers:
        faces = _with_teachers(faces, recipe.lean, teachers, unlabelled, run)
    task = Task(
        images=as_tensor(faces.images, device),  # (N + M, 1, H, W)
        targets=torch.from_numpy(faces.targets).to(device),  # (N + M, 8)
        loss=loss_of(recipe),
        judge=judge_on(valid, held.samples, device),
    )
    return task, faces.facts


def loss_of(recipe: Recipe) -> Loss:
    """Soft cross-entropy on augmented pictures."""
    from mien.train.augment import labelled_loss

    return labelled_loss(recipe.augment)


def judge_on(images: Image, samples: Sequence[Sample], device: str) -> Judge:
    """Accuracies on pictures that are held out, (N, H, W) uint8."""
    return lambda net: accuracies(_predict(net, images, device), samples)


def _check_teachers(recipe: Recipe, teachers: Sequence[Path], unlabelled: Path | None) -> None:
    if recipe.lean and not teachers:
        raise ConfigError(f"recipe {recipe.name!r}: learns from teachers, got none; give --teacher a.onnx")
    if not recipe.lean and (teachers or unlabelled):
        raise ConfigError(
            f"recipe {recipe.name!r}: learns from labelled faces alone, got "
            f"{'--teacher' if teachers else '--unlabelled'}; leave it out, or take the recipe distill"
        )


def _labelled(root: Path, run: Path, valid: Image) -> Faces:
    corpus = ferplus(root, "train")
    images = load_images(corpus, cache=run / "cache")
    keep = (PROTOCOLS["argmax"](corpus.samples) >= 0) & ~in_other(images, valid)
    images = gather([(images, np.flatnonzero(keep))], run / "cache")
    facts = {"data": data_hash(images), "pictures": len(images)}
    return Faces(images, vote_shares(corpus.samples)[keep], facts)


def _with_teachers(
    faces: Faces, lean: float, teachers: Sequence[Path], unlabelled: Path | None, run: Path
) -> Faces:
    """The same faces with the teachers' labels mixed in, and the unlabelled ones with the teachers' alone."""
    images, known, cache = faces.images, len(faces.images), run / "cache"
    if unlabelled is not None:
        parts = [images, unlabelled_faces(unlabelled, cache)]
        images = gather([(part, np.arange(len(part))) for part in parts], cache)
    answers = taught(teachers, images, cache)  # (N + M, 8)
    targets = np.concatenate([(1 - lean) * faces.targets + lean * answers[:known], answers[known:]])
    facts = {"teachers": [file_hash(path) for path in teachers], "unlabelled": len(images) - known}
    return Faces(images, targets.astype(np.float32), faces.facts | facts)


def _predict(net: nn.Module, images: Image, device: str) -> NDArray[np.int64]:
    import torch

    net.eval()
    with torch.no_grad():
        batches = [
            net(torch.from_numpy(images[i : i + 256, None].astype(np.float32)).to(device)).argmax(1).cpu()
            for i in range(0, len(images), 256)
        ]
    guess: NDArray[np.int64] = torch.cat(batches).numpy()
    return guess
