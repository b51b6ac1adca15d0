"""The annotated clip: H.264 that plays anywhere, every frame at its time, whole or not there."""

from __future__ import annotations

import av
import numpy as np
import pytest

from mien.errors import OutputError
from mien.results.clip import ClipWriter
from mien.types import Face, Frame

SIZE = (60, 80)


def picture(level, size=SIZE):
    return np.full((*size, 3), level, np.uint8)


def frame(index, time, faces=()):
    return Frame("clip", index, time, tuple(faces))


def write(path, times, sizes=()):
    with ClipWriter(path) as out:
        for i, time in enumerate(times):
            out.write(picture(40 * i, sizes[i] if sizes else SIZE), frame(i, time))


def read(path):
    with av.open(str(path)) as container:
        return [(f.time, f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]


def test_each_frame_keeps_its_time(tmp_path):
    times = [0.5, 0.54, 0.6201, 1.7, 3.0]
    write(tmp_path / "a.mp4", times)
    frames = read(tmp_path / "a.mp4")
    assert [t for t, _ in frames] == pytest.approx(times, abs=1 / 90_000)
    assert [round(p.mean() / 40) for _, p in frames] == [0, 1, 2, 3, 4]


def test_times_that_do_not_rise_are_moved_on_by_a_tick(tmp_path):
    write(tmp_path / "a.mp4", [0.0, 0.2, 0.2, 0.1, 0.5])
    times = [t for t, _ in read(tmp_path / "a.mp4")]
    assert times == pytest.approx([0.0, 0.2, 0.2, 0.2, 0.5], abs=3 / 90_000)
    assert times == sorted(set(times))


def test_the_stream_plays_everywhere(tmp_path):
    write(tmp_path / "a.mp4", [0.0, 0.1])
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")


@pytest.mark.parametrize(("size", "even"), [((61, 81), (62, 82)), ((60, 81), (60, 82)), ((1, 1), (2, 2))])
def test_odd_sizes_become_even(tmp_path, size, even):
    write(tmp_path / "a.mp4", [0.0, 0.1], [size, size])
    assert [p.shape[:2] for _, p in read(tmp_path / "a.mp4")] == [even, even]


def test_a_change_of_size_keeps_the_first(tmp_path):
    write(tmp_path / "a.mp4", [0.0, 0.1, 0.2], [SIZE, (31, 33), SIZE])
    assert [p.shape[:2] for _, p in read(tmp_path / "a.mp4")] == [SIZE] * 3


def test_faces_are_drawn_and_the_pixels_stay(tmp_path):
    pixels, face = picture(0), Face((20, 20, 30, 30), np.full((5, 2), 35, np.float32), 0.9)
    with ClipWriter(tmp_path / "a.mp4") as out:
        out.write(pixels, frame(0, 0.0, [face]))
    assert not pixels.any()
    assert read(tmp_path / "a.mp4")[0][1].max() > 180


def test_no_frames_no_file(tmp_path):
    with ClipWriter(tmp_path / "a.mp4"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_file_appears_at_the_end(tmp_path):
    with ClipWriter(tmp_path / "a.mp4") as out:
        out.write(picture(9), frame(0, 0.0))
        assert not (tmp_path / "a.mp4").exists()
    assert list(tmp_path.iterdir()) == [tmp_path / "a.mp4"]


def break_off(path, error):
    with ClipWriter(path) as out:
        out.write(picture(9), frame(0, 0.0))
        raise error


def test_an_exception_leaves_nothing_and_goes_on(tmp_path):
    with pytest.raises(ZeroDivisionError):
        break_off(tmp_path / "a.mp4", ZeroDivisionError())
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_keeps_what_was_written(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        break_off(tmp_path / "a.mp4", KeyboardInterrupt())
    assert len(read(tmp_path / "a.mp4")) == 1


def test_a_place_that_cannot_be_written(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        write(tmp_path / "missing" / "a.mp4", [0.0])


@pytest.fixture
def full_disk():
    """No file of this process may grow past 20 kB."""
    resource = pytest.importorskip("resource", reason="needs a system that limits the size of files")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("count", [1, 12])
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, full_disk, count):
    noise = np.random.default_rng(1).integers(0, 255, (200, 200, 3), dtype=np.uint8)

    def fill():
        with ClipWriter(tmp_path / "a.mp4") as out:
            for i in range(count):
                out.write(noise, frame(i, i / 10))

    with pytest.raises(OutputError, match="make room"):
        fill()
    assert list(tmp_path.iterdir()) == []
