"""Verdicts and groups as tables of plain text, 80 columns at most, and as records for JSON.

The record holds the same figures unrounded, with what made them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from textwrap import wrap
from typing import Any, Final

import numpy as np

from mien.card import ACCURATE
from mien.evaluate.card_text import entry, percent, policy_lines
from mien.evaluate.groups import Gap, GroupReport, GroupTable, MeasureByGroup
from mien.evaluate.judge import Predictions, Scores, Verdict
from mien.evaluate.metrics import mean_defined
from mien.labels import EMOTIONS
from mien.results.tables import printable

#: The paper's accuracy one emotion against the rest at 50:50, per cent, mean of the ten folds of its
#: Tables 3-10 on RaFD; its matrices are transposed, which leaves accuracy as it is.
PAPER: Final = {
    "neutral": 93.75,
    "happiness": 97.50,
    "surprise": 93.29,
    "sadness": 97.29,
    "anger": 93.21,
    "disgust": 85.11,
    "fear": 73.46,
    "contempt": 66.57,
}
MAX_NAMED: Final = 10  # unreadable pictures named in the text; the JSON names all
CLEAR_P: Final = 0.05  # p up to which a gap is called clear

_KEY_WIDTH: Final = 10  # columns before a value of the heading
_NAME_WIDTH: Final = 20  # ... before the figures of a group
_PAIR_WIDTH: Final = 30  # ... of two groups' names

_ANY: Final = (
    "Groups differ in more than one way: in age, in how and where they were photographed, in what they were "
    "asked to do. A gap says that two groups of these pictures are read differently, not why, and nothing of "
    "what anybody felt."
)
_UNLABELLED: Final = (
    "Without labels nobody knows which readings are right: a gap in how often an expression is read may lie "
    "in the faces (one group smiles more in these pictures), in the photographs, or in the network."
)
_LABELLED: Final = (
    "Recall compares pictures that were given the same label; the gap may still lie in the pictures, or in "
    "who labelled them how."
)


@dataclass(frozen=True, slots=True)
class Heading:
    """What was judged on what."""

    model: str
    sha256: str  # of the model's file
    data: str  # the corpus, e.g. "ferplus"
    split: str | None  # None where the corpus has none
    root: str
    crops: str = "as they are"  # or how faces were found
    drawn: str = ""  # e.g. "1000 of 40000 pictures, seed 0"; empty: all
    policy: str = ACCURATE  # how the emotion that is scored was chosen


def render_verdict(heading: Heading, verdict: Verdict, predictions: Predictions) -> str:
    """One table, lines of at most 80 columns, ending in a newline."""
    # the policies of the card beside each other, where it has several
    n = dict(zip(EMOTIONS, verdict.scores.counts.sum(axis=1).tolist(), strict=True))
    policies = policy_lines(to_json(verdict.policies), n) if len(verdict.policies) > 1 else []
    blocks = [
        render_heading(heading, predictions, verdict),
        _render_summary(verdict),
        _render_emotions(verdict),
        policies,
        _render_matrix(verdict.scores),
    ]
    return _join_blocks(blocks)


def render_heading(heading: Heading, predictions: Predictions, verdict: Verdict | None = None) -> list[str]:
    """Names of what was judged; long ones go on in the next line, so that none is cut."""
    split = f", split {heading.split}" if heading.split else ""
    faceless, unreadable = len(predictions.faceless), len(predictions.unreadable)
    entries = {
        "model": f"{heading.model} (sha256 {heading.sha256[:16]})",
        "data": f"{heading.data}{split}, crops {heading.crops}",
        "root": _one_line(heading.root),
        "drawn": heading.drawn,
        "policy": heading.policy if heading.policy != ACCURATE else "",
        "protocol": verdict.protocol if verdict else "",
        "scored": f"{verdict.scores.n if verdict else len(predictions.samples)}",
        "left out": f"{verdict.left_out} to which the protocol gives no label" if verdict else "",
        "no face": f"{faceless} more, in which none was found" if faceless else "",
        "damaged": f"{unreadable} more, which could not be read" if unreadable else "",
    }
    return [line for key, value in entries.items() if value for line in entry(key, value, _KEY_WIDTH)]


def render_unreadable(predictions: Predictions) -> str:
    """The pictures that could not be read, the first few by name; empty where there is none."""
    errors = [f"  {_one_line(error)}" for _, error in predictions.unreadable]
    if not errors:
        return ""
    more = len(errors) - MAX_NAMED
    end = [f"  and {more} more (--json names all)"] if more > 0 else []
    return "\n".join([f"could not be read: {len(errors)}", *errors[:MAX_NAMED], *end]) + "\n"


def _render_summary(verdict: Verdict) -> list[str]:
    columns = {"all": verdict.scores}
    if verdict.without_copies is not None:
        columns["no copy in training"] = verdict.without_copies
    rows = {
        "": list(columns),
        "n": [str(s.n) for s in columns.values()],
        "accuracy %": [_interval(s.accuracy, s.accuracy_95) for s in columns.values()],
        "balanced accuracy %": [
            _interval(s.balanced_accuracy, s.balanced_accuracy_95) for s in columns.values()
        ],
        "macro F1 %": [_interval(s.macro_f1, s.macro_f1_95) for s in columns.values()],
        "ECE (15 bins) %": [percent(s.ece) for s in columns.values()],
        "Brier": [_number(s.brier) for s in columns.values()],
        "NLL, nats": [_number(s.nll) for s in columns.values()],
    }
    return [f"{name:<20}" + "".join(f"{cell:>28}" for cell in cells) for name, cells in rows.items()]


def _render_emotions(verdict: Verdict) -> list[str]:
    """A line per emotion; at 50:50 beside the paper's figures."""
    scores, rest = verdict.scores, verdict.without_copies
    alone = [""] * len(EMOTIONS) if scores.detection is None else [percent(v) for v in scores.detection]
    lines = [
        f"{'':<40}{'one against rest':>24}" + ("  no copy" if rest else ""),
        f"{'emotion, %':<10}{'n':>6}{'recall':>8}{'prec.':>8}{'F1':>8}{'50:50':>8}{'alone':>8}{'paper':>8}"
        + (f"{'n':>7}{'recall':>8}" if rest else ""),
    ]
    for k, emotion in enumerate(EMOTIONS):
        figures = (scores.recall[k], scores.precision[k], scores.f1[k], scores.one_vs_rest[k])
        line = f"{emotion:<10}{scores.counts[k].sum():>6}" + "".join(f"{percent(v):>8}" for v in figures)
        line += f"{alone[k]:>8}{PAPER[emotion]:>8.2f}"
        line += f"{rest.counts[k].sum():>7}{percent(rest.recall[k]):>8}" if rest else ""
        lines.append(line)
    mean_alone = "" if scores.detection is None else percent(mean_defined(scores.detection))
    mean, paper = percent(mean_defined(scores.one_vs_rest)), sum(PAPER.values()) / len(PAPER)
    lines.append(f"{'mean':<40}{mean:>8}{mean_alone:>8}{paper:>8.2f}")
    lines.append("(paper: Tables 3-10, 50:50 on RaFD; chance is 50 there, and 12.5 in 8 ways)")
    if mean_alone:
        lines.append("(alone: each emotion asked for by itself, by its threshold on the card)")
    return lines


