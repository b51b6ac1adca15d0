"""Everything that can be wrong with an input or an output, end to end through `mien analyze`."""

import csv
import io
import os
import signal
import subprocess
import sys
import time
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from mien.image import encode_image, write_image


@pytest.fixture
def analyze(mien, tiny_model):
    """Run `mien analyze` with the tiny network; the rows come as dictionaries."""

    def run(*arguments, **options):
        ran = mien("analyze", *arguments, "--model", tiny_model, **options)
        return ran, list(csv.DictReader(io.StringIO(ran.out.decode())))

    return run


def refused(ran, rows, *texts):
    """It failed, said why once, and has its row."""
    assert ran.code == 1
    assert len(rows) == 1
    assert rows[0]["success"] == "0"
    assert rows[0]["emotion"] == ""
    errors = [line for line in ran.err.splitlines() if line.startswith("mien: error: ")]
    assert len(errors) == 1
    for text in ("expected", rows[0]["source"], *texts):
        assert text in errors[0]
    assert "Traceback" not in ran.err
    return True


def png_of_size(width, height):
    """The bytes of a small PNG whose header promises that size."""
    data = bytearray(encode_image(np.zeros((4, 4, 3), np.uint8), ".png"))
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


def test_a_missing_path(analyze):
    assert refused(*analyze("nowhere/at/all.jpg"), "does not exist", "check the path")


def test_an_empty_folder(analyze, tmp_path):
    assert refused(*analyze(tmp_path), "found none")


def test_a_folder_that_may_not_be_read(analyze, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    if os.access(closed, os.R_OK):
        pytest.skip("root may read everything")
    assert refused(*analyze(tmp_path), "permissions")


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("text.jpg", b"Dear reader,\n", "is text"),
        ("nothing.jpg", b"", "0 bytes"),
        ("noise.png", bytes(range(256)), "begins with"),
        ("huge.png", png_of_size(20_000, 20_000), "20000 x 20000"),
        ("nothing.mp4", b"", "0 bytes"),
        ("text.mp4", b"Dear viewer,\n", "cannot be opened"),
    ],
)
def test_a_file_that_is_not_what_its_name_says(analyze, tmp_path, name, content, text):
    (tmp_path / name).write_bytes(content)
    assert refused(*analyze(tmp_path / name), text)


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_truncated_picture(analyze, tmp_path, one_face, ending, kept):
    data = encode_image(one_face, ending)
    path = tmp_path / f"cut{ending}"
    path.write_bytes(data[: int(len(data) * kept)])
    assert refused(*analyze(path), "damaged or cut short")


def test_one_pixel_is_a_picture_without_a_face(analyze, tmp_path):
    write_image(tmp_path / "one.png", np.zeros((1, 1, 3), np.uint8))
    ran, rows = analyze(tmp_path / "one.png")
    assert ran.code == 0
    assert [row["success"] for row in rows] == ["0"]
    assert "error" not in ran.err


def test_one_pixel_is_too_small_a_crop(analyze, tmp_path):
    write_image(tmp_path / "one.png", np.zeros((1, 1, 3), np.uint8))
    assert refused(*analyze("--crops", tmp_path / "one.png"), "at least 48 x 48", "1 x 1")


@pytest.mark.parametrize("ending", ["gif", "webp"])
def test_of_an_animation_the_first_frame_is_used_and_said(analyze, tmp_path, one_face, no_face, ending):
    path = tmp_path / f"moving.{ending}"
    Image.fromarray(one_face).save(
        path, save_all=True, append_images=[Image.fromarray(no_face)], duration=100
    )
    ran, rows = analyze(path)
    assert (ran.code, [row["success"] for row in rows]) == (0, ["1"])
    assert f"mien: note: {path}: animated" in ran.err
    assert "first frame used" in ran.err


def rgba(picture):
    picture.putalpha(200)
    return picture


def sixteen_bits(picture):
    return Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("rgba.png", rgba),
        ("sixteen.png", sixteen_bits),
        ("cmyk.jpg", lambda picture: picture.convert("CMYK")),
        ("gray.jpg", lambda picture: picture.convert("L")),
        ("palette.png", lambda picture: picture.convert("P")),
        ("scan.tiff", lambda picture: picture),
    ],
)
def test_odd_pixels_are_read_like_plain_ones(analyze, tmp_path, one_face, name, change):
    change(Image.fromarray(one_face)).save(tmp_path / name)
    ran, rows = analyze(tmp_path / name)
    assert (ran.code, [row["success"] for row in rows]) == (0, ["1"]), ran.err
    assert abs(float(rows[0]["x"]) - 92) < 25  # where the plain one has it


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
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
        text = out.read_text(encoding="utf-8")
        assert r"caf\xe9.png" in text.replace(r"\\", "\\")
        assert r"gone\xff.png" in text.replace(r"\\", "\\")


def cut(path, source, kept):
    data = source.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    return path


def test_a_clip_cut_before_its_index(analyze, tmp_path, drawn_clip):
    assert refused(*analyze(cut(tmp_path / "cut.mp4", drawn_clip, 0.5)), "cannot be opened", "cut before")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_clip_cut_in_the_middle_keeps_what_there_is(analyze, tmp_path, one_face, workers):
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
    path = cut(tmp_path / "cut.mp4", whole, 0.6)
    options = ("--workers", workers, "--annotate", tmp_path / "seen")
    ran, rows = analyze(path, tmp_path / "gone.jpg", *options)
    assert ran.code == 1
    frames = [row for row in rows if row["source"] == str(path)]
    assert 5 < len(frames) < 20
    assert {row["success"] for row in frames} == {"1"}
    assert "was read in part" in ran.err
    assert f"{len(frames)} of 20 frames read" in ran.err
    assert (tmp_path / "seen" / "cut.mp4").exists()


