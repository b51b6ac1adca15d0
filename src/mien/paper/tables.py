"""Tables 1-10 of the paper, ours beside its own: as plain data, as text and as CSV.

`paper_tables.csv` is our own transcription of all 80 rows of the paper's Tables 3-10, with the one matrix of
280 pictures that gives each row, and the cells repaired from scanning damage named.

    scores (EmotionScores) + 8 x 8 counts -> table_data (JSON-able) -> paper_tables -> text or HTML

Everything below `table_data` reads the plain data alone, which is what `results.json` holds.

Legend: K = 8 emotions; F folds.
"""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from mien.card import percent
from mien.evaluate import metrics
from mien.evaluate.metrics import to_json
from mien.labels import EMOTIONS
from mien.paper.scores import (
    INTERVALS,
    SCORES,
    WINNER,
    BinaryCounts,
    EmotionScores,
    score,
    sum_errors,
    summarize,
)

#: The paper's confusion matrices, one for each fold: number of the table to the emotion.
MATRICES: Final = {1: "neutral", 2: "contempt"}
#: Its statistical measures, in its order.
MEASURES: Final = dict(
    enumerate(("neutral", "contempt", "happiness", "sadness", "disgust", "anger", "surprise", "fear"), 3)
)
#: Our scores to the heads of its columns.
COLUMNS: Final = {
    "accuracy": "Acc%",
    "sensitivity": "Sens%",
    "specificity": "Spec%",
    "precision": "Prec%",
    "npv": "NPV%",
    "f1": "F1%",
}
TRANSPOSED: Final = (
    "The paper's matrices are transposed: every row it prints as a prediction sums to 140, and by its "
    "design only the actual classes do. What it prints as Sens is therefore precision and its Prec "
    "sensitivity, its Spec is NPV and its NPV specificity; Acc and F1 are unaffected. 'Paper' rows are as "
    "printed, 'turned' ones have this corrected; compare our rows with those."
)
NOT_EIGHT_WAY: Final = (
    "A 50:50 accuracy of one emotion against the rest (chance 50 %) is no 8-way accuracy (chance 12.5 %): "
    "a network that reads half of the pictures right among eight, its errors even over the other seven, is "
    "right on 71 % here."
)
SIZES: Final = (
    "The paper's text says 240 pictures per fold, 120 of the emotion; every matrix it prints sums to 280, "
    "140 of the emotion and 20 of each other. Ten folds of 140 are more than the Radboud Faces Database "
    "holds of an emotion in frontal pictures (201), so its folds overlap or hold training pictures; how "
    "many of its pictures differ is not known, so that the intervals given for it are too narrow."
)
SLIPS: Final = (
    "Where the paper's text and tables differ, the tables are taken. Section 4 calls F1 the harmonic mean of "
    "precision and accuracy; the figures are those of precision and recall. Section 2.4 gives the Radboud "
    "Faces Database 28,709 faces, which is the size of FER2013's training set; it has 8040 pictures, 1608 of "
    "them frontal."
)
#: What of section 4 a table contradicts: its number to the note below it.
_SLIPS: Final = {
    3: "section 4 says that sensitivity and specificity are above 90 %; fold 3 has a Sens of 89.58 %.",
    4: "section 4 gives an error rate of 35 %; by this table it is 33.4 %.",
    10: "section 4 gives an error rate of 30 %; by this table it is 26.5 %.",
}
#: Section 4: the five emotions that are said to be above 90 %.
GREATLY_BENEFITED: Final = ("surprise", "anger", "neutral", "happiness", "sadness")
SOURCES: Final = ("paper", "turned", "ours")
#: Rows below the ten folds: head to the figure of a summary, and which end of an interval.
_SUMMARY: Final = {
    "mean": ("mean", None),
    "deviation": ("deviation", None),
    "min": ("low", None),
    "max": ("high", None),
    "Wilson from": ("wilson_95", 0),
    "Wilson to": ("wilson_95", 1),
    "folds from": ("bootstrap_95", 0),
    "folds to": ("bootstrap_95", 1),
}

TableData = Mapping[str, Any]


