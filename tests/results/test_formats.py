"""`mien convert`: what each format can hold comes back, and other programs read what Mien writes."""

import csv
import json
import re
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pandas as pd
import pympi
import pytest
import webvtt
from hypothesis import given
from hypothesis import strategies as some

from mien.errors import ConfigError, DataError, MienError, MissingExtra, OutputError
from mien.evaluate.review import ReviewTable
from mien.labels import EMOTIONS
from mien.results import COLUMNS, open_writer, rows
from mien.results.formats import FORMATS, TABLE_READERS, convert
from mien.results.formats.conversion import FaceRun as Run
from mien.results.formats.conversion import find_runs, join_short_runs, shown_emotion
from mien.results.rows import ALL_COLUMNS, EXTRA_COLUMNS
from mien.results.table_reader import ENDINGS, read_table
from mien.types import POSE, Face, Frame
from mien.units import UNITS
from written_table import faces

DOCS = Path(__file__).parents[2] / "docs" / "analyze.md"
#: Columns that a table has only where they are asked for.
EXTRAS = tuple(name for some_names in EXTRA_COLUMNS.values() for name in some_names)

# --- tables

names = some.text(some.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@some.composite
def clips(draw, name=names):
    """The rows of a clip: up to five frames with up to three faces."""
    source, time = draw(name), 0.0
    found = []
    for index in range(draw(some.integers(1, 5))):
        time += draw(some.floats(0.002, 1000))
        tracks = draw(some.sets(some.integers(1, 9), max_size=3))
        found += rows(Frame(source, index, time, tuple(draw(faces(track)) for track in tracks)))
    return found


@some.composite
def photos(draw):
    found = []
    for source in draw(some.lists(names, min_size=1, max_size=3, unique=True)):
        count = draw(some.integers(0, 2))
        found += rows(Frame(source, 0, None, tuple(draw(faces(None)) for _ in range(count))))
    return found


def write(path, table, columns=COLUMNS, **options):
    with open_writer(path, columns=columns, **options) as writer:
        writer.write(table)
    return path


def read(path):
    return list(read_table(path))


@given(some.data(), some.sampled_from(["openface", "pyfeat", "mien"]), some.sampled_from(ENDINGS))
def test_tables_hold_everything(data, form, ending):
    """The rows come back from Mien's table, the format, and Mien's table once more."""
    table = data.draw(clips() if FORMATS[form].one_clip else clips() | photos())
    with tempfile.TemporaryDirectory() as folder:
        start = write(Path(folder) / f"start{ending}", table)
        middle, end = Path(folder) / "middle.csv", Path(folder) / f"end{ending}"
        convert(start, middle, to=form)
        convert(middle, end, to="mien")
        plain = [row | dict.fromkeys(EXTRAS) for row in table]
        assert read(start) == plain
        assert read(end) == plain


@given(clips() | photos(), some.sampled_from(ENDINGS), some.sampled_from(ENDINGS))
def test_extra_columns_are_kept_from_table_to_table(table, before, after):
    with tempfile.TemporaryDirectory() as folder:
        start, end = Path(folder) / f"start{before}", Path(folder) / f"end{after}"
        write(start, table, ALL_COLUMNS)
        convert(start, end, to="mien")
        assert read(end) == table


@pytest.mark.parametrize("ending", [".csv", ".tsv"])
@pytest.mark.parametrize("name", ["=1+1", "@SUM(A1)", "-2+3", "+a", "\tx", "\rx", "é.jpg", "'a", "a=1"])
def test_excel_runs_no_text_and_it_is_read_back_as_it_was(tmp_path, ending, name):
    table = rows(Frame(name, 0, None, (Face((-5, 1, 2, 3), np.zeros((5, 2), np.float32), 0.5),)))
    path = write(tmp_path / f"a{ending}", table, excel=True)
    assert path.read_bytes().startswith(b"\xef\xbb\xbfsource")
    cell = pd.read_csv(path, sep="\t" if ending == ".tsv" else ",")["source"][0]
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert read(path)[0] == table[0] | dict.fromkeys(EXTRAS)


# --- runs


@some.composite
def runs(draw):
    """Runs of up to three faces that do not overlap; those that touch differ."""
    found = []
    for track in draw(some.sets(some.integers(-1, 3), min_size=1, max_size=3)):
        time, last = 0, None
        for _ in range(draw(some.integers(1, 5))):
            start = time + draw(some.sampled_from([0, 7]))
            word = draw(some.sampled_from([word for word in EMOTIONS if start > time or word != last]))
            time, last = start + draw(some.integers(1, 10**7)), word
            found.append(Run(start, time, track, word))
    return sorted(found, key=lambda run: (run.start, run.track))


def rows_of(runs, source):
    """Rows with a frame wherever a run begins or ends: from these rows `find_runs` gives the same runs."""
    found = []
    for frame, time in enumerate(sorted({edge for run in runs for edge in (run.start, run.end)})):
        row = {**dict.fromkeys(COLUMNS), "source": source, "frame": frame, "time": time / 1000}
        shown = sorted((run.track, run.value) for run in runs if run.start <= time < run.end)
        found += [
            {**row, "success": 1, "face": i, "track": None if track < 0 else track, "emotion": value}
            for i, (track, value) in enumerate(shown)
        ] or [{**row, "success": 0}]
    return found


def found_in(table):
    (found,) = find_runs(table, shown_emotion)
    return found


@given(runs())
def test_the_runs_of_rows_are_found(wanted):
    assert found_in(rows_of(wanted, "a.mp4")) == wanted


def converted(table, form, folder, **options):
    start = write(Path(folder) / "start.parquet", table)
    out = Path(folder) / f"out.{form}"
    convert(start, out, **options)
    return out


def face_name(track):
    return "face" if track < 0 else f"face {track}"


def words(run):
    return f"{face_name(run.track)}: {run.value}"


def stamp(milliseconds):
    hours, rest = divmod(milliseconds, 3_600_000)
    return f"{hours:02d}:{rest // 60_000:02d}:{rest // 1000 % 60:02d}.{rest % 1000:03d}"


@given(runs(), names)
def test_subtitles_hold_the_runs_and_webvtt_the_source(wanted, source):
    texts = []
    for form in ("srt", "vtt"):
        with tempfile.TemporaryDirectory() as folder:
            texts.append(converted(rows_of(wanted, source), form, folder).read_bytes().decode())
    srt, vtt = texts
    cues = [f"{stamp(run.start)} --> {stamp(run.end)}\n{words(run)}\n" for run in wanted]
    head, note, *rest = vtt.split("\n\n", 2)
    assert head == "WEBVTT"
    assert json.loads(note.removeprefix("NOTE source ")) == source
    assert rest == ["\n".join(cues)]
    numbered = [f"{i}\n{cue}\n" for i, cue in enumerate(cues, 1)]
    assert re.sub(r"(:\d\d),(\d)", r"\1.\2", srt) == "".join(numbered)


@given(runs(), names)
def test_elan_holds_the_runs_with_time_slots_in_order(wanted, source):
    doubted, table = wanted[0], rows_of(wanted, source)
    for row in table:
        if row["success"] and row["track"] == (doubted.track if doubted.track >= 0 else None):
            row["uncertain"] = int(doubted.start <= round(1000 * row["time"]) < doubted.end)
    with tempfile.TemporaryDirectory() as folder:
        root = ET.parse(converted(table, "eaf", folder)).getroot()  # noqa: S314 - ours
    slots = {slot.get("TIME_SLOT_ID"): int(slot.get("TIME_VALUE")) for slot in root.iter("TIME_SLOT")}
    assert list(slots.values()) == sorted(slots.values())
    held = {
        tier.get("TIER_ID"): [
            (slots[a.get("TIME_SLOT_REF1")], slots[a.get("TIME_SLOT_REF2")], a[0].text)
            for a in tier.iter("ALIGNABLE_ANNOTATION")
        ]
        for tier in root.iter("TIER")
    }
    for track in {run.track for run in wanted}:
        name = face_name(track)
        mine = [(run.start, run.end, run.value) for run in wanted if run.track == track]
        assert held[f"{name} expression"] == mine
        doubts = [(doubted.start, doubted.end, "uncertain")] if track == doubted.track else None
        assert held.get(f"{name} uncertain") == doubts
    assert {v.text for v in root.iter("CVE_VALUE")} == {*EMOTIONS}
    assert json.loads(root.find("HEADER/PROPERTY[@NAME='mien:source']").text) == source


def clip(*shows, source="a.mp4"):
    """Rows of a clip, a frame each half second: an emotion for each track, None where it is not seen."""
    found = []
    for index, frame in enumerate(shows):
        seen = []
        for track, word in enumerate(frame if isinstance(frame, tuple) else (frame,), 1):
            if word is not None:
                shares = np.full(8, 0.05, np.float32)
                shares[EMOTIONS.index(word)] = 0.65
                seen.append(Face((1, 2, 3, 4), np.zeros((5, 2), np.float32), 0.5, track, shares))
        found += rows(Frame(source, index, index / 2, tuple(seen)))
    return found


@given(runs(), names, some.sampled_from([".tsv", ".csv"]))
def test_boris_gets_a_state_for_each_run(wanted, source, ending):
    with tempfile.TemporaryDirectory() as folder:
        start = write(Path(folder) / "start.parquet", rows_of(wanted, source))
        convert(start, Path(folder) / f"out{ending}", to="boris")
        with (Path(folder) / f"out{ending}").open(newline="") as file:
            table = pd.DataFrame(csv.DictReader(file, delimiter="\t" if ending == ".tsv" else ","))
    columns = [
        "Observation id",
        "Subject",
        "Behavior",
        "Behavior type",
        "Start (s)",
        "Stop (s)",
        "Duration (s)",
    ]
    assert table[columns].to_numpy().tolist() == [
        [
            source,
            face_name(r.track),
            r.value,
            "STATE",
            *(f"{t / 1000:.3f}" for t in (r.start, r.end, r.end - r.start)),
        ]
        for r in wanted
    ]
    for face, lines in table.groupby("Subject"):
        (total,) = set(lines["Observation duration by subject by observation"])
        assert float(total) == pytest.approx(lines["Duration (s)"].astype(float).sum(), abs=1e-6), face


@given(runs(), some.sampled_from(["a.mp4", "clips/é.mov"]))
def test_imotions_gets_an_annotation_for_each_run(wanted, source):
    with tempfile.TemporaryDirectory() as folder:
        start = write(Path(folder) / "start.parquet", rows_of(wanted, source))
        convert(start, Path(folder) / "out.csv", to="imotions")
        table = pd.read_csv(Path(folder) / "out.csv")
    columns = ["Respondent Name", "Stimulus Name", "Marker Name", "Start Time (ms)", "End Time (ms)"]
    assert table[columns].to_numpy().tolist() == [
        [face_name(r.track), Path(source).stem, r.value, r.start, r.end] for r in wanted
    ]


def test_a_frame_lasts_until_the_next_and_the_last_as_long_as_the_one_before():
    assert found_in(clip("fear", "fear", "anger")) == [Run(0, 1000, 1, "fear"), Run(1000, 1500, 1, "anger")]
    assert found_in(clip("fear", None, "fear")) == [Run(0, 500, 1, "fear"), Run(1000, 1500, 1, "fear")]
    assert found_in(clip("fear")) == [Run(0, 1, 1, "fear")]
    assert found_in(clip(None, None)) == []
    assert found_in(clip(("fear", None), ("fear", "anger"))) == [
        Run(0, 1000, 1, "fear"), Run(500, 1000, 2, "anger"),
    ]  # fmt: skip


def test_short_flickers_are_joined_to_what_they_interrupt():
    def joined(*lengths_and_words):
        chain, time = [], 0
        for length, word in lengths_and_words:
            chain.append(Run(time, time + length, 1, word))
            time += length
        return [(run.end - run.start, run.value) for run in join_short_runs(chain, 0.3)]

    assert joined((900, "fear"), (100, "anger"), (900, "fear")) == [(1900, "fear")]
    assert joined((900, "fear"), (100, "anger"), (900, "sadness")) == [(1000, "fear"), (900, "sadness")]
    assert joined((100, "anger"), (900, "fear")) == [(1000, "fear")]
    assert joined((200, "anger"), (200, "fear")) == [(400, "anger")]
    assert joined((299, "anger")) == [(299, "anger")]
    assert joined((300, "anger"), (300, "fear")) == [(300, "anger"), (300, "fear")]
    apart = [Run(0, 900, 1, "fear"), Run(1000, 1100, 1, "anger"), Run(900, 1000, 2, "fear")]
    assert set(join_short_runs(apart, 0.3)) == set(apart)


# --- what others wrote


def test_what_openface_wrote_is_read(tmp_path):
    (tmp_path / "clip.csv").write_text(
        "frame, face_id, timestamp, confidence, success, gaze_0_x, AU01_r\n"
        "1, 0, 0.000, 0.98, 1, 0.1, 0.3\n1, 1, 0.000, 0.88, 1, 0.1, 0.3\n2, 0, 0.033, 0.02, 0, 0, 0\n"
    )
    notes = convert(tmp_path / "clip.csv", tmp_path / "out.jsonl", source="clip.mp4").notes
    got = read(tmp_path / "out.jsonl")
    assert [(r["source"], r["frame"], r["time"], r["face"], r["track"], r["success"]) for r in got] == [
        ("clip.mp4", 0, 0.0, 0, 0, 1), ("clip.mp4", 0, 0.0, 1, 1, 1), ("clip.mp4", 1, 0.033, None, None, 0),
    ]  # fmt: skip
    assert got[0]["score"] == np.float32(0.98)
    assert got[2]["score"] is None
    assert {row["emotion"] for row in got} == {None}
    assert "reads no emotions" in notes[0]


def test_what_pyfeat_wrote_is_read(tmp_path):
    head = "FaceRectX,FaceRectY,FaceRectWidth,FaceRectHeight,FaceScore,AU01"
    (tmp_path / "v1.csv").write_text(
        f"{head},anger,disgust,fear,happiness,sadness,surprise,neutral,input,frame,approx_time,Identity\n"
        "1.5,2,30,40,0.99,0.1,0.1,0,0,0.7,0.1,0.05,0.05,a.mp4,24,00:01,Person_0\n"
        "NaN,,,,0.0,,,,,,,,,a.mp4,48,00:02,\n"
    )
    notes = convert(tmp_path / "v1.csv", tmp_path / "out.csv").notes
    first, second = read(tmp_path / "out.csv")
    assert (first["x"], first["height"], first["score"]) == (1.5, 40.0, np.float32(0.99))
    assert (first["emotion"], first["confidence"], first["contempt"]) == ("happiness", np.float32(0.7), None)
    assert (first["frame"], first["time"], first["track"], first["face"]) == (24, None, 0, 0)
    assert [name for name, value in second.items() if value is not None] == ["source", "frame", "success"]
    assert len(notes) == 3
    assert "no column for contempt" in notes[0]
    assert "whole seconds" in notes[1]
    assert "not carried over" in notes[2]
    (tmp_path / "v2.csv").write_text(
        f"{head},Neutral,Happy,Sad,Surprise,Fear,Disgust,Anger,valence,input,frame\n"
        "1,2,3,4,0.9,0,0.1,0.1,0.2,0,0,0.6,0,-0.3,b.jpg,0\n"
    )
    convert(tmp_path / "v2.csv", tmp_path / "v2.jsonl")
    assert read(tmp_path / "v2.jsonl")[0]["emotion"] == "disgust"


# --- events


def write_events(path, *events):
    columns = ("source", "track", "emotion", "onset", "offset", "frames")
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *((*event, 3) for event in events)])
    return path


