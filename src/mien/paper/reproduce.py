"""Section 3, the experiment: train variants of the system, test them over ten folds, give Tables 1-10.

The folder of a reproduction holds a folder for each variant, with one `part-n` for each network: its run,
which resumes where it was killed, and its `outcome.npz`. Beside them are `predictions.npy`, `gallery.npz`
(pictures for the report), and `results.json`, from which tables and report are made.

    corpus -> folds and the splits behind them -> train and test one network per split -> tables

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
from mien.labels import EMOTIONS
from mien.nets import count_multiply_adds, count_parameters
from mien.paper.corpora import CroppedCorpus
from mien.paper.figures import collect_pictures, save_pictures
from mien.paper.folds import EmotionFolds, FoldOptions, draw_folds
from mien.paper.networks import AutoencoderThenCNN, PrincipalComponents, fit_pca
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

#: How a probability becomes a reading: the emotion with the highest probability, a probability of a half, or
#: the probability that separates best on the training pictures. The paper does not say.
THRESHOLDS: Final = ("winner", "half", "training")
_WINNER: Final = Threshold(0.5, "no threshold: the emotion with the highest probability")

#: The answers of one network: `trained` (train, 8), the probabilities of the pictures it was trained on;
#: `tested` (test, 8), of those it was tested on; and where it has one autoencoder, `squared_error` (2,), the
#: sum over the test of the error per pixel of what is generated, and of what PCA makes.
Answers = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class ExperimentPlan:
    """Which variants are trained, on what, and how they are judged."""

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
class NetworkRun:
    """One network of the experiment, with the pictures it is trained on and those it is tested on."""

    recipe: PaperRecipe
    plan: ExperimentPlan
    corpus: CroppedCorpus
    train: Indices
    test: Indices
    folder: Path

    @property
    def labelled(self) -> Indices:
        """Positions in `train` of the pictures whose labels the network is trained with."""
        return fraction(self.corpus.labels[self.train], self.plan.share, seed=self.recipe.loop.seed)

    def claim(self) -> None:
        """Write what the answers depend on into the folder, or check that the folder holds the same."""
        claim_recipe(self.recipe, self.folder)
        corpus, more = self.corpus, self.plan.unlabelled
        facts = provenance(
            seed=self.recipe.loop.seed,
            corpus=corpus.name,
            pictures=len(self.labelled),
            data=data_hash(corpus.images[self.train]),
            corpus_data=data_hash(corpus.images),
            labels=data_hash(corpus.targets),
            unlabelled=0 if more is None else len(more),
            unlabelled_data="" if more is None else data_hash(more),
            share=self.plan.share,
            recipe=f"mien reproduce paper, variant {self.recipe.name}, {self.folder.name}: "
            "trained on all folds except its own",
        )
        claim_provenance(self.folder, facts)

    def answers(self, report: Report) -> Answers:
        """Train and test the network, unless an earlier call has; its answers are kept in the folder."""
        path = self.folder / OUTCOME
        if not path.is_file():
            name = f"{self.recipe.name}/{self.folder.name}"
            save_arrays(path, self._train_and_test(lambda line: report({"run": name, **line})))
        return load_arrays(path, "remove the file, and the network is tested again")

    def _train_and_test(self, report: Report) -> Answers:
        """The autoencoders learn from all training pictures, the network from a share of their labels."""
        corpus, plan, recipe = self.corpus, self.plan, self.recipe
        pictures = TrainingPictures.take(
            corpus, self.train, self.train[self.labelled], plan.unlabelled, plan.device
        )
        net = train_variant(recipe, pictures, self.folder, report)
        test = corpus.images[self.test]
        answers: Answers = {
            "trained": predict_probabilities(recipe, net, corpus.images[self.train], plan.device),
            "tested": predict_probabilities(recipe, net, test, plan.device),
        }
        if isinstance(net, AutoencoderThenCNN) and recipe.autoencoders == "one":
            # one autoencoder for each emotion has no bound that fits them all
            pca = fit_pca(pictures.unlabelled, lambda batch: batch.flatten(1), min(recipe.hidden))
            answers["squared_error"] = _squared_errors(net.autoencoder, pca, test, plan.device)
        return answers


def reproduce(
    plan: ExperimentPlan, corpus: CroppedCorpus, out: Path, report: Report = lambda _: None
) -> dict[str, Any]:
    """Train and test every variant, resuming where it was stopped; write `results.json`, return its content.

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
        # half of the persons (or pictures) is kept for the tests, so that no test picture is trained on
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
    for run in chain(*runs.values()):  # before any of them is trained
        run.claim()
    variants: dict[str, Any] = {}
    probabilities: dict[str, Floats] = {}  # (N, 8) of each variant
    for name, of_variant in runs.items():
        answers = [run.answers(report) for run in of_variant]
        probabilities[name] = _keep_predictions(of_variant, answers)
        variants[name] = _judge(of_variant, answers, probabilities[name], drawn)
    results = {
        "corpus": corpus.name,
        "pictures": len(corpus.images),
        "share": plan.share,
        "unlabelled": 0 if plan.unlabelled is None else len(plan.unlabelled),
        "folds": {**asdict(plan.folds), "emotions": EMOTIONS},
        "variants": variants,
        "pairs": _compare_with_first(probabilities, corpus.labels),
        "recipes": {recipe.name: to_toml(recipe) for recipe in plan.variants},
        "notes": list(corpus.notes),
        "provenance": made,
    }
    write_whole(out / RESULTS, json.dumps(results, indent=1) + "\n")
    return results


