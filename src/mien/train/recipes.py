"""Named training runs: which network, on what, for how long, with the command and what to expect.

A run is a folder: `config.toml` (the recipe), `provenance.json`, `log.jsonl` (one line per epoch),
`checkpoint.pt`. Starting it again resumes from the checkpoint.

Legend: N labelled, M unlabelled and J judged faces, H rows, W columns.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from mien.config import claim_run, from_toml, provenance, to_toml
from mien.data.arrays import data_hash, gather, in_other, load_images
from mien.data.fer import ferplus
from mien.errors import ConfigError
from mien.evaluate.metrics import PROTOCOLS, accuracies
from mien.faces.network import Classifier
from mien.labels import EMOTIONS
from mien.nets import make_net
from mien.nets.mobileface import load_intel, settle_norms
from mien.train import distributed
from mien.train.augment import AugmentOptions, labelled_loss
from mien.train.faces import (
    align_faces,
    as_tensor,
    file_hash,
    predict,
    teacher_labels,
    unlabelled_faces,
    vote_shares,
)
from mien.train.loop import LoopOptions, Report, TrainingTask, train

CONFIG: Final = "config.toml"
PROVENANCE: Final = "provenance.json"
_NORM_PICTURES: Final = 1024  # pictures whose statistics the norms of Intel's network begin with
#: Faces without labels in which the teachers see at least this much of these four together come three times.
_RARE: Final = ("anger", "disgust", "fear", "contempt")
_RARE_SHARE: Final = 0.4
_RARE_TIMES: Final = 3


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides a training run, written into the run's folder."""

    name: str = "compact"
    net: str = "compact"
    data: str = "ferplus"
    start: str = ""  # weights to start from: "intel"; "" for fresh ones
    lean: float = 0.0  # weight of teachers' labels against people's votes, where a face has both
    loop: LoopOptions = field(default_factory=LoopOptions)
    augment: AugmentOptions = field(default_factory=AugmentOptions)


def compact() -> Recipe:
    """The network that ships, taught by FER+'s votes and by teachers (arXiv:1911.04252).

    `mien train compact --teacher a.onnx --teacher b.onnx --root ferplus.zip --unlabelled fairface.zip`
    """
    loop = LoopOptions(epochs=36, batch=256, rate=0.12, weight_decay=3e-4, average=0.999, seed=7, clip=5.0)
    return Recipe(lean=0.5, loop=loop, augment=AugmentOptions(erase=0.3))


def votes() -> Recipe:
    """The same network, on FER+'s votes alone: no teachers, no faces but FER+'s.

    `mien train votes --root ferplus.zip`: about 86 % (majority) on FER+ valid.
    """
    return Recipe(name="votes")


def teacher() -> Recipe:
    """Intel's face re-identification network at 112 x 112, taught FER+'s votes.

    `mien train teacher --start face-reidentification-retail-0095.onnx --root ferplus.zip`
    """
    loop = LoopOptions(epochs=5, rate=0.04, warmup=1.0, seed=112, clip=5.0)
    return Recipe(name="teacher", net="mobileface-112", start="intel", loop=loop)


def teacher_96() -> Recipe:
    """The same at 96 x 96, from another seed."""
    recipe = teacher()
    return replace(recipe, name="teacher-96", net="mobileface-96", loop=replace(recipe.loop, seed=96))


def teacher_large() -> Recipe:
    """The compact network eight times as large, from fresh weights, taught FER+'s votes."""
    loop = LoopOptions(epochs=20, rate=0.08, weight_decay=1e-3, seed=2, clip=5.0)
    return Recipe(name="teacher-large", net="compact-large", loop=loop)


RECIPES: Final[dict[str, Callable[[], Recipe]]] = {
    "compact": compact,
    "votes": votes,
    "teacher": teacher,
    "teacher-96": teacher_96,
    "teacher-large": teacher_large,
}


def make_recipe(name: str) -> Recipe:
    """A recipe by name; ConfigError lists those there are."""
    if name not in RECIPES:
        raise ConfigError(f"recipe: expected one of {', '.join(RECIPES)}, got {name!r}")
    return RECIPES[name]()


def run_training(
    recipe: Recipe,
    root: Path | str,
    run: Path | str,
    *,
    teachers: Sequence[Path] = (),
    unlabelled: Path | None = None,
    start: Path | None = None,
    device: str = "cpu",
    report: Report,
) -> None:
    """Train a recipe on the corpus at `root` into the folder `run`, resuming where it stopped.

    Args:
        recipe: the recipe.
        root: folder or zip of the corpus.
        run: the folder of the run.
        teachers: ONNX files with a card, whose mean answer is learnt too.
        unlabelled: folder or zip of FairFace, faces that the teachers label.
        start: Intel's network as ONNX, for the recipes that start from it.
        device: cpu, cuda, ...
        report: takes one line per epoch.

    Raises:
        ConfigError: the folder holds a run of another recipe; teachers or weights to start from are missing,
            or given and not used.
        DataError: the corpus is not at `root`.
        ModelError: a teacher, or the network to start from, cannot be read.
        TrainingError: the run cannot continue.
    """
    root, run = Path(root), Path(run)
    torch.manual_seed(recipe.loop.seed)
    net = make_net(recipe.net)
    with distributed.first_alone():
        wants = "starts from Intel's face-reidentification-retail-0095, got none; give --start FILE.onnx"
        check_start(recipe, start, wants=wants, instead="teacher")
        if start is not None:
            load_intel(net, start)  # a fault is reported before any work is done
        claim_recipe(recipe, run)
        task, facts = make_task(recipe, root, run, teachers=teachers, unlabelled=unlabelled, device=device)
        begun = {} if start is None else {"start": file_hash(start)}
        claim_provenance(run, provenance(seed=recipe.loop.seed, **facts, **begun))
    if start is not None:  # a run that goes on has its norms in the checkpoint
        settle_norms(net, task.images[:_NORM_PICTURES].float().cpu())
    train(net, task, recipe.loop, run, report)


