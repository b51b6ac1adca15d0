"""The report of a reproduction: one HTML file with its pictures inside, built from data alone.

`results.json` and each variant's `gallery.npz` hold everything that it shows, so that it can be made again
without torch, the corpus or the networks.

Legend: E emotions, A autoencoders, M maps, H and W rows and columns.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError, MissingExtra, OutputError
from mien.evaluate.action_units import PROTOTYPES, UNITS, apart, shared
from mien.evaluate.gallery import Gallery, load_gallery
from mien.evaluate.paper_render import blocks
from mien.evaluate.report_plots import accuracy_plot, confusion_plot, curves_plot
from mien.image import encode_image
from mien.labels import EMOTIONS
from mien.types import Image

REPORT: Final = "report.html"
_JOINED: Final = {
    "raw": "raw pictures into the CNN",
    "generated": "pictures that an autoencoder generates into the CNN",
    "pretrained": "layers of the CNN learnt as autoencoders first",
}


def report_folder(out: Path) -> Path:
    """Build the report of a reproduction's folder, as `out/report.html`.

    Raises:
        DataError: the folder holds no finished reproduction.
        MissingExtra: jinja2 or matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    path = out / "results.json"
    try:
        results = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: expected the results of a reproduction ({error}); make them with `mien reproduce paper`"
        ) from error
    kept = {name: out / name / "gallery.npz" for name in results["variants"]}
    galleries = {name: load_gallery(file) for name, file in kept.items() if file.is_file()}
    write_report(results, galleries, out / REPORT)
    return out / REPORT


def write_report(results: Mapping[str, Any], galleries: Mapping[str, Gallery], path: Path) -> None:
    """Write the report; the same input gives the same bytes.

    Args:
        results: as `recipes.reproduce` makes them.
        galleries: variant to its pictures; a variant may have none.
        path: of the HTML file, which is replaced.
    """
    html = _template().render(
        results=results,
        variants=[_variant(name, results, galleries.get(name)) for name in results["variants"]],
        samples=next((_samples(gallery) for gallery in galleries.values()), []),
        notes=next((figures["notes"] for figures in results["variants"].values()), []),
        units=_units(),
    )
    partial = path.with_name(f"{path.name}.part")
    try:
        partial.write_text(html, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}); give another --out") from error


def _template() -> Any:
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise MissingExtra("jinja2", "report", "the report") from error
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "percent": _percent,
        "span": _span,
        "thousands": lambda n: f"{n:,}".replace(",", " "),
    }
    return environment.from_string(files("mien.evaluate").joinpath("report.html").read_text(encoding="utf-8"))


def _variant(name: str, results: Mapping[str, Any], gallery: Gallery | None) -> dict[str, Any]:
    """Everything that the page shows of one variant."""
    figures = results["variants"][name]
    eight = figures["eight_way"]
    pair = next((pair for pair in results.get("pairs", ()) if pair["variants"][1] == name), None)
    return {
        "name": name,
        "joined": _joined(results["recipes"].get(name, "")),
        "figures": figures,
        "eight": eight,
        "macro": {who: (figures["macro"][who] or {}).get("accuracy") for who in ("paper", "ours")},
        "pair": pair,
        "size": figures.get("size"),
        "reconstruction": figures.get("reconstruction"),
        "blocks": list(blocks(figures)),
        "confusion": confusion_plot(eight["counts"], eight["labels"]) if eight else None,
        "accuracy": accuracy_plot(figures["measures"]),
        "curves": curves_plot(figures["curves"]) if figures.get("curves") else None,
        "recipe": results["recipes"].get(name, ""),
        "generated": _generated(gallery) if gallery else [],
        "maps": _maps(gallery) if gallery else [],
        "mapped": _picture(gallery.mapped) if gallery else None,
        "mistakes": _mistakes(gallery) if gallery else [],
    }


def _joined(recipe: str) -> str:
    """How a variant joins the two techniques, from its recipe."""
    return next((text for kind, text in _JOINED.items() if f'variant = "{kind}"' in recipe), "")


def _samples(gallery: Gallery) -> list[dict[str, str]]:
    pairs = zip(gallery.emotions, gallery.originals, strict=True)
    return [{"emotion": EMOTIONS[k], "picture": _picture(pixels)} for k, pixels in pairs]


def _generated(gallery: Gallery) -> list[dict[str, Any]]:
    """Each original with what each autoencoder generates from it."""
    if gallery.generated is None:
        return []
    rows = zip(gallery.emotions, gallery.originals, gallery.generated, strict=True)
    return [
        {"emotion": EMOTIONS[k], "original": _picture(original), "by": [_picture(one) for one in generated]}
        for k, original, generated in rows
    ]


def _maps(gallery: Gallery) -> list[list[str]]:
    """A row a convolution; each map stretched to its own darkest and brightest."""
    return [[_picture(_stretched(one)) for one in maps] for maps in gallery.maps]


def _mistakes(gallery: Gallery) -> list[dict[str, Any]]:
    rows = zip(gallery.mistakes, gallery.mistaken_truth, gallery.mistaken_scores, strict=True)
    return [
        {
            "picture": _picture(pixels),
            "true": EMOTIONS[truth],
            "read": EMOTIONS[int(scores.argmax())],
            "confidence": float(scores.max()),
            "own": float(scores[truth]),
        }
        for pixels, truth, scores in rows
    ]


def _units() -> dict[str, Any]:
    """The table of action units: what each emotion has, and what tells each pair apart."""
    rows = []
    for first in EMOTIONS:
        cells = [
            None if first == second else {"apart": apart(first, second), "shared": shared(first, second)}
            for second in EMOTIONS
        ]
        rows.append({"emotion": first, "cells": cells})
    prototypes = [
        {"emotion": emotion, "units": [f"{unit} {UNITS[unit]}" for unit in sorted(PROTOTYPES[emotion])]}
        for emotion in EMOTIONS
    ]
    return {"emotions": EMOTIONS, "rows": rows, "prototypes": prototypes}


def _stretched(values: NDArray[np.float32]) -> Image:
    """(H, W) floats to gray levels over their own range."""
    low, high = float(values.min()), float(values.max())
    levels: Image = ((values - low) / max(high - low, 1e-12) * 255).round().astype(np.uint8)
    return levels


def _picture(pixels: Image) -> str:
    """(H, W) uint8 as a data address."""
    return "data:image/png;base64," + base64.b64encode(encode_image(pixels, ".png")).decode("ascii")


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f}"


def _span(interval: tuple[float, float] | None) -> str:
    return (
        "" if interval is None or None in interval else f"{100 * interval[0]:.2f} to {100 * interval[1]:.2f}"
    )
