"""What a training step waits for its pictures: from memory, and from a mapped file.

    python benchmarks/sources.py --root ferplus.zip --scratch /somewhere/large

FER+'s pictures are learnt from by the loop's own step, three ways: all in memory; mapped, repeated in a file
until they are `--gb` large, once with the file in the page cache and once with it put out of it before each
round. They take turns. Shown are, for a batch after the first of a round: what it takes to make it (time, and
processor time) with nothing beside it, then what a step of the network waits for it and takes in all. The
first batch is shown apart.
"""

from __future__ import annotations

import argparse
import copy
import mmap
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mien.data.arrays import gather, load_images
from mien.data.ferplus import ferplus
from mien.nets.compact import Compact
from mien.paper.cnn import PaperCNN
from mien.train.augment import AugmentOptions, labelled_loss
from mien.train.faces import as_tensor
from mien.train.loop import LoopOptions, TrainingState, TrainingTask, average, learn_batch, make_sgd, prefetch

BATCH = 128  # the compact recipe's
NETS: dict[str, Callable[[], torch.nn.Module]] = {"PaperCNN(16)": lambda: PaperCNN(16), "Compact()": Compact}
Batches = Iterator[tuple[Tensor, Tensor]]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--gb", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--net", choices=NETS, default="Compact()")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    few = load_images(ferplus(given.root, "train"))
    which = np.arange(round(given.gb * 1e9 / few[0].nbytes)) % len(few)
    mapped = gather([(few, which)], given.scratch)
    (file,) = given.scratch.glob("gathered-*.npy")
    ways: dict[str, tuple[TrainingTask, bool]] = {
        "in memory": (task(few), False),
        "mapped, in the page cache": (task(mapped), False),
        "mapped, on disk": (task(mapped), True),
    }
    print(f"{len(mapped)} pictures mapped, {len(few)} in memory, {given.threads} threads")
    step = make_step(NETS[given.net]())
    made: dict[str, list[list[tuple[float, float]]]] = {way: [] for way in ways}
    learnt: dict[str, list[list[tuple[float, float]]]] = {way: [] for way in ways}
    for round_ in range(given.rounds):
        for way, (source, cold) in ways.items():
            for times, clock in ((made, clocked), (learnt, lambda batches: timed(batches, step))):
                ready(file, cold, mapped)
                batches = source.batches(BATCH, torch.Generator().manual_seed(round_))
                batches = batches if times is made else prefetch(batches)  # as the loop does
                times[way].append([clock(batches) for _ in range(given.steps + 1)])
                del batches
    print("| pictures | a batch ms | its processor ms | the first ms | step waits ms | step ms |")
    print("|---|---:|---:|---:|---:|---:|")
    for way in ways:
        first = 1e3 * statistics.median(round_[0][0] for round_ in made[way])
        figures = (*medians(made[way]), first, *medians(learnt[way]))
        print(f"| {way} | " + " | ".join(f"{figure:.1f}" for figure in figures) + " |")


def medians(rounds: list[list[tuple[float, float]]]) -> tuple[float, float]:
    """In milliseconds, of the two clocks, without the first of each round."""
    pairs = [pair for round_ in rounds for pair in round_[1:]]
    return 1e3 * statistics.median(a for a, _ in pairs), 1e3 * statistics.median(b for _, b in pairs)


def clocked(batches: Batches) -> tuple[float, float]:
    """Seconds to make a batch, and of the processor."""
    began, worked = time.perf_counter(), time.process_time()
    next(batches)
    return time.perf_counter() - began, time.process_time() - worked


def task(images: np.ndarray) -> TrainingTask:
    """Pictures at hand, with targets of no meaning."""
    targets = torch.eye(8)[torch.arange(len(images)) % 8]
    return TrainingTask(as_tensor(images), targets, labelled_loss(AugmentOptions()), lambda _: {})


def ready(file: Path, cold: bool, mapped: np.ndarray) -> None:
    """The file in the page cache, or out of it: its pages must be unmapped first."""
    if not cold:
        file.read_bytes()
        return
    mapped.base._mmap.madvise(mmap.MADV_DONTNEED)
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def make_step(net: torch.nn.Module) -> Callable[[tuple[Tensor, Tensor]], None]:
    """The loop's step with a network."""
    net = net.to(memory_format=torch.channels_last).train()
    averaged = copy.deepcopy(net).requires_grad_(False)
    state = TrainingState(net, averaged, make_sgd(net, weight_decay=5e-4, momentum=0.9))
    generator, options = torch.Generator().manual_seed(0), LoopOptions()

    def step(batch: tuple[Tensor, Tensor]) -> None:
        learn_batch(state, labelled_loss(AugmentOptions()), batch, generator, options)
        average(averaged, net, 0.998)

    return step


def timed(batches: Batches, step: Callable[[tuple[Tensor, Tensor]], None]) -> tuple[float, float]:
    """Seconds until the batch is there, and until it is learnt from."""
    began = time.perf_counter()
    batch = next(batches)
    waited = time.perf_counter() - began
    step(batch)
    return waited, time.perf_counter() - began


if __name__ == "__main__":
    main()
