"""The network that reads a face, and how any network is opened: by ONNX Runtime, quiet, sending nothing.

Legend: N faces, C channels, S the side of the network's input.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from functools import partial
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Self
from weakref import WeakSet

import numpy as np

from mien.card import CARD_KEY, FACE_CARD_KEY, ModelCard
from mien.config import count_cores
from mien.errors import ConfigError, ModelError
from mien.faces.align import brighten
from mien.models import FACE, MODELS, load_model
from mien.types import Floats, Image, check_shape

if TYPE_CHECKING:
    import onnxruntime as ort

CPU: Final = ("CPUExecutionProvider",)
#: What runs networks, by the name that users give: ONNX Runtime's provider, and the package that has it.
DEVICES: Final = {
    "cpu": ("CPUExecutionProvider", "onnxruntime"),
    "cuda": ("CUDAExecutionProvider", "onnxruntime-gpu[cuda,cudnn]"),
    "coreml": ("CoreMLExecutionProvider", "onnxruntime"),
    "directml": ("DmlExecutionProvider", "onnxruntime-directml"),
    "openvino": ("OpenVINOExecutionProvider", "onnxruntime-openvino"),
}
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

    @classmethod
    def load(
        cls, model: Path | str | None = None, *, threads: int = 1, providers: Sequence[str] = CPU
    ) -> Self:
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
        network = OnnxNetwork(content, name=name, providers=providers)  # its own threads would gain less
        digest = sha256(content).hexdigest()
        return cls(network, read_card(network.session), digest=digest, threads=threads)

    def __call__(self, crops: Image) -> Floats:
        """(N, S, S) gray or (N, S, S, 3) RGB uint8 crops to (N, 8) float32 probabilities, rows sum to 1.

        Dark crops are brightened first.
        """
        size, gray = self.card.size, self.card.colour == "gray"
        check_shape("crops", crops, (None, size, size) if gray else (None, size, size, 3))
        if not len(crops):
            return np.empty((0, len(self.card.labels)), np.float32)

        crops = np.stack([brighten(crop) for crop in crops])  # the network has seen few dark faces

        def classify(some: Image) -> Floats:
            channels_first = some[:, None] if gray else some.transpose(0, 3, 1, 2)  # (N, C, S, S)
            return self._logits(np.ascontiguousarray(channels_first, np.float32))

        step = min(BATCH, max(_MIN_SHARE, -(-len(crops) // self._threads)))
        batches = [crops[i : i + step] for i in range(0, len(crops), step)]
        if len(batches) > 1 and self._threads > 1:
            with ThreadPoolExecutor(self._threads) as pool:  # kept for later, it would not survive a fork
                answers = list(pool.map(classify, batches))
        else:
            answers = list(map(classify, batches))
        logits: Floats = np.concatenate(answers)  # (N, 8)
        logits /= np.float32(self.card.temperature)
        return softmax(logits)


def softmax(logits: Floats) -> Floats:
    """(N, 8) logits to probabilities, in float32."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: Floats = (shifted / shifted.sum(axis=1, keepdims=True)).astype(np.float32)
    return result


class OnnxNetwork:
    """A network that ONNX Runtime opens when it is first needed; many threads may run it at once.

    It can be pickled, and survives a fork, after which it is opened anew from the bytes that are kept.

    Args:
        content: of the ONNX file.
        name: in errors.
        threads: inside one operator.
        providers: what runs it, the preferred first.
    """

    def __init__(
        self, content: bytes, *, name: str = "", threads: int = 1, providers: Sequence[str] = CPU
    ) -> None:
        self._open = partial(open_session, content, name=name, threads=threads, providers=tuple(providers))
        self._begin()

    def _begin(self) -> None:
        self._session: ort.InferenceSession | None = None
        self._opening = Lock()
        _NETWORKS.add(self)

    @property
    def session(self) -> ort.InferenceSession:
        """The opened network; errors as of `open_session`."""
        with self._opening:
            if self._session is None:
                self._session = self._open()
            return self._session

    def run(self, batch: Floats) -> dict[str, Floats]:
        """Its outputs by name for its one input."""
        session = self.session
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(None, {session.get_inputs()[0].name: batch}), strict=True))

    def __call__(self, batch: Floats) -> Floats:
        """Its first output."""
        return next(iter(self.run(batch).values()))

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(OnnxNetwork, *self._open.args, **self._open.keywords), ()

    def after_fork(self) -> None:
        """Leave the parent's session alone: using or ending it would wait for threads that are not here."""
        import ctypes

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._session))  # never freed
        self._begin()


