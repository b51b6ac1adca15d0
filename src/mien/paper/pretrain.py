"""Section 3, Pretraining: autoencoders learn without labels, one unit after the other.

"Pretraining consists of training a sequence of autoencoders, greedily one layer at a time, using
unsupervised data" (Bengio et al. 2007).

Legend: N pictures, B batch, H and W rows and columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from mien.errors import ConfigError
from mien.paper.networks import AutoencoderUnit, DenseUnit, StackedAutoencoder, fit_pca
from mien.train import distributed
from mien.train.augment import AugmentOptions, augment
from mien.train.loop import CHECKPOINT, Batch, LoopOptions, Loss, Report, TrainingTask, staged, train

CORRUPTIONS: Final = ("none", "noise", "mask")
_SHARED: Final = "shared"  # a start, and the folder in which it is learned
STARTS: Final = ("pca", "random", _SHARED)
#: After a shared start each autoencoder learns its own pictures for this share of the epochs and the rate.
_OWN_EPOCHS: Final = 0.25
_OWN_RATE: Final = 0.1
_PATCH: Final = 8  # pixels of a side of what a mask hides


@dataclass(frozen=True, slots=True)
class PretrainOptions:
    """The autoencoder's input, and how long each unit learns. None of it is in the paper.

    "noise" is the denoising autoencoder (Vincent et al. 2008). "mask" is the masked one (FCMAE,
    arXiv:2301.00808; SparK, arXiv:2301.03580): patches are hidden from every unit, and the error is that
    of what was hidden. All units then learn at once: a first layer of 5 x 5 alone cannot see past a patch.
    """

    corruption: str = "none"  # one of CORRUPTIONS
    share: float = 0.6  # of the patches that a mask hides
    deviation: float = 25.0  # of the noise, in gray levels
    epochs: int = 30  # for each unit
    batch: int = 128
    rate: float = 0.1  # peak learning rate
    seed: int = 0
    #: First weights of dense units, one of STARTS; section 2.3: random. Several autoencoders with a "shared"
    #: start are one that learned the pictures of all from random weights, before each learns its own.
    start: str = "random"
    optimizer: str = "sgd"  # one of `mien.train.loop.OPTIMIZERS`
    draws: int = 0  # pictures of an epoch of each, drawn with replacement; 0: all, once
    shift: float = 0.0  # share of the side by which a picture, or its mirror image, is moved; 0: neither

    def __post_init__(self) -> None:
        if self.corruption not in CORRUPTIONS or self.start not in STARTS:
            raise ConfigError(
                f"pretraining: expected corruption one of {', '.join(CORRUPTIONS)} and start one of "
                f"{', '.join(STARTS)}, got {self.corruption!r} and {self.start!r}"
            )

    @property
    def after_shared(self) -> PretrainOptions:
        """The options by which each of several learns its own pictures after a shared start.

        It is short: a few hundred faces of contempt teach 300 nodes less than all faces did.
        """
        return replace(self, epochs=max(1, round(self.epochs * _OWN_EPOCHS)), rate=self.rate * _OWN_RATE)

    def count_epochs(self, autoencoders: int) -> int:
        """Epochs of all autoencoders together, that of a shared start among them."""
        if self.start == _SHARED and autoencoders > 1:
            return self.epochs + autoencoders * self.after_shared.epochs
        return autoencoders * self.epochs

    def loop(self, pictures: int) -> LoopOptions:
        """The options of the loop that one unit learns in.

        No weight decay, since there is nothing to overfit to but the pictures. Codes have no norm that
        would hold their size, so that SGD cuts a long gradient; others' steps have a length of their own.
        """
        return LoopOptions(
            self.epochs,
            min(self.batch, pictures),
            self.rate,
            warmup=min(2.0, self.epochs / 10),
            weight_decay=0.0,
            average=0.998 if self.optimizer == "sgd" else 0.99,
            seed=self.seed,
            clip=1.0 if self.optimizer == "sgd" else 0.0,
            optimizer=self.optimizer,
        )


def pretrain(
    net: StackedAutoencoder,
    images: Tensor,
    options: PretrainOptions,
    run: Path,
    report: Report = lambda _: None,
) -> StackedAutoencoder:
    """Train the units of `net`; each stage has its own folder in `run` and resumes where it was stopped.

    Unit k learns to restore the clean code of unit k - 1 from that of the corrupted picture. The network
    learns on its own device; the pictures, (N, 1, H, W) uint8, may be elsewhere.
    """
    task: TrainingTask = _PicturesTask.of([images], options, net)
    if not options.draws:
        task = TrainingTask(images, task.targets, task.loss, task.judge)
    loop = options.loop(len(task))

    def learn(name: str, stage: nn.Module) -> None:
        trained = train(stage, task, loop, run / name, staged(name, report))
        net.load_state_dict(trained.net.state_dict())  # type: ignore[union-attr]

    if options.corruption == "mask":
        learn("masked", MaskedLoss(net))
    else:
        for depth in range(1, len(net.units) + 1):
            name, stage = f"unit-{depth}", UnitLoss(net, depth)
            fresh = not (run / name / CHECKPOINT).is_file()
            if options.start == "pca" and fresh and distributed.rank() == 0:
                stage.start_at_pca(_as_shown(images, options))  # the other processes take over its weights
            learn(name, stage)
    return net.requires_grad_()


def pretrain_each(
    nets: Sequence[StackedAutoencoder],
    images: Sequence[Tensor],
    options: PretrainOptions,
    run: Path,
    report: Report = lambda _: None,
) -> None:
    """Train several autoencoders of one shape side by side, each on its own pictures, as `pretrain` does one.

    One whose pictures, (n, 1, H, W) uint8, are none learns from those of all. There are no masks; without
    `draws`, an epoch shows each as many pictures as each has on average. The loss reported is the sum of all.
    """
    everything = torch.cat(list(images))
    own = [each if len(each) else everything for each in images]
    if options.start == _SHARED:
        pretrain(nets[0], everything, options, run / _SHARED, staged(_SHARED, report))
        for net in nets[1:]:
            net.load_state_dict(nets[0].state_dict())
        options = options.after_shared
    task = _PicturesTask.of(own, options, nets[0])
    for depth in range(1, len(nets[0].units) + 1):
        folder = run / f"unit-{depth}"
        stages = [UnitLoss(net, depth) for net in nets]
        if options.start == "pca" and not (folder / CHECKPOINT).is_file():
            for stage, pictures in zip(stages, own, strict=True):
                stage.start_at_pca(_as_shown(pictures, options))
        report_unit = staged(folder.name, report)
        trained = train(SideBySide(stages), task, options.loop(len(task)), folder, report_unit)
        trained.return_to(stages)  # type: ignore[operator]
    for net in nets:
        net.requires_grad_()


def _as_shown(images: Tensor, options: PretrainOptions) -> Tensor:
    """(N, 1, H, W) pictures, and where they are mirrored in learning, their mirror images."""
    return torch.cat([images, images.flip(3)]) if options.shift else images


def _restoring(options: PretrainOptions) -> Loss:
    """The error of a stage on pictures that are moved and mirrored, and for its input corrupted."""
    moved = AugmentOptions(0, 0, 0, options.shift, 0, 0, 0, 0, 0)

    def loss(stage: nn.Module, images: Tensor, _: Tensor, generator: torch.Generator) -> Tensor:
        pictures = augment(images, generator, moved) if options.shift else images
        error: Tensor = stage(pictures, *corrupt(pictures, generator, options))
        return error

    return loss


@dataclass(frozen=True, slots=True)
class _PicturesTask(TrainingTask):
    """Batches (B, M, H, W) in which channel m has pictures for network m, drawn with replacement."""

    own: Sequence[Tensor]  # M of (n, 1, H, W) uint8

    @classmethod
    def of(cls, own: Sequence[Tensor], options: PretrainOptions, net: nn.Module) -> _PicturesTask:
        """To restore the pictures, on the device of the network; the targets are (length of an epoch, 0)."""
        length = options.draws or max(1, sum(map(len, own)) // len(own))
        targets = torch.zeros(length, 0, device=next(net.parameters()).device)
        return cls(own[0], targets, _restoring(options), lambda _: {}, own)

    def __len__(self) -> int:
        return len(self.targets)

    def batches(self, size: int, generator: torch.Generator) -> Iterator[Batch]:
        """This process's share of the batches of an epoch, on the device."""
        count = len(self) // size
        draws = [torch.randint(len(each), (count, size), generator=generator) for each in self.own]
        draws = [i.to(each.device) for i, each in zip(draws, self.own, strict=True)]
        for number in range(count):
            chosen = [distributed.share(i[number]) for i in draws]
            drawn = [each[i].to(self.device) for each, i in zip(self.own, chosen, strict=True)]
            yield torch.cat(drawn, 1), self.targets[:size]


