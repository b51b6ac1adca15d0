"""Section 4: the report of a reproduction, one HTML file with its pictures inside, built from data alone.

    results.json, gallery.npz of each variant -> tables, plots -> templates/report.html

Legend: E emotions, A autoencoders, H and W rows and columns.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mien.config import from_toml
from mien.errors import DataError, list_few
from mien.files import write_whole
from mien.image import encode_image
from mien.labels import EMOTIONS
from mien.paper.diagram import draw_network
from mien.paper.figures import ReportPictures, accuracy_plot, confusion_plot, curves_plot, load_pictures
from mien.paper.tables import PaperTable, error_sums_table, paper_tables
from mien.paper.training import AGAIN
from mien.paper.variants import PaperRecipe
from mien.results.draw import COLOURS
from mien.results.page import template_environment
from mien.types import Image

REPORT: Final = "report.html"

#: How the report describes the values of a recipe, of the folds and of the threshold.
_NETWORKS: Final = {"eight": "eight CNNs, one for each emotion", "one": "one CNN of eight answers"}
_AUTOENCODERS: Final = {"each": "the autoencoder of each emotion", "one": "one autoencoder"}
_CORRUPTIONS: Final = {"none": "", "noise": " of noisy pictures", "mask": " of pictures with hidden patches"}
_DESIGNS: Final = {
    "person": "parts disjoint by person, so that nobody is in both the training and the test pictures",
    "kfold": "disjoint parts, but a person may be in both the training and the test pictures",
    "repeated": "the same test pictures again for each, so that they overlap",
}
_THRESHOLDS: Final = {
    "winner": "no other emotion is more likely",
    "half": "its probability is 0.5 or more",
    "training": "its probability reaches what separates best on the training pictures",
}
_PROVENANCE: Final = {"mien": "Mien", "data": "pictures, start of their SHA-256", "seed": "seed of the folds"}

#: Section 4: "action units are taken into consideration in order to detect an emotion". Number to name of
#: the facial movements that can be seen alone (Ekman, Friesen and Hager, Facial Action Coding System, 2002).
ACTION_UNITS: Final = {
    1: "inner brow raiser",
    2: "outer brow raiser",
    4: "brow lowerer",
    5: "upper lid raiser",
    6: "cheek raiser",
    7: "lid tightener",
    9: "nose wrinkler",
    10: "upper lip raiser",
    12: "lip corner puller",
    14: "dimpler",
    15: "lip corner depressor",
    17: "chin raiser",
    20: "lip stretcher",
    23: "lip tightener",
    24: "lip presser",
    25: "lips part",
    26: "jaw drop",
}
#: Emotion to the action units that the models of the Radboud Faces Database were asked to show, after Ekman
#: and Friesen's prototypes: Langner et al., Cognition and Emotion 24(8), 1377-1388, 2010; listed by its
#: authors at https://facedb.blogspot.com/2008/07/model-training-and-photographing.html. They agree with
#: section 4: contempt has "only one action unit: the dimple", fear and sadness "share two action units: the
#: brow lower and inner brow raise". Other sources differ: EMFACS (Friesen and Ekman 1983) adds unit 12 to
#: contempt and 7 to fear, and has 9 + 15 + 16 for disgust.
PROTOTYPES: Final[dict[str, frozenset[int]]] = {
    "neutral": frozenset(),
    "happiness": frozenset({6, 12, 25}),
    "surprise": frozenset({1, 2, 5, 26}),
    "sadness": frozenset({1, 4, 15, 17}),
    "anger": frozenset({4, 5, 7, 17, 23, 24}),  # 23 or 24, one of the two being enough
    "disgust": frozenset({9, 10, 25}),
    "fear": frozenset({1, 2, 4, 5, 20, 25}),
    "contempt": frozenset({14}),  # on one side of the face
}


def report_folder(out: Path | str) -> Path:
    """Build the report of a reproduction's folder, as `out/report.html`.

    Raises:
        DataError: the folder holds no finished reproduction.
        MissingExtra: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    out = Path(out)
    path = out / "results.json"
    try:
        results = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: expected the results of a reproduction ({error}); make them with `mien reproduce paper`"
        ) from error
    pictures = {name: load_pictures(out / name / "gallery.npz") for name in results["variants"]}
    write_report(results, pictures, out / REPORT)
    return out / REPORT


