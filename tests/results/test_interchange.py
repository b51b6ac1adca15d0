"""`mien convert`: what each format can hold comes back, and other programs read what Mien writes."""

import csv
import json
import re
import tempfile
from datetime import timedelta
from pathlib import Path

import numpy as np
import pympi
import pytest
import srt
import typer
import webvtt
from hypothesis import given, settings
from hypothesis import strategies as some
from typer.testing import CliRunner

from mien.cli.convert import convert
from mien.errors import ConfigError, DataError, MienError, OutputError
from mien.labels import EMOTIONS
from mien.results import COLUMNS, open_writer, rows
from mien.results.formats import FORMATS, Wish, convert_file
from mien.results.formats.clip import moments
from mien.results.formats.runs import Run, doubted, find_runs, join_flickers, shown
from mien.results.formats.steps import to_rows
from mien.results.formats.table import read_table
from mien.types import Face, Frame

DOCS = Path(__file__).parents[2] / "docs" / "interchange.md"
quick = settings(max_examples=40, deadline=None, derandomize=True, database=None)

# --- tables ---------------------------------------------------------------------------------------------

singles = some.floats(width=32, allow_nan=False, allow_infinity=False)
names = some.text(some.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@some.composite
def faces(draw, track):
    shares = np.float32(draw(some.lists(some.floats(0, 1, width=32), min_size=8, max_size=8)))
    box = tuple(draw(some.tuples(singles, singles, singles, singles)))
    words = draw(some.none() | some.lists(some.sampled_from(EMOTIONS), min_size=1, max_size=3).map(tuple))
    return Face(
        box,
        np.zeros((5, 2), np.float32),
        draw(some.floats(0, 1, width=32)),
        track,
        draw(some.sampled_from([None, shares])),
        draw(some.sampled_from([None, 0, 7])),
        words,
        draw(some.sampled_from([None, False, True])),
    )


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


def write(path, table):
    with open_writer(path) as writer:
        writer.write(table)
    return path


def read(path):
    return list(read_table(path, Wish()))


def there_and_back(table, form, between, ending=".csv"):
    """The rows after Mien's table, the format, and Mien's table once more."""
    with tempfile.TemporaryDirectory() as folder:
        start = write(Path(folder) / f"start{ending}", table)
        middle, end = Path(folder) / f"middle{between}", Path(folder) / f"end{ending}"
        convert_file(start, middle, Wish(), to=form)
        convert_file(middle, end, Wish(), to="mien")
        assert read(start) == table
        return read(end)


@quick
@given(clips(), some.sampled_from([".csv", ".jsonl", ".parquet"]))
def test_openface_holds_all_of_a_clip(table, ending):
    assert there_and_back(table, "openface", ".csv", ending) == table


@quick
@given(clips() | photos(), some.sampled_from([".csv", ".jsonl", ".parquet"]))
def test_pyfeat_holds_all_of_clips_and_photos(table, ending):
    assert there_and_back(table, "pyfeat", ".csv", ending) == table


@quick
@given(clips() | photos(), some.sampled_from([".csv", ".jsonl", ".parquet"]))
def test_a_table_of_mien_goes_into_another_of_mien(table, ending):
    assert there_and_back(table, "mien", ".jsonl", ending) == table


# --- runs -----------------------------------------------------------------------------------------------


@some.composite
def runs(draw):
    """Runs of up to three faces that do not overlap; those that touch differ."""
    found = []
    for track in draw(some.sets(some.integers(-1, 3), min_size=1, max_size=3)):
        time, last = 0, None
        for _ in range(draw(some.integers(1, 5))):
            gap, length = draw(some.sampled_from([0, 7])), draw(some.integers(1, 10**7))
            word = draw(
                some.sampled_from(EMOTIONS).filter(lambda word, last=last, gap=gap: gap or word != last)
            )
            found.append(Run(time + gap, time + gap + length, track, word))
            time, last = found[-1].end, word
    return sorted(found, key=lambda run: (run.start, run.track))


def found_in(table, signal=shown):
    (found,) = find_runs(moments(table), signal)
    return found


@quick
@given(runs())
def test_runs_become_rows_and_the_same_runs_again(wanted):
    assert found_in(to_rows(wanted, "a.mp4")) == wanted


def converted(table, form, folder, **wish):
    start = write(Path(folder) / "start.parquet", table)
    out = Path(folder) / f"out.{form}"
    convert_file(start, out, Wish(**wish))
    return out


def read_back(out, **wish):
    end = out.with_suffix(".jsonl")
    convert_file(out, end, Wish(**wish))
    return read(end)


def words(run):
    return f"{'face' if run.track < 0 else f'face {run.track}'}: {run.value}"


@quick
@given(runs(), names)
def test_webvtt_holds_the_runs_and_webvtt_py_reads_them(wanted, source):
    with tempfile.TemporaryDirectory() as folder:
        out = converted(to_rows(wanted, source), "vtt", folder)
        cues = [(cue.start_in_seconds, cue.end_in_seconds, cue.text) for cue in webvtt.read(out)]
        exact = [(cue.start, cue.end) for cue in webvtt.read(out)]
        back = read_back(out)
    assert [(int(start), int(end), text) for start, end, text in cues] == [
        (run.start // 1000, run.end // 1000, words(run)) for run in wanted
    ]
    assert [int(end.rpartition(".")[2]) for _, end in exact] == [run.end % 1000 for run in wanted]
    assert found_in(back) == wanted
    assert {row["source"] for row in back} == {source}


@quick
@given(runs())
def test_srt_holds_the_runs_and_srt_reads_them(wanted):
    with tempfile.TemporaryDirectory() as folder:
        out = converted(to_rows(wanted, "a.mp4"), "srt", folder)
        cues = list(srt.parse(out.read_text()))
        back = read_back(out, source="a.mp4")
    one = timedelta(milliseconds=1)
    assert [(cue.start // one, cue.end // one, cue.content) for cue in cues] == [
        (run.start, run.end, words(run)) for run in wanted
    ]
    assert [cue.index for cue in cues] == list(range(1, len(wanted) + 1))
    assert back == to_rows(wanted, "a.mp4")


@quick
@given(runs(), names)
def test_elan_holds_the_runs_and_pympi_reads_them(wanted, source):
    doubts = {wanted[0].track: [Run(wanted[0].start, wanted[0].end, wanted[0].track, "uncertain")]}
    table = to_rows(wanted, source, doubts)
    with tempfile.TemporaryDirectory() as folder:
        out = converted(table, "eaf", folder)
        eaf = pympi.Eaf(str(out))
        back = read_back(out)
    for track in {run.track for run in wanted}:
        name = words(Run(0, 0, track, "")).partition(":")[0]
        held = eaf.get_annotation_data_for_tier(f"{name} expression")
        assert sorted(held) == [(run.start, run.end, run.value) for run in wanted if run.track == track]
    assert list(eaf.timeslots.values()) == sorted(eaf.timeslots.values())
    assert back == table
    assert found_in(back, doubted) == doubts[wanted[0].track]


def clip(*shows, source="a.mp4", step=0.5, uncertain=None):
    """Rows of a clip whose frames show `shows`: an emotion a track, or None where the face is not seen."""
    found = []
    for index, frame in enumerate(shows):
        seen = []
        for track, word in enumerate(frame if isinstance(frame, tuple) else (frame,), 1):
            if word is not None:
                shares = np.full(8, 0.05, np.float32)
                shares[EMOTIONS.index(word)] = 0.65
                seen.append(
                    Face(
                        (1, 2, 3, 4), np.zeros((5, 2), np.float32), 0.5, track, shares, None, None, uncertain
                    )
                )
        found += rows(Frame(source, index, index * step, tuple(seen)))
    return found


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
        return [(run.end - run.start, run.value) for run in join_flickers(chain, 0.3)]

    assert joined((900, "fear"), (100, "anger"), (900, "fear")) == [(1900, "fear")]
    assert joined((900, "fear"), (100, "anger"), (900, "sadness")) == [(1000, "fear"), (900, "sadness")]
    assert joined((100, "anger"), (900, "fear")) == [(1000, "fear")]
    assert joined((200, "anger"), (200, "fear")) == [(400, "anger")]
    assert joined((299, "anger")) == [(299, "anger")]
    assert joined((300, "anger"), (300, "fear")) == [(300, "anger"), (300, "fear")]
    apart = [Run(0, 900, 1, "fear"), Run(1000, 1100, 1, "anger"), Run(900, 1000, 2, "fear")]
    assert set(join_flickers(apart, 0.3)) == set(apart)


@quick
@given(runs(), some.floats(0, 20))
def test_joining_moves_no_outer_edge_and_leaves_nothing_short_beside_another(wanted, least):
    joined = join_flickers(wanted, least)

    def covered(some_runs):
        return sorted(
            (run.track, edge)
            for run in some_runs
            for edge in (run.start, run.end)
            if not any(o.track == run.track and edge in {o.start, o.end} and o != run for o in some_runs)
        )

    assert covered(joined) == covered(wanted)
    for run in joined:
        beside = [o for o in joined if o.track == run.track and (o.end == run.start or o.start == run.end)]
        assert not beside or run.end - run.start >= round(1000 * least)
        assert all(o.value != run.value for o in beside)
    assert joined == join_flickers(joined, least)


# --- what others wrote ----------------------------------------------------------------------------------


def test_what_openface_wrote_is_read(tmp_path):
    (tmp_path / "clip.csv").write_text(
        "frame, face_id, timestamp, confidence, success, gaze_0_x, AU01_r\n"
        "1, 0, 0.000, 0.98, 1, 0.1, 0.3\n1, 1, 0.000, 0.88, 1, 0.1, 0.3\n2, 0, 0.033, 0.02, 0, 0, 0\n"
    )
    wish = Wish("clip.mp4")
    convert_file(tmp_path / "clip.csv", tmp_path / "out.jsonl", wish)
    got = read(tmp_path / "out.jsonl")
    assert [(r["source"], r["frame"], r["time"], r["face"], r["track"], r["success"]) for r in got] == [
        ("clip.mp4", 0, 0.0, 0, 0, 1), ("clip.mp4", 0, 0.0, 1, 1, 1), ("clip.mp4", 1, 0.033, None, None, 0),
    ]  # fmt: skip
    assert got[0]["score"] == np.float32(0.98)
    assert got[2]["score"] is None
    assert {row["emotion"] for row in got} == {None}
    assert "reads no emotions" in wish.notes[0]


def test_what_pyfeat_wrote_is_read(tmp_path):
    head = "FaceRectX,FaceRectY,FaceRectWidth,FaceRectHeight,FaceScore,AU01"
    (tmp_path / "v1.csv").write_text(
        f"{head},anger,disgust,fear,happiness,sadness,surprise,neutral,input,frame,approx_time,Identity\n"
        "1.5,2,30,40,0.99,0.1,0.1,0,0,0.7,0.1,0.05,0.05,a.mp4,24,00:01,Person_0\n"
        "NaN,,,,0.0,,,,,,,,,a.mp4,48,00:02,\n"
    )
    wish = Wish()
    convert_file(tmp_path / "v1.csv", tmp_path / "out.csv", wish)
    first, second = read(tmp_path / "out.csv")
    assert (first["x"], first["height"], first["score"]) == (1.5, 40.0, np.float32(0.99))
    assert (first["emotion"], first["confidence"], first["contempt"]) == ("happiness", np.float32(0.7), None)
    assert (first["frame"], first["time"], first["track"], first["face"]) == (24, None, 0, 0)
    assert [name for name, value in second.items() if value is not None] == ["source", "frame", "success"]
    assert len(wish.notes) == 2
    assert "no column for contempt" in wish.notes[0]
    assert "whole seconds" in wish.notes[1]
    (tmp_path / "v2.csv").write_text(
        f"{head},Neutral,Happy,Sad,Surprise,Fear,Disgust,Anger,valence,input,frame\n"
        "1,2,3,4,0.9,0,0.1,0.1,0.2,0,0,0.6,0,-0.3,b.jpg,0\n"
    )
    convert_file(tmp_path / "v2.csv", tmp_path / "v2.jsonl", Wish())
    assert read(tmp_path / "v2.jsonl")[0]["emotion"] == "disgust"


def test_tiers_of_people_are_read_and_others_left_out(tmp_path):
    eaf = pympi.Eaf(author="somebody")
    eaf.remove_tier("default")
    for tier, value in (("coder B", "Happy"), ("speech", "hello"), ("face 3 expression", "sad")):
        eaf.add_tier(tier)
        eaf.add_annotation(tier, 100, 900, value)
    eaf.to_file(str(tmp_path / "people.eaf"))
    wish = Wish("clip.mp4")
    convert_file(tmp_path / "people.eaf", tmp_path / "out.jsonl", wish)
    assert found_in(read(tmp_path / "out.jsonl")) == [
        Run(100, 900, 3, "sadness"),
        Run(100, 900, 4, "happiness"),
    ]
    notes = " ".join(wish.notes)
    assert "tier 'speech' left out" in notes
    assert "tier 'coder B' became track 4" in notes


def test_subtitles_of_other_hands_are_read(tmp_path):
    (tmp_path / "a.vtt").write_text(
        "\ufeffWEBVTT - made elsewhere\r\n\r\nSTYLE\r\n::cue { color: red }\r\n\r\n"
        "intro\r\n00:01.000 --> 00:02.500 align:start\r\n<v Ann>Happy</v>\r\nface 2: fear\r\n",
        newline="",
    )
    assert found_in(read_back(tmp_path / "a.vtt")) == [
        Run(1000, 2500, -1, "happiness"),
        Run(1000, 2500, 2, "fear"),
    ]


# --- events ---------------------------------------------------------------------------------------------


def write_events(path, *events):
    columns = ("source", "track", "emotion", "onset", "apex", "offset", "peak", "mean", "frames", "cut")
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="0")
        writer.writeheader()
        writer.writerows(
            dict(zip(("source", "track", "emotion", "onset", "offset"), e, strict=True)) for e in events
        )
    return path


def test_events_get_tiers_of_their_own(tmp_path):
    events = write_events(
        tmp_path / "events.csv",
        ("a.mp4", 1, "fear", 0.1, 0.9), ("a.mp4", 1, "anger", 0.5, 1.2), ("a.mp4", 1, "fear", 0.8, 1.0),
        ("b.mp4", 1, "fear", 0, 1),
    )  # fmt: skip
    out = converted(clip("fear", "fear", "anger"), "eaf", tmp_path, events=events)
    eaf = pympi.Eaf(str(out))
    assert list(eaf.get_tier_names()) == [
        "face 1 expression", "face 1 event anger", "face 1 event fear", "face 1 event fear 2",
    ]  # fmt: skip
    assert eaf.get_annotation_data_for_tier("face 1 event fear") == [(100, 900, "fear")]
    assert eaf.get_annotation_data_for_tier("face 1 event fear 2") == [(800, 1000, "fear")]
    assert found_in(read_back(out)) == found_in(clip("fear", "fear", "anger"))


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (("b.mp4", 1, "fear", 0, 1), r"events of 'a\.mp4', got those of b\.mp4"),
        (("a.mp4", 1, "fear", 1, 1), "line 2: expected an offset after the onset"),
        (("a.mp4", 1, "glee", 0, 1), "line 2: expected one of neutral"),
        (("a.mp4", "x", "fear", 0, 1), "line 2: expected a number, got 'x'"),
        (("a.mp4", 1, "fear", -1, 1), "line 2: expected seconds from 0"),
    ],
)
def test_events_that_do_not_fit(tmp_path, event, message):
    with pytest.raises(DataError, match=message):
        converted(clip("fear"), "eaf", tmp_path, events=write_events(tmp_path / "events.csv", event))


