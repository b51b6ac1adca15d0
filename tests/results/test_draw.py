"""Drawings: on a copy, within the picture, in colours that can be told apart."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from PIL import ImageDraw

from mien.labels import EMOTIONS
from mien.results.draw import COLOURS, UNKNOWN, annotate, ink, luminance
from mien.types import Face

GRAY = 120
HAPPY = np.array([0.01, 0.93, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01], np.float32)


def rgb(colour):
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def face(x, y, side, *, probabilities=HAPPY, track=None):
    unit = [(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)]
    landmarks = (np.array(unit) * side + (x, y)).astype(np.float32)
    return Face((x, y, side, side), landmarks, 0.87, track, probabilities)


def plain(height, width, level=GRAY):
    return np.full((height, width, 3), level, np.uint8)


def changed(picture, level=GRAY):
    return (picture != level).any(axis=2)


def has(picture, colour):
    return (picture == np.array(rgb(colour), np.uint8)).all(axis=2)


def test_the_picture_itself_stays_as_it_is():
    pixels = plain(240, 320)
    pixels.flags.writeable = False
    drawn = annotate(pixels, [face(80, 60, 120)])
    assert (pixels == GRAY).all()
    assert drawn.shape == pixels.shape
    assert drawn.dtype == np.uint8
    drawn[0, 0] = 0  # the copy is the caller's, to write to


def test_the_box_is_where_the_face_is_in_its_emotions_colour():
    drawn = annotate(plain(240, 400), [face(80, 60, 120)])
    yellow = has(drawn, COLOURS["happiness"])
    for row, column in ((100, 80), (100, 200), (60, 140), (180, 140)):
        assert yellow[row, column]
    assert not changed(drawn)[75:100, 90:110].any()  # skin between the box and the eyes


def test_all_landmarks_are_drawn_if_asked_for_and_known():
    one = face(80, 60, 120)
    dense = np.random.default_rng(0).uniform((85, 65), (195, 175), (146, 2)).astype(np.float32)
    known = replace(one, landmarks_dense=dense)
    five, many = annotate(plain(240, 320), [known]), annotate(plain(240, 320), [known], dense=True)
    inside = [int(changed(picture)[64:176, 84:196].sum()) for picture in (five, many)]
    assert inside[1] > 2 * inside[0] > 0
    assert all(changed(many)[round(y), round(x)] for x, y in (dense - 0.5).tolist())
    assert (annotate(plain(240, 320), [one], dense=True) == annotate(plain(240, 320), [one])).all()


def test_a_face_with_room_gets_a_bar_for_each_emotion_and_a_full_one_for_the_strongest():
    drawn = annotate(plain(240, 400), [face(20, 60, 120)])
    beside = drawn[:, 150:]
    assert all(has(beside, COLOURS[e]).any() for e in EMOTIONS)
    areas = {e: int(has(beside, COLOURS[e]).sum()) for e in EMOTIONS}
    assert max(areas, key=areas.__getitem__) == "happiness"


@pytest.mark.parametrize("x", [20, 260])
def test_the_panel_takes_the_side_that_has_room(x):
    drawn = annotate(plain(240, 400), [face(x, 60, 120)])
    bars = has(drawn, COLOURS["disgust"]).any(axis=0).nonzero()[0]
    assert bars.min() > x + 120 if x == 20 else bars.max() < x


def test_a_panel_never_hides_another_face():
    faces = [face(20, 60, 100), face(130, 60, 100)]
    drawn = annotate(plain(240, 250), faces)
    inside = changed(drawn)[75:90, 140:155]
    assert not inside.any()


def test_many_faces_get_no_panels():
    faces = [face(10 + 150 * i, 60, 60) for i in range(7)]
    assert not has(annotate(plain(200, 1100), faces), COLOURS["disgust"]).any()


@pytest.fixture
def words(monkeypatch):
    """What is written into pictures: (text, its rectangle in pixels, the picture's size)."""
    written, write = [], ImageDraw.ImageDraw.text

    def spy(draw, xy, text, **options):
        rectangle = draw.textbbox(xy, text, font=options["font"], anchor=options.get("anchor"))
        written.append((text, rectangle, draw.im.size))
        write(draw, xy, text, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", spy)
    return written


def test_a_face_that_is_not_classified_gets_box_and_score(words):
    drawn = annotate(plain(240, 320), [face(80, 60, 120, probabilities=None)])
    assert has(drawn, UNKNOWN)[100, 80]
    assert [text for text, *_ in words] == ["face 87 %"]


@pytest.mark.parametrize("side", [30, 60, 100, 400])
@pytest.mark.parametrize("corner", [(-40, -40), (260, -40), (-40, 180), (260, 180), (-900, 900), (90, 60)])
def test_no_text_runs_off_the_edge(words, corner, side):
    annotate(plain(240, 320), [face(*corner, side, track=12)])
    assert words
    for text, (left, top, right, bottom), (width, height) in words:
        assert left >= 0, text
        assert top >= 0, text
        assert right <= width, text
        assert bottom <= height, text


@pytest.mark.parametrize(("side", "label"), [(150, "#2 happiness 93 %"), (30, "happiness")])
def test_the_label_says_track_emotion_and_percent_where_there_is_room(words, side, label):
    annotate(plain(400, 600), [face(200, 100, side, track=2)])
    assert words[0][0] == label


@pytest.mark.parametrize("shape", [(48, 48), (1, 1), (5, 300), (300, 5)])
def test_small_and_odd_pictures_can_be_drawn_on(shape):
    drawn = annotate(plain(*shape), [face(0, 0, max(shape), track=3)])
    assert drawn.shape == (*shape, 3)
    assert changed(drawn).any()
    if shape == (48, 48):  # a crop still shows its label
        assert has(drawn, COLOURS["happiness"])[2:8, 4:44].mean() > 0.3


def test_gray_pictures_become_rgb():
    assert annotate(np.full((60, 60), GRAY, np.uint8), [face(5, 5, 50)]).shape == (60, 60, 3)


@pytest.mark.parametrize("level", [0, 255])
def test_the_box_is_seen_on_black_and_on_white(level):
    drawn = annotate(plain(240, 320, level), [face(80, 60, 120, probabilities=None)])
    assert changed(drawn, level)[100, 76:84].any()


def test_every_label_has_the_contrast_that_wcag_asks_for():
    for colour in COLOURS.values():
        high, low = sorted((luminance(colour), luminance(ink(colour))), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5, colour


# Viénot, Brettel and Mollon (1999), table 2: linear RGB as a person without red or green cones sees it.
BLIND = {
    "protanope": [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]],
    "deuteranope": [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]],
}


@pytest.mark.parametrize("kind", BLIND)
def test_colour_blind_people_tell_the_eight_apart(kind):
    assert tuple(COLOURS) == EMOTIONS
    linear = {e: (np.array(rgb(c)) / 255) ** 2.2 for e, c in COLOURS.items()}
    seen = {e: np.clip(BLIND[kind] @ v, 0, 1) ** (1 / 2.2) for e, v in linear.items()}
    gaps = {(a, b): float(np.abs(seen[a] - seen[b]).max()) for a, b in itertools.combinations(EMOTIONS, 2)}
    assert min(gaps.values()) > 0.08, min(gaps, key=gaps.__getitem__)
