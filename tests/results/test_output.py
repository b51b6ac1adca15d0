import csv
import io

import numpy as np
import pytest

from mien.errors import MissingExtra, OutputError
from mien.labels import EMOTIONS
from mien.results import COLUMNS, WRITERS, failure_row, open_writer, rows, stream_writer
from mien.results.tables import printable
from mien.types import Face, Frame
from written_table import read_back


def make_face(seed, track=None):
    draw = np.random.default_rng(seed)
    shares = draw.dirichlet(np.ones(8)).astype(np.float32)
    box = tuple(float(np.float32(v)) for v in draw.uniform(0, 500, 4))
    points = draw.uniform(0, 500, (5, 2)).astype(np.float32)
    return Face(box, points, 0.9, track, shares, set=("anger", "fear"), uncertain=bool(seed % 2))


FRAME = Frame("clips/a, b.mp4", 7, 7 * 1001 / 30000, (make_face(1, track=2), make_face(2, track=1)))
EMPTY = Frame("photo.jpg", 0, None, ())


def test_the_columns_are_the_promised_ones():
    assert ", ".join(COLUMNS) == (
        "source, frame, time, face, track, success, x, y, width, height, score, emotion, confidence, "
        "neutral, happiness, surprise, sadness, anger, disgust, fear, contempt, set, uncertain, "
        "smoothed_neutral, smoothed_happiness, smoothed_surprise, smoothed_sadness, smoothed_anger, "
        "smoothed_disgust, smoothed_fear, smoothed_contempt"
    )


def test_one_row_a_face_and_one_for_nobody():
    first, second = rows(FRAME)
    assert (first["face"], first["track"], first["success"], first["frame"]) == (0, 2, 1, 7)
    assert (second["face"], second["track"]) == (1, 1)
    (nobody,) = rows(EMPTY)
    assert {k for k, v in nobody.items() if v is not None} == {"source", "frame", "success"}
    assert nobody["success"] == 0
    assert failure_row("x") == {**nobody, "source": "x"}


@pytest.mark.parametrize("suffix", WRITERS)
def test_what_is_read_back_is_what_was_written_to_the_last_bit(tmp_path, suffix):
    path = tmp_path / f"faces{suffix}"
    with open_writer(path) as writer:
        writer.write(rows(FRAME))
        writer.write(rows(EMPTY))
    got = read_back(path)
    assert [row["source"] for row in got] == [FRAME.source, FRAME.source, "photo.jpg"]
    assert float(got[0]["time"]) == FRAME.time
    for row, face in zip(got, FRAME.faces, strict=False):
        assert [np.float32(row[name]) for name in EMOTIONS] == face.probabilities.tolist()
        assert [np.float32(row[k]) for k in ("x", "y", "width", "height")] == list(face.box)
        assert row["emotion"] == face.emotion
        assert abs(sum(float(row[name]) for name in EMOTIONS) - 1) < 1e-6
    assert [int(row["uncertain"]) for row in got[:2]] == [1, 0]
    assert got[0]["set"] == ("anger fear" if suffix == ".csv" else ["anger", "fear"])
    assert got[2]["set"] is None
    assert got[2]["uncertain"] is None
    assert got[2]["time"] is None
    assert got[2]["emotion"] is None
    assert list(got[0]) == list(COLUMNS)
    assert list(tmp_path.iterdir()) == [path]


def test_the_stream_writer_writes_csv_and_leaves_the_stream_open():
    stream = io.StringIO()
    with stream_writer(stream) as writer:
        writer.write(rows(EMPTY))
    assert stream.getvalue().splitlines()[1].startswith("photo.jpg,0,,,,0,")


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_file_that_exists_is_refused_unless_told(tmp_path, suffix):
    path = tmp_path / f"faces{suffix}"
    path.write_text("mine")
    with pytest.raises(OutputError, match="--overwrite"):
        open_writer(path)
    assert path.read_text() == "mine"
    with open_writer(path, overwrite=True) as writer:
        writer.write(rows(EMPTY))
    assert len(read_back(path)) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("faces.xls", r"ends in \.csv, \.jsonl, \.parquet, got '\.xls'"),
        ("nowhere/faces.csv", "cannot be written"),
        ("file/faces.csv", "cannot be written"),
    ],
)
def test_places_that_cannot_be_written(tmp_path, name, message):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=message):
        open_writer(tmp_path / name)


def test_ctrl_c_keeps_what_was_done_and_whole(tmp_path):
    path = tmp_path / "faces.csv"
    writer = open_writer(path)
    writer.write(rows(FRAME))
    with pytest.raises(KeyboardInterrupt), writer:
        raise KeyboardInterrupt
    assert len(read_back(path)) == 2


def test_a_full_disk_keeps_the_part_and_says_where(tmp_path, monkeypatch):
    path = tmp_path / "faces.csv"
    writer = open_writer(path)
    writer.write(rows(FRAME))

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer._table, "write", full)
    with pytest.raises(OutputError, match=r"No space left.*kept in .*\.part"), writer:
        writer.write(rows(FRAME))
    assert not path.exists()
    assert len(list(tmp_path.glob(".faces.csv.*.part"))) == 1


def test_a_missing_package_is_named_with_its_command(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtra, match=r"pip install 'mien\[data\]'"):
        open_writer(tmp_path / "faces.parquet")
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_no_utf8_are_written_so_that_they_can_be_got_back(tmp_path):
    name = b"caf\xe9 \\ x.jpg".decode("utf-8", "surrogateescape")
    assert printable(name) == "caf\\xe9 \\\\ x.jpg"
    assert printable("café \\ x.jpg") == "café \\ x.jpg"
    for suffix in WRITERS:
        with open_writer(tmp_path / f"faces{suffix}") as writer:
            writer.write([failure_row(name)])
        assert read_back(tmp_path / f"faces{suffix}")[0]["source"] == printable(name)


def test_a_bug_leaves_no_file_that_looks_whole(tmp_path):
    path = tmp_path / "faces.csv"
    writer = open_writer(path)
    writer.write(rows(FRAME))
    with pytest.raises(ZeroDivisionError), writer:
        raise ZeroDivisionError
    assert not path.exists()
    assert len(list(tmp_path.glob(".faces.csv.*.part"))) == 1


@pytest.mark.parametrize("suffix", WRITERS)
def test_numbers_of_numpy_are_written_as_numbers(tmp_path, suffix):
    face = Face(tuple(np.float32([1, 2, 3, 4])), np.zeros((5, 2), np.float32), np.float32(0.9), np.int64(3))
    path = tmp_path / f"faces{suffix}"
    with open_writer(path) as writer:
        writer.write(rows(Frame("a", np.int64(5), np.float64(1.5), (face,))))
    (row,) = read_back(path)
    assert (int(row["frame"]), float(row["time"]), int(row["track"])) == (5, 1.5, 3)


def test_a_name_with_a_carriage_return_stays_one_cell(tmp_path):
    frame = Frame("a\rb.jpg", 0, None, ())
    with open_writer(tmp_path / "a.csv") as out:
        out.write(rows(frame))
        out.write(rows(EMPTY))
    with (tmp_path / "a.csv").open(newline="") as file:
        got = list(csv.DictReader(file))
    assert [row["source"] for row in got] == ["a\rb.jpg", EMPTY.source]
