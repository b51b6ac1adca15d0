"""Section 3, the experiment: train variants of the system, test them over ten folds, give Tables 1-10.

The folder of a reproduction holds a folder for each variant, with one `part-n` for each split: its run,
which resumes where it was killed, and its `outcome.npz`. Several processes, here or on machines that share
the folder, take its parts by turns; none is trained twice. Beside them are `predictions.npy`, `gallery.npz`
(pictures for the report), and `results.json`, from which tables and report are made.

    corpus -> folds and the splits behind them -> train and test one network per split -> tables

Legend: N pictures; F folds; K = 8 emotions.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mien.config import provenance, to_toml
from mien.data.arrays import data_hash, in_other
from mien.data.splits import Indices, Labels, fraction
from mien.errors import ConfigError, list_few, require_choice
from mien.evaluate.metrics import confusion
from mien.files import load_arrays, lock, save_arrays, write_whole
from mien.labels import EMOTIONS
from mien.nets import count_multiply_adds, count_parameters
from mien.paper.corpora import CroppedCorpus
from mien.paper.figures import collect_pictures, save_pictures
from mien.paper.folds import EmotionFolds, FoldOptions, draw_folds
from mien.paper.networks import SIDE, DenseAutoencoder, find_autoencoders, fit_pca
from mien.paper.scores import HALF, WINNER, compare_models, fit_threshold, score_folds, winners
from mien.paper.tables import table_data
from mien.paper.training import (
    AGAIN,
    SHARED,
    WHOLE,
    TrainingPictures,
    is_at_chance,
    learning_curves,
    load_network,
    predict_probabilities,
    train_variant,
)
from mien.paper.variants import SHOWN_TO_ONE, PaperRecipe, make_network
from mien.train.faces import as_tensor
from mien.train.loop import Report
from mien.train.recipes import claim_provenance, claim_recipe
from mien.types import Floats, Image

RESULTS: Final = "results.json"
PREDICTIONS: Final = "predictions.npy"
PICTURES: Final = "gallery.npz"
OUTCOME: Final = "outcome.npz"
LOCK: Final = "lock"  # of a part: held by the process that works at it

#: How a probability becomes a reading: the emotion with the highest probability, a probability of a half, or
#: the probability that separates best on the training pictures. The paper does not say.
THRESHOLDS: Final = ("winner", "half", "training")
LIKELIEST: Final = "-likeliest"  # after a variant's name: the same networks, read by the highest probability

#: The answers of one split's network: `tested` (test, 8), the probabilities of the pictures it was tested on;
#: where a threshold is fitted, `trained` (train, 8), of those it was trained on; and where it has A dense
#: autoencoders, `restored` (A, 4): the error of each on the tested pictures of its emotion (with one for all,
#: on all), that of PCA, the share of its hidden nodes that are below zero, each summed over pictures, and how
#: many pictures.
Answers = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class ExperimentPlan:
    """Which variants are trained, on what, and how they are judged."""

    variants: tuple[PaperRecipe, ...]
    folds: FoldOptions
    threshold: str | None = None  # one of THRESHOLDS; None: half for eight networks, else training and winner
    share: float = 1.0  # of the training labels that are used
    unlabelled: Image | None = None  # (M, 48, 48) uint8 more pictures for the autoencoders
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.threshold is not None:
            require_choice("threshold", self.threshold, THRESHOLDS)
        if not 0 < self.share <= 1:
            raise ConfigError(f"share of the labels: expected more than 0 and at most 1, got {self.share}")
        if self.unlabelled is not None and any(r.autoencoder_of_each for r in self.variants):
            raise ConfigError(
                "pictures without labels: expected one autoencoder for all, got one for each emotion, which "
                "learns from labelled pictures of its emotion alone; leave out one of the two"
            )

    def thresholds_of(self, recipe: PaperRecipe) -> tuple[str, ...]:
        """The thresholds of a variant: its networks' answers are read with each."""
        if self.threshold:
            return (self.threshold,)
        return ("half",) if recipe.networks == "eight" else ("training", "winner")

    def seeded(self, seed: int) -> ExperimentPlan:
        """The same folds, learned with another seed."""
        return replace(self, variants=tuple(recipe.seeded(seed) for recipe in self.variants))


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

    @property
    def is_done(self) -> bool:
        """Whether the answers that the plan needs are in the folder."""
        return (self.folder / OUTCOME).is_file() and (not self._fits_threshold or "trained" in self.answers())

    @property
    def _fits_threshold(self) -> bool:
        return "training" in self.plan.thresholds_of(self.recipe)

    def answers(self) -> Answers:
        """What `work` left in the folder."""
        return load_arrays(self.folder / OUTCOME, "remove the file, and the network is tested again")

    def work(self, report: Report) -> None:
        """Train and test the network, and keep its answers in the folder."""
        name = f"{self.recipe.name}/{self.folder.name}"
        answers = self._train_and_test(lambda line: report({"run": name, **line}))
        save_arrays(self.folder / OUTCOME, answers)

    def _train_and_test(self, report: Report) -> Answers:
        """The autoencoders learn from all training pictures, the network from a share of their labels."""
        corpus, plan, recipe = self.corpus, self.plan, self.recipe
        labelled = self.train[self.labelled]
        pictures = TrainingPictures.take(corpus, self.train, labelled, plan.unlabelled, plan.device)
        net = train_variant(recipe, pictures, self.folder, report)
        answers: Answers = {
            "tested": predict_probabilities(recipe, net, corpus.images[self.test], plan.device)
        }
        if self._fits_threshold:
            answers["trained"] = predict_probabilities(recipe, net, corpus.images[self.train], plan.device)
        if dense := find_autoencoders(net):
            answer, truth = pictures.targets.argmax(1), corpus.labels[self.test]
            rows = []
            for k, autoencoder in enumerate(dense):
                own, test = pictures.unlabelled, corpus.images[self.test]
                if len(dense) > 1:
                    own, test = pictures.images[answer == k], test[truth == k]
                rows.append(_measure_autoencoder(autoencoder, own, test, plan.device))
            answers["restored"] = np.array(rows)
        return answers