def write_report(results: Mapping[str, Any], pictures: Mapping[str, ReportPictures], path: Path) -> None:
    """Write the report; the same input gives the same bytes.

    Args:
        results: as `reproduce.reproduce` returns them.
        pictures: variant to its pictures.
        path: of the HTML file, which is replaced and appears whole.
    """
    environment = template_environment("mien.paper")
    environment.filters |= {
        "percent": _percent,
        "span": _span,
        "thousands": lambda count: f"{count:,}".replace(",", "\u202f"),
        "p_value": lambda p: f"{p:.3f}" if p >= 0.001 else "< 0.001",
        "words": _words,
        "picture": _picture,
        "stretched": _stretched,
    }
    recipes = {name: from_toml(PaperRecipe, text) for name, text in results["recipes"].items()}
    variants = _variants(results, recipes)
    html = environment.get_template("report.html").render(
        title=f"Autoencoders and a convolutional network on {results['corpus']}",
        results=results,
        warnings=_warnings(results, recipes),
        pictures=pictures,
        variants=variants,
        sums=error_sums_table({name: data["error_sums"] for name, data in results["variants"].items()}),
        networks=_networks(recipes),
        raw=[v["name"] for v in variants if v["joined"] == "raw"],
        generated_names=[v["name"] for v in variants if v["joined"] == "generated"],
        generated=list(_generated(results, pictures)),
        designs=_DESIGNS,
        provenance_names=_PROVENANCE,
        action_units=ACTION_UNITS,
        prototypes=PROTOTYPES,
        emotions=EMOTIONS,
        colours=COLOURS,
    )
    write_whole(path, html)


def _variants(results: Mapping[str, Any], recipes: Mapping[str, PaperRecipe]) -> list[dict[str, Any]]:
    """Everything of each variant that needs no pictures, in the order of the results."""
    pairs = {pair["variants"][1]: pair for pair in results["pairs"]}  # each against the first
    shown = []
    for name, data in results["variants"].items():
        eight, recipe, pair = data["eight_way"], results["recipes"][name], pairs.get(name)
        shown.append(
            {
                **data,
                "name": name,
                "about": _describe(recipes[name]),
                "joined": recipes[name].variant,
                "eight": eight,
                # results have how far the first is above this one
                "lead": pair and -pair["difference"],
                "lead_95": pair and [-end for end in reversed(pair["interval_95"])],
                "p": pair and pair["p"],
                "threshold": _THRESHOLDS[data["threshold"]],
                "tables": [_with_head_groups(table) for table in paper_tables(data)],
                "accuracy": accuracy_plot(data["measures"], name),
                "confusion": confusion_plot(eight["counts"], eight["labels"], name),
                "diagonal": _diagonal_in_words(eight),
                "curves": curves_plot(data["curves"], name),
                "recipe": recipe,
            }
        )
    return shown


def _describe(recipe: PaperRecipe) -> str:
    """A recipe in words: what the CNN is given, and how many there are."""
    networks = _NETWORKS[recipe.networks]
    if recipe.variant == "raw":
        return f"the pictures themselves into {networks}"
    if recipe.variant == "pretrained":
        pictures = _CORRUPTIONS[recipe.pretrain.corruption]
        return f"{networks}, whose layers first learned as autoencoders{pictures}"
    start = "; it starts at PCA" if recipe.pretrain.start == "pca" else ""
    if recipe.autoencoder_of_each and recipe.pretrain.start == "shared":
        start = "; the eight autoencoders begin as one that learned all pictures"
    joint = "; it learns on with the CNN" if recipe.joint else ""
    return f"pictures that {_AUTOENCODERS[recipe.autoencoders]} generates into {networks}{start}{joint}"


