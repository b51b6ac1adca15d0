"""Two models on the same pictures: who is right where, and whether the difference could be chance.

Both tests look at single pictures, each once. Pictures that stand in several of the paper's
repeated folds must not be given twice: compare on the different pictures, or on disjoint folds.

Legend: N pictures.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError

DRAWS: Final = 2000  # of the bootstrap

Right = NDArray[np.bool_]  # (N,) whether a model reads each picture right


@dataclass(frozen=True, slots=True)
class Comparison:
    """A first model against a second on N pictures."""

    n: int
    first: float  # accuracy
    second: float
    difference: float  # first - second
    interval_95: tuple[float, float]  # of the difference: paired bootstrap over pictures
    first_alone: int  # pictures that only the first reads right
    second_alone: int
    p: float  # exact McNemar, two-sided


def compare(first: Right, second: Right, *, seed: int = 0) -> Comparison:
    """Compare two models by the pictures that each reads right.

    Args:
        first: (N,) bool.
        second: (N,) bool, of the same pictures in the same order.
        seed: of the bootstrap.

    Raises:
        DataError: no pictures, arrays of different length, or values that are not bool.
    """
    _check(first, second)
    alone = int((first & ~second).sum()), int((second & ~first).sum())
    return Comparison(
        n=len(first),
        first=float(first.mean()),
        second=float(second.mean()),
        difference=(alone[0] - alone[1]) / len(first),
        interval_95=paired_bootstrap(first, second, seed=seed),
        first_alone=alone[0],
        second_alone=alone[1],
        p=mcnemar(*alone),
    )


def mcnemar(first_alone: int, second_alone: int) -> float:
    """Exact two-sided p that the discordant pictures fall to either model alike.

    Twice the smaller binomial tail at a half, 1 at most (McNemar 1947; the exact form, as chi-square
    is off where few differ). Whole numbers until the last division.

    >>> mcnemar(0, 5)
    0.0625
    """
    total = first_alone + second_alone
    return min(1.0, 2 * _tail(total, min(first_alone, second_alone)) / (1 << total))


def paired_bootstrap(
    first: Right, second: Right, *, draws: int = DRAWS, seed: int = 0
) -> tuple[float, float]:
    """A 95 % percentile interval of the accuracy difference, pictures drawn with replacement in pairs.

    Drawing N pairs is drawing how many are right with the first alone, with the second alone, and
    with both or neither, from a multinomial.

    Raises:
        DataError: as `compare`.
    """
    _check(first, second)
    n = len(first)
    alone = int((first & ~second).sum()), int((second & ~first).sum())
    shares = np.array([*alone, n - sum(alone)]) / n
    drawn = np.random.default_rng(seed).multinomial(n, shares, size=draws)  # (draws, 3)
    low, high = np.percentile((drawn[:, 0] - drawn[:, 1]) / n, [2.5, 97.5])
    return float(low), float(high)


def to_record(comparison: Comparison) -> dict[str, Any]:
    """The comparison as numbers and lists, for JSON."""
    return {**asdict(comparison), "interval_95": list(comparison.interval_95)}


def _tail(total: int, most: int) -> int:
    """The sum of total-over-i for i up to `most`, each term from the one before."""
    term = found = 1
    for i in range(most):
        term = term * (total - i) // (i + 1)
        found += term
    return found


def _check(first: Right, second: Right) -> None:
    shapes = first.shape, second.shape
    if first.ndim != 1 or shapes[0] != shapes[1] or not len(first):
        raise DataError(
            f"comparison: expected two (N,) arrays of the same pictures, got {shapes[0]} and {shapes[1]}; "
            "keep the pictures that both models read"
        )
    if first.dtype != np.bool_ or second.dtype != np.bool_:
        raise DataError(
            f"comparison: expected whether each picture is right (bool), got {first.dtype} and "
            f"{second.dtype}; give prediction == truth"
        )
