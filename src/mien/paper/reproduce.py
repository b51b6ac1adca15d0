"""The paper's experiment: variants of its system, trained, tested over its folds, to one result file.

The folder of a reproduction holds a folder a variant, with its parts (a network each, which goes on where it
was killed), its `predictions.npy` and `gallery.npz`, and `results.json`, from which the report is built.

Legend: N pictures, F folds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from mien.config import provenance, to_toml
from mien.data.arrays import data_hash
from mien.data.splits import by_person, fraction, stratified
from mien.errors import ConfigError
from mien.evaluate.metrics import confusion
from mien.files import write_whole
from mien.labels import EMOTIONS, emotion_index
from mien.paper.binary import HALF, Threshold, choose_threshold, score_folds, winners
from mien.paper.compare import compare, to_record
from mien.paper.folds import EmotionFolds, FoldSettings, draw
from mien.paper.gallery import save_gallery
from mien.paper.material import Indices, Labels, Material
from mien.paper.part import Means, Outcome, Part, curves, run_part
from mien.paper.pictures import make_gallery
from mien.paper.tables import figures
from mien.paper.variants import PaperRecipe, load_variant, make_variant
from mien.types import Floats

Report = Callable[[Mapping[str, Any]], None]

RESULTS: Final = "results.json"
PREDICTIONS: Final = "predictions.npy"
GALLERY: Final = "gallery.npz"
_STAMP: Final = "stamp.txt"

#: How a score becomes a reading: the emotion with the highest probability, a probability of a half, or the
#: probability that tells best on the training pictures. The paper does not say.
THRESHOLDS: Final = ("winner", "half", "training")
_WINNER: Final = Threshold(0.5, "none, the emotion with the highest probability is read")


@dataclass(frozen=True, slots=True)
class Plan:
    """Which variants, on which pictures, judged how."""

    variants: tuple[PaperRecipe, ...]
    folds: FoldSettings
    means: Means = field(default_factory=Means)
    threshold: str | None = None  # one of THRESHOLDS; None: winner, and half for eight networks

    def __post_init__(self) -> None:
        if self.threshold not in (None, *THRESHOLDS):
            raise ConfigError(f"threshold: expected one of {', '.join(THRESHOLDS)}, got {self.threshold!r}")

    def reads(self, recipe: PaperRecipe) -> str:
        """The threshold of a variant."""
        return self.threshold or ("half" if recipe.networks == "eight" else "winner")


@dataclass(frozen=True, slots=True, eq=False)
class _Tested:
    """A variant after all its parts."""

    recipe: PaperRecipe
    parts: tuple[Part, ...]
    outcomes: tuple[Outcome, ...]
    scores: Floats  # (N, 8), each picture's from a network that did not learn from it; nan: in no test
    run: Path


def reproduce(plan: Plan, material: Material, out: Path, report: Report = lambda _: None) -> dict[str, Any]:
    """Train and test every variant; go on where it stopped; write `results.json` and give its content.

    Raises:
        ConfigError: `out` holds a reproduction with other settings.
        DataError: the corpus has too few pictures for the folds.
    """
    made = provenance(data=data_hash(material.images), seed=plan.folds.seed)
    _check(plan)
    if plan.folds.design == "repeated" and material.pool is None:
        material = _halved(material, plan.folds.seed)
    drawn = draw(material.labels, plan.folds, persons=_persons(material), pool=material.pool)
    parts = _parts(material, drawn)
    for recipe in plan.variants:
        _claim(out / recipe.name, _stamp(recipe, plan, material))
    tested = {r.name: _test(r, plan, material, parts, out / r.name, report) for r in plan.variants}
    results = {
        "corpus": material.name,
        "pictures": len(material.images),
        "share": plan.means.share,
        "unlabelled": 0 if plan.means.unlabelled is None else len(plan.means.unlabelled),
        "folds": asdict(plan.folds),
        "variants": {name: _judge(each, plan, drawn, material.labels) for name, each in tested.items()},
        "pairs": _pairs({name: each.scores for name, each in tested.items()}, material.labels),
        "recipes": {recipe.name: to_toml(recipe) for recipe in plan.variants},
        "notes": list(material.notes),
        "provenance": made,
    }
    write_whole(out / RESULTS, json.dumps(results, indent=1) + "\n")
    return results


def _check(plan: Plan) -> None:
    """Raise where options do not go together, before any folder is claimed."""
    if plan.means.unlabelled is not None and any(r.autoencoders == "each" for r in plan.variants):
        raise ConfigError(
            "pictures without labels: expected one autoencoder for all, got one an emotion, which learns "
            "from labelled pictures of its emotion alone; leave out one of the two"
        )


def _halved(material: Material, seed: int) -> Material:
    """A half of the persons (or pictures) is kept for the tests: repeated draws hold nothing that trains."""
    halves = (1, 1)
    if _persons(material) is None:
        pool = stratified(material.labels, halves, seed=seed)[1]
    else:
        pool = by_person(material.persons, material.labels, halves, seed=seed)[1]
    note = f"repeated draws from {len(pool)} pictures, of people that train nothing where persons are known"
    return replace(material, pool=pool, notes=(*material.notes, note))


def _persons(material: Material) -> Sequence[str | None] | None:
    return None if None in material.persons else material.persons


def _test(
    recipe: PaperRecipe, plan: Plan, material: Material, parts: Sequence[Part], run: Path, report: Report
) -> _Tested:
    """Learn and ask the network of each part that has not been asked."""
    scores = np.full((len(material.images), len(EMOTIONS)), np.nan, np.float32)
    outcomes = []
    first = None
    for number, part in enumerate(parts, start=1):
        folder = run / f"part-{number}"
        outcome, net = run_part(recipe, part, material, plan.means, folder, partial(_tell, report, folder))
        scores[part.test] = outcome.tested
        outcomes.append(outcome)
        first = net if number == 1 else first
    if not (run / GALLERY).is_file():
        device = plan.means.device
        net = (first or load_variant(recipe, run / "part-1")).to(device)
        save_gallery(run / GALLERY, make_gallery(net, material, parts[0].test, scores, device))
    write_whole(run / PREDICTIONS, lambda file: np.save(file, scores))
    return _Tested(recipe, tuple(parts), tuple(outcomes), scores, run)


def _stamp(recipe: PaperRecipe, plan: Plan, material: Material) -> str:
    """What decides the predictions of a variant."""
    more = "" if plan.means.unlabelled is None else data_hash(plan.means.unlabelled)
    pictures = f"pictures {data_hash(material.images)} {more}\nlabels {data_hash(material.targets)}"
    return f"{to_toml(recipe)}\n{plan.folds}\nshare {plan.means.share}\n{pictures}\n"


def _claim(run: Path, stamp: str) -> None:
    path = run / _STAMP
    held = path.read_text() if path.is_file() else ""
    if not held:
        write_whole(path, stamp)
    elif held != stamp:
        pairs = zip(held.splitlines(), stamp.splitlines(), strict=False)
        what = next((f"`{a}` there, `{b}` now" for a, b in pairs if a != b), "more of them")
        raise ConfigError(
            f"{run}: holds runs with other settings or data: {what}; give another --out or remove it"
        )


def _parts(material: Material, drawn: Mapping[str, EmotionFolds]) -> list[Part]:
    """One for a held-out split, one a fold where folds are disjoint."""
    labelled = np.flatnonzero(material.labels >= 0)
    if material.pool is not None:
        return [Part(np.setdiff1d(labelled, material.pool), np.intersect1d(labelled, material.pool))]
    first = next(iter(drawn.values()))
    trains = [fold.train for fold in first.folds if fold.train is not None]
    return [Part(train, np.setdiff1d(labelled, train)) for train in trains]


def _tell(report: Report, run: Path, line: Mapping[str, Any]) -> None:
    report({"run": f"{run.parent.name}/{run.name}", **line})


def _judge(tested: _Tested, plan: Plan, drawn: Mapping[str, EmotionFolds], labels: Labels) -> dict[str, Any]:
    """Tables 1-10 of one variant, its 8-way figures on all pictures that it was asked, and what made them."""
    how = plan.reads(tested.recipe)
    read = winners(tested.scores) if how == "winner" else tested.scores
    results = {
        emotion: score_folds(folds, read, _thresholds(plan, emotion, tested, labels, len(folds.folds)))
        for emotion, folds in drawn.items()
    }
    asked = _asked(tested.scores, labels)
    eight = confusion(labels[asked], tested.scores[asked].argmax(1))
    return {
        **figures(results, eight=eight, name=tested.recipe.name),
        "threshold": how,
        "reconstruction": _reconstruction(tested),
        "size": _size(tested.recipe),
        "curves": [curve for i in range(len(tested.parts)) for curve in curves(tested.run / f"part-{i + 1}")],
    }


def _thresholds(plan: Plan, emotion: str, tested: _Tested, labels: Labels, folds: int) -> list[Threshold]:
    """One a fold: the network that a fold asks has its own training pictures, those whose labels it had."""
    how = plan.reads(tested.recipe)
    if how != "training":
        return [_WINNER if how == "winner" else HALF] * folds
    k = emotion_index(emotion)
    pairs = zip(tested.parts, tested.outcomes, strict=True)
    chosen = []
    for part, outcome in pairs:
        used = fraction(labels[part.train], plan.means.share, seed=tested.recipe.loop.seed)
        chosen.append(choose_threshold(outcome.trained[used, k], labels[part.train][used] == k))
    return chosen if len(chosen) == folds else chosen * folds


def _reconstruction(tested: _Tested) -> dict[str, Any] | None:
    """How far generated pixels are from the picture's, beside as many principal components."""
    errors = [outcome.squared_error for outcome in tested.outcomes if outcome.squared_error is not None]
    if not errors:
        return None
    n = sum(len(part.test) for part in tested.parts)
    ours, theirs = np.sqrt(np.sum(errors, axis=0) / n).tolist()
    return {
        "width": min(tested.recipe.hidden),
        "autoencoder": ours,
        "pca": theirs,
        "n": n,
        "unit": "root mean squared error, gray levels",
    }


def _size(recipe: PaperRecipe) -> dict[str, int]:
    from mien.nets.count import multiply_adds

    net = make_variant(recipe)
    return {"parameters": sum(p.numel() for p in net.parameters()), "multiply_adds": multiply_adds(net)}


def _asked(scores: Floats, labels: Labels) -> Indices:
    """The labelled pictures that a network was asked which had not learnt from them."""
    return np.flatnonzero(np.isfinite(scores).all(1) & (labels >= 0))


def _pairs(scores: Mapping[str, Floats], labels: Labels) -> list[dict[str, Any]]:
    """Each variant against the first, on the same pictures (McNemar, paired bootstrap)."""
    asked = _asked(next(iter(scores.values())), labels)
    right = {name: each[asked].argmax(1) == labels[asked] for name, each in scores.items()}
    first, *others = right
    return [{"variants": [first, name], **to_record(compare(right[first], right[name]))} for name in others]
