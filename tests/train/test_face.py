"""The face network: its crops and what it should say of them, a run from labels to an ONNX file."""

from dataclasses import replace
from importlib import resources

import numpy as np
import onnx
import pytest

pytest.importorskip("torch", reason="the learning half is not installed: pip install 'mien[train]'")

import torch

from makers import drawn_face
from mien.config import from_toml
from mien.data.face_labels import is_kept_back, read_labels
from mien.errors import ConfigError, DataError, ModelError
from mien.faces.align import PARTS_TEMPLATE, similarity
from mien.faces.network import open_session, read_face_card
from mien.faces.parts import head_pose
from mien.image import write_image
from mien.models import load_model
from mien.nets.face import FaceNet, FaceNetOptions
from mien.train.export import export_face_run, is_face_run
from mien.train.face import NO_FACE, FaceAugmentOptions, FaceLoss, face_targets
from mien.train.face_recipes import (
    FACE_RECIPES,
    FaceRecipe,
    cut_labelled,
    find_mirror,
    read_negatives,
    run_face_training,
)
from mien.train.loop import CHECKPOINT, LoopOptions, load_averaged
from mien.train.quantize import run_quantize_face
from mien.units import ALIGN, UNITS

STILL = FaceAugmentOptions(turn=0, scale=0, shift=0, wild=0, misframed=0, blur=0, dark=0, cover=0, noise=0)
SMALL = FaceNetOptions(stem=4, widths=(4, 4, 8), blocks=(1, 1, 1), squeeze=4, hidden=16)


@pytest.fixture(scope="module")
def shape():
    """(146, 2): pupils and mouth in their places, the others as pairs on both sides, in order of a mirror."""
    random = np.random.default_rng(0)
    points = np.zeros((146, 2), np.float32)
    points[list(ALIGN)] = PARTS_TEMPLATE
    rest = [i for i in range(146) if i not in ALIGN]
    half = random.uniform((0.55, 0.2), (0.8, 0.9), (71, 2))
    points[rest[:71]], points[rest[71:]] = half, half * [-1, 1] + [1, 0]
    return points


@pytest.fixture(scope="module")
def partners(shape):
    """(146,): the landmark on the other side, by the order in which `shape` was made."""
    rest = [i for i in range(146) if i not in ALIGN]
    other = np.zeros(146, int)
    other[rest[:71]], other[rest[71:]] = rest[71:], rest[:71]
    other[list(ALIGN)] = [ALIGN[1], ALIGN[0], ALIGN[3], ALIGN[2]]
    return other


def labels_of(shape, n, seed=1):
    """n faces, each turned, scaled and shifted: landmarks, movements, rotation in degrees."""
    random = np.random.default_rng(seed)
    angle, size = random.uniform(-0.5, 0.5, n), random.uniform(0.5, 0.8, n)
    turn = np.stack([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]).transpose(2, 0, 1)
    landmarks = (shape - 0.5) @ (turn * size[:, None, None]).transpose(0, 2, 1) + random.uniform(
        0.45, 0.55, (n, 1, 2)
    )
    rotation = np.stack([random.uniform(-40, 40, n), random.uniform(-30, 30, n), np.degrees(angle)], 1)
    return landmarks.astype(np.float32), random.random((n, len(UNITS))).astype(np.float32), rotation


def targets_of(landmarks, units, rotation):
    known = np.ones(len(units), bool)
    return torch.from_numpy(
        face_targets(landmarks, units, rotation, known, 1.0, np.zeros((len(units), 4, 2)))
    )


def dotted(landmarks, side=96):
    """(N, 1, side, side): a soft dot at the right pupil, a brighter one at the mouth's left corner."""
    rows, columns = np.mgrid[:side, :side] + 0.5
    pictures = []
    for points in landmarks[:, [ALIGN[0], ALIGN[3]]] * side:
        spots = [np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 18) for x, y in points]
        pictures.append(120 * spots[0] + 240 * spots[1])
    return torch.from_numpy(np.stack(pictures).round())[:, None].float()


def brightest(crop):
    """(2,) x, y of the middle of the brightest spot: light may have cut it off at 255."""
    rows, columns = np.nonzero(crop >= crop.min() + 0.9 * np.ptp(crop))
    return np.array([columns.mean() + 0.5, rows.mean() + 0.5])


def test_the_mirror_of_the_landmarks_is_found_in_their_mean(shape, partners):
    assert (find_mirror(shape).numpy() == partners).all()


