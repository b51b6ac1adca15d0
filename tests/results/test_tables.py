"""What goes into a table comes out of it, and the file appears whole or not at all."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import openpyxl
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as some
from openpyxl.utils.escape import unescape

from mien.errors import ConfigError, DataError, MissingExtra, OutputError
from mien.labels import EMOTIONS
from mien.results import (
    COLUMNS,
    EVENT_COLUMNS,
    WRITERS,
    event_row,
    failure_row,
    open_writer,
    rows,
    stdout_writer,
    write,
)
from mien.results.rows import ALL_COLUMNS, TYPES
from mien.results.tables import printable, shortest, shortest_text
from mien.types import Face, Frame
from mien.video.events import Event
from written_table import faces, read_back, singles

#: File names as Linux has them, any bytes but two: what is no text, and what tables stumble over.
pieces = ["é".encode(), "\u2028".encode(), *(bytes([code]) for code in b"axn\\\xe9\xff,;\"'\n\r\t ")]
raw_names = some.lists(some.sampled_from(pieces), min_size=1, max_size=8).map(b"".join)
names = raw_names.map(lambda raw: raw.decode(errors="ignore") or "a") | raw_names.map(os.fsdecode)
formats = some.sampled_from(sorted(WRITERS))


# --- text


@given(singles)
def test_the_shortest_text_is_the_same_float32_again_and_none_is_shorter(value):
    text = shortest_text(value)
    assert np.float32(text) == np.float32(value)
    assert np.float32(shortest(value)) == np.float32(value)
    digits = text.strip("-").replace(".", "").strip("0")
    if len(digits) > 1:  # one digit less is another number
        fewer = np.format_float_scientific(np.float64(text), precision=len(digits) - 2)
        assert np.float32(fewer) != np.float32(value)


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


# --- rows


def round_trip(table, ending, columns=COLUMNS):
    """The rows as they come back from a table of that ending, each cell as it was before."""
    with TemporaryDirectory() as folder:
        path = Path(folder, f"table{ending}")
        with open_writer(path, columns=columns) as writer:
            for row in table:
                writer.write([row])
        got = read_back(path)
    assert all(list(row) == list(columns) for row in got)
    return [{name: cell(name, value) for name, value in row.items()} for row in got]


def cell(name, value):
    """A cell that was read back, as what was written; CSV has text alone, .xlsx no lists."""
    if value is None or TYPES[name] == "string":
        return value
    if name == "set":
        return tuple(value.split(" ") if isinstance(value, str) else value)
    return {"float32": np.float32, "float64": float, "int32": int}[TYPES[name]](value)


def expected(row, ending, columns=COLUMNS):
    """A row as it comes back: float32 to the last bit; Excel's float64 have 16 digits."""
    row = {name: row[name] for name in columns} | {"source": printable(row["source"])}
    if ending == ".xlsx":
        row = {
            n: float(f"{v:.16g}") if TYPES[n] == "float64" and v is not None else v for n, v in row.items()
        }
    return {n: np.float32(v) if v is not None and TYPES[n] == "float32" else v for n, v in row.items()}


@some.composite
def frames(draw):
    """A photo, or a frame of a clip, with up to three faces."""
    time = draw(some.none() | some.floats(0, 1e6))
    tracks = [None if time is None else i + 1 for i in range(draw(some.integers(0, 3)))]
    index = draw(some.integers(0, 2**31 - 1))
    return rows(Frame(draw(names), index, time, tuple(draw(faces(track)) for track in tracks)))


@given(
    some.lists(frames() | names.map(lambda name: [failure_row(name)]), max_size=5),
    formats,
    some.sampled_from([COLUMNS, ALL_COLUMNS]),
)
def test_every_row_comes_back_to_the_last_bit(content, ending, columns):
    table = [row for some_rows in content for row in some_rows]
    assert round_trip(table, ending, columns) == [expected(row, ending, columns) for row in table]


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


@given(some.lists(events(), max_size=5), formats)
def test_events_come_back_to_the_nanosecond(content, ending):
    got = round_trip([event_row(event) for event in content], ending, EVENT_COLUMNS)
    for row, event in zip(got, content, strict=True):
        wanted = {name: getattr(event, name) for name in EVENT_COLUMNS}
        wanted = expected(wanted, ending, EVENT_COLUMNS)
        seconds = ("onset", "apex", "offset", "duration")
        assert all(abs(row.pop(name) - wanted.pop(name)) <= 1e-9 for name in seconds)
        assert row == wanted


def test_the_columns_are_the_promised_ones():
    assert ", ".join(COLUMNS) == (
        "source, frame, time, face, track, success, x, y, width, height, score, yaw, pitch, roll, "
        "quality, emotion, confidence, neutral, happiness, surprise, sadness, anger, disgust, fear, "
        "contempt, set, uncertain, smoothed_neutral, smoothed_happiness, smoothed_surprise, "
        "smoothed_sadness, smoothed_anger, smoothed_disgust, smoothed_fear, smoothed_contempt"
    )


def make_face(track):
    return Face((1, 2, 3, 4), np.zeros((5, 2), np.float32), 0.9, track, np.full(8, 0.125, np.float32))


