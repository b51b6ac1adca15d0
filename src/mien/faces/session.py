"""Opens networks in ONNX Runtime: on the processor, quiet, with errors that say what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from mien.card import CARD_KEY, ModelCard
from mien.errors import ModelError
from mien.models import MODELS, load_model

ort.disable_telemetry_events()  # `mien/__init__` came too late if a program imported ONNX Runtime before

_ERRORS_ONLY: Final = 3  # ONNX Runtime's severities: 0 verbose, 1 info, 2 warning, 3 error, 4 fatal
#: What ONNX Runtime raises for bytes that it cannot run; none of them share a base but `Exception`.
_REFUSALS: Final = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoModel,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)


def open_session(model: Path | bytes, *, name: str = "", threads: int = 1) -> ort.InferenceSession:
    """Open a network for the processor.

    Args:
        model: an ONNX file, or the bytes of one.
        name: what errors call it; otherwise by its path or number of bytes.
        threads: threads inside one operator; with several worker processes keep it at 1.

    Raises:
        ModelError: there is no such file, or it is not a network that ONNX Runtime can run.
    """
    name = name or (f"{len(model)} bytes" if isinstance(model, bytes) else str(model))
    content = model if isinstance(model, bytes) else _read(model)
    ort.disable_telemetry_events()  # nothing of what is read is anybody else's business
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    try:
        return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except _REFUSALS as error:
        raise ModelError(
            f"expected an ONNX network, got {name}, which ONNX Runtime cannot run "
            f"({_first_line(error)}); export it again with `mien export`"
        ) from error


def read_card(session: ort.InferenceSession) -> ModelCard:
    """The model card inside an opened network.

    Raises:
        ModelError: the network carries no card, or one that cannot be read.
    """
    metadata = session.get_modelmeta().custom_metadata_map
    if CARD_KEY not in metadata:
        found = ", ".join(sorted(metadata)) or "no metadata at all"
        raise ModelError(
            f"expected a model card under the metadata key {CARD_KEY!r} of the ONNX file, found {found}; "
            "write the file with `mien export`"
        )
    return ModelCard.from_json(metadata[CARD_KEY])


def read_model(model: Path | None) -> bytes:
    """The bytes of a network: of the one that comes with Mien, of another that comes by name, or of a file.

    Raises:
        ModelError: the file cannot be read, or a shipped one was altered.
    """
    if model is None:
        return load_model()
    if str(model) in MODELS:
        return load_model(str(model))
    return _read(model)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"expected an ONNX file at {path}, could not read it ({error.strerror or error}); check the "
            f"path, or name a network that comes with Mien: {', '.join(MODELS)}"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