def test_crops_show_the_face_where_the_wanted_landmarks_say(shape, partners):
    landmarks, units, rotation = labels_of(shape, 24)
    loss = FaceLoss(torch.from_numpy(partners), torch.ones(45), replace(STILL, turn=8, scale=0.1, shift=0.03))
    pictures = dotted(landmarks)
    crops, wanted = loss.crops(
        pictures, targets_of(landmarks, units, rotation), torch.Generator().manual_seed(0)
    )
    mouths = []
    for crop, points in zip(crops[:, 0].numpy(), wanted["landmarks"].numpy() * 96, strict=True):
        spot = brightest(crop)  # the left corner of the mouth
        mouth = min((ALIGN[3], ALIGN[2]), key=lambda i: np.hypot(*(points[i] - spot)))
        assert np.hypot(*(points[mouth] - spot)) < 1
        mouths.append(mouth)
    assert {*mouths} == {ALIGN[2], ALIGN[3]}  # in a mirror the left corner is the right one


def test_without_changes_crops_hold_the_template_mirrored_or_not(shape, partners):
    landmarks, units, rotation = labels_of(shape, 16)
    loss = FaceLoss(torch.from_numpy(partners), torch.ones(45), STILL)
    targets = targets_of(landmarks, units, rotation)
    _, wanted = loss.crops(dotted(landmarks), targets, torch.Generator().manual_seed(0))
    assert np.abs(wanted["landmarks"].numpy() - shape).max() < 1e-4  # it is symmetric
    left, right = UNITS.index("eyeBlinkLeft"), UNITS.index("eyeBlinkRight")
    mirrored = np.isclose(wanted["units"][:, left].numpy(), units[:, right])
    assert 0 < mirrored.sum() < 16
    assert np.allclose(wanted["units"].numpy()[~mirrored], units[~mirrored])
    assert np.allclose(wanted["units"].numpy()[mirrored][:, [left, right]], units[mirrored][:, [right, left]])


def test_the_wanted_turn_reads_back_as_the_teachers_angles(shape, partners):
    landmarks, units, rotation = labels_of(shape, 16)
    loss = FaceLoss(torch.from_numpy(partners), torch.ones(45), STILL)
    targets = targets_of(landmarks, units, rotation)
    _, wanted = loss.crops(dotted(landmarks), targets, torch.Generator().manual_seed(0))
    left, right = UNITS.index("eyeBlinkLeft"), UNITS.index("eyeBlinkRight")
    for i, turn in enumerate(wanted["turn"].numpy().reshape(-1, 2, 3)):
        to_crop = similarity(landmarks[i, list(ALIGN)] * 96, np.array(PARTS_TEMPLATE) * 96)
        yaw, pitch, roll = rotation[i]
        if np.isclose(
            wanted["units"][i, left], units[i, right]
        ):  # in a mirror yaw and roll change their sign
            landmarks_seen = landmarks[i, list(ALIGN)][[1, 0, 3, 2]] * [-1, 1] + [1, 0]
            to_crop = similarity(landmarks_seen * 96, np.array(PARTS_TEMPLATE) * 96)
            yaw, roll = -yaw, -roll
        assert head_pose(turn, to_crop) == pytest.approx([yaw, pitch, roll], abs=0.05)


def test_misframed_faces_and_crops_without_one_teach_absence_alone(shape, partners):
    landmarks, units, rotation = labels_of(shape, 8)
    targets = targets_of(landmarks, units, rotation)
    targets[:4, 0] = NO_FACE
    loss = FaceLoss(torch.from_numpy(partners), torch.ones(45), replace(STILL, misframed=1.0))
    _, wanted = loss.crops(dotted(landmarks), targets, torch.Generator().manual_seed(0))
    assert not wanted["presence"].any()
    assert not wanted["known"].any()
    answer = torch.zeros(8, 345, requires_grad=True)
    loss.distance(answer, wanted).backward()
    assert answer.grad[:, 0].abs().min() > 0
    assert not answer.grad[:, 1:].any()


def write_labels(path, names, shape, *, side, presence=None):
    landmarks, units, rotation = labels_of(shape, len(names))
    np.savez(
        path,
        name=np.array(names),
        presence=np.ones(len(names), np.float16) if presence is None else presence,
        landmarks=np.concatenate([landmarks, landmarks[:, :10]], 1).astype(np.float16),
        blendshapes=np.concatenate([np.zeros((len(names), 1)), units[:, ::-1]], 1).astype(np.float16),
        blendshape_name=np.array(["_neutral", *UNITS[::-1]]),
        rotation=rotation.astype(np.float32),
    )
    return landmarks, units


