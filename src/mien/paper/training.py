"""Section 3, Fine-tuning: one variant of the paper's system learns, from its autoencoders to its labels.

"For Fine-tuning, first the last layer is trained by using supervised data. After that, backpropagation is
used to fine-tune the entire network using supervised data."

    PaperRecipe + TrainingPictures -> train_variant -> network -> predict_probabilities | export_paper_run

Legend: N pictures, M pictures without labels, B batch, H and W rows and columns.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from mien.files import write_whole
from mien.labels import EMOTIONS
from mien.paper.corpora import CroppedCorpus, load_corpus
from mien.paper.networks import (
    ConvolutionalAutoencoder,
    DenseAutoencoder,
    PaperCNN,
    find_autoencoders,
    find_cnns,
)
from mien.paper.pretrain import pretrain, pretrain_each
from mien.paper.variants import SHOWN_TO_ONE, PaperRecipe, make_network
from mien.train import distributed
from mien.train.augment import AugmentOptions, augment, labelled_loss
from mien.train.export import UNLABELLED, has_setting, read_run, write_model
from mien.train.faces import as_tensor, predict, unlabelled_faces
from mien.train.loop import (
    LOG,
    Batch,
    LoopOptions,
    Loss,
    Report,
    TrainingTask,
    load_averaged,
    staged,
    train,
)
from mien.train.recipes import claim_provenance, claim_recipe
from mien.types import Floats, Image

#: Folders of a run's stages.
AUTOENCODER: Final = "autoencoder"
LAST_LAYER: Final = "last-layer"
SHARED: Final = "shared"  # what eight networks start with
WHOLE: Final = "whole"
AGAIN: Final = "again"  # in a stage's folder: it was begun anew
FIGURES: Final = "figures.json"  # of eight networks together, on the faces that judge; all have learned


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

    Eight networks begin with the weights of one that learned all emotions, since a few hundred faces of
    contempt teach no filters. Then they learn one after the other, each with its own pictures, loss and cut
    of the gradient. `judge` gives the figures of one network after each epoch with labels, of eight at the
    end.
    """
    torch.manual_seed(recipe.loop.seed)
    net = make_network(recipe).to(pictures.images.device)
    dense = _train_autoencoders(recipe, net, pictures, run, report)
    mean = pictures.targets.mean(0)  # (8,)
    knows_nothing = -float(torch.special.xlogy(mean, mean).sum())
    loss = labelled_loss(recipe.augment)
    all_eight = Drawn(pictures.images, pictures.targets, loss, judge, length=SHOWN_TO_ONE * recipe.draws)
    if recipe.networks == "one":
        if recipe.variant == "pretrained":
            train_stack(recipe, find_cnns(net)[0], all_eight, pictures, run, report)
        return _learn(net, all_eight, recipe.loop_of_one(), run / WHOLE, knows_nothing, report)

    shared = PaperCNN(recipe.width, dropout=recipe.dropout).to(pictures.images.device)
    all_eight = replace(all_eight, judge=lambda _: {})
    if recipe.variant == "pretrained":
        train_stack(recipe, shared, all_eight, pictures, run, report)
    start = SharedStart(dense, shared)
    learned = _learn(start, all_eight, recipe.shared, run / SHARED, knows_nothing, report)
    start.load_state_dict(learned.state_dict())
    loss = binary_loss(recipe.augment)
    for k, (emotion, member) in enumerate(zip(EMOTIONS, net.members, strict=True)):  # type: ignore[arg-type]
        if not float(pictures.targets[:, k].sum()):
            continue  # nothing shows it: the network stays undecided
        _start_at(find_cnns(member)[0], shared, k, mean)
        task = OneAgainstRest(
            pictures.images, pictures.targets, loss, all_eight.judge, emotion=k, length=recipe.draws
        )
        learned = _learn(member, task, recipe.loop, run / WHOLE / emotion, math.log(2), report)
        member.load_state_dict(learned.state_dict())  # into the member, which may share its autoencoder
    if figures := judge(net):
        report({"stage": WHOLE, **figures})
    write_whole(run / FIGURES, json.dumps(figures) + "\n")
    return net


@torch.no_grad()
def _start_at(cnn: PaperCNN, shared: PaperCNN, emotion: int, prevalence: Tensor) -> None:
    """Give a network of one emotion the layers of one of eight outputs, and the last that tells the emotion.

    Its log-odds begin as the emotion's logit less the mean of the others', all without the logarithm of how
    often each is shown: about those of a test balanced over the others.
    """
    cnn.layers.load_state_dict(shared.layers.state_dict())
    share = torch.full((len(prevalence),), -1 / (len(prevalence) - 1), device=prevalence.device)
    share[emotion] = 1
    cnn.last.weight.copy_(share[None] @ shared.last.weight)
    cnn.last.bias.copy_(share[None] @ (shared.last.bias - prevalence.clamp(min=1e-4).log()))


