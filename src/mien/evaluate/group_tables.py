"""Groups as tables of plain text, 80 columns at most, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from textwrap import wrap
from typing import Any, Final

import numpy as np

from mien.evaluate.gaps import Gap
from mien.evaluate.groups import Cells, GroupReport, GroupTable, Row

_NAME: Final = 20  # columns of a group's name
_PAIR: Final = 30  # ... and of two names
_CLEAR: Final = 0.05  # p up to which a gap is called clear

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


def render_groups(report: GroupReport) -> str:
    """A table an attribute and what must be known to read them, ending in a newline."""
    parts = [lines for table in report.tables for lines in _table(table, report)]
    parts.append([line for note in notes(report) for line in wrap(note, 80)])
    return "\n\n".join("\n".join(lines) for lines in parts) + "\n"


def notes(report: GroupReport) -> list[str]:
    """What the figures are, and what must not be read into them."""
    settings, gaps = report.settings, report.settings.gaps
    lines = [
        f"In per cent with 95 % intervals: Wilson for shares, normal for the mean confidence. unsure: a "
        f"confidence under {settings.below:g} ({settings.below_from}).",
        f"Gaps: intervals and p hold for all comparisons of a table at once, every pair of groups in every "
        f"row (max-t over {gaps.draws} bootstrap draws of the pictures, seed {gaps.seed}); the tables are "
        f"not corrected for each other. Where the largest gap may be chance (p over {_CLEAR:g}) and another "
        f"is not, the clearest stands below it. *: under {gaps.smallest} pictures, shown and not compared.",
    ]
    if not report.detected:
        lines.append("Pictures were taken as faces, so that there is no detection rate: --detect gives it.")
    if report.repeated:
        lines.append(
            "Several pictures show one person, and all count as independent: the intervals are too narrow."
        )
    return [*lines, _LABELLED if report.labelled else _UNLABELLED, _ANY]


def to_record(report: GroupReport) -> dict[str, Any]:
    """The report as numbers, strings, lists and dicts; undefined values are None."""
    settings = report.settings
    return {
        "unsure_below": settings.below,
        "unsure_below_from": settings.below_from,
        "smallest": settings.gaps.smallest,
        "draws": settings.gaps.draws,
        "seed": settings.gaps.seed,
        "labelled": report.labelled,
        "detected": report.detected,
        "notes": notes(report),
        "by": {table.attribute: _table_record(table) for table in report.tables},
    }


def _table(table: GroupTable, report: GroupReport) -> list[list[str]]:
    """The blocks of one attribute: three measures of the same pictures beside each other, or two of any."""
    without = f"; {table.untagged} pictures without it are left out" if table.untagged else ""
    alike = [row for row in table.rows if np.array_equal(row.groups.n, table.rows[0].groups.n)]
    threes = len(alike) // 3 * 3
    others = [row for row in table.rows if row not in alike[:threes]]
    least = report.settings.gaps.smallest
    blocks = [_block(table.groups, alike[i : i + 3], least, each_n=False) for i in range(0, threes, 3)]
    blocks += [_block(table.groups, others[i : i + 2], least, each_n=True) for i in range(0, len(others), 2)]
    blocks[0].insert(0, f"by {table.attribute}{without}")
    return [*blocks, _gaps(table)]


def _block(groups: Sequence[str], rows: Sequence[Row], smallest: int, *, each_n: bool) -> list[str]:
    """A line a group; `each_n` gives every measure its own number of pictures."""
    heads = [f"{row.name:>28}" if each_n else f"{row.name:>17}" for row in rows]
    lines = [f"{'':<{_NAME}}{'' if each_n else '      n '}{''.join(heads)}"]
    lines += _line("all", [row.overall for row in rows], 0, smallest, each_n)
    for g, name in enumerate(groups):
        lines += _line(name, [row.groups for row in rows], g, smallest, each_n)
    return lines


def _line(name: str, cells: Sequence[Cells], g: int, smallest: int, each_n: bool) -> list[str]:
    counts = [f"{one.n[g]:>7}{'*' if one.n[g] < smallest else ' '}" for one in cells]
    figures = [_cell(one, g) for one in cells]
    if each_n:
        text = "".join(f"{count}{figure:>20}" for count, figure in zip(counts, figures, strict=True))
    else:
        text = counts[0] + "".join(f"{figure:>17}" for figure in figures)
    return _named(name, text)


def _named(name: str, text: str, width: int = _NAME) -> list[str]:
    """A name and what follows it; a long name has a line of its own."""
    return [f"{name:<{width}}{text}"] if len(name) < width else [name, f"{'':<{width}}{text}"]


def _gaps(table: GroupTable) -> list[str]:
    lines = [f"{'largest gap':<{_NAME}}{'groups':<{_PAIR}}{'points (95 %)':>21}{'p':>8}"]
    for row in table.rows:
        if row.gaps is None:
            lines += _named(row.name, "-")
            continue
        lines += _gap(row.name, row.gaps.largest)
        if row.gaps.clearest.p <= _CLEAR < row.gaps.largest.p:
            lines += _gap("  the clearest", row.gaps.clearest)
    return [*lines, f"({table.comparisons} comparisons)"]


def _gap(name: str, gap: Gap) -> list[str]:
    low, high = (_tenths(100 * limit) for limit in gap.interval_95)
    figures = f"{f'{100 * gap.difference:.1f} ({low} to {high})':>21}{_p(gap.p):>8}"
    first, *more = _named(f"{gap.high} > {gap.low}", figures, _PAIR)
    return _named(name, first) + [f"{'':<{_NAME}}{line}" for line in more]


def _tenths(value: float) -> str:
    return f"{round(value, 1) + 0.0:.1f}"  # never -0.0


def _cell(cells: Cells, g: int) -> str:
    value, low, high = (f"{100 * float(one[g]):.1f}" for one in (cells.value, cells.low, cells.high))
    if value == "nan":
        return "-"
    return f"{value} ({low}-{high})".replace("100.0", "100") if low != "nan" else f"{value} (-)"


def _p(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _table_record(table: GroupTable) -> dict[str, Any]:
    return {
        "groups": list(table.groups),
        "untagged": table.untagged,
        "comparisons": table.comparisons,
        "rows": {row.name: _row_record(row, table.groups) for row in table.rows},
    }


def _row_record(row: Row, groups: Sequence[str]) -> dict[str, Any]:
    gaps = row.gaps
    return {
        "all": _cell_record(row.overall, 0),
        "groups": {name: _cell_record(row.groups, g) for g, name in enumerate(groups)},
        "largest_gap": None if gaps is None else _gap_record(gaps.largest),
        "clearest_gap": None if gaps is None else _gap_record(gaps.clearest),
    }


def _gap_record(gap: Gap) -> dict[str, Any]:
    return {**asdict(gap), "interval_95": list(gap.interval_95)}


def _cell_record(cells: Cells, g: int) -> dict[str, Any]:
    value, low, high = (_plain(float(one[g])) for one in (cells.value, cells.low, cells.high))
    return {"n": int(cells.n[g]), "value": value, "interval_95": [low, high]}


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else value
