"""Results: rows, the tables and formats they are written in, drawings, pages."""

from __future__ import annotations

from mien.results.rows import COLUMNS, EVENT_COLUMNS, event_row, failure_row, rows
from mien.results.summary import summarize
from mien.results.tables import WRITERS, open_writer, stdout_writer, write

__all__ = [
    "COLUMNS",
    "EVENT_COLUMNS",
    "WRITERS",
    "event_row",
    "failure_row",
    "open_writer",
    "rows",
    "stdout_writer",
    "summarize",
    "write",
]
