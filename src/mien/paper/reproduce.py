"""Section 3, the experiment: variants of the system, trained, tested over ten folds, to Tables 1-10.

The folder of a reproduction holds a folder for each variant, with one `part-n` for each network: its run,
which goes on where it was killed, and its `outcome.npz`. Beside them stand `predictions.npy`, `gallery.npz`
(pictures for the report), and `results.json`, from which tables and report are made.

    corpus -> folds and the splits behind them -> train and ask one network per split -> tables

Legend: N pictures; F folds; K = 8 emotions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mien.config import provenance, to_toml
from mien.data.arrays import data_hash
from mien.data.splits import Indices, Labels, fraction
from mien.errors import ConfigError
from mien.evaluate.metrics import confusion
from mien.files import load_arrays, save_arrays, write_whole
from mien.labels import EMOTIONS, emotion_index
from mien.nets.count import multiply_adds
from mien.paper.autoencoders import PrincipalComponents, fit_pca
from mien.paper.cnn import AutoencoderThenCNN
from mien.paper.corpora import CroppedCorpus
from mien.paper.figures import collect_pictures, save_pictures
from mien.paper.folds import EmotionFolds, FoldOptions, draw_folds
from mien.paper.scores import HALF, Threshold, compare_models, fit_threshold, score_folds, winners
from mien.paper.tables import table_data
from mien.paper.training import (
    TrainingPictures,
    learning_curves,
    load_network,
    predict_probabilities,
    train_variant,
)
from mien.paper.variants import PaperRecipe, make_network
from mien.train.faces import as_tensor
from mien.train.loop import Report
from mien.train.recipes import claim_provenance, claim_recipe
from mien.types import Floats, Image

RESULTS: Final = "results.json"
PREDICTIONS: Final = "predictions.npy"
PICTURES: Final = "gallery.npz"
OUTCOME: Final = "outcome.npz"
_BATCH: Final = 256

#: How a probability becomes a reading: the emotion with the highest probability, a probability of a half, or
#: the probability that tells best on the training pictures. The paper does not say.
THRESHOLDS: Final = ("winner", "half", "training")
_WINNER: Final = Threshold(0.5, "none, the emotion with the highest probability is read")


@dataclass(frozen=True, slots=True)
class ExperimentPlan:
    """Which variants learn from what, and how they are judged."""

    variants: tuple[PaperRecipe, ...]
    folds: FoldOptions
    threshold: str | None = None  # one of THRESHOLDS; None: winner, and half for eight networks
    share: float = 1.0  # of the training labels that are used
    unlabelled: Image | None = None  # (M, 48, 48) uint8 more pictures for the autoencoders
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.threshold not in (None, *THRESHOLDS):
            raise ConfigError(f"threshold: expected one of {', '.join(THRESHOLDS)}, got {self.threshold!r}")
        if not 0 < self.share <= 1:
            raise ConfigError(f"share of the labels: expected more than 0 and at most 1, got {self.share}")
        if self.unlabelled is not None and any(r.autoencoders == "each" for r in self.variants):
            raise ConfigError(
                "pictures without labels: expected one autoencoder for all, got one for each emotion, which "
                "learns from labelled pictures of its emotion alone; leave out one of the two"
            )

    def threshold_of(self, recipe: PaperRecipe) -> str:
        """The threshold of a variant."""
        return self.threshold or ("half" if recipe.networks == "eight" else "winner")


@dataclass(frozen=True, slots=True, eq=False)
class NetworkOutcome:
    """What is kept of a trained network."""

    trained: Floats  # (train, 8) probabilities of the pictures that trained it
    tested: Floats  # (test, 8) and of those that did not
    squared_error: tuple[float, float] | None  # sum over the test of generated pictures' and PCA's, per pixel


@dataclass(frozen=True, slots=True, eq=False)
class NetworkRun:
    """One network of the experiment: the pictures that train it, and those that it is then asked."""

    recipe: PaperRecipe
    plan: ExperimentPlan
    corpus: CroppedCorpus
    train: Indices
    test: Indices
    folder: Path

    @property
    def told(self) -> Indices:
        """Positions in `train` of the pictures whose labels the network is told."""
        return fraction(self.corpus.labels[self.train], self.plan.share, seed=self.recipe.loop.seed)

    def claim(self) -> None:
        """Write down what decides the network's answers, or check that the folder's are of the same.

        Raises:
            ConfigError: the folder holds a run with other settings or data.
        """
        claim_recipe(self.recipe, self.folder)
        corpus, more = self.corpus, self.plan.unlabelled
        facts = provenance(
            seed=self.recipe.loop.seed,
            corpus=corpus.name,
            pictures=len(self.told),
            data=data_hash(corpus.images[self.train]),
            corpus_data=data_hash(corpus.images),
            labels=data_hash(corpus.targets),
            unlabelled=0 if more is None else len(more),
            unlabelled_data="" if more is None else data_hash(more),
            share=self.plan.share,
            recipe=f"mien reproduce paper, variant {self.recipe.name}, {self.folder.name}: "
            "it knows all folds but its own",
        )
        claim_provenance(self.folder, facts)

    def outcome(self, report: Report) -> NetworkOutcome:
        """Train the network and ask it, unless an earlier call has; its answers are kept in the folder."""
        path = self.folder / OUTCOME
        if not path.is_file():
            name = f"{self.recipe.name}/{self.folder.name}"
            save_arrays(path, self._train_and_ask(lambda line: report({"run": name, **line})))
        arrays = load_arrays(path, "remove the file, and the part's network is asked again")
        error = arrays.get("squared_error")
        return NetworkOutcome(
            arrays["trained"], arrays["tested"], None if error is None else (error[0], error[1])
        )

    def _train_and_ask(self, report: Report) -> dict[str, NDArray[Any]]:
        """The autoencoders learn from all training pictures, the network from a share of their labels."""
        corpus, plan, recipe = self.corpus, self.plan, self.recipe
        labelled = self.train[self.told]
        training, test = corpus.images[self.train], corpus.images[self.test]
        more = [] if plan.unlabelled is None else [plan.unlabelled]
        pictures = TrainingPictures(
            images=as_tensor(corpus.images[labelled]).to(plan.device),
            targets=torch.from_numpy(corpus.targets[labelled]).to(plan.device),
            unlabelled=as_tensor(np.concatenate([training, *more])).to(plan.device),
        )
        net = train_variant(recipe, pictures, self.folder, report)
        arrays: dict[str, NDArray[Any]] = {
            "trained": predict_probabilities(recipe, net, training, plan.device),
            "tested": predict_probabilities(recipe, net, test, plan.device),
        }
        if isinstance(net, AutoencoderThenCNN) and recipe.autoencoders == "one":
            # one autoencoder for each emotion has no bound that fits them all
            pca = fit_pca(pictures.unlabelled, lambda batch: batch.flatten(1), min(recipe.hidden))
            arrays["squared_error"] = np.array(_squared_errors(net.autoencoder, pca, test, plan.device))
        return arrays


@dataclass(frozen=True, slots=True, eq=False)
class VariantResult:
    """A variant after all its networks were trained and asked."""

    recipe: PaperRecipe
    runs: Sequence[NetworkRun]
    outcomes: Sequence[NetworkOutcome]
    probabilities: Floats  # (N, 8), of each picture by a network that did not learn from it; nan: in no test

    def asked(self, labels: Labels) -> Indices:
        """The labelled pictures that a network was asked which had not learned from them."""
        return np.flatnonzero(np.isfinite(self.probabilities).all(1) & (labels >= 0))


def reproduce(
    plan: ExperimentPlan, corpus: CroppedCorpus, out: Path, report: Report = lambda _: None
) -> dict[str, Any]:
    """Train and test every variant, going on where it was stopped; write `results.json`, return its content.

    Args:
        plan: variants, folds, threshold.
        corpus: the faces.
        out: folder of the reproduction.
        report: takes one line for each epoch.

    Raises:
        ConfigError: `out` holds runs with other settings or data.
        DataError: the corpus has too few pictures for the folds.
    """
    made = provenance(data=data_hash(corpus.images), seed=plan.folds.seed)
    if plan.folds.design == "repeated" and corpus.test is None:
        # half of the persons (or pictures) is kept for the tests, so that no test picture trains
        test = corpus.split((1, 1), plan.folds.seed)[1]
        note = (
            f"repeated draws from {len(test)} pictures, of people that train nothing where persons are known"
        )
        corpus = replace(corpus, test=test, notes=(*corpus.notes, note))
    drawn = draw_folds(corpus.labels, plan.folds, persons=corpus.known_persons, among=corpus.test)
    splits = _network_splits(corpus, drawn)
    runs = {
        recipe.name: [
            NetworkRun(recipe, plan, corpus, train, test, out / recipe.name / f"part-{number}")
            for number, (train, test) in enumerate(splits, start=1)
        ]
        for recipe in plan.variants
    }
    for run in chain(*runs.values()):  # before any of them learns
        run.claim()
    tested = {recipe.name: _test(recipe, runs[recipe.name], report) for recipe in plan.variants}
    results = {
        "corpus": corpus.name,
        "pictures": len(corpus.images),
        "share": plan.share,
        "unlabelled": 0 if plan.unlabelled is None else len(plan.unlabelled),
        "folds": asdict(plan.folds),
        "variants": {name: _judge(each, plan, drawn, corpus.labels) for name, each in tested.items()},
        "pairs": _compare_with_first(tested, corpus.labels),
        "recipes": {recipe.name: to_toml(recipe) for recipe in plan.variants},
        "notes": list(corpus.notes),
        "provenance": made,
    }
    write_whole(out / RESULTS, json.dumps(results, indent=1) + "\n")
    return results


def _network_splits(
    corpus: CroppedCorpus, drawn: Mapping[str, EmotionFolds]
) -> list[tuple[Indices, Indices]]:
    """What trains each network and what it is asked: the corpus's own split, or one split for each fold."""
    if corpus.test is not None:
        return [corpus.outside(corpus.test)]
    folds = next(iter(drawn.values())).folds  # the same training pictures for every emotion
    labelled = np.flatnonzero(corpus.labels >= 0)
    trains = [fold.train for fold in folds if fold.train is not None]
    return [(train, np.setdiff1d(labelled, train)) for train in trains]


