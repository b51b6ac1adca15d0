"""A file that appears whole or not at all: written beside its name and renamed at the end."""

from __future__ import annotations

import os
from pathlib import Path

from mien.errors import OutputError


class WholeFile:
    """The path to write to (`partial`) until `finish` gives the file its name."""

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        """Refuse before any work is done.

        Raises:
            OutputError: the file exists, its folder does not, or nothing can be written there.
        """
        self.path = path
        self.partial = path.with_name(f".{path.name}.{os.getpid()}.part")
        if path.exists() and not overwrite:
            raise OutputError(f"{path}: exists already; give another name, or --overwrite to replace it")
        if path.is_dir():
            raise OutputError(f"{path}: expected a file to write, it is a folder; name a file in it")
        try:
            self.partial.touch()
        except OSError as error:
            raise OutputError(
                f"{path}: cannot be written ({error.strerror}); give a place in a folder that exists "
                "and that you may write to"
            ) from error

    def finish(self) -> None:
        """Give the file its name."""
        try:
            self.partial.replace(self.path)
        except OSError as error:
            raise self.failure(error) from error

    def discard(self) -> None:
        """Remove what was written."""
        self.partial.unlink(missing_ok=True)

    def failure(self, error: OSError) -> OutputError:
        """What to raise when writing broke off (a full disk): says where the part that was written is."""
        return OutputError(
            f"{self.path}: writing broke off ({error.strerror or error}); what was written so far is kept in "
            f"{self.partial}; make room or give another place, and start again"
        )
