"""The report of a real, tiny reproduction."""

import base64
import json
import re
import shutil
import sys
from copy import deepcopy
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

pytest.importorskip("torch", reason="the learning half is not installed: pip install 'mien[train]'")
pytest.importorskip("matplotlib", reason="the report is not installed: pip install 'mien[report]'")

from mien.config import from_toml, to_toml
from mien.errors import DataError, MissingExtra
from mien.image import read_image
from mien.labels import EMOTIONS
from mien.paper.figures import curves_plot, load_pictures, save_pictures
from mien.paper.report import report_folder, write_report
from mien.paper.reproduce import PICTURES
from mien.paper.tables import COLUMNS
from mien.paper.variants import PaperRecipe

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ONE, WIDER = "paper-300-one", "paper-500-one"
VOID = {"meta", "link", "img", "br", "input", "hr"}


class Page(HTMLParser):
    """Fails on a tag closed without being open; keeps pictures, ids, and tables under their titles."""

    def __init__(self, html):
        super().__init__()
        self.open, self.images, self.ids, self.plots = [], [], [], []
        self.tables, self.title = [], ""
        self.feed(html)
        assert self.open == [], "a tag stays open"

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids += [found["id"]] if "id" in found else []
        if tag not in VOID:
            self.open.append(tag)
        if tag == "img":
            self.images.append(found)
        elif found.get("role") == "img":
            self.plots.append(found["aria-label"])
        elif tag in {"h2", "h3", "h4"}:
            self.title = ""
        elif tag == "table":
            self.tables.append((self.title, []))
        elif tag == "tr":
            self.tables[-1][1].append([])
        elif tag in {"td", "th"}:
            self.tables[-1][1][-1].append("")

    def handle_startendtag(self, _, attrs):
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.tables[-1][1][-1][-1] += data
        elif {"h2", "h3", "h4"} & set(self.open):
            self.title += data

    def of(self, title):
        """The rows of every table under titles that start so."""
        return [rows for name, rows in self.tables if name.startswith(title)]


@pytest.fixture(scope="module")
def folder(reproduced, tmp_path_factory):
    """Results of four variants: of one autoencoder and eight, one wider, a network of one begun anew."""
    out = tmp_path_factory.mktemp("out")
    results = json.loads((reproduced / "results.json").read_text())
    names = {name: name for name in ("paper-raw", ONE, "paper-300")} | {WIDER: ONE}
    for part in ("variants", "recipes"):
        results[part] = {name: deepcopy(results[part][held]) for name, held in names.items()}
    for name in ("paper-raw", "paper-300", WIDER):  # a panel of curves each, for time
        results["variants"][name]["curves"] = results["variants"][name]["curves"][:1]
    curves = results["variants"][ONE]["curves"]
    curves.append({**curves[-1], "part": "part-2", "stage": "whole/fear/again"})
    recipe = from_toml(PaperRecipe, results["recipes"][WIDER])
    results["recipes"][WIDER] = to_toml(replace(recipe, name=WIDER, hidden=(25,)))
    of_others = {pair["variants"][1]: pair for pair in results["pairs"]}
    pairs = {name: of_others[held] for name, held in names.items() if held in of_others}
    results["pairs"] = [{**pair, "variants": ["paper-raw", name]} for name, pair in pairs.items()]
    (out / "results.json").write_text(json.dumps(results))
    for name, held in names.items():
        (out / name).mkdir()
        shutil.copy(reproduced / held / PICTURES, out / name)
    return out


@pytest.fixture(scope="module")
def report(folder):
    """The file of the report, which takes seconds to draw."""
    return report_folder(folder)


@pytest.fixture(scope="module")
def html(report):
    return report.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


@pytest.fixture
def results(folder):
    return json.loads((folder / "results.json").read_text())


def percent(value):
    return "–" if value is None else f"{100 * value:.2f}"