def printed_counts() -> dict[str, list[BinaryCounts]]:
    """Emotion to the matrices of its ten folds, in the printed orientation: see TRANSPOSED."""
    text = files("mien.paper").joinpath("paper_tables.csv").read_text(encoding="utf-8")
    counts: dict[str, list[BinaryCounts]] = {}
    for row in csv.DictReader(io.StringIO(text)):
        cells = (int(row[cell]) for cell in ("tp", "fn", "fp", "tn"))
        counts.setdefault(row["emotion"], []).append(BinaryCounts(*cells))
    return counts


def table_data(scores: Mapping[str, EmotionScores], eight: metrics.Counts, name: str) -> dict[str, Any]:
    """Everything that the tables show, as numbers, strings, lists and dicts; undefined is None.

    Args:
        scores: each of the eight emotions to its scored folds.
        eight: (K, K) 8-way counts of all different test pictures, rows true.
        name: of what was judged, e.g. the variant and corpus.
    """
    paper = printed_counts()
    turned = {emotion: [counts.transposed() for counts in paper[emotion]] for emotion in MEASURES.values()}
    ours = {emotion: scores[emotion].counts for emotion in MEASURES.values()}
    matrices = [
        {
            "table": table,
            "emotion": emotion,
            "paper": [asdict(counts) for counts in paper[emotion]],
            "ours": [asdict(counts) for counts in ours[emotion]],
        }
        for table, emotion in MATRICES.items()
    ]
    measures = [
        {
            "table": table,
            "emotion": emotion,
            "drawing": scores[emotion].folds.record(),
            "thresholds": [asdict(threshold) for threshold in scores[emotion].thresholds],
            "paper": _fold_figures((*paper[emotion],)),
            "turned": _fold_figures((*turned[emotion],)),
            "ours": _fold_figures((*ours[emotion],), scores[emotion].folds.effective),
        }
        for table, emotion in MEASURES.items()
    ]
    return {
        "name": name,
        "notes": [TRANSPOSED, SIZES, SLIPS, INTERVALS],
        "not_eight_way": NOT_EIGHT_WAY,
        "matrices": matrices,
        "measures": measures,
        "macro": {source: _macro_means(measures, source) for source in SOURCES},
        "error_sums": {"turned": to_json(sum_errors(turned)), "ours": to_json(sum_errors(ours))},
        "eight_way": _eight_way_figures(eight),
    }


@cache  # the paper's own stand beside each variant's
def _fold_figures(
    counts: tuple[BinaryCounts, ...], effective: tuple[float, float] | None = None
) -> TableData:
    folds = [{"counts": c, **{name: score(name, c) for name in SCORES}} for c in counts]
    return {"folds": [*map(to_json, folds)], "summary": to_json(summarize(counts, effective))}


def _macro_means(measures: Sequence[TableData], source: str) -> dict[str, float | None]:
    """The mean over the emotions, where it is defined, of the mean of their folds."""
    macro: dict[str, float | None] = {}
    for name in SCORES:
        means = [table[source]["summary"][name]["mean"] for table in measures]
        means = [mean for mean in means if mean is not None]
        macro[name] = sum(means) / len(means) if means else None
    return macro


def _eight_way_figures(counts: metrics.Counts) -> dict[str, Any]:
    total, right = int(counts.sum()), int(counts.trace())
    return {
        "n": total,
        "accuracy": metrics.accuracy(counts),
        "accuracy_95": list(metrics.wilson(right, total)),
        "balanced_accuracy": metrics.balanced_accuracy(counts),
        "balanced_accuracy_95": list(metrics.bootstrap(counts, metrics.recall)),
        "macro_f1": metrics.macro_f1(counts),
        "macro_f1_95": list(metrics.bootstrap(counts, metrics.f1)),
        "labels": list(EMOTIONS),
        "counts": counts.tolist(),
    }


