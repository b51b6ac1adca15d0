"""Named whole runs: which network, on what, for how long, with the command and what to expect.

A run is a folder: `config.toml` (the recipe), `provenance.json`, `log.jsonl` (a line an epoch),
`checkpoint.pt`. Starting it again goes on from the checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from mien.config import from_toml, provenance, to_toml
from mien.data.arrays import data_hash, load_images
from mien.data.audit import in_other
from mien.data.corpus import Corpus
from mien.data.ferplus import ferplus
from mien.errors import ConfigError, MissingExtra
from mien.evaluate.protocol import PROTOCOLS
from mien.files import write_whole
from mien.types import Floats, Image, Sample

if TYPE_CHECKING:
    from torch import nn

    from mien.train.augment import AugmentOptions
    from mien.train.loop import LoopOptions, Task

CONFIG: Final = "config.toml"
PROVENANCE: Final = "provenance.json"
Report = Callable[[Mapping[str, Any]], None]


def _loop() -> LoopOptions:
    from mien.train.loop import LoopOptions

    return LoopOptions()


def _augment() -> AugmentOptions:
    from mien.train.augment import AugmentOptions

    return AugmentOptions()


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides a training run, written into the run's folder."""

    name: str = "compact"
    net: str = "compact"
    data: str = "ferplus"
    loop: LoopOptions = field(default_factory=_loop)
    augment: AugmentOptions = field(default_factory=_augment)


def compact() -> Recipe:
    """The first compact network, on FER+'s vote distributions.

    `mien train compact --data ferplus --root ferplus.zip --out runs/compact`
    """
    return Recipe()


RECIPES: Final[dict[str, Callable[[], Recipe]]] = {
    "compact": compact,
}


def make_recipe(name: str) -> Recipe:
    """A recipe by name.

    Raises:
        ConfigError: there is no such recipe; the message lists those there are.
        MissingExtra: the learning half is not installed.
    """
    if name not in RECIPES:
        raise ConfigError(f"recipe: expected one of {', '.join(RECIPES)}, got {name!r}")
    require_torch()
    return RECIPES[name]()


def require_torch() -> None:
    """Say how to install the learning half where it is absent.

    Raises:
        MissingExtra: torch or a package that exports from it is not installed.
    """
    from importlib.util import find_spec

    for package in ("torch", "onnx", "onnxscript"):
        if find_spec(package) is None:
            raise MissingExtra(package, "train", "training and exporting a network")


def run_training(recipe: Recipe, root: Path, run: Path, *, device: str = "cpu", report: Report) -> None:
    """Train a recipe on the corpus at `root` into the folder `run`, going on where it stopped.

    Raises:
        ConfigError: the folder holds a run of another recipe.
        DataError: the corpus is not at `root`.
        TrainingError: the run cannot go on.
    """
    import torch

    from mien.nets import make_net
    from mien.train import dist
    from mien.train.loop import train

    torch.manual_seed(recipe.loop.seed)
    net = make_net(recipe.net)
    with dist.first_alone():
        claim(recipe, run)
        task, facts = _task(recipe, root, run, device)
        keep_provenance(run, provenance(seed=recipe.loop.seed, **facts))
    train(net, task, recipe.loop, run, report)


def claim(recipe: Any, run: Path) -> None:
    """Write the recipe into a fresh folder, or check that the folder's run is of this recipe.

    Raises:
        ConfigError: the folder holds a run with other settings.
    """
    path = run / CONFIG
    held = path.read_text() if path.is_file() else ""
    if not held.strip():  # absent, or a disk was full
        write_whole(path, to_toml(recipe))
    elif from_toml(type(recipe), held) != recipe:
        raise ConfigError(
            f"{run}: holds a run with other settings: {_differing(held, to_toml(recipe))}; "
            "give another --out or remove it"
        )


def _differing(there: str, now: str) -> str:
    """The first line in which two texts of settings differ."""
    pairs = zip(there.splitlines(), now.splitlines(), strict=False)
    return next((f"`{a}` there, `{b}` now" for a, b in pairs if a != b), f"see its {CONFIG}")


def keep_provenance(run: Path, facts: Mapping[str, Any]) -> None:
    """Write what made a run into its folder, once: a run that goes on stays that of its first start.

    Raises:
        ConfigError: the folder's run learns from other pictures.
    """
    path = run / PROVENANCE
    held = path.read_text() if path.is_file() else ""
    if not held.strip():
        write_whole(path, json.dumps(facts, indent=1) + "\n")
        return
    before = json.loads(held)
    for key in ("data", "unlabelled", "share"):
        if before.get(key, facts.get(key)) != facts.get(key):
            raise ConfigError(
                f"{run}: holds a run on other pictures ({key} {before[key]} there, {facts.get(key)} now); "
                "give another --out or remove it"
            )


def _task(recipe: Recipe, root: Path, run: Path, device: str) -> tuple[Task, dict[str, Any]]:
    """Pictures and targets on the device; pictures that also stand in valid are left out."""
    import torch

    from mien.train.augment import augment
    from mien.train.loop import Task
    from mien.train.optim import soft_cross_entropy

    corpus, held = ferplus(root, "train"), ferplus(root, "valid")
    images = load_images(corpus, cache=run / "cache")
    valid = load_images(held, cache=run / "cache")
    keep = (PROTOCOLS["argmax"](corpus.samples) >= 0) & ~in_other(images, valid)
    task = Task(
        images=torch.from_numpy(images[keep])[:, None].to(device),  # (N, 1, H, W)
        targets=torch.from_numpy(vote_shares(corpus.samples)[keep]).to(device),  # (N, 8)
        loss=lambda net, pictures, target, generator: soft_cross_entropy(
            net(augment(pictures, generator, recipe.augment)), target
        ),
        judge=lambda net: _judge(net, held, valid, device),
    )
    return task, {"data": data_hash(images[keep]), "pictures": int(keep.sum())}


def vote_shares(samples: tuple[Sample, ...]) -> Floats:
    """(N, 8) label distributions: single votes dropped as noise (arXiv:1608.01041), then shares.

    Where only single votes stand they are all kept; no votes at all give zeros.
    """
    votes = np.array([s.votes for s in samples], np.float32)  # (N, 8)
    kept = np.where(votes > 1, votes, 0)
    kept = np.where(kept.sum(1, keepdims=True) > 0, kept, votes)
    shares: Floats = kept / np.maximum(kept.sum(1, keepdims=True), 1)
    return shares


def _judge(net: nn.Module, held: Corpus, images: Image, device: str) -> dict[str, float]:
    """Accuracy on the validation split under both protocols."""
    guess = _predict(net, images, device)
    figures: dict[str, float] = {}
    for name, protocol in PROTOCOLS.items():
        truth = protocol(held.samples)
        used = truth >= 0
        figures[name] = round(float((guess[used] == truth[used]).mean()), 5)
        figures[f"n_{name}"] = int(used.sum())
    return figures


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
