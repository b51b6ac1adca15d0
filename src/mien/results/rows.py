"""The columns of the tables of frames and events, their types, and their rows, also as a data frame."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from mien.errors import ConfigError, MienError
from mien.labels import EMOTIONS
from mien.types import ALL_COLUMNS, COLUMNS, EXTRA_COLUMNS, FACE_COLUMNS, SMOOTHED, Cell, Frame, Row

if TYPE_CHECKING:
    from mien.video.events import Event

__all__ = [
    "ALL_COLUMNS", "BASELINE", "COLUMNS", "COUNTS", "EVENT_COLUMNS", "EXTRA_COLUMNS", "MEANS", "SHARES",
    "SMOOTHED", "TYPES", "Cell", "Row", "choose_columns", "event_row", "failure_row", "rows", "to_dataframe",
]  # fmt: skip

#: Columns of the table of events, in their order. Times are in seconds; `peak` and `mean` are smoothed
#: probabilities.
EVENT_COLUMNS: Final = (
    "source", "track", "emotion", "onset", "apex", "offset", "duration", "peak", "mean", "frames", "cut",
)  # fmt: skip

_SECONDS: Final = ("onset", "apex", "offset", "duration")
#: Columns of a summary: the share of the time in which each expression is shown, and mean probabilities.
SHARES: Final = (*(f"share_{emotion}" for emotion in EMOTIONS), "share_uncertain")
MEANS: Final = tuple(f"mean_{emotion}" for emotion in EMOTIONS)
#: ... how much there is of a face, and how much is missing or doubtful.
COUNTS: Final = ("frames", "first", "last", "seconds", "clip_frames", "clip_seconds", "missing_frames",
                 "missing_seconds", "uncertain_seconds")  # fmt: skip
#: ... and with a baseline: seconds in which a face is read there, mean probabilities there, and those of the
#: rest less these.
BASELINE: Final = ("baseline_seconds", *(f"baseline_{emotion}" for emotion in EMOTIONS),
                   *(f"change_{emotion}" for emotion in EMOTIONS))  # fmt: skip

#: The type of the other columns.
_BY_TYPE: Final[dict[str, tuple[str, ...]]] = {
    "string": ("source", "cut", "error"),
    "int32": (
        "frame", "face", "success", "frames", "clip_frames", "missing_frames",
        "events", *(f"events_{emotion}" for emotion in EMOTIONS),
    ),
    "float32": ("peak", "mean", "share", "baseline", "change", *SHARES, *MEANS, *BASELINE[1:]),
    "float64": (
        "time", *_SECONDS, "first", "last", "window", *(name for name in COUNTS if "seconds" in name),
        "baseline_seconds", "event_seconds", *(f"event_seconds_{emotion}" for emotion in EMOTIONS),
    ),
}  # fmt: skip


class _Types(dict[str, str]):
    """Types by column; `mean_fear.film` has that of `mean_fear`, and what is not known is text."""

    def __missing__(self, name: str) -> str:
        figure, _, level = name.partition(".")
        return self[figure] if level and figure in self else "string"


#: The type of each column, named as pyarrow names it; `list` is a list of texts.
TYPES: Final[dict[str, str]] = _Types(
    {name: kind for kind, names in (*FACE_COLUMNS.values(), *_BY_TYPE.items()) for name in names}
)
#: Libraries of data frames, the first that is installed serves; for each the names of our types of columns.
LIBRARIES: Final = {
    "pandas": {"int32": "Int32", "float32": "float32", "float64": "float64"},  # Int32 can be empty
    "polars": {"int32": "Int32", "float32": "Float32", "float64": "Float64", "string": "String"},
}


def choose_columns(*, landmarks: bool = False, units: bool = False, gaze: bool = False) -> tuple[str, ...]:
    """The columns of a table, with those that are asked for."""
    asked = {"landmarks": landmarks, "units": units, "gaze": gaze}
    return (*COLUMNS, *(column for name, some in EXTRA_COLUMNS.items() if asked[name] for column in some))


def rows(frame: Frame) -> list[Row]:
    """The rows of a frame, as `Frame.to_rows` makes them."""
    return frame.to_rows()


def failure_row(source: str) -> Row:
    """The row of an input that could not be read."""
    return Frame(source, 0, None, ()).to_rows()[0]


def event_row(event: Event) -> Row:
    """The row of an event; `cut` is empty where the event is seen whole."""
    row: Row = {name: getattr(event, name) for name in EVENT_COLUMNS}
    for name in _SECONDS:
        row[name] = round(float(getattr(event, name)), 9)  # sums of time stamps, to the nanosecond
    return row


def to_dataframe(frames: Frame | Iterable[Frame], *, library: str | None = None) -> Any:
    """The rows of frames as a data frame: all columns of tables, and why one was not read.

    Args:
        frames: one, or several: a list, or what `Analyzer.video` gives.
        library: "pandas" or "polars"; None: whichever is installed, pandas first.

    Raises:
        ConfigError: no such library.
        MienError: it is not installed.
    """
    if library not in {None, *LIBRARIES}:
        raise ConfigError(f"library: expected one of {', '.join(LIBRARIES)}, got {library!r}")
    for name in LIBRARIES if library is None else (library,):
        try:
            module: Any = import_module(str(name))
        except ModuleNotFoundError:
            continue
        known = LIBRARIES[str(name)]
        break
    else:
        wanted = library or " or ".join(LIBRARIES)
        raise MienError(f"a data frame needs {wanted}, not installed; pip install {library or 'pandas'}")
    given = [frames] if isinstance(frames, Frame) else frames
    table = [row | {"error": frame.error or None} for frame in given for row in rows(frame)]
    columns = [*ALL_COLUMNS, "error"]
    if module.__name__ == "pandas":
        types = {column: known[TYPES[column]] for column in columns if TYPES[column] in known}
        return module.DataFrame(table, columns=columns).astype(types).copy()  # in one piece
    text = module.String()
    schema = {
        column: module.List(text) if TYPES[column] == "list" else getattr(module, known[TYPES[column]])
        for column in columns
    }
    return module.DataFrame(table, schema=schema)
