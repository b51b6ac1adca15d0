"""Corpora whose file names carry the labels, on trees made here; and what a partial download lacks."""

import io
import itertools
import re
import zipfile
from collections import Counter

import pytest
from PIL import Image

from mien.data.ckplus import ckplus
from mien.data.pictures import emotion_of
from mien.data.posed import CAMERAS, GAZES, JAFFE_CODES, WORDS, jaffe, kdef, rafd
from mien.errors import ConfigError, DataError, ImageError
from mien.labels import EMOTIONS


def png(shade=0, side=4):
    data = io.BytesIO()
    Image.new("RGB", (side, side), (shade, 10, 20)).save(data, "PNG")
    return data.getvalue()


PNG = png()


def put(root, names, data=PNG):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def rafd_names(models=range(1, 68), cameras=CAMERAS):
    for model, word, gaze, camera in itertools.product(models, WORDS, GAZES, cameras):
        yield f"Rafd{camera}_{model:02d}_Caucasian_female_{word}_{gaze}.jpg"


def write_zip(path, names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(f"RafDDownload/{name}", PNG)
    return path


@pytest.fixture(scope="module")
def whole_rafd(tmp_path_factory):
    return write_zip(tmp_path_factory.mktemp("rafd") / "rafd.zip", rafd_names())


@pytest.mark.parametrize(("selection", "count"), [("frontal", 1608), ("all", 8040)])
def test_rafd_whole(whole_rafd, selection, count):
    corpus = rafd(str(whole_rafd), selection)
    assert corpus.name == f"rafd/{selection}"
    assert len({s.name for s in corpus.samples}) == len(corpus) == count
    assert set(Counter(map(emotion_of, corpus.samples)).items()) == {(e, count // 8) for e in EMOTIONS}
    assert len({s.person for s in corpus.samples}) == 67
    assert corpus.notes == ()


def test_rafd_reads_every_part_of_a_name(tmp_path):
    put(tmp_path, ["a/b/Rafd135_07_Moroccan_male_contemptuous_left.jpg"], png(200))
    corpus = rafd(tmp_path, "all")
    (sample,) = corpus.samples
    assert (emotion_of(sample), sum(sample.votes), sample.person) == ("contempt", 1, "07")
    assert sample.tags == {"angle": "135", "group": "Moroccan", "gender": "male", "gaze": "left"}
    assert corpus.read(sample).shape == (4, 4, 3)
    assert corpus.read(sample)[0, 0].tolist() == [200, 10, 20]


def test_rafd_says_what_is_missing(tmp_path):
    gone = {"Rafd090_02_Caucasian_female_sad_left.jpg", "Rafd090_02_Caucasian_female_happy_right.jpg"}
    names = [n for n in rafd_names((1, 2), ("090",)) if "contemptuous" not in n and n not in gone]
    notes = rafd(put(tmp_path, names)).notes
    assert notes[0] == "expected 1608 pictures, found 40"
    assert notes[1] == "expected 67 models, found 2"
    assert re.fullmatch(r"emotion: expected neutral, .*; missing contempt", notes[2])
    assert notes[3] == "model 02: missing 2 of 21: happiness right 090, sadness left 090"
    assert len(notes) == 4


def test_rafd_missing_camera_and_many_models(tmp_path):
    names = [n for n in rafd_names(range(1, 15), CAMERAS[1:]) if not n.endswith("fearful_left.jpg")]
    notes = rafd(write_zip(tmp_path / "r.zip", names), "all").notes
    assert any(n.startswith("angle: ") and n.endswith("missing 000") for n in notes)
    assert notes[-1] == "4 more models: missing 16 pictures"


def test_the_frontal_set_is_whole_without_the_other_cameras(tmp_path):
    whole = rafd(write_zip(tmp_path / "r.zip", rafd_names(cameras=("090",))), "all")
    assert (whole.name, len(whole)) == ("rafd/frontal", 1608)
    assert whole.notes == ("the frontal set alone: no picture from another angle",)
    straight = [name for name in kdef_names() if name[-5] == "S"]
    assert kdef(write_zip(tmp_path / "k.zip", straight), "all").notes == whole.notes


def test_passed_over_names_are_told(tmp_path):
    put(tmp_path, [*rafd_names((1,), ("090",)), "thumb.png", "__MACOSX/._x.jpg", "licence.txt"])
    notes = rafd(tmp_path).notes
    assert notes[0].startswith("1 pictures not named like Rafd090_01_")
    assert notes[0].endswith("thumb.png")


def test_absent_or_unreadable_is_an_error(tmp_path):
    with pytest.raises(DataError, match="found nothing"):
        rafd(tmp_path / "none")
    with pytest.raises(DataError, match="no picture at all"):
        jaffe(tmp_path)
    put(tmp_path, ["cat.png", "dog.png"])
    for corpus in (rafd, jaffe, kdef):
        with pytest.raises(DataError, match=r"expected pictures named like .* 2 of other names, .*cat\.png"):
            corpus(tmp_path)
    with pytest.raises(ConfigError, match="frontal, all"):
        rafd(tmp_path, "side")
    with pytest.raises(DataError, match="camera 090, found those of 045"):
        rafd(put(tmp_path / "aslant", rafd_names((1,), ("045",))))
    twice = put(tmp_path / "twice", ["a/KA.AN1.39.tiff", "b/KA.AN1.39.tiff"])
    with pytest.raises(DataError, match=r"each picture once, found a/KA.* and b/KA"):
        jaffe(twice)


def test_damaged_and_vanished_pictures_are_named(tmp_path):
    corpus = jaffe(put(tmp_path, ["KA.AN1.39.tiff"], PNG[:40]))
    with pytest.raises(ImageError, match=r"KA\.AN1\.39\.tiff"):
        corpus.read(corpus.samples[0])
    (tmp_path / "KA.AN1.39.tiff").unlink()
    with pytest.raises(ImageError, match="not there any more"):
        corpus.read(corpus.samples[0])


def test_jaffe(tmp_path):
    names = [f"jaffe/KA.{code}{n}.{n}.tiff" for code in JAFFE_CODES for n in (1, 2)]
    corpus = jaffe(put(tmp_path, [*names, "jaffe/YM.FE3.9.tiff"]))
    assert Counter(map(emotion_of, corpus.samples)) == {**dict.fromkeys(EMOTIONS[:7], 2), "fear": 3}
    assert Counter(s.person for s in corpus.samples) == {"KA": 14, "YM": 1}
    assert corpus.notes == (
        "expected 213 pictures, found 15",
        "expected 10 persons, found 2: KA, YM",
        "person YM: no picture of neutral, happiness, surprise, sadness, anger, disgust",
    )


def kdef_names():
    for session, sex, n in itertools.product("AB", "FM", range(1, 36)):
        for code, angle in itertools.product(
            ("AF", "AN", "DI", "HA", "NE", "SA", "SU"), ["FL", "HL", "S", "HR", "FR"]
        ):
            yield f"{session}{sex}{n:02d}{code}{angle}.JPG"


def test_kdef(tmp_path):
    path = write_zip(tmp_path / "kdef.zip", kdef_names())
    assert (len(kdef(path)), len(kdef(path, "all"))) == (980, 4900)
    corpus = kdef(path, "all")
    assert corpus.notes == ()
    assert len({s.person for s in corpus.samples}) == 70
    sample = next(s for s in corpus.samples if s.name.endswith("BM07AFHR.JPG"))
    assert (emotion_of(sample), sample.person) == ("fear", "M07")
    assert sample.tags == {"session": "B", "gender": "male", "angle": "half right"}


def test_kdef_partial(tmp_path):
    names = [n for n in kdef_names() if n[1:4] != "F02" and n != "AM03SUS.JPG"]
    path = write_zip(tmp_path / "kdef.zip", [*names, "AF31V.JPG"])
    notes = kdef(path).notes
    assert notes[0].endswith("AF31V.JPG")
    assert "expected 70 persons, found 69" in notes
    assert notes[-1] == "person M03: missing 1 of 14: surprise straight A"


def ck_sequence(root, person, sequence, frames, code=None):
    stem = f"{person}/{sequence}/{person}_{sequence}_"
    put(root, [f"cohn-kanade-images/{stem}{i:08d}.png" for i in range(1, frames + 1)])
    if code is not None:
        text = f"   {code:.7e}\n".encode()
        put(root, [f"Emotion/{stem}{frames:08d}_emotion.txt"], text)


def frames_of(corpus, emotion):
    return [int(s.tags["frame"]) for s in corpus.samples if emotion_of(s) == emotion]


@pytest.mark.parametrize(
    ("frames", "happy", "neutral"),
    [(11, [9, 10, 11], [1]), (3, [2, 3], [1]), (1, [1], [])],
)
def test_ck_sequences(tmp_path, frames, happy, neutral):
    ck_sequence(tmp_path, "S005", "001", frames, 5)
    ck_sequence(tmp_path, "S005", "002", 9)  # without a label, as most: left out
    corpus = ckplus(tmp_path)
    assert frames_of(corpus, "happiness") == happy
    assert frames_of(corpus, "neutral") == neutral
    assert {s.person for s in corpus.samples} == {"S005"}
    assert {s.tags["sequence"] for s in corpus.samples} == {"001"}
    assert corpus.notes[0] == "sequences with an emotion: expected 327, found 1"
    assert [note for note in corpus.notes[1:] if "S005/001: a single frame" not in note] == []


def test_ck_codes(tmp_path):
    for code in range(8):
        ck_sequence(tmp_path, f"S{code:03d}", "001", 2, code)
    peaks = [s for s in ckplus(tmp_path).samples if s.tags["phase"] == "peak"]
    want = ["neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise"]
    assert [emotion_of(s) for s in peaks] == want


def test_ck_faults(tmp_path):
    ck_sequence(tmp_path / "no-labels", "S005", "001", 3)
    with pytest.raises(DataError, match="1 sequences without labels"):
        ckplus(tmp_path / "no-labels")
    put(tmp_path / "no-pictures", ["Emotion/S005/001/S005_001_00000011_emotion.txt"], b"3.0")
    with pytest.raises(DataError, match="no picture"):
        ckplus(tmp_path / "no-pictures")
    ck_sequence(tmp_path / "strange", "S005", "001", 3, 9)
    with pytest.raises(DataError, match="0 to 7"):
        ckplus(tmp_path / "strange")
    ck_sequence(tmp_path / "half", "S005", "001", 3, 3)
    put(tmp_path / "half", ["Emotion/S006/002/S006_002_00000009_emotion.txt"], b"3.0")
    assert "1 labels without pictures: S006/002" in ckplus(tmp_path / "half").notes


def test_ck_folders(tmp_path):
    put(tmp_path, ["CK+48/anger/S010_004_00000017.png", "CK+48/contempt/x.png"])
    corpus = ckplus(tmp_path)
    assert [(emotion_of(s), s.person) for s in corpus.samples] == [("anger", "S010"), ("contempt", None)]
    assert corpus.notes[-1].startswith("1 of 2 pictures not named like S005_001")