def check_start(recipe: Any, start: Path | None, *, wants: str, instead: str) -> None:
    """Raise a `ConfigError` unless a recipe that starts from weights, and no other, was given some.

    It says what the recipe `wants`, or names the recipe to take `instead`.
    """
    if bool(recipe.start) != (start is not None):
        refuses = f"starts from fresh weights; leave --start out, or take the recipe {instead}"
        raise ConfigError(f"recipe {recipe.name!r}: {wants if start is None else refuses}")


def claim_recipe(recipe: Any, run: Path) -> None:
    """Write the recipe into a fresh folder, or check that the folder's run is of this recipe."""
    kind = type(recipe)
    claim_run(run / CONFIG, to_toml(recipe), lambda text: to_toml(from_toml(kind, text)))


#: What of a run's provenance decides its weights and answers; most runs have only some of it.
_DECISIVE: Final = (
    "data", "corpus_data", "labels", "unlabelled", "unlabelled_data", "share", "teachers", "start",
)  # fmt: skip


def claim_provenance(run: Path, facts: Mapping[str, Any]) -> None:
    """Write what made a run into its folder, once, or check that the run is trained on the same pictures.

    A resumed run keeps the provenance of its first start.
    """

    def pictures(text: str) -> str:
        held = json.loads(text)
        return "\n".join(f"{key} {held.get(key)}" for key in _DECISIVE)

    claim_run(run / PROVENANCE, json.dumps(facts, indent=1) + "\n", pictures)


def make_task(
    recipe: Recipe,
    root: Path,
    run: Path,
    *,
    teachers: Sequence[Path] = (),
    unlabelled: Path | None = None,
    device: str = "cpu",
) -> tuple[TrainingTask, dict[str, Any]]:
    """The task of a recipe, with its targets on the device, and facts for its provenance.

    Pictures that are also in valid are left out. With teachers, their labels are mixed into those of the
    labelled faces, which come a second time, cut as Mien cuts faces; unlabelled faces get the teachers'.
    """
    if recipe.lean and not teachers:
        raise ConfigError(
            f"recipe {recipe.name!r}: learns from teachers, got none; give --teacher a.onnx, or take the "
            "recipe votes"
        )
    if not recipe.lean and (teachers or unlabelled):
        raise ConfigError(
            f"recipe {recipe.name!r}: learns from labelled faces alone, got "
            f"{'--teacher' if teachers else '--unlabelled'}; leave it out, or take the recipe compact"
        )
    # a fault is reported before any work is done
    nets = [Classifier.load(path, threads=0) for path in teachers]
    cache = run / "cache"
    train, valid = ferplus(root, "train"), ferplus(root, "valid")
    judged = load_images(valid, cache=cache)  # (J, H, W)
    images = load_images(train, cache=cache)
    keep = np.flatnonzero((PROTOCOLS["argmax"](train.samples) >= 0) & ~in_other(images, judged))
    images = gather([(images, keep)], cache)  # (N, H, W)
    targets = vote_shares(train.samples)[keep]  # (N, 8)
    facts: dict[str, Any] = {"data": data_hash(images), "pictures": len(images)}
    if teachers:
        targets = (1 - recipe.lean) * targets + recipe.lean * teacher_labels(nets, images, cache)
        found = align_faces(train, cache)
        again = np.flatnonzero(np.isin(found.kept, keep))  # of the faces found, those that are learnt from
        parts = [(images, np.arange(len(images))), (found.crops, again)]
        labels = [targets, targets[np.searchsorted(keep, found.kept[again])]]
        facts |= {
            "teachers": [net.digest[:16] for net in nets],
            "taught from": sorted({line for net in nets for line in net.card.data}),
            "aligned": len(again),
            "unlabelled": 0,
        }
        if unlabelled is not None:
            more = unlabelled_faces(unlabelled, cache)  # (M, H, W)
            answers = teacher_labels(nets, more, cache)  # (M, 8)
            rare = answers[:, [EMOTIONS.index(name) for name in _RARE]].sum(1) > _RARE_SHARE  # (M,)
            often = np.repeat(np.arange(len(more)), np.where(rare, _RARE_TIMES, 1))
            parts.append((more, often))
            labels.append(answers[often])
            facts |= {"unlabelled": len(more), "rare": int(rare.sum())}
        images = gather(parts, cache)
        targets = np.concatenate(labels).astype(np.float32)
    task = TrainingTask(
        images=as_tensor(images, device),  # (all, 1, H, W)
        targets=torch.from_numpy(targets).to(device),  # (all, 8)
        loss=labelled_loss(recipe.augment),
        judge=lambda net: accuracies(predict(net, judged, device).argmax(1), valid.samples),
    )
    return task, facts
