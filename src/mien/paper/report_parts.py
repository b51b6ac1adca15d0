"""What the page of a report shows, as plain data: the template only lays it out.

Whatever results of an older version lack is None or empty here, and left out of the page.

Legend: E emotions, A autoencoders, M maps, n mistakes, H and W rows and columns.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mien.image import encode_image
from mien.labels import EMOTIONS
from mien.paper.action_units import PROTOTYPES, UNITS, only, shared
from mien.paper.gallery import Gallery
from mien.paper.render import Block, blocks
from mien.paper.report_plots import accuracy_plot, confusion_plot, curves_plot
from mien.types import Image

Entry = dict[str, Any]

JOINED: Final = {
    "raw": "raw pictures into the CNN",
    "generated": "pictures that an autoencoder generates into the CNN",
    "pretrained": "layers of the CNN learnt as autoencoders first",
}
DESIGNS: Final = {
    "person": "disjoint by person, so that nobody is in both the training and the test pictures",
    "kfold": "disjoint, but a person may be in both the training and the test pictures",
    "repeated": "drawn again for each fold from the same test pictures, so that folds overlap",
}
THRESHOLDS: Final = {
    "winner": "none, the emotion with the highest probability is read",
    "half": "a probability of a half",
    "training": "the probability that tells best on the training pictures",
}
MADE: Final = {"mien": "Mien", "data": "pictures, start of their SHA-256", "seed": "seed of the folds"}


def summary(results: Mapping[str, Any]) -> Entry:
    """What was asked of how many pictures."""
    folds = results.get("folds") or {}
    return {
        "notes": results.get("notes", ()),
        "corpus": results.get("corpus", "a corpus without a name"),
        "pictures": results.get("pictures"),
        "folds": folds.get("folds"),
        "design": DESIGNS.get(folds.get("design", "")),
        "share": results.get("share", 1),
        "unlabelled": results.get("unlabelled", 0),
    }


def variants(results: Mapping[str, Any]) -> list[Entry]:
    """Everything of each variant that needs no gallery, in the order of the results."""
    names = list(results["variants"])
    pairs = dict(zip(names[1:], results.get("pairs") or (), strict=False))  # each against the first
    return [_variant(name, results, pairs.get(name)) for name in names]


def _variant(name: str, results: Mapping[str, Any], pair: Mapping[str, Any] | None) -> Entry:
    figures = results["variants"][name]
    eight, recipe = figures["eight_way"], results.get("recipes", {}).get(name, "")
    judged = [table["emotion"] for table in figures["measures"] if table["ours"]]
    return {
        "name": name,
        "joined": next((text for kind, text in JOINED.items() if f'variant = "{kind}"' in recipe), None),
        "judged": len(judged),
        "eight": eight,
        "macro": {who: (figures["macro"][who] or {}).get("accuracy") for who in ("paper", "ours")},
        "pair": pair and _pair(pair),
        "size": figures.get("size"),
        "reconstruction": figures.get("reconstruction"),
        "threshold": THRESHOLDS.get(figures.get("threshold", "")),
        "tables": [_table(block) for block in blocks(figures)],
        "accuracy": accuracy_plot(figures["measures"], name),
        "confusion": confusion_plot(eight["counts"], eight["labels"], name) if eight else None,
        "right": _right(eight) if eight else "",
        "curves": curves_plot(figures["curves"], name) if figures.get("curves") else None,
        "recipe": recipe,
    }


def _pair(pair: Mapping[str, Any]) -> Entry:
    """How far above the first variant; results have the first's lead."""
    low, high = pair["interval_95"]
    return {"lead": -pair["difference"], "lead_95": (-high, -low), "p": pair["p"]}


def _right(eight: Mapping[str, Any]) -> str:
    """The diagonal of the confusion matrix in words, for those who do not see it."""
    rows = zip(eight["labels"], eight["counts"], strict=True)
    return ", ".join(f"{label} {row[i]} of {sum(row)}" for i, (label, row) in enumerate(rows) if sum(row))


def _table(block: Block) -> Entry:
    """A table of the paper; neighbours under one group share its head, and `edges` start a group."""
    groups = [(group, len(list(cells))) for group, cells in groupby(block.head, key=lambda cell: cell[0])]
    edges = np.cumsum([0, *(span for _, span in groups)])[1:-1].tolist()
    return {"block": block, "groups": groups, "edges": edges}