def _render_matrix(scores: Scores) -> list[str]:
    lines = [f"{'true, read':<11}" + "".join(f"{emotion[:7]:>8}" for emotion in EMOTIONS)]
    for emotion, row in zip(EMOTIONS, scores.counts, strict=True):
        lines.append(f"{emotion:<11}" + "".join(f"{count:>8}" for count in row))
    return lines


def render_groups(report: GroupReport) -> str:
    """A table per attribute and what must be known to read them, ending in a newline."""
    blocks = [block for table in report.tables for block in _render_group_table(table, report)]
    return _join_blocks([*blocks, [line for note in group_notes(report) for line in wrap(note, 80)]])


def group_notes(report: GroupReport) -> list[str]:
    """What the figures are, and what must not be read into them."""
    options = report.options
    lines = [
        f"In per cent with 95 % intervals: Wilson for shares, normal for the mean confidence. unsure: a "
        f"confidence under {options.unsure_below:g} ({options.unsure_from}).",
        f"Gaps: intervals and p hold for all comparisons of a table at once, every pair of groups in every "
        f"row (max-t over {options.draws} bootstrap draws of the pictures, seed {options.seed}); the tables "
        f"are not corrected for each other. Where the largest gap may be chance (p over {CLEAR_P:g}) and "
        f"another is not, the clearest stands below it. *: under {options.smallest} pictures, shown and not "
        "compared.",
    ]
    if not report.detected:
        lines.append("Pictures were taken as faces, so that there is no detection rate: --detect gives it.")
    if report.repeated:
        lines.append(
            "Several pictures show one person, and all count as independent: the intervals are too narrow."
        )
    return [*lines, _LABELLED if report.labelled else _UNLABELLED, _ANY]