# --- what cannot be held --------------------------------------------------------------------------------

PHOTO = rows(Frame("photo.jpg", 0, None, ()))


@pytest.mark.parametrize("form", ["openface", "eaf", "vtt", "srt"])
def test_formats_of_one_clip_refuse_photos_and_several_sources(tmp_path, form):
    out = tmp_path / f"out{FORMATS[form].endings[0]}"
    photo = write(tmp_path / "photo.csv", PHOTO)
    with pytest.raises(OutputError, match=rf"a clip with times for {form}, got 'photo\.jpg', which has none"):
        convert_file(photo, out, Wish(), to=form)
    several = write(tmp_path / "several.csv", PHOTO + clip("fear") + clip("fear", source="b.mp4"))
    with pytest.raises(
        OutputError, match=r"got 3 sources.* --source: it has 'photo\.jpg', 'a\.mp4', 'b\.mp4'"
    ):
        convert_file(several, out, Wish(), to=form)
    with pytest.raises(DataError, match=r"with --source, got 'c\.mp4'; it has 'photo\.jpg'"):
        convert_file(several, out, Wish("c.mp4"), to=form)
    assert not out.exists()
    convert_file(several, out, Wish("b.mp4"), to=form)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["photo.csv", "several.csv", out.name])


def test_a_clip_that_broke_off_is_converted_as_far_as_it_was_read(tmp_path):
    wish = Wish()
    start = write(tmp_path / "a.csv", clip("fear", "fear") + rows(Frame("a.mp4", 0, None, ())))
    convert_file(start, tmp_path / "a.vtt", wish)
    assert found_in(read_back(tmp_path / "a.vtt")) == [Run(0, 1000, 1, "fear")]
    assert "broke off" in wish.notes[0]


