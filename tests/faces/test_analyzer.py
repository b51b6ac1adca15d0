"""The analyzer against its own parts used by hand, and on drawn and real faces."""

import io
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import mien
from mien.analyzer import Analyzer, load
from mien.card import Policy, with_card
from mien.errors import ConfigError, ImageError, ModelError, VideoError
from mien.faces import network, parts, yunet
from mien.faces.align import TEMPLATE, crop, fit
from mien.faces.detect import WholePicture
from mien.faces.network import Classifier, open_session
from mien.image import encode_image
from mien.types import Face
from mien.video.events import EventFinder, EventOptions, find_events
from mien.video.frames import Video
from mien.video.smooth import TwoSided


@pytest.fixture(scope="module")
def analyzer(tiny_model):
    return load(tiny_model)


class Marked:
    """A detector that finds what it is told to, wherever it looks."""

    def __init__(self, *boxes):
        self.boxes = boxes

    def detect(self, image):  # noqa: ARG002 - the protocol gives it
        points = [np.float32(TEMPLATE) * w + np.float32([x, y]) for x, y, w, h in self.boxes]
        return [Face(box, p, 0.9) for box, p in zip(self.boxes, points, strict=True)]


def test_the_largest_faces_of_any_detector_come_first(analyzer, two_faces):
    boxes = [(10.0, 10.0, side, side) for side in (60.0, 90.0, 70.0)]
    detector = SimpleNamespace(detect=lambda image: iter(Marked(*boxes).detect(image)))
    frame = replace(analyzer, detector=detector, max_faces=2).image(two_faces)
    assert [face.box[2] for face in frame] == [90, 70]


def test_a_photo_gives_its_faces_largest_first(analyzer, two_faces):
    frame = analyzer.image(two_faces)
    assert (frame.source, frame.index, frame.time) == ("", 0, None)
    assert len(frame.faces) == 2
    left, right = frame.faces
    assert left.box[2] > right.box[2]
    assert left.box[0] < 200 < right.box[0]
    for face in frame.faces:
        assert face.track is None
        assert face.probabilities.dtype == np.float32
        assert face.probabilities.sum() == pytest.approx(1, abs=1e-6)
        assert face.emotion in mien.EMOTIONS


def test_probabilities_are_those_of_the_parts_used_by_hand(tiny_model, two_faces):
    classifier = Classifier.load(str(tiny_model))
    frame = load(tiny_model).image(two_faces)
    for face in frame.faces:
        by_hand = classifier(crop(two_faces, face.landmarks, classifier.card)[None])[0]
        np.testing.assert_allclose(face.probabilities, by_hand, atol=1e-6)


def test_all_sources_are_read_like_the_array(analyzer, one_face, tmp_path):
    data, path = encode_image(one_face, ".png"), tmp_path / "face.png"
    path.write_bytes(data)
    (want,) = analyzer.image(one_face).faces
    pictures = io.BytesIO(data), Image.open(io.BytesIO(data)), Image.fromarray(one_face)
    for source in (path, str(path), data, *pictures):
        frame = analyzer.image(source)
        assert frame.source == (str(path) if source in (path, str(path)) else "")
        assert frame.faces[0].box == want.box
        assert np.array_equal(frame.faces[0].probabilities, want.probabilities)


def test_faces_of_several_pictures_are_read_in_one_batch(analyzer, one_face, two_faces, no_face):
    pictures = [one_face, no_face, two_faces]
    found = [analyzer.detector.detect(picture) for picture in pictures]
    read = analyzer.read_faces(pictures, found)
    assert [len(some) for some in read] == [1, 0, 2]
    for picture, some in zip(pictures, read, strict=True):
        for face, alone in zip(some, analyzer.frame(picture).faces, strict=True):
            np.testing.assert_allclose(face.probabilities, alone.probabilities, atol=1e-5)
    with pytest.raises(ValueError, match="3 pictures, got 1"):
        analyzer.read_faces(pictures, found[:1])


def test_the_detector_opens_its_network_once_when_it_is_needed(tiny_model, one_face, monkeypatch):
    opened = []

    def counting(*args, **options):
        opened.append(options["name"])
        return open_session(*args, **options)

    monkeypatch.setattr(network, "open_session", counting)
    analyzer = load(tiny_model)
    assert opened == [str(tiny_model)]
    analyzer.image(one_face)
    analyzer.video_detector.detect(one_face)
    assert opened == [str(tiny_model), yunet.FILE, parts.MODEL]


