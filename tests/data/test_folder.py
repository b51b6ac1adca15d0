"""One folder per emotion: spellings, nesting, zips, and what is wrong with a folder."""

import os
import re
import sys
import zipfile
from unicodedata import normalize

import numpy as np
import pytest
from PIL import Image

from mien.data.folder import folder
from mien.data.pictures import emotion_of
from mien.errors import DataError, ImageError
from mien.evaluate.metrics import PROTOCOLS


def draw(path, level=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((48, 48), level, np.uint8)).save(path, format="PNG")
    return path


@pytest.fixture
def root(tmp_path):
    """Pictures with spellings, upper case, nested, among files that are none."""
    root = tmp_path / "faces"
    for level, name in enumerate(LABELS):
        draw(root / name, 10 * level)
    draw(root / "disgusted" / ".hidden.png")
    draw(root / ".thumbnails" / "e.png")
    (root / "angry" / "notes.txt").write_text("not a picture")
    (root / "papers").mkdir()
    (root / "papers" / "readme.txt").write_text("a folder of another name without pictures is no fault")
    return root


LABELS = {
    "Happy/a.png": "happiness",
    "angry/session 2/deep/c.JPG": "anger",
    "disgusted/d.png": "disgust",
    "happiness/b.PNG": "happiness",
}


def labels(corpus, around=""):
    return {s.name.removeprefix(around): emotion_of(s) for s in corpus.samples if sum(s.votes) == 1}


def test_folders_are_labels(root):
    corpus = folder(str(root))
    assert labels(corpus) == LABELS
    assert corpus.name == "folder/faces"
    assert [corpus.read(s)[0, 0].tolist() for s in corpus.samples] == [[10 * i] * 3 for i in range(4)]
    argmax, majority = (PROTOCOLS[name](corpus.samples).tolist() for name in ("argmax", "majority"))
    assert argmax == majority
    assert min(argmax) >= 0, "a single label is one by either protocol"


def test_a_table_tells_the_labels(root):
    (root / "labels.csv").write_text("image,emotion\nangry/session 2/deep/c.JPG,sad\nHappy/a.png,Happy\n")
    corpus = folder(root)
    assert labels(corpus) == {"angry/session 2/deep/c.JPG": "sadness", "Happy/a.png": "happiness"}
    assert corpus.read(corpus.samples[1]).max() == 0
    assert corpus.notes == (
        "2 pictures that no table names were left out: disgusted/d.png, happiness/b.PNG",
        "the labels are those of the table, not of the folders' names",
    )


def test_a_table_of_a_mac_names_pictures_whose_umlauts_are_written_otherwise(tmp_path):
    draw(tmp_path / normalize("NFD", "ä.png"))
    (tmp_path / "labels.csv").write_text(f"file,emotion\n{normalize('NFC', 'ä.png')},sad\n")
    assert list(labels(folder(tmp_path)).values()) == ["sadness"]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("file,emotion\nHappy/a.png,sad\n./disgusted\\d.png,Happy\n,\n", "utf-8-sig"),
        ("Emotion;note; File\r\nsad;a, b;Happy/a.png \r\nHappy;;disgusted\\d.png\r\n", "utf-8"),
        ("image\temotion\rHappy/a.png\tsad\rdisgusted/d.png\tHappy\r", "utf-16"),
    ],
)
def test_a_table_is_read_as_spreadsheets_write_it(root, text, encoding):
    (root / "LABELS.CSV").write_bytes(text.encode(encoding))
    assert labels(folder(root)) == {"disgusted/d.png": "happiness", "Happy/a.png": "sadness"}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("Happy/a.png,\n", "column emotion of its table, Happy/a.png: expected one of the emotions neutral"),
        ("absent.png,fear\n", "names 1 pictures, 1 of them are not there, such as absent.png"),
        ("Happy/a.png,fear\n./Happy/a.png,sad\n", "Happy/a.png stands in labels.csv and again in labels.csv"),
    ],
)
def test_what_is_wrong_with_a_table(root, rows, said):
    (root / "labels.csv").write_text(f"file,emotion\n{rows}")
    with pytest.raises(DataError, match=said):
        folder(root)
    (root / "labels.csv").write_text(f"file,Emotion,emotion\n{rows}")
    with pytest.raises(DataError, match="two columns emotion"):
        folder(root)


def test_nothing_is_left_out_in_silence(root, tmp_path):
    draw(tmp_path / "elsewhere" / "x.png")
    (root / "afraid").symlink_to(tmp_path / "elsewhere")
    (root / "Happy" / "loop").symlink_to(root)
    (root / "Happy" / "gone.png").symlink_to(root / "nowhere.png")
    (root / "Happy" / "y.jpg_large").touch()
    corpus = folder(root)
    assert labels(corpus) == LABELS | {"afraid/x.png": "fear", "Happy/gone.png": "happiness"}
    assert "3 files that are no pictures by their names were left out: Happy/y.jpg_large" in corpus.notes[0]
    with pytest.raises(ImageError, match=r"gone\.png is not there any more"):
        corpus.read(corpus.samples[1])


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


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["happy/a.png", "bored/x.png", "bored/y.png", "z.png"], r"none at all \(1\), 'bored' \(2\); rename"),
        (["images/x.png"], r"folders 'images' \(1\)"),
        ([], "expected one folder per emotion.*found no"),
    ],
)
def test_what_is_no_emotions_folder_is_listed(tmp_path, names, said):
    for name in names:
        draw(tmp_path / name)
    with pytest.raises(DataError, match=said):
        folder(tmp_path)


def test_neither_a_folder_nor_a_zip(tmp_path):
    with pytest.raises(DataError, match="expected a folder or a zip archive, found nothing"):
        folder(tmp_path / "nowhere")
    (tmp_path / "a.zip").write_text("text")
    with pytest.raises(DataError, match="expected a zip"):
        folder(tmp_path / "a.zip")


def test_damaged_pictures_are_named_when_read(root):
    whole = (root / "Happy/a.png").read_bytes()
    (root / "Happy/a.png").write_bytes(whole[: len(whole) // 2])
    (root / "disgusted/d.png").write_text("text")
    corpus = folder(root)
    *damaged, sound = corpus.samples
    (root / "angry/session 2/deep/c.JPG").unlink()  # gone since it was listed
    for sample in damaged:
        with pytest.raises(ImageError, match=re.escape(sample.name)):
            corpus.read(sample)
    assert corpus.read(sound).shape == (48, 48, 3)


def test_damage_inside_a_zip_is_named(tmp_path):
    path = tmp_path / "faces.zip"
    picture = draw(tmp_path / "happy" / "a.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 48), np.uint8)).save(picture)
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