_NETWORKS: Final[WeakSet[OnnxNetwork]] = WeakSet()


def _after_fork() -> None:
    for network in list(_NETWORKS):
        network.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def open_session(
    model: Path | bytes, *, name: str = "", threads: int = 1, providers: Sequence[str] = CPU
) -> ort.InferenceSession:
    """Open a network: an ONNX file or the bytes of one, which errors call `name`.

    Args:
        model: a path, or the bytes.
        name: empty: the path, or the number of bytes.
        threads: inside one operator.
        providers: what runs it, the preferred first: `DEVICES`, with a number as "cuda:1", or providers of
            ONNX Runtime (`onnxruntime.get_available_providers()`).

    Raises:
        ConfigError: this ONNX Runtime has none of that name, or cannot start it on this machine.
        ModelError: there is no such file, or it is not a network that ONNX Runtime can run.
    """
    ort = import_runtime()
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    name = name or (f"{len(model)} bytes" if isinstance(model, bytes) else str(model))
    content = model if isinstance(model, bytes) else _read(model)
    available = ort.get_available_providers()
    wanted = dict(map(find_provider, providers))
    absent = [provider for provider in wanted if provider not in available]
    if absent or not wanted:
        raise ConfigError(
            f"device: expected {', '.join(DEVICES)}, or some of ONNX Runtime's {', '.join(available)}, got "
            f"{', '.join(providers) or 'none'}; {_advise_install(absent)}"
        )
    if "CUDAExecutionProvider" in wanted and hasattr(ort, "preload_dlls"):
        with redirect_stdout(sys.stderr):  # it prints what it does not find
            ort.preload_dlls()  # finds CUDA where pip installed it
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    refusals = (  # what ONNX Runtime raises for bytes that it cannot run: they share no base but `Exception`
        errors.Fail, errors.InvalidArgument, errors.InvalidGraph, errors.InvalidProtobuf, errors.NoModel,
        errors.NoSuchFile, errors.NotImplemented, errors.RuntimeException,
    )  # fmt: skip
    try:
        session = ort.InferenceSession(content, options, providers=list(wanted.items()))
    except refusals as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise ModelError(
            f"expected an ONNX network, got {name}, which ONNX Runtime cannot run ({reason}); "
            "export it again with `mien export`"
        ) from error
    if wanted.keys().isdisjoint(session.get_providers()):  # ONNX Runtime goes on with the processor
        raise ConfigError(
            f"device: {', '.join(providers)} cannot be started on this machine: its driver or libraries are "
            f"missing, or it was started before a fork; {_advise_install(list(wanted))}"
        )
    return session


def find_provider(name: str) -> tuple[str, dict[str, str]]:
    """ONNX Runtime's provider and its options for a device, or for a provider's own name.

    >>> find_provider("cuda:1"), find_provider("CPUExecutionProvider")
    (('CUDAExecutionProvider', {'device_id': '1'}), ('CPUExecutionProvider', {}))
    """
    device, _, number = name.partition(":")
    provider, _ = DEVICES.get(device, (device, ""))
    return provider, {"device_id": number} if number else {}


def _advise_install(absent: Sequence[str]) -> str:
    """The command that installs the build of ONNX Runtime with the first of these providers."""
    package = dict(DEVICES.values()).get(absent[0] if absent else "")
    if package is None:
        return "name one of these"
    return f"install it with: pip uninstall -y onnxruntime && pip install '{package}'"


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


def read_face_card(session: ort.InferenceSession) -> dict[str, Any] | None:
    """What is known of an opened face network; None: it is another."""
    text = session.get_modelmeta().custom_metadata_map.get(FACE_CARD_KEY)
    known: dict[str, Any] | None = None if text is None else json.loads(text)
    return known


def read_model(model: Path | str | None) -> bytes:
    """The bytes of a network: of the default one, of another that comes with Mien by name, or of a file."""
    if model is None:
        return load_model()
    return load_model(str(model)) if str(model) in MODELS | FACE else _read(Path(model))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"expected an ONNX file at {path}, could not read it ({error.strerror or error}); check the "
            f"path, or name a network that comes with Mien: {', '.join(MODELS)}"
        ) from error
