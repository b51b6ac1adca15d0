"""The drawn corpus: RaFD's names, the same every time, and emotions that can be told apart, not too well."""

import hashlib
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from typer.testing import CliRunner

from mien.cli.data import app
from mien.data.posed import WORDS
from mien.data.toy import POSES, Pose, ToySettings, View, draw_face, draw_toy, make_head, write_toy
from mien.errors import ConfigError, DataError, MienError, OutputError
from mien.faces.detect import DetectorOptions, YuNet
from mien.labels import EMOTIONS

SMALL = ToySettings(models=3, cameras=2, gazes=2, size=32)


def hashes(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def test_the_same_settings_draw_the_same(tmp_path):
    assert write_toy(tmp_path / "a", SMALL) == write_toy(tmp_path / "b", SMALL) == len(SMALL) == 96
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


def test_a_picture_depends_on_its_name_and_the_seed_and_not_on_how_many_are_drawn():
    many, few, other = (
        dict(draw_toy(settings))
        for settings in (SMALL, replace(SMALL, models=2, cameras=1, gazes=1), replace(SMALL, seed=1))
    )
    assert len(few) == 16
    assert all((many[name] == pixels).all() for name, pixels in few.items())
    assert all((many[name] != other[name]).any() for name in many.keys() & other.keys())


def test_every_drawn_face_is_found():
    detector = YuNet(DetectorOptions(threshold=0.9))  # one of them, turned to the side, has .93
    drawn = [face for _, face in draw_toy(ToySettings(models=1, cameras=2, gazes=1))]
    assert [len(detector.detect(face)) for face in drawn] == [1] * 16


def test_a_folder_in_use_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(OutputError, match="empty or a new folder"):
        write_toy(tmp_path, SMALL)
    assert hashes(tmp_path).keys() == {"mine.txt"}


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mien.data.toy.encode_image", full)
    with pytest.raises(OutputError, match="No space left"):
        write_toy(tmp_path / "toy", SMALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [{"models": 0}, {"cameras": 6}, {"gazes": 0}, {"size": 8}, {"seed": -1}])
def test_settings_out_of_range(wrong):
    with pytest.raises(ConfigError):
        ToySettings(**wrong)


def test_each_emotion_moves_the_face():
    assert tuple(POSES) == EMOTIONS
    head = make_head(1)
    draw = partial(draw_face, head, view=View(), size=48)
    rest = draw(Pose()).astype(int)
    moved = {e: np.abs(draw(pose) - rest).mean() for e, pose in POSES.items()}
    assert moved.pop("neutral") == 0
    assert min(moved, key=moved.get) == "contempt"
    assert moved["contempt"] > 0.1


def test_gaze_moves_the_iris_and_turn_the_nose():
    head = make_head(1)
    left, right = (draw_face(head, Pose(), View(gaze=g), 96).astype(int) for g in (-1, 1))
    changed = np.argwhere(np.abs(left - right).sum(axis=2) > 60)  # rows, columns
    assert len(changed) > 10
    assert np.ptp(changed[:, 0]) < 15  # the eyes alone
    turned = [draw_face(head, Pose(), View(turn=turn), 96) for turn in (42, -42)]
    assert (turned[0] != turned[1]).any()


@pytest.mark.slow
def test_emotions_of_strangers_can_be_told_but_not_too_well():
    """Ridge regression on pixels of 30 people, judged on 10 others."""
    drawn = list(draw_toy(ToySettings(models=40, cameras=1, size=48)))
    pixels = np.array([p[:, :, 1].ravel() for _, p in drawn], np.float64)  # (N, H * W)
    pixels = (pixels - pixels.mean(axis=1, keepdims=True)) / pixels.std(axis=1, keepdims=True)
    labels = np.array([WORDS.index(name.split("_")[4]) for name, _ in drawn])
    known = np.array([int(name.split("_")[1]) <= 30 for name, _ in drawn])
    a, b = pixels[known] - pixels[known].mean(axis=0), pixels[~known] - pixels[known].mean(axis=0)
    weights = np.linalg.solve(a @ a.T + 300 * np.eye(len(a)), np.eye(8)[labels[known]] - 1 / 8)
    guess = (b @ a.T @ weights).argmax(axis=1)
    recall = {e: (guess[labels[~known] == k] == k).mean() for k, e in enumerate(EMOTIONS)}
    assert 0.5 < np.mean(list(recall.values())) < 0.97
    assert recall["happiness"] > recall["contempt"]


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_commands(tmp_path):
    made = run("toy", tmp_path / "toy", "--models", 2, "--frontal", "--size", 16)
    assert (made.exit_code, made.output) == (0, f"{tmp_path / 'toy'}: 48 pictures\n")
    shown = run("show", "--data", "rafd", "--root", tmp_path / "toy")
    assert shown.exit_code == 0
    for line in (
        "rafd/frontal",
        "  pictures  48",
        "  emotions  neutral 6, happiness 6,",
        "  persons   2, 24 to 24 pictures each",
        "  angle     090 48",
        "  gaze      frontal 16, left 16, right 16",
        "expected 1608 pictures, found 48",
    ):
        assert line in shown.output
    assert isinstance(run("show", "--data", "imagenet", "--root", tmp_path).exception, ConfigError)
    assert isinstance(run("toy", tmp_path / "toy").exception, MienError)


def test_show_tells_splits_and_folders(tmp_path):
    levels = " ".join(["7"] * 48 * 48)
    (tmp_path / "fer2013.csv").write_text(
        f"emotion,pixels,Usage\n0,{levels},Training\n3,{levels},PublicTest\n"
    )
    shown = run("show", "--data", "fer2013", "--root", tmp_path)
    assert "fer2013/train" in shown.output
    assert "fer2013/valid" in shown.output
    assert "persons   not known" in shown.output
    assert "PrivateTest, found none" in shown.output
    nothing = run("show", "--data", "fer2013", "--root", tmp_path / "none")
    assert isinstance(nothing.exception, DataError)
