"""Tables 1-10 of the paper, ours beside its own: as plain data, as text and as CSV.

Source: L. A. Beltran Prieto and Z. Kominkova Oplatkova, MENDEL 24(1), 113-120, 2018,
DOI 10.13164/mendel.2018.1.113. `paper_tables.csv` is our own transcription of all 80 rows of its Tables
3-10, with the one matrix of 280 pictures that gives each row, and the cells repaired from scanning
damage named.

    scores (EmotionScores) + 8 x 8 counts -> table_data (JSON-able) -> paper_tables -> text or HTML

Everything below `table_data` reads the plain data alone, so that a report made later from `results.json` is
the same.

Legend: K = 8 emotions; F folds.
"""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from math import isnan
from typing import Any, Final

from mien.evaluate import metrics
from mien.labels import EMOTIONS
from mien.paper.scores import INTERVALS, SCORES, BinaryCounts, EmotionScores, score, summarize

#: The paper's confusion matrices, one for each fold: number of the table to the emotion.
MATRICES: Final = {1: "neutral", 2: "contempt"}
#: Its statistical measures, in its order.
MEASURES: Final = {
    3: "neutral",
    4: "contempt",
    5: "happiness",
    6: "sadness",
    7: "disgust",
    8: "anger",
    9: "surprise",
    10: "fear",
}
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
    "sensitivity, its Spec is NPV and its NPV specificity; Acc and F1 stand. 'Paper' rows are as printed, "
    "'turned' ones have this put right; our rows are to be held against those."
)
NOT_EIGHT_WAY: Final = (
    "A 50:50 accuracy of one emotion against the rest (chance 50 %) is no 8-way accuracy (chance 12.5 %): "
    "a network that reads half of the pictures right among eight, its errors even over the other seven, is "
    "right on 71 % here."
)
SIZES: Final = (
    "The paper's text says 240 pictures a fold, 120 of the emotion; every matrix it prints sums to 280, "
    "140 of the emotion and 20 of each other. Ten folds of 140 are more than the Radboud Faces Database "
    "holds of an emotion in frontal pictures (201), so its folds overlap or hold training pictures; how "
    "many of its pictures differ is not known, so that the intervals given for it are too narrow."
)
SOURCES: Final = ("paper", "turned", "ours")
#: Rows below the ten folds: head to the figure of a summary.
_SUMMARY: Final[dict[str, Callable[[Mapping[str, Any]], Any]]] = {
    "mean": lambda s: s["mean"],
    "deviation": lambda s: s["deviation"],
    "min": lambda s: s["low"],
    "max": lambda s: s["high"],
    "Wilson from": lambda s: s["wilson_95"][0],
    "Wilson to": lambda s: s["wilson_95"][1],
    "folds from": lambda s: s["bootstrap_95"][0],
    "folds to": lambda s: s["bootstrap_95"][1],
}
_WIDTH: Final = 108  # columns of running text

TableData = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PrintedFold:
    """One fold of Tables 3-10 as printed."""

    table: int
    emotion: str
    fold: int
    counts: BinaryCounts  # in the printed orientation: see TRANSPOSED
    scores: Mapping[str, float]  # score to the printed figure, per cent
    repaired: str  # cells mended from scanning damage, empty where none


@cache
def printed_folds() -> tuple[PrintedFold, ...]:
    """The 80 rows of the paper's Tables 3-10, in its order."""
    text = files("mien.paper").joinpath("paper_tables.csv").read_text(encoding="utf-8")
    keys = ("acc", "sens", "spec", "prec", "npv", "f1")
    return tuple(
        PrintedFold(
            table=int(line["table"]),
            emotion=line["emotion"],
            fold=int(line["fold"]),
            counts=BinaryCounts(*(int(line[cell]) for cell in ("tp", "fn", "fp", "tn"))),
            scores={name: float(line[key]) for name, key in zip(SCORES, keys, strict=True)},
            repaired=line["repaired_cells"],
        )
        for line in csv.DictReader(io.StringIO(text))
    )


def table_data(
    scores: Mapping[str, EmotionScores], *, eight: metrics.Counts | None = None, name: str = "ours"
) -> dict[str, Any]:
    """Everything that the tables show, as numbers, strings, lists and dicts; undefined is None.

    Args:
        scores: emotion to the scored folds; an emotion that the corpus lacks may be absent.
        eight: (K, K) 8-way counts of all different test pictures, rows true; None: not at hand.
        name: of what was judged, e.g. the variant and corpus.
    """
    paper = {e: [row.counts for row in printed_folds() if row.emotion == e] for e in EMOTIONS}
    matrices = [
        {
            "table": table,
            "emotion": emotion,
            "paper": [asdict(counts) for counts in paper[emotion]],
            "ours": [asdict(c) for c in scores[emotion].counts] if emotion in scores else None,
        }
        for table, emotion in MATRICES.items()
    ]
    measures = []
    for table, emotion in MEASURES.items():
        ours = scores.get(emotion)
        measures.append(
            {
                "table": table,
                "emotion": emotion,
                "drawing": None if ours is None else ours.folds.record(),
                "thresholds": None if ours is None else [asdict(t) for t in ours.thresholds],
                "paper": _fold_figures(paper[emotion], None),
                "turned": _fold_figures([counts.transposed() for counts in paper[emotion]], None),
                "ours": None if ours is None else _fold_figures(ours.counts, ours.folds.effective),
            }
        )
    return {
        "name": name,
        "notes": [TRANSPOSED, SIZES, INTERVALS],
        "not_eight_way": NOT_EIGHT_WAY,
        "matrices": matrices,
        "measures": measures,
        "macro": {source: _macro_means(measures, source) for source in SOURCES},
        "eight_way": None if eight is None else _eight_way_figures(eight),
    }