def test_a_clip_without_a_face_has_no_cue_and_that_is_said(tmp_path):
    for form in ("vtt", "srt", "eaf"):
        wish = Wish()
        convert_file(write(tmp_path / f"{form}.csv", clip(None, None)), tmp_path / f"a.{form}", wish)
        assert "no expression was read" in wish.notes[0]
    assert list(webvtt.read(tmp_path / "a.vtt")) == []
    assert list(pympi.Eaf(str(tmp_path / "a.eaf")).get_tier_names()) == []


def test_times_that_run_backwards_and_faces_without_tracks_are_refused(tmp_path):
    back = [{**row, "time": 5 - row["frame"]} for row in clip("fear", "fear")]
    with pytest.raises(OutputError, match="run forwards from 0, got 4"):
        converted(back, "vtt", tmp_path)
    tmp_path.joinpath("start.parquet").unlink()
    loose = [{**row, "track": None} for row in clip(("fear", "fear"))]
    with pytest.raises(OutputError, match="two on track None in frame 0"):
        converted(loose, "vtt", tmp_path)


@pytest.mark.parametrize("option", [{"min_seconds": 1.0}, {"events": Path("e.csv")}])
def test_options_without_a_place_in_the_format_are_refused(tmp_path, option):
    start = write(tmp_path / "a.csv", clip("fear"))
    with pytest.raises(ConfigError, match=r"expected eaf.*, got openface"):
        convert_file(start, tmp_path / "b.csv", Wish(**option), to="openface")


