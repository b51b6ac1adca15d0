"""What `mien agree` prints, writes as JSON, and shows on its page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from json import dumps
from math import isnan
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from mien._version import __version__
from mien.errors import list_few
from mien.evaluate.agreement import MEASURES, ROWS, Agreement, Estimates, PairAgreement
from mien.evaluate.metrics import to_json
from mien.evaluate.ratings import LABELS
from mien.files import WholeFile
from mien.results.page import template_environment

#: Columns that show an estimate: the words above them, and whether it is a share.
_HEADS: Final = {
    "percent": ("agreement", True), "kappa": ("kappa", False), "alpha": ("alpha", False),
    "specific": ("specific", True), "kappa_at_rate": ("kappa at {}'s rate", False),
    "events_paired": ("paired", True), "events_within": ("within {} s", True),
    "icc_2_1": ("ICC(2,1)", False), "icc_3_1": ("ICC(3,1)", False),
}  # fmt: skip
_LISTED: Final = 12  # of what has no counterpart; JSON lists all
_NOTHING: Final = "–"


@dataclass(frozen=True, slots=True)
class AgreementTable:
    """A table of text."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]  # the first cell names the row
    about: str = ""


def render_agreement(found: Agreement) -> str:
    """Everything as text, ending in a line feed."""
    lines = [*describe_agreement(found)]
    for pair in found.pairs:
        lines += ["", title_of(pair)]
        for table in pair_tables(pair, found):
            lines += ["", *_render(table)]
        lines += [f"  {line}" for line in pair_remarks(pair)]
    if found.groups:
        lines += ["", *_render(group_table(found))]
    for head, some in remarks(found).items():
        lines += ["", head, *(f"  {line}" for line in some)]
    return "\n".join(lines) + "\n"


