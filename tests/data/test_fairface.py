import io
import zipfile

import numpy as np
import pytest

from mien.data import CORPUS_READERS, find_reader
from mien.data.fairface import fairface
from mien.errors import ConfigError, DataError
from mien.image import encode_image

ROWS = "3-9,Male,East Asian", "60-69,Female,Black"


def archive(path, head="image,age,gender,race", folder="images/", rows=ROWS, there=2):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as out:
        out.writestr("f/legend.csv", "\n".join([head, *(f"{i}.png,{row}" for i, row in enumerate(rows))]))
        for i in range(there):
            pixels = np.full((96, 96, 3), 40 * i, np.uint8)
            out.writestr(f"f/{folder}{i}.png", encode_image(pixels, ".png"))
    path.write_bytes(data.getvalue())
    return path


@pytest.mark.parametrize(
    ("head", "folder"), [("image,age,gender,race", "images/"), ("file,age,gender,race", "")]
)
def test_faces_come_with_their_groups_and_without_votes(tmp_path, head, folder):
    corpus = fairface(archive(tmp_path / "f.zip", head, folder))
    assert [dict(s.tags) for s in corpus.samples] == [
        {"age": "3-9", "gender": "Male", "race": "East Asian"},
        {"age": "60-69", "gender": "Female", "race": "Black"},
    ]
    assert all(s.votes == () for s in corpus.samples)
    assert corpus.read(corpus.samples[1]).mean() == 40


def test_pictures_that_the_table_names_and_are_not_there_are_counted(tmp_path):
    with pytest.raises(DataError, match="names 2 pictures, 1 of them are not there"):
        fairface(archive(tmp_path / "f.zip", there=1))


def test_another_corpus_is_no_fairface(tmp_path):
    with pytest.raises(DataError, match="columns file or image, age, gender, race"):
        fairface(archive(tmp_path / "f.zip", head="image,emotion,a,b"))


def test_an_unknown_corpus_lists_the_known():
    with pytest.raises(ConfigError, match=f"expected one of {', '.join(CORPUS_READERS)}, got 'sfew'"):
        find_reader("sfew")
