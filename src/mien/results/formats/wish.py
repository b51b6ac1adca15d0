"""What is asked of a conversion, and where its remarks go."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Wish:
    """The options of one conversion, and the remarks that it makes on the way."""

    source: str | None = None  # the one source to convert; a name where the file that is read has none
    events: Path | None = None  # a table of events, for annotations of their own
    min_seconds: float = 0.0  # runs of an expression shorter than this are joined to what they interrupt
    notes: list[str] = field(default_factory=list)  # what was lost or left out, each said once

    def note(self, text: str) -> None:
        """Add a remark, unless it was made before."""
        if text not in self.notes:
            self.notes.append(text)
