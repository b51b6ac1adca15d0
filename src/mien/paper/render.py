"""The figures of `paper.figures` as plain text, Markdown and CSV, in the paper's layout.

Each renderer reads the plain data alone, so that a report made tomorrow from the JSON is the same.

    figures -> blocks (title, head, rows, notes) -> text or Markdown
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mien.paper.binary import SCORES

#: Our scores to the heads of the paper's columns.
COLUMNS: Final = {
    "accuracy": "Acc%",
    "sensitivity": "Sens%",
    "specificity": "Spec%",
    "precision": "Prec%",
    "npv": "NPV%",
    "f1": "F1%",
}
#: Rows below the ten folds: head to where it stands in a summary.
SUMMARY: Final[dict[str, Callable[[Mapping[str, Any]], Any]]] = {
    "mean": lambda s: s["mean"],
    "deviation": lambda s: s["deviation"],
    "min": lambda s: s["low"],
    "max": lambda s: s["high"],
    "Wilson from": lambda s: s["wilson_95"][0],
    "Wilson to": lambda s: s["wilson_95"][1],
    "folds from": lambda s: s["bootstrap_95"][0],
    "folds to": lambda s: s["bootstrap_95"][1],
}
SOURCES: Final = ("paper", "turned", "ours")
_WIDTH: Final = 108  # columns of running text

Figures = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Block:
    """One table: a head of (group, name) cells, rows as long as the head, and what to say below."""

    title: str
    head: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def render_text(figures: Figures) -> str:
    """Plain text of at most 110 columns, ending in a newline."""
    parts = [f"{figures['name']}, beside the paper's own figures", *map(_wrap, figures["notes"])]
    parts += [_text(block) for block in blocks(figures)]
    return "\n\n".join(parts) + "\n"


def render_markdown(figures: Figures) -> str:
    """GitHub Markdown, ending in a newline."""
    parts = [f"## {_cell(figures['name'])}, beside the paper's own figures", *figures["notes"]]
    parts += [_markdown(block) for block in blocks(figures)]
    return "\n\n".join(parts) + "\n"


def render_csv(figures: Figures) -> str:
    """The folds of Tables 3-10, a row a fold and source (paper, turned, ours), scores 0 to 1 unrounded."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["table", "emotion", "fold", "source", "tp", "fn", "fp", "tn", *SCORES])
    for table in figures["measures"]:
        for source in SOURCES:
            for fold, row in enumerate(table[source]["folds"] if table[source] else (), start=1):
                cells = [row["counts"][cell] for cell in ("tp", "fn", "fp", "tn")]
                cells += ["" if row[score] is None else row[score] for score in SCORES]
                writer.writerow([table["table"], table["emotion"], fold, source, *cells])
    return out.getvalue()


def blocks(figures: Figures) -> Iterator[Block]:
    """Tables 1-10, the eight emotions together, and the 8-way reading beside them."""
    for table in figures["matrices"]:
        yield _matrices(table)
    for table in figures["measures"]:
        yield _measures(table)
    yield _together(figures)
    if figures["eight_way"] is not None:
        yield _eight_way(figures["eight_way"])
        yield _matrix(figures["eight_way"])


def _matrices(table: Figures) -> Block:
    """Tables 1 and 2: two rows a fold, predictions down and actual classes across."""
    emotion = table["emotion"].capitalize()
    head = [("", "Fold"), ("", "Prediction")]
    head += [(who, side) for who in ("Paper, actual", "Ours, actual") for side in (emotion, f"Non-{emotion}")]
    rows = []
    for i in range(max(len(table["paper"]), len(table["ours"] or ()))):
        both = [
            counts[i] if counts and i < len(counts) else None for counts in (table["paper"], table["ours"])
        ]
        for side, cells in ((emotion, ("tp", "fp")), (f"Non-{emotion}", ("fn", "tn"))):
            found = ["-" if c is None else str(c[cell]) for c in both for cell in cells]
            rows.append((f"#{i + 1}" if side == emotion else "", side, *found))
    title = f"Table {table['table']}. Confusion matrices for {emotion} emotion analysis"
    note = "The paper's as printed: transposed, its rows sum to 140. Ours: the columns sum to what was drawn."
    return Block(title, tuple(head), tuple(rows), (note,))


