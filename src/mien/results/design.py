"""What a study knows about its files: person, condition and the like, from their names or from a table.

A table of the design has a column `source` (the clip or photo, by its name or the end of its path), and may
have `track` (the person is this face of it), `start` and `end` (seconds; the condition is this stretch of
it) and `offset` (seconds to add to the times of this clip, so that several cameras have one clock). All its
other columns are the study's own. A face has the values of every row that fits it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePath
from typing import Any, Final

from mien.errors import ConfigError, DataError
from mien.results.rows import TYPES
from mien.results.table_reader import bad_line, is_missing, open_table, parse_number, parse_whole

_OWN: Final = ("source", "track", "start", "end", "offset")
#: Numbers of the rows of a design that hold for a stretch of time only, and do so at one time.
Stretches = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A row of a design."""

    number: int
    line: int
    source: str
    track: int | None
    start: float | None
    end: float | None
    offset: float | None
    values: Mapping[str, str]

    @property
    def timed(self) -> bool:
        """Whether it holds for a stretch of time."""
        return self.start is not None or self.end is not None

    def covers(self, time: float | None) -> bool:
        """Whether a time on the common clock lies in its stretch."""
        if time is None:
            return False
        return (self.start is None or time >= self.start) and (self.end is None or time < self.end)


class Design:
    """Person, condition and the like of each input, and the offset of its clock.

    Args:
        table: of the design; None: there is none.
        pattern: of file names, such as `{person}_{condition}_*`: what is in braces becomes a column. It is
            compared with the end of the path; without a dot in its last part, the file's ending is left out.
        offsets: seconds to add to the times of a clip, by its name or the end of its path.

    Raises:
        DataError: the table cannot be read, or contradicts itself.
        ConfigError: a pattern without names, or a column that has the name of one of Mien's own.
    """

    def __init__(
        self,
        table: Path | None = None,
        *,
        pattern: str | None = None,
        offsets: Mapping[str, float] | None = None,
    ) -> None:
        self._table, self._pattern = table, pattern
        self._entries = [] if table is None else list(_read_entries(table))
        self._expression = None if pattern is None else _compile(pattern)
        self._offsets = dict(offsets or {})
        self._unknown: dict[str, None] = {}  # sources of which nothing is known
        self._used: set[int | str] = set()  # entries and offsets that fitted a source
        self._known = cache(self._find)
        named = dict.fromkeys(name for entry in self._entries for name in entry.values)
        if self._expression is not None:
            named = dict.fromkeys(self._expression.groupindex) | named
        #: the study's own columns
        self.columns = tuple(named)
        taken = [name for name in self.columns if name in TYPES or name in _OWN or "." in name]
        if taken:
            raise ConfigError(
                "design: expected names of columns that Mien does not use itself and that have no dot, got "
                f"{', '.join(taken)}; rename them"
            )

    def offset(self, source: str) -> float:
        """Seconds to add to the times of a clip."""
        return self._known(source)[0]

    def stretches(self, source: str, time: float | None) -> Stretches:
        """Which of the design's stretches hold at a time on the common clock."""
        return tuple(entry.number for entry in self._known(source)[2] if entry.timed and entry.covers(time))

    def tracks(self, source: str) -> list[int]:
        """The faces of a clip that the design names, whether they were found or not."""
        return list(dict.fromkeys(e.track for e in self._known(source)[2] if e.track is not None))

    def values(self, source: str, track: int | None, stretches: Stretches) -> dict[str, str]:
        """What is known of a face; a `DataError` if rows contradict each other."""
        _, found, entries = self._known(source)
        found = dict(found)
        for entry in entries:
            if entry.track not in {None, track} or (entry.timed and entry.number not in stretches):
                continue
            for name, value in entry.values.items():
                if found.setdefault(name, value) != value:
                    raise DataError(
                        f"{self._table}, line {entry.line}: expected one {name} of {source} at a time, got "
                        f"{found[name]!r} and {value!r}; correct the design"
                    )
        return found

    def finish(self) -> list[str]:
        """Notes on what in the design fitted nothing; ask for them at the end.

        Raises:
            ConfigError: an offset is for a clip that the table does not have, or no input is known to the
                design.
        """
        for name in self._offsets:
            if name not in self._used:
                raise ConfigError(f"offset: expected a clip of the table, got {name!r}; check its name")
        notes = []
        known = self._known.cache_info().currsize - len(self._unknown)
        if self.columns and self._unknown:
            what = "pattern" if self._table is None else "design"
            some = ", ".join(list(self._unknown)[:3])
            if not known:
                raise ConfigError(
                    f"{what}: expected it to fit the names of the table's files, it fits none of them "
                    f"({some}); check it"
                )
            notes.append(f"{len(self._unknown)} of {known + len(self._unknown)} files are not in the {what}, "
                         f"such as {some}; its columns are empty there")  # fmt: skip
        absent = [entry.source for entry in self._entries if entry.number not in self._used]
        if absent:
            some = ", ".join(dict.fromkeys(absent[:3]))
            notes.append(f"{len(absent)} rows of the design fit no file of the table, such as {some}")
        return notes

    def _find(self, source: str) -> tuple[float, dict[str, str], list[_Entry]]:
        """Offset, values from the name, and rows of a source."""
        entries = [entry for entry in self._entries if _ends_with(source, entry.source)]
        self._used.update(entry.number for entry in entries)
        offsets = [entry.offset for entry in entries if entry.offset is not None]
        for name, seconds in self._offsets.items():
            if _ends_with(source, name):
                offsets.append(seconds)
                self._used.add(name)
        if len(set(offsets)) > 1:
            raise DataError(f"offset: expected one of {source}, got {', '.join(map(str, offsets))}; give one")
        match = None
        if self._expression is not None and self._pattern is not None:
            parts = PurePath(source).parts[-1 - self._pattern.count("/") :]
            name = "/".join(parts)
            if "." not in self._pattern.rpartition("/")[2]:
                name = name.removesuffix(PurePath(source).suffix)
            match = self._expression.fullmatch(name)
        if match is None and not entries:
            self._unknown[source] = None
        return next(iter(offsets), 0.0), match.groupdict() if match else {}, entries


