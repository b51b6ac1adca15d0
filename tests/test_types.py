"""What a frame and its faces can do in the hands of a user: dicts, rows, copies, crops, notebooks."""

import copy
import json
import pickle
import sys
from dataclasses import fields, replace
from html.parser import HTMLParser
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

import mien
from mien.errors import ImageError
from mien.image import make_preview, read_image
from mien.types import ALL_COLUMNS, FACE_COLUMNS, Face, Frame


def made_face(**options):
    probabilities = np.float32([0.05, 0.8, 0.05, 0.02, 0.02, 0.02, 0.02, 0.02])
    landmarks = np.arange(10, dtype=np.float32).reshape(5, 2)
    given = {"probabilities": probabilities, "set": ("happiness",), "uncertain": False, **options}
    return Face((10.0, 20.0, 30.0, 40.0), landmarks, np.float32(0.9), **given)


@pytest.fixture
def frame():
    return Frame("a <photo>.jpg", np.int64(3), np.float64(0.12), (made_face(track=np.int32(2)), made_face()))


def test_a_frame_holds_faces_and_a_face_its_probabilities_by_emotion(frame):
    assert (list(frame), len(frame)) == (list(frame.faces), 2)
    face = frame.faces[0]
    assert dict(face)["happiness"] == pytest.approx(0.8)
    assert list(dict(face)) == list(mien.EMOTIONS)
    unread = made_face(probabilities=None, set=None, uncertain=None)
    assert (list(unread), len(unread), bool(unread)) == ([], 0, True)


def test_a_dict_of_a_frame_is_json_with_every_field(frame):
    told = frame.to_dict()
    assert json.loads(json.dumps(told)) == told
    assert set(told) == {one.name for one in fields(Frame)} - {"preview"}
    (face, _) = told["faces"]
    assert set(face) == {one.name for one in fields(Face)} - {"shown", "movements"} | {
        *("emotion", "confidence", "units", "action_units")
    }
    assert face["probabilities"]["happiness"] == pytest.approx(0.8)
    assert (face["emotion"], face["track"], face["box"], face["uncertain"]) == (
        "happiness",
        2,
        [10, 20, 30, 40],
        False,
    )
    assert np.shape(face["landmarks"]) == (5, 2)


def test_rows_have_every_column_and_one_stands_for_no_face(frame):
    columns = list(ALL_COLUMNS)
    assert set(columns) >= {name for _, names in FACE_COLUMNS.values() for name in names}
    first, second = frame.to_rows()
    assert list(first) == list(second) == columns
    assert (first["face"], first["track"], first["success"], first["frame"]) == (0, 2, 1, 3)
    assert (second["track"], second["uncertain"], second["height"], second["set"]) == (
        None,
        0,
        40,
        ("happiness",),
    )
    assert second["right_mouth_y"] == 9
    (empty,) = replace(frame, faces=()).to_rows()
    assert list(empty) == columns
    assert {name for name, value in empty.items() if value is not None} == {
        "source",
        "frame",
        "time",
        "success",
    }
    types = {type(value) for row in (first, empty) for value in row.values()}
    assert types <= {str, int, float, tuple, type(None)}  # none of NumPy's


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])  # noqa: S301
def test_copies_and_pickles_tell_the_same(frame, again):
    assert again(frame).to_dict() == frame.to_dict()
    assert again(frame.faces[0]).to_dict() == frame.faces[0].to_dict()


def test_what_python_shows_names_emotion_and_place(frame):
    assert "happiness 0.80" in repr(frame)
    assert "track 2" in repr(frame.faces[0])
    assert "a <photo>.jpg" in repr(frame)
    assert "why" in repr(Frame("b.jpg", 0, None, (), error="why"))
    assert "not classified" in repr(made_face(probabilities=None))


def test_a_notebook_shows_the_picture_with_a_box_for_each_face(frame):
    class Parser(HTMLParser):
        def __init__(self):
            super().__init__()
            self.tags = []

        def handle_starttag(self, tag, attrs):
            self.tags.append((tag, dict(attrs)))

    pixels = np.random.default_rng(0).integers(0, 256, (600, 1000, 3), np.uint8)
    shown = replace(frame, size=(1000, 600), preview=make_preview(pixels))._repr_html_()
    parser = Parser()
    parser.feed(shown)
    (picture,) = [attrs for tag, attrs in parser.tags if tag == "image"]
    assert read_image(picture["href"]).pixels.shape[:2] == (288, 480)
    assert (picture["width"], picture["height"]) == ("1000", "600")
    assert [float(attrs["x"]) for tag, attrs in parser.tags if tag == "rect"] == [10, 10]
    assert "photo" not in [tag for tag, _ in parser.tags]  # the name is escaped
    assert "<svg" not in frame._repr_html_()


def test_a_notebook_shows_a_photo_from_its_file_and_what_has_none_from_a_copy(
    tmp_path, tiny_model, monkeypatch
):
    pixels = np.zeros((64, 96, 3), np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    analyzer = mien.load(tiny_model)
    photo = analyzer.image(path)
    assert "<svg" in photo._repr_html_()
    path.unlink()
    assert "<svg" not in photo._repr_html_()
    assert "<svg" not in analyzer.image(pixels)._repr_html_()  # no notebook: no time is spent on a copy
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    assert "<svg" in analyzer.image(pixels)._repr_html_()


def test_a_face_is_cut_from_whatever_holds_its_picture(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (70, 60, 3), np.uint8)
    face = made_face()
    assert np.array_equal(face.crop(pixels), pixels[20:60, 10:40])
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    assert np.array_equal(face.crop(path, margin=0.5), pixels[0:70, 0:55])
    before = pixels.copy()
    face.crop(pixels)[:] = 0
    assert np.array_equal(pixels, before)
    with pytest.raises(ImageError, match="outside"):
        face.crop(pixels[:15])
