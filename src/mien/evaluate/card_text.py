"""A model card for reading: what a network is, what it was judged to be worth, where it must not be used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isnan
from textwrap import wrap
from typing import Any, Final

from mien.card import ACCURATE, ModelCard
from mien.labels import EMOTIONS

WIDTH: Final = 80
POOR_RECALL: Final = 0.5  # below it an emotion is named as one that the network misses
_KEY_WIDTH: Final = 16  # columns before a value


def render_card(card: ModelCard) -> str:
    """The card as text, lines of at most 80 columns where words allow, ending in a newline."""
    limits = [*card.limits, *_missed_emotions(card)]
    blocks = [
        _render_facts(card),
        # what training wrote down of each split
        [
            line
            for split, figures in card.scores.items()
            for line in _entry("scores", f"{split}: {', '.join(f'{k} {v:.4g}' for k, v in figures.items())}")
        ],
        render_calibration(card),
        [line for text in limits for line in wrap(text, WIDTH, initial_indent="- ", subsequent_indent="  ")],
    ]
    return "\n\n".join("\n".join(lines) for lines in blocks if lines) + "\n"


def render_calibration(card: ModelCard) -> list[str]:
    """The numbers that were fitted, and what they gave on faces held out; empty without a calibration."""
    about = card.calibration
    if not about:
        return []
    lines = [
        *_entry("calibrated on", f"{about['n']} faces of {about['data']}, labelled by {about['protocol']}"),
        *_entry("temperature", f"{card.temperature:.4f}"),
        *_entry(
            "uncertain", f"confidence below {card.uncertain:.4f}, of the rest {about['right']:.0%} are right"
        ),
    ]
    for name, policy in card.policies.items():
        lean = f", leans to rare emotions with strength {about['strength']:g}" if any(policy.offsets) else ""
        share = "" if policy.set_from is None else f"sets of emotions of a share of {policy.set_from:.4f}"
        lines += _entry(f"policy {name}"[: _KEY_WIDTH - 1], share + lean)
    if card.thresholds is not None:
        pairs = zip(EMOTIONS, card.thresholds, strict=True)
        lines += _entry("detected from", ", ".join(f"{name} {value:.3f}" for name, value in pairs))
    for protocol, figures in about["held_out"].items():
        lines += ["", *_render_held_out(about, protocol, figures)]
    return lines


def policy_lines(policies: Mapping[str, Mapping[str, Any]], n: Mapping[str, float]) -> list[str]:
    """Policies beside each other: recall of each emotion, and how often a set holds its label.

    Args:
        policies: name to the figures of `metrics.decision_figures`, those by emotion as dicts; in [0, 1].
        n: emotion to number of faces.
    """
    sets = [name for name in policies if policies[name].get("coverage") is not None]

    def line(title: str, count: str, cells: Iterable[str]) -> str:
        return (f"{title:<17}{count:>7}" + "".join(f"{cell:>14}" for cell in cells)).rstrip()

    lines = [
        line("%", "", ["recall"] * len(policies) + ["label in set"] * len(sets)),
        line("", "n", [*policies, *sets]),
    ]
    for emotion in EMOTIONS:
        shares = [figures["recall"][emotion] for figures in policies.values()]
        shares += [policies[name]["coverage by emotion"][emotion] for name in sets]
        lines.append(line(emotion, f"{n[emotion]:.0f}", map(percent, shares)))
    shares = [f.get("accuracy") for f in policies.values()] + [policies[name]["coverage"] for name in sets]
    lines.append(line("all faces", f"{sum(n.values()):.0f}", map(percent, shares)))
    for title, key in (
        ("mean of emotions", "balanced accuracy"),
        ("uncertain", "uncertain"),
        ("right if certain", "right if certain"),
    ):
        lines.append(line(title, "", (percent(figures.get(key)) for figures in policies.values())))
    if sets:
        sizes = [policies[name]["set size"] for name in sets]
        cells = ["-" if size is None else f"{size:.2f}" for size in sizes]
        lines.append(line("emotions a set", "", [""] * len(policies) + cells))
    return lines


def _render_facts(card: ModelCard) -> list[str]:
    made = card.provenance
    pictures = f" ({made['pictures']:,} pictures)" if "pictures" in made else ""
    entries = {
        "model": f"{card.name}, {card.parameters:,} weights, "
        f"{card.multiply_adds / 1e6:.1f} M multiply-adds a face",
        "reads": f"{card.size} x {card.size} {card.colour}, the face upright",
        "gives": " ".join(card.labels),
        "learnt from": "; ".join(card.data) + pictures,
        "licence": card.licence,
        "recipe": card.recipe,
        "made by": f"Mien {made['mien']}, commit {made.get('commit')}" if "mien" in made else "",
    }
    return [line for key, value in entries.items() if value for line in _entry(key, value)]


def _render_held_out(about: Mapping[str, Any], protocol: str, figures: Mapping[str, Any]) -> list[str]:
    """The figures of one protocol: means over the splits of the faces into halves."""
    low, high = (percent(end) for end in figures["accuracy 95"])
    before, after = percent(figures["ece before"]), percent(figures["ece"]["mean"])
    least = percent(figures["ece if right"]["mean"])
    means = {
        name: {key: value["mean"] for key, value in one.items()} for name, one in figures["policies"].items()
    }
    return [
        *wrap(
            f"{figures['n']} faces labelled by {protocol}, each read by what half of the faces without it "
            f"gave; mean of {about['splits']} cuts, seed {about['seed']}",
            WIDTH,
        ),
        *_entry("accuracy", f"{percent(figures['accuracy'])} % ({low} to {high})"),
        *_entry("ECE", f"{before} % before, {after} % after ({least} if every probability were right)"),
        *_entry("NLL", f"{figures['nll before']:.4f} before, {figures['nll']['mean']:.4f} after"),
        "",
        *policy_lines(means, figures["n of"]),
    ]


def _missed_emotions(card: ModelCard) -> list[str]:
    """A sentence on the emotions of which most faces are missed, by the first protocol that was measured."""
    for protocol, figures in card.calibration.get("held_out", {}).items():
        recall, n = figures["policies"][ACCURATE]["recall"]["mean"], figures["n of"]
        poor = [
            f"{emotion} ({percent(share)} % of {n[emotion]:.0f})"
            for emotion, share in recall.items()
            if share is not None and share < POOR_RECALL
        ]
        if poor:
            return [f"Misses most faces of {', '.join(poor)}, labelled by {protocol}."]
    return []


def _entry(key: str, value: str) -> list[str]:
    return entry(key, value, _KEY_WIDTH, break_words=False)


def entry(key: str, value: str, width: int, *, break_words: bool = True) -> list[str]:
    """A key and its value, the value after `width` columns, in lines of at most 80 columns.

    `break_words` breaks words that are longer than a line (a path), and then none at its hyphens.
    """
    return wrap(
        value,
        WIDTH,
        initial_indent=f"{key:<{width}}",
        subsequent_indent=" " * width,
        break_long_words=break_words,
        break_on_hyphens=not break_words,
    )


def percent(value: float | None) -> str:
    """A share as per cent with two digits; "-" where it is undefined."""
    return "-" if value is None or isnan(value) else f"{100 * value:.2f}"
