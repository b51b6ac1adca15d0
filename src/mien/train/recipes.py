"""Named training runs: which network, on what, for how long, with the command and what to expect.

A run is a folder: `config.toml` (the recipe), `provenance.json`, `log.jsonl` (one line per epoch),
`checkpoint.pt`. Starting it again resumes from the checkpoint.

Legend: N labelled, M unlabelled and J judged faces, H rows, W columns.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from mien.config import claim_run, from_toml, provenance, to_toml
from mien.data.arrays import data_hash, gather, in_other, load_images
from mien.data.fer import ferplus
from mien.errors import ConfigError, MissingExtra, ModelError
from mien.evaluate.protocol import PROTOCOLS, accuracies
from mien.nets import make_net
from mien.nets.face_resnet import load_dlib, settle_norms
from mien.train import distributed
from mien.train.augment import AugmentOptions, labelled_loss
from mien.train.faces import as_tensor, file_hash, predict, teacher_labels, unlabelled_faces, vote_shares
from mien.train.loop import (
    CHECKPOINT,
    LoopOptions,
    Report,
    TrainingTask,
    load_averaged,
    load_checkpoint,
    train,
)

CONFIG: Final = "config.toml"
PROVENANCE: Final = "provenance.json"
STARTS: Final = ("dlib", "run")  # weights that a run may start from
_DLIB: Final = "dlib_face_recognition_resnet_model_v1.dat"
_NORM_PICTURES: Final = 1024  # pictures whose statistics the norms of dlib's network begin with


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides a training run, written into the run's folder."""

    name: str = "compact"
    net: str = "compact"
    data: str = "ferplus"
    start: str = ""  # weights to start from: "dlib"; "run" for those of another run; "" for fresh ones
    lean: float = 0.0  # weight of teachers' labels against people's votes, where a face has both
    loop: LoopOptions = field(default_factory=LoopOptions)
    augment: AugmentOptions = field(default_factory=AugmentOptions)


def compact() -> Recipe:
    """The compact network, on FER+'s vote distributions alone; `distill` makes it better.

    `mien train compact --root ferplus.zip`: 50 s per epoch on two cores; 86 % (majority) on FER+ valid.
    """
    return Recipe()


def teacher() -> Recipe:
    """Dlib's face recognition network, taught FER+'s vote distributions: too large to ship.

    `mien train teacher --root ferplus.zip`, with the package face_recognition_models installed.
    """
    loop = LoopOptions(epochs=14, rate=0.03, warmup=1.0)
    return Recipe(name="teacher", net="face_resnet", start="dlib", loop=loop)


def distill() -> Recipe:
    """The compact network of a run, taught on by others, on FER+ and faces without labels (arXiv:1911.04252).

    `mien train distill --start runs/compact --teacher a.onnx --teacher b.onnx --root ferplus.zip
    --unlabelled fairface.zip`
    """
    return Recipe(name="distill", start="run", lean=0.5, loop=LoopOptions(epochs=12, rate=0.03, warmup=0.5))


RECIPES: Final[dict[str, Callable[[], Recipe]]] = {
    "compact": compact,
    "teacher": teacher,
    "distill": distill,
}


def make_recipe(name: str) -> Recipe:
    """A recipe by name; ConfigError lists those there are."""
    if name not in RECIPES:
        raise ConfigError(f"recipe: expected one of {', '.join(RECIPES)}, got {name!r}")
    return RECIPES[name]()


