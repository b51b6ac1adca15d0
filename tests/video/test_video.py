"""Clips drawn and encoded here, whole and broken, and cameras that are a stand-in for OpenCV's."""

import io
import os
import subprocess
import sys
import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from makers import copy_pictures
from mien.errors import ConfigError, MissingExtra, VideoError
from mien.image import read_image
from mien.video.frames import Video, VideoOptions

MEDIA = Path(__file__).parents[3] / "shared/data/media"
needs_media = pytest.mark.skipif(not MEDIA.is_dir(), reason=f"real clips are not at {MEDIA}")
HEIGHT, WIDTH = 64, 96


def drawn(index: int) -> np.ndarray:
    """A white top left corner, a red lower half, and a level of gray that tells the index."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:24, :32] = 255
    pixels[HEIGHT // 2 :, :, 0] = 200
    pixels[:24, 48:] = 4 * index % 256
    return pixels


def index_of(pixels: np.ndarray) -> int:
    return round(float(pixels[4:20, 56:-8].mean()) / 4)


def encode(path, *, n=40, times=None, options=None, codec="libx264", turn=None, aspect=1, gop=10, tick=1):
    """Write `n` drawn frames at 20 a second, or at `times`, in milliseconds; all are multiples of `tick`."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=20)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"g": str(gop), "crf": "10"} if codec == "libx264" else {"g": str(gop)}
        stream.bit_rate = 4_000_000  # for codecs without crf
        stream.codec_context.time_base = Fraction(tick, 1000)
        stream.codec_context.sample_aspect_ratio = stream.sample_aspect_ratio = Fraction(aspect)
        if turn:
            stream.set_display_rotation(turn[0], hflip=turn[1])
        for index in range(n):
            frame = av.VideoFrame.from_ndarray(drawn(index), format="rgb24")
            frame.pts = (times[index] if times else 50 * index) // tick
            frame.time_base = Fraction(tick, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Forty frames, the index at the front, so that a cut file still opens."""
    return encode(tmp_path_factory.mktemp("clip") / "clip.mp4", options={"movflags": "faststart"})


def read(path, threads=1, **options):
    with Video(path, VideoOptions(**options), threads=threads) as video:
        return list(video), video


def frames(path, **options):
    return read(path, **options)[0]


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv", ".avi", ".ts"])
def test_every_frame_with_its_time(ending, tmp_path):
    codec, tick = ("mpeg4", 50) if ending == ".avi" else ("libx264", 1)
    path = encode(tmp_path / f"clip{ending}", codec=codec, tick=tick)
    got, video = read(path)
    assert got[0].pixels.shape == (HEIGHT, WIDTH, 3)
    assert got[0].pixels.dtype == np.uint8
    np.testing.assert_allclose(got[0].pixels[-16:].mean((0, 1)), [200, 0, 0], atol=20)
    assert [index_of(frame.pixels) for frame in got] == list(range(40))
    assert [frame.index for frame in got] == list(range(40))
    start = got[0].time if ending == ".ts" else 0.0  # a transport stream does not begin at 0
    assert [frame.time - start for frame in got] == pytest.approx([0.05 * i for i in range(40)], abs=1e-3)
    assert (video.frames_total, video.decoded, video.notes) == (40, 40, ())
    assert video.fps == pytest.approx(20)
    assert video.duration == pytest.approx(2, abs=0.11)


def test_the_share_that_is_done_is_of_what_is_wanted(tmp_path):
    with Video(encode(tmp_path / "clip.mp4"), VideoOptions(end=0.5)) as video:
        shares = [video.share for _ in video]
    assert shares == pytest.approx([(i + 1) / 10 for i in range(10)])


def test_every_and_fps(clip):
    assert [frame.index for frame in frames(clip, every=7)] == list(range(0, 40, 7))
    assert [frame.index for frame in frames(clip, fps=10)] == list(range(0, 40, 2))
    assert [frame.index for frame in frames(clip, fps=1)] == [0, 20]
    assert len(frames(clip, fps=15)) == 30  # not 20 and not 40: no drift
    assert len(frames(clip, fps=500)) == 40
    assert [index_of(frame.pixels) for frame in frames(clip, every=9)] == [0, 9, 18, 27, 36]


def test_only_sampled_frames_become_rgb(clip, monkeypatch):
    from mien.video.file import ToRgb

    made, real = [], ToRgb.__call__
    monkeypatch.setattr(ToRgb, "__call__", lambda self, frame: made.append(1) or real(self, frame))
    assert len(frames(clip, every=10)) == len(made) == 4


def test_variable_frame_rate_keeps_the_containers_times(tmp_path):
    times = [0, 40, 200, 240, 1000, 1033]
    path = encode(tmp_path / "vfr.mp4", n=6, times=times)
    assert [frame.time for frame in frames(path)] == pytest.approx([t / 1000 for t in times], abs=1e-4)
    assert [frame.index for frame in frames(path, fps=5)] == [0, 2, 4]


@pytest.mark.parametrize(
    ("every", "fps", "message"),
    [
        (0, None, "every: expected a whole number from 1, got 0"),
        (2.5, None, "got 2.5"),
        (True, None, "got True"),
        (1, 0, "fps: expected frames a second above 0, got 0"),
        (1, -3.0, "got -3"),
        (1, float("nan"), "got nan"),
        (1, float("inf"), "got inf"),
        (2, 5.0, "every or fps, got both"),
    ],
)
def test_sampling_that_makes_no_sense_is_refused(every, fps, message):
    with pytest.raises(ConfigError, match=message):
        VideoOptions(every, fps)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_the_display_matrix_is_applied(degrees, mirrored, tmp_path):
    path = encode(tmp_path / "turned.mp4", n=2, turn=(degrees, mirrored))
    with av.open(str(path)) as container:  # what a player does: rows of 16.16 fixed point
        side = next(container.decode(video=0)).side_data.get("DISPLAYMATRIX")
    matrix = np.frombuffer(bytes(side), np.int32).reshape(3, 3)[:2, :2] / 65536 if side else np.eye(2)
    x, y = np.array([-0.3, -0.3]) @ matrix  # the white corner, seen from the middle
    (frame, _) = frames(path)
    height, width = frame.pixels.shape[:2]
    assert (height, width) == ((WIDTH, HEIGHT) if degrees % 180 else (HEIGHT, WIDTH))
    corners = {
        (sx, sy): frame.pixels[int(height * (0.5 + sy * 0.4)), int(width * (0.5 + sx * 0.4))].min()
        for sx in (-1, 1)
        for sy in (-1, 1)
    }
    assert max(corners, key=corners.get) == (np.sign(x), np.sign(y))
    assert corners[np.sign(x), np.sign(y)] > 200


def stored(picture, kind, **options):
    data = io.BytesIO()
    Image.fromarray(picture).save(data, kind, **options)
    return data.getvalue()


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_pictures_of_a_camera_with_exif_are_turned_as_it_says(orientation, tmp_path):
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Camera", orientation
    pictures = [stored(drawn(i), "JPEG", exif=exif, quality=95) for i in range(4)]
    got = frames(copy_pictures(tmp_path / "lapse.mov", pictures, "mjpeg", (HEIGHT, WIDTH)))
    still = read_image(pictures[0]).pixels
    assert [frame.time for frame in got] == [0, 0.1, 0.2, 0.3]
    assert np.abs(got[0].pixels.astype(int) - still).mean() < 3


def test_pictures_with_a_colour_profile_do_not_end_the_process(tmp_path):
    """PyAV frees a profile's name twice when the data beside such a frame are touched."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pictures = [stored(drawn(i), "PNG", icc_profile=profile) for i in range(4)]
    path = copy_pictures(tmp_path / "profiles.mov", pictures, "png", (HEIGHT, WIDTH))
    script = f"from mien.video.frames import Video\nfor f in Video({str(path)!r}): print(f.pixels.sum())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(drawn(i).sum()) for i in range(4)]


@pytest.mark.parametrize(("aspect", "wide"), [("64/45", 137), ("8/9", 85), ("1/1", WIDTH), ("1000/1", WIDTH)])
@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".avi", ".mov"])
def test_pixels_that_are_not_square_are_made_so(ending, aspect, wide, tmp_path):
    got, video = read(encode(tmp_path / f"clip{ending}", n=3, codec="mpeg4", tick=50, aspect=aspect))
    assert {frame.pixels.shape for frame in got} == {(HEIGHT, wide, 3)}
    assert bool(video.notes) == (wide != WIDTH)
    corner = got[0].pixels[12, :, 1] > 128  # the white corner is a third of the picture's width
    assert corner.argmin() == pytest.approx(wide / 3, abs=1.5)


