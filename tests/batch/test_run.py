"""Runs: what the copies are called, three workers against one, workers that die, Ctrl-C; `mien.analyze`."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from mien import analyze
from mien.batch import pool
from mien.batch.options import AnalyzeOptions, describe_run, first_difference
from mien.batch.read import Result, Task, read_input
from mien.batch.run import (
    count_workers,
    hold_interrupts,
    name_copies,
    open_results,
    write_results,
)
from mien.batch.sources import Source
from mien.config import from_plain, to_plain
from mien.errors import ConfigError, MienError, OutputError
from mien.image import write_image
from mien.types import Face, Frame
from odd_options import KILLS, RAISES, SLOW, DeadOptions, MortalOptions, OddOptions

# --- copies


def test_copies_of_one_name_do_not_meet(tmp_path):
    inside = ["a.jpg", "x/a.jpg", "a.jpg", "A.JPG", "a.webp", "a.webp.png", "c.mov", "c.mp4", "noending"]
    sources = [Source(f"in{i}/{n}", "clip" if n[0] == "c" else "photo", n) for i, n in enumerate(inside)]
    copies = name_copies([*sources, Source("gone", "missing"), Source("0", "camera", "camera-0")], tmp_path)
    named = [
        "a.jpg",
        "x/a.jpg",
        "a-2.jpg",
        "A-3.JPG",
        "a.webp.png",
        "a.webp-2.png",
        "c.mov.mp4",
        "c.mp4",
        "noending.png",
    ]
    assert [copy and str(copy.relative_to(tmp_path)) for copy in copies] == [*named, None, "camera-0.mp4"]


# --- runs


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, drawn_clip):
    """Tasks: photos, of which the first is slow, a clip among them, one that is missing."""
    folder = tmp_path_factory.mktemp("inputs")
    rng = np.random.default_rng(5)
    tasks = []
    for i in range(8):
        pixels = rng.integers(10, 256, (64, 64, 3), np.uint8)
        pixels[0, 0, 0] = SLOW if i == 0 else 9
        write_image(folder / f"{i}.png", pixels)
        tasks.append(Task(Source(str(folder / f"{i}.png"), "photo", f"{i}.png")))
    tasks.insert(3, Task(Source(str(drawn_clip), "clip", "drawn.mp4")))
    tasks.insert(5, Task(Source("gone.jpg", "missing", error="expected gone.jpg, it is gone")))
    return tasks


def special(tmp_path, what):
    pixels = np.full((64, 64, 3), 100, np.uint8)
    pixels[0, 0, 0] = what
    path = tmp_path / f"special{what}.png"
    write_image(path, pixels)
    return Task(Source(str(path), "photo", path.name))


def run(tasks, options, workers=1, **more):
    written = []
    with open_results(tasks, replace(options, workers=workers)) as (_, results):
        summary = write_results(results, len(tasks), written.extend, **more)
    return written, summary


@pytest.fixture(scope="module")
def undisturbed(inputs, tiny_model):
    """What this process gives of all inputs."""
    return run(inputs, OddOptions(model=tiny_model))


@pytest.mark.usefixtures("worker_processes")
def test_three_workers_give_what_one_gives_in_the_same_order(inputs, tiny_model, undisturbed, monkeypatch):
    """The first input is slow: results of those behind it wait in files, which go when passed on."""
    made, folders = [], []

    class Watched(pool.Pool):
        def _receive(self):
            super()._receive()
            folders.append(self._folder)
            made.append(len(list(self._folder.iterdir())))

    monkeypatch.setattr(pool, "Pool", Watched)
    alone, one = undisturbed
    together, three = run(inputs, OddOptions(model=tiny_model), workers=3)
    assert together == alone
    assert (one.frames, one.faces, one.done) == (three.frames, three.faces, three.done) == (20, 20, 10)
    assert one.failed == three.failed == [("gone.jpg", "expected gone.jpg, it is gone")]
    assert max(made) > 2
    assert not folders[0].exists()


@pytest.mark.usefixtures("worker_processes")
def test_a_dead_worker_or_a_bug_costs_its_input_and_nothing_else(
    inputs, tiny_model, tmp_path, undisturbed, monkeypatch
):
    monkeypatch.setattr(pool, "DEATHS", 2)
    start, begun = pool.Popen, []
    monkeypatch.setattr(pool, "Popen", lambda *args, **more: begun.append(args) or start(*args, **more))
    deadly, wrong = special(tmp_path, KILLS), special(tmp_path, RAISES)
    tasks = [wrong, *inputs[:2], deadly, *inputs[2:]]
    good, _ = undisturbed
    rows, summary = run(tasks, OddOptions(model=tiny_model))
    assert [name for name, _ in summary.failed] == [wrong.source.name, deadly.source.name, "gone.jpg"]
    assert "RuntimeError: a bug" in summary.failed[0][1]
    assert "2 processes died while reading it (the last by signal 9, SIGKILL)" in summary.failed[1][1]
    assert summary.done == len(tasks)
    assert len(rows) == len(good) + 2
    assert [row for row in rows if row in good] == good
    assert len(begun) == 3


@pytest.mark.usefixtures("worker_processes")
def test_a_clip_whose_worker_died_is_read_on_by_another(
    tiny_model, tmp_path, monkeypatch, make_clip, no_face
):
    """No frame is missing and none is there twice, though some had been given before; alone too."""
    monkeypatch.setenv("MIEN_TEST_MORTAL", str(tmp_path / "die"))
    task = Task(Source(str(make_clip(tmp_path / "long.mp4", [no_face] * 48)), "clip", "long.mp4"))
    options = OddOptions(model=tiny_model)
    undisturbed = [row for result in read_input(options.load(), task, options) for row in result.rows]
    (tmp_path / "die").touch()
    rows, summary = run([task], MortalOptions(model=tiny_model))
    assert not (tmp_path / "die").exists()
    assert rows == undisturbed
    assert (summary.failures, summary.frames) == (0, 48)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_process_of_a_pool_reads_a_clip_in_a_script_without_a_guard(tmp_path, tiny_model, drawn_clip):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, mien, multiprocessing\n"
        "def read(_): return mien.analyze(sys.argv[1], sys.argv[2], model=sys.argv[3], workers=2).frames\n"
        "with multiprocessing.get_context('fork').Pool(1) as pool: print(*pool.map(read, [0]))\n"
    )
    command = [sys.executable, str(script), str(drawn_clip), str(tmp_path / "t.csv"), str(tiny_model)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "12\n"


@pytest.mark.usefixtures("worker_processes")
def test_a_model_that_cannot_be_loaded_ends_the_run(inputs, tmp_path):
    with pytest.raises(MienError, match=r"none\.onnx"):
        run(inputs, AnalyzeOptions(model=tmp_path / "none.onnx"))


@pytest.mark.usefixtures("worker_processes")
def test_workers_that_never_start_end_the_run(inputs, tiny_model, monkeypatch):
    monkeypatch.setattr(pool, "_STILLBORN", 2)
    with pytest.raises(MienError, match="exit status 7"):
        run(inputs, DeadOptions(model=tiny_model))


@pytest.mark.usefixtures("worker_processes")
def test_an_interrupt_comes_between_parts_and_what_was_done_is_whole(inputs, tiny_model, undisturbed):
    def stop(summary, result):
        if summary.done == 2:
            os.kill(os.getpid(), signal.SIGINT)

    everything, _ = undisturbed
    rows, summary = run(inputs, OddOptions(model=tiny_model), progress=stop)
    assert summary.interrupted
    assert summary.done == 2
    assert rows == everything[:2]


def test_an_interrupt_while_rows_are_written_lets_them_be_written(inputs, tiny_model):
    written = []

    def write(rows):
        os.kill(os.getpid(), signal.SIGINT)
        written.extend(rows)

    with open_results(inputs, OddOptions(model=tiny_model)) as (_, results):
        summary = write_results(results, len(inputs), write)
    assert (summary.interrupted, summary.done, len(written)) == (True, 1, 1)


def test_an_interrupt_waits_for_the_end_of_what_it_would_tear():
    steps = []
    with pytest.raises(KeyboardInterrupt), hold_interrupts():  # noqa: PT012 - the raise is at its end
        os.kill(os.getpid(), signal.SIGINT)
        steps.append("after the signal")
    assert steps == ["after the signal"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_clip_comes_frame_by_frame(inputs, tiny_model):
    options = OddOptions(model=tiny_model)
    results = list(read_input(options.load(), inputs[3], options))
    assert [result.frames for result in results] == [1] * 12 + [0]
    assert [result.last for result in results] == [False] * 12 + [True]
    shares = [result.share for result in results]
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_a_clip_without_frames_between_start_and_end_keeps_a_row(drawn_clip, tiny_model):
    options = OddOptions(model=tiny_model, start=60, end=90.5)
    (result,) = read_input(options.load(), Task(Source(str(drawn_clip), "clip")), options)
    assert (result.last, result.frames, [row["success"] for row in result.rows]) == (True, 0, [0])
    assert "expected frames from 60 s to 90.5 s" in result.error


def test_a_full_disk_under_results_that_wait_ends_the_run(inputs, tiny_model, tmp_path):
    results = iter([Result("a", rows=[{"source": "a" * 100_000}], last=True)])
    with pytest.raises(OutputError, match="TMPDIR"):
        pool._write_results(results, Path("/dev/full"), None, Event())


def test_the_number_of_workers_fits_the_work(monkeypatch):
    monkeypatch.setattr("mien.batch.run.count_cores", lambda: 8)
    photo, clip = Task(Source("a.jpg", "photo")), Task(Source("a.mp4", "clip"))
    assert count_workers([photo]) == 1
    assert count_workers([photo] * 59 + [clip]) == 1
    assert count_workers([clip] * 3) == 3
    assert count_workers([photo] * 10_000) == 8
    assert count_workers([]) == 1
    assert pool.WINDOW >= 2 * 8


# --- from Python


def test_analyze_writes_what_the_command_writes(mien, drawn_clip, one_face, tiny_model, tmp_path):
    write_image(tmp_path / "one.png", one_face)
    told = []
    summary = analyze(
        [drawn_clip, tmp_path / "one.png", "gone.jpg"],
        tmp_path / "python.csv",
        model=tiny_model,
        every=3,
        events=tmp_path / "python.events.csv",
        progress=lambda summary, result: told.append((summary.done, result.name)),
    )
    assert (summary.done, summary.frames, summary.failures) == (3, 5, 1)
    assert told[-1] == (3, "gone.jpg")
    options = ("--model", tiny_model, "--every", "3", "--events", tmp_path / "command.events.csv")
    sources = (drawn_clip, tmp_path / "one.png", "gone.jpg")
    assert mien("analyze", *sources, "-o", tmp_path / "command.csv", *options).code == 1
    for table in ("csv", "events.csv"):
        assert (tmp_path / f"python.{table}").read_bytes() == (tmp_path / f"command.{table}").read_bytes()


def test_one_record_of_options_serves_many_runs(one_face, tiny_model, tmp_path):
    write_image(tmp_path / "one.png", one_face)
    options = AnalyzeOptions(model=tiny_model, max_faces=1)
    for name in ("a.csv", "b.csv"):
        assert analyze(str(tmp_path / "one.png"), tmp_path / name, options=options).faces == 1
    with pytest.raises(OutputError, match="exists"):
        analyze(tmp_path / "one.png", tmp_path / "a.csv", options=options)
    assert analyze(tmp_path / "one.png", tmp_path / "a.csv", options=options, overwrite=True).failures == 0


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"every": 2, "fps": 5}, "every or fps"),
        ({"start": 2, "end": 1}, "before the end"),
        ({"engine": "dask"}, "local or ray"),
        ({"workers": -1}, "workers: expected at least 1"),
        ({"address": "auto"}, "address"),
        ({"retry": True}, "folder"),
        ({"output": "out/", "pages": "pages"}, "pages cannot"),
        ({"output": "a.csv", "events": "./a.csv"}, "one file twice"),
    ],
)
def test_options_that_contradict_each_other_are_refused(fields, text):
    with pytest.raises(ConfigError, match=text):
        AnalyzeOptions(**fields)


def test_pictures_in_hand_are_no_paths():
    with pytest.raises(ConfigError, match=r"got ndarray; `mien\.load\(\)\.images` reads"):
        analyze([np.zeros((9, 9, 3), np.uint8)])
    with pytest.raises(ConfigError, match="expected paths, got bytes"):  # not the cameras 255, 216, ...
        analyze(b"\xff\xd8")


def test_records_come_back_from_json_to_the_last_bit():
    rng = np.random.default_rng(3)
    face = Face((1.5, 2.0, 3.0, 4.0), rng.random((5, 2)).astype(np.float32), 0.1, track=np.int64(3),
                probabilities=rng.random(8).astype(np.float32), shown=2, set=("fear", "anger"))  # fmt: skip
    frame = Frame("a.mp4", 7, 0.28, (face, replace(face, probabilities=None, set=None)), ("cut",))
    (one, other) = from_plain(Frame, json.loads(json.dumps(to_plain(frame)))).faces
    for name in ("box", "score", "track", "shown", "set"):
        assert getattr(one, name) == getattr(face, name)
    assert np.array_equal(one.landmarks, face.landmarks)
    assert np.array_equal(one.probabilities, face.probabilities)
    assert one.probabilities.dtype == np.float32
    assert (other.probabilities, other.set, other.uncertain) == (None, None, None)


def test_a_run_is_the_same_unless_something_differs():
    then = describe_run(AnalyzeOptions(), "abc", shard=4)
    assert first_difference(then, describe_run(AnalyzeOptions(workers=3, threads=1), "abc", shard=4)) == ""
    assert "network was 'abc'" in first_difference(then, describe_run(AnalyzeOptions(), "abd", shard=4))
    assert "fps was None and is 5 now" in first_difference(
        then, describe_run(AnalyzeOptions(fps=5), "abc", shard=4)
    )