def _render_group_table(table: GroupTable, report: GroupReport) -> list[list[str]]:
    """The blocks of one attribute: three measures of the same pictures beside each other, or two of any."""
    alike = [row for row in table.rows if np.array_equal(row.n, table.rows[0].n)]
    alike = alike[: len(alike) // 3 * 3]
    others = [row for row in table.rows if row not in alike]
    smallest = report.options.smallest
    blocks = [_render_alike(table.groups, alike[i : i + 3], smallest) for i in range(0, len(alike), 3)]
    blocks += [_render_others(table.groups, others[i : i + 2], smallest) for i in range(0, len(others), 2)]
    untagged = f"; {table.untagged} pictures without it are left out" if table.untagged else ""
    blocks[0].insert(0, f"by {table.attribute}{untagged}")
    return [*blocks, _render_gaps(table)]


def _render_alike(groups: Sequence[str], rows: Sequence[MeasureByGroup], smallest: int) -> list[str]:
    """A line per group: the number of pictures once, then the figures."""
    lines = [f"{'':<{_NAME_WIDTH}}      n " + "".join(f"{row.name:>17}" for row in rows)]
    for g, name in enumerate(("all", *groups)):
        figures = "".join(f"{_group_cell(row, g):>17}" for row in rows)
        lines += _after_name(name, _group_count(rows[0], g, smallest) + figures)
    return lines


def _render_others(groups: Sequence[str], rows: Sequence[MeasureByGroup], smallest: int) -> list[str]:
    """A line per group: each figure with its own number of pictures."""
    lines = [f"{'':<{_NAME_WIDTH}}" + "".join(f"{row.name:>28}" for row in rows)]
    for g, name in enumerate(("all", *groups)):
        cells = [f"{_group_count(row, g, smallest)}{_group_cell(row, g):>20}" for row in rows]
        lines += _after_name(name, "".join(cells))
    return lines


def _group_count(row: MeasureByGroup, g: int, smallest: int) -> str:
    return f"{row.n[g]:>7}{'*' if row.n[g] < smallest else ' '}"


def _group_cell(row: MeasureByGroup, g: int) -> str:
    value, low, high = (f"{100 * float(one[g]):.1f}" for one in (row.value, row.low, row.high))
    if value == "nan":
        return "-"
    return f"{value} ({low}-{high})".replace("100.0", "100") if low != "nan" else f"{value} (-)"


def _render_gaps(table: GroupTable) -> list[str]:
    lines = [f"{'largest gap':<{_NAME_WIDTH}}{'groups':<{_PAIR_WIDTH}}{'points (95 %)':>21}{'p':>8}"]
    for row in table.rows:
        if row.gaps is None:
            lines += _after_name(row.name, "-")
            continue
        lines += _render_gap(row.name, row.gaps.largest)
        if row.gaps.clearest.p <= CLEAR_P < row.gaps.largest.p:
            lines += _render_gap("  the clearest", row.gaps.clearest)
    return [*lines, f"({table.comparisons} comparisons)"]


def _render_gap(name: str, gap: Gap) -> list[str]:
    low, high = (f"{round(100 * limit, 1) + 0.0:.1f}" for limit in gap.interval_95)  # never -0.0
    p = "<0.001" if gap.p < 0.001 else f"{gap.p:.3f}"
    figures = f"{f'{100 * gap.difference:.1f} ({low} to {high})':>21}{p:>8}"
    first, *more = _after_name(f"{gap.high} > {gap.low}", figures, _PAIR_WIDTH)
    return _after_name(name, first) + [f"{'':<{_NAME_WIDTH}}{line}" for line in more]


def _after_name(name: str, text: str, width: int = _NAME_WIDTH) -> list[str]:
    """A name and what follows it; a long name has a line of its own."""
    return [f"{name:<{width}}{text}"] if len(name) < width else [name, f"{'':<{width}}{text}"]


def make_record(
    heading: Heading, verdicts: Sequence[Verdict], predictions: Predictions, provenance: Mapping[str, Any]
) -> dict[str, Any]:
    """The verdicts as numbers, strings, lists and dicts; undefined values are None."""
    return {
        **asdict(heading),
        "root": _one_line(heading.root),
        "drawn": heading.drawn or None,
        "read": len(predictions.samples),
        "unreadable": [
            {"name": _one_line(name), "error": _one_line(error)} for name, error in predictions.unreadable
        ],
        "no_face": [_one_line(name) for name in predictions.faceless],
        "labels": list(EMOTIONS),
        "protocols": {
            v.protocol: {
                "left_out": v.left_out,
                "all": to_json(v.scores),
                "without_copies": to_json(v.without_copies),
                "policies": to_json(v.policies),
            }
            for v in verdicts
        },
        "provenance": dict(provenance),
    }


def make_group_record(report: GroupReport) -> dict[str, Any]:
    """The report as numbers, strings, lists and dicts; undefined values are None."""
    options = report.options
    return {
        "unsure_below": options.unsure_below,
        "unsure_below_from": options.unsure_from,
        "smallest": options.smallest,
        "draws": options.draws,
        "seed": options.seed,
        "labelled": report.labelled,
        "detected": report.detected,
        "notes": group_notes(report),
        "by": {
            table.attribute: {
                "groups": list(table.groups),
                "untagged": table.untagged,
                "comparisons": table.comparisons,
                "rows": {row.name: _make_row_record(row, table.groups) for row in table.rows},
            }
            for table in report.tables
        },
    }


def _make_row_record(row: MeasureByGroup, groups: Sequence[str]) -> dict[str, Any]:
    cells = [
        {"n": int(n), "value": to_json(value), "interval_95": to_json((low, high))}
        for n, value, low, high in zip(row.n, row.value, row.low, row.high, strict=True)
    ]
    return {
        "all": cells[0],
        "groups": dict(zip(groups, cells[1:], strict=True)),
        "largest_gap": to_json(row.gaps and row.gaps.largest),
        "clearest_gap": to_json(row.gaps and row.gaps.clearest),
    }


def to_json(value: Any) -> Any:
    """Records, arrays and tuples as JSON has them, emotions by name, nan as None."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {key: to_json(one) for key, one in value.items()}
    if isinstance(value, np.ndarray) and value.ndim == 2:
        return value.tolist()
    if isinstance(value, np.ndarray):
        return dict(zip(EMOTIONS, map(to_json, value.tolist()), strict=True))
    if isinstance(value, tuple):
        return [to_json(one) for one in value]
    if isinstance(value, float):
        return None if np.isnan(value) else float(value)
    return value


def _join_blocks(blocks: Sequence[Sequence[str]]) -> str:
    return "\n\n".join("\n".join(lines) for lines in blocks if lines) + "\n"


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.4f}"


def _interval(value: float, limits: tuple[float, float]) -> str:
    low, high = limits
    return "-" if np.isnan(value) else f"{percent(value)} ({percent(low)} to {percent(high)})"


def _one_line(text: str) -> str:
    """Text on one line that can be printed, whatever bytes a file name in it holds."""
    return printable(text).replace("\n", " ").replace("\r", " ")
