"""What runs the classifier: ONNX Runtime or, where it is installed, OpenVINO.

Legend: N faces, C channels, S the side of the network's input.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from mien.errors import ConfigError, MissingExtra
from mien.types import Floats

if TYPE_CHECKING:
    import onnxruntime as ort

DEFAULT: Final = "onnxruntime"
#: (N, C, S, S) float32 gray levels or RGB, 0..255, to (N, 8) float32 logits.
Logits = Callable[[Floats], Floats]


def make_logits(runtime: str, session: ort.InferenceSession, content: bytes) -> Logits:
    """The network as a function of one thread, which several threads may call at once.

    Args:
        runtime: a name of `RUNTIMES`.
        session: the network as ONNX Runtime has opened it.
        content: the bytes of its file.

    Raises:
        ConfigError: there is no such runtime; the message lists those there are.
        MissingExtra: its package is not installed.
    """
    if runtime not in RUNTIMES:
        raise ConfigError(f"runtime: expected one of {', '.join(RUNTIMES)}, got {runtime!r}")
    return RUNTIMES[runtime](session, content)


def by_session(session: ort.InferenceSession) -> Logits:
    """The network as ONNX Runtime runs it."""
    return partial(_run, session, session.get_inputs()[0].name)


def _run(session: ort.InferenceSession, name: str, batch: Floats) -> Floats:
    logits: Floats = session.run(None, {name: batch})[0]
    return logits


def _by_openvino(_session: ort.InferenceSession, content: bytes) -> Logits:
    # OpenVINO reports to its makers as it is imported, unless the package that does so cannot be.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError as error:
        raise MissingExtra("openvino", "openvino", "the runtime openvino") from error
    # float32 as everywhere else: on some processors OpenVINO would take bfloat16 by itself.
    # A stream a core, each of one thread, so that several callers do not wait for one another.
    cores = os.cpu_count() or 1
    options = {"INFERENCE_NUM_THREADS": cores, "NUM_STREAMS": cores, "INFERENCE_PRECISION_HINT": "f32"}
    core = openvino.Core()
    network = core.compile_model(core.read_model(content), "CPU", options)
    own = threading.local()  # a request serves one thread at a time

    def run(batch: Floats) -> Floats:
        if not hasattr(own, "request"):
            own.request = network.create_infer_request()
        return np.array(own.request.infer({0: batch})[0])  # a copy: its own memory is used again

    return run


RUNTIMES: Final[dict[str, Callable[[ort.InferenceSession, bytes], Logits]]] = {
    "onnxruntime": lambda session, _content: by_session(session),
    "openvino": _by_openvino,
}
