"""The rows of one source, and of one clip: what the formats for a single recording need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from mien.errors import DataError, OutputError
from mien.results.formats.wish import Wish
from mien.results.rows import Row

_SHOWN = 20  # sources that an error lists


@dataclass(frozen=True, slots=True)
class Moment:
    """One frame of a clip, and its faces."""

    time: int  # milliseconds
    faces: dict[int | None, Row]  # by track


class Watched:
    """Rows that pass by, and the source that they are of."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = rows
        self.source = ""

    def __iter__(self) -> Iterator[Row]:
        for row in self._rows:
            self.source = str(row["source"])
            yield row


def choose(rows: Iterable[Row], source: str | None) -> Iterator[Row]:
    """The rows of `source`; None: all of them.

    Raises:
        DataError: there are none.
    """
    others: dict[str, None] = {}
    found = False
    for row in rows:
        if source in {None, row["source"]}:
            found = True
            yield row
        else:
            others[str(row["source"])] = None
    if not found and source is None:
        raise DataError("expected a table with rows, got one without; analyse something first")
    if not found:
        raise DataError(f"expected a source of the table with --source, got {source!r}; {_listed(others)}")


def one_clip(rows: Iterable[Row], form: str, wish: Wish) -> Iterator[Row]:
    """The same rows, if they are of one clip; a clip that could be read in part ends where it broke off.

    Raises:
        OutputError: several sources, listed, or no times (photos).
    """
    every = iter(rows)
    name: str | None = None
    for row in every:
        if name is not None and row["source"] != name:
            raise _several([name, str(row["source"])], every, form)
        if row["time"] is not None:
            name = str(row["source"])
            yield row
        elif name is None or row["success"]:
            raise _no_time(str(row["source"]), every, form)
        else:
            wish.note(f"{name}: the clip broke off while it was analysed; the rest is missing")


def _several(seen: list[str], rest: Iterable[Row], form: str) -> OutputError:
    sources = dict.fromkeys([*seen, *(str(row["source"]) for row in rest)])
    return OutputError(
        f"expected one clip for {form}, got {len(sources)} sources; choose with --source: {_listed(sources)}"
    )


def _no_time(source: str, rest: Iterator[Row], form: str) -> OutputError:
    sources = dict.fromkeys([source, *(str(row["source"]) for row in rest)])
    if len(sources) > 1:
        return _several([], ({"source": name} for name in sources), form)
    return OutputError(
        f"expected a clip with times for {form}, got {source!r}, which has none (a photo, or an input that "
        "could not be read); photos fit mien and pyfeat"
    )


def _listed(sources: dict[str, None]) -> str:
    names = [repr(name) for name in sources]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return "it has " + ", ".join(names[:_SHOWN]) + more


def moments(rows: Iterable[Row]) -> Iterator[Moment]:
    """The frames of a clip in order.

    Raises:
        OutputError: times below 0 or that run backwards, or two faces of a frame on one track.
    """
    last = 0
    for number, group in groupby(rows, key=lambda row: row["frame"]):
        held = list(group)
        time = round(1000 * float(held[0]["time"]))  # type: ignore[arg-type]
        if time < last:
            raise OutputError(
                f"expected times that run forwards from 0, got {time / 1000} s in frame {number} after "
                f"{last / 1000} s; such a clip (joined of several) fits mien, openface and pyfeat"
            )
        last = time
        yield Moment(time, _by_track(held))


def _by_track(rows: list[Row]) -> dict[int | None, Row]:
    faces: dict[int | None, Row] = {}
    for row in rows:
        if not row["success"]:
            continue
        track = row["track"]
        if track in faces:
            raise OutputError(
                f"expected one face a track, got two on track {track} in frame {row['frame']}; analyse the "
                "clip again, so that its faces get tracks"
            )
        faces[track] = row  # type: ignore[index]
    return faces
