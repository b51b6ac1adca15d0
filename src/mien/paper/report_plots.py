"""The plots of a report, as SVG text in the page's own ink; pyplot is not used, so that nothing leaks.

Legend: K emotions.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mien.errors import MissingExtra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Text and axes: a colour that nothing else has, for the page's ink to take its place.
_INK: Final = "#000001"
_OURS: Final = "#2b8cc4"  # a blue of at least 3:1 against the page's light and its dark card
_PAPER: Final = "#8a8a8a"
_DARK: Final = 0.7  # share above which white reads better on a cell, on a light page


def confusion_plot(counts: Sequence[Sequence[int]], labels: Sequence[str], name: str) -> str:
    """The (K, K) counts, rows actual; shade: share of the row, so that rare emotions are seen as well.

    The shade is a blue over the page's own ground, so that an empty cell is dark on a dark page.
    """
    figure = _figure(6.4, 5.2)
    axes = figure.add_subplot()
    array = np.asarray(counts, float)
    shares = array / np.maximum(array.sum(1, keepdims=True), 1)
    for (i, j), share in np.ndenumerate(shares):
        _cell(axes, (i, j), int(array[i, j]), float(share))
    axes.set(xlim=(-0.5, len(labels) - 0.5), ylim=(len(labels) - 0.5, -0.5), aspect="equal")
    axes.set_xticks(range(len(labels)), labels, rotation=40, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("read as", color=_INK)
    axes.set_ylabel("actual emotion", color=_INK)
    axes.spines[:].set_visible(False)
    _inked(axes, 9)
    return _svg(figure, f"confusion {name}")


def curves_plot(curves: Sequence[Mapping[str, Any]], name: str) -> str:
    """Loss by epoch of every stage, a panel each; a line a part of the experiment."""
    from matplotlib.ticker import MaxNLocator

    stages = list(dict.fromkeys(curve["stage"] for curve in curves))
    columns = min(4, len(stages))
    rows = -(-len(stages) // columns)
    figure = _figure(2.9 * columns, 2.3 * rows)
    for i, stage in enumerate(stages):
        axes = figure.add_subplot(rows, columns, i + 1)
        for curve in curves:
            if curve["stage"] == stage:
                epochs = [line["epoch"] for line in curve["lines"]]
                losses = [line["loss"] for line in curve["lines"]]
                axes.plot(epochs, losses, color=_OURS, alpha=0.7, lw=1, marker=".", ms=3)
        axes.set_ylim(0, 1.05 * axes.dataLim.y1)  # from nought, so that a flat line looks flat
        axes.set_xlim(0.5, axes.dataLim.x1 + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        axes.set_title(stage, fontsize=9, color=_INK)
        axes.set_xlabel("epoch", fontsize=8, color=_INK)
        axes.set_ylabel("loss", fontsize=8, color=_INK)
        _inked(axes, 8)
    return _svg(figure, f"curves {name}")


def accuracy_plot(tables: Sequence[Mapping[str, Any]], name: str) -> str:
    """Accuracy of one emotion against the rest, the paper's and ours, mean and range of the folds."""
    figure = _figure(7.6, 3.0)
    axes = figure.add_subplot()
    for offset, who, colour in ((-0.15, "paper", _PAPER), (0.15, "ours", _OURS)):
        there = [(i, table[who]["summary"]["accuracy"]) for i, table in enumerate(tables) if table[who]]
        at = [i + offset for i, _ in there]
        mean, low, high = ([100 * found[key] for _, found in there] for key in ("mean", "low", "high"))
        axes.vlines(at, low, high, color=colour, lw=3, alpha=0.6)
        axes.plot(at, mean, "o", color=colour, ms=5, label=f"{who}: mean, and range of the folds")
    axes.axhline(50, color=_INK, lw=0.8, ls=":")
    axes.set_xticks(range(len(tables)), [table["emotion"] for table in tables])
    axes.set_ylabel("accuracy, %; dotted: chance", fontsize=8, color=_INK)
    axes.legend(
        fontsize=8, frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0), labelcolor=_INK
    )
    _inked(axes, 9)
    return _svg(figure, f"accuracy {name}")


def _cell(axes: Axes, place: tuple[int, int], count: int, share: float) -> None:
    from matplotlib.patches import Rectangle

    i, j = place
    ground = (0.03, 0.32, 0.61, share)
    axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor=ground, edgecolor=_PAPER, lw=0.4))
    shown = "<1%" if 0 < share < 0.005 else f"{share:.0%}"
    text = f"{count}\n{shown}" if count else "0"
    ink = "white" if share > _DARK else _INK
    axes.text(j, i, text, ha="center", va="center", fontsize=8, color=ink, linespacing=1.1)


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("matplotlib", "report", "the report with its plots") from error
    return Figure((width, height), layout="constrained")


def _inked(axes: Axes, size: int) -> None:
    """Everything in the page's ink, without a frame, on no ground of its own."""
    axes.patch.set_visible(False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[:].set_color(_INK)
    axes.tick_params(labelsize=size, color=_INK, labelcolor=_INK)


def _svg(figure: Figure, name: str) -> str:
    """The same text for the same figure and name: no date, no random names, none shared between pictures."""
    from matplotlib import rc_context

    figure.patch.set_visible(False)
    out = io.StringIO()
    with rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):  # text stays text, to read and to find
        figure.savefig(out, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = out.getvalue()
    text = text[text.index("<svg") :]  # a page has its own declaration
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.DOTALL)  # would style the page
    return _without_idle_names(text).replace(_INK, "currentColor")


def _without_idle_names(svg: str) -> str:
    """Without the ids that nothing refers to: every picture has the same ones, and a page may not."""
    used = set(re.findall(r"#([\w.-]+)", svg))
    return re.sub(r' id="([\w.-]+)"', lambda found: found[0] if found[1] in used else "", svg)