def reproduce(
    plan: ExperimentPlan, corpus: CroppedCorpus, out: Path | str, report: Report = lambda _: None
) -> dict[str, Any]:
    """Train and test every variant, resuming where it was stopped; write `results.json`, return its content.

    Raises:
        ConfigError: `out` holds runs with other settings or data.
        DataError: the corpus has too few pictures for the folds.
    """
    out = Path(out)
    made = provenance(data=data_hash(corpus.images), seed=plan.folds.seed)
    corpus, drawn, splits = _split(plan, corpus)
    runs = _plan_runs(plan, corpus, splits, out)
    for run in chain(*runs.values()):  # before any of them is trained
        run.claim()
    _work_off([run for part in zip(*runs.values(), strict=True) for run in part], report)
    variants: dict[str, Any] = {}
    probabilities: dict[str, Floats] = {}  # (N, 8) of each variant
    for name, of_variant in runs.items():
        answers = [run.answers() for run in of_variant]
        for how in plan.thresholds_of(of_variant[0].recipe):
            read = name + (LIKELIEST if how == "winner" and not plan.threshold else "")
            probabilities[read] = _keep_predictions(of_variant, answers, out / read)
            variants[read] = _judge(of_variant, answers, probabilities[read], drawn, read, how)
    results = {
        "corpus": corpus.name,
        "pictures": len(corpus.images),
        "share": plan.share,
        "unlabelled": 0 if plan.unlabelled is None else len(plan.unlabelled),
        "folds": {**asdict(plan.folds), "emotions": EMOTIONS},
        "variants": variants,
        "pairs": _compare_with_first(probabilities, corpus.labels),
        "recipes": {name: to_toml(runs[name.removesuffix(LIKELIEST)][0].recipe) for name in variants},
        "notes": list(corpus.notes),
        "warnings": _stuck(variants),
        "provenance": made,
    }
    write_whole(out / RESULTS, json.dumps(results, indent=1) + "\n")
    return results


def _plan_runs(
    plan: ExperimentPlan, corpus: CroppedCorpus, splits: Sequence[tuple[Indices, Indices]], out: Path
) -> dict[str, list[NetworkRun]]:
    """Variant to its parts, one for each split."""
    return {
        recipe.name: [
            NetworkRun(recipe, plan, corpus, train, test, out / recipe.name / f"part-{number}")
            for number, (train, test) in enumerate(splits, start=1)
        ]
        for recipe in plan.variants
    }


def estimate_seconds(
    plans: Sequence[ExperimentPlan], corpus: CroppedCorpus, outs: Sequence[Path]
) -> tuple[float, int]:
    """About how long `reproduce` will take for these plans and folders, and how many parts there are to do.

    A few steps of each variant's network are timed; autoencoders are reckoned by their multiply-adds.
    """
    seconds, parts, timed = 0.0, 0, {}
    for plan, out in zip(plans, outs, strict=True):
        split, _, splits = _split(plan, corpus)
        for name, runs in _plan_runs(plan, split, splits, out).items():
            left = sum(not run.is_done for run in runs)
            if left and name not in timed:
                timed[name] = _seconds_of_part(runs[0].recipe, len(runs[0].train), plan.device)
            seconds, parts = seconds + left * timed.get(name, 0.0), parts + left
    return seconds, parts


