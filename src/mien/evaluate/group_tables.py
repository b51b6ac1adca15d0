"""Groups of people as tables of plain text, 80 columns at most, as a record for JSON and as a plot."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mien.card import TEXT_WIDTH, join_blocks
from mien.errors import ConfigError, MissingExtra
from mien.evaluate.groups import FOUND, Gap, GroupReport, GroupTable, MeasureByGroup
from mien.evaluate.metrics import to_json
from mien.results.draw import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLEAR_P: Final = 0.05  # p up to which a gap is called clear

_NAME_WIDTH: Final = 20  # columns before the figures of a group
_PAIR_WIDTH: Final = 30  # ... of two groups' names
_COLUMNS: Final = 6  # small plots beside each other
_INK: Final = "#333333"


def render_groups(report: GroupReport) -> str:
    """A table per attribute and what must be known to read them, ending in a newline."""
    blocks = [block for table in report.tables for block in _render_group_table(table, report)]
    return join_blocks([*blocks, [line for note in group_notes(report) for line in wrap(note, TEXT_WIDTH)]])


def group_notes(report: GroupReport) -> list[str]:
    """What the figures are, and what must not be read into them."""
    options = report.options
    notes = [
        f"In per cent with 95 % intervals: Wilson for shares, normal for the mean confidence. unsure: a "
        f"confidence under {options.unsure_below:g} ({options.unsure_from}).",
        f"Gaps: intervals and p hold for all comparisons of a table at once, every pair of groups in every "
        f"row (max-t over {options.draws} bootstrap draws of the pictures, seed {options.seed}); the tables "
        f"are not corrected for each other. Where the largest gap may be chance (p over {CLEAR_P:g}) and "
        f"another is not, the clearest stands below it. *: fewer than {options.smallest} pictures, shown but "
        "not compared.",
    ]
    if not report.detected:
        notes.append("Every picture was taken as a face, so there is no detection rate: --detect gives it.")
    if report.repeated:
        notes.append(
            "Several pictures show one person, and all count as independent: the intervals are too narrow."
        )
    if report.labelled:
        notes.append(
            "Recall compares pictures that were given the same label; the gap may still lie in the pictures, "
            "or in who labelled them how."
        )
    else:
        notes.append(
            "Without labels nobody knows which readings are right: a gap in how often an expression is read "
            "may lie in the faces (one group smiles more in these pictures), in the photographs, or in the "
            "network."
        )
    notes.append(
        "Groups differ in more than one way: in age, in how and where they were photographed, in what they "
        "were asked to do. A gap shows that two groups of these pictures are read differently; it does not "
        "show why, and tells nothing of what anybody felt."
    )
    return notes


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


def check_plot(path: Path) -> None:
    """Say before the work begins that nothing can be drawn to `path`: no .svg, or matplotlib is missing."""
    if path.suffix.lower() != ".svg":
        raise ConfigError(f"--plot: expected a name that ends in .svg, got {path}")
    _make_figure(1, 1)


def plot_groups(report: GroupReport) -> str:
    """The report as SVG text, the same for the same report: a panel per attribute, a small plot per measure.

    Every measure has its own scale, which begins at 0, so that a small difference looks small. Of the
    detection rate those without a face are drawn. Group and measure are read from their place, colour only
    repeats it.
    """
    from matplotlib import rc_context

    lines = [-(-len(table.rows) // _COLUMNS) for table in report.tables]  # of small plots, by table
    heights = [
        0.3 + count * (0.5 + 0.15 * (len(table.groups) + 1))
        for count, table in zip(lines, report.tables, strict=True)
    ]
    figure = _make_figure(8.6, sum(heights))
    panels = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)
    for panel, count, table in zip(panels.ravel(), lines, report.tables, strict=True):
        panel.suptitle(f"by {table.attribute}", fontsize=9, fontweight="bold", x=0.01, ha="left")
        axes = panel.subplots(count, _COLUMNS, squeeze=False).ravel()
        for i, row in enumerate(table.rows):
            _draw_measure(axes[i], row, report.options.smallest)
            names = ("all", *table.groups) if i % _COLUMNS == 0 else ()
            axes[i].set_yticks(range(len(names)), names, fontsize=7)
        for unused in axes[len(table.rows) :]:
            unused.set_axis_off()
    out = io.StringIO()
    with rc_context({"svg.hashsalt": "mien", "svg.fonttype": "path"}):  # no date, no random names
        figure.savefig(out, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return re.sub(r"\n +", "\n", out.getvalue())  # the indents are a tenth of it


def _make_figure(width: float, height: float) -> Figure:
    """A figure without pyplot, which would keep it alive."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("matplotlib", "report", "a picture of groups") from error
    return Figure((width, height), layout="constrained", facecolor="white")


def _draw_measure(axes: Axes, row: MeasureByGroup, smallest: int) -> None:
    """Figures with their intervals; hollow where the group is too small to compare; a line at that of all."""
    colour = COLOURS.get(row.name.split(" ")[-1], "#000000")  # black: a measure that is no emotion
    title, value, low, high = row.name, row.value, row.low, row.high
    if title == FOUND:
        title, value, low, high = "no face found", 1 - value, 1 - high, 1 - low
    places = np.arange(len(value))
    axes.axvline(100 * value[0], color=_INK, lw=0.6, ls=":")
    axes.hlines(places, 100 * low, 100 * high, color=_INK, lw=1.2)
    face = [colour if count >= smallest else "white" for count in row.n]
    axes.scatter(100 * value, places, s=16, c=face, edgecolors=_INK, linewidths=0.6, zorder=3, clip_on=False)
    axes.set_ylim(len(value) - 0.5, -0.5)
    top = np.nanmax(np.concatenate([[1e-3], value, high]))
    axes.set_xlim(0, 106 * top)
    axes.set_title(f"{title}, %", fontsize=7.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=7, length=2)
    axes.locator_params(axis="x", nbins=3)