@dataclass(frozen=True, slots=True)
class PaperTable:
    """One table: a head of (group, name) cells, rows as long as the head, and the note below it."""

    title: str
    head: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def paper_tables(data: TableData) -> Iterator[PaperTable]:
    """Tables 1-10, the eight emotions together, the paper's claims, and the 8-way reading beside them.

    Where there are as many folds as in the paper, ours stand beside its own, else below them.
    """
    for table in data["matrices"]:
        yield _matrices(table)
    for table in data["measures"]:
        yield _measures(table)
    yield _emotions_together(data)
    yield error_sums_table({"Ours": data["error_sums"]})
    yield _claims(data)
    yield from _eight_way(data["eight_way"])


def _matrices(table: TableData) -> PaperTable:
    """Tables 1 and 2: two rows for each fold, predictions down and actual classes across."""
    emotion = table["emotion"].capitalize()
    sides = (emotion, f"Non-{emotion}")

    def matrices(*folds: Sequence[TableData]) -> Iterator[tuple[str, ...]]:
        """Folds of one source, or of both side by side."""
        for i, counts in enumerate(zip(*folds, strict=True), start=1):
            for side, cells in zip(sides, (("tp", "fp"), ("fn", "tn")), strict=True):
                shown = (str(each[cell]) for each in counts for cell in cells)
                yield (f"#{i}" if side == emotion else "", side, *shown)

    head = [("", "Fold"), ("", "Prediction")]
    paper, ours = table["paper"], table["ours"]
    if len(paper) == len(ours):
        head += [(source, side) for source in ("Paper, actual", "Ours, actual") for side in sides]
        rows = list(matrices(paper, ours))
    else:
        head = [("", "Whose"), *head, *(("Actual class", side) for side in sides)]
        rows = [("Paper", *row) for row in matrices(paper)] + [("Ours", *row) for row in matrices(ours)]
    title = f"Table {table['table']}. Confusion matrices for {emotion} emotion analysis"
    note = "The paper's as printed: transposed, its rows sum to 140. Ours: the columns sum to what was drawn."
    return PaperTable(title, tuple(head), tuple(rows), (note,))


def _measures(table: TableData) -> PaperTable:
    """Tables 3-10: one row for each fold, the paper's six columns and ours, then the summary."""

    def fold_rows(*sources: str) -> Iterator[tuple[str, ...]]:
        for i, folds in enumerate(zip(*(table[s]["folds"] for s in sources), strict=True), start=1):
            yield (str(i), *(percent(fold[name]) for fold in folds for name in COLUMNS))

    def summary_row(
        head: str, sources: Sequence[str], figure: str, end: int | None = None
    ) -> tuple[str, ...]:
        figures = [table[source]["summary"][name][figure] for source in sources for name in COLUMNS]
        return (head, *(percent(one if end is None else one[end]) for one in figures))

    def rows_of(*sources: str) -> list[tuple[str, ...]]:
        """Folds and summary of one source, or of both side by side."""
        summary = [summary_row(head, sources, *figure) for head, figure in _SUMMARY.items()]
        return [*fold_rows(*sources), *summary]

    columns = COLUMNS.values()
    if len(table["paper"]["folds"]) == len(table["ours"]["folds"]):
        head = [("", "Fold"), *((source, name) for source in ("Paper", "Ours") for name in columns)]
        rows = [*rows_of("paper", "ours"), summary_row("mean, turned", ("turned", "ours"), "mean")]
    else:
        head = [("", "Whose"), ("", "Fold"), *(("Measures", name) for name in columns)]
        paper = [*rows_of("paper"), summary_row("mean, turned", ("turned",), "mean")]
        rows = [("Paper", *row) for row in paper] + [("Ours", *row) for row in rows_of("ours")]
    title = (
        f"Table {table['table']}. Statistical measures of the performance of "
        f"{table['emotion'].capitalize()} emotion classification"
    )
    return PaperTable(title, tuple(head), tuple(rows), _fold_notes(table))