def _measures(table: Figures) -> Block:
    """Tables 3-10: a row a fold, the paper's six columns and ours, then the summary."""
    head = [("", "Fold"), *((who, name) for who in ("Paper", "Ours") for name in COLUMNS.values())]
    sides = [table["paper"], table["ours"]]
    rows = []
    for i in range(max(len(side["folds"]) for side in sides if side)):
        found = [side["folds"][i] if side and i < len(side["folds"]) else None for side in sides]
        rows.append((str(i + 1), *(_percent(f and f[score]) for f in found for score in COLUMNS)))
    for name, pick in SUMMARY.items():
        cells = [_percent(side and pick(side["summary"][score])) for side in sides for score in COLUMNS]
        rows.append((name, *cells))
    turned = [_percent(table["turned"]["summary"][score]["mean"]) for score in COLUMNS]
    ours = rows[-len(SUMMARY)][1 + len(COLUMNS) :]
    rows.append(("mean, turned", *turned, *ours))
    emotion = table["emotion"].capitalize()
    title = (
        f"Table {table['table']}. Statistical measures of the performance of {emotion} emotion classification"
    )
    return Block(title, tuple(head), tuple(rows), _drawn(table))


def _drawn(table: Figures) -> tuple[str, ...]:
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


def _together(figures: Figures) -> Block:
    """The accuracy of each emotion, and the means of all scores over the emotions."""
    head = [("", "Emotion"), *((w, n) for w in ("Paper", "Ours") for n in ("mean", "min", "max"))]
    head += [("Ours, 95 %", "from"), ("Ours, 95 %", "to")]
    rows = []
    for table in figures["measures"]:
        sides = [table[who]["summary"]["accuracy"] if table[who] else None for who in ("paper", "ours")]
        cells = [_percent(side and side[key]) for side in sides for key in ("mean", "low", "high")]
        cells += [_percent(sides[1] and sides[1]["wilson_95"][i]) for i in (0, 1)]
        rows.append((table["emotion"], *cells))
    paper, ours = (_percent((figures["macro"][who] or {}).get("accuracy")) for who in ("paper", "ours"))
    rows.append(("macro mean", paper, "", "", ours, "", "", "", ""))
    absent = [table["emotion"] for table in figures["measures"] if not table["ours"]]
    notes = [figures["not_eight_way"]]
    notes += [f"Our mean is over {8 - len(absent)} emotions, without {', '.join(absent)}."] if absent else []
    notes += [_macro_note(source, figures["macro"][source]) for source in SOURCES if figures["macro"][source]]
    return Block(
        "Accuracy of one emotion against the rest, over folds, %", tuple(head), tuple(rows), tuple(notes)
    )


def _macro_note(source: str, means: Figures) -> str:
    said = ", ".join(f"{name} {_percent(means[score])}" for score, name in COLUMNS.items())
    return f"Macro means, {source}: {said}."


def _eight_way(eight: Figures) -> Block:
    """The 8-way scores with their intervals."""
    names = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1"}
    rows = []
    for key, name in names.items():
        low, high = eight[f"{key}_95"]
        rows.append((name, _percent(eight[key]), _percent(low), _percent(high)))
    head = (("", "8-way, %"), ("Ours", "value"), ("Ours, 95 %", "from"), ("Ours, 95 %", "to"))
    note = (
        f"Of {eight['n']} pictures, each read as one of eight; interval: accuracy Wilson, others bootstrap."
    )
    return Block("8-way reading of the same network", head, tuple(rows), (note,))


def _matrix(eight: Figures) -> Block:
    labels = eight["labels"]
    head = (("", "True"), *(("Read as", label) for label in labels))
    rows = tuple((label, *(str(n) for n in row)) for label, row in zip(labels, eight["counts"], strict=True))
    return Block("8-way confusion matrix", head, rows)


def _text(block: Block) -> str:
    """Aligned columns; groups of the head on a line above, each at its first column."""
    groups = [g if i == 0 or g != block.head[i - 1][0] else "" for i, (g, _) in enumerate(block.head)]
    names = [name for _, name in block.head]
    widths = [max(len(row[i]) for row in (names, *block.rows)) for i in range(len(names))]
    lines = [block.title, "", _group_line(groups, widths), _line(names, widths)]
    lines += [_line(row, widths) for row in block.rows]
    return "\n".join([*(line.rstrip() for line in lines), *map(_wrap, block.notes)])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = cells[0].ljust(widths[0])
    return "  ".join([first, *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))])


def _group_line(groups: Sequence[str], widths: Sequence[int]) -> str:
    line, at = "", 0
    for group, width in zip(groups, widths, strict=True):
        line = line.ljust(at) + group
        at += width + 2
    return line


def _markdown(block: Block) -> str:
    """A GitHub table; the group stands before the name in each head."""
    names = [f"{group} {name}".strip() for group, name in block.head]
    lines = [f"### {block.title}", ""]
    lines += ["| " + " | ".join(map(_cell, names)) + " |", "|---" + "|---:" * (len(names) - 1) + "|"]
    lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in block.rows]
    return "\n".join([*lines, *(f"\n{note}" for note in block.notes)])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _wrap(text: str) -> str:
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if len(joined) <= _WIDTH:
            lines[-1] = joined
        else:
            lines.append(word)
    return "\n".join(lines)
