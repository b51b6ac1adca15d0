"""Groups as a picture: a panel an attribute, in it a small plot a measure, groups below each other.

Every measure has its own scale, which begins at 0, so that a small difference looks small; of the pictures
in which a face was found, those without are drawn. Group and measure are read from their place, colour only
repeats it. pyplot is not used.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from mien.errors import MissingExtra, OutputError
from mien.evaluate.groups import FOUND, GroupReport, GroupTable, Row
from mien.results.colours import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_ACROSS: Final = 6  # small plots beside each other
_OTHER: Final = "#000000"  # of measures that are no emotion
_INK: Final = "#333333"


def check_plot(path: Path) -> None:
    """Say before the work begins that no picture can be drawn to `path`.

    Raises:
        OutputError: its name does not end in .svg.
        MissingExtra: matplotlib is not installed.
    """
    if path.suffix.lower() != ".svg":
        raise OutputError(f"--plot: expected a name that ends in .svg, got {path}")
    _figure(1, 1)


def plot_groups(report: GroupReport) -> str:
    """The report as SVG text, the same for the same report."""
    heights = [_height(table) for table in report.tables]
    figure = _figure(8.6, sum(heights))
    panels = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)
    for panel, table in zip(panels.ravel(), report.tables, strict=True):
        _panel(panel, table, report.settings.gaps.smallest)
    return _svg(figure)


def _height(table: GroupTable) -> float:
    rows = -(-len(table.rows) // _ACROSS)
    return 0.3 + rows * (0.5 + 0.15 * (len(table.groups) + 1))


def _panel(panel: SubFigure, table: GroupTable, smallest: int) -> None:
    panel.suptitle(f"by {table.attribute}", fontsize=9, fontweight="bold", x=0.01, ha="left")
    rows = -(-len(table.rows) // _ACROSS)
    axes = panel.subplots(rows, _ACROSS, squeeze=False)
    for i, one in enumerate(axes.ravel()):
        if i >= len(table.rows):
            one.set_axis_off()
            continue
        _measure(one, table.rows[i], smallest)
        names = ("all", *table.groups) if i % _ACROSS == 0 else ()
        one.set_yticks(range(len(names)), names, fontsize=7)


def _measure(axes: Axes, row: Row, smallest: int) -> None:
    """Figures with their intervals; hollow where the group is too small to compare; a line at the whole."""
    colour = COLOURS.get(row.name.split(" ")[-1], _OTHER)
    parts = (row.overall, row.groups)
    n, value, low, high = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("n", "value", "low", "high")
    )
    title = row.name
    if title == FOUND:
        title, value, low, high = "no face found", 1 - value, 1 - high, 1 - low
    places = np.arange(len(value))
    axes.axvline(100 * value[0], color=_INK, lw=0.6, ls=":")
    axes.hlines(places, 100 * low, 100 * high, color=_INK, lw=1.2)
    face = [colour if count >= smallest else "white" for count in n]
    axes.scatter(100 * value, places, s=16, c=face, edgecolors=_INK, linewidths=0.6, zorder=3, clip_on=False)
    axes.set_ylim(len(value) - 0.5, -0.5)
    top = np.nanmax(np.concatenate([[1e-3], value, high]))
    axes.set_xlim(0, 106 * top)
    axes.set_title(f"{title}, %", fontsize=7.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=7, length=2)
    axes.locator_params(axis="x", nbins=3)


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("matplotlib", "report", "a picture of groups") from error
    return Figure((width, height), layout="constrained", facecolor="white")


def _svg(figure: Figure) -> str:
    """The same text for the same figure: no date, no random names, and no indents, a tenth of it."""
    from matplotlib import rc_context

    out = io.StringIO()
    with rc_context({"svg.hashsalt": "mien", "svg.fonttype": "path"}):
        figure.savefig(out, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return re.sub(r"\n +", "\n", out.getvalue())
