"""Runs: how long each face shows the same, as the formats of annotation hold it.

A frame lasts until the next frame of the table begins; the last one as long as the one before it. A clip of
a single frame is given one millisecond, the least that these formats hold.

Legend: times are whole milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from mien.results.formats.clip import Moment
from mien.results.rows import Row


@dataclass(frozen=True, slots=True)
class Run:
    """One value on one face from `start` to `end`."""

    start: int
    end: int
    track: int  # -1 for a face without a track
    value: str


Signal = Callable[[Row], str | None]


def shown(row: Row) -> str | None:
    """The expression that a row shows."""
    return None if row["emotion"] is None else str(row["emotion"])


def doubted(row: Row) -> str | None:
    """That a row's reading is uncertain."""
    return "uncertain" if row["uncertain"] else None


class RunFinder:
    """Finds the runs of one signal; takes the moments of a clip in order."""

    def __init__(self, signal: Signal) -> None:
        self._signal = signal
        self._open: dict[int, Run] = {}
        self._done: list[Run] = []

    def push(self, moment: Moment) -> None:
        """Take the next moment."""
        now = {_key(track): self._signal(row) for track, row in moment.faces.items()}
        for track, run in list(self._open.items()):
            if now.get(track) != run.value:
                self._close(track, moment.time)
        for track, value in now.items():
            if value is not None and track not in self._open:
                self._open[track] = Run(moment.time, moment.time, track, value)

    def finish(self, end: int) -> list[Run]:
        """All runs, by start and track; the clip ends at `end`."""
        for track in list(self._open):
            self._close(track, end)
        return in_order(self._done)

    def _close(self, track: int, end: int) -> None:
        run = self._open.pop(track)
        if end > run.start:  # frames at one time stamp show nothing for any time
            self._done.append(replace(run, end=end))


def find_runs(moments: Iterable[Moment], *signals: Signal) -> list[list[Run]]:
    """The runs of each signal, in one pass over the moments."""
    finders = [RunFinder(signal) for signal in signals]
    last, step = 0, 1
    for i, moment in enumerate(moments):
        for finder in finders:
            finder.push(moment)
        step = moment.time - last if i and moment.time > last else step
        last = moment.time
    return [finder.finish(last + step) for finder in finders]


def join_flickers(runs: Iterable[Run], least: float) -> list[Run]:
    """The runs in which none shorter than `least` seconds stands between or beside others.

    What a face shows counts once it lasts for `least`: until then the run before it goes on. A short run
    with which a face comes into view goes to the run after it. One that stands alone stays.
    """
    kept: dict[int, list[Run]] = {}
    for run in in_order(runs):
        chain = kept.setdefault(run.track, [])
        _append(chain, run, round(1000 * least))
    return in_order(run for chain in kept.values() for run in chain)


def _append(chain: list[Run], run: Run, least: int) -> None:
    """Add a run to those of its face, joined to the last one where they touch and one is too short."""
    touching = bool(chain) and chain[-1].end == run.start
    if touching and (run.end - run.start < least or chain[-1].value == run.value):
        chain[-1] = replace(chain[-1], end=run.end)
    elif touching and chain[-1].end - chain[-1].start < least:
        chain[-1] = replace(run, start=chain[-1].start)
    else:
        chain.append(run)


def in_order(runs: Iterable[Run]) -> list[Run]:
    """Runs by start, those that start together by track."""
    return sorted(runs, key=lambda run: (run.start, run.track))


def _key(track: int | None) -> int:
    return -1 if track is None else track
