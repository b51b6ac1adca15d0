"""Fixtures that many tests share: drawn faces, a clip, a tiny network with its card, the real data."""

from __future__ import annotations

import gc
import hashlib
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.internal.conjecture.providers as hypothesis_providers
import numpy as np
import onnx
import pytest
import typer.main
from onnx import TensorProto, helper, numpy_helper

from makers import SHARED, Pixels, PoolHere, scene, write_clip
from mien.batch import pool
from mien.card import CARD_KEY, ModelCard
from mien.cli import main
from mien.faces import network
from mien.faces.network import open_session
from warm import WarmProcess

# Collecting makes objects by the million that stay: looking for garbage among them takes seconds.
gc.disable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """First what learns: one worker gets it, and PyTorch's compiler and exporter load once, for seconds."""
    items.sort(key=lambda item: item.path.parent.name not in {"paper", "train"})


def pytest_collection_finish() -> None:
    gc.enable()
    gc.freeze()
    gc.set_threshold(700, 10, 50)  # what is frozen does not count: the little more was all looked at often


# Properties are tried with the same few examples each time. Hypothesis would take constants of every module
# of ours that is loaded by then among them: others in each order of tests, after seconds of parsing.
hypothesis.settings.register_profile("quick", max_examples=15, deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("quick")
hypothesis_providers._get_local_constants = lambda: hypothesis_providers._local_constants

# Tests started in the background of a shell, or under nohup, would ignore what they send themselves.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

#: Five landmarks of a face in units of the crop's side; only a test's, `align` has the real ones.
TEMPLATE = ((0.31, 0.36), (0.69, 0.36), (0.5, 0.58), (0.35, 0.78), (0.65, 0.78))


_Pool = pool.Pool


class _Session:
    """A network that runs each batch once: hundreds of tests read the same few drawn faces."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._session = open_session(*arguments, **options)
        self._known: dict[Any, list[Any]] = {}
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, outputs: None, feeds: dict[str, Any]) -> list[Any]:
        (batch,) = feeds.values()
        key = (batch.shape, batch.dtype.str, hashlib.blake2b(np.ascontiguousarray(batch)).digest())
        known = self._known.get(key) or self._session.run(outputs, feeds)
        with self._lock:
            if len(self._known) >= _KNOWN:
                del self._known[next(iter(self._known))]
            self._known[key] = known
        return [each.copy() for each in known]


_KNOWN = 300  # batches of which a network's answers are kept, 30 MB for pictures of 320 x 240
_open_once = lru_cache(maxsize=16)(lambda _process, *arguments, **options: _Session(*arguments, **options))


@pytest.fixture(scope="session", autouse=True)
def _read_here() -> Iterator[None]:
    """Inputs are read in this process, but with `worker_processes`; networks and commands are made once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "Pool", PoolHere)
        patch.setattr(typer.main, "get_command", cache(typer.main.get_command))
        patch.setattr(network, "open_session", lambda *args, **more: _open_once(os.getpid(), *args, **more))
        yield


@pytest.fixture
def worker_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clips, and photos if there are several, are read by worker processes, as they are outside of tests."""
    monkeypatch.setattr(pool, "Pool", _Pool)
    monkeypatch.setattr(pool, "Popen", WarmProcess)


@pytest.fixture(scope="session")
def draw_scene() -> Callable[..., Pixels]:
    """`makers.scene`, for tests that place the faces themselves."""
    return scene


@pytest.fixture(scope="session")
def one_face() -> Pixels:
    """(240, 320, 3) RGB with one face, 160 pixels of head at (60, 40)."""
    return scene((60, 40, 160))


@pytest.fixture(scope="session")
def two_faces() -> Pixels:
    """(240, 400, 3) RGB with a larger face on the left and a smaller one on the right."""
    return scene((20, 40, 180), (250, 60, 120), size=(240, 400))


@pytest.fixture(scope="session")
def no_face() -> Pixels:
    """(240, 320, 3) RGB, plain: nobody there."""
    return scene()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One linear layer with fixed random weights, 48 x 48 gray to 8 logits, its card inside."""
    weights = np.random.default_rng(7).normal(0, 2e-4, (48 * 48, 8)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["input"], ["flat"]),
            helper.make_node("MatMul", ["flat", "w"], ["logits"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 1, 48, 48])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 8])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    card = ModelCard(name="tiny", template=TEMPLATE, parameters=weights.size, data=("none: random weights",))
    helper.set_model_props(model, {CARD_KEY: card.to_json()})
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    onnx.save(model, str(path))
    return path


@pytest.fixture(scope="session")
def make_clip() -> Callable[..., Path]:
    """`makers.write_clip`, for tests that need a clip of their own."""
    return write_clip


@pytest.fixture(scope="session")
def drawn_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 12 frames at 10 a second, 320 x 240: a face moves right; the last two are empty."""
    pictures = [scene((20 + 8 * i, 40, 160)) for i in range(10)] + [scene()] * 2
    return write_clip(tmp_path_factory.mktemp("clip") / "drawn.mp4", pictures)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """../shared/data, or skip."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the real data in {SHARED}, which is not here")
    return SHARED


@pytest.fixture(scope="session")
def media(shared_data: Path) -> Path:
    """../shared/data/media, or skip: photos and clips of real faces."""
    return shared_data / "media"


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command went."""

    code: int
    out: bytes
    err: str


@pytest.fixture
def mien(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., Ran]:
    """Run the command line in this process: `mien("analyze", path)`; `stdin` are bytes it can read."""

    def run(*arguments: str | Path, stdin: bytes = b"") -> Ran:
        monkeypatch.setattr(sys, "argv", ["mien", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capfdbinary.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfdbinary.readouterr()
        return Ran(int(end.value.code or 0), out, err.decode())

    return run
