"""Clips that are gone on with after a kill."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from mien import analyze
from mien.batch.journal import Journal
from mien.batch.options import AnalyzeOptions
from mien.batch.read import Task, read_input
from mien.batch.sources import Source
from mien.errors import OutputError
from mien.image import write_image
from mien.results.sidecar import read_sidecar

MIEN = [sys.executable, "-m", "mien", "analyze"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory, draw_scene, make_clip):
    """60 frames: its journal holds one place to go on from."""
    pictures = [draw_scene((20 + i, 40, 160)) for i in range(60)]
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", pictures, fps=25)


@pytest.fixture(scope="module")
def read_once(clip, tmp_path_factory):
    """A folder with `a.csv` of the clip and its journal, which stayed though the run is over."""
    folder = tmp_path_factory.mktemp("once")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shutil.rmtree", lambda *_args, **_options: None)
        patch.chdir(folder)
        analyze(clip, "a.csv")
    return folder


@pytest.fixture
def kept(read_once, tmp_path, monkeypatch):
    """The current folder: a copy of that one, in which journals stay too."""
    shutil.copytree(read_once, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr("shutil.rmtree", lambda *_args, **_options: None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def kill_midway(command, folder):
    """Start a command and kill it once its journal holds a place to go on from; gives the journal."""
    process = subprocess.Popen([*MIEN, *map(str, command)], cwd=folder, stderr=subprocess.PIPE)
    path = None
    while process.poll() is None:
        path = path or next(folder.glob("*.journal/*.jsonl"), None)
        with suppress(FileNotFoundError):  # it goes once the run is over
            if path and b'"state"' in path.read_bytes().rpartition(b"\n")[0]:  # a whole line
                process.send_signal(signal.SIGKILL)
                break
        time.sleep(0.01)
    process.communicate()
    return path


@pytest.mark.parametrize(
    ("options", "frames"),
    [
        pytest.param([], 110, marks=pytest.mark.slow),
        (["--detect-every", "3", "--landmarks", "--annotate", "drawn"], 70),
        pytest.param(
            ["--every", "2", "--smooth", "0"], 110, marks=pytest.mark.slow
        ),  # a place every 100 frames
    ],
)
def test_a_killed_run_goes_on_and_gives_the_same_tables(
    mien, one_face, draw_scene, make_clip, tmp_path, options, frames, monkeypatch
):
    scenes = [[(20 + i // 2, 40, 160), (220, 20, 96)][: 1 + (30 < i < 60)] for i in range(frames)]
    long_clip = make_clip(tmp_path / "long.mp4", [draw_scene(*faces) for faces in scenes], fps=25)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    photo = tmp_path / "photo.png"
    write_image(photo, one_face)
    command = [photo, long_clip, "-o", "rows.csv", "--events", "events.csv", "--pages", "pages", *options]
    monkeypatch.chdir(whole)
    assert mien("analyze", *command).code == 0
    path = kill_midway(command, killed)
    if not path.exists():
        pytest.skip("the run was over before it could be killed")
    assert not (killed / "rows.csv").exists()
    monkeypatch.chdir(killed)
    again = mien("analyze", *command)
    assert again.code == 0
    assert "resumed after" in again.err
    drawn = ["drawn/long.mp4", f"drawn/{photo.name}"] if "drawn" in options else []
    for name in ("rows.csv", "events.csv", "pages/long.mp4.html", *drawn):
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name
    for name in ("rows.csv", "events.csv"):
        beside = [read_sidecar(folder / name) | {"made": None} for folder in (killed, whole)]
        assert beside[0] == beside[1], name
    assert not list(killed.glob("*.journal")), "the journal goes once the results are whole"


def test_a_journal_that_breaks_off_in_a_line_is_used_up_to_its_last_place(clip, kept, mien):
    (path,) = kept.glob("a.csv.journal/*.jsonl")
    data = path.read_bytes()
    want = (kept / "a.csv").read_bytes()
    what = json.loads(data.splitlines()[0])
    for share in (0.02, 0.31, 0.77, 0.999):  # a state follows 50 of the 60 frames
        path.write_bytes(data[: int(len(data) * share)])
        with Journal(path, what) as journal:
            frames = len(list(journal.replay("a")))
        assert frames >= 50 if share > 0.9 else frames == 0
    path.write_bytes(data[: int(len(data) * 0.999)])
    ran = mien("analyze", clip, "-o", "a.csv", "--overwrite")
    assert ran.code == 0
    assert "resumed after" in ran.err
    assert (kept / "a.csv").read_bytes() == want


def test_other_settings_begin_anew(clip, kept, mien):
    again = mien("analyze", clip, "-o", "a.csv", "--overwrite", "--every", 10)
    assert again.code == 0
    assert "resumed after" not in again.err


def test_a_clip_that_gives_other_frames_than_its_journal_is_refused(clip, kept, mien):
    (path,) = kept.glob("a.csv.journal/*.jsonl")
    lines = path.read_text().splitlines()
    frame = json.loads(lines[3])
    lines[3] = json.dumps({**frame, "time": frame["time"] + 0.01})
    path.write_text("\n".join(lines) + "\n")
    ran = mien("analyze", clip, "-o", "a.csv", "--overwrite")
    assert ran.code == 1
    assert "remove" in ran.err
    assert path.name in ran.err


def test_a_journal_where_nothing_can_be_written_is_told(tmp_path):
    if os.geteuid() == 0:
        place = Path("/proc/none/a.jsonl")
    else:
        (tmp_path / "locked").mkdir(mode=0o500)
        place = tmp_path / "locked" / "x" / "a.jsonl"
    with pytest.raises(OutputError, match="could not write progress"), Journal(place, {}) as journal:
        list(journal.replay("s"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which is Linux's")
def test_a_full_disk_under_the_journal_stops_the_run_and_fails_no_clip(
    drawn_clip, tiny_model, tmp_path, monkeypatch
):
    """The 12 frames are written when the journal is closed."""
    replay = Journal.replay

    def replay_onto_full_disk(journal, source):
        yield from replay(journal, source)
        journal._file.close()
        journal._file = Path("/dev/full").open("ab")  # noqa: SIM115 - the journal closes it

    monkeypatch.setattr(Journal, "replay", replay_onto_full_disk)
    task, options = (
        Task(Source(str(drawn_clip), "clip"), journal=tmp_path / "a"),
        AnalyzeOptions(model=tiny_model),
    )
    with pytest.raises(OutputError, match="could not write progress: No space left"):
        list(read_input(options.load(), task, options))
