"""The model card: what a network needs to be fed and what is known of it.

It travels inside the ONNX file, as JSON under the metadata key `mien.card`, so that a file and
the way to use it cannot be parted (issue 2; the habit of timm's `PretrainedCfg`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

from mien.errors import ModelError
from mien.labels import EMOTIONS

CARD_KEY: Final = "mien.card"
CARD_VERSION: Final = 1


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

    def to_json(self) -> str:
        """The card as JSON, keys in the order of the fields."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """Read a card back; unknown keys of a newer card are left aside.

        Raises:
            ModelError: the text is not a card.
        """
        try:
            raw = json.loads(text)
            known = {f.name: raw[f.name] for f in fields(cls) if f.name in raw}
            for key in ("labels", "data", "limits"):
                if key in known:
                    known[key] = tuple(known[key])
            if "template" in known:
                known["template"] = tuple((float(x), float(y)) for x, y in known["template"])
            return cls(**known)
        except (ValueError, TypeError, KeyError) as error:
            raise ModelError(
                f"expected a model card (JSON under {CARD_KEY!r}), could not read it: {error}; "
                "export the model again with `mien export`"
            ) from error
