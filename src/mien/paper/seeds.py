"""Several seeds of one reproduction: what each variant reaches, and what it gains on the first.

Legend: S seeds, F folds, K = 8 emotions.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from mien.types import Floats

_DRAWS: Final = 2000  # of the bootstrap


def fold_accuracies(results: Mapping[int, Mapping[str, Any]], variant: str) -> Floats:
    """(S, F, K) accuracy of each test of a variant.

    Args:
        results: seed to what `reproduce` returned, of the same folds.
        variant: its name.
    """
    return np.array(
        [
            np.transpose(
                [
                    [fold["accuracy"] for fold in table["ours"]["folds"]]
                    for table in each["variants"][variant]["measures"]
                ]
            )
            for each in results.values()
        ],
        np.float32,
    )


def compare_seeds(results: Mapping[int, Mapping[str, Any]]) -> str:
    """CSV with a row for each variant: mean accuracy of the eight tests and 8-way accuracy, in per cent.

    `gain` is on the first variant, over the same folds and seeds; its 95 % interval is a bootstrap that draws
    folds and, within, seeds. Folds share most of their training pictures, so that it is rather too narrow.
    """
    first, *_ = next(iter(results.values()))["variants"]
    base = fold_accuracies(results, first).mean(2)  # (S, F)
    text = io.StringIO()
    head = [
        "variant",
        "seeds",
        "folds",
        "accuracy",
        "lowest seed",
        "highest seed",
        "gain",
        "gain from",
        "gain to",
    ]
    rows = csv.DictWriter(
        text, [*head, "8-way", *(table["emotion"] for table in _tables(results, first))], lineterminator="\n"
    )
    rows.writeheader()
    for variant in next(iter(results.values()))["variants"]:
        each = fold_accuracies(results, variant)  # (S, F, K)
        means = each.mean((1, 2))  # (S,)
        low, high = _interval(each.mean(2) - base)
        eight = [_eight_way(one["variants"][variant]["eight_way"]["counts"]) for one in results.values()]
        figures = {
            "accuracy": means.mean(),
            "lowest seed": means.min(),
            "highest seed": means.max(),
            "gain": (each.mean(2) - base).mean(),
            "gain from": low,
            "gain to": high,
            "8-way": np.mean(eight),
            **{t["emotion"]: each[..., k].mean() for k, t in enumerate(_tables(results, variant))},
        }
        rows.writerow(
            {"variant": variant, "seeds": len(each), "folds": each.shape[1]}
            | {name: f"{100 * value:.2f}" for name, value in figures.items()}
        )
    return text.getvalue()


def _tables(results: Mapping[int, Mapping[str, Any]], variant: str) -> Any:
    return next(iter(results.values()))["variants"][variant]["measures"]


def _eight_way(counts: Any) -> float:
    """Accuracy of a (K, K) confusion matrix."""
    matrix = np.array(counts)
    return float(np.trace(matrix) / max(1, matrix.sum()))


def _interval(gains: Floats) -> tuple[float, float]:
    """95 % of the means of (S, F) gains, folds drawn with replacement, and a seed's for each drawn one."""
    rng = np.random.default_rng(0)
    seeds, folds = gains.shape
    fold = rng.integers(0, folds, (_DRAWS, seeds, folds))
    seed = rng.integers(0, seeds, (_DRAWS, seeds, folds))
    low, high = np.percentile(gains[seed, fold].mean((1, 2)), [2.5, 97.5])
    return float(low), float(high)