def test_a_clip_without_a_picture(analyze, tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16_000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 16_000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    assert refused(*analyze(path), "video stream", "audio")


def test_a_camera_that_is_not_there(analyze):
    if Path("/dev/video63").exists():
        pytest.skip("there is a camera")
    ran, rows = analyze("63")
    assert ran.code == 1
    assert rows[0]["success"] == "0"
    assert "camera, number 63 cannot be opened" in ran.err


@pytest.mark.parametrize("workers", [1, 2])
def test_bad_files_among_good_ones_cost_nothing_but_themselves(analyze, tmp_path, one_face, workers):
    good = encode_image(one_face, ".jpg")
    for name, data in (
        ("a.jpg", good),
        ("b.jpg", b"text"),
        ("c.jpg", good),
        ("d.jpg", good[:900]),
        ("e.jpg", good),
    ):
        (tmp_path / name).write_bytes(data)
    ran, rows = analyze(tmp_path, "--workers", workers)
    assert ran.code == 1
    assert [row["success"] for row in rows] == ["1", "0", "1", "0", "1"]
    assert "2 of 5 inputs failed" in ran.err


# --- outputs


@pytest.fixture
def photo(tmp_path, one_face):
    write_image(tmp_path / "photo.png", one_face)
    return tmp_path / "photo.png"


def nothing_was_done(ran, text):
    assert (ran.code, ran.out) == (1, b"")
    assert ran.err.startswith("mien: error: ")
    assert text in ran.err
    assert "inputs" not in ran.err
    return True


def test_output_where_nothing_can_be_written(analyze, photo, tmp_path):
    assert nothing_was_done(analyze(photo, "-o", tmp_path / "no" / "such" / "o.csv")[0], "cannot be written")
    assert nothing_was_done(analyze(photo, "-o", "/proc/o.csv")[0], "/proc/o.csv")
    assert nothing_was_done(analyze(photo, "-o", tmp_path / "o.xyz")[0], ".parquet")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which is Linux's")
@pytest.mark.parametrize("buffered", ["", "1"])
def test_standard_output_on_a_full_disk(photo, tiny_model, buffered):
    command = [sys.executable, "-m", "mien", "analyze", str(photo), "--model", str(tiny_model)]
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            command,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": buffered},
        )
    assert ran.returncode == 1
    assert "No space left on device" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_copies_where_nothing_can_be_written(analyze, photo, tmp_path):
    (tmp_path / "file").touch()
    assert refused(*analyze(photo, "--annotate", tmp_path / "file"), "folder")


def test_output_that_exists_is_refused_before_any_work(analyze, photo, tmp_path):
    out = tmp_path / "o.csv"
    out.write_text("precious")
    assert nothing_was_done(analyze(photo, "-o", out)[0], "--overwrite")
    assert out.read_text() == "precious"
    assert analyze(photo, "-o", out, "--overwrite")[0].code == 0
    assert out.read_text().startswith("source,")


def test_a_model_that_is_none_leaves_no_output(mien, photo, tmp_path):
    out = tmp_path / "o.csv"
    ran = mien("analyze", photo, "-o", out, "--model", photo)
    assert nothing_was_done(ran, "ONNX")
    assert list(tmp_path.iterdir()) == [photo]


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_keeps_what_was_done_whole(tmp_path, tiny_model, one_face, workers):
    """A real SIGINT to the whole process group, as a terminal sends it."""
    data = encode_image(one_face, ".jpg")
    (tmp_path / "in").mkdir()
    for i in range(400):
        (tmp_path / "in" / f"{i:03}.jpg").write_bytes(data)
    out, seen = tmp_path / "o.csv", tmp_path / "seen"
    command = [sys.executable, "-m", "mien", "analyze", tmp_path / "in", "-o", out, "--annotate", seen]
    command += ["--model", tiny_model, "--workers", str(workers)]
    with subprocess.Popen(
        [*map(str, command)], stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 60
        while len(list(seen.glob("*.jpg"))) < 5 and time.monotonic() < deadline:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert 0 < len(rows) < 400
    assert f"stopped by Ctrl-C with {len(rows)} of 400 inputs done" in err
    assert [Path(row["source"]).name for row in rows] == [f"{i:03}.jpg" for i in range(len(rows))]
    assert all(row["contempt"] for row in rows)
    assert list(tmp_path.rglob("*.part")) == []
    copies = sorted(seen.iterdir())
    assert len(copies) >= len(rows)
    for copy in copies:
        with Image.open(copy) as picture:
            picture.load()


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_in_a_clip_keeps_the_frames_so_far(tmp_path, tiny_model, make_clip, draw_scene, workers):
    clip = make_clip(tmp_path / "long.mp4", [draw_scene((60, 40, 160))] * 600)
    out, seen = tmp_path / "o.csv", tmp_path / "seen"
    command = [sys.executable, "-m", "mien", "analyze", clip, clip, "-o", out, "--annotate", seen]
    command += ["--model", tiny_model, "--workers", str(workers)]
    with subprocess.Popen(
        [*map(str, command)], stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 60
        while not list(seen.glob("*.part")) and not list(seen.glob(".*")) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "with 0 of 2 inputs done" in err
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert 0 < len(rows) < 600
    assert [int(row["frame"]) for row in rows] == list(range(len(rows)))
    assert list(tmp_path.rglob("*.part")) == []