def test_events_get_tiers_of_their_own(tmp_path):
    events = write_events(
        tmp_path / "events.csv",
        ("a.mp4", 1, "fear", 0.1, 0.9), ("a.mp4", 1, "anger", 0.5, 1.2), ("a.mp4", 1, "fear", 0.8, 1.0),
        ("b.mp4", 1, "fear", 0, 1), ("a.mp4", 1, "AU45", 1.3, 1.45),
    )  # fmt: skip
    out = converted(clip("fear", "fear", "anger"), "eaf", tmp_path, events=events)
    eaf = pympi.Eaf(str(out))
    assert list(eaf.get_tier_names()) == [
        "face 1 expression", "face 1 event anger", "face 1 event fear", "face 1 event fear 2",
        "face 1 event AU45",
    ]  # fmt: skip
    assert eaf.get_annotation_data_for_tier("face 1 event fear") == [(100, 900, "fear")]
    assert eaf.get_annotation_data_for_tier("face 1 event fear 2") == [(800, 1000, "fear")]
    assert eaf.get_annotation_data_for_tier("face 1 expression") == [(0, 1000, "fear"), (1000, 1500, "anger")]
    convert(tmp_path / "start.parquet", tmp_path / "out.tsv", to="boris", events=events)
    boris = pd.read_csv(tmp_path / "out.tsv", sep="\t")
    assert boris[["Behavior", "Start (s)", "Stop (s)"]].to_numpy().tolist() == [
        ["fear", 0.1, 0.9], ["anger", 0.5, 1.2], ["fear", 0.8, 1.0],
        ["AU45", 1.3, 1.45],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (("b.mp4", 1, "fear", 0, 1), r"events of 'a\.mp4', got those of b\.mp4"),
        (("a.mp4", 1, "fear", 1, 1), "line 2: expected .* the offset after the onset"),
        (("a.mp4", 1, "glee", 0, 1), "line 2: expected one of neutral"),
        (("a.mp4", "x", "fear", 0, 1), "line 2: expected a number, got 'x'"),
        (("a.mp4", 1, "fear", -1, 1), "line 2: expected seconds from 0"),
    ],
)
def test_events_that_do_not_fit(tmp_path, event, message):
    with pytest.raises(DataError, match=message):
        converted(clip("fear"), "eaf", tmp_path, events=write_events(tmp_path / "events.csv", event))


