"""The plots of a report, as SVG text; pyplot is not used, so that nothing is kept open.

Legend: K emotions.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mien.errors import MissingExtra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe and Ito (2008), told apart by colour-blind people; stages are drawn in this order.
_LINES: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")


def confusion_plot(counts: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    """The (K, K) counts, rows true; shade: share of the row, so that rare emotions are seen as well."""
    figure = _figure(5.6, 4.8)
    axes = figure.add_subplot()
    array = np.asarray(counts, float)
    shares = array / np.maximum(array.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, row in enumerate(counts):
        for j, n in enumerate(row):
            ink = "white" if shares[i, j] > 0.55 else "black"
            text = f"{n}\n{shares[i, j]:.0%}" if n else "0"
            axes.text(j, i, text, ha="center", va="center", fontsize=7, color=ink)
    axes.set_xticks(range(len(labels)), labels, rotation=40, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("read")
    axes.set_ylabel("true")
    return _svg(figure)


def curves_plot(curves: Sequence[Mapping[str, Any]]) -> str:
    """Loss by epoch of every stage, a panel each; a line a part of the experiment."""
    stages = list(dict.fromkeys(curve["stage"] for curve in curves))
    columns = min(4, len(stages))
    rows = -(-len(stages) // columns)
    figure = _figure(2.6 * columns, 2.1 * rows)
    for i, stage in enumerate(stages):
        axes = figure.add_subplot(rows, columns, i + 1)
        for curve in curves:
            if curve["stage"] == stage:
                epochs = [line["epoch"] for line in curve["lines"]]
                losses = [line["loss"] for line in curve["lines"]]
                axes.plot(epochs, losses, color=_LINES[i % len(_LINES)], alpha=0.7, lw=1, marker=".", ms=3)
        axes.set_title(stage, fontsize=8)
        _plain(axes)
        axes.set_xlabel("epoch", fontsize=7)
        axes.set_ylabel("loss", fontsize=7)
    return _svg(figure)


def accuracy_plot(tables: Sequence[Mapping[str, Any]]) -> str:
    """Accuracy of one emotion against the rest, the paper's and ours, mean and range of the folds."""
    figure = _figure(7.2, 2.9)
    axes = figure.add_subplot()
    for offset, (who, colour) in zip((-0.15, 0.15), (("paper", "#777777"), ("ours", "#0072b2")), strict=True):
        for i, table in enumerate(tables):
            if table[who]:
                found = table[who]["summary"]["accuracy"]
                low, high = 100 * found["low"], 100 * found["high"]
                axes.plot([i + offset] * 2, [low, high], color=colour, lw=3, solid_capstyle="butt", alpha=0.5)
                axes.plot(
                    i + offset, 100 * found["mean"], "o", color=colour, ms=5, label=who if i == 0 else None
                )
    axes.axhline(50, color="black", lw=0.8, ls=":")
    axes.set_xticks(range(len(tables)), [table["emotion"] for table in tables], fontsize=8)
    axes.set_ylabel("accuracy, %; chance 50", fontsize=8)
    axes.legend(fontsize=8, frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    _plain(axes)
    return _svg(figure)


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("matplotlib", "report", "the report with its plots") from error
    return Figure((width, height), layout="constrained", facecolor="white")


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=7)


def _svg(figure: Figure) -> str:
    """The same text for the same figure: no date, no random names."""
    from matplotlib import rc_context

    out = io.StringIO()
    with rc_context({"svg.hashsalt": "mien", "svg.fonttype": "path"}):
        figure.savefig(out, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = out.getvalue()
    return text[text.index("<svg") :]  # a page has its own declaration
