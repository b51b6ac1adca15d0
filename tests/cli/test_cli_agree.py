"""`mien agree`: what is printed, the page and the JSON, and what is said of wrong files."""

import json
import shutil

import pytest

from mien import analyze
from mien.evaluate.agreement import ROWS
from mien.evaluate.ratings import AgreeOptions
from parsed_page import ParsedPage


@pytest.fixture(scope="module")
def tables(tmp_path_factory, drawn_clip):
    """A folder with the frames and the events of a drawn clip."""
    folder = tmp_path_factory.mktemp("tables")
    analyze(drawn_clip, folder / "faces.csv", events=folder / "events.csv")
    return folder


@pytest.fixture
def folder(tables, tmp_path, monkeypatch):
    """The current folder: a copy of that one, and two coders' files."""
    shutil.copytree(tables, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "anna.csv").write_text(
        "source,start,end,code,intensity\ndrawn.mp4,0,0.5,smile,3\ndrawn.mp4,0.5,1,neutral,\n"
    )
    (tmp_path / "b.csv").write_text("source,coder,start,end,code\ndrawn.mp4,<b>ert,0,1,neutral\n")
    return tmp_path


def test_a_page_and_json_hold_what_is_printed(folder, mien):
    run = mien("agree", "faces.csv", "anna.csv", "b.csv", "--map", "smile=happiness", "--intensity-max", "5",
               "-o", "out.html", "-o", "out.json")  # fmt: skip
    assert run.code == 0, run.err
    record = json.loads((folder / "out.json").read_text())
    assert record["raters"] == ["Mien", "<b>ert", "anna"]
    assert record["options"]["names"] == {"smile": "happiness"}
    assert [(p["first"], p["second"]) for p in record["pairs"]] == [
        ("Mien", "<b>ert"), ("Mien", "anna"), ("<b>ert", "anna"),
    ]  # fmt: skip
    people = record["pairs"][2]
    assert people["moments"] == 10
    assert people["figures"]["percent"]["in all"] == {"value": 0.5, "low": None, "high": None}
    assert set(people["figures"]["kappa"]) == set(ROWS)
    page = ParsedPage((folder / "out.html").read_text("utf-8"))
    for text in (run.out.decode(), page.text):
        assert "<b>ert and anna: 10 moments (1.0 s) of 1 clips" in text
        assert "smile = happiness" in text
        assert "50.0 %" in text
        assert "in common" in text


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["faces.csv", "anna.csv"], 1, "anna.csv: expected codes of neutral.*got 'smile' (1)"),
        (["faces.csv", "anna.csv", "--map", "smile"], 2, "expected WORD=CODE"),
        (["faces.csv", "anna.csv", "--map", "smile=glad"], 2, "got smile=glad"),
        (["faces.csv", "anna.csv", "--map", "smile=happiness"], 1, "--intensity-max"),
        (["faces.csv", "late.csv"], 1, "late.csv|from 80.0 s"),
        (["faces.csv", "gone.csv"], 1, "gone.csv: expected a table to read, there is no such file"),
        (["faces.csv", "empty.csv"], 1, "empty.csv: expected a table, got an empty file"),
        (["faces.csv", "wrong.eaf"], 1, "wrong.eaf: expected a file of ELAN"),
        (["faces.csv"], 1, "expected two raters at least, got Mien alone"),
        (["faces.csv", "b.csv", "--gaps", "zero"], 2, "expected one of missing, neutral, none"),
        (["faces.csv", "b.csv", "-o", "faces.csv"], 2, "ends in .html or .json"),
        (["faces.csv", "b.csv", "-o", "there.html"], 1, "exists"),
    ],
)
def test_what_is_wrong_is_said(arguments, code, message, folder, mien):
    (folder / "late.csv").write_text("source,start,end,code\ndrawn.mp4,80,90,fear\n")
    (folder / "empty.csv").write_text("")
    (folder / "wrong.eaf").write_text("<html>")
    (folder / "there.html").write_text("")
    run = mien("agree", *arguments)
    assert (run.code, run.out) == (code, b"")
    assert all(part in run.err for part in message.replace(".*", "|").split("|") if part != "late.csv")
    assert not (folder / "there.html").read_text()


def test_events_and_people_alone_can_be_compared(folder, mien):
    options = ["--map", "smile=happiness", "--intensity-max", "5"]
    events = mien("agree", "events.csv", "anna.csv", *options)
    people = mien("agree", "anna.csv", "carl=b.csv", *options, "-o", "out.json")
    assert (events.code, people.code) == (0, 0), events.err + people.err
    assert b"Mien (events)" in events.out
    record = json.loads((folder / "out.json").read_text())
    assert (record["raters"], record["table"]) == (["anna", "carl"], None)


def test_options_of_the_command_are_those_of_python(folder, mien):
    assert mien("agree", "faces.csv", "b.csv", "-o", "out.json").code == 0
    options = json.loads((folder / "out.json").read_text())["options"]
    assert options == {name: getattr(AgreeOptions(), name) for name in options}