# --- what cannot be held

PHOTO = rows(Frame("photo.jpg", 0, None, ()))


@pytest.mark.parametrize("form", ["openface", "eaf", "vtt", "srt", "boris", "imotions"])
def test_formats_of_one_clip_refuse_photos_and_several_sources(tmp_path, form):
    out = tmp_path / f"out{FORMATS[form].endings[0]}"
    photo = write(tmp_path / "photo.csv", PHOTO)
    with pytest.raises(OutputError, match=rf"a clip with times for {form}, got 'photo\.jpg', which has none"):
        convert(photo, out, to=form)
    several = write(tmp_path / "several.csv", PHOTO + clip("fear") + clip("fear", source="b.mp4"))
    with pytest.raises(
        OutputError, match=r"got 3 sources.* --source: it has 'photo\.jpg', 'a\.mp4', 'b\.mp4'"
    ):
        convert(several, out, to=form)
    with pytest.raises(DataError, match=r"with --source, got 'c\.mp4'; it has 'photo\.jpg'"):
        convert(several, out, to=form, source="c.mp4")
    assert not out.exists()
    convert(several, out, to=form, source="b.mp4")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["photo.csv", "several.csv", out.name])


def test_a_table_that_was_sorted_otherwise_or_holds_a_clip_twice_is_refused(tmp_path):
    """How long a frame lasts, the next one tells; and what stands there twice counts twice."""
    table, other = clip("fear", "anger", "fear"), clip("fear", "fear", source="b.mp4")
    two = clip(("fear", "anger"), ("fear", "anger"))
    faces = (Face((1, 2, 3, 4), np.zeros((5, 2), np.float32), 0.5),) * 2
    one, more = (rows(Frame(name, 0, None, faces)) for name in ("a.jpg", "b.jpg"))
    for number, wrong in enumerate([
        table[::-1], [table[0], other[0], table[1], other[1]], two[::2] + two[1::2], [*table, *other, *table],
        [row for row in table for _ in range(2)], [one[1], more[0], one[0], more[1]],
    ]):  # fmt: skip
        path = write(tmp_path / f"{number}.csv", wrong)
        with pytest.raises(DataError, match=r"one after the other, .* out of order or there twice; sort"):
            read(path)
        with pytest.raises(DataError, match="out of order or there twice"):
            ReviewTable(path)
    fine = [*table, *rows(Frame("a.mp4", 0, None, ())), *other, *one, *more, *one]
    assert len(read(write(tmp_path / "fine.csv", fine))) == 12