class SideBySide(nn.Module):
    """Stages of one shape whose weights are stacked, so that one step of arithmetic serves all of them.

    Their losses share no weight: the sum's gradient is that of each, and neither Adam's nor Muon's steps
    mix what is stacked.
    """

    def __init__(self, stages: Sequence[nn.Module]) -> None:
        super().__init__()
        # the shape alone, kept in a list so that its weights are none of this module
        self._shape = [stages[0]]
        learn = {name for name, p in stages[0].named_parameters() if p.requires_grad}
        state, _ = torch.func.stack_module_state(list(stages))  # name to (M, ...)
        self.weights = nn.ParameterDict(
            {
                # (M, rows, columns): a bias is a matrix of one row
                name.replace(".", "-"): nn.Parameter(_as_matrices(value.detach().clone()), name in learn)
                for name, value in state.items()
            }
        )

    def forward(self, clean: Tensor, corrupted: Tensor, visible: None = None) -> Tensor:  # noqa: ARG002
        """(B, M, H, W) clean and corrupted pictures, a channel each, to the sum of the M errors."""
        state = {
            name.replace("-", "."): value[:, 0] if name.endswith("bias") else value
            for name, value in self.weights.items()
        }

        def one(weights: dict[str, Tensor], clean: Tensor, corrupted: Tensor) -> Tensor:
            error: Tensor = torch.func.functional_call(
                self._shape[0], weights, (clean.unsqueeze(1), corrupted.unsqueeze(1))
            )
            return error

        errors: Tensor = torch.vmap(one, in_dims=(0, 1, 1))(state, clean, corrupted)  # (M,)
        return errors.sum()

    def return_to(self, stages: Sequence[nn.Module]) -> None:
        """Give each stage its weights back."""
        for m, stage in enumerate(stages):
            own = {name.replace("-", "."): weight[m] for name, weight in self.weights.items()}
            stage.load_state_dict({k: w[0] if k.endswith("bias") else w for k, w in own.items()})


