"""The face network as reading uses it: the pose it gives, the crop it sees, faces that are followed."""

import json
from importlib import resources

import numpy as np
import pytest

from makers import drawn_face, scene
from mien.card import render_face_card
from mien.faces.align import crop_gray, warp
from mien.faces.detect import YuNet
from mien.faces.network import open_session, read_face_card
from mien.faces.parts import PartsNetwork, head_pose
from mien.models import load_model


def turn_of(yaw, pitch, roll):
    """(3, 3): about y, then x, then z, each written out."""
    y, p, r = np.radians([yaw, pitch, roll])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


@pytest.mark.parametrize(
    "angles", [(0, 0, 0), (30, 0, 0), (0, -20, 0), (0, 0, 70), (-50, 25, -160), (80, 60, 10)]
)
@pytest.mark.parametrize("lean", [0, 33, -120])
def test_angles_come_back_from_the_turn_in_a_crop_that_leans(angles, lean):
    c, s = np.cos(np.radians(lean)), np.sin(np.radians(lean))
    to_crop = np.array([[0.4 * c, -0.4 * s, 5.0], [0.4 * s, 0.4 * c, 7.0]])
    in_crop = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ turn_of(*angles)
    assert head_pose(in_crop[:2], to_crop) == pytest.approx(angles, abs=1e-3)
    assert head_pose(2.5 * in_crop[:2], to_crop) == pytest.approx(angles, abs=1e-3)  # rows of any length


@pytest.mark.parametrize("scale", [0.11, 0.3, 0.8, 1.7])
@pytest.mark.parametrize("corner", [(60, 50), (-20, -30), (230, 150)])
def test_the_quick_crop_shows_what_the_exact_one_does(scale, corner):
    picture = scene((80, 40, 160), size=(240, 320))
    c, s = scale * np.cos(0.4), scale * np.sin(0.4)
    turn = np.array([[c, -s], [s, c]])
    matrix = np.column_stack([turn, -turn @ np.array(corner, float)])
    quick, exact = crop_gray(picture, matrix, 64), warp(picture, matrix, (64, 64)).astype(float)
    exact = exact @ (0.299, 0.587, 0.114)
    assert quick.shape == (64, 64)
    assert np.abs(quick - exact).mean() < 2.5
    assert exact.std() < 3 or np.corrcoef(quick.ravel(), exact.ravel())[0, 1] > 0.98


@pytest.fixture(scope="module")
def parts():
    return PartsNetwork()


@pytest.fixture(scope="module")
def face(parts):
    (found,) = YuNet(parts=parts).detect(scene((80, 40, 160)))
    return found


def test_a_face_is_followed_to_where_it_went_and_not_where_there_is_none(parts, face):
    (moved,) = parts.follow(scene((86, 44, 160)), [face])
    assert np.abs(moved.landmarks - face.landmarks - (6, 4)).max() < 2.5
    assert moved.box == face.box  # the tracker moves it
    assert moved.pose is not None
    assert parts.follow(scene(), [face]) is None
    assert parts.follow(scene((80, 40, 160)), [face, moved]) is not None


def test_a_drawn_face_is_seen_where_it_was_drawn(parts):
    looks = parts(
        drawn_face(160), [np.array([(62, 74), (98, 74), (80, 100), (65, 118), (95, 118)], np.float32)]
    )
    assert looks[0].presence > 0.5
    assert np.abs(looks[0].landmarks[:2] - [(62, 74), (98, 74)]).max() < 4
    assert np.abs(looks[0].pose[[0, 2]]).max() < 12
    assert looks[0].movements.min() >= 0


def test_no_faces_no_answers(parts):
    assert parts(drawn_face(160), []) == []


def test_what_is_known_of_the_network_that_ships_is_in_its_file():
    known = read_face_card(open_session(load_model("face")))
    log = resources.files("mien.models").joinpath("face.log.jsonl").read_text().splitlines()
    last = json.loads(log[-1])
    for key, value in known["scores"].items():  # the log's are of float32
        assert value == pytest.approx(last[key], rel=0.02)
    assert known["quantised"]["weights"] == "int8 a channel"
    text = render_face_card(known)
    assert "FairFace" in text
    assert "Apache-2.0" in text
    assert f"landmarks {known['scores']['landmarks']}" in text
