"""Sharded runs: the same rows as one table, gone on with after a stop, refused for other inputs."""

import json
import os
import re
import resource
import shutil
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mien.batch.options import AnalyzeOptions
from mien.batch.read import Result, fail
from mien.batch.run import analyze
from mien.batch.shards import Plan, Unreachable, open_plan, read_shard, stop_when_unreachable
from mien.batch.sources import Source
from mien.batch.stores import Member
from mien.errors import ConfigError, OutputError
from mien.image import write_image
from mien.results.sidecar import read_sidecar


@pytest.fixture(scope="module")
def photos(tmp_path_factory, one_face, two_faces, no_face):
    """Ten photos, the last damaged."""
    folder = tmp_path_factory.mktemp("photos")
    for i in range(10):
        write_image(folder / f"{i}.png", (one_face, two_faces, no_face)[i % 3])
    (folder / "9.png").write_bytes((folder / "9.png").read_bytes()[:2000])
    return folder


@pytest.fixture(scope="module")
def inputs(photos, drawn_clip, tmp_path_factory):
    """The photos, and a clip between, which is read in a process of its own."""
    folder = tmp_path_factory.mktemp("inputs")
    shutil.copytree(photos, folder, dirs_exist_ok=True)
    shutil.copy(drawn_clip, folder / "5b.mp4")
    return folder


def shards(folder):
    return sorted(folder.glob("part-*.parquet"))


def union(folder):
    return pa.concat_tables([pq.read_table(path) for path in shards(folder)])


def digests(folder):
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in shards(folder)}


@pytest.fixture(scope="module")
def one_file(inputs, tiny_model, tmp_path_factory):
    """What this process writes of the inputs in one file."""
    out = tmp_path_factory.mktemp("one") / "one.parquet"
    assert analyze(inputs, out, model=tiny_model, workers=1).failures == 1
    return out


@pytest.fixture
def into(mien, tiny_model):
    """Run `mien analyze` into a folder of shards of four inputs, each a face: nothing is looked for."""
    return lambda source, out, *more: mien(
        "analyze", source, "--crops", "-o", f"{out}/", "--model", tiny_model, "--shard", 4, *more
    )


@pytest.mark.usefixtures("worker_processes")
def test_the_shards_together_are_the_one_table(mien, tiny_model, inputs, one_file, tmp_path):
    out, one_table = tmp_path / "out", pq.read_table(one_file)
    ran = mien("analyze", inputs, "-o", f"{out}/", "--model", tiny_model, "--shard", 4, "--workers", 2)
    assert ran.code == 1
    assert "1 of all 11 inputs failed; --retry reads them again" in ran.err
    assert union(out).equals(one_table)
    assert pq.read_table(out).num_rows == one_table.num_rows  # readers of folders see shards alone
    manifest = json.loads((out / "_manifest.json").read_text())
    assert manifest["inputs"]["count"] == 11
    assert [shard["inputs"] for shard in manifest["shards"]] == [4, 4, 3]
    assert [shard["failed"] for shard in manifest["shards"]] == [0, 0, 1]
    assert {shard["file"]: shard["sha256"] for shard in manifest["shards"]} == digests(out)
    assert sum(shard["rows"] for shard in manifest["shards"]) == one_table.num_rows
    beside = read_sidecar(one_file)
    for name in ("mien", "network", "settings", "detector", "model", "counts"):
        assert manifest[name] == beside[name], name
    (failed,) = read_shard(out / "part-00002.parquet").failed
    assert (failed.input, Path(failed.name).name) == (2, "9.png")
    assert "damaged" in failed.error


def test_only_what_lacks_is_made(into, photos, tmp_path):
    out = tmp_path / "out"
    into(photos, out)
    before, kept = digests(out), shards(out)[0].stat().st_mtime_ns
    shards(out)[1].unlink()
    assert "4 inputs, " in into(photos, out).err
    assert digests(out) == before
    assert shards(out)[0].stat().st_mtime_ns == kept
    assert "0 inputs, " in into(photos, out).err


def test_other_inputs_and_settings_are_refused_by_name(into, photos, tmp_path):
    copied, out = tmp_path / "in", tmp_path / "out"
    shutil.copytree(photos, copied)
    into(copied, out)
    ran = into(copied, out, "--max-faces", 1)
    assert (ran.code, ran.out) == (2, b"")
    assert "max_faces was None and is 1 now" in ran.err
    assert "shard was 4 and is 3 now" in into(copied, out, "--shard", 3).err
    (copied / "3.png").unlink()
    ran = into(copied, out)
    assert ran.code == 2
    assert f"input 3 was '{copied}/3.png' and is '{copied}/4.png' now" in ran.err
    assert into(copied, out, "--overwrite").code == 1
    assert json.loads((out / "_manifest.json").read_text())["inputs"]["count"] == 9


def test_what_failed_is_read_again_and_nothing_else(into, photos, tmp_path):
    copied, out, mended = tmp_path / "in", tmp_path / "out", tmp_path / "mended"
    shutil.copytree(photos, copied)
    whole = (copied / "4.png").read_bytes()
    (copied / "4.png").write_bytes(whole[:1000])
    assert into(copied, mended).code == 1
    (copied / "4.png").write_bytes(whole)
    shutil.copy(copied / "0.png", copied / "9.png")
    first = shards(mended)[0].stat().st_mtime_ns
    ran = into(copied, mended, "--retry")
    assert ran.code == 0, ran.err
    assert "2 inputs, 2 frames, 2 faces" in ran.err
    assert shards(mended)[0].stat().st_mtime_ns == first
    assert into(copied, out).code == 0
    assert digests(mended) == digests(out)


