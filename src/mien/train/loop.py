"""The one training loop. Loss (with its augmentation), schedule and metric are functions handed to it.

Legend: N samples, B batch, H and W rows and columns.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mien.errors import TrainingError
from mien.train.checkpoint import load_checkpoint, save_checkpoint
from mien.train.optim import average, cosine, make_sgd

CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"


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


#: (net, pictures (B, 1, H, W) float32 0..255, targets of the batch, generator) -> scalar loss. What is
#: drawn at random (augmentation, noise, masks) comes from the generator, so that a run can be repeated.
Loss = Callable[[nn.Module, Tensor, Tensor, torch.Generator], Tensor]


@dataclass(frozen=True, slots=True)
class Task:
    """What to learn: pictures and targets on the device, and the functions of the loop."""

    images: Tensor  # (N, 1, H, W) uint8
    targets: Tensor  # (N, 8) float32 label distributions
    loss: Loss
    judge: Callable[[nn.Module], Mapping[str, float]]  # figures on the validation split


@dataclass(slots=True)
class State:
    """What changes while learning; exactly this is in a checkpoint."""

    net: nn.Module
    averaged: nn.Module
    optimizer: torch.optim.Optimizer
    epoch: int = 0  # epochs done


def train(
    net: nn.Module,
    task: Task,
    options: LoopOptions,
    run: Path,
    report: Callable[[Mapping[str, Any]], None] = lambda _: None,
) -> nn.Module:
    """Train `net`, going on from the run's checkpoint if there is one; gives the averaged network.

    After every epoch the run folder holds a checkpoint and one more line in `log.jsonl`. Every
    epoch draws from a generator seeded by (seed, epoch), so a resumed run equals an unbroken one.

    Raises:
        TrainingError: the loss is not finite.
    """
    state = _start(net.to(task.images.device), options, run)
    while state.epoch < options.epochs:
        began = time.perf_counter()
        loss = _epoch(state, task, options)
        state.epoch += 1
        line = {
            "epoch": state.epoch,
            "loss": round(loss, 5),
            "seconds": round(time.perf_counter() - began, 1),
            **task.judge(state.averaged),
        }
        save_checkpoint(run / CHECKPOINT, _pack(state))
        with (run / LOG).open("a") as log:
            log.write(json.dumps(line) + "\n")
        report(line)
    return state.averaged


def _start(net: nn.Module, options: LoopOptions, run: Path) -> State:
    if options.channels_last:
        net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_sgd(net, weight_decay=options.weight_decay, momentum=options.momentum)
    state = State(net, copy.deepcopy(net).requires_grad_(False), optimizer)
    if (run / CHECKPOINT).is_file():
        _unpack(state, load_checkpoint(run / CHECKPOINT))
        _trim_log(run / LOG, state.epoch)
    return state


def _trim_log(log: Path, epochs: int) -> None:
    """Drop lines of epochs that the checkpoint does not know (killed between the two writes)."""
    if log.is_file():
        lines = [line for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
        log.write_text("".join(lines[:epochs]))


def _pack(state: State) -> dict[str, Any]:
    return {
        "net": state.net.state_dict(),
        "averaged": state.averaged.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "epoch": state.epoch,
    }


def _unpack(state: State, packed: Mapping[str, Any]) -> None:
    try:
        state.net.load_state_dict(packed["net"])
        state.averaged.load_state_dict(packed["averaged"])
        state.optimizer.load_state_dict(packed["optimizer"])
        state.epoch = packed["epoch"]
    except (KeyError, RuntimeError, ValueError) as error:
        raise TrainingError(
            f"the run's checkpoint does not fit this network ({error}); "
            "give another --out, or remove the old run"
        ) from error


def _epoch(state: State, task: Task, options: LoopOptions) -> float:
    """One pass over the pictures in a random order; gives the mean loss."""
    generator = torch.Generator().manual_seed(options.seed * 1_000_003 + state.epoch)
    torch.manual_seed(options.seed * 1_000_003 + state.epoch)  # dropout
    count = len(task.images) // options.batch
    if count == 0:
        raise TrainingError(
            f"expected at least one batch of {options.batch} pictures, got {len(task.images)} in all"
        )
    order = torch.randperm(len(task.images), generator=generator)[: count * options.batch]
    state.net.train()
    total = 0.0
    for i, batch in enumerate(order.view(count, options.batch)):
        rate = cosine(
            state.epoch * count + i,
            options.epochs * count,
            peak=options.rate,
            warmup=int(options.warmup * count),
        )
        total += _step(state, task, (batch, generator), (rate, options.clip))
        average(state.averaged, state.net, _decay(options.average, state.epoch * count + i))
    return total / count


def _decay(decay: float, step: int) -> float:
    """Average little at first, when the weights are still far from good ones."""
    return min(decay, (1 + step) / (10 + step))


def _step(state: State, task: Task, draw: tuple[Tensor, torch.Generator], pace: tuple[float, float]) -> float:
    (batch, generator), (rate, clip) = draw, pace
    batch = batch.to(task.images.device)
    images = task.images[batch].float()  # (B, 1, H, W)
    loss = task.loss(state.net, images, task.targets[batch], generator)
    if not torch.isfinite(loss):
        raise TrainingError(
            f"the loss became {loss.item()} in epoch {state.epoch + 1}; the last whole epoch is in the run's "
            "checkpoint; lower the learning rate and start again"
        )
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    if clip:
        nn.utils.clip_grad_norm_(state.net.parameters(), clip)
    state.optimizer.step()
    return loss.item()
