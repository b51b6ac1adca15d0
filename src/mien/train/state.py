"""What changes while learning, and its way into a checkpoint and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from mien.errors import TrainingError


@dataclass(slots=True)
class State:
    """Exactly this is in a checkpoint."""

    net: nn.Module
    averaged: nn.Module
    optimizer: torch.optim.Optimizer
    lines: list[dict[str, Any]] = field(default_factory=list)  # of the log, one an epoch done

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.lines)


def pack(state: State) -> dict[str, Any]:
    """For `save_checkpoint`."""
    return {
        "net": state.net.state_dict(),
        "averaged": state.averaged.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "lines": state.lines,
    }


def unpack(state: State, packed: Mapping[str, Any]) -> None:
    """Take over what `pack` gave.

    Raises:
        TrainingError: it is of another network.
    """
    try:
        state.net.load_state_dict(packed["net"])
        state.averaged.load_state_dict(packed["averaged"])
        state.optimizer.load_state_dict(packed["optimizer"])
        state.lines = list(packed["lines"])
    except (KeyError, RuntimeError, ValueError) as error:
        raise TrainingError(
            f"the run's checkpoint does not fit this network ({error}); "
            "give another --out, or remove the old run"
        ) from error
