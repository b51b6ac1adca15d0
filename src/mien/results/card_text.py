"""A model card for reading: what a network is, what it was judged to be worth, where it must not be used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from textwrap import wrap
from typing import Any, Final

from mien.card import ModelCard
from mien.labels import EMOTIONS

WIDTH: Final = 80
_KEY: Final = 16  # columns before a value
_POOR: Final = 0.5  # recall under which an emotion is named as one that the network misses


def render_card(card: ModelCard) -> str:
    """The card as text, lines of at most 80 columns where words allow, ending in a newline."""
    parts = [_facts(card), _scores(card), render_calibration(card), _limits(card)]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


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
        lines += _entry(f"policy {name}"[: _KEY - 1], share + lean)
    if card.thresholds is not None:
        pairs = zip(EMOTIONS, card.thresholds, strict=True)
        lines += _entry("detected from", ", ".join(f"{name} {value:.3f}" for name, value in pairs))
    for protocol, figures in about["held_out"].items():
        lines += ["", *_held_out(about, protocol, figures)]
    return lines


def policy_lines(policies: Mapping[str, Mapping[str, Any]], n: Mapping[str, float]) -> list[str]:
    """Policies beside each other: recall of each emotion, and how often a set holds its label.

    Args:
        policies: name to figures of `evaluate.policies`, those by emotion as dicts; in [0, 1].
        n: emotion to number of faces.
    """
    sets = [name for name in policies if policies[name].get("coverage") is not None]
    titles = [*(["recall"] * len(policies)), *(["label in set"] * len(sets))]
    lines = [
        _cells("%", "", titles),
        _cells("", "n", [*policies, *sets]),
    ]
    for emotion in EMOTIONS:
        cells = [figures["recall"][emotion] for figures in policies.values()]
        cells += [policies[name]["coverage by emotion"][emotion] for name in sets]
        lines.append(_cells(emotion, f"{n[emotion]:.0f}", map(_percent, cells)))
    everyone = [f.get("accuracy") for f in policies.values()] + [policies[name]["coverage"] for name in sets]
    lines.append(_cells("all faces", f"{sum(n.values()):.0f}", map(_percent, everyone)))
    for title, key in (
        ("mean of emotions", "balanced accuracy"),
        ("uncertain", "uncertain"),
        ("right if certain", "right if certain"),
    ):
        lines.append(_cells(title, "", (_percent(figures.get(key)) for figures in policies.values())))
    sizes = [_number(policies[name]["set size"]) for name in sets]
    return [*lines, _cells("emotions a set", "", [""] * len(policies) + sizes)] if sets else lines


def _facts(card: ModelCard) -> list[str]:
    made = card.provenance
    entries = {
        "model": f"{card.name}, {card.parameters:,} weights, "
        f"{card.multiply_adds / 1e6:.1f} M multiply-adds a face",
        "reads": f"{card.size} x {card.size} {card.colour}, the face upright",
        "gives": " ".join(card.labels),
        "learnt from": "; ".join(card.data)
        + (f" ({made['pictures']:,} pictures)" if "pictures" in made else ""),
        "licence": card.licence,
        "recipe": card.recipe,
        "made by": f"Mien {made['mien']}, commit {made.get('commit')}" if "mien" in made else "",
    }
    return [line for key, value in entries.items() if value for line in _entry(key, value)]


def _scores(card: ModelCard) -> list[str]:
    """What training wrote down of each split."""
    lines = []
    for split, figures in card.scores.items():
        said = (f"{key} {value:.4g}" for key, value in figures.items())
        lines += _entry("scores", f"{split}: {', '.join(said)}")
    return lines


def _held_out(about: Mapping[str, Any], protocol: str, figures: Mapping[str, Any]) -> list[str]:
    """The figures of one protocol: means over the cuts of the faces into halves."""
    before = f"{_percent(figures['ece before'])} % before, "
    low, high = (_percent(end) for end in figures["accuracy 95"])
    lines = wrap(
        f"{figures['n']} faces labelled by {protocol}, each read by what half of the faces without it gave; "
        f"mean of {about['splits']} cuts, seed {about['seed']}",
        WIDTH,
    )
    lines += _entry("accuracy", f"{_percent(figures['accuracy'])} % ({low} to {high})")
    lines += _entry(
        "ECE",
        f"{before}{_percent(figures['ece']['mean'])} % after ({_percent(figures['ece if right']['mean'])} if "
        "every probability were right)",
    )
    lines += _entry("NLL", f"{figures['nll before']:.4f} before, {figures['nll']['mean']:.4f} after")
    means = {
        name: {key: value["mean"] for key, value in one.items()} for name, one in figures["policies"].items()
    }
    return [*lines, "", *policy_lines(means, figures["n of"])]


def _limits(card: ModelCard) -> list[str]:
    said = [*card.limits, *_missed(card)]
    return [line for text in said for line in wrap(text, WIDTH, initial_indent="- ", subsequent_indent="  ")]


def _missed(card: ModelCard) -> list[str]:
    """A sentence on the emotions of which most faces are missed, by the first protocol that was measured."""
    for protocol, figures in card.calibration.get("held_out", {}).items():
        recall, n = figures["policies"]["accurate"]["recall"]["mean"], figures["n of"]
        poor = [
            f"{emotion} ({_percent(share)} % of {n[emotion]:.0f})"
            for emotion, share in recall.items()
            if share is not None and share < _POOR
        ]
        if poor:
            return [f"Misses most faces of {', '.join(poor)}, labelled by {protocol}."]
    return []


def _entry(key: str, value: str) -> list[str]:
    blank = " " * _KEY
    return wrap(
        value, WIDTH, initial_indent=f"{key:<{_KEY}}", subsequent_indent=blank, break_long_words=False
    )


def _cells(name: str, n: str, cells: Iterable[str]) -> str:
    return (f"{name:<17}{n:>7}" + "".join(f"{cell:>14}" for cell in cells)).rstrip()


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
