"""What people coded, read from the files of other programs and written back."""

import re
import tempfile
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pympi
import pytest
from hypothesis import given
from hypothesis import strategies as some
from PIL import Image

from mien.errors import ConfigError, DataError, OutputError
from mien.evaluate.codes import CODES, Code, read_codes, write_codes

words = some.text(some.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8)
times = some.integers(0, 10**7)


@some.composite
def codes_of_a_coder(draw, source="clip.mp4", coder="anna"):
    """Stretches of one clip in whole milliseconds, each face's one after the other."""
    found = []
    for track in draw(some.lists(some.sampled_from([None, 1, 2]), min_size=1, unique=True)):
        ends = sorted(draw(some.lists(times, min_size=2, max_size=7, unique=True)))
        found += [
            Code(source, track, coder, start / 1000, end / 1000, draw(some.sampled_from(CODES)))
            for start, end in pairwise(ends)
        ]
    return found


def by_time(codes):
    return sorted(codes, key=lambda code: (code.track or -1, code.start, code.end))


@given(
    some.lists(
        some.builds(Code, words, some.none() | some.integers(0, 9), words, some.none(), some.none(),
                    some.sampled_from(CODES), some.none() | some.floats(0, 5)),
        min_size=1,
    ),
    codes_of_a_coder(),
)  # fmt: skip
def test_a_table_holds_everything(photos, stretches):
    with tempfile.TemporaryDirectory() as folder:
        for name in ("codes.csv", "codes.tsv"):
            write_codes([*photos, *stretches], Path(folder) / name)
            assert read_codes(Path(folder) / name) == [*photos, *stretches]


@given(codes_of_a_coder(), codes_of_a_coder(coder="bert"))
def test_elan_gets_a_tier_of_each_coder_and_face(anna, bert):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "codes.eaf"
        write_codes([*anna, *bert], path)
        read = read_codes(path)
        for coder, wanted in (("anna", anna), ("bert", bert)):
            assert by_time(code for code in read if code.coder == coder) == by_time(wanted)
        assert len(read) == len(anna) + len(bert)


@given(codes_of_a_coder("folder/clip.mp4", "codes"))
def test_boris_gets_the_stretches_of_one_coder(wanted):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "codes.tsv"
        write_codes(wanted, path, to="boris")
        assert by_time(read_codes(path)) == by_time(wanted)


def elan(path, tiers, media="file:///C:/films/a%20b.mp4"):
    """A file as ELAN's users make it: `tiers` name to (attributes, annotations)."""
    eaf = pympi.Eaf()
    eaf.remove_tier("default")
    if media:
        eaf.add_linked_file(media, mimetype="video/mp4")
    for name, (attributes, annotations) in tiers.items():
        eaf.add_tier(name, **attributes)
        for start, end, text in annotations:
            eaf.add_annotation(name, start, end, text)
    eaf.to_file(str(path))
    return path


def test_tiers_without_codes_are_left_out_and_named(tmp_path):
    path = elan(tmp_path / "a.eaf", {
        "speech": ({}, [(0, 900, "good morning")]),
        "face 2": ({"ann": "AB"}, [(100, 900, "Happy"), (900, 1000, "cannot tell")]),
        "expr": ({"part": "Face 3"}, [(5, 10, "smile")]),
    })  # fmt: skip
    notes = []
    got = read_codes(path, names={"smile": "happiness"}, notes=notes)
    assert got == [
        Code("a b.mp4", 2, "AB", 0.1, 0.9, "happiness"),
        Code("a b.mp4", 2, "AB", 0.9, 1.0, "cannot tell"),
        Code("a b.mp4", 3, "a", 0.005, 0.01, "happiness"),
    ]
    assert len(notes) == 1
    assert "speech" in notes[0]
    assert {code.coder for code in read_codes(path, coder="me", names={"smile": ""})} == {"me"}


def test_an_annotation_that_refers_to_another_has_its_times(tmp_path):
    eaf = pympi.Eaf()
    eaf.add_linked_file("file:///a.mp4", mimetype="video/mp4")
    eaf.add_annotation("default", 100, 300, "utterance")
    eaf.add_linguistic_type("assoc", "Symbolic_Association")
    eaf.add_tier("codes", ling="assoc", parent="default")
    eaf.add_ref_annotation("codes", "default", 200, "fear")
    eaf.to_file(str(tmp_path / "a.eaf"))
    assert read_codes(tmp_path / "a.eaf") == [Code("a.mp4", None, "a", 0.1, 0.3, "fear")]


def test_frames_last_until_the_coders_next(tmp_path):
    path = tmp_path / "frames.csv"
    path.write_text(
        "source,frame,coder,code\na.mp4,0,x,fear\na.mp4,0,y,sad\na.mp4,1,x,fear\na.mp4,2,x,anger\na.mp4,9,x,none\n"
    )
    with pytest.raises(ConfigError, match="--fps"):
        read_codes(path)
    got = read_codes(path, fps=10)
    assert [(c.coder, c.start, pytest.approx(c.end)) for c in got] == [
        ("x", 0.0, 0.1), ("y", 0.0, 0.0), ("x", 0.1, 0.2), ("x", 0.2, 0.35), ("x", 0.9, 1.0),
    ]  # fmt: skip


