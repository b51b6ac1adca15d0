"""The model card: what a network needs to be fed and what is known of it.

It travels inside the ONNX file, as JSON under the metadata key `mien.card`, so that a file and
the way to use it cannot be separated (as timm's `PretrainedCfg` does).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from math import isfinite, isnan
from textwrap import wrap
from typing import Any, Final

from mien.errors import ConfigError, MissingExtra, ModelError
from mien.labels import EMOTIONS

CARD_KEY: Final = "mien.card"
FACE_CARD_KEY: Final = "mien.face"  # of what is known of a face network, as JSON without a fixed shape
CARD_VERSION: Final = 1
ACCURATE: Final = "accurate"  # the policy that every network has: the likeliest emotion, or nearly so
POOR_RECALL: Final = 0.5  # below it an emotion is named as one that the network misses
TEXT_WIDTH: Final = 80
_FIGURES: Final = {"ece": "ECE", "nll": "NLL", "coverage": "label in set", "set size": "emotions a set"}


@dataclass(frozen=True, slots=True)
class Policy:
    """How probabilities become one emotion shown and a set of those that it may be (`faces.policy.decide`).

    >>> Policy(set_from=0.25).offsets
    (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    """

    offsets: tuple[float, ...] = (0.0,) * len(EMOTIONS)  # added to the log probabilities before the choice
    set_from: float | None = None  # an emotion of this share or more is in the set; None: no sets are known

    def __post_init__(self) -> None:
        if len(self.offsets) != len(EMOTIONS) or not all(map(isfinite, self.offsets)):
            raise ModelError(
                f"model card: expected {len(EMOTIONS)} finite offsets of a policy, got {self.offsets}"
            )
        if self.set_from is not None and not 0 <= self.set_from <= 1:
            raise ModelError(f"model card: expected set_from in [0, 1], got {self.set_from}")


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Everything the reading half knows of a network.

    The network takes `input` (N, C, size, size) float32 of raw gray levels 0..255, C = 1 for
    gray and 3 for RGB; normalisation lives inside it. It gives `logits` (N, 8) float32.
    """

    name: str
    labels: tuple[str, ...] = EMOTIONS  # the order of the outputs
    size: int = 48  # side of the square input in pixels
    colour: str = "gray"  # "gray" or "rgb"
    template: tuple[tuple[float, float], ...] = ()  # (5, 2) landmarks in units of the side, see `align`
    temperature: float = 1.0  # logits are divided by it before the softmax
    policies: Mapping[str, Policy] = field(default_factory=lambda: {ACCURATE: Policy()})
    uncertain: float | None = None  # a reading of less confidence x quality is uncertain; None: not known
    #: (8,) mean probabilities: asked for alone, an emotion is shown where its probability, divided by its
    #: mean, is no less than the mean of these eight ratios; None: not known
    thresholds: tuple[float, ...] | None = None
    calibration: Mapping[str, Any] = field(default_factory=dict)  # what fitted these three, and figures
    parameters: int = 0  # number of weights
    multiply_adds: int = 0  # for one face
    data: tuple[str, ...] = ()  # what it was trained on, with its licence
    licence: str = ""
    recipe: str = ""  # the command that made it
    scores: Mapping[str, Any] = field(default_factory=dict)  # split/protocol -> figures with n
    provenance: Mapping[str, Any] = field(default_factory=dict)  # commit, versions, seed, data hash
    limits: tuple[str, ...] = ()  # known failures and uses it is not for
    version: int = CARD_VERSION

    def __post_init__(self) -> None:
        if tuple(self.labels) != EMOTIONS:
            raise ModelError(
                f"model card: expected the labels {' '.join(EMOTIONS)} in this order, "
                f"got {' '.join(self.labels)}"
            )
        if self.colour not in ("gray", "rgb"):
            raise ModelError(f'model card: expected colour "gray" or "rgb", got {self.colour!r}')
        if self.size < 1 or self.temperature <= 0:
            raise ModelError(
                f"model card: expected size >= 1 and temperature > 0, got {self.size} and {self.temperature}"
            )
        if ACCURATE not in self.policies:
            raise ModelError(f"model card: expected a policy {ACCURATE!r}, got {', '.join(self.policies)}")
        if self.thresholds is not None and len(self.thresholds) != len(EMOTIONS):
            raise ModelError(
                f"model card: expected {len(EMOTIONS)} thresholds or none, got {len(self.thresholds)}"
            )
        if self.uncertain is not None and not 0 < self.uncertain <= 1:
            raise ModelError(f"model card: expected uncertain in (0, 1], got {self.uncertain}")

    def policy(self, name: str) -> Policy:
        """A policy by name; a `ConfigError` lists those that there are."""
        if name not in self.policies:
            raise ConfigError(
                f"--policy: expected one of {', '.join(self.policies)} of the network {self.name!r}, "
                f"got {name!r}; `mien calibrate` fits more"
            )
        return self.policies[name]

    def to_json(self, *, indent: int | None = None) -> str:
        """The card as JSON, keys in the order of the fields."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=indent)

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """Read a card back; unknown keys of a newer card are left aside, and no card is a `ModelError`."""
        try:
            raw = json.loads(text)
            known = {f.name: raw[f.name] for f in fields(cls) if f.name in raw}
            for key in ("labels", "data", "limits"):
                if key in known:
                    known[key] = tuple(known[key])
            if known.get("thresholds") is not None:
                known["thresholds"] = tuple(map(float, known["thresholds"]))
            if "policies" in known:
                known["policies"] = {
                    name: Policy(tuple(map(float, policy["offsets"])), policy["set_from"])
                    for name, policy in known["policies"].items()
                }
            if "template" in known:
                known["template"] = tuple((float(x), float(y)) for x, y in known["template"])
            return cls(**known)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelError(
                f"expected a model card (JSON under {CARD_KEY!r}), could not read it: {error}; "
                "export the model again with `mien export`"
            ) from error


def with_card(model: bytes, card: ModelCard) -> bytes:
    """The bytes of an ONNX file with `card` in place of the card it had; the network stays as it was."""
    return with_metadata(model, CARD_KEY, card.to_json())


def with_metadata(model: bytes, key: str, text: str) -> bytes:
    """The bytes of an ONNX file with a text under this key, in place of the one it had there."""
    try:
        import onnx
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtra("onnx", "train", "writing a model card into a file") from error
    try:
        parsed = onnx.load_model_from_string(model)
    except DecodeError as error:
        raise ModelError(
            f"expected an ONNX file, could not read it ({error}); is it whole? export it again with "
            "`mien export`"
        ) from error
    kept = [entry for entry in parsed.metadata_props if entry.key != key]
    del parsed.metadata_props[:]
    parsed.metadata_props.extend(kept)
    parsed.metadata_props.add(key=key, value=text)
    content: bytes = parsed.SerializeToString()
    return content


def render_card(card: ModelCard) -> str:
    """The card as text, lines of at most 80 columns where words allow, ending in a newline."""
    made = card.provenance
    pictures = f" ({made['pictures']:,} pictures)" if "pictures" in made else ""
    facts = {
        "model": f"{card.name}, {card.parameters:,} weights, "
        f"{card.multiply_adds / 1e6:.1f} M multiply-adds a face",
        "reads": f"{card.size} x {card.size} {card.colour}, the face upright",
        "gives": " ".join(card.labels),
        "learnt from": "; ".join(card.data) + pictures,
        "licence": card.licence,
        "recipe": card.recipe,
        "made by": f"Mien {made['mien']}, commit {made.get('commit')}" if "mien" in made else "",
    }
    entries = [(key, value) for key, value in facts.items() if value]
    figures = [  # that training wrote down of each split
        ("scores", f"{split}: {', '.join(f'{name} {value:.4g}' for name, value in scores.items())}")
        for split, scores in card.scores.items()
    ]
    limits = [
        line
        for text in (*card.limits, *_missed_emotions(card))
        for line in wrap(text, TEXT_WIDTH, initial_indent="- ", subsequent_indent="  ")
    ]
    return join_blocks([_card_entries(entries), _card_entries(figures), render_calibration(card), limits])


def render_face_card(known: Mapping[str, Any]) -> str:
    """What is known of a face network as text, an entry for each key."""

    def tell(value: Any) -> str:
        if isinstance(value, dict):
            return ", ".join(f"{key} {tell(inner)}" for key, inner in value.items())
        if isinstance(value, list):
            return "; ".join(map(tell, value))
        return f"{value:,}" if isinstance(value, int) else str(value)

    return join_blocks(
        [_card_entries([(key.replace("_", "-"), tell(value)) for key, value in known.items()])]
    )


def render_calibration(card: ModelCard) -> list[str]:
    """The numbers that were fitted, and what they gave on faces held out; empty without a calibration."""
    about = card.calibration
    if not about:
        return []
    entries = [
        ("calibrated on", f"{about['n']} faces of {about['data']}, labelled by {about['protocol']}"),
        ("temperature", f"{card.temperature:.4f}"),
        (
            "uncertain",
            f"confidence x quality below {card.uncertain:.4f}, of the rest {about['right']:.0%} are right",
        ),
    ]
    for name, policy in card.policies.items():
        strength = about.get("strengths", {}).get(name)  # older cards have it of one policy alone
        lean = ", leans to rare emotions" if any(policy.offsets) else ""
        lean += f" with strength {strength:g}" if lean and strength is not None else ""
        share = "" if policy.set_from is None else f"sets of emotions of a share of {policy.set_from:.4f}"
        entries.append((f"policy {name}"[:15], share + lean))
    if card.thresholds is not None:
        pairs = zip(EMOTIONS, card.thresholds, strict=True)
        entries.append(("mean shares", ", ".join(f"{name} {value:.3f}" for name, value in pairs)))
    lines = _card_entries(entries)
    # the figures of each protocol: means over the splits of the faces into halves
    for protocol, figures in about["held_out"].items():
        low, high = (percent(end) for end in figures["accuracy 95"])
        before, after = percent(figures["ece before"]), percent(figures["ece"]["mean"])
        least = percent(figures["ece if right"]["mean"])
        how = (
            f"{figures['n']} faces labelled by {protocol}, each read by what half of the faces without it "
            f"gave; mean of {about['splits']} cuts, seed {about['seed']}"
        )
        entries = [
            ("accuracy", f"{percent(figures['accuracy'])} % ({low} to {high})"),
            ("ECE", f"{before} % before, {after} % after ({least} if every probability were right)"),
            ("NLL", f"{figures['nll before']:.4f} before, {figures['nll']['mean']:.4f} after"),
        ]
        means = {
            policy: {key: value["mean"] for key, value in one.items()}
            for policy, one in figures["policies"].items()
        }
        policies = render_policies(means, figures["n of"])
        lines += ["", *wrap(how, TEXT_WIDTH), *_card_entries(entries), "", *policies]
    return lines + (render_comparison(about["compared"]) if "compared" in about else [])


def render_comparison(compared: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Figures of the same faces by the card before and by this one, as `calibrate.compare_cards` has them."""
    how = (
        "before: by the card as it was; after: each face by what half of the faces without it gave; with "
        "95 % intervals of clips or people drawn again"
    )
    lines = ["", *wrap(how, TEXT_WIDTH), f"{'':<19}{'before':<20}{'after':<20}change"]
    last = ""
    for name, sides in compared.items():
        policy, _, figure = name.rpartition("/")
        if policy != last:
            lines.append(f"policy {policy}")
            last = policy
        scale, digits = (1, 2) if figure in {"nll", "set size"} else (100, 1)
        cells = [
            "{} ({}, {})".format(*("-" if v is None else f"{scale * v:.{digits}f}" for v in side.values()))
            for side in sides.values()
        ]
        title = _FIGURES.get(figure, figure) + " %" * (scale == 100)
        lines.append(f"{title:<19}{cells[0]:<20}{cells[1]:<20}{cells[2]}")
    return lines


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


def render_policies(policies: Mapping[str, Mapping[str, Any]], n: Mapping[str, float]) -> list[str]:
    """Policies beside each other: recall of each emotion, and how often a set holds its label.

    `policies` are names to figures of `metrics.decision_figures`, those by emotion as dicts; `n` emotions to
    numbers of faces.
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
    for key in ("balanced accuracy", "uncertain", "right if certain"):
        title = "mean of emotions" if key == "balanced accuracy" else key
        lines.append(line(title, "", (percent(figures.get(key)) for figures in policies.values())))
    if sets:
        sizes = [policies[name]["set size"] for name in sets]
        cells = ["-" if size is None else f"{size:.2f}" for size in sizes]
        lines.append(line("emotions a set", "", [""] * len(policies) + cells))
    if any(figures.get("uncertain") is not None for figures in policies.values()):
        lines.append("(uncertain: by the confidence alone; a table of faces counts quality in, too)")
    return lines


def _card_entries(entries: Sequence[tuple[str, str]]) -> list[str]:
    """Keys and values in lines; no word is broken, so that an address can be copied."""
    return [
        line
        for key, value in entries
        for line in wrap(
            value, TEXT_WIDTH, initial_indent=f"{key:<16}", subsequent_indent=" " * 16, break_long_words=False
        )
    ]


def percent(value: float | None) -> str:
    """A share as per cent with two digits; "-" where it is undefined."""
    return "-" if value is None or isnan(value) else f"{100 * value:.2f}"


def join_blocks(blocks: Sequence[Sequence[str]]) -> str:
    """Blocks of lines with an empty line between them; empty blocks are left out."""
    return "\n\n".join("\n".join(lines) for lines in blocks if lines) + "\n"
