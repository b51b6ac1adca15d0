"""The paper's 80 rows to their printed digits, and ours beside them as data and as tables."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from mien.evaluate import metrics, tables
from mien.labels import EMOTIONS
from mien.paper.folds import FoldOptions, draw_folds
from mien.paper.report import ACTION_UNITS, PROTOTYPES
from mien.paper.scores import INTERVALS, SCORES, Threshold, score, score_folds, summarize
from mien.paper.tables import (
    COLUMNS,
    MEASURES,
    NOT_EIGHT_WAY,
    SIZES,
    TRANSPOSED,
    printed_folds,
    table_data,
    tables_as_csv,
    tables_as_text,
)

LABELS = np.repeat(np.arange(8), [60, 50, 40, 40, 40, 30, 30, 16])

#: Mean, least and greatest accuracy of the ten folds, read off Tables 3-10 by hand.
ACCURACY = {
    "neutral": (93.75, 90.71, 97.86),
    "contempt": (66.57, 63.93, 70.71),
    "happiness": (97.50, 96.43, 98.21),
    "sadness": (97.29, 94.64, 98.21),
    "disgust": (85.11, 82.50, 88.21),
    "anger": (93.21, 90.71, 94.64),
    "surprise": (93.29, 91.43, 95.36),
    "fear": (73.46, 71.07, 76.43),
}


def make_data(*, without: tuple[str, ...] = (), design: str = "repeated", folds: int = 10) -> dict[str, Any]:
    logits = np.random.default_rng(0).normal(size=(len(LABELS), 8)) + 2 * np.eye(8)[LABELS]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    drawn = draw_folds(LABELS, FoldOptions(design, folds=folds))
    scored = {e: score_folds(f, probabilities) for e, f in drawn.items() if e not in without}
    return table_data(scored, eight=metrics.confusion(LABELS, probabilities.argmax(axis=1)), name="toy")


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    return make_data()


def test_all_80_rows_come_out_to_the_printed_digits() -> None:
    printed_folds.cache_clear()  # the file is read here, whatever ran before
    assert len(printed_folds()) == 80
    assert [(row.table, row.fold) for row in printed_folds()] == [
        (t, f) for t in range(3, 11) for f in range(1, 11)
    ]
    assert {row.repaired for row in printed_folds()} > {""}
    assert Counter(row.emotion for row in printed_folds()) == dict.fromkeys(EMOTIONS, 10)
    for row in printed_folds():
        assert MEASURES[row.table] == row.emotion
        for name in SCORES:
            got = f"{100 * score(name, row.counts):.2f}"
            assert got == f"{row.scores[name]:.2f}", f"Table {row.table}, fold {row.fold}, {name}"


def test_every_printed_prediction_sums_to_140_and_the_actual_classes_do_not() -> None:
    for row in printed_folds():
        assert row.counts.tp + row.counts.fp == 140 == row.counts.fn + row.counts.tn
    assert any(row.counts.tp + row.counts.fn != 140 for row in printed_folds())
    turned = [row.counts.transposed() for row in printed_folds()]
    assert all(c.tp + c.fn == 140 == c.fp + c.tn for c in turned)
    for row, counts in zip(printed_folds(), turned, strict=True):  # the swap that TRANSPOSED tells of
        assert f"{100 * score('sensitivity', counts):.2f}" == f"{row.scores['precision']:.2f}"
        assert f"{100 * score('specificity', counts):.2f}" == f"{row.scores['npv']:.2f}"
        assert f"{100 * score('accuracy', counts):.2f}" == f"{row.scores['accuracy']:.2f}"
        assert f"{100 * score('f1', counts):.2f}" == f"{row.scores['f1']:.2f}"


def test_matrices_are_those_of_tables_1_and_2(data: dict[str, Any]) -> None:
    neutral, contempt = data["matrices"]
    assert [(m["table"], m["emotion"]) for m in (neutral, contempt)] == [(1, "neutral"), (2, "contempt")]
    assert neutral["paper"][0] == {"tp": 130, "fp": 10, "fn": 5, "tn": 135}
    assert neutral["paper"][9] == {"tp": 126, "fp": 14, "fn": 10, "tn": 130}
    assert contempt["paper"][9] == {"tp": 97, "fp": 43, "fn": 39, "tn": 101}


def test_means_of_the_paper(data: dict[str, Any]) -> None:
    for table in data["measures"]:
        got = table["paper"]["summary"]["accuracy"]
        want = ACCURACY[table["emotion"]]
        assert tuple(round(100 * got[key], 2) for key in ("mean", "low", "high")) == want
        assert want[0] == tables.PAPER[table["emotion"]]
    assert round(100 * data["macro"]["paper"]["accuracy"], 2) == 87.52
    assert data["macro"]["turned"]["sensitivity"] == data["macro"]["paper"]["precision"]


def test_figures_are_plain_json_and_hold_every_fold(data: dict[str, Any]) -> None:
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert [table["table"] for table in data["measures"]] == list(range(3, 11))
    for table in data["measures"]:
        assert len(table["paper"]["folds"]) == len(table["ours"]["folds"]) == 10
        counts = table["ours"]["folds"][0]["counts"]
        assert counts["tp"] + counts["fn"] == table["drawing"]["taken"]["positives"]
        mean = np.mean([fold["accuracy"] for fold in table["ours"]["folds"]])
        assert table["ours"]["summary"]["accuracy"]["mean"] == pytest.approx(mean)
    means = [table["ours"]["summary"]["f1"]["mean"] for table in data["measures"]]
    assert data["macro"]["ours"]["f1"] == pytest.approx(np.mean(means))


def test_8_way_stands_beside_with_what_it_is_not(data: dict[str, Any]) -> None:
    eight = data["eight_way"]
    counts = np.array(eight["counts"])
    assert eight["n"] == len(LABELS) == counts.sum()
    assert eight["accuracy"] == counts.trace() / counts.sum()
    assert eight["accuracy_95"][0] < eight["accuracy"] < eight["accuracy_95"][1]
    said = " ".join(tables_as_text(data).split())
    for text in (NOT_EIGHT_WAY, TRANSPOSED, "balanced accuracy", "8-way confusion matrix"):
        assert text in said


def test_half_right_among_eight_is_71_percent_at_50_50() -> None:
    even = np.full((8, 8), 10)  # the sentence's example: 70 right of 140, 10 read as each other
    np.fill_diagonal(even, 70)
    assert metrics.accuracy(even) == 0.5
    assert metrics.one_vs_rest(even) == pytest.approx(np.full(8, 0.714), abs=0.0005)
    assert "71 %" in NOT_EIGHT_WAY


def test_text_holds_the_papers_rows_and_ours(data: dict[str, Any]) -> None:
    lines = tables_as_text(data).splitlines()
    assert max(len(line) for line in lines) <= 110
    start = lines.index("Table 4. Statistical measures of the performance of Contempt emotion classification")
    assert lines[start + 3].split() == ["Fold", *list(COLUMNS.values()) * 2]
    fold = lines[start + 4].split()
    assert fold[:7] == ["1", "64.64", "63.58", "65.89", "68.57", "60.71", "65.98"]
    ours = data["measures"][1]["ours"]["folds"][0]
    assert fold[7:] == ["-" if ours[s] is None else f"{100 * ours[s]:.2f}" for s in SCORES]
    below = "\n".join(lines[start + 14 : start + 30])
    assert "16:16 taken" in below
    assert "folds overlap" in below
    assert "Threshold: a half (0.5)." in below
    assert [f"Table {n}." in "\n".join(lines) for n in range(1, 11)] == [True] * 10


def test_csv_holds_counts_and_unrounded_scores(data: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(tables_as_csv(data))))
    assert Counter(row["source"] for row in rows) == {"paper": 80, "turned": 80, "ours": 80}
    for row in rows:
        tp, fn, fp, tn = (int(row[cell]) for cell in ("tp", "fn", "fp", "tn"))
        assert float(row["accuracy"]) == (tp + tn) / (tp + fn + fp + tn)
        assert row["precision"] == ("" if tp + fp == 0 else str(tp / (tp + fp)))


def test_an_emotion_that_was_not_judged_is_a_dash_and_named() -> None:
    data = make_data(without=("contempt", "fear"))
    text = tables_as_text(data)
    assert "Ours: no folds of fear were judged." in text
    assert "Our mean is over 6 emotions, without contempt, fear." in text
    assert Counter(r["source"] for r in csv.DictReader(io.StringIO(tables_as_csv(data))))["ours"] == 60
    nothing = table_data({})
    assert nothing["macro"]["ours"] is None
    assert nothing["eight_way"] is None
    assert json.loads(json.dumps(nothing, allow_nan=False)) == nothing
    assert "8-way confusion" not in tables_as_text(nothing)


def test_other_numbers_of_folds_and_thresholds_are_told() -> None:
    data = make_data(design="kfold", folds=2)
    data["measures"][0]["thresholds"] = [
        {"value": v, "how": "best balanced accuracy on train"} for v in (0.2, 0.3)
    ]
    text = tables_as_text(data)
    assert "Ours: design kfold, seed 0" in text
    assert "Threshold: best balanced accuracy on train (0.2 to 0.3)." in text
    assert len(data["measures"][0]["ours"]["folds"]) == 2
    twelve = tables_as_text(make_data(folds=12))
    assert "\n12 " in twelve


def plain(value: float) -> float | None:
    return None if np.isnan(value) else value


def test_figures_are_those_of_each_fold_and_of_the_summary() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(8), 12)
    scores = rng.random((96, 8)) * 0.6 + 0.2 * np.eye(8)[labels]
    drawn = draw_folds(labels, FoldOptions(folds=2))
    scored = {emotion: score_folds(drawn[emotion], scores) for emotion in ("neutral", "contempt", "fear")}
    eight = metrics.confusion(labels, scores.argmax(axis=1))
    data = table_data(scored, eight=eight)
    assert data["name"] == "ours"
    assert data["notes"] == [TRANSPOSED, SIZES, INTERVALS]
    assert [m["ours"] for m in data["matrices"]] == [
        [asdict(c) for c in scored[emotion].counts] for emotion in ("neutral", "contempt")
    ]
    paper = {
        emotion: [row.counts for row in printed_folds() if row.emotion == emotion] for emotion in EMOTIONS
    }
    for table in data["measures"]:
        emotion = table["emotion"]
        result = scored.get(emotion)
        assert (table["table"], emotion) in MEASURES.items()
        assert table["drawing"] == (result and result.folds.record())
        assert table["thresholds"] == (result and [{"value": 0.5, "how": "a half"}] * 2)
        sources = {
            "paper": (paper[emotion], None),
            "turned": ([c.transposed() for c in paper[emotion]], None),
            "ours": (result.counts, result.folds.effective) if result else None,
        }
        for source, given in sources.items():
            if given is None:
                assert table[source] is None
                continue
            counts, effective = given
            assert table[source]["folds"] == [
                {"counts": asdict(c), **{name: plain(score(name, c)) for name in SCORES}} for c in counts
            ]
            for name, want in summarize(counts, effective=effective).items():
                got = table[source]["summary"][name]
                assert got["wilson_95"] == [plain(end) for end in want.wilson_95]
                assert got["bootstrap_95"] == [plain(end) for end in want.bootstrap_95]
                for key in ("mean", "deviation", "low", "high"):
                    assert got[key] == plain(getattr(want, key))
    assert data["eight_way"] == {
        "n": 96,
        "accuracy": metrics.accuracy(eight),
        "accuracy_95": list(metrics.wilson(int(eight.trace()), 96)),
        "balanced_accuracy": metrics.balanced_accuracy(eight),
        "balanced_accuracy_95": list(metrics.bootstrap(eight, metrics.balanced_accuracy)),
        "macro_f1": metrics.macro_f1(eight),
        "macro_f1_95": list(metrics.bootstrap(eight, metrics.macro_f1)),
        "labels": list(EMOTIONS),
        "counts": eight.tolist(),
    }


def test_a_mean_over_emotions_is_of_those_that_define_it() -> None:
    labels = np.repeat(np.arange(8), 12)
    drawn = draw_folds(labels, FoldOptions(folds=2))
    never, always = np.zeros((96, 8)), np.ones((96, 8))  # nobody is read as anger, everybody as fear
    scored = {"anger": score_folds(drawn["anger"], never), "fear": score_folds(drawn["fear"], always)}
    macro = table_data(scored)["macro"]["ours"]
    assert (macro["precision"], macro["npv"]) == (0.5, 0.5)  # each of one of the two alone
    assert (macro["sensitivity"], macro["accuracy"]) == (0.5, 0.5)
    assert table_data({"anger": scored["anger"]})["macro"]["ours"]["precision"] is None


def test_thresholds_go_into_the_figures() -> None:
    folds = draw_folds(LABELS, FoldOptions(folds=2))["anger"]
    result = score_folds(folds, np.zeros((len(LABELS), 8)), Threshold(0.25, "chosen on toy"))
    table = table_data({"anger": result})["measures"][5]
    assert table["thresholds"] == [{"value": 0.25, "how": "chosen on toy"}] * 2
    assert table["ours"]["summary"]["precision"]["mean"] is None  # nothing read as anger


def test_action_units_agree_with_what_the_paper_says_of_them() -> None:
    assert PROTOTYPES["contempt"] == {14}, "section 4: only one action unit, the dimple"
    assert PROTOTYPES["fear"] & PROTOTYPES["sadness"] == {1, 4}, (
        "section 4: the brow lower and inner brow raise"
    )
    assert set(PROTOTYPES) == set(EMOTIONS)
    assert set().union(*PROTOTYPES.values()) == set(ACTION_UNITS)
    assert len(set(PROTOTYPES.values())) == 8, "each pair can be told apart"
