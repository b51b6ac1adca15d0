"""One variant of the paper's system, trained on a corpus into a run's folder that `mien export` reads."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mien.config import provenance
from mien.data.arrays import data_hash
from mien.data.splits import by_person, stratified
from mien.paper.material import Indices, Material, make_material
from mien.paper.part import as_tensor, predict
from mien.paper.variants import Lesson, PaperRecipe, learn, load_variant
from mien.train.faces import unlabelled_faces
from mien.train.recipes import CONFIG, claim_provenance, claim_recipe

if TYPE_CHECKING:
    from torch import nn

Report = Callable[[Mapping[str, Any]], None]
_HELD: float = 0.1  # of a corpus without splits, kept to judge
_EIGHT: Final = (
    "Eight networks, each of one emotion against the rest: its outputs are their log-odds, so that the "
    "probabilities of the eight emotions are not those that the networks give one by one."
)


def train_paper(
    recipe: PaperRecipe,
    corpus: str,
    root: Path,
    run: Path,
    *,
    pool: Path | None = None,
    device: str = "cpu",
    report: Report,
) -> None:
    """Train a variant on a corpus, going on where it stopped.

    Args:
        recipe: the variant.
        corpus: a name in `material.MATERIALS`.
        root: folder or zip of the corpus.
        run: the folder of the run.
        pool: folder or zip of FairFace, more pictures for the autoencoders.
        device: cpu, cuda, ...
        report: takes a line an epoch.

    Raises:
        ConfigError: the folder holds a run with other settings; there is no such corpus.
        DataError: the corpus is not at `root`.
        TrainingError: the run cannot go on.
    """
    import torch

    from mien.train import distributed

    with distributed.first_alone():
        claim_recipe(recipe, run)
        material = make_material(corpus, root, run / "cache")
        train, held = _split(material, recipe.loop.seed)
        pictures = [material.images[train]]
        pictures += [] if pool is None else [unlabelled_faces(pool, run / "cache")]
        facts = provenance(
            seed=recipe.loop.seed,
            corpus=corpus,
            pictures=len(train),
            data=data_hash(material.images[train]),
            unlabelled=sum(map(len, pictures[1:])),
            recipe=f"mien train {recipe.name} --data {corpus} --seed {recipe.loop.seed}",
        )
        claim_provenance(run, facts)
    lesson = Lesson(
        images=as_tensor(material.images[train]).to(device),
        targets=torch.from_numpy(material.targets[train]).to(device),
        unlabelled=as_tensor(np.concatenate(pictures)).to(device),
        judge=lambda net: _judge(recipe, net, material, held, device),
    )
    learn(recipe, lesson, run, report)


def is_paper_run(run: Path) -> bool:
    """Whether a folder holds a run of the paper's recipes."""
    config = run / CONFIG
    try:
        return "variant" in tomllib.loads(config.read_text())
    except (OSError, ValueError):
        return False


def export_paper_run(run: Path, path: Path, *, name: str | None = None) -> None:
    """Write the network of a finished run of the paper as ONNX with its card inside.

    Args:
        run: a folder made by `mien train paper-...`, or a part of `mien reproduce`
            (e.g. `runs/paper/paper-300/part-1`).
        path: the file to write.
        name: what the card calls the network; None: as its recipe is called.

    Raises:
        TrainingError: the run has not come to its last stage.
        OutputError: the file cannot be written.
    """
    from mien.paper.finetune import WHOLE
    from mien.train.export import UNLABELLED, read_run, write_model
    from mien.train.loop import LOG

    recipe, facts, last = read_run(run, PaperRecipe, run / WHOLE / LOG)
    write_model(
        load_variant(recipe, run).requires_grad_(),
        path,
        name=name or recipe.name,
        facts=facts,
        last=last,
        data=[UNLABELLED.format("the autoencoder")] if facts.get("unlabelled") else [],
        limits=[_EIGHT] if recipe.networks == "eight" else [],
    )


def _split(material: Material, seed: int) -> tuple[Indices, Indices]:
    """What trains and what judges: the corpus's own split, or a tenth of its persons (or of its pictures)."""
    labelled = np.flatnonzero(material.labels >= 0)
    if material.pool is not None:
        return np.setdiff1d(labelled, material.pool), np.intersect1d(labelled, material.pool)
    shares = (1 - _HELD, _HELD)
    if None in material.persons:
        train, held = stratified(material.labels, shares, seed=seed)
    else:
        train, held = by_person(material.persons, material.labels, shares, seed=seed)
    return train, held


def _judge(
    recipe: PaperRecipe, net: nn.Module, material: Material, held: Indices, device: str
) -> dict[str, float]:
    """Accuracy on what is held out."""
    guess = predict(recipe, net, material.images[held], device).argmax(1)
    return {"accuracy": round(float((guess == material.labels[held]).mean()), 5), "n": len(held)}
