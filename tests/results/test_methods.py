"""`mien methods`: its figures are those of the table and the card, and what it cites it lists."""

import json
import re

import pytest

from mien.batch.run import analyze
from mien.errors import DataError
from mien.faces.network import open_session, read_card, read_model
from mien.image import write_image
from mien.results import summarize
from mien.results.methods import describe_methods
from mien.results.sidecar import find_sidecar, read_sidecar
from mien.results.table_reader import read_table


@pytest.fixture(scope="module")
def table(tmp_path_factory, one_face, two_faces, no_face, drawn_clip):
    """A table of three photos and a clip, read by the network that ships."""
    folder = tmp_path_factory.mktemp("table")
    for name, pixels in (("a", one_face), ("b", two_faces), ("c", no_face)):
        write_image(folder / f"{name}.png", pixels)
    photos = [folder / f"{name}.png" for name in "abc"]
    analyze([*photos, drawn_clip], folder / "faces.csv", events=folder / "events.csv", every=2, workers=1)
    return folder / "faces.csv"


def changed(table, tmp_path, change):
    """The table and its sidecar, copied, the latter as `change` leaves it."""
    copy = tmp_path / table.name
    copy.write_bytes(table.read_bytes())
    record = read_sidecar(table)
    change(record)
    find_sidecar(copy).write_text(json.dumps(record))
    return copy


def test_its_figures_are_those_of_the_table_and_the_card(table):
    text = describe_methods(table).text
    rows = list(read_table(table))
    faces = [row for row in rows if row["success"]]
    frames = {(row["source"], row["frame"]) for row in rows}
    unsure = sum(row["uncertain"] for row in faces)
    assert f"({sum(not row['success'] for row in rows)} of {len(frames)})" in text
    assert f"({unsure} of {len(faces)})" in text
    assert "every 2nd frame" in text
    seconds = sum({row["source"]: row["clip_seconds"] or 0 for row in summarize(rows)}.values())
    assert f"frames read, over {seconds:.1f} s)" in text  # until the end of the last frame
    card = read_card(open_session(read_model(None)))
    figures = card.calibration["held_out"]["majority"]
    assert f"{figures['n']:,} faces" in text
    assert f"{100 * figures['policies']['accurate']['accuracy']['mean']:.1f}%" in text
    assert f"{card.uncertain:.3g}" in text
    assert f"{card.parameters:,} weights" in text


def test_what_it_cites_it_lists_and_nothing_else(table):
    found = describe_methods(table)
    cited = set(re.findall(r"\\cite\{(\w+)\}", found.latex))
    assert cited == set(re.findall(r"^@\w+\{(\w+),$", found.bibtex, re.MULTILINE))
    assert cited == {"mien", "yunet", "ferplus", "fer2013", "fairface"}
    assert "@" not in found.text
    assert found.bibtex.count("{") == found.bibtex.count("}")
    listed = found.text.split("\n\n")[1].splitlines()
    assert len(listed) == len(cited)
    assert listed == sorted(listed, key=lambda line: line.replace("ä", "a"))


def test_special_characters_are_escaped(table, tmp_path):
    copy = changed(
        table, tmp_path, lambda record: record["model"].update(name=r"my_net {50%} \x", data=["a&b"])
    )
    latex = describe_methods(copy).latex
    assert r"my\_net \{50\%\} \textbackslash{}x" in latex
    assert r"a\&b" in latex
    assert not re.search(r"(?<!\\)[%&#_]", latex)


def test_what_is_not_known_is_said_not_guessed(table, tmp_path):
    def forget(record):
        record["model"].update(data=[], held_out={}, calibrated_on=None, uncertain=None)
        record["settings"].update(smooth=None)
        del record["settings"]["min_score"]

    text = describe_methods(changed(table, tmp_path, forget)).text
    assert text.count("not known") == 4
    assert "FER+" not in text
    assert "Barsoum" not in text


def test_figures_that_a_lab_could_not_measure_are_left_out(table, tmp_path):
    def few(record):
        record["model"]["held_out"] = {"majority": {"n": 90, "splits": None, "accuracy": 0.5}}
        record["model"]["calibrated_on"] = "codes of a lab"

    text = describe_methods(changed(table, tmp_path, few)).text
    assert "90 faces of codes of a lab" in text
    assert "reads 50.0% right." in text


def test_events_are_defined_where_they_are_the_table(table):
    assert "An event is" in describe_methods(table.with_name("events.csv")).text


def test_a_folder_of_shards_is_described_as_the_table_is(table, tmp_path):
    sources = [one["name"] for one in read_sidecar(table)["inputs"]]
    analyze(sources, f"{tmp_path}/out/", every=2, workers=1)
    one, many = (describe_methods(place).text.split(". ") for place in (table, tmp_path / "out"))
    assert [sentence for sentence in one if sentence not in many] == one[1:2]  # on the inputs


def test_a_table_that_was_changed_or_cut_short_is_noted(table, tmp_path):
    copy = changed(table, tmp_path, lambda record: record.update(interrupted=True))
    assert len(describe_methods(copy).notes) == 1
    copy.write_text(copy.read_text().replace("clip", "film"))
    assert len(describe_methods(copy).notes) == 2
    assert describe_methods(table).notes == ()


def test_a_damaged_sidecar_is_an_error(table, tmp_path):
    copy = changed(table, tmp_path, lambda record: record["model"].pop("size"))
    with pytest.raises(DataError, match=r"faces\.csv\.json.*size"):
        describe_methods(copy)


def test_agreement_is_told_as_it_was_measured(table, tmp_path, mien):
    source = read_sidecar(table)["inputs"][-1]["name"]
    for coder, end in (("anna", 0.6), ("bert", 0.4)):
        lines = ("source,start,end,code", f"{source},0,{end},happiness", f"{source},{end},1,neutral")
        (tmp_path / f"{coder}.csv").write_text("\n".join(lines))
    out = tmp_path / "agree.json"
    ran = mien("agree", table, tmp_path / "anna.csv", tmp_path / "bert.csv", "-o", out)
    assert ran.code == 0, ran.err
    found, text = json.loads(out.read_text()), describe_methods(table, agreement=out).text
    for pair in found["pairs"]:
        kappa = pair["figures"]["kappa"]["in all"]["value"]
        assert f"{pair['first']} and {pair['second']}" in text
        assert f"kappa {kappa:.2f}" in text
    assert f"{found['groups'][0]['alpha']['in all']['value']:.2f}" in text
    assert describe_methods(table, agreement=out).notes == ()
    found["clips"] = ["other.mp4"]
    out.write_text(json.dumps(found))
    assert "other clips" in describe_methods(table, agreement=out).notes[0]
    for content in ("<html>", "[]", "{}"):
        out.write_text(content)
        with pytest.raises(DataError, match=r"agree\.json"):
            describe_methods(table, agreement=out)


def test_the_command_writes_both_files_or_neither(table, mien, tmp_path):
    out = tmp_path / "methods.tex"
    out.with_suffix(".bib").write_text("mine")
    ran = mien("methods", table, "--latex", "-o", out)
    assert ran.code == 1
    assert "exists" in ran.err
    assert [path.name for path in tmp_path.iterdir()] == ["methods.bib"]
    assert mien("methods", table, "--latex", "-o", out, "--overwrite").code == 0
    found = describe_methods(table)
    assert (out.read_text(), out.with_suffix(".bib").read_text()) == (found.latex, found.bibtex)
    assert mien("methods", table).out.decode() == found.text