def _fold_figures(counts: Sequence[BinaryCounts], effective: tuple[float, float] | None) -> dict[str, Any]:
    folds = [{"counts": asdict(c), **{name: _plain(score(name, c)) for name in SCORES}} for c in counts]
    summary = {name: _plain(asdict(s)) for name, s in summarize(counts, effective=effective).items()}
    return {"folds": folds, "summary": summary}


def _macro_means(measures: Sequence[TableData], source: str) -> dict[str, float | None] | None:
    """The mean over the emotions that there are of the mean of their folds."""
    summaries = [table[source]["summary"] for table in measures if table[source]]
    means = {name: [s[name]["mean"] for s in summaries if s[name]["mean"] is not None] for name in SCORES}
    return {name: sum(m) / len(m) if m else None for name, m in means.items()} if summaries else None


def _eight_way_figures(counts: metrics.Counts) -> dict[str, Any]:
    total, right = int(counts.sum()), int(counts.trace())
    balanced, macro = metrics.balanced_accuracy, metrics.macro_f1
    record = {
        "n": total,
        "accuracy": metrics.accuracy(counts),
        "accuracy_95": metrics.wilson(right, total),
        "balanced_accuracy": balanced(counts),
        "balanced_accuracy_95": metrics.bootstrap(counts, balanced),
        "macro_f1": macro(counts),
        "macro_f1_95": metrics.bootstrap(counts, macro),
        "labels": list(EMOTIONS),
        "counts": counts.tolist(),
    }
    return {key: _plain(value) for key, value in record.items()}


def _plain(value: Any) -> Any:
    """Tuples as lists and nan as None, as JSON has them."""
    if isinstance(value, Mapping):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and isnan(value) else value


@dataclass(frozen=True, slots=True)
class PaperTable:
    """One table: a head of (group, name) cells, rows as long as the head, and what to say below."""

    title: str
    head: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def paper_tables(data: TableData) -> Iterator[PaperTable]:
    """Tables 1-10, the eight emotions together, and the 8-way reading beside them."""
    for table in data["matrices"]:
        yield _matrices(table)
    for table in data["measures"]:
        yield _measures(table)
    yield _emotions_together(data)
    if data["eight_way"] is not None:
        yield from _eight_way(data["eight_way"])


def _matrices(table: TableData) -> PaperTable:
    """Tables 1 and 2: two rows for each fold, predictions down and actual classes across."""
    emotion = table["emotion"].capitalize()
    sides = (emotion, f"Non-{emotion}")
    head = [("", "Fold"), ("", "Prediction")]
    head += [(source, side) for source in ("Paper, actual", "Ours, actual") for side in sides]
    rows = []
    for i in range(max(len(table["paper"]), len(table["ours"] or ()))):
        both = [folds[i] if folds and i < len(folds) else None for folds in (table["paper"], table["ours"])]
        for side, cells in zip(sides, (("tp", "fp"), ("fn", "tn")), strict=True):
            shown = ["-" if counts is None else str(counts[cell]) for counts in both for cell in cells]
            rows.append((f"#{i + 1}" if side == emotion else "", side, *shown))
    title = f"Table {table['table']}. Confusion matrices for {emotion} emotion analysis"
    note = "The paper's as printed: transposed, its rows sum to 140. Ours: the columns sum to what was drawn."
    return PaperTable(title, tuple(head), tuple(rows), (note,))


def _measures(table: TableData) -> PaperTable:
    """Tables 3-10: one row for each fold, the paper's six columns and ours, then the summary."""
    head = [("", "Fold"), *((source, name) for source in ("Paper", "Ours") for name in COLUMNS.values())]
    sides = [table["paper"], table["ours"]]
    rows = []
    for i in range(max(len(side["folds"]) for side in sides if side)):
        both = [side["folds"][i] if side and i < len(side["folds"]) else None for side in sides]
        rows.append((str(i + 1), *(_percent(fold and fold[name]) for fold in both for name in COLUMNS)))
    for head_of_row, pick in _SUMMARY.items():
        cells = [_percent(side and pick(side["summary"][name])) for side in sides for name in COLUMNS]
        rows.append((head_of_row, *cells))
    means = [
        _percent(side and side["summary"][name]["mean"])
        for side in (table["turned"], table["ours"])
        for name in COLUMNS
    ]
    rows.append(("mean, turned", *means))
    title = (
        f"Table {table['table']}. Statistical measures of the performance of "
        f"{table['emotion'].capitalize()} emotion classification"
    )
    return PaperTable(title, tuple(head), tuple(rows), _fold_notes(table))


