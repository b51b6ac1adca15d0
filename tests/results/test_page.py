"""The page: one file, nothing fetched, every number on it, readable without seeing it."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from mien.errors import OutputError
from mien.labels import EMOTIONS
from mien.results.draw import COLOURS
from mien.results.page import PageEntry, write_page
from mien.types import Face, Frame
from parsed_page import ParsedPage

HAPPY = np.array([0.05, 0.65, 0.04, 0.06, 0.03, 0.02, 0.085, 0.065], np.float32)
SAD = np.array([0.1, 0.0, 0.0, 0.9, 0.0, 0.0, 0.0, 0.0], np.float32)


def read(path):
    return ParsedPage(path.read_text("utf-8"))


def face(probabilities=HAPPY, track=None, x=10):
    return Face((x, 10, 40, 40), np.full((5, 2), 30, np.float32), 0.87, track, probabilities)


def picture(level=100, size=(60, 80)):
    return np.full((*size, 3), level, np.uint8)


def photo(*faces, title="a.jpg", size=(60, 80), notes=()):
    frame = Frame(title, 0, None, faces, notes)
    return PageEntry(title, "photo", (frame,), ((frame, picture(size=size)),))


def clip(frames, pictures=3):
    return PageEntry("b.mp4", "clip", tuple(frames), tuple((frame, picture()) for frame in frames[:pictures]))


@pytest.fixture
def page(tmp_path):
    def write(*entries, **options):
        write_page(entries, tmp_path / "page.html", **options)
        return read(tmp_path / "page.html")

    return write


def test_a_photo_shows_every_probability_as_a_bar_and_a_number(page):
    reader = page(photo(face()))
    styles = [a["style"] for a in reader.all("i")]
    for emotion, value in zip(EMOTIONS, HAPPY.tolist(), strict=True):
        assert f"width:{100 * value:.1f}%;background:{COLOURS[emotion]}" in styles
        assert re.search(rf"{emotion}\s+{100 * value:.1f} %", reader.text)
    assert "Face 1: happiness 65 %" in reader.text


def test_title_and_model_line(page):
    reader = page(photo(face()), title="Kim & Ana", model="compact <v1>")
    assert reader.text.count("Kim & Ana") == 2
    assert "Read by compact <v1>" in reader.text
    assert "expression shown, not what a person feels" in reader.text


def test_every_picture_has_words_for_those_who_do_not_see_it(page):
    reader = page(photo(face(), face(SAD, x=30)), photo(), clip([Frame("b", 0, 0.5, ())], 1))
    alts = [a["alt"].replace("\u00a0", " ") for a in reader.all("img")]
    assert alts[0] == "2 faces: happiness 65 %, sadness 90 %"
    assert alts[1:3] == ["", ""]  # the thumbs stand beside their words
    assert alts[3:] == ["no face", "At 0:00.5: no face"]


def test_large_pictures_are_made_smaller(page):
    source = page(photo(size=(1500, 3000))).all("img")[0]["src"]
    with Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))) as image:
        assert image.size == (1000, 500)


def test_what_could_not_be_read_is_said(page):
    text = page(photo(), photo(face(None)), photo(notes=("animated: first frame used",)), clip([])).text
    for words in ("No face was found", "not read", "found with score 0.87", "animated: first", "No face was"):
        assert words in text


def test_names_cannot_break_the_page(page):
    evil = '<script>alert("1")</script>$title${x}\udcff'
    reader = page(photo(title=evil), title=evil)
    assert not reader.all("script")
    assert '<script>alert("1")</script>$title${x}\\xff' in reader.text


def test_a_clip_has_a_chart_and_a_table_a_face(page):
    frames = [Frame("b.mp4", i, i / 2, (face(track=1), face(SAD, track=2))) for i in range(20)]
    reader = page(clip(frames))
    assert [a["role"] for a in reader.all("svg")] == ["img", "img"]
    assert [a["fill"] for a in reader.all("path")] == [*COLOURS.values()][::-1] * 2
    assert "Face 2: shows sadness most, 90 % on average" in reader.text
    assert "0:00.00:02.50:05.00:07.50:10.0" in reader.text  # the axis
    assert len(reader.all("table")) == 2


def test_one_frame_and_no_times_make_a_chart(page):
    assert "Faces: shows happiness most" in page(clip([Frame("b", 0, None, (face(),))])).text


def test_a_page_that_is_there_is_kept(page, tmp_path):
    page(photo(title="first"))
    with pytest.raises(OutputError, match="exists"):
        page(photo(title="second"))
    assert "first" in read(tmp_path / "page.html").text


def test_a_page_that_breaks_off_leaves_nothing(tmp_path):
    def entries():
        yield photo(face())
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_page(entries(), tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


def test_the_count_is_at_the_end(page):
    assert "2 photos and 1 clip" in page(photo(), photo(), clip([])).text
    assert "Nothing was read" in page(overwrite=True).text
