"""Tables 1-10 of the paper as data, ours beside its own; `paper_render` writes them out.

Source: L. A. Beltran Prieto and Z. Kominkova Oplatkova, MENDEL 24(1), 113-120, 2018,
DOI 10.13164/mendel.2018.1.113. `paper_tables.csv` is our own transcription of all 80 rows of its Tables
3-10, with the one matrix of 280 pictures that gives each row, and the cells repaired from scanning
damage named.

    results (binary.EmotionResult) + 8 x 8 counts -> figures (plain data, JSON-able) -> paper_render

Legend: K = 8 emotions; F folds.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from math import isnan
from typing import Any, Final

from mien.evaluate import metrics
from mien.labels import EMOTIONS
from mien.paper.binary import INTERVALS, SCORES, Binary, EmotionResult, summarize
from mien.paper.folds import describe

#: The paper's measures, in its order: number of the table to the emotion (section 3).
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
#: Its confusion matrices, one a fold.
MATRICES: Final = {1: "neutral", 2: "contempt"}
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


@dataclass(frozen=True, slots=True)
class Row:
    """One fold of Tables 3-10 as printed."""

    table: int
    emotion: str
    fold: int
    counts: Binary  # in the printed orientation: see TRANSPOSED
    scores: Mapping[str, float]  # score to the printed figure, per cent
    repaired: str  # cells mended from scanning damage, empty where none


@cache
def printed() -> tuple[Row, ...]:
    """The 80 rows of the paper's Tables 3-10, in its order."""
    text = files("mien.paper").joinpath("paper_tables.csv").read_text(encoding="utf-8")
    return tuple(_row(line) for line in csv.DictReader(io.StringIO(text)))


def figures(
    results: Mapping[str, EmotionResult], *, eight: metrics.Counts | None = None, name: str = "ours"
) -> dict[str, Any]:
    """Everything that the tables show, as numbers, strings, lists and dicts; undefined is None.

    Args:
        results: emotion to the scored folds; an emotion that the corpus lacks may be absent.
        eight: (K, K) 8-way counts of all different test pictures, rows true; None: not at hand.
        name: of what was judged, e.g. the variant and corpus.
    """
    tables = [_measures(table, emotion, results.get(emotion)) for table, emotion in MEASURES.items()]
    return {
        "name": name,
        "notes": [TRANSPOSED, SIZES, INTERVALS],
        "not_eight_way": NOT_EIGHT_WAY,
        "matrices": [_matrices(table, emotion, results.get(emotion)) for table, emotion in MATRICES.items()],
        "measures": tables,
        "macro": {who: _macro(tables, who) for who in ("paper", "turned", "ours")},
        "eight_way": None if eight is None else _eight_way(eight),
    }


def _row(line: Mapping[str, str]) -> Row:
    keys = ("acc", "sens", "spec", "prec", "npv", "f1")
    return Row(
        table=int(line["table"]),
        emotion=line["emotion"],
        fold=int(line["fold"]),
        counts=Binary(*(int(line[cell]) for cell in ("tp", "fn", "fp", "tn"))),
        scores={score: float(line[key]) for score, key in zip(SCORES, keys, strict=True)},
        repaired=line["repaired_cells"],
    )


def _of_paper(emotion: str) -> list[Binary]:
    return [row.counts for row in printed() if row.emotion == emotion]


def _matrices(table: int, emotion: str, result: EmotionResult | None) -> dict[str, Any]:
    """Tables 1 and 2: the counts of each fold, the paper's as printed and ours as they are."""
    paper = [asdict(counts) for counts in _of_paper(emotion)]
    ours = None if result is None else [asdict(counts) for counts in result.counts]
    return {"table": table, "emotion": emotion, "paper": paper, "ours": ours}


def _measures(table: int, emotion: str, result: EmotionResult | None) -> dict[str, Any]:
    paper = _of_paper(emotion)
    return {
        "table": table,
        "emotion": emotion,
        "drawing": None if result is None else describe(result.folds),
        "thresholds": None if result is None else [asdict(t) for t in result.thresholds],
        "paper": _folds(paper, None),
        "turned": _folds([counts.transposed() for counts in paper], None),
        "ours": None if result is None else _folds(result.counts, result.folds.effective),
    }


def _folds(counts: Sequence[Binary], effective: tuple[float, float] | None) -> dict[str, Any]:
    rows = [{"counts": asdict(c), **{n: _plain(score(c)) for n, score in SCORES.items()}} for c in counts]
    summary = {name: _plain(asdict(s)) for name, s in summarize(counts, effective=effective).items()}
    return {"folds": rows, "summary": summary}


def _macro(tables: Sequence[Mapping[str, Any]], who: str) -> dict[str, float | None] | None:
    """The mean over emotions of the mean of folds; of the emotions that there are."""
    there = [table[who]["summary"] for table in tables if table[who]]
    means = {s: [t[s]["mean"] for t in there if t[s]["mean"] is not None] for s in SCORES}
    return {s: sum(m) / len(m) if m else None for s, m in means.items()} if there else None


def _eight_way(counts: metrics.Counts) -> dict[str, Any]:
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