def _ends_with(source: str, name: str) -> bool:
    parts = PurePath(name).parts
    return bool(parts) and PurePath(source).parts[-len(parts) :] == parts


def _compile(pattern: str) -> re.Pattern[str]:
    """A pattern of file names as a regular expression; a name takes as little as it can."""
    pieces = re.split(r"(\{[^{}]*\}|\*|\?)", pattern)
    signs = {"*": "[^/]*", "?": "[^/]"}
    names = [piece[1:-1] for piece in pieces if piece.startswith("{") and piece.endswith("}")]
    bad = [name for name in names if not name.isidentifier()]
    if (
        not names
        or bad
        or len(set(names)) < len(names)
        or re.search(r"[{}]", re.sub(r"\{\w*\}", "", pattern))
    ):
        raise ConfigError(
            "pattern: expected different names of columns in braces, such as {person}_{condition}_*, got "
            f"{pattern!r}; letters, digits and _ make a name"
        )
    return re.compile(
        "".join(
            f"(?P<{piece[1:-1]}>[^/]+?)" if piece.startswith("{") else signs.get(piece, re.escape(piece))
            for piece in pieces
        )
    )


def _read_entries(path: Path) -> Iterator[_Entry]:
    table = open_table(path)
    table.require(("source",), "a table of a design")
    lines: dict[tuple[Any, ...], int] = {}
    for number, (line, record) in enumerate(table.records):
        # a person may be called NA, a time may not
        cells = {name: x for name, x in record.items() if not is_missing(x) or (x and name not in _OWN)}
        try:
            track = parse_whole(cells["track"]) if "track" in cells else None
            start, end, offset = (
                parse_number(cells[name]) if name in cells else None for name in ("start", "end", "offset")
            )
        except ValueError as error:
            raise bad_line(path, line, error) from error
        source = str(cells.get("source", ""))
        before = lines.setdefault((source, track, start, end), line)
        wrong = ""
        if not source:
            wrong = "expected the name of a clip or photo in the column source, got nothing"
        elif start is not None and end is not None and end <= start:
            wrong = f"expected a start before the end, got {start:g} and {end:g}"
        elif before != line:
            wrong = f"expected one row for each face and stretch, line {before} is for the same"
        if wrong:
            raise bad_line(path, line, ValueError(wrong))
        values = {name: str(value) for name, value in cells.items() if name not in _OWN}
        yield _Entry(number, line, source, track, start, end, offset, values)