FRAME = Frame("clips/a, b.mp4", 7, 7 * 1001 / 30000, (make_face(2), make_face(1)))
EMPTY = Frame("photo.jpg", 0, None, ())


def test_there_is_one_row_per_face_and_one_for_nobody():
    assert [(row["face"], row["track"], row["success"], row["frame"]) for row in rows(FRAME)] == [
        (0, 2, 1, 7), (1, 1, 1, 7),
    ]  # fmt: skip
    (nobody,) = rows(EMPTY)
    assert {k: v for k, v in nobody.items() if v is not None} == {
        "source": "photo.jpg", "frame": 0, "success": 0,
    }  # fmt: skip
    assert failure_row("x") == {**nobody, "source": "x"}


@pytest.mark.parametrize("suffix", WRITERS)
def test_numbers_of_numpy_are_written_as_numbers(tmp_path, suffix):
    face = Face(tuple(np.float32([1, 2, 3, 4])), np.zeros((5, 2), np.float32), np.float32(0.9), np.int64(3))
    write(Frame("a", np.int64(5), np.float64(1.5), (face,)), tmp_path / f"faces{suffix}")
    (row,) = read_back(tmp_path / f"faces{suffix}")
    assert (int(row["frame"]), float(row["time"]), int(row["track"])) == (5, 1.5, 3)


# --- files


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


@pytest.mark.parametrize("name", ["=1+1", "http://a.b/c.jpg", "12", "a\x01b"])
def test_a_workbook_has_numbers_as_numbers_and_text_as_text(tmp_path, name):
    write(Frame(name, 3, 0.25, (make_face(1),)), tmp_path / "a.xlsx")
    row = next(openpyxl.load_workbook(tmp_path / "a.xlsx").active.iter_rows(min_row=2))
    assert [(cell.value, cell.data_type, cell.hyperlink) for cell in row[1:4]] == [
        (3, "n", None), (0.25, "n", None), (0, "n", None),
    ]  # fmt: skip
    assert (unescape(row[0].value), row[0].hyperlink) == (name, None)
    assert row[0].data_type in {"s", "inlineStr"}


def test_a_full_sheet_is_followed_by_another(tmp_path, monkeypatch):
    monkeypatch.setattr("mien.results.tables.SHEET_ROWS", 3)
    write([EMPTY] * 5, tmp_path / "a.xlsx")
    sheets = openpyxl.load_workbook(tmp_path / "a.xlsx").worksheets
    assert [sheet.max_row for sheet in sheets] == [3, 3, 2]
    assert {sheet["A1"].value for sheet in sheets} == {"source"}


def test_excel_wants_text(tmp_path):
    with pytest.raises(OutputError, match=r"\.csv or \.tsv with excel, got \.jsonl; leave it out"):
        write(EMPTY, tmp_path / "a.jsonl", excel=True)


def test_json_is_one_array(tmp_path):
    write([EMPTY, FRAME], tmp_path / "a.json")
    assert list(pd.read_json(tmp_path / "a.json")["frame"]) == [0, 7, 7]


def test_standard_output_gets_csv_and_stays_open(capsys):
    with stdout_writer() as writer:
        writer.write(rows(EMPTY))
    assert not sys.stdout.closed
    assert capsys.readouterr().out.splitlines()[1].startswith("photo.jpg,0,,,,0,")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("faces.xls", r"ends in \.csv, .*\.xlsx, \.parquet, got '\.xls'"),
        ("nowhere/faces.csv", "cannot be written"),
        ("file/faces.csv", "cannot be written"),
    ],
)
def test_places_that_cannot_be_written(tmp_path, name, message):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError if "written" in message else ConfigError, match=message):
        open_writer(tmp_path / name)


@pytest.mark.parametrize(
    ("error", "whole"), [(KeyboardInterrupt, True), (DataError, True), (ZeroDivisionError, False)]
)
def test_rows_are_kept_whatever_ends_it_and_a_bug_leaves_no_file_that_looks_whole(tmp_path, error, whole):
    path = tmp_path / "faces.csv"
    writer = open_writer(path)
    writer.write(rows(FRAME))
    with pytest.raises(error), writer:
        raise error("stop")
    assert path.exists() == whole
    (kept,) = tmp_path.iterdir()
    assert len(kept.read_text().splitlines()) == 3
    assert whole or (kept.name.startswith(".faces.csv.") and kept.suffix == ".part")


def test_a_full_disk_keeps_the_part_and_says_where(tmp_path, monkeypatch):
    path = tmp_path / "faces.csv"
    writer = open_writer(path)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer._table, "write", full)
    with pytest.raises(OutputError, match=r"No space left.*kept in .*\.part"), writer:
        writer.write(rows(FRAME))
    assert not path.exists()
    assert len(list(tmp_path.glob(".faces.csv.*.part"))) == 1


@pytest.mark.parametrize(
    ("package", "extra", "ending"), [("pyarrow.parquet", "data", "parquet"), ("xlsxwriter", "excel", "xlsx")]
)
def test_a_missing_package_is_named_with_its_command(tmp_path, monkeypatch, package, extra, ending):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"pip install 'mien\[{extra}\]'"):
        open_writer(tmp_path / f"faces.{ending}")
    assert list(tmp_path.iterdir()) == []
