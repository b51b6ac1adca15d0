"""The one training loop. Loss (with its augmentation) and metric are functions handed to it.

From the top: options, the task, the loop, one epoch, one step; then the state that a checkpoint holds, and
schedule and averaging as functions.

Legend: N samples, B batch, H and W rows and columns.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from mien.errors import ConfigError, TrainingError
from mien.files import lock, make_folder, write_whole
from mien.train import distributed
from mien.video.ahead import read_ahead

CHECKPOINT: Final = "checkpoint.pt"
LOG: Final = "log.jsonl"
LOCK: Final = "training.lock"  # of a run: held by the process that trains it
OPTIMIZERS: Final = ("sgd", "adamw", "muon")
PRECISIONS: Final = ("float32", "bfloat16")  # bfloat16 has float32's range, so that the loss needs no scaling
_CHECK_EVERY: Final = 32  # steps between checks of the loss: each makes the processor wait for a GPU

Batch = tuple[Tensor, Tensor]  # pictures (B, 1, H, W) uint8 and targets


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
    clip: float = 0.0  # gradients with a larger Euclidean norm are scaled down to it; 0: never
    precision: str = "float32"  # of the arithmetic, one of PRECISIONS; weights are float32 always
    optimizer: str = "sgd"  # one of OPTIMIZERS

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch) < 1 or not 0 <= self.rate < float("inf") or not 0 <= self.average < 1:
            raise ConfigError(
                "learning: expected epochs and batch of 1 or more, a finite rate and an average in [0, 1), "
                f"got {self.epochs}, {self.batch}, {self.rate} and {self.average}"
            )
        if self.precision not in PRECISIONS:
            raise ConfigError(f"precision: expected one of {', '.join(PRECISIONS)}, got {self.precision!r}")
        if self.optimizer not in OPTIMIZERS:
            raise ConfigError(f"optimizer: expected one of {', '.join(OPTIMIZERS)}, got {self.optimizer!r}")

    def arguments(self, done: int | None = None) -> str:
        """What `mien train` may have been told of it, for a card; and if `done` are fewer, how many."""
        precision = "" if self.precision == "float32" else f" --precision {self.precision}"
        stopped = "" if done in {None, self.epochs} else f", stopped after {done} epochs"
        return f"--seed {self.seed} --epochs {self.epochs}{precision}{stopped}"


#: (net, pictures (B, 1, H, W) float32 0..255, targets of the batch, generator) -> scalar loss. What is
#: drawn at random (augmentation, noise, masks) comes from the generator, so that a run can be repeated.
Loss = Callable[[nn.Module, Tensor, Tensor, torch.Generator], Tensor]

Judge = Callable[[nn.Module], Mapping[str, float]]  # figures on the validation split
Report = Callable[[Mapping[str, Any]], None]  # takes one line per epoch


def staged(stage: str, report: Report) -> Report:
    """The same report, its lines beginning with the name of a stage, before that of a stage within it."""

    def told(line: Mapping[str, Any]) -> None:
        within = f"/{line['stage']}" if "stage" in line else ""
        report({"stage": stage + within} | {name: value for name, value in line.items() if name != "stage"})

    return told


@dataclass(frozen=True, slots=True)
class TrainingTask:
    """What to learn, and the functions of the loop."""

    images: Tensor  # (N, 1, H, W) uint8, in memory or in a mapped file; need not be on the device
    targets: Tensor  # (N, 8) float32 label distributions, on the device
    loss: Loss
    judge: Judge  # called after each epoch; its figures are written into the log

    @property
    def device(self) -> torch.device:
        """Where the targets are, and where the network learns."""
        return self.targets.device

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, size: int, generator: torch.Generator) -> Iterator[Batch]:
        """This process's share of the batches of an epoch: pictures and targets, on the device.

        There are `len // size` batches in a random order, of `size` pictures over all processes; some
        pictures are left over. The order is drawn from the generator, which is the same in each process,
        before the first batch is taken.
        """
        count = len(self) // size
        order = torch.randperm(len(self), generator=generator)[: count * size]
        order = order.to(self.images.device)
        shares = (distributed.share(batch) for batch in order.view(count, size))
        return ((self.images[i].to(self.device), self.targets[i.to(self.device)]) for i in shares)


def train(
    net: nn.Module,
    task: TrainingTask,
    options: LoopOptions,
    run: Path,
    report: Report = lambda _: None,
) -> nn.Module:
    """Train `net`, resuming from the run's checkpoint if it has one.

    After every epoch the run folder holds a checkpoint and one more line in `log.jsonl`. Every
    epoch draws from a generator seeded by (seed, epoch), so a resumed run equals an uninterrupted one.

    Args:
        net: the network; it is moved to the task's device.
        task: what to learn.
        options: how long and how fast.
        run: the folder of the run.
        report: takes the log's line after each epoch.

    Returns:
        The averaged network.

    Raises:
        TrainingError: the loss is not finite, the checkpoint does not fit, or another process trains there.
        OutputError: the checkpoint cannot be written.
    """
    make_folder(run)
    with lock(run / LOCK) if distributed.rank() == 0 else nullcontext(True) as mine:
        if not mine:
            raise TrainingError(f"{run}: another process trains in it; wait, or give another --out")
        state = _start(net.to(task.device), options, run)
        while state.epoch < options.epochs:
            began = time.perf_counter()
            loss = _epoch(state, task, options)
            seconds = round(time.perf_counter() - began, 1)
            line = {"epoch": state.epoch + 1, "loss": round(loss, 5), "seconds": seconds}
            state.lines.append(line)
            if distributed.rank() == 0:
                line |= task.judge(state.averaged)
                # A killed process leaves the old checkpoint or the new one, never part of one. Killed before
                # the log is there, the next start writes it from the checkpoint.
                write_whole(run / CHECKPOINT, lambda file: torch.save(state.pack(), file))
                _write_log(state, run)
                report(line)
            distributed.wait()
    return state.averaged


def _write_log(state: TrainingState, run: Path) -> None:
    write_whole(run / LOG, "".join(json.dumps(line) + "\n" for line in state.lines))


def _start(net: nn.Module, options: LoopOptions, run: Path) -> TrainingState:
    if options.channels_last:
        net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    distributed.agree(net)
    state = TrainingState(net, copy.deepcopy(net).requires_grad_(False), _make_optimizer(net, options))
    if (run / CHECKPOINT).is_file():
        state.unpack(load_checkpoint(run / CHECKPOINT))
        if distributed.rank() == 0:
            _write_log(state, run)
    return state


def _make_optimizer(net: nn.Module, options: LoopOptions) -> torch.optim.Optimizer:
    """SGD has Nesterov's momentum; weights decay, biases and norms do not."""
    groups = [
        {"params": [p for p in net.parameters() if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in net.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if options.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=0.0)
    if options.optimizer == "muon":
        return Muon(groups)
    return torch.optim.SGD(groups, lr=0.0, momentum=options.momentum, nesterov=True)


class Muon(torch.optim.Optimizer):
    """Steps as long in every direction of a matrix, also where its gradient is short.

    Jordan et al. 2024, https://kellerjordan.github.io/posts/muon; a step is as long as in arXiv:2502.16982.
    A vector is taken as a matrix of one row, more than two dimensions as several matrices.
    """

    def __init__(self, params: Any, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": 0.0, "momentum": momentum, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002
        """Move every weight that has a gradient."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                mean = self.state[p].setdefault("mean", torch.zeros_like(p))
                mean.lerp_(p.grad, 1 - group["momentum"])
                ahead = p.grad.lerp(mean, group["momentum"])  # Nesterov's
                step = orthogonalize(ahead if p.ndim > 1 else ahead[None]).view_as(p)
                length = 0.2 * max(step.shape[-2:]) ** 0.5
                p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(step, alpha=group["lr"] * length)


def orthogonalize(matrix: Tensor) -> Tensor:
    """(..., R, C) to nearly the nearest with orthonormal rows or columns: five steps of Newton and Schulz.

    A step is x -> (a + b x x' + c (x x')^2) x; all five are taken on the square x x', which is small.
    """
    x = matrix / (matrix.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    square = x @ x.mT  # (..., R, R)
    whole = same = torch.eye(x.shape[-2], device=x.device, dtype=x.dtype)
    for _ in range(5):
        step = 3.4445 * same - 4.775 * square + 2.0315 * square @ square
        whole, square = step @ whole, step @ square @ step
    x = whole @ x
    nearest: Tensor = x.mT if tall else x
    return nearest


def _epoch(state: TrainingState, task: TrainingTask, options: LoopOptions) -> float:
    """One pass over the pictures in a random order; gives the mean loss."""
    seed = options.seed * 1_000_003 + state.epoch
    generator = torch.Generator().manual_seed(seed)
    count = len(task) // options.batch
    if count == 0:
        raise TrainingError(
            f"expected at least one batch of {options.batch} pictures, got {len(task)} pictures"
        )
    batches = task.batches(options.batch, generator)
    torch.manual_seed(seed + (distributed.rank() << 32))  # dropout
    if distributed.rank():
        generator.manual_seed(seed + (distributed.rank() << 32))  # the same order, but other augmentations
    state.net.train()
    total = torch.zeros((), dtype=torch.float64, device=task.device)
    for i, batch in enumerate(read_ahead(batches, 1)):  # which hides disk reads
        step = state.epoch * count + i
        rate = cosine(step, options.epochs * count, peak=options.rate, warmup=int(options.warmup * count))
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        total += learn_batch(state, task.loss, batch, generator, options)
        # average little at first, when the weights are still far from good ones
        average(state.averaged, state.net, min(options.average, (1 + step) / (10 + step)))
        if (i % _CHECK_EVERY == _CHECK_EVERY - 1 or i == count - 1) and not torch.isfinite(total):
            raise _broken(f"the loss became {total.item()}", state.epoch)
    for net in (state.net, state.averaged):
        distributed.average_buffers(net)
        _check_weights(net, state.epoch)
    return distributed.mean(total).item() / count


def learn_batch(
    state: TrainingState, loss_of: Loss, batch: Batch, generator: torch.Generator, options: LoopOptions
) -> Tensor:
    """Learn from one batch; gives its loss, a scalar on the device."""
    images, targets = batch
    images = images.float()  # (B, 1, H, W)
    with torch.autocast(images.device.type, torch.bfloat16, enabled=options.precision == "bfloat16"):
        loss = loss_of(state.net, images, targets, generator)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    distributed.average_gradients(state.net)
    if options.clip:
        nn.utils.clip_grad_norm_(state.net.parameters(), options.clip)
    state.optimizer.step()
    return loss.detach()


def _check_weights(net: nn.Module, epoch: int) -> None:
    """Raise if a weight is not finite: a finite loss can have a gradient that is not."""
    for name, values in net.state_dict().items():
        if not torch.isfinite(values).all():
            raise _broken(f"{name} became infinite or NaN", epoch)


def _broken(what: str, epoch: int) -> TrainingError:
    return TrainingError(
        f"{what} in epoch {epoch + 1}; the last finished epoch is in the run's checkpoint; lower the "
        "learning rate and start again"
    )


@dataclass(slots=True)
class TrainingState:
    """What changes while learning; exactly this is in a checkpoint."""

    net: nn.Module
    averaged: nn.Module
    optimizer: torch.optim.Optimizer
    lines: list[dict[str, Any]] = field(default_factory=list)  # of the log, one per epoch done

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.lines)

    def pack(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "net": self.net.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "lines": self.lines,
        }

    def unpack(self, packed: Mapping[str, Any]) -> None:
        """Restore what `pack` gave; TrainingError if it belongs to another network."""
        try:
            self.net.load_state_dict(packed["net"])
            self.averaged.load_state_dict(packed["averaged"])
            self.optimizer.load_state_dict(packed["optimizer"])
            self.lines = list(packed["lines"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise TrainingError(
                f"the run's checkpoint does not fit this network ({error}); "
                "give another --out, or remove the old run"
            ) from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; only tensors and plain values are unpickled."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds on a damaged file
        reason = (str(error).splitlines() or [""])[0]  # torch adds pages of advice
        raise TrainingError(
            f"{path}: expected a checkpoint that `mien train` wrote, could not read it ({reason}); "
            "give the folder of a run, or train again"
        ) from error
    return state


def load_averaged(net: nn.Module, run: Path) -> nn.Module:
    """Fill `net` with the averaged weights of a run, as `train` left them."""
    state = load_checkpoint(run / CHECKPOINT)
    try:
        net.load_state_dict(state["averaged"])
    except (KeyError, RuntimeError) as error:
        raise TrainingError(
            f"{run}: its weights do not fit this network; give a run of the same network"
        ) from error
    return net


def cosine(step: int, steps: int, *, peak: float, warmup: int) -> float:
    """The learning rate at a step: linear warm-up, then half a cosine to zero (arXiv:1608.03983).

    >>> cosine(0, 100, peak=1.0, warmup=10), cosine(9, 100, peak=1.0, warmup=10)
    (0.1, 1.0)
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def soft_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy of (B, 8) logits against (B, 8) label distributions (arXiv:1608.01041, eq. 4).

    In float32 whatever the logits are in: autocast sees to that on a GPU, not on a CPU.
    """
    return -(target * torch.log_softmax(logits.float(), 1)).sum(1).mean()


@torch.no_grad()
def average(into: nn.Module, net: nn.Module, decay: float) -> None:
    """Move the averaged weights `into` towards those of `net`: exponential moving average."""
    for slow, fast in zip(into.state_dict().values(), net.state_dict().values(), strict=True):
        if slow.is_floating_point():
            slow.lerp_(fast, 1 - decay)
        else:
            slow.copy_(fast)