def write_report(found: Agreement, path: Path, *, overwrite: bool = False) -> None:
    """Write the page (.html): one file, with nothing beside it and nothing fetched; or all figures (.json).

    Raises:
        OutputError: the file exists, or cannot be written.
    """
    if path.suffix.lower() == ".html":
        text = _render_page(found)
    else:
        text = dumps(make_agreement_record(found), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    with WholeFile(path, overwrite=overwrite) as file:
        file.partial.write_text(text, encoding="utf-8", newline="\n")


def _render_page(found: Agreement) -> str:
    environment = template_environment("mien.results")
    return environment.get_template("agreement.html").render(
        title="Agreement of " + " and ".join(found.raters),
        found=found,
        intro=list(describe_agreement(found)),
        pairs=[
            {
                "title": title_of(pair),
                "tables": pair_tables(pair, found),
                "remarks": pair_remarks(pair),
                "kappa": [_limits(pair.figures["kappa"], row) for row in _rows(pair)],
                "counts": pair.counts.tolist(),
            }
            for pair in found.pairs
        ],
        group=group_table(found) if found.groups else None,
        remarks=remarks(found),
        version=__version__,
    )


def make_agreement_record(found: Agreement) -> dict[str, Any]:
    """Everything as JSON has it: figures by name, then by row ("in all", then each label); nan as None."""
    return {
        "mien": __version__,
        "options": to_json(asdict(found.options)),
        "raters": list(found.raters),
        "table": found.mien or None,
        "clips": list(found.clips),
        "pairs": [_pair_record(pair) for pair in found.pairs],
        "groups": [
            {"raters": list(one.raters), "moments": one.moments, "alpha": _estimates_record(one.alpha)}
            for one in found.groups
        ],
        "left_out": found.left_out,
        "notes": list(found.notes),
    }


def _pair_record(pair: PairAgreement) -> dict[str, Any]:
    alone = ("first", "second", "clips", "moments", "seconds")
    counts = {"labels": list(LABELS), "rows": "first", "columns": "second", "n": pair.counts.tolist()}
    doubtful = ("moments", "percent_there", "percent_elsewhere")
    return {
        **{name: to_json(getattr(pair, name)) for name in alone},
        "figures": {name: _estimates_record(one) for name, one in pair.figures.items()},
        "kappa_max": _by_row(pair.kappa_max),
        "rates": _columns_by_row(("first", "second"), pair.rates.T),
        "counts": counts,
        "events": _columns_by_row(("of_first", "of_second", "paired", "within"), pair.events),
        "event_medians": _columns_by_row(("onset", "offset", "overlap"), pair.event_medians),
        "events_not_covered": dict(zip(("first", "second"), pair.uncovered, strict=True)),
        "doubtful": pair.doubtful and dict(zip(doubtful, to_json(pair.doubtful), strict=True)),
    }


def _by_row(values: NDArray[Any]) -> dict[str, Any]:
    return dict(zip(ROWS, map(to_json, values.tolist()), strict=True))


def _columns_by_row(names: Sequence[str], table: NDArray[Any]) -> dict[str, Any]:
    return {name: _by_row(column) for name, column in zip(names, table.T, strict=True)}


def _estimates_record(one: Estimates) -> dict[str, Any]:
    return {
        row: dict(zip(("value", "low", "high"), to_json(_limits(one, i)), strict=True))
        for i, row in enumerate(ROWS)
    }


# --- words


def describe_agreement(found: Agreement) -> Iterator[str]:
    """What was compared, and how: the lines at the head."""
    options = found.options
    names = ", ".join(
        f"Mien ({found.mien})" if not i and found.mien else r for i, r in enumerate(found.raters)
    )
    gaps = "missing data" if options.gaps == "missing" else options.gaps
    yield f"Raters: {names}; {len(found.clips)} clips or photos that somebody coded"
    yield f"Moments of {options.step:g} s, what is shown at the middle of each; time without a code is {gaps}"
    yield f"Intervals: 95 %, from {options.draws} bootstrap draws of whole clips (seed {options.seed})"
    if options.names:
        words = ", ".join(f"{word} = {code or '(left out)'}" for word, code in options.names.items())
        yield f"Words in the files: {words}"


def title_of(pair: PairAgreement) -> str:
    """The two raters, and what they have in common."""
    long = f" ({pair.seconds:.1f} s)" if pair.seconds else ""
    return f"{pair.first} and {pair.second}: {pair.moments} moments{long} of {pair.clips} clips or photos"


def pair_tables(pair: PairAgreement, found: Agreement) -> list[AgreementTable]:
    """The figures of two raters: moments, events and intensities where there are any, and the confusion."""
    rows = _rows(pair)
    with_rate = not _is_empty(pair.figures["kappa_at_rate"])
    shown = ["percent", "kappa", "alpha", "specific", *(["kappa_at_rate"] if with_rate else [])]
    tables = [
        AgreementTable(
            "Moments",
            ("", *(_HEADS[name][0].format(pair.second) for name in shown), "kappa at most",
             f"{pair.first} uses it", f"{pair.second} uses it"),
            tuple(
                (ROWS[row], *(_estimate(pair, name, row) for name in shown), _number(pair.kappa_max[row]),
                 *(_share(rate) if row else _NOTHING for rate in pair.rates[:, row]))
                for row in rows
            ),
            "; ".join(f"{_HEADS[name][0].format(pair.second)}: {MEASURES[name]}" for name in shown[3:])
            + "; kappa at most: the greatest kappa that is possible when the two use the labels this often",
        )
    ]  # fmt: skip
    with_events = [row for row in range(len(ROWS)) if pair.events[row].any()]
    if with_events:
        within = _HEADS["events_within"][0].format(f"{found.options.tolerance:g}")
        tables.append(
            AgreementTable(
                "Events",
                ("", pair.first, pair.second, "pairs", "paired", within, "onset", "offset", "overlap"),
                tuple(
                    (
                        ROWS[row],
                        *map(str, pair.events[row, :3]),
                        *(_estimate(pair, name, row) for name in ("events_paired", "events_within")),
                        *(_signed(value) for value in pair.event_medians[row, :2]),
                        _share(pair.event_medians[row, 2]),
                    )
                    for row in with_events
                ),
                f"paired: {MEASURES['events_paired']}; {within}: {MEASURES['events_within']}; onset, offset: "
                f"seconds by which {pair.second} has them later; overlap: time of both divided by time of "
                "either; medians of the pairs",
            )
        )
    if not _is_empty(pair.figures["icc_2_1"]):
        values = pair.figures["icc_2_1"].value
        tables.append(
            AgreementTable(
                "Intensities",
                ("", *(_HEADS[name][0] for name in ("icc_2_1", "icc_3_1"))),
                tuple(
                    (ROWS[row], *(_estimate(pair, name, row) for name in ("icc_2_1", "icc_3_1")))
                    for row in rows
                    if not isnan(values[row])
                ),
                "Coded intensities, or Mien's probabilities; an expression that is not coded has intensity 0",
            )
        )
    used = [row - 1 for row in rows if row]
    tables.append(
        AgreementTable(
            "Confusion",
            (f"{pair.first} in rows, {pair.second} in columns", *(LABELS[k] for k in used)),
            tuple((LABELS[i], *(str(pair.counts[i, k]) for k in used)) for i in used),
        )
    )
    return tables if pair.moments or with_events else []


def pair_remarks(pair: PairAgreement) -> list[str]:
    """What else there is to know of two raters."""
    lines = []
    if pair.doubtful is not None:
        n, there, elsewhere = pair.doubtful
        lines.append(
            f"Marked uncertain by {pair.first}: {n} of {pair.moments} moments; agreement there "
            f"{_share(there)}, elsewhere {_share(elsewhere)}"
        )
    if any(pair.uncovered):
        lines.append(
            "Events not compared, since the other rater codes less than half of their time: "
            f"{pair.uncovered[0]} of {pair.first}'s, {pair.uncovered[1]} of {pair.second}'s"
        )
    if _is_empty(pair.figures["icc_2_1"]):
        lines.append("ICC of intensities: none, since not both of them give intensities")
    return lines


def group_table(found: Agreement) -> AgreementTable:
    """Krippendorff's alpha of several raters together."""
    some = [row for row in range(len(ROWS)) if any(not isnan(one.alpha.value[row]) for one in found.groups)]
    return AgreementTable(
        "Krippendorff's alpha of all",
        ("", *(f"{' + '.join(one.raters)} ({one.moments} moments)" for one in found.groups)),
        tuple((ROWS[row], *(_with_limits(*_limits(one.alpha, row)) for one in found.groups)) for row in some),
    )


def remarks(found: Agreement) -> dict[str, list[str]]:
    """What was left out, and what the reader must know, by heading."""
    lines = [f"{what}: {list_few(some, _LISTED)}" for what, some in found.left_out.items()]
    return {
        head: some for head, some in (("Without a counterpart", lines), ("Notes", list(found.notes))) if some
    }


# --- cells


def _rows(pair: PairAgreement) -> list[int]:
    """The rows of labels that either rater uses, after "in all"."""
    return [row for row in range(len(ROWS)) if not row or (pair.rates[:, row] > 0).any()]


def _is_empty(one: Estimates) -> bool:
    return all(map(isnan, one.value))


def _limits(one: Estimates, row: int) -> tuple[float, float, float]:
    return float(one.value[row]), float(one.low[row]), float(one.high[row])


def _estimate(pair: PairAgreement, name: str, row: int) -> str:
    return _with_limits(*_limits(pair.figures[name], row), scale=100 if _HEADS[name][1] else 1)


def _with_limits(value: float, low: float, high: float, scale: float = 1) -> str:
    if isnan(value):
        return _NOTHING
    places, unit = (1, " %") if scale == 100 else (2, "")
    limits = "" if isnan(low) else f" [{scale * low:.{places}f}, {scale * high:.{places}f}]"
    return f"{scale * value:.{places}f}{unit}{limits}"


def _number(value: float) -> str:
    return _NOTHING if isnan(value) else f"{value:.2f}"


def _signed(value: float) -> str:
    return _NOTHING if isnan(value) else f"{value:+.2f}"


def _share(value: float) -> str:
    return _NOTHING if isnan(value) else f"{100 * value:.1f} %"


def _render(table: AgreementTable) -> list[str]:
    """A table in columns: names to the left, numbers to the right."""
    lines = [table.head, *table.rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.head))]
    body = [
        "  "
        + "  ".join(
            c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    return [
        f"  {table.title}" if table.head[0] == "" else f"  {table.title}:",
        *(line.rstrip() for line in body),
    ]