def test_the_report_is_whole_html_with_every_picture_inside(html, page):
    assert len(page.images) >= 8 + 8 * 3 + 8 * 9 + 4 * (1 + 3 * 2), "samples, generated, maps of a width of 2"
    for image in page.images:
        assert image["alt"]
        kind, data = image["src"].split(",", 1)
        assert kind == "data:image/png;base64"
        assert read_image(base64.b64decode(data)).pixels.shape[:2] in {(48, 48), (24, 24), (12, 12)}
    assert len(page.plots) == 4 * 4, "network, accuracy, confusion, curves of each variant"
    assert all(page.plots)
    assert len(page.ids) == len(set(page.ids)), "a page has each name once"
    fetched = re.sub(r'xmlns(:\w+)?="[^"]*"|href="#[^"]*"', "", html)
    assert "://" not in fetched
    assert "<script" not in html


def test_each_figure_of_the_papers_tables_is_that_of_the_results(page, results):
    variants = results["variants"].values()
    for number in (1, 2):
        for rows, figures in zip(page.of(f"Table {number}. "), variants, strict=True):
            ours = figures["matrices"][number - 1]["ours"]
            pairs = [(fold, cells) for fold in ours for cells in (("tp", "fp"), ("fn", "tn"))]
            counts = [[str(fold[cell]) for cell in cells] for fold, cells in pairs]
            assert [row[-2:] for row in rows if row[0] == "Ours"] == counts
    for number in range(3, 11):
        for rows, figures in zip(page.of(f"Table {number}. "), variants, strict=True):
            table = figures["measures"][number - 3]
            for i, fold in enumerate(table["paper"]["folds"]):
                cells = [percent(fold[score]) for score in COLUMNS]
                assert ["Paper", str(i + 1), *cells] in rows
            for i, fold in enumerate(table["ours"]["folds"]):
                cells = [percent(fold[score]) for score in COLUMNS]
                assert ["Ours", str(i + 1), *cells] in rows
            assert not [row for row in rows[2:] if set(row[2:]) <= {"", "–"}], "no empty rows"


def test_the_variants_stand_side_by_side(page, results):
    assert "87.52" in page.of("Summary")[0][1]
    rows = page.of("The variants side by side")[0][1:]
    for row, (name, figures) in zip(rows, results["variants"].items(), strict=True):
        eight = figures["eight_way"]
        assert row[0].startswith(name)
        for cell, score in zip(row[1:4], ("accuracy", "balanced_accuracy", "macro_f1"), strict=True):
            low, high = eight[f"{score}_95"]
            assert cell == f"{percent(eight[score])}{percent(low)} to {percent(high)}"
        assert row[4] == percent(figures["macro"]["ours"]["accuracy"])
        assert row[7].replace("\u202f", "") == str(figures["size"]["parameters"])
    pair = results["pairs"][0]
    assert pair["variants"] == ["paper-raw", "paper-300-one"]
    assert rows[0][5:7] == ["–", "–"]
    assert rows[1][5].startswith(f"{-100 * pair['difference']:+.2f}")
    error = results["variants"]["paper-300-one"]["reconstruction"]
    below = f"{100 * error['negative']:.0f} % below zero"
    assert rows[1][9] == f"{error['autoencoder']:.2f}PCA of 15: {error['pca']:.2f}{below}"


def test_the_test_of_a_reading_stands_for_each_variant_beside_the_papers(page, results):
    (rows,) = page.of("Misses and false alarms: which system")[:1]
    assert rows[1] == ["Paper", "0.99", "7.06", "7.15"]
    for row, (name, figures) in zip(rows[2:], results["variants"].items(), strict=True):
        sums = figures["error_sums"]["ours"]
        assert row == [name, *(f"{sums[key]:.2f}" for key in ("misses", "alarms", "ratio"))]


def test_a_network_that_was_begun_anew_is_named_first(html):
    assert "begun anew at a lower rate: part-2/whole/fear" in html[: html.index("<table")]


