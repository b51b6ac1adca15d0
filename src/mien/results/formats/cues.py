"""Cues: what the two formats of subtitles share."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mien.errors import DataError, MienError
from mien.labels import parse_emotion
from mien.results.formats.clip import moments
from mien.results.formats.runs import Run, find_runs, join_flickers, shown
from mien.results.formats.wish import Wish
from mien.results.rows import Row

_TIMING: Final = re.compile(
    r"\s*(?:(\d+):)?([0-5]?\d):([0-5]?\d)[.,](\d{3})\s*-->\s*(?:(\d+):)?([0-5]?\d):([0-5]?\d)[.,](\d{3})(?!\d)"
)
_TEXT: Final = re.compile(r"(?:face(?: (\d{1,9}))?: )?(\w+)")
_LARGEST: Final = 2**26  # bytes of subtitles; more are something else


@dataclass(frozen=True, slots=True)
class Block:
    """Lines of a file between two empty ones."""

    line: int  # number of the first, from 1
    lines: list[str]


def shown_runs(rows: Iterable[Row], wish: Wish) -> list[Run]:
    """What each face shows, without flickers that are shorter than was asked for."""
    (runs,) = find_runs(moments(rows), shown)
    if not runs:
        wish.note("no expression was read, so there is no cue")
    return join_flickers(runs, wish.min_seconds)


def cue_text(run: Run) -> str:
    """The words of a cue, and those that `read_cues` understands."""
    return f"{face_name(run.track)}: {run.value}"


def face_name(track: int) -> str:
    """The name of a face.

    >>> face_name(2), face_name(-1)
    ('face 2', 'face')
    """
    return "face" if track < 0 else f"face {track}"


def clock(time: int, point: str) -> str:
    """Milliseconds as hours, minutes, seconds and thousandths.

    >>> clock(3_723_004, ".")
    '01:02:03.004'
    """
    seconds, rest = divmod(time, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{point}{rest:03d}"


def blocks(path: Path) -> list[Block]:
    """The blocks of a file of subtitles.

    Raises:
        DataError: no such file, or not text.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise DataError(f"{path}: expected subtitles of less than {_LARGEST} bytes; give another file")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: expected subtitles to read ({error.strerror}); check the name") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: expected text in UTF-8, got bytes that are none; give another file"
        ) from error
    found: list[Block] = []
    open_block = False
    for number, line in enumerate(re.split(r"\r\n|\n|\r", text), 1):
        if line.strip() and open_block:
            found[-1].lines.append(line)
        elif line.strip():
            found.append(Block(number, [line]))
        open_block = bool(line.strip())
    return found


def read_cues(path: Path, found: Iterable[Block]) -> Iterator[Run]:
    """The runs that blocks with a timing say.

    Raises:
        DataError: no timing, or words that are no expression.
    """
    for block in found:
        at = 0 if _TIMING.match(block.lines[0]) else 1  # an identifier may stand before the timing
        timing = _TIMING.match(block.lines[at]) if len(block.lines) > at else None
        if timing is None or len(block.lines) == at + 1:
            raise _broken(path, block.line, "a cue with its times and words", block.lines[-1])
        hours = timing.groups("0")
        start, end = (_milliseconds(*map(int, hours[i : i + 4])) for i in (0, 4))
        if start >= end:
            raise _broken(path, block.line + at, "an end after the start", block.lines[at])
        for i, line in enumerate(block.lines[at + 1 :], block.line + at + 1):
            yield Run(start, end, *_said(path, i, line))


def _milliseconds(hours: int, minutes: int, seconds: int, rest: int) -> int:
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + rest


def _said(path: Path, number: int, line: str) -> tuple[int, str]:
    """Track and emotion of a line such as `face 2: happiness`."""
    words = html.unescape(re.sub(r"<[^>]*>", "", line)).strip()
    match = _TEXT.fullmatch(words)
    try:
        if match is not None:
            return -1 if match[1] is None else int(match[1]), parse_emotion(match[2])
    except MienError:
        pass
    raise _broken(path, number, "words such as 'face 1: happiness'", words)


def _broken(path: Path, line: int, expected: str, got: str) -> DataError:
    return DataError(
        f"{path}, line {line}: expected {expected}, got {got[:60]!r}; cut off, or not written by Mien"
    )
