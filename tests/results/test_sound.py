"""Annotated clips keep their sound."""

from fractions import Fraction

import av
import numpy as np
import pytest

from mien.results.clip import ClipWriter
from mien.types import Frame


def clip_with_sound(path, codec, seconds=2.0, rate=44_100):
    """Silence with a click each half second, beside ten pictures a second."""
    with av.open(str(path), "w") as out:
        video, audio = out.add_stream("mpeg4", rate=Fraction(10)), out.add_stream(codec, rate=rate)
        video.height, video.width, video.pix_fmt = 60, 80, "yuv420p"
        wave = np.zeros((1, int(seconds * rate)), np.float32)
        wave[:, :: rate // 2] = 0.9
        fifo = av.AudioFifo()
        for i in range(0, wave.shape[1], 1024):
            frame = av.AudioFrame.from_ndarray(wave[:, i : i + 1024].copy(), format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, i, Fraction(1, rate)
            fifo.write(frame)
        size = audio.codec_context.frame_size or 1024
        resampler = av.AudioResampler(format=audio.codec_context.format, layout="mono", rate=rate)
        while (piece := fifo.read(size, partial=True)) is not None:
            for ready in resampler.resample(piece):
                out.mux(audio.encode(ready))
        for i in range(int(10 * seconds)):
            picture = av.VideoFrame.from_ndarray(np.full((60, 80, 3), 10 * i, np.uint8), format="rgb24")
            out.mux(video.encode(picture))
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
            out.write(np.full((60, 80, 3), 100, np.uint8), Frame("c", i, time, ()))


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


def test_the_command_keeps_the_sound_of_a_real_clip(media, mien, tmp_path):
    name = "single_face.mp4"
    ran = mien("analyze", media / name, "--annotate", tmp_path, "-o", tmp_path / "r.csv", "--detect-every", 5)
    assert ran.code == 0, ran.err
    before, after = sound_of(media / name), sound_of(tmp_path / name)
    assert after[0] == before[0]
    assert after[1] == pytest.approx(before[1], abs=0.15)
    assert after[2] == pytest.approx(before[2], rel=0.05)
