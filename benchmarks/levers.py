"""What each lever of the compact network's recipe gives, one at a time, at small scale.

    python benchmarks/levers.py --ferplus ferplus.zip --out runs/levers

Every run learns FER+ train for --epochs and is judged on FER+ valid; all else is the recipe `compact` (no
teachers). A lever's figure is its difference to `as it is` in the same faces, with a 95 % interval of a
paired bootstrap over faces; what the seeds do is not in it, so that less than a point says little.

Each run has a folder with its `result.json`; the command goes on where it was stopped, and ends with the
table of all runs in --out.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mien.data.arrays import load_images
from mien.data.audit import duplicate_of_earlier
from mien.data.fer import ferplus
from mien.evaluate.protocol import PROTOCOLS
from mien.nets.compact import Compact, CompactOptions
from mien.paper.scores import paired_bootstrap
from mien.train.augment import augment
from mien.train.export import fold
from mien.train.loop import TrainingTask, soft_cross_entropy, train
from mien.train.recipes import Recipe, make_recipe, make_task

RESULT = "result.json"


@dataclass(frozen=True)
class Lever:
    """One change: any of its parts."""

    what: str
    recipe: Callable[[Recipe], Recipe] = lambda recipe: recipe
    net: Callable[[], nn.Module] = Compact
    task: Callable[[TrainingTask, Recipe], TrainingTask] = lambda task, _recipe: task


def loop(**changes: float | str) -> Callable[[Recipe], Recipe]:
    """A change of the loop's options."""
    return lambda recipe: replace(recipe, loop=replace(recipe.loop, **changes))


def augmented(**changes: float) -> Callable[[Recipe], Recipe]:
    """A change of the augmentation's options."""
    return lambda recipe: replace(recipe, augment=replace(recipe.augment, **changes))


def shape(**changes: object) -> Callable[[], nn.Module]:
    """A change of the network."""
    return lambda: Compact(replace(CompactOptions(), **changes))


def hard(task: TrainingTask, _recipe: Recipe) -> TrainingTask:
    """The emotion with most votes, for certain."""
    return replace(task, targets=torch.nn.functional.one_hot(task.targets.argmax(1), 8).float())


def smoothed(task: TrainingTask, _recipe: Recipe) -> TrainingTask:
    """A tenth of each label spread over all emotions."""
    return replace(task, targets=0.9 * task.targets + 0.1 / 8)


def without_copies(task: TrainingTask, _recipe: Recipe) -> TrainingTask:
    """Of pictures that stand twice in train, the first alone."""
    keep = torch.from_numpy(~duplicate_of_earlier(task.images[:, 0].numpy()))
    return replace(task, images=task.images[keep], targets=task.targets[keep])