def test_what_cannot_be_a_run_in_a_folder_is_refused(into, photos, tmp_path):
    (tmp_path / "part-00000.parquet").touch()
    for source, out, options, text, code in (
        (photos, tmp_path / "out", ["--retry"], "holds no run", 1),
        (photos, tmp_path, [], "has results but no", 1),
        ("0", tmp_path / "out", [], "0 is live", 2),
    ):
        ran = into(source, out, *options)
        assert ran.code == code
        assert text in ran.err


# --- what is gone, and what is full


def test_a_source_that_vanished_stops_the_run_and_it_goes_on(photos, tiny_model, tmp_path):
    """The folder goes away while it is read: nothing that was not read is marked as failed for good."""
    copied, away = tmp_path / "in", tmp_path / "away"
    shutil.copytree(photos, copied)
    (copied / "9.png").write_bytes((copied / "8.png").read_bytes())
    (tmp_path / "list").write_text("\n".join(str(copied / f"{i}.png") for i in range(10)))

    def run(out, **more):
        return analyze(
            f"@{tmp_path}/list",
            f"{tmp_path}/{out}/",
            model=tiny_model,
            crops=True,
            shard=2,
            workers=1,
            **more,
        )

    def vanish(summary, result):
        if summary.done == 1 and copied.exists():
            copied.rename(away)

    with pytest.raises(Unreachable, match="2 inputs in a row"):
        run("out", max_lost=2, progress=vanish)
    assert len(Plan(tmp_path / "out").missing()) >= 3
    away.rename(copied)
    assert run("out").failures == 0
    run("out", retry=True)
    run("same")
    assert digests(tmp_path / "out") == digests(tmp_path / "same")


def test_only_what_is_out_of_reach_in_a_row_is_counted():
    gone = fail("a", "gone", out_of_reach=True)
    enough = [gone] * 2 + [Result("b", last=True), fail("c", "damaged")] * 9 + [gone] * 2
    assert list(stop_when_unreachable(iter(enough), 3)) == enough
    with pytest.raises(Unreachable, match="--max-lost 0"):
        list(stop_when_unreachable(iter([*enough, gone]), 3))
    assert len(list(stop_when_unreachable(iter([gone] * 500), 0))) == 500


def test_a_full_disk_stops_the_run_and_it_goes_on(into, photos, tmp_path):
    out, before = tmp_path / "out", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, before[1]))
    try:
        ran = into(photos, out, "-q")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert ran.code == 1
    assert re.search(r"part-00000.*File too large.*make room", ran.err)
    assert "Traceback" not in ran.err
    assert not shards(out)
    assert not list(out.glob(".*"))
    assert into(photos, out).code == 1  # of the damaged photo
    assert union(out).num_rows == 10


# --- the plan


def begin(folder, sources, shard=1):
    return open_plan(folder, iter(sources), AnalyzeOptions(output=f"{folder}/", shard=shard), "")


def test_a_plan_gives_its_inputs_back_by_shard(tmp_path):
    sources = [Source(f"{i}.jpg", "photo", f"{i}.jpg") for i in range(10)]
    sources[4] = Source(os.fsdecode(b"caf\xe9.jpg"), "missing", error="gone")
    sources[5] = Source("a.tar/5.jpg", "photo", "5.jpg", member=Member("tar", "a.tar", 512, 7))
    plan = begin(tmp_path / "out", sources, 4)
    assert (plan.shards, plan.inputs, plan.missing()) == (3, 10, [0, 1, 2])
    assert [source for shard in range(3) for source in plan.sources(shard)] == sources
    assert [task.source for task in plan.tasks([1, 2])] == sources[4:]
    assert [plan.count(shard) for shard in range(3)] == [4, 4, 2]


def test_shards_of_large_runs_sort_by_name(tmp_path):
    plan = begin(tmp_path, [Source("a", "photo")] * 3)
    plan.shards = 1_000_000
    assert plan.path(7).name == "part-000007.parquet"


def test_a_torn_plan_and_what_is_no_shard_are_told(tmp_path):
    begin(tmp_path, [Source("a", "photo")])
    (tmp_path / "_manifest.json").write_text("{")
    with pytest.raises(OutputError, match="--overwrite"):
        Plan(tmp_path)
    pq.write_table(pa.table({"a": np.arange(3)}), tmp_path / "part-00000.parquet")
    with pytest.raises(OutputError, match="remove it"):
        read_shard(tmp_path / "part-00000.parquet")


def test_a_killed_planning_begins_anew(tmp_path):
    def broken():
        yield Source("a", "photo")
        raise ConfigError("stopped")

    with pytest.raises(ConfigError):
        begin(tmp_path, broken())
    assert not (tmp_path / "_manifest.json").exists()
    assert begin(tmp_path, [Source("b", "photo")]).inputs == 1


def test_a_plan_of_nothing_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="got none"):
        begin(tmp_path, [])