def _warnings(results: Mapping[str, Any], recipes: Mapping[str, PaperRecipe]) -> list[str]:
    """What must be known before the figures are: networks that never learned, or did so at the second try."""
    begun: dict[str, dict[str, None]] = {}  # variant to its networks, each once
    for name, data in results["variants"].items():
        for curve in data["curves"]:
            stage, _, last = curve["stage"].rpartition("/")
            if last == AGAIN:
                begun.setdefault(recipes[name].name, {})[f"{curve['part']}/{stage}"] = None
    again = [
        f"{name}: {len(found)} of its networks learned nothing at first and were begun anew at a lower rate: "
        f"{list_few(list(found))}"
        for name, found in begun.items()
    ]
    return [*results["warnings"], *again]


def _networks(recipes: Mapping[str, PaperRecipe]) -> list[dict[str, Any]]:
    """Each different network once, drawn, with the variants that have it."""
    drawn: dict[str, list[str]] = {}
    for name, recipe in recipes.items():
        drawn.setdefault(draw_network(recipe), []).append(name)
    return [{"names": names, "svg": svg} for svg, names in drawn.items()]


def _diagonal_in_words(eight: Mapping[str, Any]) -> str:
    """What was read right, for those who do not see the plot of the confusion matrix."""
    rows = zip(eight["labels"], eight["counts"], strict=True)
    return ", ".join(f"{label} {row[i]} of {sum(row)}" for i, (label, row) in enumerate(rows) if sum(row))


def _with_head_groups(table: PaperTable) -> dict[str, Any]:
    """A table; neighbours under one group share its head, and `edges` are the columns that start a group."""
    groups = [(group, len(list(cells))) for group, cells in groupby(table.head, key=lambda cell: cell[0])]
    edges = np.cumsum([0, *(span for _, span in groups)])[1:-1].tolist()
    return {"table": table, "groups": groups, "edges": edges}


def _generated(
    results: Mapping[str, Any], pictures: Mapping[str, ReportPictures]
) -> Iterator[dict[str, Any]]:
    """Originals beside what is generated: variants with one autoencoder together, each with eight alone.

    Each is a dict of the originals and their columns: (head, reconstruction error or None, (E, 48, 48)).
    """
    errors = {name: data["reconstruction"] for name, data in results["variants"].items()}
    generated = {  # (E, A, 48, 48)
        name: held.generated for name, held in pictures.items() if held.generated is not None
    }
    alone = [name for name, each in generated.items() if each.shape[1] == 1]
    if alone:  # all of the same originals, those of the first fold
        columns: list[Any] = [(name, errors[name], generated[name][:, 0]) for name in alone]
        yield {"name": "", "error": None, "columns": columns, "of": pictures[alone[0]]}
    for name in (name for name in generated if name not in alone):
        each = (errors[name] or {}).get("each", {})
        columns = [(emotion, each.get(emotion), generated[name][:, k]) for k, emotion in enumerate(EMOTIONS)]
        yield {"name": name, "error": errors[name], "columns": columns, "of": pictures[name]}


def _picture(pixels: Image) -> str:
    """(H, W) uint8 as a data address."""
    return "data:image/png;base64," + base64.b64encode(encode_image(pixels, ".png")).decode("ascii")


def _stretched(values: NDArray[np.float32]) -> Image:
    """(H, W) floats to gray levels over their own range."""
    low, high = float(values.min()), float(values.max())
    levels: Image = ((values - low) / max(high - low, 1e-12) * 255).round().astype(np.uint8)
    return levels


def _percent(value: float, places: int = 2) -> str:
    return f"{100 * value:.{places}f}"


def _span(interval: Sequence[float], sign: str = "") -> str:
    """A 95 % interval in per cent."""
    return " to ".join(f"{100 * end:{sign}.2f}" for end in interval)


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {each}" for key, each in value.items())
    return "–" if value in (None, "") else str(value)
