"""Face crops to probabilities, with a network in an ONNX file.

Legend: N faces, C channels, S the side of the network's input.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime as ort

from mien.card import ModelCard
from mien.models import load_model
from mien.run.session import open_session, read_card
from mien.types import Floats, Image, check_shape

BATCH: Final = 64  # faces a call; more brings no speed and takes memory


class Classifier:
    """A network and its card; call it with crops that `preprocess` made."""

    def __init__(self, session: ort.InferenceSession, card: ModelCard) -> None:
        self.card = card
        self._session = session
        self._input = session.get_inputs()[0].name

    @classmethod
    def load(cls, model: Path | None = None, *, threads: int = 1) -> Classifier:
        """The network at `model`, or the one that comes with Mien.

        Raises:
            ModelError: no such file, not ONNX, no card inside, or a shipped file that was altered.
        """
        session = open_session(load_model() if model is None else model, threads=threads)
        return cls(session, read_card(session))

    def __call__(self, crops: Image) -> Floats:
        """(N, S, S) gray or (N, S, S, 3) RGB uint8 crops to (N, 8) float32 probabilities, rows sum to 1."""
        size = self.card.size
        shape = (None, size, size) if self.card.colour == "gray" else (None, size, size, 3)
        check_shape("crops", crops, shape)
        parts = [self._logits(crops[i : i + BATCH]) for i in range(0, len(crops), BATCH)]
        logits = np.concatenate(parts) if parts else np.empty((0, len(self.card.labels)), np.float32)
        return softmax(logits / np.float32(self.card.temperature))

    def _logits(self, crops: Image) -> Floats:
        if self.card.colour == "gray":
            batch = crops[:, None].astype(np.float32)  # (N, S, S) -> (N, 1, S, S)
        else:
            batch = np.ascontiguousarray(crops.transpose(0, 3, 1, 2), np.float32)  # -> (N, 3, S, S)
        logits: Floats = self._session.run(None, {self._input: batch})[0]
        return logits


def softmax(logits: Floats) -> Floats:
    """(N, 8) logits to probabilities, in float32."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: Floats = (shifted / shifted.sum(axis=1, keepdims=True)).astype(np.float32)
    return result
