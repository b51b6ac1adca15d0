"""The paper's experiment: variants of its system, trained, tested over its folds, to one result file.

The folder of a reproduction holds a folder a variant, with its runs (each goes on where it was killed) and
its `predictions.npy`, and `results.json`, from which the report is built.

Legend: N pictures, F training parts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mien.config import provenance, to_toml
from mien.data.arrays import data_hash
from mien.data.splits import fraction
from mien.errors import ConfigError
from mien.evaluate.binary import score_folds, winners
from mien.evaluate.compare import compare, to_record
from mien.evaluate.folds import EmotionFolds, FoldSettings, distinct_samples, draw
from mien.evaluate.metrics import confusion
from mien.evaluate.paper import figures
from mien.labels import EMOTIONS
from mien.recipes.material import Indices, Labels, Material
from mien.recipes.paper import Lesson, PaperRecipe, learn
from mien.types import Floats, Image

if TYPE_CHECKING:
    from torch import nn

Report = Callable[[Mapping[str, Any]], None]

RESULTS: Final = "results.json"
PREDICTIONS: Final = "predictions.npy"


@dataclass(frozen=True, slots=True)
class Plan:
    """Which variants, on which pictures, judged how."""

    variants: tuple[PaperRecipe, ...]
    folds: FoldSettings
    share: float = 1.0  # of the labels that training may use
    device: str = "cpu"


def reproduce(plan: Plan, material: Material, out: Path, report: Report = lambda _: None) -> dict[str, Any]:
    """Train and test every variant; go on where it stopped; write `results.json` and give its content.

    Raises:
        ConfigError: `out` holds a reproduction with other settings.
        DataError: the corpus has too few pictures for the folds.
    """
    out.mkdir(parents=True, exist_ok=True)
    drawn = draw(material.labels, plan.folds, persons=_persons(material), pool=material.pool)
    scores = {r.name: _scores(r, plan, material, drawn, out / r.name, report) for r in plan.variants}
    results = {
        "corpus": material.name,
        "pictures": len(material.images),
        "share": plan.share,
        "folds": asdict(plan.folds),
        "variants": {name: _judge(name, drawn, each, material.labels) for name, each in scores.items()},
        "pairs": _pairs(drawn, scores, material.labels),
        "recipes": {recipe.name: to_toml(recipe) for recipe in plan.variants},
        "provenance": provenance(data=data_hash(material.images)),
    }
    partial_path = out / f"{RESULTS}.part"
    partial_path.write_text(json.dumps(results, indent=1) + "\n")
    partial_path.replace(out / RESULTS)
    return results


def _persons(material: Material) -> Sequence[str | None] | None:
    return None if None in material.persons else material.persons


def _scores(
    recipe: PaperRecipe,
    plan: Plan,
    material: Material,
    drawn: Mapping[str, EmotionFolds],
    run: Path,
    report: Report,
) -> Floats:
    """(N, 8) probabilities, each picture's from a network that did not learn from it; nan: in no test."""
    path = run / PREDICTIONS
    stamp = _stamp(recipe, plan, material)
    if path.is_file() and (run / "stamp.txt").read_text() == stamp:
        scores: Floats = np.load(path)
        return scores
    _claim(run, stamp)
    scores = np.full((len(material.images), len(EMOTIONS)), np.nan, np.float32)
    for number, (train_on, test_on) in enumerate(_parts(material, drawn), start=1):
        part = run / f"part-{number}"
        net = _learn_part(recipe, plan, material, train_on, part, report)
        scores[test_on] = _predict(net, material.images[test_on], plan.device)
    with (run / f"{PREDICTIONS}.part").open("wb") as file:
        np.save(file, scores)
    (run / f"{PREDICTIONS}.part").replace(path)
    return scores


def _stamp(recipe: PaperRecipe, plan: Plan, material: Material) -> str:
    """What decides the predictions of a variant."""
    return f"{to_toml(recipe)}\n{plan.folds}\n{plan.share}\n{data_hash(material.images)}\n"


def _claim(run: Path, stamp: str) -> None:
    run.mkdir(parents=True, exist_ok=True)
    path = run / "stamp.txt"
    if path.is_file() and path.read_text() != stamp:
        raise ConfigError(f"{run}: holds runs with other settings or data; give another --out or remove it")
    path.write_text(stamp)


def _parts(material: Material, drawn: Mapping[str, EmotionFolds]) -> list[tuple[Indices, Indices]]:
    """(what trains, what it is asked): one pair for a held-out split, one a fold where folds are disjoint."""
    labelled = np.flatnonzero(material.labels >= 0)
    if material.pool is not None:
        return [(np.setdiff1d(labelled, material.pool), distinct_samples(drawn))]
    first = next(iter(drawn.values()))
    if any(fold.train is None for fold in first.folds):
        raise ConfigError(
            "design 'repeated' on a corpus without a test split would test on training pictures; "
            "take the design 'person' or 'kfold'"
        )
    trains = [fold.train for fold in first.folds if fold.train is not None]
    return [(train, np.setdiff1d(labelled, train)) for train in trains]


def _learn_part(
    recipe: PaperRecipe, plan: Plan, material: Material, train_on: Indices, run: Path, report: Report
) -> nn.Module:
    """One network; its autoencoder learns from all the training pictures, its labels are `plan.share`."""
    import torch

    chosen = train_on[fraction(material.labels[train_on], plan.share, seed=recipe.loop.seed)]
    images = torch.from_numpy(material.images)[:, None]  # (N, 1, 48, 48)
    lesson = Lesson(
        images=images[chosen].to(plan.device),
        targets=torch.from_numpy(material.targets)[chosen].to(plan.device),
        unlabelled=images[train_on].to(plan.device),
    )
    return learn(recipe, lesson, run, partial(_tell, report, run))


def _tell(report: Report, run: Path, line: Mapping[str, Any]) -> None:
    report({"run": f"{run.parent.name}/{run.name}", **line})


def _predict(net: nn.Module, images: Image, device: str) -> Floats:
    import torch

    net.eval().to(device)
    rows = []
    with torch.no_grad():
        for i in range(0, len(images), 256):
            batch = torch.from_numpy(images[i : i + 256])[:, None].float().to(device)  # (B, 1, 48, 48)
            rows.append(torch.softmax(net(batch), 1).cpu().numpy())
    return np.concatenate(rows)


def _judge(name: str, drawn: Mapping[str, EmotionFolds], scores: Floats, labels: Labels) -> dict[str, Any]:
    """Tables 1-10 of one variant, and its 8-way figures on the different test pictures."""
    read = winners(scores)  # the 8-way answer read one against the rest
    results = {emotion: score_folds(folds, read) for emotion, folds in drawn.items()}
    tested = distinct_samples(drawn)
    eight = confusion(labels[tested], scores[tested].argmax(1))
    return figures(results, eight=eight, name=name)


def _pairs(
    drawn: Mapping[str, EmotionFolds], scores: Mapping[str, Floats], labels: Labels
) -> list[dict[str, Any]]:
    """Each variant against the first, on the same pictures (McNemar, paired bootstrap)."""
    tested = distinct_samples(drawn)
    right = {name: each[tested].argmax(1) == labels[tested] for name, each in scores.items()}
    first, *others = right
    return [
        {"first": first, "second": name, **to_record(compare(right[first], right[name]))} for name in others
    ]