def _test(recipe: PaperRecipe, runs: Sequence[NetworkRun], report: Report) -> VariantResult:
    """Train and ask the networks of a variant, and keep what the report shows of them."""
    plan, corpus, folder = runs[0].plan, runs[0].corpus, runs[0].folder.parent
    probabilities = np.full((len(corpus.images), len(EMOTIONS)), np.nan, np.float32)
    outcomes = []
    for run in runs:
        outcomes.append(run.outcome(report))
        probabilities[run.test] = outcomes[-1].tested
    if not (folder / PICTURES).is_file():
        net = load_network(recipe, runs[0].folder).to(plan.device)
        pictures = collect_pictures(net, corpus, runs[0].test, probabilities, plan.device)
        save_pictures(folder / PICTURES, pictures)
    write_whole(folder / PREDICTIONS, lambda file: np.save(file, probabilities))
    return VariantResult(recipe, runs, outcomes, probabilities)


@torch.no_grad()
def _squared_errors(
    autoencoder: nn.Module, pca: PrincipalComponents, images: Image, device: str
) -> tuple[float, float]:
    """Of what the autoencoder generates, and of as many principal components of its training pictures.

    Both are cut to 0..255; each is a sum over pictures of the mean over pixels.
    """
    ours = theirs = 0.0
    for i in range(0, len(images), _BATCH):
        batch = as_tensor(images[i : i + _BATCH]).float().to(device)  # (B, 1, 48, 48)
        generated = autoencoder(batch).clamp(0, 255)  # (B, 1, 48, 48)
        ours += float((generated - batch).square().mean((1, 2, 3)).sum())
        flat = batch.flatten(1)
        theirs += float((pca.project(flat).clamp(0, 255) - flat).square().mean(1).sum())
    return ours, theirs