def _fold_notes(table: TableData) -> tuple[str, ...]:
    """What the reader must know of our folds: design, sizes, threshold."""
    drawing = table["drawing"]
    if drawing is None:
        return (f"Ours: no folds of {table['emotion']} were judged.",)
    taken = drawing["taken"]
    lines = [
        f"Ours: design {drawing['design']}, seed {drawing['seed']}, "
        f"{taken['positives']}:{taken['negatives']} pictures a fold."
    ]
    lines += [f"Note: {drawing['note']}."] if drawing["note"] else []
    for how in dict.fromkeys(t["how"] for t in table["thresholds"]):
        values = [t["value"] for t in table["thresholds"] if t["how"] == how]
        span = f"{min(values):.4g}" + (f" to {max(values):.4g}" if min(values) < max(values) else "")
        lines.append(f"Threshold: {how} ({span}).")
    return tuple(lines)


def _emotions_together(data: TableData) -> PaperTable:
    """The accuracy of each emotion, and the means of all scores over the emotions."""
    head = [("", "Emotion"), *((s, n) for s in ("Paper", "Ours") for n in ("mean", "min", "max"))]
    head += [("Ours, 95 %", "from"), ("Ours, 95 %", "to")]
    rows = []
    for table in data["measures"]:
        sides = [
            table[source]["summary"]["accuracy"] if table[source] else None for source in ("paper", "ours")
        ]
        cells = [_percent(side and side[key]) for side in sides for key in ("mean", "low", "high")]
        cells += [_percent(sides[1] and sides[1]["wilson_95"][i]) for i in (0, 1)]
        rows.append((table["emotion"], *cells))
    paper, ours = (_percent((data["macro"][source] or {}).get("accuracy")) for source in ("paper", "ours"))
    rows.append(("macro mean", paper, "", "", ours, "", "", "", ""))
    absent = [table["emotion"] for table in data["measures"] if not table["ours"]]
    notes = [data["not_eight_way"]]
    notes += [f"Our mean is over {8 - len(absent)} emotions, without {', '.join(absent)}."] if absent else []
    for source in SOURCES:
        if means := data["macro"][source]:
            shown = ", ".join(f"{head} {_percent(means[name])}" for name, head in COLUMNS.items())
            notes.append(f"Macro means, {source}: {shown}.")
    title = "Accuracy of one emotion against the rest, over folds, %"
    return PaperTable(title, tuple(head), tuple(rows), tuple(notes))


def _eight_way(eight: TableData) -> Iterator[PaperTable]:
    """The 8-way scores with their intervals, and the 8-way confusion matrix."""
    names = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1"}
    head = (("", "8-way, %"), ("Ours", "value"), ("Ours, 95 %", "from"), ("Ours, 95 %", "to"))
    scores = tuple((name, *map(_percent, (eight[key], *eight[f"{key}_95"]))) for key, name in names.items())
    note = (
        f"Of {eight['n']} pictures, each read as one of eight; interval: accuracy Wilson, others bootstrap."
    )
    yield PaperTable("8-way reading of the same network", head, scores, (note,))
    labels = eight["labels"]
    columns = (("", "True"), *(("Read as", label) for label in labels))
    rows = tuple((label, *map(str, row)) for label, row in zip(labels, eight["counts"], strict=True))
    yield PaperTable("8-way confusion matrix", columns, rows)


def tables_as_text(data: TableData) -> str:
    """Plain text of at most 110 columns, ending in a newline."""
    parts = [f"{data['name']}, beside the paper's own figures", *map(_wrap, data["notes"])]
    parts += [_table_as_text(table) for table in paper_tables(data)]
    return "\n\n".join(parts) + "\n"


def tables_as_csv(data: TableData) -> str:
    """Tables 3-10, one row per fold and source (paper, turned, ours), with scores of 0 to 1 unrounded."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["table", "emotion", "fold", "source", "tp", "fn", "fp", "tn", *SCORES])
    for table in data["measures"]:
        for source in SOURCES:
            for fold, row in enumerate(table[source]["folds"] if table[source] else (), start=1):
                cells = [row["counts"][cell] for cell in ("tp", "fn", "fp", "tn")]
                cells += ["" if row[name] is None else row[name] for name in SCORES]
                writer.writerow([table["table"], table["emotion"], fold, source, *cells])
    return out.getvalue()


def _table_as_text(table: PaperTable) -> str:
    """Aligned columns; groups of the head on a line above, each at its first column."""
    names = [name for _, name in table.head]
    widths = [max(len(row[i]) for row in (names, *table.rows)) for i in range(len(names))]
    groups, at, before = "", 0, ""
    for (group, _), width in zip(table.head, widths, strict=True):
        groups = groups.ljust(at) + (group if group != before else "")
        at, before = at + width + 2, group
    lines = [table.title, "", groups]
    for row in (names, *table.rows):
        first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join([first.strip().ljust(widths[0]), *others]))
    return "\n".join([*(line.rstrip() for line in lines), *map(_wrap, table.notes)])


def _wrap(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"
