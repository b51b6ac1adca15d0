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

from mien.data.arrays import data_hash, load_images
from mien.data.audit import in_other
from mien.data.ferplus import ferplus
from mien.errors import ConfigError
from mien.evaluate.protocol import PROTOCOLS, accuracies
from mien.recipes import Recipe, vote_shares
from mien.recipes.teachers import file_hash, taught
from mien.types import Floats, Image

if TYPE_CHECKING:
    from torch import nn

    from mien.train.loop import Task


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What there is to learn from, and what is known of it."""

    images: Image  # (N + M, H, W)
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
    """The task of a recipe, its pictures and targets on the device, and facts for its provenance.

    Pictures that also stand in valid are left out.

    Raises:
        ConfigError: a recipe that leans on teachers got none, or one that does not got some.
        DataError: a corpus is not where it is said to be.
        ModelError: a teacher cannot be read.
    """
    import torch

    from mien.train.augment import augment
    from mien.train.loop import Task
    from mien.train.optim import soft_cross_entropy

    _check_teachers(recipe, teachers, unlabelled)
    held = ferplus(root, "valid")
    valid = load_images(held, cache=run / "cache")
    lesson = _labelled(root, run, valid)
    if teachers:
        lesson = _with_teachers(lesson, recipe.lean, teachers, unlabelled, run)
    task = Task(
        images=torch.from_numpy(lesson.images)[:, None].to(device),  # (N + M, 1, H, W)
        targets=torch.from_numpy(lesson.targets).to(device),  # (N + M, 8)
        loss=lambda net, pictures, target, generator: soft_cross_entropy(
            net(augment(pictures, generator, recipe.augment)), target
        ),
        judge=lambda net: accuracies(_predict(net, valid, device), held.samples),
    )
    return task, lesson.facts


def _check_teachers(recipe: Recipe, teachers: Sequence[Path], unlabelled: Path | None) -> None:
    if recipe.lean and not teachers:
        raise ConfigError(f"recipe {recipe.name!r}: learns from teachers, got none; give --teacher a.onnx")
    if not recipe.lean and (teachers or unlabelled):
        raise ConfigError(
            f"recipe {recipe.name!r}: learns from labelled faces alone, got "
            f"{'--teacher' if teachers else '--unlabelled'}; leave it out, or take the recipe distill"
        )


def _labelled(root: Path, run: Path, valid: Image) -> Lesson:
    corpus = ferplus(root, "train")
    images = load_images(corpus, cache=run / "cache")
    keep = (PROTOCOLS["argmax"](corpus.samples) >= 0) & ~in_other(images, valid)
    facts = {"data": data_hash(images[keep]), "pictures": int(keep.sum())}
    return Lesson(images[keep], vote_shares(corpus.samples)[keep], facts)


def _with_teachers(
    lesson: Lesson, lean: float, teachers: Sequence[Path], unlabelled: Path | None, run: Path
) -> Lesson:
    """The same faces with the teachers' labels mixed in, and the unlabelled ones with the teachers' alone."""
    from mien.recipes.material import unlabelled as faces_of

    images = (
        lesson.images
        if unlabelled is None
        else np.concatenate([lesson.images, faces_of(unlabelled, run / "cache")])
    )
    answers = taught(teachers, images, run / "cache")  # (N + M, 8)
    known = len(lesson.images)
    targets = np.concatenate([(1 - lean) * lesson.targets + lean * answers[:known], answers[known:]])
    facts = {
        "teachers": [file_hash(path) for path in teachers],
        "unlabelled": len(images) - known,
    }
    return Lesson(images, targets.astype(np.float32), lesson.facts | facts)


def _predict(net: nn.Module, images: Image, device: str) -> NDArray[np.int64]:
    import torch

    net.eval()
    with torch.no_grad():
        batches = [
            net(torch.from_numpy(images[i : i + 256])[:, None].float().to(device)).argmax(1).cpu()
            for i in range(0, len(images), 256)
        ]
    guess: NDArray[np.int64] = torch.cat(batches).numpy()
    return guess
