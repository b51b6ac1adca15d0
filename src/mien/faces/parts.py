"""The face network: is this a face, where are its parts, how is the head turned, which parts move how much.

It sees one upright crop, 96 x 96 gray levels, and learned from Google's Face Landmarker (`mien.train.face`,
`docs/face.md`).

Legend: N faces, H rows, W columns; 146 landmarks, of which five are those of `types.Face`; 45 movements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import asin, atan2, exp, hypot, log, sqrt
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mien.faces.align import PARTS_TEMPLATE, Matrix, crop_gray, invert, move, similarity
from mien.faces.network import CPU, OnnxNetwork
from mien.models import load_model
from mien.types import Face, Floats, Image
from mien.units import ALIGN, OUTPUTS

MODEL: Final = "face"
_FOLLOWED: Final = 0.9  # presence from which a face is still there in the next frame of a clip
_SIDE: Final = 96  # pixels of the crop
#: Of the logarithms of error and contrast, and a constant: the sigmoid of their sum is the quality
#: (`benchmarks/quality.py` fits them).
_QUALITY: Final = (-0.964, 0.457, -2.212)
#: Rows and columns of the crop about the eyes and about the mouth. The mouth is hidden, say by a mask, where
#: gray levels deviate less than this share of what they do about the eyes (`benchmarks/quality.py`).
_EYES: Final = np.s_[30:42, 28:67]
_MOUTH: Final = np.s_[57:74, 34:61]
_HIDDEN: Final = 0.2
HIDDEN_QUALITY: Final = 0.5  # at most: too little for a reading to be certain
_ENDS: Final = np.cumsum([*OUTPUTS.values()]).tolist()
_PLACES: Final = dict(zip(OUTPUTS, pairwise([0, *_ENDS]), strict=True))  # of each part in the answer
_NOSE, _BRIDGE = 2, 1  # among the landmarks


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What the network says of one face, in pixels of the picture."""

    presence: float  # in [0, 1]: that it is a face, and lies in its crop as it should
    error: float  # expected of the landmarks, as a share of the distance of the pupils
    dense: Floats  # (146, 2) x, y
    landmarks: Floats  # (5, 2) x, y, in the order of `Face.landmarks`
    pose: Floats  # (3,) yaw, pitch, roll in degrees
    movements: Floats  # (45,) in [0, 1], in the order of `UNITS`
    contrast: float  # deviation of the crop's gray levels
    hidden: bool  # whether nothing is seen where the mouth is

    @property
    def quality(self) -> float:
        """In [0, 1]: the share of faces seen so whose expression is read as it is in a clean picture."""
        error, contrast, least = _QUALITY
        value = error * log(self.error) + contrast * log(max(self.contrast, 1.0)) + least
        quality = 1 / (1 + exp(-value))
        return min(quality, HIDDEN_QUALITY) if self.hidden else quality


def with_parts(face: Face, parts: Parts) -> Face:
    """The face with all that the network says of it; box, score and track stay."""
    return replace(
        face,
        landmarks=parts.landmarks,
        landmarks_dense=parts.dense,
        pose=parts.pose,
        movements=parts.movements,
        quality=parts.quality,
    )


class PartsNetwork:
    """The network that ships; ONNX Runtime opens it when it is first needed."""

    def __init__(self, threads: int = 1, providers: Sequence[str] = CPU) -> None:
        self._network = OnnxNetwork(load_model(MODEL), name=MODEL, threads=threads, providers=providers)

    def __call__(self, image: Image, faces: Sequence[Floats]) -> list[Parts]:
        """What it says of the faces of a picture, (H, W, 3) RGB or (H, W) gray uint8.

        Of each face the landmarks are given, (5, 2) in pixels; a tenth of its size off matters little.
        """
        if not faces:
            return []
        template = np.array(PARTS_TEMPLATE) * _SIDE
        matrices = [similarity(points[[0, 1, 3, 4]], template) for points in faces]
        crops = np.array([crop_gray(image, matrix, _SIDE) for matrix in matrices], np.float32)
        answers = self._network(crops[:, None])  # (N, 345)
        return [_read(*one) for one in zip(answers, matrices, crops, strict=True)]

    def follow(self, image: Image, faces: Sequence[Face]) -> list[Face] | None:
        """Faces of the frame before, where they are in this one; None: one of them is not there any more."""
        looks = self(image, [face.landmarks for face in faces])
        if any(look.presence < _FOLLOWED for look in looks):
            return None
        return [with_parts(face, look) for face, look in zip(faces, looks, strict=True)]

    def complete(self, image: Image, faces: Sequence[Face]) -> list[Face]:
        """The same faces; those that were not looked at yet with what the network says of them.

        Box, score and five landmarks stay as the detector gave them. What is no face to the network stays
        without pose and movements.
        """
        new = [i for i, face in enumerate(faces) if face.pose is None and _is_usable(face.landmarks, image)]
        looks = dict(zip(new, self(image, [faces[i].landmarks for i in new]), strict=True))
        return [
            replace(with_parts(face, looks[i]), landmarks=face.landmarks)
            if i in looks and looks[i].presence >= 0.5
            else face
            for i, face in enumerate(faces)
        ]


def _is_usable(landmarks: Floats, image: Image) -> bool:
    """Whether points differ from one another and lie in the picture, or no farther out than it is large."""
    away = landmarks / image.shape[1::-1]  # (5, 2)
    return bool(((away > -1) & (away < 2)).all() and np.ptp(landmarks[[0, 1, 3, 4]], axis=0).max() > 0)


def _read(answer: Floats, to_crop: Matrix, crop: Floats) -> Parts:
    said = {part: answer[start:end] for part, (start, end) in _PLACES.items()}
    dense = move(invert(to_crop), said["landmarks"].reshape(-1, 2) * _SIDE)  # (146, 2)
    nose = (2 * dense[_NOSE] + dense[_BRIDGE]) / 3  # where the detector has the tip
    right_eye, left_eye, right_mouth, left_mouth = dense[[*ALIGN]]
    return Parts(
        presence=1 / (1 + exp(-float(said["presence"][0]))),
        error=exp(min(2.0, max(-6.0, float(said["spread"][0])))),
        dense=dense,
        landmarks=np.stack([right_eye, left_eye, nose, right_mouth, left_mouth]),  # (5, 2)
        pose=head_pose(said["turn"].reshape(2, 3), to_crop),
        movements=said["units"].clip(0, 1),
        contrast=float(crop.std()),
        hidden=bool(max(crop[_MOUTH].std(), 1.0) < _HIDDEN * crop[_EYES].std()),
    )


def head_pose(rows: NDArray[Any], to_crop: Matrix) -> Floats:
    """Two rows (2, 3) of the turn of the head in its crop, x right, y down, z away, to angles in the picture.

    Returns:
        (3,) yaw, pitch and roll in degrees.
    """
    right, down = rows.astype(np.float64)
    right = right / sqrt(right @ right)
    down = down - (down @ right) * right
    turn = np.stack([right, down / sqrt(down @ down)])  # (2, 3)
    lean = to_crop[:, :2] / hypot(to_crop[0, 0], to_crop[1, 0])
    (a, b, c), (d, e, f) = (lean.T @ turn).tolist()  # out of the crop's plane into the picture's
    # the third row is the cross product of these two; its last number is a * e - b * d
    angles = atan2(c, a * e - b * d), asin(max(-1.0, min(1.0, -f))), atan2(d, e)
    pose: Floats = np.degrees(angles).astype(np.float32)
    return pose
