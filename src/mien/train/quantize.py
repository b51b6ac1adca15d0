"""A network's convolutions in 8 bits: static, a scale for each channel, ranges seen on real faces.

Jacob et al., arXiv:1712.05877 (the arithmetic); ONNX Runtime's own quantiser does it.

Legend: N faces, H rows, W columns.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from mien.errors import ModelError
from mien.train.quiet import quiet
from mien.types import Floats, Image

_BATCH: Final = 64
#: The rest (the input's scaling, the last layer) costs nothing in float32 and would lose the most.
_KINDS: Final = ("Conv", "Relu", "Add", "Mul", "AveragePool", "ReduceMean", "Sigmoid")


def quantize(model: bytes, faces: Image) -> bytes:
    """The network with 8-bit weights and activations, its card and everything else as it was.

    Weights take 7 of their 8 bits: processors without VNNI add two products in 16 bits, which 8 overflow.

    Args:
        model: the bytes of an ONNX file whose input is (N, 1, H, W) gray levels.
        faces: (N, H, W) uint8, what it will read; some hundred, of those it learnt from.

    Raises:
        ModelError: ONNX Runtime cannot quantise it.
    """
    with tempfile.TemporaryDirectory() as folder, quiet(""):
        before, ready, after = (Path(folder) / name for name in ("before.onnx", "ready.onnx", "after.onnx"))
        before.write_bytes(model)
        try:
            quant_pre_process(before, ready, skip_symbolic_shape=True)
            quantize_static(
                ready,
                after,
                _Faces(faces, onnx.load(before).graph.input[0].name),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(_KINDS),
                nodes_to_exclude=_ends(onnx.load(ready)),
                per_channel=True,
                reduce_range=True,
                weight_type=QuantType.QInt8,
                activation_type=QuantType.QUInt8,
            )
        except (ValueError, RuntimeError, KeyError) as error:
            raise ModelError(f"expected a network that can be quantised, got: {error}") from error
        return after.read_bytes()


def _ends(model: onnx.ModelProto) -> list[str]:
    """The nodes before the first and behind the last convolution."""
    nodes = list(model.graph.node)
    convolutions = [i for i, node in enumerate(nodes) if node.op_type == "Conv"]
    if not convolutions:
        raise ModelError("expected a network with convolutions, got none: 8 bits bring nothing")
    behind = next(
        (i for i in range(convolutions[-1] + 1, len(nodes)) if nodes[i].op_type not in ("Relu", "Add")),
        len(nodes),
    )
    return [node.name for node in (*nodes[: convolutions[0]], *nodes[behind:])]


class _Faces(CalibrationDataReader):  # type: ignore[misc]
    """Batches of faces, one a call; None at the end."""

    def __init__(self, faces: Image, name: str) -> None:
        self._batches: Iterator[dict[str, Floats]] = (
            {name: faces[i : i + _BATCH, None].astype(np.float32)} for i in range(0, len(faces), _BATCH)
        )

    def get_next(self) -> dict[str, Floats] | None:
        return next(self._batches, None)