def _judge(
    tested: VariantResult, plan: ExperimentPlan, drawn: Mapping[str, EmotionFolds], labels: Labels
) -> dict[str, Any]:
    """Tables 1-10 of one variant, its 8-way figures on all pictures that it was asked, and what made them."""
    recipe, probabilities = tested.recipe, tested.probabilities
    how = plan.threshold_of(recipe)
    read = winners(probabilities) if how == "winner" else probabilities
    scores = {}
    for emotion, folds in drawn.items():
        thresholds = _thresholds(plan, emotion, tested, labels)
        # one network asked for all folds has one threshold
        each = thresholds if len(thresholds) == len(folds.folds) else thresholds * len(folds.folds)
        scores[emotion] = score_folds(folds, read, each)
    asked = tested.asked(labels)
    eight = confusion(labels[asked], probabilities[asked].argmax(1))
    net = make_network(recipe)
    parameters = sum(p.numel() for p in net.parameters())
    return {
        **table_data(scores, eight=eight, name=recipe.name),
        "threshold": how,
        "reconstruction": _reconstruction(tested),
        "size": {"parameters": parameters, "multiply_adds": multiply_adds(net)},
        "curves": [curve for run in tested.runs for curve in learning_curves(run.folder)],
    }


def _thresholds(plan: ExperimentPlan, emotion: str, tested: VariantResult, labels: Labels) -> list[Threshold]:
    """One for each network: fitted, where it is, on the training pictures whose labels that network had."""
    how = plan.threshold_of(tested.recipe)
    if how != "training":
        return [_WINNER if how == "winner" else HALF] * len(tested.runs)
    k = emotion_index(emotion)
    fitted = []
    for run, outcome in zip(tested.runs, tested.outcomes, strict=True):
        positive = labels[run.train][run.told] == k
        fitted.append(fit_threshold(outcome.trained[run.told, k], positive))
    return fitted


def _reconstruction(tested: VariantResult) -> dict[str, Any] | None:
    """How far generated pixels are from the picture's, beside as many principal components."""
    errors = [outcome.squared_error for outcome in tested.outcomes if outcome.squared_error is not None]
    if not errors:
        return None
    n = sum(len(run.test) for run in tested.runs)
    ours, theirs = np.sqrt(np.sum(errors, axis=0) / n).tolist()
    return {
        "width": min(tested.recipe.hidden),
        "autoencoder": ours,
        "pca": theirs,
        "n": n,
        "unit": "root mean squared error, gray levels",
    }


def _compare_with_first(tested: Mapping[str, VariantResult], labels: Labels) -> list[dict[str, Any]]:
    """Each variant against the first, on the same pictures (McNemar, paired bootstrap)."""
    first, *others = tested
    asked = tested[first].asked(labels)
    right = {name: each.probabilities[asked].argmax(1) == labels[asked] for name, each in tested.items()}
    return [{"variants": [first, name], **compare_models(right[first], right[name])} for name in others]
