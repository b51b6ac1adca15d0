"""Damaged files in every format: read or refused with words, never a bug, nothing written to stderr.

A short run of `benchmarks/fuzz.py`, and what its long runs found, as bytes that each test makes itself.
"""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.errors import ImageError, ImageTooLarge, VideoError
from mien.image import encode_image, quiet_decoders, read_image
from mien.video.frames import Video

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def saved(pixels, kind, **options):
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, kind, **options)
    return data.getvalue()


def gray(side=16):
    return np.linspace(0, 255, side * side).astype(np.uint8).reshape(side, side)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_short_run_finds_nothing_and_goes_on_where_it_stopped(tmp_path):
    pytest.importorskip("skimage", reason="needs pip install 'mien[demo]'")

    def run(cases):
        command = [sys.executable, BENCHMARKS / "fuzz.py", "--cases", cases, "--log", tmp_path / "log"]
        return subprocess.run([*map(str, command)], capture_output=True, text=True, check=True).stdout

    assert "20 in all" in run(20)
    before = (tmp_path / "log").read_text()
    said = run(60)
    assert "60 in all" in said
    assert (tmp_path / "log").read_text().startswith(before)
    assert "case " not in said, said  # findings are named by their case


def test_a_picture_beyond_pillows_limit_says_what_was_expected():
    """A GIF whose second frame reaches far past the first."""
    moving = bytearray(saved(gray(), "GIF", save_all=True, append_images=[Image.fromarray(255 - gray())]))
    frames = [
        at
        for at in range(len(moving))
        if moving[at : at + 1] == b"\x2c" and moving[at + 1 : at + 5] == b"\0" * 4
    ]
    moving[frames[0] + 5 : frames[0] + 9] = b"\xff\xff\xff\xff"
    with pytest.raises(ImageTooLarge, match=r"^expected .* limit"):
        read_image(bytes(moving))


def test_a_picture_larger_than_memory_says_what_was_expected(monkeypatch):
    from PIL.PngImagePlugin import PngImageFile

    def full(_):
        raise MemoryError

    monkeypatch.setattr(PngImageFile, "load", full)
    with pytest.raises(ImageError, match=r"^expected a picture that fits into memory, .*; shrink it"):
        read_image(encode_image(gray(), ".png"))


def test_video_without_a_decoder_says_what_was_expected(make_clip, no_face, tmp_path):
    data = bytearray(make_clip(tmp_path / "clip.mp4", [no_face] * 2).read_bytes())
    kind = data.index(
        b"\x20\x11", data.index(b"esds")
    )  # ISO 14496-1, 7.2.6.6: MPEG-4 video, of a visual stream
    data[kind] = 0
    data = data.replace(b"mp4v", b"xxxx")
    (tmp_path / "clip.mp4").write_bytes(data)
    with pytest.raises(VideoError, match=r"^expected video that this build of FFmpeg can decode"):
        Video(tmp_path / "clip.mp4")


def test_a_nan_that_signals_is_black_and_no_warning():
    values = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    values.view(np.uint32)[0] = 0x7FA00000  # IEEE 754: a NaN, its quiet bit off
    pixels = read_image(saved(values, "TIFF")).pixels
    assert pixels[0].max() == 0
    assert pixels[-1, -1].min() == 255


def test_damaged_tags_are_not_told_to_the_user_of_a_program(capfd):
    """Pillow warns of a tag that reaches past the end, libtiff writes of a strip that is no Zip to stderr."""
    whole = saved(np.dstack([gray()] * 3), "TIFF", compression="tiff_deflate")
    strip = whole.index(b"\x78", 8)
    bad = [whole[:-6], whole[:strip] + b"\xff" * 20 + whole[strip + 20 :]]
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        quiet_decoders()
        for data in bad:
            with pytest.raises(ImageError):
                read_image(data)
    assert capfd.readouterr().err == ""
