"""A network in 8 bits, written only where it reads, or sees, as well as before.

Static quantisation, with a scale for each channel and ranges seen on real faces: Jacob et al.,
arXiv:1712.05877 (the arithmetic); ONNX Runtime's own quantiser does it.

Legend: N faces, H rows, W columns, K = 8 emotions.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mien.card import FACE_CARD_KEY, with_card, with_metadata
from mien.data.arrays import load_images
from mien.data.corpus import draw
from mien.data.fer import ferplus
from mien.errors import ModelError
from mien.evaluate import metrics
from mien.evaluate.metrics import LEFT_OUT, PROTOCOLS, accuracies
from mien.faces.network import Classifier, import_runtime, open_session, read_card, read_face_card, read_model
from mien.files import write_whole
from mien.labels import EMOTIONS
from mien.train.export import quiet_logger
from mien.train.face_recipes import labelled_faces
from mien.types import Floats, Image

FACES: Final = 2048  # of train, whose activations set the ranges
PROTOCOL: Final = "majority"  # the labels that recall is counted on

_BATCH: Final = 64
#: The rest (the input's scaling, the last layer) costs nothing in float32 and would lose the most.
_KINDS: Final = (
    "Conv", "Relu", "Add", "Mul", "AveragePool", "ReduceMean", "Sigmoid", "Gemm", "Concat", "Reshape",
)  # fmt: skip
#: How much the face network's figures (`judge_faces`) may change.
_FACE_CHANGE: Final = {"landmarks": 0.05, "correlation": 0.005}


@dataclass(frozen=True, slots=True, eq=False)
class QuantizationReport:
    """Recall before and after, on the same faces."""

    n: NDArray[np.int64]  # (K,) faces of each emotion
    before: NDArray[np.float64]  # (K,) recall
    after: NDArray[np.float64]  # (K,)
    accuracy: tuple[float, float]  # before, after
    agreement: float  # share of the faces that are read the same

    @property
    def loss(self) -> NDArray[np.float64]:
        """(K,) points of recall that were lost; negative: won."""
        return 100 * (self.before - self.after)


def run_quantize(
    model: Path | str, root: Path | str, path: Path | str, *, within: float = 1.0, weights_only: bool = False
) -> QuantizationReport:
    """Write the network in 8 bits, if no emotion's recall on FER+ valid falls by more than `within` points.

    The model is an ONNX file with a card or a shipped network's name, `root` the folder or zip of FER+. With
    `weights_only` the arithmetic stays in float32, which makes the file small and the network no faster.

    Raises:
        DataError: FER+ is not at `root`.
        ModelError: the network cannot be read or quantised, or loses more than that.
        OutputError: the file cannot be written.
    """
    content = read_model(model)
    card = read_card(open_session(content))
    train, valid = draw(ferplus(root, "train"), FACES), ferplus(root, "valid")
    small = quantize_weights(content) if weights_only else quantize(content, load_images(train))
    faces = load_images(valid)
    guesses = [Classifier.read(one)(faces).argmax(1) for one in (content, small)]  # (N,) each
    found = _compare(guesses, PROTOCOLS[PROTOCOL](valid.samples))
    worst = int(np.nanargmax(found.loss))
    if found.loss[worst] > within:
        raise ModelError(
            f"{model}: in 8 bits {EMOTIONS[worst]} loses {found.loss[worst]:.1f} points of recall, more than "
            f"{within:g}: keep the network in float32, or give a larger --within"
        )
    # the same card for the network in 8 bits; what was measured in float32 is left out
    made = {
        "from": hashlib.sha256(content).hexdigest(),
        "faces": len(train),
        "of": train.name,
        "weights": "int8 a channel",
        "arithmetic": "float32" if weights_only else "int8",
    }
    new = replace(
        card,
        name=f"{card.name}-int8",
        recipe=f"{card.recipe}; mien quantize",
        scores={"ferplus/valid": accuracies(guesses[1], valid.samples)},
        calibration={},
        provenance={**card.provenance, "quantised": made},
    )
    write_whole(Path(path), with_card(small, new))
    return found


def _compare(guesses: Sequence[NDArray[np.int64]], truth: NDArray[np.int64]) -> QuantizationReport:
    """Of what was read before and after, both (N,); faces whose truth is left out do not count."""
    used = truth != LEFT_OUT
    before, after = (guess[used] for guess in guesses)
    counts = [metrics.confusion(truth[used], guess) for guess in (before, after)]
    return QuantizationReport(
        n=counts[0].sum(axis=1),
        before=metrics.recall(counts[0]),
        after=metrics.recall(counts[1]),
        accuracy=(metrics.accuracy(counts[0]), metrics.accuracy(counts[1])),
        agreement=float((before == after).mean()),
    )


def run_quantize_face(model: Path, root: Path, labels: Path, path: Path) -> dict[str, tuple[float, float]]:
    """Write the face network in 8 bits, if it comes as near to its teacher as before on faces kept back.

    Args:
        model: an ONNX file that `export_face_run` wrote.
        root: a folder with the first corpus of its recipe, a folder or zip of its name.
        labels: a folder with the labels of that corpus (`read_labels`).
        path: the file to write.

    Returns:
        What `judge_faces` tells, before and after.

    Raises:
        DataError: pictures or labels are missing or damaged.
        ModelError: the network is no face network, cannot be quantised, or loses too much.
        OutputError: the file cannot be written.
    """
    content = read_model(model)
    session = open_session(content)
    card = read_face_card(session)
    if card is None:
        raise ModelError(
            f"{model}: expected a face network; leave --labels out for one that reads expressions"
        )
    side = int(session.get_inputs()[0].shape[2])
    with tempfile.TemporaryDirectory() as cache:
        judge, learnt = labelled_faces(root, labels, Path(cache), side, FACES)
    small = quantize(content, learnt)
    figures = [judge(_Exported(one)) for one in (content, small)]
    found = {key: (value, figures[1][key]) for key, value in figures[0].items()}
    for key, most in _FACE_CHANGE.items():
        before, after = found[key]
        if abs(after - before) > most:
            raise ModelError(
                f"{model}: in 8 bits {key} goes from {before:g} to {after:g}: keep it in float32"
            )
    made = {"from": hashlib.sha256(content).hexdigest(), "faces": len(learnt), "weights": "int8 a channel"}
    known = card | {"recipe": f"{card['recipe']}; mien quantize", "scores": figures[1], "quantised": made}
    write_whole(path, with_metadata(small, FACE_CARD_KEY, json.dumps(known)))
    return found


class _Exported(nn.Module):
    """An ONNX file as a module, for `judge_faces`."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self._session = open_session(content)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, S, S) gray levels to what the file's network answers."""
        return torch.from_numpy(self._session.run(None, {"input": x.numpy()})[0])