@pytest.fixture(scope="module")
def material(tmp_path_factory, shape):
    """Twenty dotted faces as FairFace has them, three larger pictures, and crops without a face."""
    root = tmp_path_factory.mktemp("face")
    for folder in ("fairface/images", "photos", "labels", "none"):
        (root / folder).mkdir(parents=True)
    numbers = [str(i) for i in range(1, 41)]
    landmarks, _ = write_labels(root / "labels/fairface.npz", numbers, shape, side=96)
    for number, pixels in zip(numbers, dotted(landmarks)[:, 0].numpy(), strict=True):
        write_image(root / f"fairface/images/{number}.png", pixels.clip(0, 255).astype(np.uint8))
    photos = [f"photos/{i}.png" for i in range(3)]
    landmarks, _ = write_labels(root / "labels/photos.npz", photos, shape, side=200)
    for name, pixels in zip(photos, dotted(landmarks, 200)[:, 0].numpy(), strict=True):
        wide = np.repeat(pixels, 2, axis=1).clip(0, 255).astype(np.uint8)  # 200 rows, 400 columns
        write_image(root / name, wide)
    noise = np.random.default_rng(3).integers(0, 256, (12, 112, 112), np.uint8)
    np.savez(root / "none.npz", crops=noise, valid=np.arange(12) % 4 == 0)
    return root


def recipe_for(epochs):
    return FaceRecipe(
        corpora=("fairface", "photos"),
        weights=(1.0, 0.5),
        shares=(1.0, 1.0, 1.0),
        net=SMALL,
        loop=LoopOptions(epochs=epochs, batch=16, rate=3e-3, warmup=0.5, optimizer="adamw", clip=1.0),
    )


@pytest.fixture(scope="module")
def trained(material):
    run, lines = material / "run", []
    options = {"labels": material / "labels", "negatives": material / "none.npz"}
    run_face_training(recipe_for(3), material, run, **options, report=lines.append)
    return run, lines


def test_a_run_learns_judges_and_resumes(material, trained, tmp_path):
    run, lines = trained
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert lines[2]["loss"] < 0.9 * lines[0]["loss"]
    assert {"landmarks", "correlation", "yaw", "pitch", "roll", "seen", "invented"} <= lines[-1].keys()
    again = []
    options = {"labels": material / "labels", "negatives": material / "none.npz"}
    run_face_training(recipe_for(3), material, run, **options, report=again.append)
    assert not again  # nothing was left to do
    with pytest.raises(ConfigError, match="epochs = 3"):
        run_face_training(recipe_for(4), material, run, **options, report=again.append)
    more = replace(recipe_for(1), name="more", start="run")
    run_face_training(more, material, tmp_path / "more", **options, start=run, report=again.append)
    assert len(again) == 1


@pytest.mark.slow
def test_the_exported_file_gives_torchs_numbers_and_holds_what_is_known(trained, tmp_path):
    run, lines = trained
    assert is_face_run(run)
    export_face_run(run, tmp_path / "face.onnx", name="tiny")
    session = open_session(tmp_path / "face.onnx")
    crops = np.random.default_rng(0).integers(0, 256, (5, 1, 96, 96)).astype(np.float32)
    net = load_averaged(FaceNet(SMALL), run).eval()
    with torch.no_grad():
        expected = net(torch.from_numpy(crops)).numpy()
    (got,) = session.run(None, {"input": crops})
    assert np.abs(got - expected).max() < 0.01  # weights of 16 bits
    known = read_face_card(session)
    assert known["name"] == "tiny"
    assert known["scores"]["landmarks"] == lines[-1]["landmarks"]
    assert known["provenance"]["without_faces"] == 9


@pytest.mark.slow
def test_eight_bits_are_written_where_they_come_as_near_to_the_teacher(
    material, trained, tmp_path, monkeypatch
):
    model, out, labels = tmp_path / "face.onnx", tmp_path / "face-int8.onnx", material / "labels"
    export_face_run(trained[0], model, name="tiny")
    monkeypatch.setattr("mien.train.quantize._FACE_CHANGE", {"landmarks": 0.2})
    before, after = run_quantize_face(model, material, labels, out)["landmarks"]
    assert 0 < before < 50
    assert read_face_card(open_session(out))["scores"]["landmarks"] == after
    weights = {w.name: w.data_type for w in onnx.load(out).graph.initializer if len(w.dims) > 1}
    assert {kind for name, kind in weights.items() if "head" in name} == {onnx.TensorProto.FLOAT}
    assert onnx.TensorProto.INT8 in weights.values()

    monkeypatch.setattr("mien.train.quantize._FACE_CHANGE", {"landmarks": 0.0})
    with pytest.raises(ModelError, match="keep it in float32"):
        run_quantize_face(model, material, labels, tmp_path / "none.onnx")
    assert not (tmp_path / "none.onnx").exists()
    (tmp_path / "other.onnx").write_bytes(load_model("compact"))
    with pytest.raises(ModelError, match="leave --labels out"):
        run_quantize_face(tmp_path / "other.onnx", material, labels, out)


