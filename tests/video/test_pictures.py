"""Clips that are no path: bytes, open files, addresses, and pictures that a program has in hand."""

import base64
import io
import os
from threading import Thread

import numpy as np
import pytest

from mien.analyzer import load
from mien.errors import ConfigError, VideoError
from mien.image import encode_image
from mien.video.frames import Video, VideoOptions
from mien.video.pictures import PictureReader


@pytest.fixture(scope="module")
def analyzer(tiny_model):
    return load(tiny_model)


@pytest.fixture(scope="module")
def pixels(drawn_clip):
    with Video(drawn_clip) as video:
        return [frame.pixels for frame in video]


def told(frames):
    """What frames say, but for the name of their source."""
    return [frame.to_dict() | {"source": ""} for frame in frames]


def test_a_clip_is_read_from_whatever_holds_its_bytes(analyzer, drawn_clip):
    data = drawn_clip.read_bytes()
    options = {"every": 3}
    want = told(analyzer.video(drawn_clip, **options))
    read_end, write_end = os.pipe()

    def fill():
        with os.fdopen(write_end, "wb") as pipe:
            pipe.write(data)

    Thread(target=fill).start()
    at_its_end = io.BytesIO()
    at_its_end.write(data)
    uri = "data:video/mp4;base64," + base64.b64encode(data).decode()
    with drawn_clip.open("rb") as file, os.fdopen(read_end, "rb") as pipe:
        for source in (data, bytearray(data), memoryview(data), file, at_its_end, pipe, uri):
            frames = list(analyzer.video(source, **options))
            assert told(frames) == want
            assert {frame.source for frame in frames} == {""}
        assert not file.closed
    assert told(analyzer.video(drawn_clip.as_uri(), **options)) == want


def test_pictures_in_hand_are_read_like_the_clip_that_they_come_from(analyzer, drawn_clip, pixels):
    want = told(analyzer.video(drawn_clip, every=3))
    blue_first = (picture[:, :, ::-1] for picture in pixels)
    sources = [
        (pixels, {"rate": 10}),
        (iter(pixels), {"times": (i / 10 for i in range(99))}),
        (((i / 10, picture) for i, picture in enumerate(pixels)), {}),
        (np.stack(pixels), {"rate": 10}),
        (np.stack(pixels).transpose(0, 3, 1, 2), {"rate": 10}),
        (blue_first, {"rate": 10, "color": "bgr"}),
        ([encode_image(picture, ".png") for picture in pixels], {"rate": 10}),
    ]
    for source, options in sources:
        found = told(analyzer.video(source, every=3, **options))
        np.testing.assert_allclose([f["time"] for f in found], [f["time"] for f in want], atol=1e-6)
        for frame, other in zip(found, want, strict=True):
            seen, expected = ([(face["box"], face["track"]) for face in f["faces"]] for f in (frame, other))
            assert seen == expected


def test_one_array_that_is_filled_anew_gives_each_picture(analyzer, pixels):
    buffer = np.empty_like(pixels[0])

    def camera():
        for picture in pixels:
            buffer[:] = picture
            yield buffer

    assert [len(frame) for frame in analyzer.video(camera(), rate=10)] == [1] * 10 + [0] * 2


def test_a_generator_is_closed_when_the_reader_has_had_enough(analyzer, pixels):
    closed = []

    def camera():
        try:
            while True:
                yield pixels[0]
        finally:
            closed.append(True)

    frames = analyzer.video(camera(), rate=10, end=0.3)
    assert len(list(frames)) == 3
    assert closed == [True]


def test_what_arrays_were_taken_for_is_noted(pixels):
    reader = PictureReader([picture / 255 for picture in pixels[:2]], rate=10)
    with Video(reader, VideoOptions()) as video:
        assert [frame.index for frame in video] == [0, 1]
        assert (video.frames_total, video.live, video.name) == (2, False, "")
    assert len(video.notes) == 1
    assert "0..1" in video.notes[0]


@pytest.mark.parametrize(
    ("source", "options", "error", "message"),
    [
        ("picture", {}, VideoError, "JPEG picture; use `image`"),
        ("one array", {"rate": 5}, VideoError, "use `image`"),
        ("pictures", {}, ConfigError, "rate"),
        ("pictures", {"times": [0.0]}, ConfigError, "picture 1"),
        ("pictures", {"rate": 0}, ConfigError, "rate=0"),
        ("pictures", {"rate": 3, "times": [0.0]}, ConfigError, "rate=3"),
        ([None], {"rate": 3}, VideoError, "picture 0: .*imread"),
        ("clip", {"rate": 3}, ConfigError, "leave them out"),
        (io.StringIO("text"), {}, VideoError, "binary"),
        (b"", {}, VideoError, "cannot be opened"),
        (b"junk" * 99, {}, VideoError, "cannot be opened"),
        ("A" * 9999, {}, VideoError, "cannot be opened"),
        (object(), {}, VideoError, "got object"),
    ],
)
def test_what_is_no_clip_says_what_to_do(analyzer, drawn_clip, pixels, source, options, error, message):
    made = {
        "picture": encode_image(pixels[0]),
        "one array": pixels[0],
        "pictures": pixels,
        "clip": drawn_clip,
    }
    source = made.get(source, source) if isinstance(source, str) else source
    with pytest.raises(error, match=message) as caught:
        list(analyzer.video(source, **options))
    assert len(str(caught.value)) < 600