def _network_splits(
    corpus: CroppedCorpus, drawn: Mapping[str, EmotionFolds]
) -> list[tuple[Indices, Indices]]:
    """What each network is trained and tested on: the corpus's own split, or one split for each fold."""
    if corpus.test is not None:
        return [corpus.outside(corpus.test)]
    folds = next(iter(drawn.values())).folds  # the same training pictures for every emotion
    labelled = np.flatnonzero(corpus.labels >= 0)
    trains = {
        fold.part: fold.train for fold in folds if fold.train is not None
    }  # several folds may share one
    return [(train, np.setdiff1d(labelled, train)) for train in trains.values()]


def _keep_predictions(runs: Sequence[NetworkRun], answers: Sequence[Answers]) -> Floats:
    """(N, 8) of each picture by a network that did not learn from it, written down; nan: in no test.

    The pictures for the report are kept beside them.
    """
    recipe, plan, corpus, folder = runs[0].recipe, runs[0].plan, runs[0].corpus, runs[0].folder.parent
    probabilities = np.full((len(corpus.images), len(EMOTIONS)), np.nan, np.float32)
    for run, given in zip(runs, answers, strict=True):
        probabilities[run.test] = given["tested"]
    if not (folder / PICTURES).is_file():
        net = load_network(recipe, runs[0].folder).to(plan.device)
        pictures = collect_pictures(net, corpus, runs[0].test, probabilities, plan.device)
        save_pictures(folder / PICTURES, pictures)
    write_whole(folder / PREDICTIONS, lambda file: np.save(file, probabilities))
    return probabilities


@torch.no_grad()
def _squared_errors(
    autoencoder: nn.Module, pca: PrincipalComponents, images: Image, device: str
) -> NDArray[np.float64]:
    """(2,) of what the autoencoder generates, and of as many principal components of its training pictures.

    Both are cut to 0..255; each is a sum over pictures of the mean over pixels.
    """
    errors = np.zeros(2)
    for i in range(0, len(images), 256):
        batch = as_tensor(images[i : i + 256]).float().to(device)  # (B, 1, 48, 48)
        flat = batch.flatten(1)
        for k, made in enumerate((autoencoder(batch).flatten(1), pca.project(flat))):
            errors[k] += float((made.clamp(0, 255) - flat).square().mean(1).sum())
    return errors


def _judge(
    runs: Sequence[NetworkRun],
    answers: Sequence[Answers],
    probabilities: Floats,
    drawn: Mapping[str, EmotionFolds],
) -> dict[str, Any]:
    """Tables 1-10 of one variant, its 8-way figures on all pictures it was tested on, and what made them."""
    recipe, plan, labels = runs[0].recipe, runs[0].plan, runs[0].corpus.labels
    how = plan.threshold_of(recipe)
    read = winners(probabilities) if how == "winner" else probabilities
    scores = {}
    for k, emotion in enumerate(EMOTIONS):
        if how == "training":  # one for each network, on the training pictures whose labels it was given
            fitted = [
                fit_threshold(given["trained"][run.labelled, k], labels[run.train][run.labelled] == k)
                for run, given in zip(runs, answers, strict=True)
            ]
            thresholds = [fitted[fold.part - 1] for fold in drawn[emotion].folds]
        else:
            thresholds = [_WINNER if how == "winner" else HALF]
        scores[emotion] = score_folds(drawn[emotion], read, thresholds)
    tested = _tested(probabilities, labels)
    net = make_network(recipe)
    return {
        **table_data(scores, confusion(labels[tested], probabilities[tested].argmax(1)), recipe.name),
        "threshold": how,
        "reconstruction": _reconstruction(runs, answers),
        "size": {"parameters": count_parameters(net), "multiply_adds": count_multiply_adds(net)},
        "curves": [curve for run in runs for curve in learning_curves(run.folder)],
    }


def _tested(probabilities: Floats, labels: Labels) -> Indices:
    """The labelled pictures that were tested, each with a network that had not been trained on it."""
    return np.flatnonzero(np.isfinite(probabilities).all(1) & (labels >= 0))


def _reconstruction(runs: Sequence[NetworkRun], answers: Sequence[Answers]) -> dict[str, Any] | None:
    """How far generated pixels are from the picture's, compared with as many principal components."""
    errors = [given["squared_error"] for given in answers if "squared_error" in given]
    if not errors:
        return None
    n = sum(len(run.test) for run in runs)
    ours, theirs = np.sqrt(np.sum(errors, axis=0) / n).tolist()
    return {
        "width": min(runs[0].recipe.hidden),
        "autoencoder": ours,
        "pca": theirs,
        "n": n,
        "unit": "root mean squared error, gray levels",
    }


def _compare_with_first(probabilities: Mapping[str, Floats], labels: Labels) -> list[dict[str, Any]]:
    """Each variant against the first, on the same pictures (McNemar, paired bootstrap)."""
    first, *others = probabilities
    tested = _tested(probabilities[first], labels)
    right = {name: each[tested].argmax(1) == labels[tested] for name, each in probabilities.items()}
    return [{"variants": [first, name], **compare_models(right[first], right[name])} for name in others]
