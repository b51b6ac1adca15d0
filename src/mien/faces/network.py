"""The network that reads a face, and how any network is opened: by ONNX Runtime, quiet, sending nothing.

Legend: N faces, C channels, S the side of the network's input.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from mien.card import CARD_KEY, ModelCard
from mien.config import count_cores
from mien.errors import ConfigError, ModelError
from mien.models import MODELS, load_model
from mien.types import Floats, Image, check_shape

if TYPE_CHECKING:
    import onnxruntime as ort

CPU: Final = ("CPUExecutionProvider",)
BATCH: Final = 64  # faces per call; more brings no speed and takes memory
_MIN_SHARE: Final = 8  # faces for which another thread is worth its start
_ERRORS_ONLY: Final = 3  # ONNX Runtime's severities: 0 verbose, 1 info, 2 warning, 3 error, 4 fatal
#: (N, C, S, S) float32 gray levels or RGB, 0..255, to (N, 8) float32 logits.
Logits = Callable[[Floats], Floats]


class Classifier:
    """A network and its card: crops that `align` made to probabilities."""

    def __init__(self, logits: Logits, card: ModelCard, *, digest: str = "", threads: int = 1) -> None:
        self.card = card
        self.digest = digest  # sha256 of the file, to tell networks apart
        self._logits = logits
        self._threads = threads or count_cores()
        self._pool = ThreadPoolExecutor(self._threads, "mien-classify") if self._threads > 1 else None

    @classmethod
    def load(cls, model: Path | None = None, *, threads: int = 1, providers: Sequence[str] = CPU) -> Self:
        """The network in the file `model`, or the one of this name that comes with Mien; None: the default.

        `threads` share the faces of a call; 0: one per core.

        Raises:
            ConfigError: this ONNX Runtime has no such provider.
            ModelError: no such file, not ONNX, no card inside, or a shipped file that was altered.
        """
        return cls.read(read_model(model), name=str(model or ""), threads=threads, providers=providers)

    @classmethod
    def read(
        cls, content: bytes, *, name: str = "", threads: int = 1, providers: Sequence[str] = CPU
    ) -> Self:
        """The network in the bytes of an ONNX file; errors as in `load`, naming `name`."""
        session = open_session(content, name=name, providers=providers)  # its own threads would gain less
        digest = sha256(content).hexdigest()
        return cls(session_logits(session), read_card(session), digest=digest, threads=threads)

    def __call__(self, crops: Image) -> Floats:
        """(N, S, S) gray or (N, S, S, 3) RGB uint8 crops to (N, 8) float32 probabilities, rows sum to 1."""
        size, gray = self.card.size, self.card.colour == "gray"
        check_shape("crops", crops, (None, size, size) if gray else (None, size, size, 3))
        if not len(crops):
            return np.empty((0, len(self.card.labels)), np.float32)

        def classify(some: Image) -> Floats:
            channels_first = some[:, None] if gray else some.transpose(0, 3, 1, 2)  # (N, C, S, S)
            return self._logits(np.ascontiguousarray(channels_first, np.float32))

        step = min(BATCH, max(_MIN_SHARE, -(-len(crops) // self._threads)))
        batches = [crops[i : i + step] for i in range(0, len(crops), step)]
        answers = self._pool.map(classify, batches) if self._pool else map(classify, batches)
        logits: Floats = np.concatenate(list(answers))  # (N, 8)
        logits /= np.float32(self.card.temperature)
        return softmax(logits)


def softmax(logits: Floats) -> Floats:
    """(N, 8) logits to probabilities, in float32."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: Floats = (shifted / shifted.sum(axis=1, keepdims=True)).astype(np.float32)
    return result


def session_logits(session: ort.InferenceSession) -> Logits:
    """An opened network as a function, which several threads may call at once."""
    name = session.get_inputs()[0].name

    def run(batch: Floats) -> Floats:
        logits: Floats = session.run(None, {name: batch})[0]
        return logits

    return run


def open_session(
    model: Path | bytes, *, name: str = "", threads: int = 1, providers: Sequence[str] = CPU
) -> ort.InferenceSession:
    """Open a network: an ONNX file or the bytes of one, which errors call `name`.

    Args:
        model: a path, or the bytes.
        name: empty: the path, or the number of bytes.
        threads: inside one operator.
        providers: what runs it, the preferred first (`onnxruntime.get_available_providers()`).

    Raises:
        ConfigError: this ONNX Runtime has no such provider.
        ModelError: there is no such file, or it is not a network that ONNX Runtime can run.
    """
    ort = import_runtime()
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    name = name or (f"{len(model)} bytes" if isinstance(model, bytes) else str(model))
    content = model if isinstance(model, bytes) else _read(model)
    available = ort.get_available_providers()
    if not providers or any(provider not in available for provider in providers):
        raise ConfigError(
            f"providers: expected some of {', '.join(available)}, got {', '.join(providers) or 'none'}; "
            "others need another build of onnxruntime, such as onnxruntime-gpu"
        )
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    refusals = (  # what ONNX Runtime raises for bytes that it cannot run: they share no base but `Exception`
        errors.Fail, errors.InvalidArgument, errors.InvalidGraph, errors.InvalidProtobuf, errors.NoModel,
        errors.NoSuchFile, errors.NotImplemented, errors.RuntimeException,
    )  # fmt: skip
    try:
        return ort.InferenceSession(content, options, providers=list(providers))
    except refusals as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise ModelError(
            f"expected an ONNX network, got {name}, which ONNX Runtime cannot run ({reason}); "
            "export it again with `mien export`"
        ) from error


def import_runtime() -> Any:
    """ONNX Runtime, with its reports to its makers switched off.

    From 1.29 on it sends them unless this variable is set before it is imported; the call is for a program
    that imported it earlier, and for older ones.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime as ort

    ort.disable_telemetry_events()
    return ort


def read_card(session: ort.InferenceSession) -> ModelCard:
    """The model card inside an opened network; a `ModelError` if it has none, or one that cannot be read."""
    metadata = session.get_modelmeta().custom_metadata_map
    if CARD_KEY not in metadata:
        found = ", ".join(sorted(metadata)) or "no metadata at all"
        raise ModelError(
            f"expected a model card under the metadata key {CARD_KEY!r} of the ONNX file, found {found}; "
            "write the file with `mien export`"
        )
    return ModelCard.from_json(metadata[CARD_KEY])


def read_model(model: Path | None) -> bytes:
    """The bytes of a network: of the default one, of another that comes with Mien by name, or of a file."""
    if model is None:
        return load_model()
    return load_model(str(model)) if str(model) in MODELS else _read(model)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"expected an ONNX file at {path}, could not read it ({error.strerror or error}); check the "
            f"path, or name a network that comes with Mien: {', '.join(MODELS)}"
        ) from error