def test_a_clip_that_broke_off_is_converted_as_far_as_it_was_read(tmp_path):
    start = write(tmp_path / "a.csv", clip("fear", "fear") + rows(Frame("a.mp4", 0, None, ())))
    notes = convert(start, tmp_path / "a.vtt").notes
    assert [(cue.start, cue.end) for cue in webvtt.read(tmp_path / "a.vtt")] == [
        ("00:00:00.000", "00:00:01.000")
    ]
    assert "broke off" in notes[0]


def test_a_clip_without_a_face_has_no_cue_and_that_is_said(tmp_path):
    for form in ("vtt", "srt", "eaf"):
        notes = convert(write(tmp_path / f"{form}.csv", clip(None, None)), tmp_path / f"a.{form}").notes
        assert "no expression was read" in notes[0]
    assert list(webvtt.read(tmp_path / "a.vtt")) == []
    assert list(pympi.Eaf(str(tmp_path / "a.eaf")).get_tier_names()) == []


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([{**row, "time": 5 - row["frame"]} for row in clip("fear", "fear")], "run forwards from 0, got 4"),
        ([{**row, "track": None} for row in clip(("fear", "fear"))], "two on track None in frame 0"),
    ],
)
def test_times_that_run_backwards_and_faces_without_tracks_are_refused(tmp_path, table, message):
    with pytest.raises(OutputError, match=message):
        converted(table, "vtt", tmp_path)


