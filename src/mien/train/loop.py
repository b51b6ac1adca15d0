"""The one training loop. Loss (with its augmentation), schedule and metric are functions handed to it.

Legend: N samples, B batch, H and W rows and columns.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from mien.errors import ConfigError, TrainingError
from mien.files import write_whole
from mien.train import dist
from mien.train.ahead import ahead
from mien.train.checkpoint import load_checkpoint, save_checkpoint
from mien.train.optim import average, cosine, make_sgd
from mien.train.state import State, pack, unpack

CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"
PRECISIONS = ("float32", "bfloat16")  # bfloat16 has float32's range, so that no loss need be scaled
_LOOK = 32  # steps between two looks at the loss: each makes the processor wait for a GPU


@dataclass(frozen=True, slots=True)
class LoopOptions:
    """How long and how fast to learn."""

    epochs: int = 32
    batch: int = 128
    rate: float = 0.1  # peak learning rate
    warmup: float = 2.0  # epochs
    weight_decay: float = 5e-4
    momentum: float = 0.9
    average: float = 0.998  # decay of the averaged weights, a step
    seed: int = 0
    channels_last: bool = True  # memory layout; which is faster depends on the network
    clip: float = 0.0  # longest gradient that is followed whole, as a Euclidean norm; 0: any
    precision: str = "float32"  # of the arithmetic, one of PRECISIONS; weights are float32 always

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch) < 1 or not 0 <= self.rate < float("inf") or not 0 <= self.average < 1:
            raise ConfigError(
                "learning: expected epochs and batch of 1 or more, a finite rate and an average in [0, 1), "
                f"got {self.epochs}, {self.batch}, {self.rate} and {self.average}"
            )
        if self.precision not in PRECISIONS:
            raise ConfigError(f"precision: expected one of {', '.join(PRECISIONS)}, got {self.precision!r}")


#: (net, pictures (B, 1, H, W) float32 0..255, targets of the batch, generator) -> scalar loss. What is
#: drawn at random (augmentation, noise, masks) comes from the generator, so that a run can be repeated.
Loss = Callable[[nn.Module, Tensor, Tensor, torch.Generator], Tensor]


Judge = Callable[[nn.Module], Mapping[str, float]]  # figures on the validation split


Report = Callable[[Mapping[str, Any]], None]  # takes a line an epoch


def staged(stage: str, report: Report) -> Report:
    """The same report, its lines beginning with the name of a stage."""
    return lambda line: report({"stage": stage, **line})


class Lesson(Protocol):
    """What the loop learns: all of it at hand (`Task`), or read as it goes (`stream.Stream`)."""

    @property
    def images(self) -> Tensor:
        """(N, 1, H, W) uint8, all pictures or some: what a network may look at before it learns."""

    @property
    def loss(self) -> Loss:
        """What is made small."""

    @property
    def judge(self) -> Judge:
        """What is written down of the network after each epoch."""

    @property
    def device(self) -> torch.device:
        """Where the network learns."""

    def __len__(self) -> int:
        """Pictures of an epoch."""

    def batches(self, size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """This process's share of the batches of an epoch: pictures and targets, on the device.

        There are `len // size` batches, of `size` pictures over all processes. What is drawn from the
        generator, which is the same in each of them, is drawn before the first batch is asked for.
        """


@dataclass(frozen=True, slots=True)
class Task:
    """What to learn, all of it at hand, and the functions of the loop."""

    images: Tensor  # (N, 1, H, W) uint8, in memory or in a mapped file; need not be on the device
    targets: Tensor  # (N, 8) float32 label distributions, on the device
    loss: Loss
    judge: Judge

    @property
    def device(self) -> torch.device:
        """Where the targets are, and where the network learns."""
        return self.targets.device

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """As `Lesson` has it; pictures in a random order, and some are left over."""
        count = len(self) // size
        order = torch.randperm(len(self), generator=generator)[: count * size]
        order = order.to(self.images.device)
        return (self._take(dist.share(batch)) for batch in order.view(count, size))

    def _take(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        return self.images[batch].to(self.device), self.targets[batch.to(self.device)]


def train(
    net: nn.Module,
    task: Lesson,
    options: LoopOptions,
    run: Path,
    report: Report = lambda _: None,
) -> nn.Module:
    """Train `net`, going on from the run's checkpoint if there is one; gives the averaged network.

    After every epoch the run folder holds a checkpoint and one more line in `log.jsonl`. Every
    epoch draws from a generator seeded by (seed, epoch), so a resumed run equals an unbroken one.

    Raises:
        TrainingError: the loss is not finite.
    """
    state = _start(net.to(task.device), options, run)
    while state.epoch < options.epochs:
        began = time.perf_counter()
        loss = _epoch(state, task, options)
        line = {
            "epoch": state.epoch + 1,
            "loss": round(loss, 5),
            "seconds": round(time.perf_counter() - began, 1),
        }
        state.lines.append(line | dict(task.judge(state.averaged) if dist.rank() == 0 else {}))
        if dist.rank() == 0:
            _keep(state, run)
            report(state.lines[-1])
        dist.wait()
    return state.averaged


def _keep(state: State, run: Path) -> None:
    """The checkpoint, then the log from it: killed between the two, the next start writes the log again."""
    save_checkpoint(run / CHECKPOINT, pack(state))
    _write_log(state, run)


def _write_log(state: State, run: Path) -> None:
    write_whole(run / LOG, "".join(json.dumps(line) + "\n" for line in state.lines))


def _start(net: nn.Module, options: LoopOptions, run: Path) -> State:
    if options.channels_last:
        net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    dist.agree(net)
    optimizer = make_sgd(net, weight_decay=options.weight_decay, momentum=options.momentum)
    state = State(net, copy.deepcopy(net).requires_grad_(False), optimizer)
    if (run / CHECKPOINT).is_file():
        unpack(state, load_checkpoint(run / CHECKPOINT))
        if dist.rank() == 0:
            _write_log(state, run)
    return state


def _epoch(state: State, task: Lesson, options: LoopOptions) -> float:
    """One pass over the pictures in a random order; gives the mean loss."""
    seed = options.seed * 1_000_003 + state.epoch
    generator = torch.Generator().manual_seed(seed)
    count = len(task) // options.batch
    if count == 0:
        raise TrainingError(
            f"expected at least one batch of {options.batch} pictures, got {len(task)} in all"
        )
    batches = task.batches(options.batch, generator)
    torch.manual_seed(seed + (dist.rank() << 32))  # dropout
    if dist.rank():
        generator.manual_seed(seed + (dist.rank() << 32))  # the same order, augmented otherwise
    state.net.train()
    total = torch.zeros((), dtype=torch.float64, device=task.device)
    for i, batch in enumerate(ahead(batches)):
        step = state.epoch * count + i
        _set_rate(state.optimizer, _rate(options, step, count))
        total += _step(state, task.loss, (*batch, generator), options)
        average(state.averaged, state.net, _decay(options.average, step))
        if i % _LOOK == _LOOK - 1 or i == count - 1:
            _check(total, state.epoch)
    for net in (state.net, state.averaged):
        dist.average_buffers(net)
        _check_weights(net, state.epoch)
    return dist.mean(total).item() / count


def _rate(options: LoopOptions, step: int, count: int) -> float:
    """The learning rate of a step, of which an epoch has `count`."""
    steps, warmup = options.epochs * count, int(options.warmup * count)
    return cosine(step, steps, peak=options.rate, warmup=warmup)


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _decay(decay: float, step: int) -> float:
    """Average little at first, when the weights are still far from good ones."""
    return min(decay, (1 + step) / (10 + step))


def _step(
    state: State, loss_of: Loss, draw: tuple[Tensor, Tensor, torch.Generator], options: LoopOptions
) -> Tensor:
    """Learn from a batch of pictures and targets; gives its loss, a scalar on the device."""
    images, targets, generator = draw
    images = images.float()  # (B, 1, H, W)
    with torch.autocast(images.device.type, torch.bfloat16, enabled=options.precision == "bfloat16"):
        loss = loss_of(state.net, images, targets, generator)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    dist.average_gradients(state.net)
    if options.clip:
        nn.utils.clip_grad_norm_(state.net.parameters(), options.clip)
    state.optimizer.step()
    return loss.detach()


def _check(total: Tensor, epoch: int) -> None:
    """Stop before weights that a broken loss has moved can reach a checkpoint."""
    if not torch.isfinite(total):
        raise _broken(f"the loss became {total.item()}", epoch)


def _check_weights(net: nn.Module, epoch: int) -> None:
    """A sound loss can have a broken gradient, which the next loss would tell an epoch too late."""
    for name, values in net.state_dict().items():
        if not torch.isfinite(values).all():
            raise _broken(f"{name} became infinite or no number", epoch)


def _broken(what: str, epoch: int) -> TrainingError:
    return TrainingError(
        f"{what} in epoch {epoch + 1}; the last whole epoch is in the run's checkpoint; lower the learning "
        "rate and start again"
    )
