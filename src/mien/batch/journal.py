"""The frames of a clip that have been read, kept beside the results while they are made, to resume from.

A journal is a file of JSON lines: the run and clip it belongs to, then frames as they were read (before
smoothing) and, now and then, the state of tracker and detector. Resuming replays the frames, which costs
little compared with reading them, so that every output is the same as from an uninterrupted run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Self

from mien.batch.options import first_difference
from mien.config import from_plain, to_plain
from mien.errors import ProgressError
from mien.types import Frame
from mien.video.follow import FollowerState

_STEP: Final = 50  # frames between two states to resume from


class Journal:
    """The journal of one clip; use it in a `with` block.

    Args:
        path: its file; the journal of another clip, other options or another version is started again.
        what: the run and clip it belongs to, from `describe_run`.
        dense: keep the dense landmarks, too; they are long, and only drawings need them.
    """

    def __init__(self, path: Path, what: dict[str, Any], *, dense: bool = False) -> None:
        self.path, self._what, self._dense = path, what | {"dense": dense}, dense
        self._file: Any = None
        self._since = 0  # frames since the last state
        self.state: FollowerState | None = None  # where to resume, once `replay` is exhausted

    def replay(self, source: str) -> Iterator[Frame]:
        """The frames up to the last state, with the source `source`; what follows that state is cut off."""
        end = self._find_end()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not end:
                self.path.write_text(json.dumps(self._what) + "\n", encoding="utf-8")
            with self.path.open("rb") as file:
                file.readline()
                while end and file.tell() < end:
                    line = json.loads(file.readline())
                    if "state" in line:
                        self.state = from_plain(FollowerState, line["state"])
                    else:
                        yield replace(from_plain(Frame, line), source=source)
            self._file = self.path.open("ab")
            if end:
                self._file.truncate(end)
        except OSError as error:
            raise self._failure(error) from error

    def add(self, frame: Frame) -> None:
        """Append a frame."""
        faces = frame.faces
        if not self._dense:
            faces = tuple(replace(face, landmarks_dense=None) for face in faces)
        self._write(to_plain(replace(frame, source="", faces=faces)))
        self._since += 1

    def mark(self, state: FollowerState) -> None:
        """The state after the frames so far; written only now and then."""
        if self._since >= _STEP:
            self._since = 0
            self._write({"state": to_plain(state)}, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        try:
            if self._file is not None:
                self._file.close()
        except OSError as failure:
            if kind is None:  # else something went wrong already
                raise self._failure(failure) from failure

    def _find_end(self) -> int:
        """Bytes up to and including the last complete state; 0: start again."""
        read = end = 0
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(file):
                    read += len(line)
                    try:
                        parsed = json.loads(line)
                    except ValueError:  # the run was killed as it wrote this line
                        break
                    if not isinstance(parsed, dict) or (number == 0 and first_difference(parsed, self._what)):
                        break
                    if "state" in parsed:
                        end = read
        except OSError:
            return 0
        return end

    def _write(self, line: dict[str, Any], *, flush: bool = False) -> None:
        try:
            self._file.write(json.dumps(line).encode() + b"\n")
            if flush:
                self._file.flush()
        except OSError as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> ProgressError:
        return ProgressError(
            f"{self.path}: could not write progress: {error.strerror or error}; "
            "make room, and start again: the run resumes from there"
        )