def run_training(
    recipe: Recipe,
    root: Path,
    run: Path,
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
        start: folder of a run of the same network, whose weights this one starts from.
        device: cpu, cuda, ...
        report: takes one line per epoch.

    Raises:
        ConfigError: the folder holds a run of another recipe; teachers or a run to start from are missing,
            or given and not used.
        DataError: the corpus is not at `root`.
        ModelError: a teacher cannot be read.
        TrainingError: the run cannot continue.
    """
    torch.manual_seed(recipe.loop.seed)
    net = make_net(recipe.net)
    with distributed.first_alone():
        if (recipe.start == "run") != (start is not None):
            wants = "starts from a run, got none; give --start runs/compact"
            refuses = "starts from no other run; leave --start out, or take the recipe distill"
            raise ConfigError(f"recipe {recipe.name!r}: {wants if start is None else refuses}")
        if start is not None:
            load_checkpoint(start / CHECKPOINT)  # a fault is reported before any work is done
        claim_recipe(recipe, run)
        task, facts = make_task(recipe, root, run, teachers=teachers, unlabelled=unlabelled, device=device)
        begun = {} if start is None else {"start": file_hash(start / CHECKPOINT)}
        claim_provenance(run, provenance(seed=recipe.loop.seed, **facts, **begun))
    if not (run / CHECKPOINT).is_file():
        fill_start(recipe.start, net, task.images, start)
    train(net, task, recipe.loop, run, report)


def claim_recipe(recipe: Any, run: Path) -> None:
    """Write the recipe into a fresh folder, or check that the folder's run is of this recipe."""
    kind = type(recipe)
    claim_run(run / CONFIG, to_toml(recipe), lambda text: to_toml(from_toml(kind, text)))


#: What of a run's provenance decides its weights and answers; most runs have only some of it.
_DECISIVE: Final = ("data", "corpus_data", "labels", "unlabelled", "unlabelled_data", "share", "teachers")


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
    labelled faces, and unlabelled faces get only the teachers' labels.
    """
    if recipe.lean and not teachers:
        raise ConfigError(f"recipe {recipe.name!r}: learns from teachers, got none; give --teacher a.onnx")
    if not recipe.lean and (teachers or unlabelled):
        raise ConfigError(
            f"recipe {recipe.name!r}: learns from labelled faces alone, got "
            f"{'--teacher' if teachers else '--unlabelled'}; leave it out, or take the recipe distill"
        )
    cache = run / "cache"
    train, valid = ferplus(root, "train"), ferplus(root, "valid")
    judged = load_images(valid, cache=cache)  # (J, H, W)
    images = load_images(train, cache=cache)
    keep = (PROTOCOLS["argmax"](train.samples) >= 0) & ~in_other(images, judged)
    images = gather([(images, np.flatnonzero(keep))], cache)  # (N, H, W)
    targets = vote_shares(train.samples)[keep]  # (N, 8)
    known = len(images)
    facts: dict[str, Any] = {"data": data_hash(images), "pictures": known}
    if teachers:
        if unlabelled is not None:
            more = unlabelled_faces(unlabelled, cache)  # (M, H, W)
            images = gather([(part, np.arange(len(part))) for part in (images, more)], cache)
        answers = teacher_labels(teachers, images, cache)  # (N + M, 8)
        mixed = (1 - recipe.lean) * targets + recipe.lean * answers[:known]  # (N, 8)
        targets = np.concatenate([mixed, answers[known:]]).astype(np.float32)
        facts |= {"teachers": [file_hash(path) for path in teachers], "unlabelled": len(images) - known}
    task = TrainingTask(
        images=as_tensor(images, device),  # (N + M, 1, H, W)
        targets=torch.from_numpy(targets).to(device),  # (N + M, 8)
        loss=labelled_loss(recipe.augment),
        judge=lambda net: accuracies(predict(net, judged, device).argmax(1), valid.samples),
    )
    return task, facts


def fill_start(name: str, net: Any, pictures: Tensor, run: Path | None = None) -> None:
    """Fill a fresh network with the weights of that name; leave it fresh if there is no name.

    Args:
        name: one of STARTS, or "".
        net: the network.
        pictures: (N, 1, H, W) uint8 of what it is to learn from.
        run: for "run", the folder of that run.
    """
    if name and name not in STARTS:
        raise ConfigError(f"start: expected one of {', '.join(map(repr, STARTS))}, got {name!r}")
    if name == "dlib":
        load_dlib(net, find_dlib_weights())
        settle_norms(net, pictures[:_NORM_PICTURES].float().cpu())
    elif name == "run":
        if run is None:
            raise ConfigError("start: expected the folder of a run, got none; give --start")
        load_averaged(net, run)


def find_dlib_weights() -> Path:
    """The file in the package `face_recognition_models`, which is not imported: it would need setuptools."""
    spec = find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra("face_recognition_models", "teacher", "starting from dlib's weights")
    path = Path(spec.submodule_search_locations[0]) / "models" / _DLIB
    if not path.is_file():
        raise ModelError(f"{path}: expected dlib's weights in the package, found none; install it again")
    return path
