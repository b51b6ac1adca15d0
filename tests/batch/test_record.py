"""Sidecars: what stands beside a table equals what the table and the inputs themselves say."""

import json
import os
import shutil
import signal
from hashlib import sha256

import pyarrow.parquet as pq
import pytest

from mien._version import __version__
from mien.batch.run import analyze
from mien.errors import DataError, OutputError
from mien.image import write_image
from mien.results.sidecar import find_sidecar, is_changed, read_sidecar


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, one_face, two_faces, no_face, drawn_clip):
    """Three photos, a damaged one, a clip and a text."""
    folder = tmp_path_factory.mktemp("inputs")
    for name, pixels in (("one", one_face), ("two", two_faces), ("none", no_face)):
        write_image(folder / f"{name}.png", pixels)
    (folder / "torn.png").write_bytes((folder / "one.png").read_bytes()[:2000])
    shutil.copy(drawn_clip, folder / "clip.mp4")
    (folder / "notes.txt").write_text("not a picture")
    return folder


@pytest.fixture(scope="module")
def tables(inputs, tiny_model, tmp_path_factory):
    """A folder of the three tables of the inputs."""
    folder = tmp_path_factory.mktemp("tables")
    analyze(inputs, folder / "faces.parquet", events=folder / "events.csv", summary=folder / "sum.csv",
            model=tiny_model)  # fmt: skip
    return folder


def test_it_says_what_the_table_holds(tables, inputs, tiny_model):
    beside = read_sidecar(tables / "faces.parquet")
    table = pq.read_table(tables / "faces.parquet").to_pandas()
    faces = table[table["success"] == 1]
    empty = table[(table["success"] == 0) & ~table["source"].str.endswith("torn.png")]
    pictures = table[~table["source"].str.endswith("torn.png")].drop_duplicates(["source", "frame"])
    assert beside["counts"] == {
        "inputs": 5, "failed": 1, "frames": len(pictures), "without_face": len(empty), "faces": len(faces),
        "read": faces["emotion"].notna().sum(), "uncertain": (faces["uncertain"] == 1).sum(),
    }  # fmt: skip
    assert beside["network"] == sha256(tiny_model.read_bytes()).hexdigest()
    assert (beside["mien"], beside["left_out"], beside["interrupted"]) == (__version__, {".txt": 1}, False)
    by_name = {one["name"].rpartition("/")[2]: one for one in beside["inputs"]}
    assert list(by_name) == ["clip.mp4", "none.png", "one.png", "torn.png", "two.png"]
    for name, one in by_name.items():
        content = (inputs / name).read_bytes()
        assert (one["sha256"], one["bytes"]) == (sha256(content).hexdigest(), len(content))
    clip = table[table["source"].str.endswith("clip.mp4")]
    assert (by_name["clip.mp4"]["first"], by_name["clip.mp4"]["last"]) == (clip.time.min(), clip.time.max())
    assert "damaged" in by_name["torn.png"]["error"]


def test_each_table_has_one_that_knows_it(tables):
    held = [("faces.parquet", "frames"), ("events.csv", "events"), ("sum.csv", "summary")]
    for name, holds in held:
        beside = read_sidecar(tables / name)
        assert beside["table"]["holds"] == holds
        assert not is_changed(tables / name, beside)
    assert sorted(path.name for path in tables.iterdir()) == sorted(
        [name for name, _ in held] + [f"{name}.json" for name, _ in held]
    )


@pytest.mark.usefixtures("worker_processes")
def test_workers_change_neither_it_nor_a_byte_of_the_tables(tables, inputs, tiny_model, tmp_path):
    analyze(inputs, tmp_path / "faces.parquet", events=tmp_path / "events.csv", model=tiny_model, workers=2)
    for name in ("faces.parquet", "events.csv"):
        assert (tmp_path / name).read_bytes() == (tables / name).read_bytes()
    one, two = (read_sidecar(folder / "faces.parquet") for folder in (tmp_path, tables))
    assert one | {"made": None} == two | {"made": None}


def test_a_table_that_was_changed_is_told(tables, tmp_path):
    for name in ("sum.csv", "sum.csv.json"):
        shutil.copy(tables / name, tmp_path / name)
    table = tmp_path / "sum.csv"
    table.write_text(table.read_text().replace("0", "1"))
    assert is_changed(table, read_sidecar(table))


def test_what_is_no_sidecar_is_not_replaced(inputs, tiny_model, tmp_path):
    table, other = tmp_path / "faces.csv", tmp_path / "faces.csv.json"
    other.write_text('[{"mine": 1}]')
    with pytest.raises(OutputError, match="exists"):
        analyze(inputs / "one.png", table, model=tiny_model)
    assert (table.exists(), other.read_text()) == (False, '[{"mine": 1}]')
    analyze(inputs / "one.png", table, model=tiny_model, overwrite=True)
    table.unlink()  # what is left of an earlier table is in nobody's way
    analyze(inputs / "two.png", table, model=tiny_model)
    assert read_sidecar(table)["inputs"][0]["name"].endswith("two.png")


def test_an_interrupted_run_says_so_and_counts_what_there_is(inputs, tiny_model, tmp_path):
    def stop(summary, _result):
        if summary.frames == 3:
            os.kill(os.getpid(), signal.SIGINT)

    out = tmp_path / "faces.parquet"
    assert analyze(inputs, out, model=tiny_model, workers=1, progress=stop).interrupted
    beside = read_sidecar(out)
    assert (beside["interrupted"], beside["counts"]["frames"]) == (True, 3)
    assert [one["frames"] for one in beside["inputs"]] == [3]


@pytest.mark.parametrize("content", [None, "{", "[]", json.dumps({"mien": "0.1.0"})])
def test_without_one_the_error_says_what_to_do(tmp_path, content):
    table = tmp_path / "faces.csv"
    table.write_text("source\n")
    if content is not None:
        find_sidecar(table).write_text(content)
    with pytest.raises(DataError, match=r"faces\.csv\.json: expected"):
        read_sidecar(table)