# --- bad input ------------------------------------------------------------------------------------------


def whole_table(tmp_path, ending):
    return write(tmp_path / f"whole{ending}", clip("fear", "anger", "fear")).read_bytes()


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet", ".eaf", ".vtt", ".srt"])
@pytest.mark.parametrize(
    "held", [b"", b"\x89PNG\r\n\x1a\n\x00\x00\xff\xfe", b"\x00" * 300, b"hello\n\nworld\n"]
)
def test_files_that_are_something_else(tmp_path, ending, held):
    bad = tmp_path / f"bad{ending}"
    bad.write_bytes(held)
    with pytest.raises(MienError, match=r"bad.*expected|expected a table with rows"):
        convert_file(bad, tmp_path / "out.jsonl", Wish())
    assert list(tmp_path.iterdir()) == [bad]


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_tables_that_were_cut_off(tmp_path, ending):
    held = whole_table(tmp_path, ending)
    bad = tmp_path / f"bad{ending}"
    bad.write_bytes(held[:-30])
    with pytest.raises(DataError, match=r"bad.*line \d+: expected .* cut off or damaged: make it again"):
        convert_file(bad, tmp_path / "out.vtt", Wish())
    assert not (tmp_path / "out.vtt").exists()


@pytest.mark.parametrize("form", ["eaf", "vtt", "srt"])
def test_annotations_that_were_cut_off(tmp_path, form):
    out = converted(clip("fear", "anger"), form, tmp_path)
    out.write_bytes(out.read_bytes()[:-5])
    with pytest.raises(DataError, match=r"expected .*cut off"):
        read_back(out)


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_cut_anywhere_is_read_or_refused_and_never_a_bug(tmp_path, form):
    start = write(tmp_path / "start.csv", clip("fear", "anger"))
    whole = tmp_path / f"whole{FORMATS[form].endings[0]}"
    convert_file(start, whole, Wish(), to=form)
    held = whole.read_bytes()
    for length in range(0, len(held), 7):
        whole.write_bytes(held[:length])
        try:
            convert_file(whole, tmp_path / "out.jsonl", Wish(), overwrite=True)
        except MienError:
            continue


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_a_table_without_rows_and_one_with_other_columns(tmp_path, ending):
    empty = write(tmp_path / f"empty{ending}", [])
    with pytest.raises(DataError, match=r"with rows, got one without|got an empty file"):
        convert_file(empty, tmp_path / "out.vtt", Wish())
    other = tmp_path / "other.csv"
    other.write_text("time,mood\n1,good\n")
    with pytest.raises(DataError, match=r"columns source, frame.*missing, got 'time, mood'; give another"):
        convert_file(other, tmp_path / "out.vtt", Wish())


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
        convert_file(bad, tmp_path / "out.vtt", Wish())