def _as_matrices(stacked: Tensor) -> Tensor:
    """(M, ...) weights or biases to (M, rows, columns)."""
    return stacked if stacked.ndim > 2 else stacked[:, None]


def corrupt(
    images: Tensor, generator: torch.Generator, options: PretrainOptions
) -> tuple[Tensor, Tensor | None]:
    """(B, 1, H, W) gray levels to the autoencoder's input, and what it may see of it (None: all)."""
    if options.corruption == "mask":
        return images, draw_visible(images, generator, options.share)
    if options.corruption == "noise":
        noise = torch.randn(images.shape, generator=generator).to(images.device)
        return images + noise * options.deviation, None
    return images, None


def draw_visible(images: Tensor, generator: torch.Generator, hidden: float) -> Tensor:
    """(B, 1, H, W) of ones, and of zeros on a share of its square patches, drawn for each picture."""
    n, _, height, width = images.shape
    draw = torch.rand(n, 1, height // _PATCH, width // _PATCH, generator=generator)
    visible = (draw >= hidden).to(images)
    return visible.repeat_interleave(_PATCH, 2).repeat_interleave(_PATCH, 3)


class UnitLoss(nn.Module):
    """The error with which one unit of a stack restores its input; only that unit learns."""

    def __init__(self, net: StackedAutoencoder, depth: int) -> None:
        super().__init__()
        self.net = net.requires_grad_(False)
        self.depth = depth  # of the unit, from 1
        self.unit.requires_grad_()

    @property
    def unit(self) -> AutoencoderUnit:
        """The unit that learns."""
        return self.net.units[self.depth - 1]  # type: ignore[return-value]

    def forward(self, clean: Tensor, corrupted: Tensor, visible: None = None) -> Tensor:  # noqa: ARG002
        """(B, 1, H, W) clean and corrupted pictures to the mean squared error of the restored code."""
        with torch.no_grad():
            target = self.net.encode(clean, self.depth - 1)
            code = target if corrupted is clean else self.net.encode(corrupted, self.depth - 1)
        return nn.functional.mse_loss(self.unit.decode(self.unit.encode(code)), target)

    def start_at_pca(self, images: Tensor) -> None:
        """Give a dense unit the best linear solution for (N, 1, H, W) uint8 pictures as its first weights."""
        unit = self.unit
        if isinstance(unit, DenseUnit):
            device = unit.encoder.weight.device

            def encode(pictures: Tensor) -> Tensor:
                return self.net.encode(pictures.to(device), self.depth - 1)

            unit.start_at(fit_pca(images, encode, unit.encoder.out_features))


class MaskedLoss(nn.Module):
    """The error with which a whole stack restores what is hidden from it; all units learn."""

    def __init__(self, net: StackedAutoencoder) -> None:
        super().__init__()
        self.net = net.requires_grad_()

    def forward(self, clean: Tensor, corrupted: Tensor, visible: Tensor) -> Tensor:
        """(B, 1, H, W) pictures to the mean squared error of what is hidden, in units of 64 gray levels."""
        generated = self.net.decode(self.net.encode(corrupted, visible=visible))
        hidden = 1 - visible
        return (((generated - clean) / 64.0).square() * hidden).sum() / hidden.sum().clamp(min=1)
