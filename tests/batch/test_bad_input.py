"""What can be wrong with an input or an output, end to end through `mien analyze`.

What can be wrong inside pictures and clips is tested where they are read (test_image.py, test_video.py).
"""

import csv
import io
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from makers import copy_pictures
from mien.image import encode_image, write_image


@pytest.fixture
def analyze(mien, tiny_model):
    """Run `mien analyze` with the tiny network; the rows come as dictionaries."""

    def run(*arguments, **options):
        ran = mien("analyze", *arguments, "--model", tiny_model, **options)
        return ran, list(csv.DictReader(io.StringIO(ran.out.decode())))

    return run


@pytest.fixture
def photo(tmp_path, one_face):
    write_image(tmp_path / "photo.png", one_face)
    return tmp_path / "photo.png"


def refused(ran, rows, *texts):
    """It failed, said once why and (behind a semicolon) what to do, and has its row."""
    assert ran.code == 1
    assert [(row["success"], row["emotion"]) for row in rows] == [("0", "")]
    errors = [line for line in ran.err.splitlines() if line.startswith("mien: error: ")]
    assert len(errors) == 1
    for text in ("; ", rows[0]["source"], *texts):
        assert text in errors[0]
    assert "Traceback" not in ran.err
    return True


def cut(data, kept):
    return data[: int(len(data) * kept)]


# --- inputs


def test_a_file_that_is_not_what_its_name_says(analyze, tmp_path, one_face, drawn_clip):
    """Each of these is an input that failed, told by name, with its row."""
    files = {
        "text.jpg": (b"Dear reader,\n", "is text"),
        "nothing.jpg": (b"", "0 bytes"),
        "noise.png": (bytes(range(256)), "begins with"),
        "nothing.mp4": (b"", "0 bytes"),
        "text.mp4": (b"Dear viewer,\n", "cannot be opened"),
        "cut.jpg": (cut(encode_image(one_face, ".jpg"), 0.9), "damaged or cut short"),
        "cut.mp4": (cut(drawn_clip.read_bytes(), 0.5), "cut before"),
    }
    for name, (content, _) in files.items():
        (tmp_path / name).write_bytes(content)
    ran, rows = analyze(*(tmp_path / name for name in files))
    assert ran.code == 1
    assert [(row["success"], row["emotion"]) for row in rows] == [("0", "")] * len(files)
    errors = [line for line in ran.err.splitlines() if line.startswith("mien: error: ")]
    assert "Traceback" not in ran.err
    for line, row, (name, (_, text)) in zip(errors[: len(files)], rows, files.items(), strict=True):
        assert row["source"] == str(tmp_path / name)
        for part in (row["source"], text, "; "):
            assert part in line