def test_an_eaf_with_entities_or_a_slip_in_it_is_refused(tmp_path):
    bomb = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><ANNOTATION_DOCUMENT>&b;</ANNOTATION_DOCUMENT>'
    (tmp_path / "bomb.eaf").write_text(bomb)
    with pytest.raises(DataError, match="declares the entity b"):
        read_back(tmp_path / "bomb.eaf")
    out = converted(clip("fear"), "eaf", tmp_path)
    held = out.read_text()
    out.write_text(held.replace("<ANNOTATION_VALUE>fear", "<ANNOTATION_VALUE>smirk"))
    with pytest.raises(DataError, match=r"tier 'face 1 expression': expected one of .* got 'smirk'"):
        read_back(out)
    out.write_text(held.replace('TIME_VALUE="0"', 'TIME_VALUE="9"'))
    with pytest.raises(DataError, match="start before their end, got 'fear' from 9 to 1 ms"):
        read_back(out)
    out.write_text("<svg/>")
    with pytest.raises(DataError, match="got svg"):
        read_back(out)


def test_cues_of_one_face_must_not_overlap(tmp_path):
    (tmp_path / "a.srt").write_text(
        "1\n00:00:00,000 --> 00:00:02,000\nface 1: fear\n\n2\n00:00:01,000 --> 00:00:03,000\nface 1: anger\n"
    )
    with pytest.raises(DataError, match=r"got fear and anger at 1\.0 s on track 1"):
        read_back(tmp_path / "a.srt")


