"""Faces to write into tables, and tables that Mien wrote, read by other programs' readers."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from hypothesis import strategies as some

from mien.labels import EMOTIONS
from mien.types import Face

singles = some.floats(width=32, allow_nan=False, allow_infinity=False)
shares = some.lists(some.floats(0, 1, width=32), min_size=8, max_size=8).map(np.float32)


@some.composite
def faces(draw, track):
    """A face of any numbers; classified or not, with a set, a doubt and smoothing or without."""
    return Face(
        draw(some.tuples(singles, singles, singles, singles)),
        np.zeros((5, 2), np.float32),
        draw(some.floats(0, 1, width=32)),
        track,
        draw(some.none() | shares),
        draw(some.sampled_from([None, 0, 7])),
        draw(some.none() | some.lists(some.sampled_from(EMOTIONS), min_size=1, max_size=3).map(tuple)),
        draw(some.sampled_from([None, False, True])),
        None if track is None else draw(some.none() | shares),
    )


def read_back(path):
    """The rows; cells as text from CSV, None where one is empty."""
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return [{k: v or None for k, v in row.items()} for row in csv.DictReader(file)]
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    reader = pytest.importorskip("pyarrow.parquet", reason="needs pip install 'mien[data]'")
    return reader.read_table(path).to_pylist()
