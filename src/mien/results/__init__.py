"""Results: rows and the formats they are written in, drawings, the page."""

from __future__ import annotations

from mien.results.rows import COLUMNS, failure_row, rows
from mien.results.tables import WRITERS, open_writer, stream_writer

__all__ = ["COLUMNS", "WRITERS", "failure_row", "open_writer", "rows", "stream_writer"]
