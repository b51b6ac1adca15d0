"""The cells of Mien's rows, from text or typed values; `text.cell_text` is the way there."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from mien.labels import EMOTIONS
from mien.results.rows import TYPES, Cell
from mien.results.tables import printable

WHOLE: Final = frozenset(("frame", "face", "track", "success", "uncertain"))
FLAGS: Final = frozenset(("success", "uncertain"))
_BEYOND: Final = 2.0**128 - 2.0**103  # from here on a number is no float32 any more
_LARGEST: Final = 2**31 - 1  # of a whole number: Parquet tables hold int32


def parse_cell(name: str, value: Any) -> Cell:
    """A cell of the column `name` of Mien's table, from text or from JSON's or Parquet's value.

    Raises:
        ValueError: it is none; says what was expected and what came.
    """
    if value is None or value == "":
        return None
    if name == "set":
        return _emotions(value)
    if name in WHOLE:
        return whole(value, largest=1 if name in FLAGS else _LARGEST)
    if name in {"source", "emotion"}:
        return _emotion(value) if name == "emotion" else _text(value)
    return number(value, single=TYPES[name] == "float32")


def whole(value: Any, *, largest: int = _LARGEST) -> int:
    """A whole number from 0; a table that went through other programs may write 3 as 3.0."""
    got = number(value)
    if not got.is_integer() or not 0 <= got <= largest:
        raise ValueError(f"expected a whole number from 0 to {largest}, got {value!r}")
    return int(got)


def number(value: Any, *, single: bool = False) -> float:
    """A finite number; `single`: the float32 that is meant."""
    try:
        got = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        got = math.nan
    if single and abs(got) < _BEYOND:
        got = float(np.float32(got))
    elif single or not math.isfinite(got):
        raise ValueError(f"expected a number, got {str(value)[:40]!r}")
    return got


def _text(value: Any) -> str:
    if isinstance(value, str):
        return printable(value)
    raise ValueError(f"expected text, got {str(value)[:40]!r}")


def _emotion(value: Any) -> str:
    if value not in EMOTIONS:
        raise ValueError(f"expected one of {', '.join(EMOTIONS)}, got {str(value)[:40]!r}")
    return str(value)


def _emotions(value: Any) -> tuple[str, ...]:
    words = value.split() if isinstance(value, str) else value
    if isinstance(words, list):
        return tuple(_emotion(word) for word in words)
    raise ValueError(f"expected emotions, got {str(value)[:40]!r}")
