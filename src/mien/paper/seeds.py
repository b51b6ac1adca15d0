"""Several seeds of one reproduction: what each variant reaches, and what it gains on the first.

Legend: S seeds, F folds, K = 8 emotions.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from mien.evaluate.metrics import accuracy
from mien.types import Floats

_DRAWS: Final = 2000  # of the bootstrap


def fold_accuracies(results: Mapping[int, Mapping[str, Any]], variant: str) -> Floats:
    """(S, F, K) accuracy of each test of a variant, by what `reproduce` returned for each seed."""
    of_seeds = [each["variants"][variant]["measures"] for each in results.values()]
    accuracies = [[[f["accuracy"] for f in t["ours"]["folds"]] for t in tables] for tables in of_seeds]
    return np.ascontiguousarray(np.array(accuracies, np.float32).transpose(0, 2, 1))  # (S, K, F) -> (S, F, K)


def compare_seeds(results: Mapping[int, Mapping[str, Any]]) -> str:
    """CSV with a row for each variant: mean accuracy of the eight tests and 8-way accuracy, in per cent.

    `gain` is on the first variant, over the same folds and seeds; its 95 % interval is a bootstrap that draws
    folds and, within, seeds. Folds share most of their training pictures, so that it is rather too narrow.
    """
    variants = next(iter(results.values()))["variants"]
    base = fold_accuracies(results, next(iter(variants))).mean(2)  # (S, F)
    rows = []
    for variant, data in variants.items():
        each = fold_accuracies(results, variant)  # (S, F, K)
        means = each.mean((1, 2))  # (S,)
        low, high = _interval(each.mean(2) - base)
        counts = [np.array(one["variants"][variant]["eight_way"]["counts"]) for one in results.values()]
        figures = {
            "accuracy": means.mean(),
            "lowest seed": means.min(),
            "highest seed": means.max(),
            "gain": (each.mean(2) - base).mean(),
            "gain from": low,
            "gain to": high,
            "8-way": np.mean([accuracy(one) for one in counts]),
            **{table["emotion"]: each[..., k].mean() for k, table in enumerate(data["measures"])},
        }
        shown = {name: f"{100 * value:.2f}" for name, value in figures.items()}
        rows.append({"variant": variant, "seeds": len(each), "folds": each.shape[1], **shown})
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def _interval(gains: Floats) -> tuple[float, float]:
    """95 % of the means of (S, F) gains, folds drawn with replacement, and seeds within each drawn one."""
    rng = np.random.default_rng(0)
    seeds, folds = gains.shape
    fold = rng.integers(0, folds, (_DRAWS, 1, folds))  # the same for all seeds, which share its pictures
    seed = rng.integers(0, seeds, (_DRAWS, seeds, folds))
    low, high = np.percentile(gains[seed, fold].mean((1, 2)), [2.5, 97.5])
    return float(low), float(high)
