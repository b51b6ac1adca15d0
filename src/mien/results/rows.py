"""A frame as rows of the results table: one a face, one with `success` 0 where there is none."""

from __future__ import annotations

from typing import Final

from mien.labels import EMOTIONS
from mien.types import Face, Frame

#: A value of a cell: None is empty. Probabilities and boxes are the float32 values, held exactly.
Cell = str | int | float | tuple[str, ...] | None
Row = dict[str, Cell]

#: Columns of a clip's probabilities smoothed over time, in the order of EMOTIONS; empty for photos.
SMOOTHED: Final = tuple(f"smoothed_{emotion}" for emotion in EMOTIONS)
COLUMNS: Final = (
    "source", "frame", "time", "face", "track", "success",
    "x", "y", "width", "height", "score", "emotion", "confidence",
    *EMOTIONS,
    "set", "uncertain",
    *SMOOTHED,
)  # fmt: skip


def rows(frame: Frame) -> list[Row]:
    """The rows of a frame, faces in its order."""
    return [_face_row(frame, i, face) for i, face in enumerate(frame.faces)] or [_empty_row(frame)]


def failure_row(source: str) -> Row:
    """The row of an input that could not be read."""
    return _empty_row(Frame(source, 0, None, ()))


def _empty_row(frame: Frame) -> Row:
    row: Row = dict.fromkeys(COLUMNS)
    time = None if frame.time is None else float(frame.time)  # NumPy's numbers are not written as such
    row.update(source=frame.source, frame=int(frame.index), time=time, success=0)
    return row


def _face_row(frame: Frame, number: int, face: Face) -> Row:
    row = _empty_row(frame)
    row.update(zip(("x", "y", "width", "height"), map(float, face.box), strict=True))
    track = None if face.track is None else int(face.track)
    row.update(face=number, track=track, success=1, score=float(face.score))
    if face.probabilities is not None:
        row.update(emotion=face.emotion, confidence=face.confidence)
        row.update(zip(EMOTIONS, face.probabilities.tolist(), strict=True))
        row.update(set=face.set, uncertain=None if face.uncertain is None else int(face.uncertain))
    if face.smoothed is not None:
        row.update(zip(SMOOTHED, face.smoothed.tolist(), strict=True))
    return row
