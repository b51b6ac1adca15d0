"""Checkpoints: everything that a run needs to go on as if it had not stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mien.errors import TrainingError
from mien.files import write_whole


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """A killed process leaves the old file or the new one, whole.

    Raises:
        OutputError: it cannot be written, e.g. for a full disk; the old one stays.
    """
    write_whole(path, lambda file: torch.save(state, file))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; only tensors and plain values are unpickled.

    Raises:
        TrainingError: there is none at `path`, or it is damaged.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds on a damaged file
        said = (str(error).splitlines() or [""])[0]  # torch adds pages of advice
        raise TrainingError(
            f"{path}: expected a checkpoint that `mien train` wrote, could not read it ({said}); "
            "give the folder of a run, or train again"
        ) from error
    return state
