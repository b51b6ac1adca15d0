"""Frames as a data frame of pandas or polars."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any, Final

from mien.errors import ConfigError, MienError
from mien.results.rows import ALL_COLUMNS, TYPES, rows
from mien.types import Frame

#: Libraries of data frames, the first that is installed serves; for each the names of our types of columns.
LIBRARIES: Final = {
    "pandas": {"int32": "Int32", "float32": "float32", "float64": "float64"},  # Int32 can be empty
    "polars": {"int32": "Int32", "float32": "Float32", "float64": "Float64", "string": "String"},
}


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
