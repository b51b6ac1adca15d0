"""The report of a real, tiny reproduction."""

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

pytest.importorskip("torch", reason="the learning half is not installed: pip install 'mien[train]'")
pytest.importorskip("jinja2", reason="the report is not installed: pip install 'mien[report]'")

from mien.errors import DataError, MissingExtra
from mien.evaluate import report as module
from mien.evaluate.action_units import PROTOTYPES, UNITS, apart, shared
from mien.evaluate.gallery import load_gallery, save_gallery
from mien.evaluate.report import report_folder, write_report
from mien.image import read_image
from mien.labels import EMOTIONS
from mien.recipes.reproduce import GALLERY, Plan, reproduce
from test_reproduce import FOLDS, material, tiny  # noqa: F401  a fixture

VOID = {"meta", "link", "img", "br", "input", "hr"}


class Balanced(HTMLParser):
    """Fails on a tag that is closed without being open, or stays open."""

    def __init__(self):
        super().__init__()
        self.open = []
        self.images = []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def folder(material, tmp_path_factory):  # noqa: F811
    out = tmp_path_factory.mktemp("out")
    reproduce(Plan((tiny("paper-raw"), tiny("paper-300")), FOLDS), material, out)
    return out


@pytest.fixture(scope="module")
def html(folder):
    return report_folder(folder).read_text(encoding="utf-8")


def test_the_report_is_whole_html_with_every_picture_inside(html):
    page = Balanced()
    page.feed(html)
    assert page.open == []
    assert len(page.images) >= 8 + 8 * 2 + 2 * (1 + 3 * 2), "samples, generated, maps of a width of 2"
    for image in page.images:
        assert image["alt"]
        kind, data = image["src"].split(",", 1)
        assert kind == "data:image/png;base64"
        pixels = read_image(base64.b64decode(data)).pixels
        assert pixels.shape[0] in (48, 24, 12)
    assert "://" not in re.sub(r'xmlns(:\w+)?="[^"]*"|href="#[^"]*"|<!DOCTYPE[^>]*>', "", html)


def test_the_report_holds_the_papers_ten_tables_and_our_figures(html, folder):
    for number in range(1, 11):
        assert f"Table {number}. " in html
    results = json.loads((folder / "results.json").read_text())
    for figures in results["variants"].values():
        assert f"{100 * figures['eight_way']['accuracy']:.2f}" in html
        assert f"{100 * figures['macro']['ours']['accuracy']:.2f}" in html
    assert "87.52" in html
    pair = results["pairs"][0]
    assert pair["variants"] == ["paper-raw", "paper-300"]
    assert f"{-100 * pair['difference']:+.2f}<small>p {pair['p']:.2g}" in html
    error = results["variants"]["paper-300"]["reconstruction"]
    assert f"{error['autoencoder']:.2f}" in html
    assert "transposed" in html


def test_the_same_results_give_the_same_bytes(folder, html):
    assert report_folder(folder).read_text(encoding="utf-8") == html


def test_a_name_that_is_markup_is_shown_as_text(folder, tmp_path):
    results = json.loads((folder / "results.json").read_text())
    name = "<script>alert(1)</script>"
    for part in ("variants", "recipes"):
        results[part] = {name: results[part]["paper-raw"]}
    results["pairs"] = []
    write_report(results, {}, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_without_galleries_and_newer_keys_the_tables_are_still_there(folder, tmp_path):
    results = json.loads((folder / "results.json").read_text())
    for figures in results["variants"].values():
        for key in ("reconstruction", "curves", "size", "threshold"):
            del figures[key]
    write_report(results, {}, tmp_path / "report.html")
    page = Balanced()
    page.feed((tmp_path / "report.html").read_text())
    assert page.open == []


def test_a_folder_without_results_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match="mien reproduce paper"):
        report_folder(tmp_path)


def test_without_the_extra_the_install_is_named(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    with pytest.raises(MissingExtra, match=r"mien\[report\]"):
        module.report_folder(folder)


def test_a_gallery_comes_back_as_it_was_kept(folder, tmp_path):
    kept = load_gallery(folder / "paper-300" / GALLERY)
    assert [maps.shape[1:] for maps in kept.maps] == [(48, 48), (24, 24), (12, 12)]
    assert kept.generated.shape == (8, 1, 48, 48)
    assert set(kept.mistaken_truth) <= {EMOTIONS.index("contempt"), EMOTIONS.index("fear")}
    assert (kept.mistaken_scores.argmax(1) != kept.mistaken_truth).all()
    save_gallery(tmp_path / "again.npz", replace(kept, generated=None))
    again = load_gallery(tmp_path / "again.npz")
    assert again.generated is None
    assert np.array_equal(again.originals, kept.originals)
    (tmp_path / "again.npz").write_bytes(b"PK broken")
    with pytest.raises(DataError, match="remove the file"):
        load_gallery(tmp_path / "again.npz")


def test_action_units_agree_with_what_the_paper_says_of_them():
    assert PROTOTYPES["contempt"] == {14}, "section 4: only one action unit, the dimple"
    assert shared("fear", "sadness") == (1, 4), "section 4: the inner brow raise and the brow lower"
    assert set(PROTOTYPES) == set(EMOTIONS)
    assert set().union(*PROTOTYPES.values()) == set(UNITS)
    assert apart("neutral", "contempt") == (14,)
    assert all(apart(a, b) for a in EMOTIONS for b in EMOTIONS if a != b)