def test_notes_of_the_reader_come_with_the_frame(analyzer, one_face, tmp_path):
    path = tmp_path / "two.gif"
    first, second = Image.fromarray(one_face), Image.new("RGB", one_face.shape[1::-1])
    first.save(path, save_all=True, append_images=[second])
    assert "first frame" in " ".join(analyzer.image(path).notes)


def test_faces_outside_of_the_region_are_left_out(tiny_model, two_faces):
    faces = load(tiny_model).image(two_faces).faces
    for face in faces:
        x, y = (int(face.box[i] + face.box[i + 2] / 2) for i in (0, 1))
        (kept,) = load(tiny_model, region=(x - 2, y - 2, 5, 5), max_faces=1).image(two_faces).faces
        assert kept.box == face.box
        np.testing.assert_array_equal(kept.probabilities, face.probabilities)
        assert load(tiny_model, region=(0, 0, x, y)).image(two_faces).faces == ()
    everywhere = load(tiny_model, region=(-9, -9, 9999, 9999)).image(two_faces).faces
    assert [face.box for face in everywhere] == [face.box for face in faces]


def test_a_region_outside_of_the_picture_is_no_picture_without_faces(tiny_model, two_faces):
    with pytest.raises(ImageError, match=r"region 400,0,50,50, got one of 400 x 240 pixels; give another"):
        load(tiny_model, region=(400, 0, 50, 50)).image(two_faces)


def test_small_and_many_faces_are_left_out_if_asked(tiny_model, two_faces):
    large, small = load(tiny_model).image(two_faces).faces
    for options in ({"max_faces": 1}, {"min_face": int(max(small.box[2:])) + 5}):
        (kept,) = load(tiny_model, **options).image(two_faces).faces
        assert kept.box == pytest.approx(large.box, abs=10)  # other sizes are scanned


def test_faces_of_a_picture_are_classified_in_one_call(tiny_model, no_face):
    calls = []

    class Counting:
        def __init__(self, inner):
            self.inner, self.card = inner, inner.card

        def __call__(self, crops):
            calls.append(len(crops))
            return self.inner(crops)

    boxes = [(10.0 * i, 10.0, 60.0, 60.0) for i in range(5)]
    frame = Analyzer(Marked(*boxes), Counting(Classifier.load(tiny_model))).frame(no_face)
    assert calls == [5]
    assert [face.box for face in frame.faces] == boxes


def test_a_clip_is_a_stream_with_times_and_tracks(analyzer, drawn_clip):
    frames = list(analyzer.video(drawn_clip))
    assert [frame.index for frame in frames] == list(range(12))
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(12) / 10, atol=1e-6)
    assert [len(frame.faces) for frame in frames] == [1] * 10 + [0] * 2
    assert {face.track for frame in frames for face in frame.faces} == {1}
    assert {frame.source for frame in frames} == {str(drawn_clip)}


@pytest.mark.parametrize(
    ("options", "indices"),
    [
        ({"every": 5}, [0, 5, 10]),
        ({"fps": 2.0}, [0, 5, 10]),
        ({"start": 0.25, "end": 0.7}, [3, 4, 5, 6]),
    ],
)
def test_a_clip_is_sampled(analyzer, drawn_clip, options, indices):
    assert [frame.index for frame in analyzer.video(drawn_clip, **options)] == indices


def test_the_faces_of_a_clip_are_smoothed_and_make_events(analyzer, drawn_clip):
    with Video(drawn_clip) as video:
        raw = [frame for frame, _ in analyzer.follow(video, source=str(drawn_clip))]
    smoother = TwoSided(0.3)
    want = [frame for one in raw for frame in smoother.push(one)] + list(smoother.flush())
    frames = list(analyzer.video(drawn_clip, smooth=0.3))
    for one, other in zip(frames, want, strict=True):
        assert one.index == other.index
        for face, naive in zip(one.faces, other.faces, strict=True):
            np.testing.assert_array_equal(face.smoothed, naive.smoothed)
    for face in (face for frame in analyzer.video(drawn_clip, smooth=0) for face in frame.faces):
        np.testing.assert_allclose(face.smoothed, face.probabilities, atol=2e-5)
    options = EventOptions(enter=0.01, leave=0.01, emotions=mien.EMOTIONS)
    finder = EventFinder(options)
    pushed = [event for frame in frames for event in finder.push(frame)] + list(finder.flush())
    assert list(find_events(iter(frames), options)) == pushed
    assert pushed


