"""What the command line says, on standard error: rows and tables have standard output to themselves."""

from __future__ import annotations

import sys


def say(line: str) -> None:
    """A line on standard error, whatever bytes a file name in it holds."""
    print(printable(line), file=sys.stderr, flush=True)  # noqa: T201


def printable(text: str) -> str:
    """The text with the bytes of a file name that are no text written out."""
    return text.encode(errors="backslashreplace").decode()