def test_a_folder_that_may_not_be_read(analyze, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    if os.access(closed, os.R_OK):
        pytest.skip("root may read everything")
    assert refused(*analyze(tmp_path), "permissions")


def test_one_pixel_is_a_picture_without_a_face_and_too_small_a_crop(analyze, tmp_path):
    write_image(tmp_path / "one.png", np.zeros((1, 1, 3), np.uint8))
    ran, rows = analyze(tmp_path / "one.png")
    assert (ran.code, [row["success"] for row in rows]) == (0, ["0"])
    assert "error" not in ran.err
    assert refused(*analyze("--crops", tmp_path / "one.png"), "at least 48 x 48", "1 x 1")


def test_what_was_left_out_of_a_picture_is_noted(analyze, tmp_path, one_face, no_face):
    path = tmp_path / "moving.gif"
    more = [Image.fromarray(no_face)]
    Image.fromarray(one_face).save(path, save_all=True, append_images=more, duration=100)
    ran, rows = analyze(path)
    assert (ran.code, [row["success"] for row in rows]) == (0, ["1"])
    assert f"mien: note: {path}: animated" in ran.err


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_names_that_are_no_text(mien, tiny_model, tmp_path, one_face, ending):
    raw = os.fsencode(tmp_path) + b"/caf\xe9.png"
    try:
        Path(os.fsdecode(raw)).write_bytes(encode_image(one_face, ".png"))
    except OSError as error:
        pytest.skip(f"this file system takes no such name: {error}")
    gone = os.fsencode(tmp_path) + b"/gone\xff.png"
    out = tmp_path / f"out.{ending}"
    options = ("--model", tiny_model, "-o", out, "--annotate", tmp_path / "seen")
    ran = mien("analyze", "-", *options, stdin=raw + b"\n" + gone + b"\n")
    assert ran.code == 1
    assert rb"gone\udcff.png".decode() in ran.err
    assert [os.fsencode(path.name) for path in (tmp_path / "seen").iterdir()] == [b"caf\xe9.png"]
    if ending != "parquet":
        text = out.read_text(encoding="utf-8").replace(r"\\", "\\")
        assert r"caf\xe9.png" in text
        assert r"gone\xff.png" in text


def test_a_clip_cut_in_the_middle_keeps_what_there_is(analyze, tmp_path, one_face):
    """With its index in front, half a clip can be read, and the rest is missed aloud."""
    noise = np.random.default_rng(4)
    whole = tmp_path / "whole.mp4"
    with av.open(str(whole), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("mpeg4", rate=Fraction(10))
        stream.height, stream.width, stream.pix_fmt = 240, 320, "yuv420p"
        for _ in range(20):
            pixels = one_face.copy()
            pixels[:20] = noise.integers(0, 256, (20, 320, 3))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    path = tmp_path / "cut.mp4"
    path.write_bytes(cut(whole.read_bytes(), 0.6))
    ran, rows = analyze(path, tmp_path / "gone.jpg", "--annotate", tmp_path / "seen")
    assert ran.code == 1
    frames = [row for row in rows if row["source"] == str(path)]
    assert 5 < len(frames) < 20
    assert {row["success"] for row in frames} == {"1"}
    assert "read only in part" in ran.err
    assert f"{len(frames)} of 20 frames read" in ran.err
    assert (tmp_path / "seen" / "cut.mp4").exists()


# --- outputs


def nothing_was_done(ran, text):
    assert (ran.code, ran.out) == (1, b"")
    assert ran.err.startswith("mien: error: ")
    assert text in ran.err
    assert "inputs" not in ran.err
    return True


@pytest.mark.parametrize(
    ("out", "text"),
    [("no/such/o.csv", "cannot be written"), ("/proc/o.csv", "/proc/o.csv")],
)
def test_output_where_nothing_can_be_written(analyze, photo, tmp_path, out, text):
    assert nothing_was_done(analyze(photo, "-o", tmp_path / out)[0], text)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which is Linux's")
@pytest.mark.parametrize(
    ("name", "buffered"),
    [("analyze", ""), ("card", ""), pytest.param("analyze", "1", marks=pytest.mark.slow)],
)
def test_standard_output_on_a_full_disk(photo, tiny_model, name, buffered):
    given = [str(photo), "--model", str(tiny_model)] if name == "analyze" else [str(tiny_model)]
    command = [sys.executable, "-m", "mien", name, *given]
    environment = {**os.environ, "PYTHONUNBUFFERED": buffered}
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=environment
        )
    assert ran.returncode == 1
    assert "No space left on device" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_copies_where_nothing_can_be_written(analyze, photo, tmp_path):
    (tmp_path / "file").touch()
    assert refused(*analyze(photo, "--annotate", tmp_path / "file"), "cannot be made")


def test_output_that_exists_is_refused_before_any_work(analyze, photo, tmp_path):
    out = tmp_path / "o.csv"
    out.write_text("precious")
    assert nothing_was_done(analyze(photo, "-o", out)[0], "--overwrite")
    assert out.read_text() == "precious"
    assert analyze(photo, "-o", out, "--overwrite")[0].code == 0
    assert out.read_text().startswith("source,")


def test_a_model_that_is_none_leaves_no_output(mien, photo, tmp_path):
    ran = mien("analyze", photo, "-o", tmp_path / "o.csv", "--model", photo)
    assert nothing_was_done(ran, "ONNX")
    assert list(tmp_path.iterdir()) == [photo]


# --- Ctrl-C: a real SIGINT to the whole process group, as a terminal sends it


def interrupt(sources, tmp_path, tiny_model, workers, begun):
    """Run until `begun(folder of copies)`, then Ctrl-C; what was said, the rows and the folder of copies."""
    out, seen = tmp_path / "o.csv", tmp_path / "seen"
    command = [sys.executable, "-m", "mien", "analyze", *sources, "-o", out, "--annotate", seen]
    command += ["--model", tiny_model, "--workers", workers]
    with subprocess.Popen(
        [*map(str, command)], stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 60
        while not begun(seen) and time.monotonic() < deadline:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert list(tmp_path.rglob("*.part")) == []
    return err, list(csv.DictReader(io.StringIO(out.read_text()))), seen


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_ctrl_c_keeps_what_was_done_whole(tmp_path, tiny_model, one_face, workers):
    data = encode_image(one_face, ".jpg")
    (tmp_path / "in").mkdir()
    for i in range(400):
        (tmp_path / "in" / f"{i:03}.jpg").write_bytes(data)
    err, rows, seen = interrupt(
        [tmp_path / "in"], tmp_path, tiny_model, workers, lambda seen: len(list(seen.glob("*.jpg"))) >= 5
    )
    assert 0 < len(rows) < 400
    assert f"stopped by Ctrl-C with {len(rows)} of 400 inputs done" in err
    assert [Path(row["source"]).name for row in rows] == [f"{i:03}.jpg" for i in range(len(rows))]
    assert all(row["contempt"] for row in rows)
    copies = sorted(seen.iterdir())
    assert len(copies) >= len(rows)
    for copy in copies:
        with Image.open(copy) as picture:
            picture.load()


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_ctrl_c_in_a_clip_keeps_the_frames_so_far(tmp_path, tiny_model, one_face, workers):
    data = encode_image(one_face, ".jpg")
    clips = [tmp_path / name for name in ("long.mov", "other.mov")]
    for clip in clips:
        copy_pictures(clip, [data] * 400, "mjpeg", one_face.shape[:2])

    def begun(seen):
        if list(seen.glob("*.part")) or list(seen.glob(".*")):
            time.sleep(1.5)  # until the first frames are read, on a busy machine too
            return True
        return False

    err, rows, _ = interrupt(clips, tmp_path, tiny_model, workers, begun)
    assert "with 0 of 2 inputs done" in err
    assert 0 < len(rows) < 400
    assert [int(row["frame"]) for row in rows] == list(range(len(rows)))
