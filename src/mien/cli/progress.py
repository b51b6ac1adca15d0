"""What the command line says, on standard error: rows and tables have standard output to themselves.

How far a run is: a live line on a terminal, plain lines in a pipe, or nothing.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mien.batch.read import Result, Summary

#: Seconds until the first plain line, and the most between two: they double from one to the other.
_FIRST, _MOST = 5.0, 60.0
_NAMES: Final = 20  # failures named again at the end; all were printed when they happened


def say(line: str) -> None:
    """A line on standard error, whatever bytes a file name in it holds."""
    print(escape_bytes(line), file=sys.stderr, flush=True)  # noqa: T201


def escape_bytes(text: str) -> str:
    """The text with the bytes of a file name that are no text written out."""
    return text.encode(errors="backslashreplace").decode()


class Quiet:
    """`--quiet`: errors alone."""

    def watch(self, summary: Summary, result: Result) -> None:  # noqa: ARG002
        """Say what failed."""
        if result.error:
            say(error_line(result.name, result.error))

    def close(self) -> None:
        """Nothing to end."""


class Lines(Quiet):
    """For pipes and logs: errors and notes when they happen, and now and then how far it is."""

    def __init__(self) -> None:
        self._wait = self._due = _FIRST

    def watch(self, summary: Summary, result: Result) -> None:
        """Say what is new."""
        for line in news_lines(result):
            say(line)
        if summary.seconds >= self._due:
            say(f"mien: {state_line(summary)}")
            self._wait = min(2 * self._wait, _MOST)
            self._due = summary.seconds + self._wait


class Live(Quiet):
    """For terminals: one line that moves; errors and notes stay above it."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

        self._bar: Progress = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=24),
            TextColumn("{task.description}", markup=False),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("loading", total=None)
        self._bar.start()

    def watch(self, summary: Summary, result: Result) -> None:
        """Move the line."""
        for line in news_lines(result):
            self._bar.console.print(escape_bytes(line), markup=False, highlight=False, soft_wrap=True)
        done = summary.done + summary.share
        self._bar.update(self._task, completed=done, total=summary.inputs, description=state_line(summary))

    def close(self) -> None:
        """Take the line away."""
        self._bar.stop()


def choose_progress(*, quiet: bool, rows_on_terminal: bool) -> Quiet:
    """The progress that fits where standard error goes; rows on the terminal are progress enough."""
    if quiet:
        return Quiet()
    return Live() if sys.stderr.isatty() and not rows_on_terminal else Lines()


def news_lines(result: Result) -> list[str]:
    """What a result tells besides its rows."""
    lines = [f"mien: note: {result.name}: {note}" for note in result.notes]
    return [*lines, error_line(result.name, result.error)] if result.error else lines


def error_line(name: str, error: str) -> str:
    """An error that names its input once."""
    return f"mien: error: {error}" if name in error else f"mien: error: {name}: {error}"


def state_line(summary: Summary) -> str:
    """Files, frames, faces, rate and the time left."""
    rate = summary.frames / summary.seconds if summary.seconds > 0 else 0.0
    parts = [
        f"{summary.done} of {count(summary.inputs, 'file')}",
        count(summary.frames, "frame"),
        count(summary.faces, "face"),
        f"{rate:.1f} frames/s",
    ]
    if summary.failures:
        parts.append(f"{summary.failures:,} failed")
    share = (summary.done + summary.share) / max(1, summary.inputs)
    if share > 0:
        parts.append(f"{duration(summary.seconds * (1 - share) / share)} left")
    return ", ".join(parts)


def end_lines(summary: Summary, output: str, *, retry: bool = False) -> list[str]:
    """The summary at the end: what was done, where it is, and what failed or was not whole."""
    lines = []
    if summary.interrupted:
        of = f"{summary.done} of {count(summary.inputs, 'input')}"
        lines.append(f"mien: stopped by Ctrl-C with {of} done; finished results are complete and kept")
    done = f"{count(summary.done, 'input')}, {count(summary.frames, 'frame')}, {count(summary.faces, 'face')}"
    lines.append(f"mien: {done} in {duration(summary.seconds)}; rows in {output}")
    if summary.failures:
        lines.append(f"mien: {summary.failures:,} of {count(summary.inputs, 'input')} failed:")
        lines += [f"  {name}" for name, _ in summary.failed[:_NAMES]]
        if summary.failures > _NAMES:
            lines.append(f"  and {summary.failures - _NAMES:,} more (rows with success 0)")
    if summary.left_out:
        kinds = ", ".join(f"{ending} {number:,}" for ending, number in summary.left_out.most_common())
        lines.append(f"mien: left out, neither picture nor clip: {kinds}")
    # of a folder of shards: what is left to do
    if summary.missing_shards:
        left = f"mien: {count(summary.missing_shards, 'shard')} still missing; run again"
        lines.append(left + (" without --retry" if retry and not summary.interrupted else " to resume"))
    elif summary.all_failures:
        everything = count(summary.all_inputs, "input")
        lines.append(f"mien: {summary.all_failures:,} of all {everything} failed; --retry reads them again")
    return lines


def count(number: int, noun: str) -> str:
    """A number with its noun.

    >>> count(1, "face"), count(2000, "face")
    ('1 face', '2,000 faces')
    """
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def duration(seconds: float) -> str:
    """Seconds as people say them.

    >>> duration(0.42), duration(75), duration(7300)
    ('0.4 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
