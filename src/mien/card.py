"""The model card: what a network needs to be fed and what is known of it.

It travels inside the ONNX file, as JSON under the metadata key `mien.card`, so that a file and
the way to use it cannot be separated (as timm's `PretrainedCfg` does).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from math import isfinite
from typing import Any, Final

from mien.errors import ConfigError, MissingExtra, ModelError
from mien.labels import EMOTIONS

CARD_KEY: Final = "mien.card"
CARD_VERSION: Final = 1
ACCURATE: Final = "accurate"  # the policy that every network has: the likeliest emotion


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
    uncertain: float | None = None  # a reading of less confidence is uncertain; None: not known
    #: (8,) probability from which each emotion, asked for alone, is shown; None: not known
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
    kept = [entry for entry in parsed.metadata_props if entry.key != CARD_KEY]
    del parsed.metadata_props[:]
    parsed.metadata_props.extend(kept)
    parsed.metadata_props.add(key=CARD_KEY, value=card.to_json())
    content: bytes = parsed.SerializeToString()
    return content