def test_a_turned_clip_of_oblong_pixels_is_widened_before_it_is_turned(tmp_path):
    (frame,) = frames(encode(tmp_path / "clip.mp4", n=1, codec="mpeg4", aspect="4/3", turn=(90, False)))
    assert frame.pixels.shape == (WIDTH * 4 // 3, HEIGHT, 3)


def test_an_hdr_clip_is_read_as_a_usual_screen_shows_it(tmp_path):
    """Gray of known light, stored as PQ (SMPTE ST 2084), comes back as the gray of a usual screen."""
    grays = np.array([20, 60, 100, 150, 200])
    light = 203 * (grays / 255) ** 2.2 / 10_000
    power = light**0.1593017578125
    coded = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    pixels = np.zeros((HEIGHT, 80, 3), np.uint8)
    pixels[:] = np.rint(255 * np.repeat(coded, 16))[None, :, None]
    with av.open(str(tmp_path / "hdr.mp4"), "w") as container:
        stream = container.add_stream("libx265", rate=10)
        stream.width, stream.height, stream.pix_fmt = 80, HEIGHT, "yuv420p10le"
        # x265 gives clips shorter than its run of B frames a random first DTS; one muxing in 30 refuses it.
        params = "log-level=none:bframes=0:transfer=smpte2084:colormatrix=bt2020nc"
        stream.options = {"x265-params": params, "crf": "5"}
        stream.codec_context.color_trc = 16
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    got, video = read(tmp_path / "hdr.mp4")
    assert np.abs(got[0].pixels[20:40, 8::16].mean(axis=(0, 2)) - grays).max() < 8
    assert "HDR" in video.notes[0]


# -- broken clips ------------------------------------------------------------------------------------


def test_a_clip_cut_after_its_index_gives_what_is_there_and_says_so(clip, tmp_path):
    data = clip.read_bytes()
    assert data.find(b"moov") < data.find(b"mdat")
    path = tmp_path / "cut.mp4"
    path.write_bytes(data[: (len(data) + data.find(b"mdat")) // 2])
    got, video = read(path)
    assert 10 <= len(got) < 30
    assert [index_of(frame.pixels) for frame in got[:10]] == list(range(10))
    assert video.notes[0] == f"damaged or cut short: {len(got)} of 40 frames read"


def test_a_clip_cut_before_its_index_is_refused(tmp_path):
    path = encode(tmp_path / "cut.mp4")
    path.write_bytes(path.read_bytes()[:-1500])
    with pytest.raises(VideoError, match=r"cut\.mp4.* cannot be opened.* cut before its index was written"):
        frames(path)


LATE = {"times": [5000 + 50 * i for i in range(40)]}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("late.mkv", LATE),
        ("late.mp4", LATE),
        ("late.ts", LATE),
        ("ticks.avi", {"codec": "mpeg4"}),  # it announces 2000 frames: ticks
    ],
)
def test_a_whole_clip_is_not_called_cut(name, options, tmp_path):
    got, video = read(encode(tmp_path / name, **options))
    assert (len(got), video.notes) == (40, ())


@pytest.mark.parametrize(
    ("name", "options", "share"),
    [("cut.mkv", {}, 0.5), ("cut.avi", {"codec": "mpeg4", "tick": 50}, 0.8)],
)
def test_a_cut_container_without_a_frame_count_is_noticed_by_its_duration(name, options, share, tmp_path):
    path = encode(tmp_path / name, **options)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    got, video = read(path)
    assert 0 < len(got) < 30
    assert "perhaps cut short" in video.notes[0]
    assert "of 2.00 s" in video.notes[0]


@pytest.mark.parametrize("threads", [1, 4])
def test_damaged_packets_are_skipped_and_counted(threads, tmp_path):
    path = encode(tmp_path / "clip.mp4", gop=1)  # every frame by itself: damage does not spread
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for place, size in (places[10], places[20], places[38]):
        data[place : place + size] = b"\xff" * size
    path.write_bytes(data)
    got, video = read(path, threads)
    assert [index_of(frame.pixels) for frame in got] == [i for i in range(40) if i not in (10, 20, 38)]
    assert [round(frame.time * 20) for frame in got][9:12] == [9, 11, 12]  # times do not slip
    assert "damaged packets skipped: 3" in video.notes


def test_a_stream_of_which_nothing_can_be_decoded(tmp_path):
    path = encode(tmp_path / "clip.mp4", options={"movflags": "faststart"})
    data = path.read_bytes()
    start = data.find(b"mdat") + 4
    path.write_bytes(data[:start] + b"\xff" * (len(data) - start))
    with pytest.raises(VideoError, match="none can be decoded"):
        frames(path)


def test_no_video_stream(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 4410), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 44100
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match=r"expected a video stream, .*sound\.mp4.*streams: audio"):
        frames(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n",
            "cannot be opened: it is text .'version",
        ),
        (bytes(range(256)) * 64, "cannot be opened"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.ts\n#EXT-X-ENDLIST\n", "cannot be opened"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "playlist"),
    ],
)
def test_a_file_that_is_no_clip(content, message, tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(VideoError, match=message) as caught:
        frames(path)
    assert "clip.mp4" in str(caught.value)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("gone.mp4", r"gone\.mp4.* does not exist"),
        (".", "is a folder"),
        ("ftp://localhost/clip.mp4", "does not exist"),  # nothing is fetched
        ("a\0b.mp4", r"a\\x00b"),
        (97, "expected a camera, number 97 cannot be opened"),
    ],
)
def test_what_cannot_be_opened(path, message, capfd):
    level = cv2.utils.logging.getLogLevel()
    with pytest.raises(VideoError, match=message):
        Video(path)
    assert cv2.utils.logging.getLogLevel() == level
    assert capfd.readouterr() == ("", "")