def mixed(task: TrainingTask, recipe: Recipe) -> TrainingTask:
    """Mixup, arXiv:1710.09412, alpha 0.2."""

    def loss(net: nn.Module, pictures: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        pictures = augment(pictures, generator, recipe.augment)
        share, other = _beta(0.2, generator), torch.randperm(len(pictures), generator=generator)
        pictures = share * pictures + (1 - share) * pictures[other]
        return soft_cross_entropy(net(pictures), share * target + (1 - share) * target[other])

    return replace(task, loss=loss)


def cut(task: TrainingTask, recipe: Recipe) -> TrainingTask:
    """CutMix, arXiv:1905.04899, in half of the batches, alpha 1."""

    def loss(net: nn.Module, pictures: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        pictures = augment(pictures, generator, recipe.augment)
        if torch.rand(1, generator=generator) < 0.5:
            other = torch.randperm(len(pictures), generator=generator)
            side = int(48 * (1 - _beta(1.0, generator)) ** 0.5)
            top, left = (int(v) for v in torch.randint(0, 49 - side, (2,), generator=generator))
            pictures = pictures.clone()
            box = (slice(None), slice(None), slice(top, top + side), slice(left, left + side))
            pictures[box] = pictures[other][box]
            kept = 1 - side * side / 48**2
            target = kept * target + (1 - kept) * target[other]
        return soft_cross_entropy(net(pictures), target)

    return replace(task, loss=loss)


def adjusted(task: TrainingTask, recipe: Recipe) -> TrainingTask:
    """Logits moved by the log of how common each emotion is (arXiv:2007.07314, half strength)."""
    prior = torch.log(task.targets.mean(0))

    def loss(net: nn.Module, pictures: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        return soft_cross_entropy(net(augment(pictures, generator, recipe.augment)) + 0.5 * prior, target)

    return replace(task, loss=loss)


def grown(task: TrainingTask, recipe: Recipe) -> TrainingTask:
    """Progressive resolution: the first half of the pictures at 32 x 32, those that follow at 48 x 48."""
    seen = 0

    def loss(net: nn.Module, pictures: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        nonlocal seen
        seen += len(pictures)
        pictures = augment(pictures, generator, recipe.augment)
        if seen < recipe.loop.epochs * len(task.images) / 2:
            pictures = torch.nn.functional.interpolate(pictures, size=32, mode="bilinear", antialias=True)
        return soft_cross_entropy(net(pictures), target)

    return replace(task, loss=loss)


LEVERS = {
    "as it is": Lever("the recipe `compact`"),
    "another seed": Lever("the recipe with seed 1", loop(seed=1)),
    "hard labels": Lever("the emotion with most votes instead of the votes' shares", task=hard),
    "label smoothing": Lever("a tenth of each label over all emotions", task=smoothed),
    "copies dropped": Lever("of exact copies in train, the first alone", task=without_copies),
    "mixup": Lever("mixup, alpha 0.2", task=mixed),
    "cutmix": Lever("CutMix in half of the batches", task=cut),
    "logit adjustment": Lever("logits moved by half the log prior while learning", task=adjusted),
    "growing pictures": Lever("32 x 32 for the first half", task=grown),
    "stronger geometry": Lever(
        "rotation 30, scale .25, shift .12", augmented(rotation=30.0, scale=0.25, shift=0.12)
    ),
    "weaker geometry": Lever(
        "rotation 9, scale .08, shift .04", augmented(rotation=9.0, scale=0.08, shift=0.04)
    ),
    "no erasing": Lever("no rectangle is lost", augmented(erase=0.0)),
    "no averaging": Lever("the last weights instead of their moving average", loop(average=0.0)),
    "float32": Lever("float32 instead of bfloat16 arithmetic", loop(precision="float32")),
    "one stage more": Lever(
        "four stages of one block, the last of 176 channels",
        net=shape(widths=(32, 64, 128, 176), blocks=(1, 1, 1, 1)),
    ),
    "wider": Lever(
        "half as many channels again, more than twice the work", net=shape(stem=24, widths=(48, 96, 192))
    ),
}


def _beta(alpha: float, generator: torch.Generator) -> float:
    """A draw of Beta(alpha, alpha), by two of Gamma through the generator's own numbers."""
    seed = int(torch.randint(0, 2**31, (1,), generator=generator))
    return float(np.random.default_rng(seed).beta(alpha, alpha))


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--ferplus", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/levers"))
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=LEVERS, default=list(LEVERS))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name in options.only:
        folder = options.out / name.replace(" ", "-")
        if not (folder / RESULT).exists():
            run(LEVERS[name], options, folder)
    print(table(options.out))


def run(lever: Lever, options: argparse.Namespace, folder: Path) -> None:
    """Train with a lever, going on from the folder's checkpoint, and write what it gave."""
    base = make_recipe("compact")
    base = replace(base, loop=replace(base.loop, epochs=options.epochs, average=0.995, precision="bfloat16"))
    recipe = lever.recipe(base)
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.loop.seed)
    net = lever.net()
    task, _ = make_task(recipe, options.ferplus, options.out)  # its cache serves every run
    task = lever.task(task, recipe)
    start = time.process_time()
    net = train(net, task, recipe.loop, folder, lambda line: print(folder.name, dict(line), flush=True))
    valid = ferplus(options.ferplus, "valid")
    guess = guesses(fold(net), load_images(valid, cache=options.out / "cache"))
    result = {
        "epochs": options.epochs,
        "cpu_seconds": round(time.process_time() - start),
        "guess": guess.tolist(),
        "truth": {name: protocol(valid.samples).tolist() for name, protocol in PROTOCOLS.items()},
    }
    (folder / RESULT).write_text(json.dumps(result))


@torch.no_grad()
def guesses(net: nn.Module, images: np.ndarray) -> np.ndarray:
    """(N,) the likeliest emotion of each face."""
    parts = torch.from_numpy(images)[:, None].split(256)
    return torch.cat([net.eval()(part.float()).argmax(1) for part in parts]).numpy()


def table(out: Path) -> str:
    """The runs that are there, as Markdown."""
    results = {
        name: json.loads(path.read_text())
        for name in LEVERS
        if (path := out / name.replace(" ", "-") / RESULT).exists()
    }
    base = results.get("as it is")
    lines = [
        "| lever | majority % | points above | argmax % | points above | CPU minutes |",
        "|" + "---|" * 6,
    ]
    for name, result in results.items():
        cells = [f"{name}: {LEVERS[name].what}"]
        for protocol in PROTOCOLS:
            right = hits(result, protocol)
            cells += [f"{100 * right.mean():.2f}", difference(right, base, protocol, own=name == "as it is")]
        lines.append(f"| {' | '.join(cells)} | {result['cpu_seconds'] / 60:.0f} |")
    return "\n".join(lines)


def hits(result: dict, protocol: str) -> np.ndarray:
    """(n,) whether each face that counts was read right, bool."""
    truth, guess = np.array(result["truth"][protocol]), np.array(result["guess"])
    return (guess == truth)[truth >= 0]


def difference(right: np.ndarray, base: dict | None, protocol: str, *, own: bool) -> str:
    """Points above the base, with an interval of a paired bootstrap over faces."""
    if base is None or own:
        return ""
    before = hits(base, protocol)
    low, high = paired_bootstrap(right, before)
    return f"{100 * (right.mean() - before.mean()):+.2f} ({100 * low:+.2f} to {100 * high:+.2f})"


if __name__ == "__main__":
    main()
