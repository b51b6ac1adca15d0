"""Frames and events as rows of a table: the columns, their types, and one dict for each row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mien.labels import EMOTIONS
from mien.types import Face, Frame

if TYPE_CHECKING:
    from mien.video.events import Event

#: A value of a cell; None is an empty cell. Probabilities and boxes are the float32 values, held exactly.
Cell = str | int | float | tuple[str, ...] | None
Row = dict[str, Cell]

#: Columns of a clip's probabilities smoothed over time, in the order of EMOTIONS; empty for photos.
SMOOTHED: Final = tuple(f"smoothed_{emotion}" for emotion in EMOTIONS)
#: Columns of the results table, in their order.
COLUMNS: Final = (
    "source", "frame", "time", "face", "track", "success",
    "x", "y", "width", "height", "score", "emotion", "confidence",
    *EMOTIONS,
    "set", "uncertain",
    *SMOOTHED,
)  # fmt: skip
#: Columns of the five landmarks, asked for with `landmarks`; left is left in the picture.
LANDMARKS: Final = tuple(
    f"{point}_{axis}"
    for point in ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
    for axis in ("x", "y")
)
#: Columns of the table of events, in their order. Times are in seconds; `peak` and `mean` are smoothed
#: probabilities.
EVENT_COLUMNS: Final = (
    "source", "track", "emotion", "onset", "apex", "offset", "duration", "peak", "mean", "frames", "cut",
)  # fmt: skip

_SECONDS: Final = ("onset", "apex", "offset", "duration")
#: Columns of a summary: the share of the time in which each expression is shown, and mean probabilities.
SHARES: Final = (*(f"share_{emotion}" for emotion in EMOTIONS), "share_uncertain")
MEANS: Final = tuple(f"mean_{emotion}" for emotion in EMOTIONS)
#: The type of each column, named as pyarrow names it; `list` is a list of texts.
TYPES: Final[dict[str, str]] = {
    **dict.fromkeys(("source", "emotion", "cut"), "string"),
    **dict.fromkeys(("frame", "face", "track", "success", "uncertain", "frames"), "int32"),
    **dict.fromkeys(("x", "y", "width", "height", "score", "confidence", "peak", "mean"), "float32"),
    **dict.fromkeys((*EMOTIONS, *SMOOTHED, *LANDMARKS), "float32"),
    **dict.fromkeys(("time", *_SECONDS), "float64"),
    # of summaries
    **dict.fromkeys(("first", "last", "seconds", "clip_seconds"), "float64"),
    **dict.fromkeys((*SHARES, *MEANS), "float32"),
    **dict.fromkeys((f"events_{emotion}" for emotion in EMOTIONS), "int32"),
    **dict.fromkeys((f"event_seconds_{emotion}" for emotion in EMOTIONS), "float64"),
    "set": "list",
}


def rows(frame: Frame) -> list[Row]:
    """The rows of a frame: one per face in the frame's order; one with `success` 0 where there is no face.

    Each has the cells of `COLUMNS` and of `LANDMARKS`.
    """
    return [_face_row(frame, i, face) for i, face in enumerate(frame.faces)] or [_empty_row(frame)]


def failure_row(source: str) -> Row:
    """The row of an input that could not be read."""
    return _empty_row(Frame(source, 0, None, ()))


def event_row(event: Event) -> Row:
    """The row of an event; `cut` is empty where the event is seen whole."""
    row: Row = {name: getattr(event, name) for name in EVENT_COLUMNS}
    for name in _SECONDS:
        row[name] = round(float(getattr(event, name)), 9)  # sums of time stamps, to the nanosecond
    return row


def _empty_row(frame: Frame) -> Row:
    row: Row = dict.fromkeys((*COLUMNS, *LANDMARKS))
    time = None if frame.time is None else float(frame.time)  # a NumPy number would be written otherwise
    row.update(source=frame.source, frame=int(frame.index), time=time, success=0)
    return row


def _face_row(frame: Frame, number: int, face: Face) -> Row:
    row = _empty_row(frame)
    row.update(zip(("x", "y", "width", "height"), map(float, face.box), strict=True))
    row.update(zip(LANDMARKS, face.landmarks.ravel().tolist(), strict=True))  # (5, 2) -> (10,)
    track = None if face.track is None else int(face.track)
    row.update(face=number, track=track, success=1, score=float(face.score))
    if face.probabilities is not None:
        row.update(emotion=face.emotion, confidence=face.confidence)
        row.update(zip(EMOTIONS, face.probabilities.tolist(), strict=True))
        row.update(set=face.set, uncertain=None if face.uncertain is None else int(face.uncertain))
    if face.smoothed is not None:
        row.update(zip(SMOOTHED, face.smoothed.tolist(), strict=True))
    return row
