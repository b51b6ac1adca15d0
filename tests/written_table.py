"""A table that Mien wrote, read by other programs' readers."""

from __future__ import annotations

import csv
import json

import pytest


def read_back(path):
    """The rows; cells as text from CSV, None where one is empty."""
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return [{k: v or None for k, v in row.items()} for row in csv.DictReader(file)]
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    reader = pytest.importorskip("pyarrow.parquet", reason="needs pip install 'mien[data]'")
    return reader.read_table(path).to_pylist()
