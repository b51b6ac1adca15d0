"""The page's source and its built files, without a browser: words, colours, what is built from what."""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path

import pytest

from mien.labels import EMOTIONS
from mien.results.draw import COLOURS
from mien.results.rows import COLUMNS

ROOT = Path(__file__).resolve().parents[2]
WEB, STATIC = ROOT / "web", ROOT / "src" / "mien" / "server" / "static"
COUNTS = {4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine"}


def source(name: str) -> str:
    return (WEB / "src" / name).read_text("utf-8")


def test_emotions_their_order_and_colours_are_those_of_every_picture() -> None:
    text = source("emotions.ts")
    assert tuple(re.findall(r'^  "(\w+)",$', text, re.MULTILINE)) == EMOTIONS
    colours = re.findall(r'^  (\w+): "(#\w{6})",$', text, re.MULTILINE)
    assert colours == [(emotion, COLOURS[emotion]) for emotion in EMOTIONS]


def test_each_emotion_has_a_word() -> None:
    words = re.search(r"EMOTION_WORDS.*?\{(.*?)\}", source("words.ts"), re.DOTALL)
    assert words is not None
    assert tuple(re.findall(r'(\w+): "\w+"', words[1])) == EMOTIONS


def test_table_of_photos_has_the_columns_of_rows() -> None:
    text = source("save.tsx")
    found = re.search(r"export const COLUMNS = \[(.*?)\n\];", text, re.DOTALL)
    assert found is not None
    names = found[1].replace("...EMOTIONS.map((emotion) => `smoothed_${emotion}`)", '"smoothed"')
    measured = re.search(r"const MEASURED = \[(.*?)\]", text)
    assert measured is not None
    several = {
        "MEASURED": tuple(re.findall(r"\w+", measured[1])),
        "EMOTIONS": EMOTIONS,
        "smoothed": tuple(f"smoothed_{emotion}" for emotion in EMOTIONS),
    }
    flat: list[str] = []
    for name in re.findall(r'(?<=")\w+(?=")|(?<=\.\.\.)[A-Z]+', names):
        flat += several.get(name, (name,))
    assert tuple(flat) == COLUMNS


def test_how_often_it_errs_is_what_was_measured() -> None:
    """ "One face in six" and its like follow from the accuracy in docs/model.md."""
    model = (ROOT / "docs" / "model.md").read_text("utf-8")
    row = re.search(r"^\| accuracy \|(.*)\|$", model, re.MULTILINE)
    assert row is not None
    majority, _, argmax, _ = (float(cell.split()[0]) for cell in row[1].split("|")[:4])
    most, agreed = (COUNTS[round(100 / (100 - share))] for share in (argmax, majority))
    said = source("words.ts")
    assert f"about one face in {most} was read as another expression than the one that ten people" in said
    assert f"one in {agreed} where more than half of them agreed" in said
    recall = re.search(
        r"^Recall \(majority\):.*?disgust (\d+) .*?contempt (\d+) ", model, re.MULTILINE | re.DOTALL
    )
    assert recall is not None
    contempt, disgust = COUNTS[round(100 / int(recall[2]))], round(5 * int(recall[1]) / 100)
    assert disgust == 2
    assert f"Contempt was found in one of {contempt} faces, and disgust in two of five." in said


def test_page_never_says_feeling_of_a_face() -> None:
    denied = ("not what", "what you feel", "inner feeling", "same feeling", "what a person feels")
    for line in source("words.ts").splitlines():
        if re.search(r"\bfeel", line, re.IGNORECASE) and not line.startswith("//"):
            assert any(phrase in line for phrase in denied), line


@pytest.mark.parametrize("path", sorted((WEB / "src").glob("*.tsx")), ids=lambda path: path.name)
def test_no_english_outside_the_words(path: Path) -> None:
    text = re.sub(r"//.*", "", path.read_text("utf-8"))
    shown = re.findall(r">\s*([A-Z][a-z]+(?: [a-z]+)*)[^<>{}()=;]*</", text)
    told = re.findall(r'(?:aria-label|title|alt|placeholder)="([^"]*[A-Za-z][^"]*)"', text)
    assert shown + told == []


def test_built_files_are_of_these_sources() -> None:
    lines = (WEB / "built-from.sha256").read_text("utf-8").splitlines()
    for line in lines:
        digest, name = line.split()
        found = hashlib.sha256((WEB / name).read_bytes()).hexdigest()
        assert found == digest, f"{name} changed since the page was built: make page"
    noted = {line.split()[1] for line in lines}
    assert {f"src/{path.name}" for path in (WEB / "src").iterdir()} <= noted


def test_built_files_are_small_and_hold_to_the_policy() -> None:
    built = [path for path in STATIC.rglob("*") if path.is_file()]
    assert sum(len(gzip.compress(path.read_bytes())) for path in built) < 60_000
    html = (STATIC / "index.html").read_text("utf-8")
    assert not re.search(r"<style|style=|<script(?![^>]*\bsrc=)|\bon\w+=", html)
    assert "http" not in re.sub(r"http://www\.w3\.org/\S+", "", html)


def test_lock_file_names_no_registry() -> None:
    assert '"resolved"' not in (WEB / "package-lock.json").read_text("utf-8")