def test_faces_kept_back_are_not_learnt(trained):
    run, _ = trained
    state = torch.load(run / CHECKPOINT, weights_only=True)
    assert len(state["lines"]) == 3
    (gathered,) = (run / "cache").glob("gathered-*.npy")
    assert len(np.load(gathered)) == 36 + 3 + 9  # 4 of the numbers 1 to 40 end in 0, 3 of 12 crops are valid
    names = ["10", "11", "ferplus/FER2013Valid/fer0000001.png", "photos/images/A_0010.jpg"]
    assert [is_kept_back(name) for name in names] == [True, False, True, False]


def test_large_pictures_are_cut_around_their_landmarks(material, tmp_path):
    found = cut_labelled("photos", material / "photos", material / "labels/photos.npz", tmp_path, 96)
    assert found["crops"].shape == (3, 96, 96)
    for crop, points in zip(found["crops"].astype(float), found["landmarks"] * 96, strict=True):
        assert np.hypot(*(points[ALIGN[3]] - brightest(crop))) < 1
        extent = points.max(0) - points.min(0)
        assert max(extent) == pytest.approx(96 / 1.45, rel=0.01)
    again = cut_labelled("photos", material / "photos", material / "labels/photos.npz", tmp_path, 96)
    assert (again["crops"] == found["crops"]).all()


def test_pictures_without_faces_give_turned_patches_of_many_sizes(tmp_path):
    columns = np.tile(np.arange(200, dtype=np.uint8), (150, 1))
    for i in range(20):
        write_image(tmp_path / f"{i}.png", columns)
    crops, kept_back = read_negatives(tmp_path, 24)
    assert crops.shape == (20 * 64, 24, 24)
    assert 0 < kept_back.sum() < 20 * 64 / 3
    assert not (kept_back.reshape(20, 64).any(1) ^ kept_back.reshape(20, 64).all(1)).any()  # whole pictures
    across, down = (np.diff(crops.astype(float), axis=axis).mean((1, 2)) for axis in (2, 1))
    slopes = np.hypot(across, down)  # gray levels a pixel: as many pixels of the picture as one holds
    assert slopes.min() > 0.9 * 28 / 24
    assert slopes.max() < 1.05 * 150 / 24
    assert slopes.max() > 3 * slopes.min()
    angles = np.degrees(np.arctan2(down, across))
    assert np.histogram(angles, 8, (-180, 180))[0].min() > 65
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="found none"):
        read_negatives(empty, 24)


def test_where_the_teacher_sees_no_face_the_detector_is_asked(tmp_path, shape):
    (tmp_path / "drawn").mkdir()
    write_image(tmp_path / "drawn/1.png", drawn_face(96))
    write_image(tmp_path / "drawn/2.png", np.full((96, 96), 90, np.uint8))
    write_labels(tmp_path / "drawn.npz", ["1", "2"], shape, side=96, presence=np.zeros(2))
    found = cut_labelled("drawn", tmp_path / "drawn", tmp_path / "drawn.npz", tmp_path, 96)
    eyes = np.array([(62, 74), (98, 74)]) / 160
    assert found["elsewhere"][0, :2] == pytest.approx(eyes, abs=0.04)
    assert np.isnan(found["elsewhere"][1]).all()


def test_labels_that_are_missing_or_of_another_kind_are_named(material, tmp_path, shape):
    with pytest.raises(DataError, match="no such file"):
        read_labels(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", name=np.array(["1"]))
    with pytest.raises(DataError, match="blendshape_name"):
        read_labels(tmp_path / "b.npz")
    write_labels(tmp_path / "c.npz", ["1", "99"], shape, side=96)
    with pytest.raises(DataError, match="99"):
        cut_labelled("fairface", material / "fairface", tmp_path / "c.npz", tmp_path, 96)


@pytest.mark.parametrize("name", ["face.config.toml", "face.more.config.toml", "face.start.config.toml"])
def test_the_network_that_ships_was_made_by_a_recipe_that_a_user_gets(name):
    held = from_toml(FaceRecipe, resources.files("mien.models").joinpath(name).read_text())
    assert held == FACE_RECIPES[held.name]()