# --- the file and the command ---------------------------------------------------------------------------


def test_what_is_there_stays_unless_all_went_well(tmp_path, monkeypatch):
    start, out = write(tmp_path / "a.csv", clip("fear")), tmp_path / "out.vtt"
    out.write_text("mine")
    with pytest.raises(OutputError, match="--overwrite"):
        convert_file(start, out, Wish())
    with pytest.raises(OutputError, match="another file than the one that is read"):
        convert_file(start, start, Wish(), to="openface", overwrite=True)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("mien.results.formats.webvtt.clock", full)
        with pytest.raises(OutputError, match=r"No space left.*nothing was kept"):
            convert_file(start, out, Wish(), overwrite=True)
    assert out.read_text() == "mine"
    convert_file(start, out, Wish(), overwrite=True)
    assert out.read_text().startswith("WEBVTT")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv", "out.vtt"]


def test_the_ending_tells_the_format_or_the_error_lists_them(tmp_path):
    start = write(tmp_path / "a.csv", clip("fear"))
    for out, to, message in (
        ("b.csv", None, "choose with --to: mien, openface, pyfeat"),
        ("b.xyz", None, "choose with --to: mien, openface, pyfeat, eaf, vtt, srt"),
        ("b.vtt", "ass", "expected one of mien, openface, pyfeat, eaf, vtt, srt, got 'ass'"),
        ("b.txt", "srt", r"ends in \.srt for srt, got '\.txt'"),
    ):
        with pytest.raises(OutputError, match=message):
            convert_file(start, tmp_path / out, Wish(), to=to)
    with pytest.raises(DataError, match=r"ends in \.csv, \.jsonl, .*, got '\.xyz'"):
        convert_file(tmp_path / "a.xyz", tmp_path / "b.vtt", Wish())
    for missing in ("no.csv", "no.vtt", "no.eaf"):
        with pytest.raises(DataError, match="check the name"):
            convert_file(tmp_path / missing, tmp_path / "b.jsonl", Wish())


