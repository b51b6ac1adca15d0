"""The paper's 80 rows to their printed digits, and ours beside them as data and as tables."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from dataclasses import asdict
from importlib.resources import files
from typing import Any

import numpy as np
import pytest

from mien.evaluate import metrics, tables
from mien.labels import EMOTIONS
from mien.paper.folds import FoldOptions, draw_folds
from mien.paper.report import ACTION_UNITS, PROTOTYPES
from mien.paper.scores import INTERVALS, SCORES, EmotionScores, Threshold, score, score_folds, summarize
from mien.paper.tables import (
    COLUMNS,
    MEASURES,
    NOT_EIGHT_WAY,
    SIZES,
    TRANSPOSED,
    printed_counts,
    table_data,
    tables_as_csv,
    tables_as_text,
)

LABELS = np.repeat(np.arange(8), [160, 50, 40, 40, 40, 30, 30, 16])
PROBABILITIES = np.random.default_rng(0).random((len(LABELS), 8)) * 0.6 + 0.2 * np.eye(8)[LABELS]
EIGHT = metrics.confusion(LABELS, PROBABILITIES.argmax(axis=1))
PRINTED = list(csv.DictReader(io.StringIO(files("mien.paper").joinpath("paper_tables.csv").read_text())))

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


def score_all(probabilities: np.ndarray = PROBABILITIES, **options: Any) -> dict[str, EmotionScores]:
    return {e: score_folds(f, probabilities) for e, f in draw_folds(LABELS, FoldOptions(**options)).items()}


@pytest.fixture(scope="module")
def scored() -> dict[str, EmotionScores]:
    return score_all()


@pytest.fixture(scope="module")
def data(scored: dict[str, EmotionScores]) -> dict[str, Any]:
    return table_data(scored, EIGHT, "toy")


def test_all_80_rows_come_out_to_the_printed_digits() -> None:
    assert [(row["table"], row["emotion"], row["fold"]) for row in PRINTED] == [
        (str(table), emotion, str(fold)) for table, emotion in MEASURES.items() for fold in range(1, 11)
    ]
    assert set(MEASURES.values()) == set(EMOTIONS)
    for row in PRINTED:
        counts = printed_counts()[row["emotion"]][int(row["fold"]) - 1]
        got = [f"{100 * score(name, counts):.2f}" for name in SCORES]
        want = [row[column] for column in ("acc", "sens", "spec", "prec", "npv", "f1")]
        assert got == want, f"Table {row['table']}, fold {row['fold']}"


def test_every_printed_prediction_sums_to_140_and_turned_every_actual_class() -> None:
    printed = [counts for folds in printed_counts().values() for counts in folds]
    assert all(c.tp + c.fp == 140 == c.fn + c.tn for c in printed)
    assert any(c.tp + c.fn != 140 for c in printed)
    swapped = {"sensitivity": "precision", "specificity": "npv", "accuracy": "accuracy", "f1": "f1"}
    for counts in printed:  # the swap that TRANSPOSED tells of
        turned = counts.transposed()
        assert turned.tp + turned.fn == 140 == turned.fp + turned.tn
        for one, other in swapped.items():
            assert (score(one, turned), score(other, turned)) == (score(other, counts), score(one, counts))


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


def plain(value: float) -> float | None:
    return None if np.isnan(value) else value


def test_figures_are_those_of_each_fold_and_of_the_summary(
    data: dict[str, Any], scored: dict[str, EmotionScores]
) -> None:
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["name"] == "toy"
    assert data["notes"] == [TRANSPOSED, SIZES, INTERVALS]
    assert [m["ours"] for m in data["matrices"]] == [
        [asdict(c) for c in scored[emotion].counts] for emotion in ("neutral", "contempt")
    ]
    assert [(table["table"], table["emotion"]) for table in data["measures"]] == list(MEASURES.items())
    for table in data["measures"]:
        result, paper = scored[table["emotion"]], printed_counts()[table["emotion"]]
        assert table["drawing"] == result.folds.record()
        assert table["thresholds"] == [{"value": 0.5, "how": "a half"}] * 10
        sources = {
            "paper": (paper, None),
            "turned": ([c.transposed() for c in paper], None),
            "ours": (result.counts, result.folds.effective),
        }
        for source, (counts, effective) in sources.items():
            assert table[source]["folds"] == [
                {"counts": asdict(c), **{name: plain(score(name, c)) for name in SCORES}} for c in counts
            ]
            for name, want in summarize(counts, effective=effective).items():
                got = table[source]["summary"][name]
                assert got["wilson_95"] == [plain(end) for end in want.wilson_95]
                assert got["bootstrap_95"] == [plain(end) for end in want.bootstrap_95]
                for key in ("mean", "deviation", "low", "high"):
                    assert got[key] == plain(getattr(want, key))
    means = [table["ours"]["summary"]["f1"]["mean"] for table in data["measures"]]
    assert data["macro"]["ours"]["f1"] == pytest.approx(np.mean(means))
    assert data["eight_way"] == {
        "n": len(LABELS),
        "accuracy": metrics.accuracy(EIGHT),
        "accuracy_95": list(metrics.wilson(int(EIGHT.trace()), len(LABELS))),
        "balanced_accuracy": metrics.balanced_accuracy(EIGHT),
        "balanced_accuracy_95": list(metrics.bootstrap(EIGHT, metrics.balanced_accuracy)),
        "macro_f1": metrics.macro_f1(EIGHT),
        "macro_f1_95": list(metrics.bootstrap(EIGHT, metrics.macro_f1)),
        "labels": list(EMOTIONS),
        "counts": EIGHT.tolist(),
    }


def test_half_right_among_eight_is_71_percent_at_50_50() -> None:
    even = np.full((8, 8), 10)  # the sentence's example: 70 right of 140, 10 read as each other
    np.fill_diagonal(even, 70)
    assert metrics.accuracy(even) == 0.5
    assert metrics.one_vs_rest(even) == pytest.approx(np.full(8, 0.714), abs=0.0005)
    assert "71 %" in NOT_EIGHT_WAY


def test_text_holds_the_papers_rows_and_ours(data: dict[str, Any]) -> None:
    text = tables_as_text(data)
    lines = text.splitlines()
    assert max(len(line) for line in lines) <= 110
    start = lines.index("Table 4. Statistical measures of the performance of Contempt emotion classification")
    assert lines[start + 3].split() == ["Fold", *list(COLUMNS.values()) * 2]
    fold = lines[start + 4].split()
    assert fold[:7] == ["1", "64.64", "63.58", "65.89", "68.57", "60.71", "65.98"]
    ours = data["measures"][1]["ours"]["folds"][0]
    assert fold[7:] == ["-" if ours[s] is None else f"{100 * ours[s]:.2f}" for s in SCORES]
    below = "\n".join(lines[start + 14 : start + 30])
    for said in ("11:11 taken", "folds overlap", "Threshold: a half (0.5)."):
        assert said in below
    for title in [*(f"Table {n}." for n in range(1, 11)), "balanced accuracy", "8-way confusion matrix"]:
        assert title in text
    assert NOT_EIGHT_WAY in " ".join(text.split())


def test_csv_holds_counts_and_unrounded_scores(data: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(tables_as_csv(data))))
    assert Counter(row["source"] for row in rows) == {"paper": 80, "turned": 80, "ours": 80}
    for row in rows:
        tp, fn, fp, tn = (int(row[cell]) for cell in ("tp", "fn", "fp", "tn"))
        assert float(row["accuracy"]) == (tp + tn) / (tp + fn + fp + tn)
        assert row["precision"] == ("" if tp + fp == 0 else str(tp / (tp + fp)))


def test_other_numbers_of_folds_and_thresholds_are_told() -> None:
    folds = draw_folds(LABELS, FoldOptions("kfold", folds=2))
    chosen = [Threshold(value, "chosen") for value in (0.2, 0.3)]
    scored = {e: score_folds(f, PROBABILITIES, chosen) for e, f in folds.items()}
    text = tables_as_text(table_data(scored, EIGHT, "toy"))
    assert "Ours: design kfold, seed 0" in text
    assert "Threshold: chosen (0.2 to 0.3)." in text
    assert "\n12 " in tables_as_text(table_data(score_all(folds=12), EIGHT, "toy"))


def test_a_mean_over_emotions_is_of_those_that_define_it() -> None:
    everybody = np.zeros((len(LABELS), 8))
    everybody[:, 6] = 1  # read as fear, and as nothing else
    data = table_data(score_all(everybody, folds=2), EIGHT, "toy")
    assert data["macro"]["ours"]["precision"] == 0.5  # fear's
    assert data["macro"]["ours"]["npv"] == 0.5  # of the seven others
    assert data["measures"][5]["ours"]["summary"]["precision"]["mean"] is None  # nothing read as anger
    nothing = table_data(score_all(np.zeros((len(LABELS), 8)), folds=2), EIGHT, "toy")
    assert nothing["macro"]["ours"]["precision"] is None
    assert json.loads(json.dumps(nothing, allow_nan=False)) == nothing


def test_action_units_agree_with_what_the_paper_says_of_them() -> None:
    assert PROTOTYPES["contempt"] == {14}, "section 4: only one action unit, the dimple"
    assert PROTOTYPES["fear"] & PROTOTYPES["sadness"] == {1, 4}, "section 4: brow lower and inner brow raise"
    assert set(PROTOTYPES) == set(EMOTIONS)
    assert set().union(*PROTOTYPES.values()) == set(ACTION_UNITS)
    assert len(set(PROTOTYPES.values())) == 8, "each pair can be told apart"