def test_a_file_name_that_is_not_utf8(clip, tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    try:
        path.write_bytes(clip.read_bytes())
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert len(frames(path)) == 40
    path.write_bytes(b"")
    with pytest.raises(VideoError) as caught:
        frames(path)
    assert "caf\\udce9" in str(caught.value).encode("utf-8").decode()  # encoding does not fail


# -- life of a Video ---------------------------------------------------------------------------------


def test_threads_do_not_change_what_is_read(clip):
    one, four = (read(clip, threads=n)[0] for n in (1, 4))
    assert len(one) == len(four) == 40
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(one, four, strict=True))


def test_a_video_is_read_once_may_be_left_early_and_closed_twice(clip):
    with Video(clip) as video:
        for frame in video:
            if frame.index == 3:
                break
        assert video.decoded == 4
        assert video.notes == ()  # not cut: simply not read to the end
        with pytest.raises(VideoError, match="open it again"):
            next(iter(video))
    video.close()


def test_memory_does_not_grow_with_the_clip(tmp_path):
    path = encode(tmp_path / "long.mp4", n=300)
    tracemalloc.start()
    try:
        with Video(path) as video:
            for frame in video:
                if frame.index == 20:
                    tracemalloc.reset_peak()
                    start = tracemalloc.get_traced_memory()[0]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert frame.index == 299
    assert peak - start < 6 * HEIGHT * WIDTH * 3, "a few frames of the 300"