def test_rows_are_taken_one_by_one(tmp_path):
    path = tmp_path / "long.jsonl"
    write(path, clip("fear"))
    path.write_bytes(path.read_bytes() + b"not a row\n")
    stream = read_table(path, Wish())
    assert next(stream)["emotion"] == "fear"
    with pytest.raises(DataError, match="line 2"):
        next(stream)


@pytest.fixture
def run():
    app = typer.Typer()
    app.command()(convert)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_says_what_was_lost(tmp_path, run):
    start = write(tmp_path / "a.csv", clip("fear", "anger", "fear"))
    ran = run(start, "-o", tmp_path / "a.vtt", "--min-seconds", "0.6")
    assert (ran.exit_code, ran.stdout) == (0, "")
    assert ran.stderr == f"{tmp_path / 'a.vtt'}: written as vtt\n"
    assert (tmp_path / "a.vtt").read_text() == (
        'WEBVTT\n\nNOTE source "a.mp4"\n\n00:00:00.000 --> 00:00:01.500\nface 1: fear\n'
    )
    ran = run(tmp_path / "a.vtt", "-o", tmp_path / "b.jsonl")
    assert "boxes, scores and probabilities are not known" in ran.stderr
    assert isinstance(run(start, "-o", tmp_path / "c.csv").exception, OutputError)
    assert run(start, "-o", tmp_path / "c.vtt", "--min-seconds", "-1").exit_code == 2


def test_the_columns_are_those_of_the_docs(tmp_path):
    docs = DOCS.read_text()
    start = write(tmp_path / "a.csv", clip("fear"))
    for form in ("openface", "pyfeat"):
        convert_file(start, tmp_path / f"{form}.csv", Wish(), to=form)
        header = (tmp_path / f"{form}.csv").read_text().splitlines()[0]
        assert header.split(",mien_")[0].replace(",", ", ") in docs


def test_the_commands_of_the_docs_run(tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(Path("faces.csv"), clip("fear", "anger", "fear", source="clip.mp4") + PHOTO)
    write(Path("clip.parquet"), clip("fear", "anger", source="clip.mp4"))
    write_events(Path("events.csv"), ("clip.mp4", 1, "fear", 0, 1))
    commands = [
        line
        for block in re.findall(r"```sh\n(.*?)```", DOCS.read_text(), re.DOTALL)
        for line in block.splitlines()
    ]
    assert len(commands) > 5
    for command in commands:
        ran = run(*command.partition("  #")[0].split()[2:])
        assert ran.exit_code == 0, (command, ran.exception)


def test_json_lines_of_other_programs_may_write_whole_numbers_as_floats(tmp_path):
    (row,) = clip("fear")
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({**row, "frame": 3.0, "track": 2.0}) + "\n")
    assert (read(path)[0]["frame"], read(path)[0]["track"]) == (3, 2)