@pytest.mark.parametrize("option", [{"min_seconds": 1.0}, {"events": Path("e.csv")}])
def test_options_without_a_place_in_the_format_are_refused(tmp_path, option):
    start = write(tmp_path / "a.csv", clip("fear"))
    with pytest.raises(ConfigError, match=r"expected one of eaf.* boris, imotions, got openface"):
        convert(start, tmp_path / "b.csv", to="openface", **option)


# --- bad input


def test_semicolons_of_a_spreadsheet_are_told(tmp_path):
    (tmp_path / "a.csv").write_text("source;frame;time\na.mp4;0;0,04\n")
    with pytest.raises(DataError, match="separated by semicolons: save it with commas"):
        read(tmp_path / "a.csv")


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    "held", [b"", b"\x89PNG\r\n\x1a\n\x00\x00\xff\xfe", b"\x00" * 300, b"hello\n\nworld\n"]
)
def test_files_that_are_something_else(tmp_path, ending, held):
    bad = tmp_path / f"bad{ending}"
    bad.write_bytes(held)
    with pytest.raises(MienError, match=r"bad.*expected|expected a table with rows"):
        convert(bad, tmp_path / "out.jsonl")
    assert list(tmp_path.iterdir()) == [bad]


@pytest.mark.parametrize("ending", ENDINGS)
def test_tables_that_were_cut_off(tmp_path, ending):
    bad = write(tmp_path / f"bad{ending}", clip("fear", "anger", "fear"))
    bad.write_bytes(bad.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"bad.*line \d+: expected .* cut off or damaged: make it again"):
        convert(bad, tmp_path / "out.vtt")
    assert not (tmp_path / "out.vtt").exists()


