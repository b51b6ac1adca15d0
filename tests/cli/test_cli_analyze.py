"""`mien analyze` from argument to table, in this process and in a fresh one."""

import csv
import io
import os
import pty
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from mien import EMOTIONS, __version__
from mien.analyzer import load
from mien.batch.read import Result, Summary
from mien.batch.run import finish_whole
from mien.cli.progress import (
    Lines,
    Live,
    Quiet,
    choose_progress,
    duration,
    end_lines,
    state_line,
)
from mien.image import write_image
from mien.results import COLUMNS
from mien.video.frames import Video


@pytest.fixture(scope="module")
def folder(tmp_path_factory, one_face, two_faces, no_face, drawn_clip):
    """Two photos with faces, one without, and a clip, in two folders."""
    root = tmp_path_factory.mktemp("folder")
    (root / "more").mkdir()
    write_image(root / "one.png", one_face)
    write_image(root / "more" / "two.png", two_faces)
    write_image(root / "more" / "none.png", no_face)
    shutil.copy(drawn_clip, root / "clip.mp4")
    return root


def table(text):
    return list(csv.DictReader(io.StringIO(text.decode() if isinstance(text, bytes) else text)))


def test_rows_are_what_the_analyzer_says(mien, folder, tiny_model, two_faces):
    ran = mien("analyze", folder / "more" / "two.png", "--model", tiny_model)
    assert ran.code == 0
    got = table(ran.out)
    expected = load(tiny_model).image(two_faces).faces
    assert list(got[0]) == list(COLUMNS)
    assert len(got) == len(expected) == 2
    for row, face in zip(got, expected, strict=True):
        assert [np.float32(row[name]) for name in EMOTIONS] == face.probabilities.tolist()
        assert [np.float32(row[name]) for name in ("x", "y", "width", "height")] == list(np.float32(face.box))
        assert (row["emotion"], row["time"], row["track"], row["success"]) == (face.emotion, "", "", "1")


@pytest.mark.usefixtures("worker_processes")
def test_a_folder_in_order_with_an_empty_row_where_nobody_is(mien, folder, tiny_model, tmp_path):
    ran = mien("analyze", folder, "--model", tiny_model, "-o", tmp_path / "out.csv")
    assert (ran.code, ran.out) == (0, b"")
    rows = table((tmp_path / "out.csv").read_text())
    shown = [os.path.relpath(row["source"], folder) for row in rows]
    assert shown == ["clip.mp4"] * 12 + ["more/none.png"] + ["more/two.png"] * 2 + ["one.png"]
    assert [row["success"] for row in rows] == ["1"] * 10 + ["0"] * 3 + ["1"] * 3
    assert {row["track"] for row in rows[:10]} == {"1"}
    assert [float(row["time"]) for row in rows[:12]] == pytest.approx(np.arange(12) / 10)


def test_max_faces_and_min_face(mien, folder, tiny_model):
    photo = folder / "more" / "two.png"
    assert len(table(mien("analyze", photo, "--model", tiny_model, "--max-faces", "1").out)) == 1
    assert table(mien("analyze", photo, "--model", tiny_model, "--min-face", "400").out)[0]["success"] == "0"


def test_copies_are_drawn_beside_each_other(mien, folder, tiny_model, tmp_path):
    seen = tmp_path / "seen"
    options = ("--model", tiny_model, "--annotate", seen, "-o", tmp_path / "o.csv")
    ran = mien("analyze", folder, folder / "one.png", *options)
    assert ran.code == 0, ran.err
    found = sorted(str(path.relative_to(seen)) for path in seen.rglob("*") if path.is_file())
    assert found == ["clip.mp4", "more/none.png", "more/two.png", "one.png"], "one is read once"
    assert "one.png: given 2 times" in ran.err
    assert (
        sum(row["source"] == str(folder / "one.png") for row in table((tmp_path / "o.csv").read_text())) == 1
    )
    before, after = (np.asarray(Image.open(root / "one.png").convert("RGB")) for root in (folder, seen))
    assert before.shape == after.shape
    assert (before != after).any()
    assert len(list(Video(seen / "clip.mp4"))) == 12


def test_copies_that_exist_stay_unless_told(mien, folder, tiny_model, tmp_path):
    again = ("analyze", folder / "one.png", "--annotate", tmp_path, "--model", tiny_model)
    assert mien(*again).code == 0
    refused = mien(*again)
    assert (refused.code, refused.out) == (1, b"")
    assert "--overwrite" in refused.err
    assert mien(*again, "--overwrite").code == 0
    over = mien("analyze", folder / "one.png", "--annotate", folder, "--model", tiny_model, "--overwrite")
    assert over.code == 1
    assert "one of the inputs" in over.err


def test_version_and_help_with_every_option(mien):
    assert mien("--version").out.decode().strip() == f"mien {__version__}"
    text = re.sub(r"\x1b\[[0-9;]*m", "", mien("analyze", "--help").out.decode())
    options = ["output", "annotate", "crops", "every", "fps", "min-face", "max-faces", "workers", "model"]
    for option in [*options, "overwrite", "quiet"]:
        assert f"--{option}" in text


# --- progress


def test_quiet_says_errors_alone(mien, folder, tiny_model):
    ran = mien("analyze", folder / "one.png", "gone.jpg", "--quiet", "--model", tiny_model)
    assert ran.code == 1
    (line,) = ran.err.splitlines()
    assert "'gone.jpg' does not exist" in line


def test_the_end_says_what_was_done_and_what_failed(mien, folder, tiny_model):
    ran = mien("analyze", folder / "one.png", "gone.jpg", "--model", tiny_model)
    assert ran.err.count("does not exist") == 1
    assert re.search(r"2 inputs, 1 frame, 1 face in .* s; rows in standard output", ran.err)
    assert ran.err.splitlines()[-2:] == ["mien: 1 of 2 inputs failed:", "  gone.jpg"]