def test_boris_starts_and_stops_are_paired(tmp_path):
    lines = [
        ("a.mp4", "face 1", "happiness", "START", 1.5), ("a.mp4", "face 2", "happiness", "START", 1.6),
        ("a.mp4", "face 1", "happiness", "STOP", 2.0), ("a.mp4", "face 2", "happiness", "STOP", 3.0),
        ("a.mp4", "", "fear", "POINT", 4.0),
    ]  # fmt: skip
    columns = ["Media file name", "Subject", "Behavior", "Behavior type", "Time"]
    path = tmp_path / "tabular.tsv"
    pd.DataFrame(lines, columns=columns).to_csv(path, sep="\t", index=False)
    assert [(c.track, c.code, c.start, c.end) for c in read_codes(path)] == [
        (1, "happiness", 1.5, 2.0), (2, "happiness", 1.6, 3.0), (None, "fear", 4.0, 4.0),
    ]  # fmt: skip
    pd.DataFrame(lines[:3], columns=columns).to_csv(path, sep="\t", index=False)
    with pytest.raises(DataError, match="expected a STOP of 'happiness'"):
        read_codes(path)


def test_folders_are_of_files_or_of_photos(tmp_path):
    for name in ("happy/a.png", "cannot tell/deep/b.png"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True)
        Image.new("L", (8, 8)).save(tmp_path / "photos" / name)
    got = read_codes(tmp_path / "photos")
    assert sorted((Path(c.source).name, c.code, c.coder, c.start) for c in got) == [
        ("a.png", "happiness", "photos", None), ("b.png", "cannot tell", "photos", None),
    ]  # fmt: skip
    (tmp_path / "anna").mkdir()
    elan(tmp_path / "anna" / "1.eaf", {"t": ({}, [(0, 10, "fear")])})
    (tmp_path / "anna" / "2.csv").write_text("source,code,start,end\nb.mp4,sad,0,1\n")
    assert [(c.source, c.coder) for c in read_codes(tmp_path / "anna")] == [
        ("a b.mp4", "anna"), ("b.mp4", "anna"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "got an empty file"),
        ("a.csv", "source,start,end,code\n", "expected codes, got none"),
        ("a.csv", "source,start,end\na,0,1\n", "code missing"),
        (
            "a.csv",
            "source,start,end,code\na,0,1,smirk\na,1,2,smirk\n",
            r"got 'smirk' \(2\).*--map 'smirk=happ",
        ),
        ("a.csv", "source,start,end,code\na,0,1,fear\na,2,1,fear\n", "line 3.*the end not before the start"),
        ("a.csv", "source,start,end,code\na,0,,fear\n", "line 2.*one of them"),
        ("a.csv", "source,start,end,code\n,0,1,fear\n", "line 2.*expected a source"),
        ("a.csv", "source,start,end,code\na,x,1,fear\n", "line 2.*expected a number, got 'x'"),
        ("a.csv", "source,code,intensity\na,fear,-1\n", "line 2.*intensity of 0 or more"),
        ("a.csv", "Behavior,Subject\nfear,\n", "aggregated events"),
        ("a.eaf", "", "expected a file of ELAN, could not read it"),
        ("a.eaf", "<html/>", "ANNOTATION_DOCUMENT"),
        ("a.eaf", "<ANNOTATION_DOCUMENT/>", "expected a linked clip"),
        ("a.txt", "fear", "expected a table whose name ends in"),
    ],
)
def test_what_is_wrong_is_said(name, content, message, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=f"(?s){re.escape(str(tmp_path / name))}.*{message}"):
        read_codes(tmp_path / name)


def test_an_elan_file_of_another_study_is_told_by_its_tiers(tmp_path):
    path = elan(tmp_path / "a.eaf", {"speech": ({}, [(0, 900, "good morning")])})
    with pytest.raises(DataError, match="got the tiers speech with 'good morning'"):
        read_codes(path)
    text = elan(tmp_path / "b.eaf", {"t": ({}, [(0, 900, "fear")])}).read_text()
    (tmp_path / "b.eaf").write_text(text.replace('TIME_VALUE="900"', ""))
    with pytest.raises(DataError, match="align it in ELAN"):
        read_codes(tmp_path / "b.eaf")


def test_what_a_format_cannot_hold_is_refused(tmp_path):
    photo, clip = Code("a.jpg", 0, "x", None, None, "fear"), Code("a.mp4", 1, "x", 0, 1, "fear")
    for codes, to, message in [
        ([photo], "boris", "codes of photos"),
        ([clip, Code("a.mp4", 1, "y", 0, 1, "fear")], "boris", "codes of one coder"),
    ]:
        with pytest.raises(OutputError, match=message):
            write_codes(codes, tmp_path / "a.csv", to=to)
    with pytest.raises(OutputError, match="codes of one clip"):
        write_codes([clip, Code("b.mp4", 1, "x", 0, 1, "fear")], tmp_path / "a.eaf")
    with pytest.raises(ConfigError, match="expected codes"):
        write_codes([clip], tmp_path / "a.eaf", to="boris")
    with pytest.raises(ConfigError, match="smile=joyful"):
        read_codes(tmp_path, names={"smile": "joyful"})
    assert list(tmp_path.iterdir()) == []
