"""YuNet against OpenCV's own decoding, its ladder of sizes, and the faces that it must find."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image as Pil

from mien.analyzer import load
from mien.errors import ConfigError, ModelError
from mien.faces import yunet
from mien.faces.align import TEMPLATE, invert, move, roll
from mien.faces.detect import (
    DetectorOptions,
    Pyramid,
    YuNet,
    drop_copies,
    keep_largest,
    map_proposal,
    spans,
    tiles,
)
from mien.faces.parts import PartsNetwork
from mien.faces.yunet import Proposals, YuNetNetwork, path_of_weights, suppress
from mien.types import Face

Draw = Callable[..., np.ndarray]

COUNTS = {
    "single_face.jpg": 1,
    "multi_face.jpg": 5,
    "0-f1-su-ph.jpg": 1,
    "0-f15-hao-ph.jpg": 1,
    "15-f13-anc-ph.jpg": 1,
    "45-m7-di-ph.jpg": 1,
    "Image_with_alpha.png": 1,
    "BWPictureHuman.jpg": 0,  # grain, in profile: one look scores .74, as some that invent a face do
    "free-mountain-vector-01.jpg": 0,
}


@pytest.fixture(scope="module")
def detector() -> YuNet:
    return YuNet()


def middle(face: Face) -> np.ndarray:
    x, y, width, height = face.box
    return np.array([x + width / 2, y + height / 2])


# Weights


def test_a_source_tree_that_was_not_built_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yunet, "FILE", "no_such.onnx")  # other weights: tests/test_properties_supply.py
    with pytest.raises(ModelError, match=r"no_such\.onnx .* no such file; .*pip install -e"):
        YuNet()


# One pass


def test_decoding_agrees_with_opencv(draw_scene: Draw) -> None:
    cv2 = pytest.importorskip("cv2", reason="needs OpenCV as the oracle")
    image = draw_scene((20, 40, 180), (250, 60, 120), (400, 30, 60), size=(256, 480))  # multiples of 32
    theirs = cv2.FaceDetectorYN.create(str(path_of_weights()), "", (480, 256), 0.3, 0.3, 5000)
    _, rows = theirs.detect(np.ascontiguousarray(image[:, :, ::-1]))
    ours = YuNetNetwork()(image, 0.3)
    assert len(ours) == len(rows) >= 3
    order = np.argsort(-rows[:, 14], kind="stable")
    np.testing.assert_allclose(ours.boxes, rows[order, :4], atol=0.05)
    np.testing.assert_allclose(ours.landmarks.reshape(-1, 10), rows[order, 4:14], atol=0.05)
    np.testing.assert_allclose(ours.scores, rows[order, 14], atol=1e-3)


# The ladder and its geometry


@pytest.mark.parametrize("shape", [(1281, 300), (3000, 4000), (1280, 1280), (1290, 2440), (2431, 2433)])
def test_tiles_cover_the_picture_and_overlap(shape: tuple[int, int]) -> None:
    seen = np.zeros(shape, bool)
    for left, top, tile in tiles(np.zeros((*shape, 3), np.uint8)):
        assert max(tile.shape) <= 1280
        seen[top : top + tile.shape[0], left : left + tile.shape[1]] = True
    assert seen.all()
    for length in shape:
        assert spans(length)[0][0] == 0
        assert spans(length)[-1][1] == length
        assert all(end - start >= 128 for (_, end), (start, _) in pairwise(spans(length)))


@pytest.mark.parametrize(("long", "min_face"), [(250, 20), (350, 20), (1280, 20), (1920, 32), (9000, 20)])
def test_sizes_step_down_to_the_smallest(long: int, min_face: int) -> None:
    sizes = YuNet(DetectorOptions(min_face=min_face)).sizes(long)
    assert sizes[0] == pytest.approx(224)
    assert all(1 < b / a < 8 for a, b in pairwise(sizes))
    assert min(long, 1920) <= sizes[-1] <= min(2 * long, max(long, 1920))


@pytest.mark.parametrize(
    ("options", "long", "sizes"),
    [
        (DetectorOptions(min_face=80), 4000, [1600]),
        (DetectorOptions(), 4000, [2750]),
        (DetectorOptions.video(), 1920, [224, 640]),
        (DetectorOptions.video(), 350, [224, 350]),
    ],
)
def test_a_larger_smallest_face_and_a_clip_are_scanned_at_less(options, long, sizes) -> None:
    assert YuNet(options).sizes(long)[-len(sizes) :] == pytest.approx(sizes)


@pytest.mark.parametrize("angle", [45, 90, 180, 270])
def test_a_turned_look_maps_back(angle: float) -> None:
    image = np.zeros((300, 400, 3), np.uint8)
    image[100:110, 200:210] = 255
    picture = Pyramid(image)
    turn, side = picture.turn(angle, 400)
    bright = np.argwhere(picture.view(turn, side)[:, :, 0] > 128)[:, ::-1] + 0.5  # (N, 2) x, y
    np.testing.assert_allclose(move(invert(turn), bright).mean(axis=0), [205, 105], atol=0.5)


def test_a_mapped_box_holds_the_ellipse() -> None:
    face = Proposals(
        np.array([[-20, -10, 40, 20]], np.float32), np.zeros((1, 5, 2), np.float32), np.ones(1, np.float32)
    )
    for degrees in (0, 30, 90):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        round_the_edge = np.linspace(0, 2 * np.pi, 2000)
        ellipse = np.stack([20 * np.cos(round_the_edge), 10 * np.sin(round_the_edge)], axis=1)
        turned = ellipse @ np.array([[c, s], [-s, c]]) * 2
        box = map_proposal(face, np.array([[2 * c, -2 * s, 5], [2 * s, 2 * c, 7]])).boxes[0]
        low, high = turned.min(axis=0) + np.array([5, 7]), turned.max(axis=0) + np.array([5, 7])
        np.testing.assert_allclose(box, [*low, *(high - low)], atol=0.01)


def naive_union(a, b):
    """Share of the union of two boxes x, y, width, height that both hold, for whole numbers."""
    cells = [
        {(x, y) for x in range(bx, bx + w) for y in range(by, by + h)}
        for bx, by, w, h in (a.tolist(), b.tolist())
    ]
    return len(cells[0] & cells[1]) / len(cells[0] | cells[1])


@settings(max_examples=20)
@given(
    some.lists(some.tuples(*[some.integers(0, 9)] * 2, *[some.integers(1, 9)] * 2), min_size=1, max_size=9)
)
def test_of_boxes_that_overlap_the_first_stays(drawn):
    boxes = np.array(drawn)
    landmarks = np.arange(len(boxes) * 10).reshape(-1, 5, 2).astype(np.float32)
    kept = suppress(Proposals(boxes.astype(np.float32), landmarks, np.linspace(1, 0.5, len(boxes))), 0.3)
    places = (kept.landmarks[:, 0, 0] / 10).astype(int).tolist()
    wanted: list[int] = []
    for i in range(len(boxes)):
        if all(naive_union(boxes[i], boxes[j]) <= 0.3 for j in wanted):
            wanted.append(i)
    assert places == wanted


# Faces


def test_drawn_faces_are_found_largest_first(detector: YuNet, two_faces: np.ndarray) -> None:
    faces = detector.detect(two_faces)
    assert len(faces) == 2
    np.testing.assert_allclose(middle(faces[0]), [110, 130], atol=25)
    np.testing.assert_allclose(middle(faces[1]), [310, 125], atol=20)
    assert all(face.probabilities is None and 0.8 <= face.score <= 1 for face in faces)


@pytest.mark.parametrize("angle", [0, 30, 90, 180])  # a cartoon on its other cheek fools YuNet
def test_turned_drawn_faces_are_found_and_their_roll_is_known(
    detector: YuNet, one_face: np.ndarray, angle: float
) -> None:
    turned = np.asarray(Pil.fromarray(one_face).rotate(-angle, expand=True, fillcolor=(96, 120, 140)))
    (face,) = detector.detect(turned)
    assert abs((roll(face.landmarks) - angle + 180) % 360 - 180) < 6
    spread = face.landmarks.max(axis=0) - face.landmarks.min(axis=0)
    assert (spread < face.box[2:]).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (3, 2), (48, 48), (240, 320), (33, 1500)])
def test_plain_pictures_hold_nobody(detector: YuNet, shape: tuple[int, int]) -> None:
    assert detector.detect(np.full((*shape, 3), 120, np.uint8)) == []


def test_small_faces_in_a_large_picture_are_not_lost(detector: YuNet, draw_scene: Draw) -> None:
    places = ((300, 200, 40), (1262, 640, 44), (2500, 1700, 48))  # the second where tiles meet
    faces = detector.detect(draw_scene(*places, size=(1800, 2600)))
    assert len(faces) == 3
    for x, y, side in places:
        assert min(float(np.hypot(*(middle(f) - [x + side / 2, y + side / 2]))) for f in faces) < side / 4


def test_a_large_picture_of_large_faces_is_not_scanned_finer(draw_scene: Draw) -> None:
    scanned = []

    class Counting(YuNetNetwork):
        def __call__(self, image, threshold):
            scanned.append(image[:, :, 0].size)
            return super().__call__(image, threshold)

    counting, large = YuNet(network=Counting()), ((200, 200, 500), (1200, 300, 400))
    pixels = []
    for places in (large, (*large, (2600, 800, 48))):
        scanned.clear()
        assert len(counting.detect(draw_scene(*places, size=(1100, 3000)))) == len(places)
        pixels.append(sum(scanned))
    assert 1.5 * pixels[0] < pixels[1]


def test_a_dark_picture_is_brightened(detector: YuNet, one_face: np.ndarray) -> None:
    (bright,) = detector.detect(one_face)
    (dark,) = detector.detect((one_face * 0.1).astype(np.uint8))
    np.testing.assert_allclose(dark.landmarks, bright.landmarks, atol=6)


def test_clip_options_find_the_same_large_face(one_face: np.ndarray, detector: YuNet) -> None:
    (clip,) = YuNet(DetectorOptions.video()).detect(one_face)
    (photo,) = detector.detect(one_face)
    np.testing.assert_allclose(clip.landmarks, photo.landmarks, atol=6)


def test_wrong_input_says_what_was_expected(detector: YuNet) -> None:
    with pytest.raises(ValueError, match=r"expected an array of shape \(any, any, 3\), got \(5, 5\)"):
        detector.detect(np.zeros((5, 5), np.uint8))
    with pytest.raises(ConfigError, match="min_face >= 1"):
        DetectorOptions(min_face=0)
    with pytest.raises(ConfigError, match="threshold"):
        DetectorOptions(threshold=1.5)


# Real faces


@pytest.mark.parametrize("name", COUNTS)
def test_counts_of_real_pictures(detector: YuNet, media: Path, name: str) -> None:
    faces = detector.detect(np.asarray(Pil.open(media / name).convert("RGB")))
    assert len(faces) == COUNTS[name]
    if name == "multi_face.jpg":  # the template fits upright faces
        want = np.array(TEMPLATE) - np.mean(TEMPLATE, axis=0)
        for face in faces:
            points = face.landmarks - face.landmarks.mean(axis=0)
            assert np.corrcoef(points.ravel(), want.ravel())[0, 1] > 0.9


def heads(shared_data: Path, number: int) -> list[np.ndarray]:
    path = shared_data / "photos.zip"
    if not path.is_file():
        pytest.skip(f"needs {path}, which is not here")
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        chosen = names[:: len(names) // number][:number]
        return [np.asarray(Pil.open(io.BytesIO(archive.read(n))).convert("RGB")) for n in chosen]


def test_tight_heads_are_found_upright_and_turned(detector: YuNet, shared_data: Path) -> None:
    images = heads(shared_data, 10)
    upright = [detector.detect(image) for image in images]
    assert np.mean([bool(faces) for faces in upright]) >= 0.95
    leaning = [detector.detect(np.rot90(image)) for image in images]  # to the left: roll -90
    pairs = [(a[0], b[0]) for a, b in zip(upright, leaning, strict=True) if a and b]
    assert len(pairs) >= 9
    turns = np.array([roll(b.landmarks) - roll(a.landmarks) + 90 for a, b in pairs])
    assert (np.abs((turns + 180) % 360 - 180) < 15).mean() >= 0.9


def test_the_largest_of_the_sure_faces_are_kept():
    def face(side, score):
        return Face((0, 0, side, side), np.zeros((5, 2), np.float32), score)

    found = [face(90, 0.82), face(80, 0.995), face(70, 0.9), face(60, 0.99)]
    assert [f.box[2] for f in keep_largest(found, 1)] == [80]
    assert [f.box[2] for f in keep_largest(found, 2)] == [80, 60]
    assert [f.box[2] for f in keep_largest(found, 3)] == [90, 80, 60]
    assert keep_largest(found, None) == found


def test_a_least_score_leaves_out_what_scores_less(two_faces):
    every = load().detector.detect(two_faces)
    between = (every[0].score + every[1].score) / 2
    kept = load(min_score=between).detector.detect(two_faces)
    assert [face.score for face in kept] == [max(face.score for face in every)]
    with pytest.raises(ConfigError, match="min_score"):
        load(min_score=1.5)


@pytest.mark.parametrize("long", [225, 457, 921, 1800])
def test_a_picture_is_scanned_at_its_own_size_to_the_pixel(long: int) -> None:
    assert long in YuNet().sizes(long)
    assert YuNet(DetectorOptions(min_face=1)).sizes(4000)[-1] == 4000


def test_a_face_is_told_once() -> None:
    points = np.array([[3, 4], [7, 4], [5, 6], [4, 8], [6, 8]], np.float32)
    faces = [Face((0, 0, 10, 10), points, 0.9), Face((4, 0, 10, 10), points + 1, 0.95)]
    assert [face.score for face in drop_copies([*faces, Face((30, 0, 10, 10), points + 30, 0.8)])] == [
        0.95,
        0.8,
    ]


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.full((5, 2), np.nan), np.eye(5)[:, :2] + 1e6])
def test_landmarks_that_lie_nowhere_leave_a_face_without_pose(
    points: np.ndarray, one_face: np.ndarray
) -> None:
    face = Face((0, 0, 9, 9), points.astype(np.float32), 0.9)
    assert PartsNetwork().complete(one_face, [face])[0].pose is None