def _seconds_of_part(recipe: PaperRecipe, pictures: int, device: str) -> float:
    net = make_network(recipe).to(device).train()
    one: nn.Module = net if recipe.networks == "one" else net.members[0]  # type: ignore[index,assignment]
    size = max(4, 512 // recipe.width) if device == "cpu" else recipe.loop.batch
    images = torch.full((size, 1, SIDE, SIDE), 100.0, device=device)
    began = 0.0
    for step in range(3):
        if step == 1:  # the first is slow
            began = time.perf_counter()
        with torch.autocast(images.device.type, torch.bfloat16, enabled=recipe.loop.precision == "bfloat16"):
            loss = one(images).float().square().sum()
        loss.backward()
        loss.item()  # waits for a GPU
    a_picture = (time.perf_counter() - began) / 2 / size
    epochs = recipe.loop_of_one().epochs + recipe.head.epochs * (recipe.variant == "pretrained")
    shown = epochs * SHOWN_TO_ONE * recipe.draws  # as many to one network as to eight
    cost, first = count_multiply_adds(one.to("cpu")), 0.0
    if dense := find_autoencoders(net):
        learned = recipe.pretrain.count_epochs(len(dense))
        first = learned * recipe.pretrain.draws * count_multiply_adds(dense[0].to("cpu"))
    elif recipe.variant == "pretrained":  # every unit passes through the ones before it
        first = 3.0 * recipe.pretrain.epochs * pictures * cost
    return a_picture * (shown + first / cost)


def _split(
    plan: ExperimentPlan, corpus: CroppedCorpus
) -> tuple[CroppedCorpus, dict[str, EmotionFolds], list[tuple[Indices, Indices]]]:
    """The corpus as it is split, its folds, and what each network is trained and tested on."""
    folds = plan.folds
    if folds.design != "repeated":
        corpus = replace(corpus, test=None)  # its own split is for one test alone
    elif corpus.test is None:
        # half of the persons (or pictures) is kept for the tests, so that no test picture is trained on
        test = corpus.split((1, 1), folds.seed)[1]
        note = (
            f"repeated draws from {len(test)} pictures, of people that train nothing where persons are known"
        )
        corpus = replace(corpus, test=test, notes=(*corpus.notes, note))
    if corpus.test is not None:
        drawn = draw_folds(corpus.labels, folds, persons=corpus.known_persons, among=corpus.test)
        return corpus, drawn, [corpus.outside(corpus.test)]
    drawn = draw_folds(corpus.labels, folds, persons=corpus.known_persons, among=corpus.agreed)
    labelled = np.flatnonzero(corpus.labels >= 0)
    tested = labelled if corpus.agreed is None else np.intersect1d(labelled, corpus.agreed)
    splits = {}
    for fold in next(iter(drawn.values())).folds:  # the same for every emotion; several may share a part
        if fold.train is not None and fold.part not in splits:
            test = np.setdiff1d(tested, fold.train)
            train = np.setdiff1d(labelled, test)
            copies = in_other(corpus.images[train], corpus.images[test])
            splits[fold.part] = train[~copies], test
    return corpus, drawn, list(splits.values())


def _work_off(runs: Sequence[NetworkRun], report: Report) -> None:
    """Train and test what is not yet, beside other processes that do the same in this folder.

    Whoever works at a part holds a lock on a file of it, which the system takes away when a process ends.
    """
    held_elsewhere = True
    while held_elsewhere:
        held_elsewhere = False
        for run in runs:
            if run.is_done:
                continue
            with lock(run.folder / LOCK) as mine:
                if not mine:
                    held_elsewhere = True
                elif not run.is_done:
                    run.work(report)
        if held_elsewhere:
            time.sleep(1)


def _stuck(variants: Mapping[str, Any]) -> list[str]:
    """A warning of each variant with networks that never learned, though they were begun anew."""
    warnings = []
    for name, data in variants.items():
        if name.endswith(LIKELIEST):
            continue  # the same networks, read otherwise
        stages = {(curve["part"], curve["stage"]) for curve in data["curves"]}
        stuck = []
        for curve in data["curves"]:
            part, stage = curve["part"], curve["stage"]
            begun_anew = (part, f"{stage}/{AGAIN}") in stages
            if stage.startswith((SHARED, WHOLE)) and not begun_anew and is_at_chance(curve["lines"][-1]):
                stuck.append(f"{part}/{stage}")
        if stuck:
            warnings.append(
                f"{name}: {len(stuck)} of its networks are no better than always the same answer after their "
                f"last epoch, so that their tests say nothing of the variant: {list_few(stuck)}"
            )
    return warnings


def _keep_predictions(runs: Sequence[NetworkRun], answers: Sequence[Answers], folder: Path) -> Floats:
    """(N, 8) of each picture by a network that did not learn from it, written down; nan: in no test.

    The pictures for the report are kept beside them.
    """
    recipe, plan, corpus = runs[0].recipe, runs[0].plan, runs[0].corpus
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
def _measure_autoencoder(
    autoencoder: DenseAutoencoder, own: Tensor, images: Image, device: str
) -> NDArray[np.float64]:
    """(4,) of what it generates, as in `Answers`, beside as many principal components.

    Both are cut to 0..255; an error is the mean over pixels. PCA is fitted to the pictures that the
    autoencoder learned from, (n, 1, 48, 48) uint8, and to their mirror images, since it too saw these.
    """
    pca = fit_pca(torch.cat([own, own.flip(3)]), lambda batch: batch.flatten(1), autoencoder.width)
    sums = np.zeros(4)
    for i in range(0, len(images), 256):
        batch = as_tensor(images[i : i + 256]).float().to(device)  # (B, 1, 48, 48)
        flat = batch.flatten(1)
        for k, made in enumerate((autoencoder(batch).flatten(1), pca.project(flat))):
            sums[k] += float((made.clamp(0, 255) - flat).square().mean(1).sum())
        sums[2:] += float((autoencoder.encode(batch, 1) < 0).float().mean(1).sum()), len(batch)
    return sums


def _judge(
    runs: Sequence[NetworkRun],
    answers: Sequence[Answers],
    probabilities: Floats,
    drawn: Mapping[str, EmotionFolds],
    name: str,
    how: str,
) -> dict[str, Any]:
    """Tables 1-10 of one variant, its 8-way figures on all pictures it was tested on, and what made them."""
    recipe, labels = runs[0].recipe, runs[0].corpus.labels
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
            thresholds = [WINNER if how == "winner" else HALF]
        scores[emotion] = score_folds(drawn[emotion], read, thresholds)
    tested = _tested(probabilities, labels)
    net = make_network(recipe)
    return {
        **table_data(scores, confusion(labels[tested], probabilities[tested].argmax(1)), name),
        "threshold": how,
        "reconstruction": _reconstruction(runs, answers),
        "size": {"parameters": count_parameters(net), "multiply_adds": count_multiply_adds(net)},
        "curves": [curve for run in runs for curve in learning_curves(run.folder)],
    }


def _tested(probabilities: Floats, labels: Labels) -> Indices:
    """The labelled pictures that were tested, each with a network that had not been trained on it."""
    return np.flatnonzero(np.isfinite(probabilities).all(1) & (labels >= 0))


def _reconstruction(runs: Sequence[NetworkRun], answers: Sequence[Answers]) -> dict[str, Any] | None:
    """How far generated pixels are from the picture's, compared with as many principal components.

    Both on pictures of the tests, of its emotion where each has an autoencoder; `each` has these one by one.
    """
    if "restored" not in answers[0]:
        return None
    sums = np.sum([given["restored"] for given in answers], axis=0)  # (A, 4)

    def figures(row: NDArray[np.float64]) -> dict[str, Any]:
        n = max(1, int(row[3]))
        ours, theirs = np.sqrt(row[:2] / n).tolist()
        return {"autoencoder": ours, "pca": theirs, "negative": float(row[2] / n), "n": int(row[3])}

    return {
        "width": min(runs[0].recipe.hidden),
        **figures(sums.sum(0)),
        "each": dict(zip(EMOTIONS, map(figures, sums), strict=True)) if len(sums) > 1 else {},
        "unit": "root mean squared error, gray levels",
    }


def _compare_with_first(probabilities: Mapping[str, Floats], labels: Labels) -> list[dict[str, Any]]:
    """Each variant against the first, on the same pictures (McNemar, paired bootstrap)."""
    first, *others = probabilities
    tested = _tested(probabilities[first], labels)
    right = {name: each[tested].argmax(1) == labels[tested] for name, each in probabilities.items()}
    return [{"variants": [first, name], **compare_models(right[first], right[name])} for name in others]
