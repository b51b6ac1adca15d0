"""Faces to write into tables, and tables that Mien wrote, read by other programs' readers."""

from __future__ import annotations

import csv
import json

import numpy as np
import openpyxl
import pytest
from hypothesis import strategies as some
from openpyxl.utils.escape import unescape

from mien.labels import EMOTIONS
from mien.types import Face

singles = some.floats(width=32, allow_nan=False, allow_infinity=False)
shares = some.lists(some.floats(0, 1, width=32), min_size=8, max_size=8).map(np.float32)


#: Formats whose cells are text.
TEXT = (".csv", ".tsv")


def as_excel_shows(value):
    """A cell of .xlsx; openpyxl leaves the characters that XML cannot hold as they are written."""
    return unescape(value) if isinstance(value, str) else value


@some.composite
def faces(draw, track):
    """A face of any numbers; classified or not, with a set, a doubt and smoothing or without."""
    return Face(
        draw(some.tuples(singles, singles, singles, singles)),
        np.float32(draw(some.lists(singles, min_size=10, max_size=10))).reshape(5, 2),
        draw(some.floats(0, 1, width=32)),
        track,
        draw(some.none() | shares),
        draw(some.sampled_from([None, 0, 7])),
        draw(some.none() | some.lists(some.sampled_from(EMOTIONS), min_size=1, max_size=3).map(tuple)),
        draw(some.sampled_from([None, False, True])),
        None if track is None else draw(some.none() | shares),
    )


def read_back(path):
    """The rows; cells as text from CSV and TSV, None where one is empty."""
    if path.suffix in TEXT:
        with path.open(newline="") as file:
            lines = csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",")
            return [{k: v or None for k, v in row.items()} for row in lines]
    if path.suffix == ".json":
        return json.loads(path.read_text())
    if path.suffix == ".xlsx":
        sheet = openpyxl.load_workbook(path).active
        header, *lines = sheet.iter_rows(values_only=True)
        return [dict(zip(header, map(as_excel_shows, cells), strict=True)) for cells in lines]
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    reader = pytest.importorskip("pyarrow.parquet", reason="needs pip install 'mien[data]'")
    return reader.read_table(path).to_pylist()