def test_plain_lines_come_at_growing_intervals(capsys):
    lines, summary = Lines(), Summary(1000)
    for second in range(200):
        summary.seconds = float(second)
        summary.add(Result("x", frames=1, last=True))
        lines.watch(summary, Result("x"))
    said = capsys.readouterr().err.splitlines()
    assert 5 <= len(said) <= 7
    assert re.fullmatch(r"mien: 6 of 1,000 files, 6 frames, 0 faces, 1.2 frames/s, 13 min 48 s left", said[0])


def test_the_progress_fits_the_place(monkeypatch):
    assert isinstance(choose_progress(quiet=True, rows_on_terminal=False), Quiet)
    assert isinstance(choose_progress(quiet=False, rows_on_terminal=False), Lines)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert isinstance(choose_progress(quiet=False, rows_on_terminal=True), Lines)
    live = choose_progress(quiet=False, rows_on_terminal=False)
    live.close()
    assert isinstance(live, Live)


def test_a_terminal_sees_a_live_line_with_errors_above(folder, tiny_model, tmp_path):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "mien", "analyze", folder / "one.png", "gone[x].jpg"]
    command += ["--model", tiny_model]
    command += ["-o", tmp_path / "o.csv"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen([*map(str, command)], stderr=theirs, env=environment) as process:
        os.close(theirs)
        said = b""
        while True:
            try:
                said += os.read(ours, 65536)
            except OSError:  # Linux: the terminal ends when its last user does
                break
    os.close(ours)
    assert process.returncode == 1
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said.decode())
    assert "mien: error: expected files that match 'gone[x].jpg'" in text
    assert re.search(r"\d of 2 files, \d+ frames?, \d+ faces?", text)


def test_words_of_the_summary():
    summary = Summary(4, done=1, share=0.5, frames=90, faces=1, seconds=9.0)
    summary.failures, summary.failed = 25, [("a", "b")] * 25
    assert state_line(summary) == "1 of 4 files, 90 frames, 1 face, 10.0 frames/s, 25 failed, 15 s left"
    assert state_line(Summary(4)) == "0 of 4 files, 0 frames, 0 faces, 0.0 frames/s"
    lines = end_lines(summary, "o.csv")
    assert len(lines) == 2 + 20 + 1
    assert lines[-1].strip().startswith("and 5 more")
    said = [duration(s) for s in (0.04, 59.7, 60, 3599.9, 86400)]
    assert said == ["0.0 s", "60 s", "1 min 0 s", "1 h 0 min", "24 h 0 min"]


# --- a fresh process


def test_a_reader_who_has_had_enough_ends_it_quietly(folder, tiny_model):
    command = f"{sys.executable} -m mien analyze {folder}/more --model {tiny_model} --quiet | head -n 1"
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("source,")
    assert ran.stderr == ""


def test_a_second_ctrl_c_waits_until_the_table_is_finished():
    steps = []

    class Closing:
        def __exit__(self, *error):
            os.kill(os.getpid(), signal.SIGINT)
            steps.append("finished")

    with pytest.raises(KeyboardInterrupt), finish_whole(Closing()):
        steps.append("written")
    assert steps == ["written", "finished"]


def test_region_and_tracks_leave_out_the_other_faces(mien, tmp_path, make_clip, draw_scene, tiny_model):
    pictures = [draw_scene((10 + 2 * i, 20, 100), (180, 90, 130)) for i in range(4)]
    clip = make_clip(tmp_path / "two.mp4", pictures)
    command = ("analyze", clip, "--model", tiny_model)
    every = table(mien(*command).out)
    assert {row["track"] for row in every} == {"1", "2"}

    def boxes(rows):
        return [(row["frame"], row["track"], row["x"], row["smoothed_fear"]) for row in rows]

    second = table(mien(*command, "--tracks", "2").out)
    assert boxes(second) == boxes(row for row in every if row["track"] == "2")
    left = table(mien(*command, "--region", "0,0,150,240").out)
    assert [row["x"] for row in left] == [row["x"] for row in every if float(row["x"]) < 150]
    assert {row["track"] for row in left} == {"1"}


def test_times_may_be_minutes_and_hours(mien, drawn_clip, tiny_model):
    ran = mien("analyze", drawn_clip, "--start", "0:00.4", "--end", "0:00:01", "--model", tiny_model)
    times = {line.split(",")[2] for line in ran.out.decode().splitlines()[1:]}
    assert times
    assert all(0.4 <= float(time) < 1 for time in times)


@pytest.mark.parametrize(
    "wrong",
    [
        ["--start", "1:xx"], ["--start", "2", "--end", "1"], ["--fps", "2", "--every", "3"], ["--shard", "3"],
        ["-o", "t.doc"], ["--events", "t.doc"], ["--provider", "None"], ["--min-score", "2"], ["--frob"],
        ["--region", "1,2"], ["--region", "a,b,c,d"], ["--region", "0,0,9,9", "--crops"], ["--tracks", "0"],
        ["--tracks", "x"], ["--policy", "none"], ["--every", "0"], ["--fps", "0"], ["--workers", "0"],
        ["-o", "d/", "--events", "e.csv"], ["-o", "d/", "--engine", "dask"],
    ],
)  # fmt: skip
def test_a_wrong_command_ends_with_status_2_and_makes_nothing(
    mien, folder, tiny_model, wrong, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    assert mien("analyze").code == 2
    ran = mien("analyze", folder / "one.png", folder / "clip.mp4", *wrong, "--model", tiny_model)
    assert (ran.code, ran.out) == (2, b"")
    assert list(tmp_path.iterdir()) == []
