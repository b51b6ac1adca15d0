"""A verdict as a table of plain text, 80 columns at most, and as JSON.

The JSON holds the same figures unrounded, with what made them; it appears whole or not at all and
replaces an older file, as a score can be made again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mien.card import ACCURATE
from mien.errors import OutputError
from mien.evaluate.judge import Readings, Scores, Verdict
from mien.files import WholeFile
from mien.labels import EMOTIONS
from mien.results.card_text import policy_lines

#: The paper's accuracy one emotion against the rest at 50:50, per cent, mean of the ten folds of its
#: Tables 3-10 on RaFD; its matrices are transposed, which leaves accuracy as it is.
PAPER: Final = {
    "neutral": 93.75,
    "happiness": 97.50,
    "surprise": 93.29,
    "sadness": 97.29,
    "anger": 93.21,
    "disgust": 85.11,
    "fear": 73.46,
    "contempt": 66.57,
}
_NAMED: Final = 10  # unreadable pictures named in the text; the JSON names all


@dataclass(frozen=True, slots=True)
class Heading:
    """What was judged on what."""

    model: str
    sha256: str  # of the model's file
    data: str  # the corpus, e.g. "ferplus"
    split: str | None  # None where the corpus has none
    root: str
    crops: str = "as they are"  # or how faces were found
    drawn: str = ""  # e.g. "1000 of 40000 pictures, seed 0"; empty: all
    policy: str = ACCURATE  # how the emotion that is scored was chosen


def render(heading: Heading, verdict: Verdict, readings: Readings) -> str:
    """One table, lines of at most 80 columns, ending in a newline."""
    parts = [
        head(heading, readings, verdict),
        _summary(verdict.scores, verdict.without_copies),
        _emotions(verdict.scores, verdict.without_copies),
        _policies(verdict),
        _matrix(verdict.scores),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def head(heading: Heading, readings: Readings, verdict: Verdict | None = None) -> list[str]:
    """Names of what was judged; long ones go on in the next line, so that none is cut."""
    split = f", split {heading.split}" if heading.split else ""
    rows = {
        "model": f"{heading.model} (sha256 {heading.sha256[:16]})",
        "data": f"{heading.data}{split}, crops {heading.crops}",
        "root": _printable(heading.root),
        "drawn": heading.drawn,
        "policy": heading.policy if heading.policy != ACCURATE else "",
        "protocol": verdict.protocol if verdict else "",
        "scored": f"{verdict.scores.n if verdict else len(readings.samples)}",
        "left out": f"{verdict.left_out} to which the protocol gives no label" if verdict else "",
        "no face": f"{len(readings.faceless)} more, in which none was found" if readings.faceless else "",
        "damaged": f"{len(readings.broken)} more, which could not be read" if readings.broken else "",
    }
    return [line for key, value in rows.items() if value for line in _wrap(key, value)]


def render_trouble(readings: Readings) -> str:
    """The pictures that could not be read, the first few by name; empty where there is none."""
    if not readings.broken:
        return ""
    lines = [f"could not be read: {len(readings.broken)}"]
    lines += [f"  {_printable(error)}" for _, error in readings.broken[:_NAMED]]
    if len(readings.broken) > _NAMED:
        lines.append(f"  and {len(readings.broken) - _NAMED} more (--json names all)")
    return "\n".join(lines) + "\n"


def to_record(
    heading: Heading, verdicts: Sequence[Verdict], readings: Readings, provenance: Mapping[str, Any]
) -> dict[str, Any]:
    """The verdicts as numbers, strings, lists and dicts; undefined values are None."""
    return {
        "model": heading.model,
        "sha256": heading.sha256,
        "data": heading.data,
        "split": heading.split,
        "root": _printable(heading.root),
        "crops": heading.crops,
        "drawn": heading.drawn or None,
        "policy": heading.policy,
        "read": len(readings.samples),
        "unreadable": [
            {"name": _printable(name), "error": _printable(error)} for name, error in readings.broken
        ],
        "no_face": [_printable(name) for name in readings.faceless],
        "labels": list(EMOTIONS),
        "protocols": {v.protocol: _verdict_record(v) for v in verdicts},
        "provenance": dict(provenance),
    }


def check_path(path: Path, inputs: Sequence[Path | None], option: str = "--json") -> None:
    """Say before the work begins that a result cannot go to `path`.

    Raises:
        OutputError: its folder is not there, it is a folder, or one of the inputs.
    """
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else f"lies in {path.parent}, which is not there"
        raise OutputError(f"{option}: expected a file in a folder that exists, {path} {what}; give another")
    if any(p is not None and p.exists() and path.exists() and p.samefile(path) for p in inputs):
        raise OutputError(f"{option}: expected a file of its own, {path} is an input; give another")


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record; it appears whole, and replaces what was there.

    Raises:
        OutputError: it cannot be written.
    """
    write_text(path, json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str, option: str = "--json") -> None:
    """Write a text; it appears whole, and replaces what was there.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        with WholeFile(path, overwrite=True) as file:
            file.partial.write_text(text, encoding="utf-8")
    except OutputError as error:
        raise OutputError(f"{error}; give another {option}") from error


def _summary(scores: Scores, rest: Scores | None) -> list[str]:
    both = [scores] if rest is None else [scores, rest]
    heads = ["all", "no copy in training"][: len(both)]
    lines = [f"{'':<20}" + "".join(f"{head:>28}" for head in heads).rstrip()]

    def add(name: str, cells: list[str]) -> None:
        lines.append(f"{name:<20}" + "".join(f"{cell:>28}" for cell in cells))

    add("n", [str(s.n) for s in both])
    for name, field in (
        ("accuracy %", "accuracy"),
        ("balanced accuracy %", "balanced_accuracy"),
        ("macro F1 %", "macro_f1"),
    ):
        add(name, [_interval(getattr(s, field), getattr(s, f"{field}_95")) for s in both])
    add("ECE (15 bins) %", [_percent(s.ece) for s in both])
    add("Brier", [_number(s.brier) for s in both])
    add("NLL, nats", [_number(s.nll) for s in both])
    return lines


def _emotions(scores: Scores, rest: Scores | None) -> list[str]:
    """A line an emotion; at 50:50 beside the paper's figures."""
    lines = [
        f"{'':<10}{'':>6}{'':>8}{'':>8}{'':>8}{'one against rest':>24}" + ("  no copy" if rest else ""),
        f"{'emotion, %':<10}{'n':>6}{'recall':>8}{'prec.':>8}{'F1':>8}{'50:50':>8}{'alone':>8}{'paper':>8}"
        + (f"{'n':>7}{'recall':>8}" if rest else ""),
    ]
    for k, emotion in enumerate(EMOTIONS):
        line = f"{emotion:<10}{scores.counts[k].sum():>6}"
        line += "".join(f"{_percent(v[k]):>8}" for v in (scores.recall, scores.precision, scores.f1))
        alone = "" if scores.detection is None else _percent(scores.detection[k])
        line += f"{_percent(scores.one_vs_rest[k]):>8}{alone:>8}{PAPER[emotion]:>8.2f}"
        line += f"{rest.counts[k].sum():>7}{_percent(rest.recall[k]):>8}" if rest else ""
        lines.append(line)
    alone = "" if scores.detection is None else _percent(_known_mean(scores.detection))
    mean = _percent(_known_mean(scores.one_vs_rest))
    lines.append(f"{'mean':<40}{mean:>8}{alone:>8}{sum(PAPER.values()) / len(PAPER):>8.2f}")
    lines.append("(paper: Tables 3-10, 50:50 on RaFD; chance is 50 there, and 12.5 in 8 ways)")
    if alone:
        lines.append("(alone: each emotion asked for by itself, by its threshold on the card)")
    return lines


