"""The annotated clip: H.264 that plays anywhere, every frame at its time, whole or not there."""

from __future__ import annotations

from fractions import Fraction

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
    """(seconds, pixels) of each frame of a clip that plays everywhere."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
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


@pytest.mark.parametrize(("error", "kept"), [(ZeroDivisionError, []), (KeyboardInterrupt, ["a.mp4"])])
def test_an_exception_leaves_nothing_and_ctrl_c_what_was_written(tmp_path, error, kept):
    out = ClipWriter(tmp_path / "a.mp4")
    out.write(picture(9), frame(0, 0.0))
    with pytest.raises(error), out:
        raise error
    assert [path.name for path in tmp_path.iterdir()] == kept
    assert all(len(read(path)) == 1 for path in tmp_path.iterdir())


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


# --- sound


def clip_with_sound(path, codec, rate=44_100):
    """Two seconds of silence with a click each half second, beside ten pictures a second."""
    with av.open(str(path), "w") as out:
        video, audio = out.add_stream("mpeg4", rate=Fraction(10)), out.add_stream(codec, rate=rate)
        video.height, video.width, video.pix_fmt = *SIZE, "yuv420p"
        wave = np.zeros((1, 2 * rate), np.float32)
        wave[:, :: rate // 2] = 0.9
        sound = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
        sound.sample_rate, sound.pts, sound.time_base = rate, 0, Fraction(1, rate)
        size = audio.codec_context.frame_size or 1024
        form = audio.codec_context.format
        resampler = av.AudioResampler(format=form, layout="mono", rate=rate, frame_size=size)
        for ready in [*resampler.resample(sound), *resampler.resample(None)]:
            out.mux(audio.encode(ready))
        for i in range(20):
            out.mux(video.encode(av.VideoFrame.from_ndarray(picture(10 * i), format="rgb24")))
        out.mux(video.encode())
        out.mux(audio.encode())
    return path


def sound_of(path):
    """(kind, (begin, end) seconds, RMS) of a clip's sound."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        frames = list(container.decode(stream))
        values = np.concatenate([np.abs(f.to_ndarray()).max(0) for f in frames]).astype(float)
        end = frames[-1].time + frames[-1].samples / frames[-1].sample_rate
        return stream.codec_context.name, (frames[0].time, end), float(np.sqrt((values**2).mean()))


def annotate(source, target, times):
    with ClipWriter(target, sound=source) as out:
        for i, time in enumerate(times):
            out.write(picture(100), frame(i, time))


@pytest.mark.parametrize(("ending", "codec", "kept"), [("mp4", "aac", "aac"), ("mkv", "pcm_s16le", "aac")])
def test_the_sound_is_kept_with_its_times(tmp_path, ending, codec, kept):
    source = clip_with_sound(tmp_path / f"in.{ending}", codec)
    annotate(source, tmp_path / "out.mp4", [i / 10 for i in range(20)])
    kind, (begin, end), loud = sound_of(tmp_path / "out.mp4")
    assert kind == kept
    assert begin == pytest.approx(0, abs=0.06)
    assert end == pytest.approx(2.0, abs=0.2)
    assert loud > 0


def test_a_part_of_a_clip_has_that_part_of_the_sound(tmp_path):
    source = clip_with_sound(tmp_path / "in.mp4", "aac")
    annotate(source, tmp_path / "out.mp4", [0.5 + i / 10 for i in range(10)])
    _, (begin, end), _ = sound_of(tmp_path / "out.mp4")
    assert begin == pytest.approx(0.5, abs=0.06)
    assert end == pytest.approx(1.4, abs=0.1)


def test_a_clip_without_sound_stays_so(tmp_path, drawn_clip):
    annotate(drawn_clip, tmp_path / "out.mp4", [0.0, 0.1])
    assert sound_of(tmp_path / "out.mp4") is None


@pytest.mark.slow  # the sound of drawn clips is compared above
def test_the_command_keeps_the_sound_of_a_real_clip(media, mien, tmp_path):
    name = "single_face.mp4"
    ran = mien("analyze", media / name, "--annotate", tmp_path, "-o", tmp_path / "r.csv", "--detect-every", 5)
    assert ran.code == 0, ran.err
    before, after = sound_of(media / name), sound_of(tmp_path / name)
    assert after[0] == before[0]
    assert after[1] == pytest.approx(before[1], abs=0.15)
    assert after[2] == pytest.approx(before[2], rel=0.05)
