"""What goes into a table comes out of it, and the file appears whole or not at all."""

from __future__ import annotations

import csv
import io
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from mien.errors import MissingExtra, OutputError
from mien.labels import EMOTIONS
from mien.results import (
    COLUMNS,
    EVENT_COLUMNS,
    WRITERS,
    event_row,
    failure_row,
    open_writer,
    rows,
    stream_writer,
    write,
)
from mien.results.rows import TYPES
from mien.results.tables import printable, shortest, shortest_text
from mien.types import Face, Frame
from mien.video.events import Event
from written_table import read_back

quick = settings(max_examples=25, deadline=None, derandomize=True, database=None)

seeds = some.integers(0, 2**32 - 1)
singles = some.floats(width=32, allow_nan=False, allow_infinity=False)
formats = some.sampled_from(sorted(WRITERS))
#: File names as Linux has them, any bytes but two: what is no text, and what tables stumble over.
pieces = [
    b"a",
    b"x",
    b"n",
    b"\\",
    b"\xe9",
    b"\xff",
    "é".encode(),
    "\u2028".encode(),
    b",",
    b";",
    b'"',
    b"'",
    b"\n",
    b"\r",
    b"\t",
    b" ",
]
raw_names = some.lists(some.sampled_from(pieces), min_size=1, max_size=8).map(b"".join)
odd_names = raw_names.map(lambda raw: raw.decode(errors="ignore") or "a")
names = odd_names | raw_names.map(os.fsdecode)


# --- text


@quick
@given(singles)
def test_the_shortest_text_is_the_same_float32_again_and_none_is_shorter(value):
    text = shortest_text(value)
    assert np.float32(text) == np.float32(value)
    assert np.float32(shortest(value)) == np.float32(value)
    digits = text.strip("-").replace(".", "").strip("0")
    if len(digits) > 1:  # one digit less is another number
        fewer = np.format_float_scientific(np.float64(text), precision=len(digits) - 2)
        assert np.float32(fewer) != np.float32(value)


@quick
@given(raw_names, raw_names)
def test_names_that_are_no_text_stay_apart_and_can_be_got_back(one, other):
    written = [printable(os.fsdecode(raw)) for raw in (one, other)]
    for raw, text in zip((one, other), written, strict=True):
        text.encode("utf-8")
        if text != os.fsdecode(raw):
            escaped = text.encode("utf-8").decode("latin-1").encode("latin-1")
            assert escaped.decode("unicode_escape", "strict").encode("latin-1") == raw
    if b"\\" not in one + other:
        assert (written[0] == written[1]) == (one == other)


# --- tables


@some.composite
def frames(draw):
    """A photo or a frame with none to three faces, some of them with sets, doubts and smoothing."""
    moving, found = draw(some.booleans()), []
    for i in range(draw(some.integers(0, 3))):
        random = np.random.default_rng(draw(seeds))
        p, smoothed = random.dirichlet(np.full(8, 0.4), 2).astype(np.float32)
        box = tuple(float(np.float32(v)) for v in random.normal(0, 500, 4))
        points = random.normal(0, 500, (5, 2)).astype(np.float32)
        known = draw(some.booleans())
        members = tuple(draw(some.lists(some.sampled_from(EMOTIONS), min_size=1, max_size=3, unique=True)))
        found.append(
            Face(
                box,
                points,
                float(np.float32(random.random())),
                track=i + 1 if moving else None,
                probabilities=p,
                shown=draw(some.none() | some.integers(0, 7)),
                set=members if known else None,
                uncertain=draw(some.booleans()) if known else None,
                smoothed=smoothed if moving else None,
            )
        )
    time = draw(some.floats(0, 1e6)) if moving else None
    return Frame(draw(names), draw(some.integers(0, 2**31 - 1)), time, tuple(found))


def cell(name, value, *, text):
    """A cell that was read back, as what was written; CSV has text alone."""
    if value is None or name in ("source", "emotion", "cut"):
        return value
    if name == "set":
        return tuple(value.split(" ") if text else value)
    if TYPES[name] == "float32":
        return float(np.float32(value))
    return float(value) if name == "time" or not text else type_of(name)(value)


def type_of(name):
    return float if name in ("onset", "apex", "offset", "duration") else int


@quick
@given(some.lists(frames() | names, max_size=5), formats)
def test_every_row_comes_back_to_the_last_bit(content, ending):
    """Frames, and names of inputs that failed."""
    wanted = [row for one in content for row in ([failure_row(one)] if isinstance(one, str) else rows(one))]
    with TemporaryDirectory() as folder:
        path = Path(folder, f"faces{ending}")
        with open_writer(path) as writer:
            for row in wanted:
                writer.write([row])
        got = read_back(path)
    assert len(got) == len(wanted)
    for row, given_row in zip(got, wanted, strict=True):
        assert list(row) == list(COLUMNS)
        for name in COLUMNS:
            value = given_row[name]
            value = printable(value) if name == "source" else value
            if TYPES[name] == "float32" and value is not None:
                value = float(np.float32(value))
            assert cell(name, row[name], text=ending == ".csv") == value, name


@some.composite
def events(draw):
    onset, length = draw(some.floats(0, 1e5)), draw(some.floats(0, 100))
    return Event(
        source=draw(names),
        track=draw(some.integers(1, 2**31 - 1)),
        emotion=draw(some.sampled_from(EMOTIONS)),
        onset=onset,
        apex=onset + length / 2,
        offset=onset + length,
        peak=draw(some.floats(0, 1, width=32)),
        mean=draw(some.floats(0, 1)),
        frames=draw(some.integers(1, 2**31 - 1)),
        cut=draw(some.sampled_from([None, "start", "end", "both"])),
    )


@quick
@given(some.lists(events(), max_size=5), formats)
def test_events_come_back_to_the_nanosecond(content, ending):
    with TemporaryDirectory() as folder:
        path = Path(folder, f"events{ending}")
        with open_writer(path, columns=EVENT_COLUMNS) as writer:
            writer.write([event_row(event) for event in content])
        got = read_back(path)
    assert len(got) == len(content)
    for row, event in zip(got, content, strict=True):
        assert list(row) == list(EVENT_COLUMNS)
        back = {name: cell(name, value, text=ending == ".csv") for name, value in row.items()}
        assert (back["source"], back["track"], back["emotion"], back["frames"], back["cut"]) == (
            printable(event.source), event.track, event.emotion, event.frames, event.cut,
        )  # fmt: skip
        for name in ("onset", "apex", "offset", "duration"):
            assert abs(back[name] - getattr(event, name)) <= 1e-9
        assert (back["peak"], np.float32(back["mean"])) == (event.peak, np.float32(event.mean))


# --- files


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
def test_frames_are_written_by_the_ending_of_the_name(tmp_path, suffix):
    path = tmp_path / f"faces{suffix}"
    write([FRAME, EMPTY], path)
    with open_writer(tmp_path / f"same{suffix}") as writer:
        writer.write(rows(FRAME) + rows(EMPTY))
    assert path.read_bytes() == (tmp_path / f"same{suffix}").read_bytes()
    with pytest.raises(OutputError, match="--overwrite"):
        write(EMPTY, str(path))
    write(EMPTY, str(path), overwrite=True)
    assert [row["source"] for row in read_back(path)] == ["photo.jpg"]


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