def _known_mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _policies(verdict: Verdict) -> list[str]:
    """The policies of the card beside each other, where it has several."""
    n = dict(zip(EMOTIONS, verdict.scores.counts.sum(axis=1).tolist(), strict=True))
    return policy_lines(_plain(dict(verdict.policies)), n) if len(verdict.policies) > 1 else []


def _matrix(scores: Scores) -> list[str]:
    lines = [f"{'true, read':<11}" + "".join(f"{emotion[:7]:>8}" for emotion in EMOTIONS)]
    for emotion, row in zip(EMOTIONS, scores.counts, strict=True):
        lines.append(f"{emotion:<11}" + "".join(f"{count:>8}" for count in row))
    return lines


def _wrap(key: str, value: str, width: int = 80) -> list[str]:
    """`key  value`, the value broken into lines of at most `width` columns."""
    room = width - 10
    pieces = [""]
    for word in value.split(" "):
        joined = f"{pieces[-1]} {word}" if pieces[-1] else word
        if len(joined) <= room:
            pieces[-1] = joined
            continue
        chunks = [word[i : i + room] for i in range(0, len(word), room)]
        pieces = [*pieces, *chunks] if pieces[-1] else chunks
    return [f"{key if i == 0 else '':<10}{piece}" for i, piece in enumerate(pieces)]


def _percent(value: float) -> str:
    return "-" if np.isnan(value) else f"{100 * value:.2f}"


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.4f}"


def _interval(value: float, limits: tuple[float, float]) -> str:
    low, high = limits
    return "-" if np.isnan(value) else f"{_percent(value)} ({_percent(low)} to {_percent(high)})"


def _verdict_record(verdict: Verdict) -> dict[str, Any]:
    return {
        "left_out": verdict.left_out,
        "all": _plain(verdict.scores),
        "without_copies": None if verdict.without_copies is None else _plain(verdict.without_copies),
        "policies": _plain(dict(verdict.policies)),
    }


def _plain(value: Any) -> Any:
    """Scores, arrays and tuples as JSON has them, emotions by name, nan as None."""
    if isinstance(value, Scores):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, np.ndarray) and value.ndim == 2:
        return value.tolist()
    if isinstance(value, np.ndarray):
        return dict(zip(EMOTIONS, (_plain(v) for v in value.tolist()), strict=True))
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def _printable(text: str) -> str:
    """Text on one line, bytes of a file name that are no UTF-8 as escapes."""
    escaped = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return escaped.replace("\n", " ").replace("\r", " ")
