"""Face crops to probabilities, with a network in an ONNX file.

Legend: N faces, C channels, S the side of the network's input.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np

from mien.card import ModelCard
from mien.config import count_cores
from mien.faces import runtimes
from mien.faces.session import open_session, read_card, read_model
from mien.types import Floats, Image, check_shape

BATCH: Final = 64  # faces a call; more brings no speed and takes memory
_LEAST: Final = 8  # faces for which another thread is worth waking


class Classifier:
    """A network and its card; call it with crops that `preprocess` made."""

    def __init__(
        self, logits: runtimes.Logits, card: ModelCard, *, digest: str = "", threads: int = 1
    ) -> None:
        self.card = card
        self._threads = threads or count_cores()
        self._pool = ThreadPoolExecutor(self._threads, "mien-classify") if self._threads > 1 else None
        self.digest = digest  # sha256 of the file, to tell networks apart
        self._logits = logits

    @classmethod
    def load(
        cls, model: Path | None = None, *, threads: int = 1, runtime: str = runtimes.DEFAULT
    ) -> Classifier:
        """The network in the file `model` or that comes with Mien under this name; None: the default one.

        Raises:
            ConfigError: no such runtime.
            MissingExtra: the package of the runtime is not installed.
            ModelError: no such file, not ONNX, no card inside, or a shipped file that was altered.
        """
        name = "" if model is None else str(model)
        return cls.read(read_model(model), name=name, threads=threads, runtime=runtime)

    @classmethod
    def read(
        cls, content: bytes, *, name: str = "", threads: int = 1, runtime: str = runtimes.DEFAULT
    ) -> Classifier:
        """The network in the bytes of an ONNX file; errors as in `load`, naming `name`."""
        session = open_session(content, name=name)  # threads share out the faces: so they gain more
        logits = runtimes.make_logits(runtime, session, content)
        return cls(logits, read_card(session), digest=sha256(content).hexdigest(), threads=threads)

    def __call__(self, crops: Image) -> Floats:
        """(N, S, S) gray or (N, S, S, 3) RGB uint8 crops to (N, 8) float32 probabilities, rows sum to 1."""
        size = self.card.size
        shape = (None, size, size) if self.card.colour == "gray" else (None, size, size, 3)
        check_shape("crops", crops, shape)
        step = min(BATCH, max(_LEAST, -(-len(crops) // self._threads)))
        parts = [crops[i : i + step] for i in range(0, len(crops), step)]
        share = map if self._pool is None else self._pool.map
        read = list(share(lambda part: self._logits(self._batch(part)), parts))
        logits = np.concatenate(read) if read else np.empty((0, len(self.card.labels)), np.float32)
        return softmax(logits / np.float32(self.card.temperature))

    def _batch(self, crops: Image) -> Floats:
        if self.card.colour == "gray":
            return crops[:, None].astype(np.float32)  # (N, S, S) -> (N, 1, S, S)
        return np.ascontiguousarray(crops.transpose(0, 3, 1, 2), np.float32)  # -> (N, 3, S, S)


def softmax(logits: Floats) -> Floats:
    """(N, 8) logits to probabilities, in float32."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: Floats = (shifted / shifted.sum(axis=1, keepdims=True)).astype(np.float32)
    return result
