"""How fast a training step is, as a share of what the machine can multiply.

    python benchmarks/training.py --threads 2

The step is the loop's own (`train.loop`): pictures taken from the data set, augmented, forward, backward, the
gradient cut, the optimizer, the averaged weights. It is timed in turn with a float32 matrix product on the
same threads (`--rounds` times, the best of three each; the median of the rounds' ratios is shown), for each
memory layout, plain ("no") and in modes of `torch.compile`. Operations are those that the step needs: every
layer of weights three times (forward, gradient of its input, gradient of its weights), the first layer twice.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from mien.config import provenance
from mien.nets.compact import Compact
from mien.nets.count import multiply_adds
from mien.paper.cnn import PaperCNN
from mien.paper.variants import PaperRecipe
from mien.train.augment import augment, labelled_loss
from mien.train.loop import TrainingState, average, learn_batch, make_sgd

BATCH = 64
PICTURES = 4096  # of the data set that batches are drawn from
GEMM = 2048  # side of the matrices
LAYOUTS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}


@dataclass(frozen=True)
class Case:
    """What is timed."""

    net: str
    layout: str
    mode: str  # of torch.compile, or "no"


def main() -> None:
    """Print the table; with --json write it too."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 32, 64, 128])
    parser.add_argument(
        "--modes", nargs="+", default=["no", "default"], help="no, default, max-autotune, ..."
    )
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    names = [*(f"PaperCNN({width})" for width in given.widths), "Compact()"]
    cases = [Case(name, layout, mode) for name in names for layout in LAYOUTS for mode in given.modes]
    rows = []
    print("| network | layout | compiled | step ms | GFLOP a step | share of GEMM | augment | data |")
    print("|---|---|---|---|---|---|---|---|")
    for case in cases:
        rows.append(measure(case, given.rounds))
        row = rows[-1]
        print(
            f"| {case.net} | {case.layout} | {case.mode} | {row['ms']:.0f} "
            f"| {row['gflop']:.1f} | {row['share']:.0%} | {row['augment']:.1%} | {row['data']:.1%} |",
            flush=True,
        )
    rates = [row["gemm"] for row in rows]
    print(
        f"\nGEMM {GEMM}: {min(rates):.0f} to {max(rates):.0f} GFLOP/s, {given.threads} threads, batch {BATCH}"
    )
    if given.json:
        given.json.write_text(json.dumps({"rows": rows, "provenance": provenance()}, indent=1) + "\n")


def measure(case: Case, rounds: int) -> dict[str, object]:
    """One network in one layout, in turn with the matrix product."""
    net = eval(case.net, {"PaperCNN": PaperCNN, "Compact": Compact})  # noqa: S307  a name of our own
    gflop = BATCH * 2 * step_multiply_adds(net) / 1e9
    net = net.to(memory_format=LAYOUTS[case.layout])
    run = make_step(net, case.mode)
    a, b = torch.randn(GEMM, GEMM), torch.randn(GEMM, GEMM)
    parts = part_times()
    pairs = []
    for _ in range(rounds):
        gemm = 2 * GEMM**3 / seconds(lambda: a @ b, 3) / 1e9
        step = seconds(run, 3)
        pairs.append((gemm, step))
    share = statistics.median(gflop / step / gemm for gemm, step in pairs)
    step = statistics.median(step for _, step in pairs)
    return {
        "net": case.net,
        "layout": case.layout,
        "compiled": case.mode,
        "ms": 1e3 * step,
        "gflop": gflop,
        "gemm": statistics.median(gemm for gemm, _ in pairs),
        "share": share,
        "augment": parts["augment"] / step,
        "data": parts["data"] / step,
    }


def step_multiply_adds(net: torch.nn.Module) -> int:
    """For one picture; the gradient of the picture itself is not needed."""
    first = next(m for m in net.modules() if isinstance(m, torch.nn.Conv2d))
    seen: list[int] = []
    hook = first.register_forward_hook(lambda m, _, out: seen.append(m.weight[0].numel() * out[0].numel()))
    total = multiply_adds(net)
    hook.remove()
    return 3 * total - seen[0]


def make_step(net: torch.nn.Module, mode: str) -> Callable[[], None]:
    """A step of the paper's recipe on pictures of noise."""
    recipe = PaperRecipe()
    options = replace(recipe.loop, batch=BATCH)
    optimizer = make_sgd(net, weight_decay=options.weight_decay, momentum=options.momentum)
    averaged = copy.deepcopy(net).requires_grad_(False)
    state = TrainingState(net if mode == "no" else torch.compile(net, mode=mode), averaged, optimizer)
    images = torch.randint(0, 256, (PICTURES, 1, 48, 48), dtype=torch.uint8)
    targets = torch.eye(8)[torch.randint(0, 8, (PICTURES,))]
    loss = labelled_loss(recipe.augment)
    generator = torch.Generator().manual_seed(0)
    state.net.train()

    def run() -> None:
        batch = torch.randint(0, PICTURES, (BATCH,), generator=generator)
        learn_batch(state, loss, (images[batch], targets[batch]), generator, options)
        average(averaged, net, options.average)

    return run


def part_times() -> dict[str, float]:
    """Seconds that a step spends on taking its pictures, and on augmenting them."""
    images = torch.randint(0, 256, (PICTURES, 1, 48, 48), dtype=torch.uint8)
    generator = torch.Generator().manual_seed(0)
    batch = torch.randint(0, PICTURES, (BATCH,), generator=generator)
    pictures = images[batch].float()
    options = PaperRecipe().augment
    return {
        "data": seconds(lambda: task_batch(images, batch), 20),
        "augment": seconds(lambda: augment(pictures, generator, options), 20),
    }


def task_batch(images: torch.Tensor, batch: torch.Tensor) -> torch.Tensor:
    """As the loop takes its pictures."""
    return images[batch].float()


def seconds(run: Callable[[], object], times: int = 1) -> float:
    """The best of some runs after one that warms up."""
    run()
    best = float("inf")
    for _ in range(times):
        began = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - began)
    return best


if __name__ == "__main__":
    main()
