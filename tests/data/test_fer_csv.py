"""FER+ from its two CSV files, against the official layout made from the same rows."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.data.arrays import load_images
from mien.data.fer import FOLDERS, SIDE, USAGES, ferplus
from mien.errors import ConfigError, DataError
from mien.labels import EMOTIONS

HEAD = ["Usage", "Image name", *EMOTIONS, "unknown", "NF"]


def rows(count=9):
    """(usage, name, votes, pixels) of rows with every usage; each fifth has no name, as in FER+."""
    rng = np.random.default_rng(1)
    for i in range(count):
        usage = ("Training", "Training", "PublicTest", "PrivateTest")[i % 4]
        name = "" if i % 5 == 4 else f"fer{i:07d}.png"
        votes = rng.multinomial(10, np.full(10, 0.1)).tolist()
        yield usage, name, votes, rng.integers(0, 256, (SIDE, SIDE), np.uint8)


def write(root: Path, *, order=("emotion", "pixels", "Usage"), ending="\n", bom=""):
    root.mkdir(parents=True, exist_ok=True)
    pictures, votes = io.StringIO(), io.StringIO()
    left = csv.DictWriter(pictures, order, lineterminator=ending)
    right = csv.writer(votes, lineterminator=ending)
    left.writeheader()
    right.writerow(HEAD)
    for usage, name, counts, pixels in rows():
        left.writerow({"emotion": 0, "pixels": " ".join(map(str, pixels.ravel())), "Usage": usage})
        right.writerow([usage, name, *counts])
    (root / "fer2013.csv").write_text(bom + pictures.getvalue(), newline="")
    (root / "fer2013new.csv").write_text(bom + votes.getvalue(), newline="")
    return root


def write_layout(root: Path):
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
    got = ferplus(write(tmp_path / "csv", **form), split)
    want = ferplus(write_layout(tmp_path / "layout"), split)
    assert got.name == want.name
    assert got.samples == want.samples
    assert len(got) > 0
    assert (load_images(got) == load_images(want)).all()


def test_quoted_pixels(tmp_path):
    want = load_images(ferplus(write(tmp_path), "valid"))
    path = tmp_path / "fer2013.csv"
    lines = [line.split(",") for line in path.read_text().splitlines()]
    path.write_text("\n".join(f'{a},"{b}",{c}' for a, b, c in lines))
    assert (load_images(ferplus(tmp_path, "valid")) == want).all()


def test_rows_without_a_name_are_dropped(tmp_path):
    names = {s.name for split in FOLDERS for s in ferplus(write(tmp_path), split).samples}
    assert names == {f"fer{i:07d}.png" for i in range(9) if i not in (4,)}


def spoil(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("name", "said"), [("fer2013.csv", "found no fer2013.csv"), ("fer2013new.csv", "no FER. split at all")]
)
def test_missing_file(tmp_path, name, said):
    (write(tmp_path) / name).unlink()
    with pytest.raises(DataError, match=said):
        ferplus(tmp_path, "train")


@pytest.mark.parametrize(("name", "column"), [("fer2013.csv", "pixels"), ("fer2013new.csv", "contempt")])
def test_wrong_columns(tmp_path, name, column):
    spoil(write(tmp_path) / name, column, "other")
    with pytest.raises(DataError, match=f"{name}: expected the columns.*got .*other"):
        ferplus(tmp_path, "train")


@pytest.mark.parametrize("name", ["fer2013.csv", "fer2013new.csv"])
def test_one_file_ends_first(tmp_path, name):
    path = write(tmp_path) / name
    path.write_text("\n".join(path.read_text().splitlines()[:-2]))
    with pytest.raises(DataError, match=f"{name} ends first"):
        ferplus(tmp_path, "train")


def test_files_out_of_step(tmp_path):
    spoil(write(tmp_path) / "fer2013new.csv", "PublicTest", "Training")
    with pytest.raises(DataError, match="line 4: expected the usage PublicTest"):
        ferplus(tmp_path, "train")


def test_votes_that_are_no_counts(tmp_path):
    path = write(tmp_path) / "fer2013new.csv"
    spoil(path, "fer0000000.png,", "fer0000000.png,many")
    with pytest.raises(DataError, match="line 2: expected ten vote counts"):
        ferplus(tmp_path, "train")


@pytest.mark.parametrize("spoiled", ["1 2 3", "", "1 2 three", " ".join(["300"] * SIDE * SIDE)])
def test_pixels_of_another_length_or_kind(tmp_path, spoiled):
    path = write(tmp_path) / "fer2013.csv"
    lines = path.read_text().splitlines()
    lines[2] = f"0,{spoiled},Training"
    path.write_text("\n".join(lines))
    corpus = ferplus(tmp_path, "train")
    corpus.read(corpus.samples[0])
    with pytest.raises(DataError, match=r"fer2013\.csv line 3: expected 2304 gray levels"):
        corpus.read(corpus.samples[1])


def test_unknown_split(tmp_path):
    with pytest.raises(ConfigError, match="expected one of train, valid, test, got 'dev'"):
        ferplus(write(tmp_path), "dev")


def test_empty_split_says_so(tmp_path):
    write(tmp_path)
    for name in ("fer2013.csv", "fer2013new.csv"):
        path = tmp_path / name
        path.write_text("\n".join(path.read_text().splitlines()[:2]) + "\n")
    with pytest.raises(DataError, match="expected rows of usage PrivateTest"):
        ferplus(tmp_path, "test")
