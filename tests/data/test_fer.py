"""FER2013 and FER+ from CSV files, against the official layout made from the same rows."""

import csv
import io

import numpy as np
import pytest
from PIL import Image

from mien.data.arrays import load_images
from mien.data.fer import FOLDERS, SIDE, USAGES, fer2013, ferplus
from mien.data.pictures import emotion_of
from mien.errors import ConfigError, DataError
from mien.labels import EMOTIONS

COLUMNS = ("emotion", "pixels", "Usage")
CODES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
PIXELS, VOTES = "fer2013.csv", "fer2013new.csv"


def rows():
    """(usage, name, votes, pixels) of nine rows with every usage; each fifth has no name, as in FER+."""
    rng = np.random.default_rng(1)
    for i in range(9):
        usage = ("Training", "Training", "PublicTest", "PrivateTest")[i % 4]
        name = "" if i % 5 == 4 else f"fer{i:07d}.png"
        votes = rng.multinomial(10, np.full(10, 0.1)).tolist()
        yield usage, name, votes, rng.integers(0, 256, (SIDE, SIDE), np.uint8)


def write(root, *, order=COLUMNS, ending="\n", bom=""):
    root.mkdir(parents=True, exist_ok=True)
    pictures, votes = io.StringIO(), io.StringIO()
    left = csv.DictWriter(pictures, order, lineterminator=ending)
    right = csv.writer(votes, lineterminator=ending)
    left.writeheader()
    right.writerow(["Usage", "Image name", *EMOTIONS, "unknown", "NF"])
    for i, (usage, name, counts, pixels) in enumerate(rows()):
        left.writerow({"emotion": i % 7, "pixels": " ".join(map(str, pixels.ravel())), "Usage": usage})
        right.writerow([usage, name, *counts])
    (root / PIXELS).write_text(bom + pictures.getvalue(), newline="")
    (root / VOTES).write_text(bom + votes.getvalue(), newline="")
    return root


def write_layout(root):
    for usage, name, counts, pixels in rows():
        if name:
            split = next(s for s, u in USAGES.items() if u == usage)
            folder = root / FOLDERS[split]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / name)
            with (folder / "label.csv").open("a", newline="") as file:
                csv.writer(file).writerow([name, "(0, 0, 48, 48)", *counts])
    return root


@pytest.mark.parametrize("split", FOLDERS)
@pytest.mark.parametrize(
    "form",
    [
        {},
        {"ending": "\r\n", "bom": "\ufeff"},
        {"order": ("emotion", "Usage", "pixels")},  # as in Kaggle's icml_face_data.csv
    ],
)
def test_equals_the_official_layout(tmp_path, split, form):
    got = ferplus(str(write(tmp_path / "csv", **form)), split)
    want = ferplus(write_layout(tmp_path / "layout"), split)  # rows without a name are not in it
    assert (got.name, got.samples) == (want.name, want.samples)
    assert len(got) > 0
    assert (load_images(got) == load_images(want)).all()


@pytest.mark.parametrize("order", [COLUMNS, ("emotion", "Usage", "pixels")])
@pytest.mark.parametrize("quoted", [False, True])
def test_fer2013_has_its_own_labels_and_the_same_pictures(tmp_path, order, quoted):
    path = write(tmp_path, order=order) / PIXELS
    if quoted:
        cells = [line.split(",") for line in path.read_text().splitlines()]
        path.write_text("\n".join(",".join(f'"{c}"' if " " in c else c for c in line) for line in cells))
    given = list(rows())
    for split, usage in USAGES.items():
        which = [i for i in range(9) if given[i][0] == usage]
        for root in (path, tmp_path):
            corpus = fer2013(str(root), split)
            assert [emotion_of(s) for s in corpus.samples] == [CODES[i % 7] for i in which]
            assert [s.name for s in corpus.samples] == [f"row{i + 2:05d}" for i in which]
            assert (load_images(corpus) == np.stack([given[i][3] for i in which])).all()
            assert f"found {len(which)}" in corpus.notes[0]


