"""Data frames hold what tables hold, in columns of the same types."""

import sys

import numpy as np
import pytest

import mien
from mien.errors import ConfigError, MienError
from mien.results.rows import TYPES
from mien.types import Face, Frame


@pytest.fixture
def frames():
    face = Face(
        (1.0, 2.0, 30.0, 40.5),
        np.arange(10, dtype=np.float32).reshape(5, 2),
        0.75,
        track=3,
        probabilities=np.full(8, 0.125, np.float32),
        set=("neutral", "fear"),
        uncertain=True,
    )
    return [Frame("a.mp4", 0, 0.0, (face, face)), Frame("b.jpg", 0, None, (), error="does not exist")]


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_data_frame_holds_the_rows_of_frames(library, frames):
    pytest.importorskip(library)
    table = mien.to_dataframe(iter(frames), library=library)
    want = [row | {"error": frame.error or None} for frame in frames for row in frame.to_rows()]
    assert list(table.columns) == list(want[0])
    for column in table.columns:
        for cell, row in zip(table[column].to_list(), want, strict=True):
            value = row[column]
            if value is None:
                assert str(cell) in {"None", "nan", "<NA>"}
            else:
                assert (tuple(cell) if column == "set" else cell) == value
    numbers = [column for column in table.columns if TYPES[column] not in {"string", "list"}]
    assert [str(table[column].dtype).lower() for column in numbers] == [TYPES[column] for column in numbers]
    assert len(mien.to_dataframe(frames[0], library=library)) == 2
    assert list(mien.to_dataframe([], library=library).columns) == list(want[0])


def test_no_library_is_said_with_what_installs_it(frames, monkeypatch):
    with pytest.raises(ConfigError, match="pandas, polars"):
        mien.to_dataframe(frames, library="arrow")
    monkeypatch.setitem(sys.modules, "polars", None)  # as if not installed
    with pytest.raises(MienError, match="pip install polars"):
        mien.to_dataframe(frames, library="polars")
