"""Results: rows, the tables and formats they are written in, drawings, pages."""

from __future__ import annotations

from mien.results.rows import COLUMNS, EVENT_COLUMNS, event_row, failure_row, rows
from mien.results.tables import WRITERS, open_writer, stream_writer, write

__all__ = [
    "COLUMNS",
    "EVENT_COLUMNS",
    "WRITERS",
    "event_row",
    "failure_row",
    "open_writer",
    "rows",
    "stream_writer",
    "write",
]
