"""WebVTT: subtitles that browsers show, a cue for each run of an expression (W3C WebVTT)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from mien.errors import DataError
from mien.results.formats.clip import Watched
from mien.results.formats.cues import Block, blocks, clock, cue_text, read_cues, shown_runs
from mien.results.formats.steps import KNOWN, to_rows
from mien.results.formats.wish import Wish
from mien.results.rows import Row

_SOURCE = "NOTE source "


def write_webvtt(rows: Iterable[Row], path: Path, wish: Wish) -> None:
    """Write the cues of one clip by their start; its name stands in a note."""
    watched = Watched(rows)
    runs = shown_runs(watched, wish)
    name = json.dumps(watched.source, ensure_ascii=False).replace(
        ">", "\\u003e"
    )  # a note must not hold an arrow
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(f"WEBVTT\n\n{_SOURCE}{name}\n")
        for run in runs:
            file.write(f"\n{clock(run.start, '.')} --> {clock(run.end, '.')}\n{cue_text(run)}\n")


def read_webvtt(path: Path, wish: Wish) -> list[Row]:
    """The cues of a clip as rows at their starts and ends.

    Raises:
        DataError: not WebVTT, cut off, or cues that say something else than expressions.
    """
    found = blocks(path)
    if not found or found[0].lines[0].split(maxsplit=1)[0] != "WEBVTT":
        raise DataError(f"{path}: expected WebVTT, whose first line is WEBVTT; give another file")
    cues = [
        block for block in found[1:] if block.lines[0].split(maxsplit=1)[0] not in {"NOTE", "STYLE", "REGION"}
    ]
    wish.note(f"{path}: {KNOWN}")
    return to_rows(read_cues(path, cues), wish.source or _source(found) or str(path))


def _source(found: list[Block]) -> str | None:
    """The name of the clip, if the note with it is there and whole."""
    notes = [block.lines[0] for block in found if block.lines[0].startswith(_SOURCE)]
    try:
        name = json.loads(notes[0].removeprefix(_SOURCE)) if notes else None
    except ValueError:
        return None
    return name if isinstance(name, str) and name else None