def _learn(
    net: nn.Module, task: TrainingTask, options: LoopOptions, folder: Path, chance: float, report: Report
) -> nn.Module:
    """One stage of one network; `chance` is the loss of knowing nothing.

    One that still knows nothing after a fourth of its epochs (`is_at_chance`) begins anew, once, at a third
    of the rate.
    """
    judge = task.judge
    task = replace(task, judge=lambda averaged: {"chance": round(chance, 5), **judge(averaged)})
    options = replace(options, batch=min(options.batch, len(task)))
    patience = max(3, options.epochs // 4)
    stage = f"{WHOLE}/{folder.name}" if folder.parent.name == WHOLE else folder.name
    again = folder / AGAIN
    if not again.is_dir():
        begun = copy.deepcopy(net)

        def watch(line: Mapping[str, Any]) -> None:
            report({"stage": stage, **line})
            # processes that learn one network together all go on: only the first reports
            if patience <= line["epoch"] < options.epochs and is_at_chance(line) and distributed.size() == 1:
                raise _StillAtChance

        try:
            return train(net, task, options, folder, watch)
        except _StillAtChance:
            again.mkdir()
            net = begun
    return train(
        net, task, replace(options, rate=options.rate / 3), again, staged(f"{stage}/{AGAIN}", report)
    )


class _StillAtChance(Exception):
    """A network that knows nothing after the epochs in which others learn."""


def is_at_chance(line: Mapping[str, Any]) -> bool:
    """Whether a line of a log tells of a network that is no better than one that always answers alike."""
    return bool(line["loss"] > 0.98 * line.get("chance", math.inf))


def _folder_of(run: Path, emotion: str = "") -> Path:
    """Where the last stage of a network was learned."""
    folder = run / WHOLE / emotion
    return folder / AGAIN if (folder / AGAIN).is_dir() else folder


def _train_autoencoders(
    recipe: PaperRecipe, net: nn.Module, pictures: TrainingPictures, run: Path, report: Report
) -> list[DenseAutoencoder]:
    """Train the dense autoencoders of a variant, in place: none, one, or one for each emotion."""
    folder, report = run / AUTOENCODER, staged(AUTOENCODER, report)
    dense = find_autoencoders(net)
    if recipe.autoencoder_of_each:
        answer = pictures.targets.argmax(1)  # (N,)
        own = [pictures.images[answer == k] for k in range(len(EMOTIONS))]
        pretrain_each(dense, own, recipe.pretrain, folder, report)
    elif dense:
        pretrain(dense[0], pictures.unlabelled, recipe.pretrain, folder, report)
        for other in dense[1:]:
            other.load_state_dict(dense[0].state_dict())
    for each in dense:
        each.requires_grad_(recipe.joint)
    return dense


def train_stack(
    recipe: PaperRecipe, cnn: PaperCNN, task: Drawn, pictures: TrainingPictures, run: Path, report: Report
) -> None:
    """Section 3: train a CNN's layers as autoencoders, then its last layer alone; all are to learn next."""
    stack = ConvolutionalAutoencoder(cnn)
    pretrain(stack, pictures.unlabelled, recipe.pretrain, run / AUTOENCODER, staged(AUTOENCODER, report))
    options = replace(recipe.head, batch=min(recipe.head.batch, len(task)))
    cnn.requires_grad_(False).last.requires_grad_()
    trained = train(cnn, task, options, run / LAST_LAYER, staged(LAST_LAYER, report))
    cnn.load_state_dict(trained.state_dict())
    cnn.requires_grad_()


class SharedStart(nn.Module):
    """A CNN of eight outputs that learns from what autoencoders generate, in each step from one of them."""

    def __init__(self, autoencoders: Sequence[nn.Module], cnn: nn.Module) -> None:
        super().__init__()
        self.autoencoders = nn.ModuleList(autoencoders).requires_grad_(False)
        self.cnn = cnn

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, H, W) gray levels to (B, 8) logits."""
        if len(self.autoencoders):
            drawn = int(torch.randint(len(self.autoencoders), ())) if self.training else 0
            images = self.autoencoders[drawn](images).clamp(0, 255)
        logits: Tensor = self.cnn(images)
        return logits


@dataclass(frozen=True, slots=True)
class Drawn(TrainingTask):
    """Batches of pictures drawn with replacement, so that an epoch is as long for any corpus."""

    length: int  # pictures of an epoch

    def __len__(self) -> int:
        return self.length

    def batches(self, size: int, generator: torch.Generator) -> Iterator[Batch]:
        """This process's share of the batches of an epoch."""
        drawn = torch.randint(len(self.images), (self.length // size, size), generator=generator)
        for i in map(distributed.share, drawn.to(self.images.device)):
            yield self.images[i].to(self.device), self.targets[i.to(self.device)]


@dataclass(frozen=True, slots=True)
class OneAgainstRest(Drawn):
    """Batches as the paper's tests are made: half show the emotion, half the seven others, each as often.

    A picture is drawn for an emotion as often as people voted for it, so that the log-odds that are learned
    are those of a balanced test, and 2 of 10 votes for contempt teach too. Targets of a batch: (B,) 1 or 0.
    """

    emotion: int  # position in EMOTIONS

    def batches(self, size: int, generator: torch.Generator) -> Iterator[Batch]:
        """This process's share of the batches of an epoch, drawn with replacement."""
        count, half = self.length // size, size // 2
        votes = self.targets.T.cpu()  # (8, N)
        others = [k for k in range(len(votes)) if k != self.emotion and bool(votes[k].sum())] or [
            self.emotion
        ]
        each = -(-count * (size - half) // len(others))

        def draw(emotion: int, n: int) -> Tensor:
            return torch.multinomial(votes[emotion], n, replacement=True, generator=generator)

        rest = torch.cat([draw(k, each) for k in others])
        rest = rest[torch.randperm(len(rest), generator=generator)[: count * (size - half)]]
        drawn = torch.cat([draw(self.emotion, count * half).view(count, half), rest.view(count, -1)], 1)
        truth = (torch.arange(size) < half).float()
        for batch in drawn.to(self.images.device):
            pictures = self.images[distributed.share(batch)].to(self.device)
            yield pictures, distributed.share(truth).to(self.device)


def binary_loss(options: AugmentOptions) -> Loss:
    """Cross-entropy of one emotion against the rest, on augmented pictures; targets (B,) 1 or 0."""

    def loss(net: nn.Module, pictures: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        log_odds = net(augment(pictures, generator, options)).float()  # (B, 1)
        return nn.functional.binary_cross_entropy_with_logits(log_odds[:, 0], target)

    return loss


def predict_probabilities(recipe: PaperRecipe, net: nn.Module, images: Image, device: str) -> Floats:
    """(N, 48, 48) uint8 to (N, 8): sum 1, or of each emotion alone where there are eight networks."""
    eight = recipe.networks == "eight"
    return predict(net, images, device, torch.sigmoid if eight else partial(torch.softmax, dim=1))


def load_network(recipe: PaperRecipe, run: Path) -> nn.Module:
    """The network that `train_variant` made in `run`, from its last checkpoints."""
    net = make_network(recipe)
    if recipe.networks == "one":
        return load_averaged(net, _folder_of(run))
    for emotion, member in zip(EMOTIONS, net.members, strict=True):  # type: ignore[arg-type]
        if (run / WHOLE / emotion).is_dir():
            load_averaged(member, _folder_of(run, emotion))
    return net


def learning_curves(run: Path) -> list[dict[str, Any]]:
    """The log of each stage of a run, one line for each epoch, in the order in which they are learned."""
    return [
        {
            "part": run.name,
            "stage": log.parent.relative_to(run).as_posix(),
            "lines": [json.loads(line) for line in log.read_text().splitlines()],
        }
        for stage in (AUTOENCODER, LAST_LAYER, SHARED, WHOLE)
        for log in _logs(run / stage)
    ]


def _logs(folder: Path) -> list[Path]:
    """The logs of a stage, emotions in their order; one that was begun anew comes after its first try."""
    order = {emotion: str(k) for k, emotion in enumerate(EMOTIONS)}
    return sorted(folder.rglob(LOG), key=lambda log: [order.get(part, part) for part in log.parent.parts])


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

    `root` is the folder or zip of the `corpus` (in `CORPORA`), `unlabelled` of FairFace, for autoencoders.
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
            recipe=f"mien train {recipe.name} --data {corpus} {recipe.loop.arguments()}",
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
    return has_setting(run, "variant")


def export_paper_run(run: Path | str, path: Path | str, *, name: str | None = None) -> None:
    """Write the network of a finished run of the paper as ONNX with its card inside, named as its recipe is.

    The run is one of `mien train paper-...`, or a part of `mien reproduce` (`runs/paper/paper-300/part-1`).
    """
    run = Path(run)
    logs = _logs(run / WHOLE) or [run / WHOLE / LOG]
    recipe, facts, last = read_run(run, PaperRecipe, logs[-1])
    last.pop("chance", None)
    limits, whole = [], last["epoch"] == recipe.loop_of_one().epochs
    if recipe.networks == "eight":
        whole = (run / FIGURES).is_file()
        last = json.loads((run / FIGURES).read_text()) if whole else {}
        limits.append(
            "Eight networks, each of one emotion against the rest: its outputs are their log-odds, so that "
            "the probabilities of the eight emotions are not those that the networks give one by one."
        )
    write_model(
        load_network(recipe, run).requires_grad_(),
        path,
        name=name or recipe.name,
        facts=facts | ({} if whole else {"recipe": f"{facts['recipe']}, stopped before its end"}),
        last=last,
        data=[UNLABELLED.format("the autoencoder")] if facts.get("unlabelled") else [],
        limits=limits,
    )
