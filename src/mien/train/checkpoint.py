"""Checkpoints: everything that a run needs to go on as if it had not stopped."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from mien.errors import TrainingError


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write beside and rename, so that a killed process leaves the old file or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    torch.save(state, partial)
    partial.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; only tensors and plain values are unpickled.

    Raises:
        TrainingError: there is none at `path`, or it is damaged.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds on a damaged file
        raise TrainingError(
            f"{path}: expected a checkpoint that `mien train` wrote, could not read it ({error}); "
            "give the folder of a run, or train again"
        ) from error
    return state
