"""A frame as the JSON of the answers: plain numbers, the fewest digits that give the same float32.

Legend: K = 8 emotions.
"""

from __future__ import annotations

import base64
from typing import Any

from mien.image import encode_image
from mien.labels import EMOTIONS
from mien.results.draw import annotate
from mien.results.tables import shortest
from mien.server.problem import Problem
from mien.types import Face, Floats, Frame, Image


def photo_answer(name: str, pixels: Image, frame: Frame, *, drawn: bool = False) -> dict[str, Any]:
    """One photo of an answer.

    Args:
        name: what who asked called it.
        pixels: (H, W, 3) RGB uint8.
        frame: its faces.
        drawn: also the picture with the faces drawn on it.
    """
    answer = {
        "name": name,
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "notes": list(frame.notes),
        "error": None,
        "faces": faces_answer(frame),
    }
    if drawn:
        jpeg = encode_image(annotate(pixels, frame.faces))
        answer["annotated"] = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"
    return answer


def failed_answer(name: str, problem: Problem) -> dict[str, Any]:
    """One photo of an answer that could not be read."""
    return {"name": name, "width": 0, "height": 0, "notes": [], "error": problem.body(), "faces": []}


def live_answer(pixels: Image, frame: Frame) -> dict[str, Any]:
    """A frame of a camera: its faces with their tracks and what they show over time."""
    return {
        "index": frame.index,
        "time": frame.time,
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "faces": [
            answer | {"track": face.track, "smoothed": _shares(face.smoothed)}
            for answer, face in zip(faces_answer(frame), frame.faces, strict=True)
        ],
    }


def faces_answer(frame: Frame) -> list[dict[str, Any]]:
    """The faces of a frame, in its order."""
    return [_face(number, face) for number, face in enumerate(frame.faces)]


def _face(number: int, face: Face) -> dict[str, Any]:
    return {
        "face": number,
        "box": [shortest(value) for value in face.box],
        "landmarks": [[shortest(x), shortest(y)] for x, y in face.landmarks],
        "score": shortest(face.score),
        "emotion": face.emotion,
        "confidence": None if face.confidence is None else shortest(face.confidence),
        "probabilities": _shares(face.probabilities),
        "set": None if face.set is None else list(face.set),
        "uncertain": face.uncertain,
    }


def _shares(probabilities: Floats | None) -> dict[str, float] | None:
    if probabilities is None:
        return None
    return {emotion: shortest(value) for emotion, value in zip(EMOTIONS, probabilities, strict=True)}
