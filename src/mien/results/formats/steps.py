"""Runs as rows: what a face shows from one change to the next, as Mien's table holds it.

Legend: times are whole milliseconds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from mien.errors import DataError
from mien.results.formats.runs import Run, in_order
from mien.results.rows import COLUMNS, Row

#: What whoever reads such rows should know.
KNOWN: Final = "rows stand where an expression begins or ends; boxes, scores and probabilities are not known"


def to_rows(runs: Iterable[Run], source: str, doubts: Mapping[int, Sequence[Run]] | None = None) -> list[Row]:
    """Rows from which `find_runs` gives the same runs again.

    There is a frame wherever a run begins or ends, and in it a row for each face that shows something:
    `frame` counts these, not the frames of the clip. Boxes, scores and probabilities are not known.

    Args:
        runs: what each face shows.
        source: the name of the clip.
        doubts: by track, when the readings are uncertain; of a track that is not there it is not known.

    Raises:
        DataError: two runs of a face overlap.
    """
    shown = in_order(runs)
    unsure = {track: in_order(some) for track, some in (doubts or {}).items()}
    rows: list[Row] = []
    for frame, (time, active) in enumerate(_sweep(shown, _edges([shown, *unsure.values()]))):
        row = _empty(source, frame, time)
        rows += [_face(row, i, run, unsure, time) for i, run in enumerate(active)] or [row]
    return rows


def _edges(many: Iterable[Sequence[Run]]) -> list[int]:
    return sorted({time for runs in many for run in runs for time in (run.start, run.end)})


def _sweep(runs: Sequence[Run], times: Sequence[int]) -> Iterator[tuple[int, list[Run]]]:
    """Each of the times, and the runs that go on then, by track."""
    active: dict[int, Run] = {}
    begun = 0
    for time in times:
        active = {track: run for track, run in active.items() if run.end > time}
        while begun < len(runs) and runs[begun].start <= time:
            run = runs[begun]
            if run.track in active:
                raise DataError(
                    f"expected one expression at a time on a face, got {active[run.track].value} and "
                    f"{run.value} at {time / 1000} s on track {run.track}; give one of them its own track"
                )
            active[run.track] = run
            begun += 1
        yield time, [active[track] for track in sorted(active)]


def _face(row: Row, number: int, run: Run, unsure: Mapping[int, Sequence[Run]], time: int) -> Row:
    track = None if run.track < 0 else run.track
    doubts = unsure.get(run.track)
    return {
        **row,
        "success": 1,
        "face": number,
        "track": track,
        "emotion": run.value,
        "uncertain": None if doubts is None else int(_within(doubts, time)),
    }


def _within(runs: Sequence[Run], time: int) -> bool:
    """Whether one of the runs, which are in order and apart, goes on at `time`."""
    i = bisect_right(runs, time, key=lambda run: run.start)
    return i > 0 and time < runs[i - 1].end


def _empty(source: str, frame: int, time: int) -> Row:
    return {**dict.fromkeys(COLUMNS), "source": source, "frame": frame, "time": time / 1000, "success": 0}