def test_frames_without_time_stamps_are_counted_on_without_adding_up_errors(tmp_path):
    got, video = read(encode(tmp_path / "bare.h264"))
    assert [frame.time for frame in got] == [i / video.fps for i in range(40)]
    assert "frames without a time stamp, counted on at" in video.notes[0]


# -- cameras -----------------------------------------------------------------------------------------


class FakeCapture:
    """Gives three BGR frames, as cv2.VideoCapture would."""

    def __init__(self, number):
        self.number, self.grabbed, self.released = number, 0, False

    def isOpened(self):  # noqa: N802
        return self.number == 0

    def get(self, key):  # noqa: ARG002
        return 0.0

    def grab(self):
        self.grabbed += 1
        return self.grabbed <= 3

    def retrieve(self):
        return True, drawn(self.grabbed)[:, :, ::-1]

    def release(self):
        self.released = True


def test_a_camera_gives_rgb_and_the_time_since_it_was_opened(monkeypatch):
    made = []
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: made.append(FakeCapture(number)) or made[-1])
    got, video = read(0)
    assert [index_of(frame.pixels) for frame in got] == [1, 2, 3]
    assert got[0].pixels[-1, -1].tolist() == [200, 0, 0]
    assert 0 <= got[0].time <= got[1].time <= got[2].time < 5
    assert video.notes == ("camera 0 stopped giving frames",)
    assert (video.frames_total, video.duration, video.fps) == (None, None, None)
    assert made[0].released


def test_any_camera_is_refused_before_opencv_is_asked(monkeypatch):
    """Some builds of OpenCV end the process over it."""
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(VideoError, match="0 for the first, got -1"):
        Video(-1)


def test_a_camera_without_opencv_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtra, match=r"mien\[camera\]"):
        Video(0)


# -- real clips --------------------------------------------------------------------------------------


@needs_media
@pytest.mark.parametrize(
    ("name", "count", "rate", "size"),
    [
        ("single_face.mp4", 72, 30, (360, 640)),
        ("no_face.mp4", 95, 24, (540, 960)),  # 98 packets, three of them hidden by the edit list
        pytest.param("face_noface.mov", 169, 26.4, (540, 960), marks=pytest.mark.slow),
    ],
)
def test_real_clips(name, count, rate, size):
    with Video(MEDIA / name, VideoOptions(every=20)) as video:
        got = list(video)
    assert video.decoded == count
    assert video.notes == ()
    assert video.fps == pytest.approx(rate, rel=0.02)
    assert {frame.pixels.shape for frame in got} == {(*size, 3)}
    times = [frame.time for frame in got]
    assert times == sorted(times)
    assert times[-1] == pytest.approx(got[-1].index / video.fps, abs=0.2)
