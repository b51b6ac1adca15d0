"""The report of a reproduction: one HTML file with its pictures inside, built from data alone.

`results.json` and each variant's `gallery.npz` hold everything that it shows, so that it can be made again
without torch, the corpus or the networks.

    results, galleries -> report_parts (plain data, report_plots among it) -> report.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from mien.errors import DataError, MissingExtra
from mien.files import WholeFile
from mien.paper import report_parts as parts
from mien.paper.gallery import Gallery, load_gallery
from mien.results.draw import COLOURS

REPORT: Final = "report.html"


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
        path: of the HTML file, which is replaced and appears whole.

    Raises:
        MissingExtra: jinja2 or matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    html = _template().render(_page(results, galleries))
    with WholeFile(path, overwrite=True) as file:
        file.partial.write_text(html, encoding="utf-8", newline="\n")


def _page(results: Mapping[str, Any], galleries: Mapping[str, Gallery]) -> dict[str, Any]:
    """Everything that the template fills in, section by section."""
    first: Mapping[str, Any] = next(iter(results["variants"].values()), {})
    errors = {name: figures.get("reconstruction") for name, figures in results["variants"].items()}
    return {
        "summary": parts.summary(results),
        "notes": first.get("notes", ()),
        "not_eight_way": first.get("not_eight_way", ""),
        "variants": parts.variants(results),
        "samples": parts.samples(galleries),
        "generated": list(parts.generated(galleries, errors)),
        "maps": {name: parts.feature_maps(gallery) for name, gallery in galleries.items() if gallery.maps},
        "mistakes": {name: parts.mistakes(gallery) for name, gallery in galleries.items()},
        "units": parts.action_units(),
        "made": parts.made(results),
        "colours": COLOURS,
    }


def _template() -> Any:
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise MissingExtra("jinja2", "report", "the report") from error
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"percent": _percent, "span": _span, "thousands": _thousands, "chance": _chance}
    return environment.from_string(files("mien.paper").joinpath("report.html").read_text(encoding="utf-8"))


def _percent(value: float | None, places: int = 2) -> str:
    return "–" if value is None else f"{100 * value:.{places}f}"


def _span(interval: Sequence[float | None] | None, sign: str = "") -> str:
    """A 95 % interval in per cent."""
    if interval is None or None in interval:
        return "–"
    return " to ".join(f"{100 * end:{sign}.2f}" for end in interval if end is not None)


def _thousands(count: int | None) -> str:
    return "–" if count is None else f"{count:,}".replace(",", "\u202f")


def _chance(p: float) -> str:
    """A p value, never as a nought."""
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"