def _fold_notes(table: TableData) -> tuple[str, ...]:
    """What the reader must know of our folds: design, sizes, threshold."""
    drawing = table["drawing"]
    taken = drawing["taken"]
    lines = [
        f"Ours: design {drawing['design']}, seed {drawing['seed']}, "
        f"{taken['positives']}:{taken['negatives']} pictures a fold."
    ]
    lines += [f"Note: {drawing['note']}."] if drawing["note"] else []
    for how in dict.fromkeys(t["how"] for t in table["thresholds"]):
        values = [t["value"] for t in table["thresholds"] if t["how"] == how]
        span = f"{min(values):.4g}" + (f" to {max(values):.4g}" if min(values) < max(values) else "")
        lines.append(f"{how.capitalize()}." if how == WINNER.how else f"Threshold: {span}, {how}.")
    lines += [f"The paper: {_SLIPS[table['table']]}"] if table["table"] in _SLIPS else []
    return tuple(lines)


def _emotions_together(data: TableData) -> PaperTable:
    """The accuracy of each emotion, and the means of all scores over the emotions."""
    head = [("", "Emotion"), *((s, n) for s in ("Paper", "Ours") for n in ("mean", "min", "max"))]
    head += [("Ours, 95 %", "from"), ("Ours, 95 %", "to")]
    rows = []
    for table in data["measures"]:
        paper, ours = (table[source]["summary"]["accuracy"] for source in ("paper", "ours"))
        cells = [side[key] for side in (paper, ours) for key in ("mean", "low", "high")]
        rows.append((table["emotion"], *map(percent, [*cells, *ours["wilson_95"]])))
    paper, ours = (percent(data["macro"][source]["accuracy"]) for source in ("paper", "ours"))
    rows.append(("macro mean", paper, "", "", ours, "", "", "", ""))
    notes = [data["not_eight_way"]]
    for source in SOURCES:
        means = data["macro"][source]
        shown = ", ".join(f"{head} {percent(means[name])}" for name, head in COLUMNS.items())
        notes.append(f"Macro means, {source}: {shown}.")
    title = "Accuracy of one emotion against the rest, over folds, %"
    return PaperTable(title, tuple(head), tuple(rows), tuple(notes))


def error_sums_table(sums: Mapping[str, TableData]) -> PaperTable:
    """Whether the eight tests are of one network's answer, or each has a threshold of its own.

    `sums` are those of `table_data`, of one or more variants by name.
    """
    head = (("", "Whose"), ("", "misses"), ("", "7 x false alarms"), ("", "ratio"))
    found = {
        "Paper": next(iter(sums.values()))["turned"],
        **{name: each["ours"] for name, each in sums.items()},
    }
    rows = tuple(
        (name, *("-" if cell is None else f"{cell:.2f}" for cell in each.values()))
        for name, each in found.items()
    )
    notes = (
        "Summed over the eight emotions: the share of an emotion's pictures that its test misses, and 7 "
        "times the share of others that it takes for it. Where one network reads each picture as the "
        "likeliest of eight, the two are equal but for chance (ratio 1), since what one emotion misses is "
        "another's false alarm. Where each emotion has a test with a threshold of its own that errs alike on "
        "both sides, the ratio is 7. So the paper's tables are not those of one network read by its "
        "likeliest emotion.",
    )
    return PaperTable("Misses and false alarms: which system the tables are of", head, rows, notes)


def _claims(data: TableData) -> PaperTable:
    """What the paper says of its results, beside its own tables and ours."""
    of = {table["emotion"]: table for table in data["measures"]}

    def mean(source: str, emotion: str, name: str) -> float | None:
        figure: float | None = of[emotion][source]["summary"][name]["mean"]
        return figure

    def above(source: str) -> str:
        return f"{sum((mean(source, e, 'accuracy') or 0) > 0.9 for e in of)} of 8"

    def lowest(source: str) -> str:
        names = ("sensitivity", "specificity")
        found = [of[e][source]["summary"][name]["low"] for e in GREATLY_BENEFITED for name in names]
        return f"lowest fold {percent(min(one for one in found if one is not None))}"

    def disgust(source: str) -> str:
        return ", ".join(percent(mean(source, "disgust", name)) for name in ("accuracy", "precision"))

    def errors(source: str) -> str:
        accuracy = (mean(source, e, "accuracy") for e in ("contempt", "fear"))
        return ", ".join("-" if one is None else percent(1 - one) for one in accuracy)

    claims = {
        "five of eight emotions above 90 %": above,
        "those five: Sens, Spec above 90 %": lowest,
        "disgust: Acc, Prec about 85 %": disgust,
        "contempt, fear: errors 35 %, 30 %": errors,
    }
    rows = [(claim, figure("paper"), figure("ours")) for claim, figure in claims.items()]
    for emotion, other in (("contempt", "neutral"), ("fear", "sadness")):
        ours = _taken_for(data["eight_way"], emotion, other)
        rows.append((f"{emotion} is taken for {other}", "not counted", ours))
    head = (("", "The paper says"), ("", "Its tables, %"), ("", "Ours, %"))
    notes = (
        "Accuracies and error rates are means over folds. The last two: of the pictures of the emotion that "
        "are not read as it, by the likeliest of eight.",
    )
    return PaperTable("The paper's claims in section 4", head, tuple(rows), notes)


