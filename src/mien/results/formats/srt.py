"""SubRip (SRT): subtitles that players show, a cue for each run of an expression."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mien.results.formats.cues import blocks, clock, cue_text, read_cues, shown_runs
from mien.results.formats.steps import KNOWN, to_rows
from mien.results.formats.wish import Wish
from mien.results.rows import Row


def write_srt(rows: Iterable[Row], path: Path, wish: Wish) -> None:
    """Write the cues of one clip by their start, numbered from 1."""
    with path.open("w", encoding="utf-8", newline="") as file:
        for number, run in enumerate(shown_runs(rows, wish), 1):
            times = f"{clock(run.start, ',')} --> {clock(run.end, ',')}"
            file.write(f"{number}\n{times}\n{cue_text(run)}\n\n")


def read_srt(path: Path, wish: Wish) -> list[Row]:
    """The cues of a clip as rows at their starts and ends; its name is not in the file.

    Raises:
        DataError: not SubRip, cut off, or cues that say something else than expressions.
    """
    wish.note(f"{path}: {KNOWN}")
    return to_rows(read_cues(path, blocks(path)), wish.source or str(path))