def test_a_clip_uses_the_quick_detector_and_a_photo_the_other(tiny_model, drawn_clip, no_face):
    photo, clip = Marked((0.0, 0.0, 50.0, 50.0)), Marked((0.0, 0.0, 60.0, 60.0), (80.0, 80.0, 40.0, 40.0))
    both = Analyzer(photo, Classifier.load(tiny_model), clip)
    assert len(both.image(no_face).faces) == 1
    assert {len(frame.faces) for frame in both.video(drawn_clip)} == {2}
    one = Analyzer(photo, Classifier.load(tiny_model))
    assert {len(frame.faces) for frame in one.video(drawn_clip)} == {1}


def test_follow_gives_the_pixels_that_were_read(analyzer, drawn_clip):
    with Video(drawn_clip) as video:
        frame, pixels = next(analyzer.follow(video, source="name"))
    assert frame.source == "name"
    assert pixels.shape == (240, 320, 3)


def test_errors_of_a_clip_come_at_the_call(analyzer, drawn_clip):
    with pytest.raises(VideoError, match="does not exist"):
        analyzer.video("nowhere.mp4")
    for options, message in (
        ({"every": 2, "fps": 3}, "got both"),
        ({"start": 2, "end": 1}, "start before the end"),
        ({"smooth": -1}, "smoothing"),
        ({"detect_every": 0}, "detect_every: expected at least 1, got 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            analyzer.video(drawn_clip, **options)


def test_classify_takes_gray_rgb_and_mixed_sizes(analyzer, one_face):
    rng = np.random.default_rng(0)
    gray = rng.integers(0, 256, (3, 60, 50), np.uint8)
    rgb = np.repeat(gray[..., None], 3, axis=3)
    assert analyzer.classify(gray).shape == (3, 8)
    np.testing.assert_allclose(analyzer.classify(gray), analyzer.classify(rgb), atol=1e-3)
    mixed = analyzer.classify([gray[0], one_face])
    np.testing.assert_allclose(mixed[0], analyzer.classify(gray)[0], atol=1e-6)
    card = analyzer.classifier.card
    by_hand = analyzer.classifier(np.stack([fit(picture, card) for picture in gray]))
    np.testing.assert_allclose(analyzer.classify(gray), by_hand, atol=1e-6)
    assert analyzer.classify([]).shape == (0, 8)
    assert analyzer.classify(np.empty((0, 48, 48), np.uint8)).dtype == np.float32


def test_classify_takes_one_crop_and_whatever_holds_one(analyzer, one_face):
    gray, rgb = one_face[:, :, 0], one_face
    for alone in (gray, rgb, rgb / 255, encode_image(rgb, ".png"), Image.fromarray(rgb)):
        (want,) = analyzer.classify([alone])
        np.testing.assert_array_equal(analyzer.classify(alone), want)
    np.testing.assert_array_equal(analyzer.classify(rgb[None]), analyzer.classify([rgb]))
    np.testing.assert_array_equal(
        analyzer.classify(rgb[None].transpose(0, 3, 1, 2)), analyzer.classify([rgb])
    )
    np.testing.assert_array_equal(
        analyzer.classify(rgb[None, :, :, ::-1], color="bgr"), analyzer.classify([rgb])
    )


@pytest.mark.parametrize(
    ("crops", "text"),
    [
        (np.full((2, 48, 48), 9, np.float32), "float32"),
        (np.zeros((2, 40, 48), np.uint8), "at least 48 x 48"),
        (np.zeros((1, 48, 48, 5), np.uint8), r"\(48, 48, 5\)"),
        ("nowhere.jpg", "does not exist"),
        (None, "NoneType"),
    ],
)
def test_classify_says_what_it_expected(analyzer, crops, text):
    with pytest.raises(ImageError, match=text):
        analyzer.classify(crops)


def test_many_pictures_are_read_in_order_and_bad_ones_are_frames_with_an_error(
    analyzer, one_face, two_faces, no_face, tmp_path
):
    path = tmp_path / "face.png"
    path.write_bytes(encode_image(one_face, ".png"))
    damaged = io.BytesIO(path.read_bytes()[:900])
    sources = [two_faces, "nowhere.jpg", path, None, no_face, damaged, *[one_face] * 14]
    frames = analyzer.images(sources)
    assert [len(frame) for frame in frames] == [2, 0, 1, 0, 0, 0, *[1] * 14]
    assert [bool(frame.error) for frame in frames] == [False, True, False, True, False, True, *[False] * 14]
    assert [frame.source for frame in frames[:5]] == ["[0]", "nowhere.jpg", str(path), "[3]", "[4]"]
    for frame, source in zip(frames, sources, strict=True):
        if not frame.error and frame.faces:
            alone = analyzer.image(source)
            assert frame.size == alone.size
            for face, other in zip(frame, alone, strict=True):
                assert face.box == other.box
                np.testing.assert_allclose(face.probabilities, other.probabilities, atol=1e-5)
    assert [frame.to_rows()[0]["success"] for frame in frames[:4]] == [1, 0, 1, 0]
    assert analyzer.images(iter([])) == []
    assert len(analyzer.images(np.stack([one_face] * 2))) == 2
    for column in (np.array([str(path)]), pd.Series([str(path)], index=[7]), pd.Series([one_face])):
        assert [len(frame) for frame in analyzer.images(column)] == [1], column.dtype


@pytest.mark.parametrize("source", ["photo.jpg", b"bytes", np.zeros((64, 64, 3), np.uint8)])
def test_one_picture_is_not_taken_for_many(analyzer, source):
    with pytest.raises(ImageError, match="`image`"):
        analyzer.images(source)


def test_a_crop_is_one_face_as_large_as_the_picture(tiny_model):
    face_picture = np.random.default_rng(2).integers(0, 256, (90, 64, 3), np.uint8)
    reader = load(tiny_model, crops=True)
    (face,) = reader.image(face_picture).faces
    assert face.box == (0, 0, 64, 90)
    np.testing.assert_array_equal(face.probabilities, reader.classify(face_picture[None])[0])


def test_the_landmarks_of_a_crop_give_the_crop_back(tiny_model):
    card = Classifier.load(tiny_model).card
    coarse = np.random.default_rng(3).integers(0, 256, (8, 8, 3), np.uint8)
    picture = np.asarray(Image.fromarray(coarse).resize((96, 96)))  # smooth, to be resampled
    (face,) = WholePicture().detect(picture)
    aligned = crop(picture, face.landmarks, replace(card, template=()))
    assert np.abs(aligned.astype(int) - fit(picture, card)).mean() < 2


def test_a_crop_that_is_too_small_is_refused(tiny_model):
    with pytest.raises(ImageError, match="at least 48 x 48 pixels, got 30 x 47"):
        load(tiny_model, crops=True).image(np.zeros((47, 30, 3), np.uint8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_faces": 0}, "max_faces"),
        ({"min_face": 0}, "min_face"),
        ({"min_face": "20"}, "min_face: expected a whole number"),
        ({"max_faces": 2.5}, "max_faces: expected a whole number"),
        ({"providers": ["NoSuchProvider"]}, r"some of .*CPUExecution.*, got NoSuch"),
        ({"device": "cuda"}, r"got cuda; install it with: .*onnxruntime-gpu"),
        ({"device": "cpu", "providers": ["cpu"]}, "got both"),
        ({"policy": "fair"}, "expected one of accurate"),
        *(
            ({"region": wrong}, "region: expected x, y, width, height in pixels, such as")
            for wrong in [(0, 0, 0.5, 1), (0, 0, 5), (0, 0, float("nan"), 9), (5, 5, -9, -9)]
        ),
    ],
)
def test_bad_settings_and_models_are_refused(tiny_model, tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        load(tiny_model, **options)
    with pytest.raises(ModelError, match=r"none\.onnx"):
        load(tmp_path / "none.onnx")


def test_a_real_clip_keeps_its_face(analyzer, media):
    frames = list(analyzer.video(media / "single_face.mp4", every=12))
    assert [len(frame.faces) for frame in frames] == [1] * 6
    assert {face.track for frame in frames for face in frame.faces} == {1}


def test_a_policy_changes_the_emotion_and_not_the_probabilities(tiny_model, two_faces, tmp_path):
    lean = Policy((0.0,) * 7 + (99.0,), set_from=0.2)
    card = replace(Classifier.load(tiny_model).card, uncertain=0.9)
    card = replace(card, policies={"accurate": Policy(set_from=0.1), "balanced": lean})
    model = tmp_path / "lean.onnx"
    model.write_bytes(with_card(tiny_model.read_bytes(), card))
    accurate, balanced = (
        load(model, policy=name).image(two_faces).faces for name in ("accurate", "balanced")
    )
    for one, other in zip(accurate, balanced, strict=True):
        assert np.array_equal(one.probabilities, other.probabilities)
        assert one.emotion == mien.EMOTIONS[int(one.probabilities.argmax())]
        assert one.emotion == one.set[0]
        assert (other.emotion, other.set) == ("contempt", ("contempt",))
        assert other.confidence == other.probabilities[7]
        assert other.uncertain
