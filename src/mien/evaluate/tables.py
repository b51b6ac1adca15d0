"""Verdicts as plain text, 80 columns at most, and as records for JSON, unrounded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from textwrap import wrap
from typing import Any, Final

import numpy as np

from mien.card import ACCURATE, TEXT_WIDTH, join_blocks, percent, render_policies
from mien.evaluate.judge import Predictions, Scores, Verdict
from mien.evaluate.metrics import mean_defined, to_json
from mien.labels import EMOTIONS
from mien.results.tables import printable

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
MAX_NAMED: Final = 10  # unreadable pictures named in the text; the JSON names all


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


def render_verdict(heading: Heading, verdict: Verdict, predictions: Predictions) -> str:
    """One table, lines of at most 80 columns, ending in a newline."""
    # the policies of the card beside each other, where it has several
    n = dict(zip(EMOTIONS, verdict.scores.counts.sum(axis=1).tolist(), strict=True))
    policies = render_policies(to_json(verdict.policies), n) if len(verdict.policies) > 1 else []
    return join_blocks(
        [
            render_heading(heading, predictions, verdict),
            _render_summary(verdict),
            _render_emotions(verdict),
            policies,
            _render_matrix(verdict.scores),
        ]
    )


def render_heading(heading: Heading, predictions: Predictions, verdict: Verdict | None = None) -> list[str]:
    """Names of what was judged; long ones (a path) continue on the next line, so that none is cut."""
    split = f", split {heading.split}" if heading.split else ""
    faceless, unreadable = len(predictions.faceless), len(predictions.unreadable)
    entries = {
        "model": f"{heading.model} (sha256 {heading.sha256[:16]})",
        "data": f"{heading.data}{split}, crops {heading.crops}",
        "root": _one_line(heading.root),
        "drawn": heading.drawn,
        "policy": heading.policy if heading.policy != ACCURATE else "",
        "protocol": verdict.protocol if verdict else "",
        "scored": f"{verdict.scores.n if verdict else len(predictions.samples)}",
        "left out": f"{verdict.left_out} to which the protocol gives no label" if verdict else "",
        "no face": f"{faceless} more, in which none was found" if faceless else "",
        "damaged": f"{unreadable} more, which could not be read" if unreadable else "",
    }
    return [
        line
        for key, value in entries.items()
        if value
        for line in wrap(
            value, TEXT_WIDTH, initial_indent=f"{key:<10}", subsequent_indent=" " * 10, break_on_hyphens=False
        )
    ]


def render_unreadable(predictions: Predictions) -> str:
    """The pictures that could not be read, the first few by name; empty where there is none."""
    errors = [f"  {_one_line(error)}" for _, error in predictions.unreadable]
    if not errors:
        return ""
    more = len(errors) - MAX_NAMED
    end = [f"  and {more} more (--json names all)"] if more > 0 else []
    return "\n".join([f"could not be read: {len(errors)}", *errors[:MAX_NAMED], *end]) + "\n"


def _render_summary(verdict: Verdict) -> list[str]:
    columns = {"all": verdict.scores}
    if verdict.without_copies is not None:
        columns["no copy in training"] = verdict.without_copies
    rows = {
        "": list(columns),
        "n": [str(s.n) for s in columns.values()],
        "accuracy %": [_interval(s.accuracy, s.accuracy_95) for s in columns.values()],
        "balanced accuracy %": [
            _interval(s.balanced_accuracy, s.balanced_accuracy_95) for s in columns.values()
        ],
        "macro F1 %": [_interval(s.macro_f1, s.macro_f1_95) for s in columns.values()],
        "ECE (15 bins) %": [percent(s.ece) for s in columns.values()],
        "Brier": [_number(s.brier) for s in columns.values()],
        "NLL, nats": [_number(s.nll) for s in columns.values()],
        "seven expressions %": [_interval(s.seven.accuracy, s.seven.accuracy_95) for s in columns.values()],
        "... balanced %": [percent(s.seven.balanced_accuracy) for s in columns.values()],
        "... n": [str(s.seven.n) for s in columns.values()],
    }
    lines = [f"{name:<20}" + "".join(f"{cell:>28}" for cell in cells) for name, cells in rows.items()]
    return [*lines, "(seven: contempt is neither label nor answer; the best of the others is taken)"]


def _render_emotions(verdict: Verdict) -> list[str]:
    """A line per emotion; at 50:50 beside the paper's figures."""
    scores, rest = verdict.scores, verdict.without_copies
    alone = [""] * len(EMOTIONS) if scores.detection is None else [percent(v) for v in scores.detection]
    lines = [
        f"{'':<40}{'one against rest':>24}" + ("  no copy" if rest else ""),
        f"{'emotion, %':<10}{'n':>6}{'recall':>8}{'prec.':>8}{'F1':>8}{'50:50':>8}{'alone':>8}{'paper':>8}"
        + (f"{'n':>7}{'recall':>8}" if rest else ""),
    ]
    for k, emotion in enumerate(EMOTIONS):
        figures = (scores.recall[k], scores.precision[k], scores.f1[k], scores.one_vs_rest[k])
        line = f"{emotion:<10}{scores.counts[k].sum():>6}" + "".join(f"{percent(v):>8}" for v in figures)
        line += f"{alone[k]:>8}{PAPER[emotion]:>8.2f}"
        line += f"{rest.counts[k].sum():>7}{percent(rest.recall[k]):>8}" if rest else ""
        lines.append(line)
    mean_alone = "" if scores.detection is None else percent(mean_defined(scores.detection))
    mean, paper = percent(mean_defined(scores.one_vs_rest)), sum(PAPER.values()) / len(PAPER)
    lines.append(f"{'mean':<40}{mean:>8}{mean_alone:>8}{paper:>8.2f}")
    lines.append("(paper: Tables 3-10, 50:50 on RaFD; chance is 50 there, and 12.5 in 8 ways)")
    if mean_alone:
        lines.append("(alone: each emotion asked for by itself, by the mean shares on the card)")
    return lines


def _render_matrix(scores: Scores) -> list[str]:
    lines = [f"{'true, read':<11}" + "".join(f"{emotion[:7]:>8}" for emotion in EMOTIONS)]
    for emotion, row in zip(EMOTIONS, scores.counts, strict=True):
        lines.append(f"{emotion:<11}" + "".join(f"{count:>8}" for count in row))
    return lines


def make_record(
    heading: Heading, verdicts: Sequence[Verdict], predictions: Predictions, provenance: Mapping[str, Any]
) -> dict[str, Any]:
    """The verdicts as numbers, strings, lists and dicts; undefined values are None."""
    return {
        **asdict(heading),
        "root": _one_line(heading.root),
        "drawn": heading.drawn or None,
        "read": len(predictions.samples),
        "unreadable": [
            {"name": _one_line(name), "error": _one_line(error)} for name, error in predictions.unreadable
        ],
        "no_face": [_one_line(name) for name in predictions.faceless],
        "labels": list(EMOTIONS),
        "protocols": {
            v.protocol: {
                "left_out": v.left_out,
                "all": to_json(v.scores),
                "without_copies": to_json(v.without_copies),
                "policies": to_json(v.policies),
            }
            for v in verdicts
        },
        "provenance": dict(provenance),
    }


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.4f}"


def _interval(value: float, limits: tuple[float, float]) -> str:
    low, high = limits
    return "-" if np.isnan(value) else f"{percent(value)} ({percent(low)} to {percent(high)})"


def _one_line(text: str) -> str:
    """Text on one line that can be printed, whatever bytes a file name in it holds."""
    return printable(text).replace("\n", " ").replace("\r", " ")
