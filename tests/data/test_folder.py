"""One folder an emotion: spellings, nesting, zips, and what is wrong with a folder."""

import os
import re
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from mien.data.folder import folder
from mien.errors import DataError, ImageError
from mien.evaluate.protocol import PROTOCOLS
from mien.labels import EMOTIONS


def draw(path, level=100, side=48):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((side, side), level, np.uint8)).save(path, format="PNG")
    return path


@pytest.fixture
def root(tmp_path):
    """Pictures with spellings, upper case, nested, among files that are none."""
    root = tmp_path / "faces"
    draw(root / "Happy" / "a.png", 10)
    draw(root / "happiness" / "b.PNG", 20)
    draw(root / "angry" / "session 2" / "deep" / "c.JPG", 30)
    draw(root / "disgusted" / "d.png", 40)
    draw(root / "disgusted" / ".hidden.png")
    draw(root / ".thumbnails" / "e.png")
    (root / "angry" / "notes.txt").write_text("not a picture")
    (root / "papers").mkdir()
    (root / "papers" / "readme.txt").write_text("a folder of another name without pictures is no fault")
    return root


LABELS = {
    "Happy/a.png": "happiness",
    "happiness/b.PNG": "happiness",
    "angry/session 2/deep/c.JPG": "anger",
    "disgusted/d.png": "disgust",
}


def labels(corpus, around=""):
    return {
        s.name.removeprefix(around): EMOTIONS[int(np.argmax(s.votes))]
        for s in corpus.samples
        if sum(s.votes) == 1
    }


def test_folders_are_labels(root):
    corpus = folder(root)
    assert labels(corpus) == LABELS
    assert corpus.name == "folder/faces"
    assert [corpus.read(s)[0, 0].tolist() for s in corpus.samples] == [[10] * 3, [30] * 3, [40] * 3, [20] * 3]


def test_both_protocols_keep_single_labels(root):
    corpus = folder(root)
    assert PROTOCOLS["majority"](corpus.samples).tolist() == PROTOCOLS["argmax"](corpus.samples).tolist()
    assert (PROTOCOLS["majority"](corpus.samples) >= 0).all()


@pytest.mark.parametrize("around", ["", "faces/", "data/faces/"])
def test_zip_with_and_without_folders_around(root, tmp_path, around):
    path = tmp_path / "faces.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in root.rglob("*"):
            if file.is_file():
                archive.write(file, around + file.relative_to(root).as_posix())
        archive.writestr("__MACOSX/faces/Happy/._a.png", b"resource fork")
    corpus = folder(path)
    assert labels(corpus, around) == LABELS
    assert corpus.read(corpus.samples[0]).shape == (48, 48, 3)


def test_one_emotion_alone_is_no_folder_around(tmp_path):
    draw(tmp_path / "sad" / "happy" / "a.png")
    assert labels(folder(tmp_path)) == {"sad/happy/a.png": "sadness"}


def test_strange_folders_are_listed_with_their_counts(root):
    draw(root / "bored" / "x.png")
    draw(root / "bored" / "y.png")
    draw(root / "loose.png")
    with pytest.raises(DataError, match=r"none at all \(1\), 'bored' \(2\); rename"):
        folder(root)


def test_a_folder_of_plain_pictures(tmp_path):
    draw(tmp_path / "images" / "x.png")
    with pytest.raises(DataError, match=r"folders 'images' \(1\)"):
        folder(tmp_path)


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_nothing_there(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"expected .* folder.*found no"):
        folder(tmp_path / name)


def test_file_that_is_no_zip(tmp_path):
    (tmp_path / "a.zip").write_text("text")
    with pytest.raises(DataError, match="expected a zip"):
        folder(tmp_path / "a.zip")


def test_damaged_pictures_are_named_when_read(root):
    whole = (root / "Happy" / "a.png").read_bytes()
    (root / "Happy" / "a.png").write_bytes(whole[: len(whole) // 2])
    (root / "disgusted" / "d.png").unlink()
    (root / "disgusted" / "d.png").write_text("text")
    corpus = folder(root)
    by_name = {s.name: s for s in corpus.samples}
    (root / "angry" / "session 2" / "deep" / "c.JPG").unlink()  # gone since it was listed
    for name in ("Happy/a.png", "disgusted/d.png", "angry/session 2/deep/c.JPG"):
        with pytest.raises(ImageError, match=re.escape(name)):
            corpus.read(by_name[name])
    assert corpus.read(by_name["happiness/b.PNG"]).shape == (48, 48, 3)


def test_damage_inside_a_zip_is_an_image_error(tmp_path):
    path = tmp_path / "faces.zip"
    noise = np.random.default_rng(0).integers(0, 256, (48, 48), np.uint8)
    picture = draw(tmp_path / "happy" / "a.png")
    Image.fromarray(noise).save(picture)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(picture, "happy/a.png")
    data = bytearray(path.read_bytes())
    data[200:260] = b"\xff" * 60
    path.write_bytes(data)
    corpus = folder(path)
    with pytest.raises((ImageError, DataError), match=r"happy/a\.png"):
        corpus.read(corpus.samples[0])


@pytest.mark.skipif(sys.platform != "linux", reason="names that are not UTF-8 are Linux's")
def test_names_that_are_not_utf8(tmp_path):
    draw(tmp_path / "sad" / os.fsdecode(b"\xff\xfe.png"))
    corpus = folder(tmp_path)
    assert corpus.read(corpus.samples[0]).shape == (48, 48, 3)