@pytest.mark.parametrize("form", TABLE_READERS)
def test_a_file_cut_anywhere_is_read_or_refused_and_never_a_bug(tmp_path, form):
    start = write(tmp_path / "start.csv", clip("fear", "anger"))
    whole = tmp_path / f"whole{FORMATS[form].endings[0]}"
    convert(start, whole, to=form)
    held = whole.read_bytes()
    for length in range(0, len(held), 7):
        whole.write_bytes(held[:length])
        try:
            convert(whole, tmp_path / "out.jsonl", overwrite=True)
        except MienError:
            continue


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_table_without_rows(tmp_path, ending):
    empty = write(tmp_path / f"empty{ending}", [])
    with pytest.raises(DataError, match=r"with rows, got one without|got an empty file"):
        convert(empty, tmp_path / "out.vtt")


def test_a_table_with_other_columns(tmp_path):
    other = tmp_path / "other.csv"
    other.write_text("time,mood\n1,good\n")
    with pytest.raises(DataError, match=r"columns source, frame.*missing, got 'time, mood'; give another"):
        convert(other, tmp_path / "out.vtt")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("time", "soon", "expected a number, got 'soon'"),
        ("time", "nan", "expected a number"),
        ("frame", "1.5", "expected a whole number from 0"),
        ("frame", "", "expected a value of frame, got none"),
        ("success", "2", "from 0 to 1, got '2'"),
        ("emotion", "glee", "expected one of neutral, happiness"),
        ("x", "1e60", "expected a number"),
        ("set", "fear glee", "expected one of neutral"),
    ],
)
def test_cells_that_are_wrong_are_named_by_their_line(tmp_path, name, value, message):
    row = {**dict.fromkeys(COLUMNS, ""), "source": "a.mp4", "frame": "0", "time": "0", "success": "0"}
    bad = tmp_path / "bad.csv"
    with bad.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows([row, {**row, name: value}])
    with pytest.raises(DataError, match=rf"bad\.csv, line 3: .*{message}"):
        convert(bad, tmp_path / "out.vtt")


