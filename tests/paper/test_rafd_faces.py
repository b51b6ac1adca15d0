"""The paper's corpus as a folder of its file names: both selections, and pictures that are damaged."""

import json
from itertools import product

import numpy as np
import pytest

from makers import drawn_face, scene

pytest.importorskip("torch", reason="the learning half is not installed: pip install 'mien[train]'")

from mien.data.posed import WORDS
from mien.errors import ConfigError, DataError
from mien.image import encode_image
from mien.paper.corpora import load_corpus

DAMAGED = "Rafd045_02_Caucasian_female_angry_frontal.jpg"
FACELESS = "Rafd045_02_Caucasian_female_sad_frontal.jpg"


@pytest.fixture(scope="module")
def rafd_folder(tmp_path_factory):
    """Two models, eight emotions, two cameras; of camera 045 one file is cut short, one shows nobody."""
    folder = tmp_path_factory.mktemp("rafd")
    face, nobody = encode_image(drawn_face(96), ".jpg"), encode_image(scene(size=(96, 96)), ".jpg")
    for camera, model, word in product(("045", "090"), (1, 2), WORDS):
        name = f"Rafd{camera}_{model:02}_Caucasian_female_{word}_frontal.jpg"
        (folder / name).write_bytes({DAMAGED: face[:300], FACELESS: nobody}.get(name, face))
    return folder


def test_frontal_pictures_are_the_default_and_all_cameras_the_choice(rafd_folder, tmp_path):
    frontal = load_corpus("rafd", rafd_folder, tmp_path)
    whole = load_corpus("rafd", rafd_folder, tmp_path, "all")
    assert (frontal.name, whole.name) == ("rafd", "rafd/all")
    assert (len(frontal.images), len(whole.images)) == (16, 30)
    assert np.bincount(whole.labels).tolist() == [4, 4, 4, 3, 3, 4, 4, 4]
    assert set(whole.persons) == {"01", "02"}


def test_a_damaged_picture_costs_one_picture_and_is_named_until_it_is_fetched_again(rafd_folder, tmp_path):
    for _ in range(2):  # from the files, then from the cache
        notes = load_corpus("rafd", rafd_folder, tmp_path, "all").notes
        assert f"1 of 32 pictures cannot be read: {DAMAGED}" in notes
        assert "1 of 32 pictures left out: no face found" in notes
    damaged = (rafd_folder / DAMAGED).read_bytes()
    (rafd_folder / DAMAGED).write_bytes(encode_image(drawn_face(96), ".jpg"))
    try:
        mended = load_corpus("rafd", rafd_folder, tmp_path, "all")
    finally:
        (rafd_folder / DAMAGED).write_bytes(damaged)
    assert len(mended.images) == 31
    assert "cannot be read" not in json.dumps(mended.notes)


def test_a_corpus_of_damaged_pictures_tells_of_the_first(tmp_path):
    for word in WORDS:
        (tmp_path / f"Rafd090_01_Caucasian_female_{word}_frontal.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"found none, 8 cannot be read, the first: .*angry_frontal\.jpg"):
        load_corpus("rafd", tmp_path, tmp_path / "cache")


def test_pictures_of_the_web_have_no_cameras(tmp_path):
    with pytest.raises(ConfigError, match="expected rafd or toy"):
        load_corpus("ferplus", tmp_path, tmp_path, "all")