def quantize(model: bytes, faces: Image) -> bytes:
    """The network with 8-bit weights and activations, its card and everything else as it was.

    Weights take 7 of their 8 bits: processors without VNNI add two products in 16 bits, which 8 overflow.

    Args:
        model: the bytes of an ONNX file whose input is (N, 1, H, W) gray levels.
        faces: (N, H, W) uint8, what it will read; some hundred, of those it learnt from.

    Raises:
        ModelError: ONNX Runtime cannot quantise it.
    """
    import_runtime()
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, quiet_logger(""):
        before, ready, after = (Path(folder) / name for name in ("before.onnx", "ready.onnx", "after.onnx"))
        before.write_bytes(model)
        try:
            quant_pre_process(before, ready, skip_symbolic_shape=True)
            quantize_static(
                ready,
                after,
                _FaceBatches(faces, onnx.load(before).graph.input[0].name),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(_KINDS),
                nodes_to_exclude=_float_nodes(onnx.load(ready)),
                per_channel=True,
                reduce_range=True,
                weight_type=QuantType.QInt8,
                activation_type=QuantType.QUInt8,
            )
        except (ValueError, RuntimeError, KeyError) as error:
            raise ModelError(f"the network cannot be quantised: {error}") from error
        return after.read_bytes()


def quantize_weights(model: bytes) -> bytes:
    """The network with each matrix and convolution in 8 bits, a scale per row; all is computed in float32."""
    whole = onnx.load_from_string(model)
    graph = whole.graph
    for weight in [w for w in graph.initializer if len(w.dims) > 1 and w.data_type == onnx.TensorProto.FLOAT]:
        values = onnx.numpy_helper.to_array(weight)
        rows = np.abs(values).reshape(len(values), -1).max(1)
        scale = (np.maximum(rows, 1e-12) / 127).astype(np.float32)
        levels = np.rint(values / scale.reshape(-1, *[1] * (values.ndim - 1))).astype(np.int8)
        name = weight.name
        graph.initializer.remove(weight)
        graph.initializer.append(onnx.numpy_helper.from_array(levels, f"{name}.levels"))
        graph.initializer.append(onnx.numpy_helper.from_array(scale, f"{name}.scale"))
        node = onnx.helper.make_node("DequantizeLinear", [f"{name}.levels", f"{name}.scale"], [name], axis=0)
        graph.node.insert(0, node)
    small: bytes = whole.SerializeToString()
    return small


def _float_nodes(model: onnx.ModelProto) -> list[str]:
    """The nodes that stay in float32: those before the first convolution, and those behind the last.

    Where several layers lie behind the convolutions, as in the face network, those from the last layer on.
    """
    nodes = list(model.graph.node)
    convolutions = [i for i, node in enumerate(nodes) if node.op_type == "Conv"]
    if not convolutions:
        raise ModelError("the network has no convolutions, so that 8 bits gain nothing")
    behind = next(
        (i for i in range(convolutions[-1] + 1, len(nodes)) if nodes[i].op_type not in ("Relu", "Add")),
        len(nodes),
    )
    layers = [i for i, node in enumerate(nodes) if node.op_type == "Gemm"]
    behind = layers[-1] if len(layers) > 1 else behind
    return [node.name for node in (*nodes[: convolutions[0]], *nodes[behind:])]


class _FaceBatches:
    """Batches of faces, one for each call; None at the end (ONNX Runtime's `CalibrationDataReader`)."""

    def __init__(self, faces: Image, name: str) -> None:
        self._batches: Iterator[dict[str, Floats]] = (
            {name: faces[i : i + _BATCH, None].astype(np.float32)} for i in range(0, len(faces), _BATCH)
        )

    def get_next(self) -> dict[str, Floats] | None:
        return next(self._batches, None)
