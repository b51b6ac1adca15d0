"""Section 3, Fine-tuning: one variant of the paper's system learns, from its autoencoders to its labels.

"For Fine-tuning, first the last layer is trained by using supervised data. After that, backpropagation is
used to fine-tune the entire network using supervised data."

    PaperRecipe + TrainingPictures -> train_variant -> network -> predict_probabilities | export_paper_run

Legend: N pictures, M pictures without labels, B batch, H and W rows and columns.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from mien.config import provenance
from mien.data.arrays import data_hash
from mien.data.splits import Indices
from mien.labels import EMOTIONS
from mien.paper.corpora import CroppedCorpus, load_corpus
from mien.paper.networks import AutoencoderThenCNN, ConvolutionalAutoencoder, OneForEachEmotion, PaperCNN
from mien.paper.pretrain import pretrain
from mien.paper.variants import PaperRecipe, make_network
from mien.train import distributed
from mien.train.augment import AugmentOptions, augment, labelled_loss
from mien.train.export import UNLABELLED, read_run, write_model
from mien.train.faces import as_tensor, predict, unlabelled_faces
from mien.train.loop import LOG, Loss, Report, TrainingTask, load_averaged, staged, train
from mien.train.recipes import CONFIG, claim_provenance, claim_recipe
from mien.types import Floats, Image

#: Folders of a run's stages.
AUTOENCODER: Final = "autoencoder"
LAST_LAYER: Final = "last-layer"
WHOLE: Final = "whole"


@dataclass(frozen=True, slots=True, eq=False)
class TrainingPictures:
    """What a variant learns from, on the device where it learns."""

    images: Tensor  # (N, 1, 48, 48) uint8, labelled
    targets: Tensor  # (N, 8) float32 label distributions
    unlabelled: Tensor  # (M, 1, 48, 48) uint8, for the autoencoders

    @classmethod
    def take(
        cls, corpus: CroppedCorpus, train: Indices, labelled: Indices, more: Image | None, device: str
    ) -> TrainingPictures:
        """The `labelled` of a corpus; without labels all that `train`, and (M, 48, 48) uint8 `more`."""
        unlabelled = [corpus.images[train], *([] if more is None else [more])]
        return cls(
            images=as_tensor(corpus.images[labelled]).to(device),
            targets=torch.from_numpy(corpus.targets[labelled]).to(device),
            unlabelled=as_tensor(np.concatenate(unlabelled)).to(device),
        )


def train_variant(
    recipe: PaperRecipe,
    pictures: TrainingPictures,
    run: Path,
    report: Report = lambda _: None,
    judge: Callable[[nn.Module], Mapping[str, float]] = lambda _: {},
) -> nn.Module:
    """Train a variant in its stages; each has a folder in `run` and resumes where it was stopped.

    Args:
        recipe: the variant.
        pictures: what it learns from.
        run: the folder.
        report: takes one line for each epoch.
        judge: gives the figures of the network after each epoch with labels.
    """
    torch.manual_seed(recipe.loop.seed)
    net = make_network(recipe).to(pictures.images.device)
    _train_autoencoders(recipe, net, pictures, run, report)
    if recipe.networks == "eight":
        loss = binary_loss(recipe.augment, pictures.targets.mean(0))
    else:
        loss = labelled_loss(recipe.augment)
    task = TrainingTask(pictures.images, pictures.targets, loss, judge)
    batch = min(recipe.loop.batch, len(pictures.images))
    if recipe.variant == "pretrained":
        options = replace(recipe.head, batch=batch)
        trained = train(LastLayerOnly(net), task, options, run / LAST_LAYER, staged(LAST_LAYER, report))
        net.load_state_dict(trained.net.state_dict())  # type: ignore[union-attr]
        net.requires_grad_()
    return train(net, task, replace(recipe.loop, batch=batch), run / WHOLE, staged(WHOLE, report))


def _train_autoencoders(
    recipe: PaperRecipe, net: nn.Module, pictures: TrainingPictures, run: Path, report: Report
) -> None:
    """Train what a variant learns without labels, in place."""
    folder = run / AUTOENCODER
    if recipe.variant == "pretrained":
        # of eight networks, the first learns and the others copy it
        first, *others = _cnns(net)
        pretrain(ConvolutionalAutoencoder(first), pictures.unlabelled, recipe.pretrain, folder, report)
        for other in others:
            other.layers.load_state_dict(first.layers.state_dict())
    elif isinstance(net, AutoencoderThenCNN):
        if isinstance(net.autoencoder, OneForEachEmotion):
            answer = pictures.targets.argmax(1)  # (N,)
            for i, (emotion, member) in enumerate(zip(EMOTIONS, net.autoencoder.members, strict=True)):
                own = pictures.images[answer == i]
                if len(own):  # else it stays as it is, and generates noise
                    pretrain(member, own, recipe.pretrain, folder / emotion, report)  # type: ignore[arg-type]
        else:
            pretrain(net.autoencoder, pictures.unlabelled, recipe.pretrain, folder, report)  # type: ignore[arg-type]
        net.autoencoder.requires_grad_(False)


def _cnns(net: nn.Module) -> list[PaperCNN]:
    return [module for module in net.modules() if isinstance(module, PaperCNN)]


class LastLayerOnly(nn.Module):
    """A network of which the last layer alone learns."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net.requires_grad_(False)
        for cnn in _cnns(net):
            cnn.last.requires_grad_()

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, H, W) to (B, 8) logits."""
        logits: Tensor = self.net(images)
        return logits


def binary_loss(options: AugmentOptions, prevalence: Tensor) -> Loss:
    """Of eight networks, each against the rest: cross-entropy in which both halves weigh the same.

    A test of the paper is balanced (140 of the emotion, 140 of others), training pictures are not: the
    emotion's own weigh more, so that a probability of a half is where the test has its middle.

    Args:
        options: of the augmentation.
        prevalence: (8,) share of each emotion among the training labels; one that is absent counts for
            nothing.
    """
    weight = (1 - prevalence) / prevalence.clamp(min=1e-6)  # (8,)
    present = (prevalence > 0).to(prevalence)

    def loss(net: nn.Module, pictures: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        log_odds = net(augment(pictures, generator, options))  # (B, 8)
        each = nn.functional.binary_cross_entropy_with_logits(
            log_odds, target, pos_weight=weight.to(log_odds), weight=present.to(log_odds)
        )
        return each * 0.5

    return loss


def predict_probabilities(recipe: PaperRecipe, net: nn.Module, images: Image, device: str) -> Floats:
    """(N, 48, 48) uint8 to (N, 8): sum 1, or of each emotion alone where there are eight networks."""
    eight = recipe.networks == "eight"
    return predict(net, images, device, torch.sigmoid if eight else partial(torch.softmax, dim=1))


def load_network(recipe: PaperRecipe, run: Path) -> nn.Module:
    """The network that `train_variant` made in `run`, from its last checkpoint."""
    return load_averaged(make_network(recipe), run / WHOLE)


def learning_curves(run: Path) -> list[dict[str, Any]]:
    """The log of each stage of a run, one line for each epoch, in the order in which they are learned."""
    stages = [*sorted((run / AUTOENCODER).rglob(LOG)), run / LAST_LAYER / LOG, run / WHOLE / LOG]
    return [
        {
            "part": run.name,
            "stage": log.parent.relative_to(run).as_posix(),
            "lines": [json.loads(line) for line in log.read_text().splitlines()],
        }
        for log in stages
        if log.is_file()
    ]


def train_paper(
    recipe: PaperRecipe,
    corpus: str,
    root: Path,
    run: Path,
    *,
    unlabelled: Path | None = None,
    device: str = "cpu",
    report: Report,
) -> None:
    """Train a variant on a corpus, resuming where it was stopped (`mien train paper-300`).

    Args:
        recipe: the variant.
        corpus: a name in `corpora.CORPORA`.
        root: folder or zip of the corpus.
        run: the folder of the run.
        unlabelled: folder or zip of FairFace, more pictures for the autoencoders.
        device: cpu, cuda, ...
        report: takes one line for each epoch.
    """
    with distributed.first_alone():
        claim_recipe(recipe, run)
        faces = load_corpus(corpus, root, run / "cache")
        test = faces.test
        if test is None:
            test = faces.split((0.9, 0.1), recipe.loop.seed)[1]  # a tenth is kept to judge
        training, held_out = faces.outside(test)
        more = None if unlabelled is None else unlabelled_faces(unlabelled, run / "cache")
        facts = provenance(
            seed=recipe.loop.seed,
            corpus=corpus,
            pictures=len(training),
            data=data_hash(faces.images[training]),
            unlabelled=0 if more is None else len(more),
            recipe=f"mien train {recipe.name} --data {corpus} --seed {recipe.loop.seed}",
        )
        claim_provenance(run, facts)

    def judge(net: nn.Module) -> dict[str, float]:
        guess = predict(net, faces.images[held_out], device).argmax(1)
        accuracy = float((guess == faces.labels[held_out]).mean())
        return {"accuracy": round(accuracy, 5), "n": len(held_out)}

    pictures = TrainingPictures.take(faces, training, training, more, device)
    train_variant(recipe, pictures, run, report, judge)


def is_paper_run(run: Path) -> bool:
    """Whether a folder holds a run of the paper's recipes."""
    try:
        return "variant" in tomllib.loads((run / CONFIG).read_text())
    except (OSError, ValueError):
        return False


def export_paper_run(run: Path, path: Path, *, name: str | None = None) -> None:
    """Write the network of a finished run of the paper as ONNX with its card inside.

    Args:
        run: a folder made by `mien train paper-...`, or a part of `mien reproduce`
            (e.g. `runs/paper/paper-300/part-1`).
        path: the file to write.
        name: what the card calls the network; None: as its recipe is called.
    """
    recipe, facts, last = read_run(run, PaperRecipe, run / WHOLE / LOG)
    limits = []
    if recipe.networks == "eight":
        limits.append(
            "Eight networks, each of one emotion against the rest: its outputs are their log-odds, so that "
            "the probabilities of the eight emotions are not those that the networks give one by one."
        )
    write_model(
        load_network(recipe, run).requires_grad_(),
        path,
        name=name or recipe.name,
        facts=facts,
        last=last,
        data=[UNLABELLED.format("the autoencoder")] if facts.get("unlabelled") else [],
        limits=limits,
    )