@pytest.mark.slow  # a browser starts
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (on Debian: apt-get install chromium)")
def test_on_paper_all_tables_are_to_be_seen_and_none_is_cut_off(report):
    api = pytest.importorskip("playwright.sync_api", reason="needs Playwright (pip install 'mien[dev]')")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 703, "height": 1000})  # A4 within its margins
        tab.emulate_media(media="print")
        tab.goto(report.as_uri())
        titles = [tab.locator(f"h4:has-text('Table {number}.')") for number in range(1, 11)]
        seen = [title.nth(0).is_visible() for title in titles]
        tables = tab.locator("details h4 + .scroll table")
        lost = tab.evaluate(
            "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        heights = tables.evaluate_all("all => all.map(table => table.getBoundingClientRect().height)")
        browser.close()
    assert all(seen)
    assert lost == 0
    assert len(heights) >= 4 * 10
    assert min(heights) > 0


def test_generated_pictures_of_both_widths_stand_beside_the_original(html, page):
    (rows,) = page.of("Originals beside")
    assert [head.split("error")[0] for head in rows[0]] == [
        "emotion",
        "original",
        "paper-300-one",
        "paper-500-one",
    ]
    assert len(rows) == 1 + 8
    assert 'alt="Generated from fear by  paper-500"' not in html


def test_eight_autoencoders_have_a_column_each(page):
    (rows,) = page.of("paper-300: the autoencoder of each")
    assert [head.split("error")[0] for head in rows[0]] == ["emotion", "original", *EMOTIONS]


def test_a_name_that_is_markup_is_shown_as_text(folder, results, tmp_path):
    name = "<script>alert(1)</script>"
    for part in ("variants", "recipes"):
        results[part] = {name: results[part][WIDER]}
    for curve in results["variants"][name]["curves"]:
        curve["stage"] = name
    results |= {"corpus": name, "provenance": {name: {name: name}}, "pairs": []}
    write_report(results, {name: load_pictures(folder / WIDER / PICTURES)}, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_the_same_figures_give_the_same_bytes():
    curves = [{"stage": "whole", "lines": [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0}]}]
    assert curves_plot(curves, "a") == curves_plot(curves, "a")


def test_a_folder_without_results_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match="mien reproduce paper"):
        report_folder(tmp_path)


def test_without_the_extra_the_install_is_named(folder, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=r"mien\[report\]"):
        report_folder(folder)


def test_a_gallery_comes_back_as_it_was_kept(folder, tmp_path):
    kept = load_pictures(folder / "paper-300-one" / PICTURES)
    assert [maps.shape[1:] for maps in kept.maps] == [(48, 48), (24, 24), (12, 12)]
    assert kept.generated.shape == (8, 1, 48, 48)
    assert set(kept.mistaken_truth) <= {EMOTIONS.index("contempt"), EMOTIONS.index("fear")}
    assert (kept.mistaken_scores.argmax(1) != kept.mistaken_truth).all()
    save_pictures(tmp_path / "again.npz", replace(kept, generated=None))
    again = load_pictures(tmp_path / "again.npz")
    assert again.generated is None
    assert np.array_equal(again.originals, kept.originals)
    (tmp_path / "again.npz").write_bytes(b"PK broken")
    with pytest.raises(DataError, match="remove the file"):
        load_pictures(tmp_path / "again.npz")


def test_the_report_tells_what_sets_each_pair_of_emotions_apart(page):
    (rows,) = page.of("What the row has")
    assert rows[0][1:] == list(EMOTIONS)
    cells = {(row[0], EMOTIONS[i]): cell for row in rows[1:] for i, cell in enumerate(row[1:])}
    assert cells["fear", "sadness"] == "2 5 20 252 shared: 1 4"
    assert cells["sadness", "fear"] == "15 172 shared: 1 4"
    assert cells["contempt", "neutral"] == "140 shared"
    assert cells["fear", "fear"] == ""