def samples(galleries: Mapping[str, Gallery]) -> list[Entry]:
    """A test picture of each emotion; all variants were asked of the same."""
    gallery = next(iter(galleries.values()), None)
    if gallery is None:
        return []
    pairs = zip(gallery.emotions, gallery.originals, strict=True)
    return [{"emotion": EMOTIONS[k], "picture": picture(pixels)} for k, pixels in pairs]


def generated(galleries: Mapping[str, Gallery], errors: Mapping[str, Any]) -> Iterator[Entry]:
    """Originals beside what is generated: variants of one autoencoder together, each of eight alone.

    Args:
        galleries: variant to its pictures.
        errors: variant to its reconstruction error, or None.
    """
    alone = [name for name, held in galleries.items() if _autoencoders(held) == 1]
    first = next((galleries[name] for name in alone), None)
    beside = [name for name in alone if _same_originals(first, galleries[name])]
    if first is not None:
        columns = [(name, errors.get(name), galleries[name].generated[:, 0]) for name in beside]  # type: ignore[index]
        yield _side_by_side("", first, columns)
    for name, held in galleries.items():
        if held.generated is not None and name not in beside:
            heads = EMOTIONS if _autoencoders(held) == len(EMOTIONS) else map(str, range(1, 1000))
            pictures = held.generated.swapaxes(0, 1)  # (A, E, 48, 48)
            columns = [(head, None, each) for head, each in zip(heads, pictures, strict=False)]
            yield {**_side_by_side(name, held, columns), "error": errors.get(name)}


def _autoencoders(gallery: Gallery) -> int:
    return 0 if gallery.generated is None else gallery.generated.shape[1]


def _same_originals(first: Gallery | None, other: Gallery) -> bool:
    return first is not None and np.array_equal(first.originals, other.originals)


def _side_by_side(name: str, gallery: Gallery, columns: Sequence[tuple[str, Any, Image]]) -> Entry:
    rows = [
        {
            "emotion": EMOTIONS[k],
            "original": picture(gallery.originals[i]),
            "cells": [{"by": head, "picture": picture(each[i])} for head, _, each in columns],
        }
        for i, k in enumerate(gallery.emotions)
    ]
    return {"name": name, "heads": [(head, error) for head, error, _ in columns], "rows": rows, "error": None}


def feature_maps(gallery: Gallery) -> Entry:
    """A row a convolution; each map stretched to its own darkest and brightest."""
    layers = [
        {"side": maps.shape[1:], "pictures": [picture(_stretched(one)) for one in maps]}
        for maps in gallery.maps
    ]
    return {"of": picture(gallery.mapped), "layers": layers}


def mistakes(gallery: Gallery) -> list[Entry]:
    """The pictures read wrong, with what was read and what probability the right emotion had."""
    rows = zip(gallery.mistakes, gallery.mistaken_truth, gallery.mistaken_scores, strict=True)
    return [
        {
            "picture": picture(pixels),
            "actual": EMOTIONS[truth],
            "read": EMOTIONS[int(scores.argmax())],
            "confidence": float(scores.max()),
            "own": float(scores[truth]),
        }
        for pixels, truth, scores in rows
    ]


def action_units() -> Entry:
    """What each emotion has, and what tells each pair apart."""
    rows = []
    for first in EMOTIONS:
        cells = [
            None if first == second else {"only": only(first, second), "shared": shared(first, second)}
            for second in EMOTIONS
        ]
        rows.append({"emotion": first, "cells": cells})
    prototypes = [
        (emotion, [f"AU{unit} {UNITS[unit]}" for unit in sorted(PROTOTYPES[emotion])]) for emotion in EMOTIONS
    ]
    return {"emotions": EMOTIONS, "rows": rows, "prototypes": prototypes}


def made(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What made the results, a name and a value each."""
    found = results.get("provenance") or {}
    return [(MADE.get(key, key), _words(value)) for key, value in found.items()]


def picture(pixels: Image) -> str:
    """(H, W) uint8 as a data address."""
    return "data:image/png;base64," + base64.b64encode(encode_image(pixels, ".png")).decode("ascii")


def _stretched(values: NDArray[np.float32]) -> Image:
    """(H, W) floats to gray levels over their own range."""
    low, high = float(values.min()), float(values.max())
    levels: Image = ((values - low) / max(high - low, 1e-12) * 255).round().astype(np.uint8)
    return levels


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {each}" for key, each in value.items())
    return "–" if value in (None, "") else str(value)