# --- the file and the command


def test_what_is_there_stays_unless_all_went_well(tmp_path, monkeypatch):
    start, out = write(tmp_path / "a.csv", clip("fear")), tmp_path / "out.vtt"
    out.write_text("mine")
    with pytest.raises(OutputError, match="--overwrite"):
        convert(start, out)
    with pytest.raises(OutputError, match="another file than the one that is read"):
        convert(start, start, to="openface", overwrite=True)

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(webvtt.WebVTT, "content", property(full))
        with pytest.raises(OutputError, match=r"No space left.*nothing was kept"):
            convert(start, out, overwrite=True)
    assert out.read_text() == "mine"
    convert(start, out, overwrite=True)
    assert out.read_text().startswith("WEBVTT")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv", "out.vtt"]


def test_the_ending_tells_the_format_or_the_error_lists_them(tmp_path):
    start = write(tmp_path / "a.csv", clip("fear"))
    for out, to, message in (
        ("b.csv", None, "choose with --to: mien, openface, pyfeat"),
        ("b.xyz", None, "choose with --to: mien, openface, pyfeat, eaf, vtt, srt, boris, imotions"),
        ("b.vtt", "ass", "expected one of mien, openface, pyfeat, eaf, vtt, srt, boris, imotions, got 'ass'"),
        ("b.txt", "srt", r"ends in \.srt for srt, got '\.txt'"),
    ):
        with pytest.raises(ConfigError, match=message):
            convert(start, tmp_path / out, to=to)
    with pytest.raises(DataError, match=r"ends in \.csv, .*\.parquet, got '\.xyz'"):
        convert(tmp_path / "a.xyz", tmp_path / "b.vtt")
    with pytest.raises(DataError, match="check the name"):
        convert(tmp_path / "no.csv", tmp_path / "b.jsonl")


