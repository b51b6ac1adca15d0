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

from mien.evaluate import evaluation, metrics
from mien.labels import EMOTIONS
from mien.paper.folds import FoldOptions, draw_folds
from mien.paper.report import ACTION_UNITS, PROTOTYPES
from mien.paper.scores import (
    INTERVALS,
    SCORES,
    WINNER,
    EmotionScores,
    Threshold,
    fit_threshold,
    score,
    score_folds,
    sum_errors,
    summarize,
    winners,
)
from mien.paper.tables import (
    COLUMNS,
    MEASURES,
    NOT_EIGHT_WAY,
    SIZES,
    SLIPS,
    TRANSPOSED,
    paper_tables,
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


def test_misses_and_false_alarms_of_the_paper_are_those_of_separate_tests(data: dict[str, Any]) -> None:
    turned = sum_errors({e: [c.transposed() for c in folds] for e, folds in printed_counts().items()})
    assert (round(turned.misses, 2), round(turned.alarms, 2)) == (0.99, 7.06)
    printed = sum_errors(printed_counts())
    assert (round(printed.misses, 2), round(printed.alarms, 2)) == (1.01, 6.93)
    assert data["error_sums"]["turned"]["ratio"] == turned.ratio > 7


def test_one_network_that_answers_with_one_of_eight_has_as_many_misses_as_false_alarms() -> None:
    rng = np.random.default_rng(2)
    labels = np.repeat(np.arange(8), 2000)
    logits = rng.normal(size=(len(labels), 8)) + 1.5 * np.eye(8)[labels]
    logits[:, 7] -= 1  # one emotion is hardly ever the answer
    folds = draw_folds(labels, FoldOptions("kfold"))
    likeliest = {e: score_folds(f, winners(logits), [WINNER]).counts for e, f in folds.items()}
    assert sum_errors(likeliest).ratio == pytest.approx(1, abs=0.05)
    separate = {
        e: score_folds(f, logits, [fit_threshold(logits[:, k], labels == k)]).counts
        for k, (e, f) in enumerate(folds.items())
    }
    assert sum_errors(separate).ratio == pytest.approx(7, abs=1.5)


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
        assert want[0] == evaluation.PAPER[table["emotion"]]
    assert round(100 * data["macro"]["paper"]["accuracy"], 2) == 87.52
    assert data["macro"]["turned"]["sensitivity"] == data["macro"]["paper"]["precision"]


def plain(value: float) -> float | None:
    return None if np.isnan(value) else value


def test_figures_are_those_of_each_fold_and_of_the_summary(
    data: dict[str, Any], scored: dict[str, EmotionScores]
) -> None:
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["name"] == "toy"
    assert data["notes"] == [TRANSPOSED, SIZES, SLIPS, INTERVALS]
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
        "balanced_accuracy_95": list(metrics.bootstrap(EIGHT, metrics.recall)),
        "macro_f1": metrics.macro_f1(EIGHT),
        "macro_f1_95": list(metrics.bootstrap(EIGHT, metrics.f1)),
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
    for said in ("11:11 taken", "folds overlap", "Threshold: 0.5, a half."):
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
    assert "Threshold: 0.2 to 0.3, chosen." in text
    likeliest = {e: score_folds(f, PROBABILITIES, [WINNER]) for e, f in folds.items()}
    assert "\nNo threshold: the emotion with" in tables_as_text(table_data(likeliest, EIGHT, "toy"))


@pytest.mark.parametrize("folds", [2, 12])
def test_no_row_is_empty_where_there_are_other_numbers_of_folds_than_in_the_paper(folds: int) -> None:
    data = table_data(score_all(folds=folds), EIGHT, "toy")
    for table in list(paper_tables(data))[:10]:
        whose = [(row[0], row[1]) for row in table.rows]
        numbers = [fold for source, fold in whose if source == "Ours" and fold.lstrip("#").isdigit()]
        assert [number.lstrip("#") for number in numbers] == [str(i) for i in range(1, folds + 1)]
        assert sum(fold.lstrip("#").isdigit() for source, fold in whose if source == "Paper") == 10
        for row in table.rows:
            assert len(row) == len(table.head)
            assert any(cell not in ("", "-") for cell in row[3:]), row


def test_the_slips_of_the_text_stand_with_the_tables_that_show_them(data: dict[str, Any]) -> None:
    notes = {table.title.split(".")[0]: " ".join(table.notes) for table in paper_tables(data)}
    printed = printed_counts()
    low = min(score("sensitivity", counts) for counts in printed["neutral"])
    assert f"{100 * low:.2f} %" in notes["Table 3"]
    for number, emotion in ((4, "contempt"), (10, "fear")):
        error = 1 - np.mean([score("accuracy", counts) for counts in printed[emotion]])
        assert f"{100 * error:.1f} %" in notes[f"Table {number}"]


def test_claims_are_read_off_the_paper_and_off_ours(data: dict[str, Any]) -> None:
    (table,) = [table for table in paper_tables(data) if table.title.startswith("The paper's claims")]
    paper = [row[1] for row in table.rows]
    assert paper[:4] == ["5 of 8", "lowest fold 89.58", "85.11, 85.57", "33.43, 26.54"]
    ours = [row[2] for row in table.rows]
    summary = {t["emotion"]: t["ours"]["summary"] for t in data["measures"]}
    assert ours[0] == f"{sum(s['accuracy']['mean'] > 0.9 for s in summary.values())} of 8"
    assert ours[3] == ", ".join(
        f"{100 - 100 * summary[e]['accuracy']['mean']:.2f}" for e in ("contempt", "fear")
    )
    contempt = dict(zip(EMOTIONS, EIGHT[EMOTIONS.index("contempt")].tolist(), strict=True))
    wrong = sum(contempt.values()) - contempt.pop("contempt")
    assert ours[4].startswith(f"{contempt['neutral']} of {wrong} errors")
    if max(contempt.values()) > contempt["neutral"]:
        assert f"most: {max(contempt.values())} as " in ours[4]


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
