"""How far a batch is, on standard error: a live line on a terminal, plain lines in a pipe, or nothing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, Protocol

from mien.batch.part import Part
from mien.batch.run import Summary
from mien.cli.console import printable, say

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

#: Seconds until the first plain line, and the most between two: they double from one to the other.
FIRST, SLOWEST = 5.0, 60.0
_NAMES: Final = 20  # failures named again at the end; all were told when they happened


class Progress(Protocol):
    """Told of every part of a batch."""

    def watch(self, summary: Summary, part: Part) -> None:
        """Another part was done."""

    def close(self) -> None:
        """The batch has ended."""


class Silent:
    """`--quiet`: errors alone."""

    def watch(self, summary: Summary, part: Part) -> None:  # noqa: ARG002
        """Say what failed."""
        if part.error:
            say(failure_line(part.name, part.error))

    def close(self) -> None:
        """Nothing to end."""


class Lines:
    """For pipes and logs: errors and notes when they happen, and now and then how far it is."""

    def __init__(self) -> None:
        self._wait = FIRST
        self._due = FIRST

    def watch(self, summary: Summary, part: Part) -> None:
        """Say what is new."""
        for line in news(part):
            say(line)
        if summary.seconds >= self._due:
            say(f"mien: {state_line(summary)}")
            self._wait = min(2 * self._wait, SLOWEST)
            self._due = summary.seconds + self._wait

    def close(self) -> None:
        """Nothing to end."""


class Live:
    """For terminals: one line that moves; errors and notes stay above it."""

    def __init__(self, inputs: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

        self._bar: RichProgress = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=24),
            TextColumn("{task.description}", markup=False),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("loading", total=inputs)
        self._bar.start()

    def watch(self, summary: Summary, part: Part) -> None:
        """Move the line."""
        for line in news(part):
            self._bar.console.print(printable(line), markup=False, highlight=False, soft_wrap=True)
        self._bar.update(self._task, completed=summary.done + summary.share, description=state_line(summary))

    def close(self) -> None:
        """Take the line away."""
        self._bar.stop()


def choose_progress(inputs: int, *, quiet: bool, rows_on_terminal: bool) -> Progress:
    """The progress that fits where standard error goes; rows on the terminal are progress enough."""
    if quiet:
        return Silent()
    return Live(inputs) if sys.stderr.isatty() and not rows_on_terminal else Lines()


def news(part: Part) -> list[str]:
    """What a part tells besides its rows."""
    lines = [f"mien: note: {part.name}: {note}" for note in part.notes]
    return [*lines, failure_line(part.name, part.error)] if part.error else lines


def failure_line(name: str, error: str) -> str:
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
    if (left := seconds_left(summary)) is not None:
        parts.append(f"{duration(left)} left")
    return ", ".join(parts)


def seconds_left(summary: Summary) -> float | None:
    """By the share that is done; None while nothing is."""
    share = (summary.done + summary.share) / max(1, summary.inputs)
    return summary.seconds * (1 - share) / share if share > 0 else None


def end_lines(summary: Summary, output: str) -> list[str]:
    """The summary at the end: what was done, where it is, and what failed or was not whole."""
    lines = []
    if summary.interrupted:
        of = f"{summary.done} of {count(summary.inputs, 'input')}"
        lines.append(f"mien: stopped by Ctrl-C with {of} done; what was done is whole and kept")
    done = f"{count(summary.done, 'input')}, {count(summary.frames, 'frame')}, {count(summary.faces, 'face')}"
    lines.append(f"mien: {done} in {duration(summary.seconds)}; rows in {output}")
    if summary.failures:
        lines.append(f"mien: {summary.failures:,} of {count(summary.inputs, 'input')} failed:")
        lines += [f"  {name}" for name, _ in summary.failed[:_NAMES]]
        if summary.failures > _NAMES:
            lines.append(f"  and {summary.failures - _NAMES:,} more (rows with success 0)")
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