@pytest.mark.parametrize(("form", "module"), [("eaf", "pympi.Elan"), ("vtt", "webvtt"), ("srt", "srt")])
def test_a_missing_package_is_named_with_its_command(tmp_path, monkeypatch, form, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=r"pip install 'mien\[formats\]'"):
        converted(clip("fear"), form, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["start.parquet"]


def test_rows_are_taken_one_by_one(tmp_path):
    path = tmp_path / "long.jsonl"
    write(path, clip("fear"))
    path.write_bytes(path.read_bytes() + b"not a row\n")
    stream = read_table(path)
    assert next(stream)["emotion"] == "fear"
    with pytest.raises(DataError, match="line 2"):
        next(stream)


def test_the_command_says_what_was_lost(tmp_path, mien):
    start = write(tmp_path / "a.csv", clip("fear", "anger", "fear"))
    ran = mien("convert", start, "-o", tmp_path / "a.vtt", "--min-seconds", "0.6")
    assert (ran.code, ran.out, ran.err) == (0, b"", f"{tmp_path / 'a.vtt'}: written as vtt\n")
    assert (tmp_path / "a.vtt").read_text() == (
        'WEBVTT\n\nNOTE source "a.mp4"\n\n00:00:00.000 --> 00:00:01.500\nface 1: fear\n'
    )
    ran = mien("convert", start, "-o", tmp_path / "b.csv", "--to", "openface")
    assert "gaze and action unit columns are absent" in ran.err
    assert mien("convert", tmp_path / "a.vtt", "-o", tmp_path / "b.jsonl").code == 1
    assert mien("convert", start, "-o", tmp_path / "c.vtt", "--min-seconds", "-1").code == 2


def test_the_columns_are_those_of_the_docs(tmp_path):
    docs = DOCS.read_text()
    start = write(tmp_path / "a.csv", clip("fear"))
    for form in ("openface", "pyfeat"):
        convert(start, tmp_path / f"{form}.csv", to=form)
        header = (tmp_path / f"{form}.csv").read_text().splitlines()[0]
        assert header.split(",mien_")[0].replace(",", ", ") in docs


def moving_face(table, path):
    """A table with all columns whose faces have a pose and movements."""
    turned = np.array([20, -10, 30], np.float32)
    moved = np.linspace(0, 1, len(UNITS), dtype=np.float32)
    face = Face((1, 2, 3, 4), np.zeros((5, 2), np.float32), 0.5, 1, pose=turned, movements=moved)
    return face, write(path / table, rows(Frame("a.mp4", 0, 0.0, (face,))), ALL_COLUMNS)


def test_openface_has_the_same_turn_of_the_head_in_its_own_angles(tmp_path):
    from scipy.spatial.transform import Rotation

    face, table = moving_face("a.csv", tmp_path)
    convert(table, tmp_path / "b.csv", to="openface")
    row = pd.read_csv(tmp_path / "b.csv").iloc[0]
    x, y, z = (row[f"pose_R{axis}"] for axis in "xyz")
    theirs = Rotation.from_euler("XYZ", [x, y, z]).as_matrix()
    ours = Rotation.from_euler("YXZ", face.pose, degrees=True).as_matrix()
    assert theirs == pytest.approx(ours, abs=1e-6)
    assert row["AU12_r"] == pytest.approx(5 * face.action_units["AU12"])
    assert row["gaze_angle_x"] == pytest.approx(-np.radians(face.yaw + face.gaze[0]))
    assert "AU06_r" not in row
    lines = (tmp_path / "b.csv").read_text().splitlines()
    kept = [i for i, name in enumerate(lines[0].split(",")) if not name.startswith("mien_")]
    own = "\n".join(",".join(line.split(",")[i] for i in kept) for line in lines)
    (tmp_path / "c.csv").write_text(own + "\n")
    convert(tmp_path / "c.csv", tmp_path / "d.csv", to="mien")
    (back,) = read(tmp_path / "d.csv")
    assert [back[name] for name in POSE] == pytest.approx(face.pose.tolist(), abs=1e-4)


def test_pyfeat_has_pose_and_action_units_of_its_names(tmp_path):
    face, table = moving_face("a.csv", tmp_path)
    convert(table, tmp_path / "b.csv", to="pyfeat")
    row = pd.read_csv(tmp_path / "b.csv").iloc[0]
    assert [row["Yaw"], row["Pitch"], row["Roll"]] == pytest.approx(face.pose.tolist())
    assert row["AU43"] == pytest.approx(face.action_units["AU45"])
    assert "AU45" not in row


def test_json_lines_of_other_programs_may_write_whole_numbers_as_floats(tmp_path):
    (row,) = clip("fear")
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({**row, "frame": 3.0, "track": 2.0}) + "\n")
    assert (read(path)[0]["frame"], read(path)[0]["track"]) == (3, 2)
