"""The figures: pictures after the paper's Fig. 1 to 3, and plots, for the report.

The pictures of a trained network are made once and kept as plain arrays. Plots are SVG text in the
page's own ink.

Legend: E emotions that there are, A autoencoders, L convolutions, M maps, n mistakes, K = 8 emotions.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mien.errors import DataError, MissingExtra
from mien.files import load_arrays, save_arrays
from mien.labels import EMOTIONS, emotion_index
from mien.paper.corpora import CroppedCorpus
from mien.paper.networks import find_cnns, generate, normalize
from mien.train.faces import as_tensor
from mien.types import Floats, Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAPS: Final = 8  # of each convolution
MISTAKES: Final = 6  # of each hard emotion
HARD: Final = ("contempt", "fear")  # section 5: "both of which obtained a low accuracy rate"

#: Text and axes: a colour that nothing else has, for the page's ink to take its place.
_INK: Final = "#000001"
_OURS: Final = "#2b8cc4"  # a blue of at least 3:1 against the page's light and its dark card
_PAPER: Final = "#8a8a8a"


@dataclass(frozen=True, slots=True, eq=False)
class ReportPictures:
    """What the network of one split saw, generated, and read wrong."""

    originals: Image  # (E, 48, 48) a test picture of each emotion there is; Fig. 2
    emotions: NDArray[np.int64]  # (E,) positions in EMOTIONS
    generated: Image | None  # (E, A, 48, 48) as A autoencoders generate them; None: no autoencoder
    mapped: Image  # (48, 48) the picture of the feature maps
    maps: tuple[Floats, ...]  # L of (M, h, w): what each convolution makes of it; Fig. 1
    mistakes: Image  # (n, 48, 48) contempt and fear read as something else, the most confident first; Fig. 3
    mistaken_truth: NDArray[np.int64]  # (n,)
    mistaken_scores: Floats  # (n, 8)


def collect_pictures(
    net: nn.Module, corpus: CroppedCorpus, test: NDArray[np.int64], probabilities: Floats, device: str
) -> ReportPictures:
    """The pictures of one network, which is on the device.

    It was tested on the pictures at the positions `test`; the (N, 8) probabilities of all pictures of the
    corpus are nan where one was not tested.
    """
    first_of_each = [test[corpus.labels[test] == k][:1] for k in range(len(EMOTIONS))]
    shown = np.concatenate(first_of_each)  # (E,)
    net = net.eval()
    images = as_tensor(corpus.images[shown]).float().to(device)  # (E, 1, 48, 48)
    generated, maps = None, []
    with torch.no_grad():
        cnn = find_cnns(net)[0]
        if (made := generate(net, images)) is not None:  # (E, A, 48, 48)
            images = made
            generated = images.round().to(torch.uint8).cpu().numpy()
        x = normalize(images[:1, : cnn.channels])
        for layer in cnn.layers[:-1]:
            convolve, bend, pool = layer.children()
            x = bend(convolve(x))  # (1, F, h, w)
            maps.append(x[0, :MAPS].cpu().numpy())
            x = pool(x)
    wrong = _find_mistakes(corpus.labels, probabilities)
    return ReportPictures(
        originals=corpus.images[shown],
        emotions=corpus.labels[shown],
        generated=generated,
        mapped=corpus.images[shown[0]],
        maps=tuple(maps),
        mistakes=corpus.images[wrong],
        mistaken_truth=corpus.labels[wrong],
        mistaken_scores=probabilities[wrong],
    )


def _find_mistakes(labels: NDArray[np.int64], probabilities: Floats) -> NDArray[np.int64]:
    """Pictures of the hard emotions that were read as another one, the most confident first."""
    tested = np.isfinite(probabilities).all(1)  # (N,)
    read = np.where(tested, np.nan_to_num(probabilities).argmax(1), labels)
    confidence = np.nan_to_num(probabilities).max(1)
    found = []
    for emotion in HARD:
        wrong = np.flatnonzero((labels == emotion_index(emotion)) & (read != labels))
        found.append(wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES])
    return np.concatenate(found)


def save_pictures(path: Path, pictures: ReportPictures) -> None:
    """Write one .npz file, which appears whole."""
    arrays: dict[str, Any] = {field.name: getattr(pictures, field.name) for field in fields(ReportPictures)}
    arrays |= {f"maps_{i}": maps for i, maps in enumerate(arrays.pop("maps"))}
    save_arrays(path, {name: array for name, array in arrays.items() if array is not None})


def load_pictures(path: Path) -> ReportPictures:
    """Read them back; DataError where `path` is not such a file."""
    advice = "remove the file and run `mien reproduce` again"
    arrays: dict[str, Any] = dict(load_arrays(path, advice))
    maps = tuple(arrays.pop(name) for name in sorted(arrays) if name.startswith("maps_"))
    try:
        return ReportPictures(**{"generated": None, **arrays}, maps=maps)
    except TypeError as error:
        raise DataError(f"{path}: expected the pictures of a reproduction ({error}); {advice}") from error


def confusion_plot(counts: Sequence[Sequence[int]], labels: Sequence[str], name: str) -> str:
    """The (K, K) counts, rows actual; shade: share of the row, so that rare emotions are seen as well.

    The shade is a blue over the page's own ground, so that an empty cell is dark on a dark page.
    """
    figure = _figure(6.4, 5.2)
    from matplotlib.patches import Rectangle

    axes = figure.add_subplot()
    array = np.asarray(counts, float)
    shares = array / np.maximum(array.sum(1, keepdims=True), 1)
    for (i, j), share in np.ndenumerate(shares):
        cell = Rectangle((j - 0.5, i - 0.5), 1, 1, fc=(0.03, 0.32, 0.61, share), ec=_PAPER, lw=0.4)
        axes.add_patch(cell).set_in_layout(False)  # to measure what stays within the axes takes half the time
        shown = "<1%" if 0 < share < 0.005 else f"{share:.0%}"
        text = f"{array[i, j]:.0f}\n{shown}" if array[i, j] else "0"
        ink = "white" if share > 0.7 else _INK  # reads better on a dark cell
        axes.text(j, i, text, ha="center", va="center", size=8, color=ink, linespacing=1.1, in_layout=False)
    axes.set(xlim=(-0.5, len(labels) - 0.5), ylim=(len(labels) - 0.5, -0.5), aspect="equal")
    axes.set_xticks(range(len(labels)), labels, rotation=40, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("read as", color=_INK)
    axes.set_ylabel("actual emotion", color=_INK)
    axes.spines[:].set_visible(False)
    _inked(axes, 9)
    return _svg(figure, f"confusion {name}")


def curves_plot(curves: Sequence[Mapping[str, Any]], name: str) -> str:
    """Loss by epoch of every stage, one panel each; one line for each network of the experiment."""
    stages = list(dict.fromkeys(curve["stage"] for curve in curves))
    columns = min(4, len(stages))
    rows = -(-len(stages) // columns)
    figure = _figure(2.9 * columns, 2.3 * rows)
    from matplotlib.ticker import MaxNLocator

    for i, stage in enumerate(stages):
        axes = figure.add_subplot(rows, columns, i + 1)
        for curve in curves:
            if curve["stage"] == stage:
                epochs = [line["epoch"] for line in curve["lines"]]
                losses = [line["loss"] for line in curve["lines"]]
                axes.plot(epochs, losses, color=_OURS, alpha=0.7, lw=1, marker=".", ms=3)
        axes.set_ylim(0, 1.05 * axes.dataLim.y1 or 1)  # from zero, so that a flat line looks flat
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
        found = [table[who]["summary"]["accuracy"] for table in tables]
        at = [i + offset for i in range(len(tables))]
        mean, low, high = ([100 * each[key] for each in found] for key in ("mean", "low", "high"))
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
    """The same text for the same figure and name: no date, no random ids, and no id in two pictures."""
    from matplotlib import rc_context

    figure.patch.set_visible(False)
    out = io.StringIO()
    with rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):  # text stays text, to read and to find
        figure.savefig(out, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = out.getvalue()
    text = text[text.index("<svg") :]  # a page has its own declaration
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.DOTALL)  # would style the page
    # without the ids that nothing refers to: every picture has the same ones, and a page may not
    used = set(re.findall(r"#([\w.-]+)", text))
    text = re.sub(r' id="([\w.-]+)"', lambda found: found[0] if found[1] in used else "", text)
    return text.replace(_INK, "currentColor")