@pytest.mark.parametrize(
    ("read", "name", "spoil", "said"),
    [
        (ferplus, PIXELS, None, "found no fer2013.csv"),
        (ferplus, VOTES, None, "no FER. split at all"),
        (fer2013, PIXELS, None, "found no fer2013.csv"),
        (ferplus, PIXELS, ("pixels", "other"), "fer2013.csv: expected the columns.*got .*other"),
        (ferplus, VOTES, ("contempt", "other"), "fer2013new.csv: expected the columns.*got .*other"),
        (fer2013, PIXELS, ("emotion", "label"), "expected the columns"),
        (ferplus, PIXELS, -2, "fer2013.csv ends first"),
        (ferplus, VOTES, -2, "fer2013new.csv ends first"),
        (ferplus, VOTES, ("PublicTest", "Training"), "line 4: expected the usage PublicTest"),
        (ferplus, VOTES, ("fer0000000.png,", "fer0000000.png,many"), "line 2: expected ten vote counts"),
        (fer2013, PIXELS, ("\n0,", "\n7,"), "line 2: expected an emotion from 0 to 6, got '7'"),
        (fer2013, PIXELS, ("\n2,", "\n"), "line 4: expected 3 cells"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, read, name, spoil, said):
    path = write(tmp_path) / name
    text = path.read_text()
    if spoil is None:
        path.unlink()
    elif isinstance(spoil, int):
        path.write_text("\n".join(text.splitlines()[:spoil]))
    else:
        assert spoil[0] in text
        path.write_text(text.replace(*spoil, 1))
    with pytest.raises(DataError, match=said):
        read(tmp_path, "train")


@pytest.mark.parametrize(
    ("spoil", "encoding", "said"),
    [
        (lambda text: text, "utf-16", "line 1: expected ten vote counts"),
        (lambda text: text.replace(",", ";"), "utf-8", "line 1: expected ten vote counts"),
        (lambda text: f"{text.rstrip()}9e999", "utf-8", "expected ten vote counts"),
        (lambda text: text.rstrip() + "\n" + text, "utf-8", "expected each picture once in .*label.csv"),
    ],
)
def test_what_is_wrong_with_a_table_of_votes_is_said(tmp_path, spoil, encoding, said):
    root = write_layout(tmp_path)
    path = next(root.rglob("FER2013Train/label.csv"))
    path.write_text(spoil(path.read_text()), encoding)
    with pytest.raises(DataError, match=said):
        ferplus(root, "train")


@pytest.mark.parametrize("read", [ferplus, fer2013])
@pytest.mark.parametrize("spoiled", ["1 2 3", "", "1 2 three", " ".join(["300"] * SIDE * SIDE)])
def test_pixels_of_another_length_or_kind(tmp_path, read, spoiled):
    path = write(tmp_path) / PIXELS
    lines = path.read_text().splitlines()
    lines[2] = f"0,{spoiled},Training"
    path.write_text("\n".join(lines))
    corpus = read(tmp_path, "train")
    corpus.read(corpus.samples[0])
    with pytest.raises(DataError, match=r"fer2013\.csv line 3: expected 2304 gray levels"):
        corpus.read(corpus.samples[1])


@pytest.mark.parametrize("read", [ferplus, fer2013])
def test_a_split_that_is_unknown_or_empty(tmp_path, read):
    write(tmp_path)
    with pytest.raises(ConfigError, match="expected one of train, valid, test, got 'dev'"):
        read(tmp_path, "dev")
    for name in (PIXELS, VOTES):
        path = tmp_path / name
        path.write_text("\n".join(path.read_text().splitlines()[:2]) + "\n")
    with pytest.raises(DataError, match="expected rows of usage PrivateTest"):
        read(tmp_path, "test")
