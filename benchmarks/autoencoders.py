"""Do autoencoders help? The paper's variants on FER+ by share of the labels, at equal training compute.

    python benchmarks/autoencoders.py --ferplus ferplus.zip --fairface fairface.zip --out runs/autoencoders

Every variant may spend the same multiply-adds, counted over all that it learns: the principal components and
the autoencoders, the last layer, the whole network. `raw` spends all of them on labels. FER+'s train split
trains (pictures that also stand in valid left out), its valid split judges (`majority` labels), and the
autoencoders learn from FER+'s train pictures and FairFace's faces, without labels.

Each run has a folder with its `result.json`; the command goes on where it was stopped, and ends with the
table of all runs in --out. Two processes may share a folder if their --seeds differ.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from mien.config import provenance
from mien.data.splits import fraction
from mien.errors import ConfigError
from mien.evaluate.metrics import balanced_accuracy, confusion
from mien.nets.count import training_multiply_adds
from mien.paper.autoencoders import ConvolutionalAutoencoder, DenseAutoencoder, StackedAutoencoder
from mien.paper.cnn import PaperCNN
from mien.paper.corpora import CroppedCorpus, load_corpus
from mien.paper.pretrain import MaskedLoss, UnitLoss
from mien.paper.training import AUTOENCODER, LastLayerOnly, TrainingPictures, train_variant
from mien.paper.variants import PaperRecipe, make_network, make_variant
from mien.train.faces import unlabelled_faces

VARIANTS = ("paper-raw", "paper-300", "paper-500", "paper-300-500", "paper-pretrained", "paper-mask")
SHARES = (0.01, 0.1, 1.0)
DRAWS = 2000
RESULT = "result.json"


@dataclass(frozen=True)
class Setting:
    """What all runs share."""

    corpus: CroppedCorpus
    train: np.ndarray  # positions that may train
    test: np.ndarray  # positions that judge
    pool: torch.Tensor  # (M, 1, 48, 48) uint8 pictures without labels
    width: int
    epochs: float  # of raw pictures on all labels: the compute that every variant may spend
    passes: int  # of the autoencoders over the pool


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ferplus", type=Path, required=True)
    parser.add_argument("--fairface", type=Path, help="without: the autoencoders learn from FER+ alone")
    parser.add_argument("--out", type=Path, default=Path("runs/autoencoders"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", default=VARIANTS)
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES)
    parser.add_argument("--width", type=int, default=16, help="filters of the CNN; the paper has 512")
    parser.add_argument("--epochs", type=float, default=10, help="of raw pictures with all labels")
    parser.add_argument("--passes", type=int, default=1, help="of the autoencoders over their pictures")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="only print the table of the runs there are")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if not given.table:
        setting = make_setting(given)
        for seed in given.seeds:
            for name in given.variants:
                for share in given.shares:
                    run_one(name, share, seed, setting, given.out)
    print(render(given.out))


def make_setting(given: argparse.Namespace) -> Setting:
    """Pictures from their archives; crops are kept in the folder of the runs."""
    cache = given.out / "cache"
    corpus = load_corpus("ferplus", given.ferplus, cache)
    train, test = corpus.outside(corpus.test)
    pool = [corpus.images[train]]
    pool += [unlabelled_faces(given.fairface, cache)] if given.fairface else []
    return Setting(
        corpus,
        train,
        test,
        torch.from_numpy(np.concatenate(pool))[:, None],
        given.width,
        given.epochs,
        given.passes,
    )


def run_one(name: str, share: float, seed: int, setting: Setting, out: Path) -> None:
    """Train and judge one variant, unless its result is there."""
    run = out / f"{name}-{share:g}-{seed}"
    if (run / RESULT).is_file():
        return
    run.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    chosen = setting.train[fraction(setting.corpus.labels[setting.train], share, seed=seed)]
    recipe, spent = fit_to_budget(make_variant(f"{name}-small"), len(chosen), seed, setting)
    share_autoencoder(run, out / f"{name}-{seed}-{AUTOENCODER}")
    images = torch.from_numpy(setting.corpus.images)[:, None]
    targets = torch.from_numpy(setting.corpus.targets)[chosen]
    net = train_variant(recipe, TrainingPictures(images[chosen], targets, setting.pool), run)
    keep_autoencoder(run, out / f"{name}-{seed}-{AUTOENCODER}")
    guess = read(net, images[setting.test])
    truth = setting.corpus.labels[setting.test]
    counts = confusion(truth, guess)
    record = {
        "variant": name,
        "share": share,
        "seed": seed,
        "labels": len(chosen),
        "n": len(truth),
        "accuracy": float((guess == truth).mean()),
        "balanced_accuracy": balanced_accuracy(counts),
        "epochs": recipe.loop.epochs,
        "tera_multiply_adds": {stage: round(cost / 1e12, 3) for stage, cost in spent.items()},
        "width": setting.width,
        "pool": len(setting.pool),
        "passes": setting.passes,
        "seconds": round(time.perf_counter() - began, 1),
        "provenance": provenance(),
    }
    np.save(run / "right.npy", guess == truth)
    (run / "result.part").write_text(json.dumps(record, indent=1) + "\n")
    (run / "result.part").replace(run / RESULT)
    print(name, share, seed, f"{record['accuracy']:.4f}", record["seconds"], "s", flush=True)


def fit_to_budget(
    recipe: PaperRecipe, labels: int, seed: int, setting: Setting
) -> tuple[PaperRecipe, dict[str, float]]:
    """The recipe with as many epochs as the compute allows, and the multiply-adds of its stages."""
    picture = torch.zeros(1, 1, 48, 48)
    raw = training_multiply_adds(PaperCNN(setting.width), picture)
    budget = setting.epochs * len(setting.train) * raw
    recipe = replace(recipe, width=setting.width, pretrain=replace(recipe.pretrain, epochs=setting.passes))
    net = make_network(recipe)
    shown = labels // (batch := min(recipe.loop.batch, labels)) * batch  # pictures of an epoch
    spent = {"autoencoder": float(pretraining_cost(recipe, setting))}
    if recipe.variant == "pretrained":
        head = 0.05 * budget  # for the last layer alone
        each = shown * training_multiply_adds(LastLayerOnly(net), picture)
        epochs = max(1, round(head / each))
        recipe = replace(recipe, head=replace(recipe.head, epochs=epochs, warmup=epochs / 10))
        spent["last layer"] = epochs * each
        net.requires_grad_()
    each = shown * training_multiply_adds(net, picture)
    epochs = round((budget - sum(spent.values())) / each)
    if epochs < 1:
        raise ConfigError(
            f"{recipe.name}: expected some of {budget / 1e12:.2f} T multiply-adds to be left for labels, "
            f"{sum(spent.values()) / 1e12:.2f} are spent before; give more --epochs or fewer --passes"
        )
    spent["whole"] = epochs * each
    loop = replace(recipe.loop, epochs=epochs, warmup=epochs / 10)
    return replace(recipe, loop=loop).seeded(seed), spent


def pretraining_cost(recipe: PaperRecipe, setting: Setting) -> int:
    """Multiply-adds of the autoencoders, and of the principal components that dense ones start from."""
    picture = torch.zeros(1, 1, 48, 48)
    passes = setting.passes * len(setting.pool)
    if recipe.variant == "raw":
        return 0
    dense = recipe.variant == "generated"
    stack: StackedAutoencoder = (
        DenseAutoencoder(recipe.hidden) if dense else ConvolutionalAutoencoder(PaperCNN(setting.width))
    )
    if recipe.pretrain.corruption == "mask":
        return passes * training_multiply_adds(MaskedLoss(stack), picture, picture, picture)
    depths = range(1, len(stack.units) + 1)
    greedy = sum(
        passes * training_multiply_adds(UnitLoss(stack, depth), picture, picture) for depth in depths
    )
    if not dense:
        return greedy
    inside = (48 * 48, *recipe.hidden)[: len(recipe.hidden)]
    return greedy + sum(len(setting.pool) * width**2 + width**3 for width in inside)


def share_autoencoder(run: Path, kept: Path) -> None:
    """What was learnt without labels is the same for every share of them: take it over."""
    if kept.is_dir() and not (run / AUTOENCODER).is_dir():
        shutil.copytree(kept, run / AUTOENCODER)


def keep_autoencoder(run: Path, kept: Path) -> None:
    """Keep it for the next share."""
    if (run / AUTOENCODER).is_dir() and not kept.is_dir():
        shutil.copytree(run / AUTOENCODER, kept)


@torch.no_grad()
def read(net: torch.nn.Module, images: torch.Tensor) -> np.ndarray:
    """The emotion read on each of (N, 1, 48, 48) pictures."""
    net.eval()
    return torch.cat([net(part.float()).argmax(1) for part in images.split(512)]).numpy()


def render(out: Path) -> str:
    """Markdown: accuracy by share of the labels, mean of the seeds, and the difference to raw pictures."""
    records = [json.loads(path.read_text()) for path in sorted(out.glob(f"*/{RESULT}"))]
    if not records:
        return f"no results in {out} yet"
    shares = sorted({r["share"] for r in records})
    head = ["variant", *(f"{share:.0%} of labels" for share in shares), *(f"- raw, {s:.0%}" for s in shares)]
    lines = [f"| {' | '.join(head)} |", f"| {' | '.join('---' for _ in head)} |"]
    for name in dict.fromkeys(n for n in VARIANTS if any(r["variant"] == n for r in records)):
        cells = [accuracy_cell(out, records, name, share) for share in shares]
        cells += [difference_cell(out, records, name, share) for share in shares]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def accuracy_cell(out: Path, records: list[dict], name: str, share: float) -> str:
    """Per cent, with a 95 % interval over pictures of the mean of seeds, and the seeds' least and most."""
    right = rights(out, records, name, share)
    if not right:
        return ""
    each = np.stack(list(right.values()))  # (seeds, N)
    low, high = interval(each.mean(0))
    seeds = each.mean(1)
    spread = f"{len(right)} seeds {seeds.min():.1%} to {seeds.max():.1%}"
    return f"{each.mean():.1%} ({low:.1%} to {high:.1%}; {spread})"


def difference_cell(out: Path, records: list[dict], name: str, share: float) -> str:
    """Points above raw pictures, same seeds and pictures, with a 95 % interval by a paired bootstrap."""
    ours, raw = (rights(out, records, n, share) for n in (name, VARIANTS[0]))
    both = sorted(ours.keys() & raw.keys())
    if name == VARIANTS[0] or not both:
        return ""
    gain = np.mean([ours[s].astype(float) - raw[s] for s in both], axis=0)  # (N,)
    low, high = interval(gain)
    return f"{100 * gain.mean():+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def rights(out: Path, records: list[dict], name: str, share: float) -> dict[int, np.ndarray]:
    """Seed to (N,) whether each picture was read right."""
    return {
        r["seed"]: np.load(out / f"{name}-{share:g}-{r['seed']}" / "right.npy")
        for r in records
        if (r["variant"], r["share"]) == (name, share)
    }


def interval(each: np.ndarray) -> tuple[float, float]:
    """A 95 % percentile interval of the mean of (N,) pictures, drawn with replacement."""
    rng = np.random.default_rng(0)
    means = [each[rng.integers(0, len(each), len(each))].mean() for _ in range(DRAWS)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


if __name__ == "__main__":
    main()