def _taken_for(eight: TableData, emotion: str, other: str) -> str:
    """How many of the pictures of an emotion that are read wrong among eight are read as another."""
    row = dict(zip(eight["labels"], eight["counts"][eight["labels"].index(emotion)], strict=True))
    del row[emotion]
    if not any(row.values()):
        return "no errors"
    most = max(row, key=lambda name: row[name])
    shown = f"{row[other]} of {sum(row.values())} errors"
    return shown if row[most] == row[other] else f"{shown} (most: {row[most]} as {most})"


def _eight_way(eight: TableData) -> Iterator[PaperTable]:
    """The 8-way scores with their intervals, and the 8-way confusion matrix."""
    names = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1"}
    head = (("", "8-way, %"), ("Ours", "value"), ("Ours, 95 %", "from"), ("Ours, 95 %", "to"))
    scores = tuple((name, *map(percent, (eight[key], *eight[f"{key}_95"]))) for key, name in names.items())
    note = (
        f"Of {eight['n']} pictures, each read as one of eight; interval: accuracy Wilson, others bootstrap."
    )
    yield PaperTable("8-way reading: the likeliest of the eight", head, scores, (note,))
    labels = eight["labels"]
    columns = (("", "True"), *(("Read as", label) for label in labels))
    rows = tuple((label, *map(str, row)) for label, row in zip(labels, eight["counts"], strict=True))
    yield PaperTable("8-way confusion matrix", columns, rows)


def tables_as_text(data: TableData) -> str:
    """Plain text of at most 110 columns, ending in a newline."""
    parts = [f"{data['name']}, beside the paper's own figures", *map(_wrap, data["notes"])]
    parts += [table_as_text(table) for table in paper_tables(data)]
    return "\n\n".join(parts) + "\n"


def tables_as_csv(data: TableData) -> str:
    """Tables 3-10, one row per fold and source (paper, turned, ours), with scores of 0 to 1 unrounded."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["table", "emotion", "fold", "source", "tp", "fn", "fp", "tn", *SCORES])
    for table in data["measures"]:
        for source in SOURCES:
            for fold, row in enumerate(table[source]["folds"], start=1):
                cells = [row["counts"][cell] for cell in ("tp", "fn", "fp", "tn")]
                cells += ["" if row[name] is None else row[name] for name in SCORES]
                writer.writerow([table["table"], table["emotion"], fold, source, *cells])
    return out.getvalue()


def table_as_text(table: PaperTable) -> str:
    """Aligned columns; groups of the head on a line above, each at its first column."""
    names = [name for _, name in table.head]
    widths = [max(len(row[i]) for row in (names, *table.rows)) for i in range(len(names))]
    groups, at, before = "", 0, ""
    for (group, _), width in zip(table.head, widths, strict=True):
        groups = groups.ljust(at) + (group if group != before else "")
        at, before = at + width + 2, group
    lines = [table.title, "", *([groups] if groups.strip() else [])]
    for row in (names, *table.rows):
        first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join([first.strip().ljust(widths[0]), *others]))
    return "\n".join([*(line.rstrip() for line in lines), *map(_wrap, table.notes)])


def _wrap(text: str) -> str:
    return textwrap.fill(text, 108, break_long_words=False, break_on_hyphens=False)
