"""What has been read of a clip, kept beside the results while they are made: a killed run goes on from there.

A journal is a file of JSON lines: what it is of, then frames as they were read (before smoothing) and, now
and then, where the follower stood. Going on replays the frames, which costs nothing beside reading them, so
that every output is made as if nothing had happened.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from mien import __version__
from mien.errors import OutputError
from mien.types import Face, Frame

if TYPE_CHECKING:
    from mien.batch.part import Job
    from mien.video.follow import FollowerState

_STEP: Final = 50  # frames between two places to go on from


class Journal:
    """The journal of one clip; use it in a `with` block.

    Args:
        path: its file; one of another clip, of other settings or of another version is begun anew.
        what: what it is of, `describe`.
        source: what frames call the clip.
    """

    def __init__(self, path: Path, what: dict[str, Any], source: str) -> None:
        self.path, self._what, self._source = path, what, source
        self._file: Any = None
        self._since = 0  # frames since the last place to go on from
        self.state: FollowerState | None = None  # where to go on, once `replay` is through
        self.replayed = 0  # frames

    def replay(self) -> Iterator[Frame]:
        """The frames up to the last place to go on from; what is behind it is cut off."""
        end = self._usable()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not end:
                self.path.write_text(json.dumps(self._what) + "\n", encoding="utf-8")
            with self.path.open("rb") as file:
                file.readline()
                while end and file.tell() < end:
                    line = json.loads(file.readline())
                    if "stand" in line:
                        self.state = _stand(line["stand"])
                    else:
                        self.replayed += 1
                        yield _frame(line, self._source)
            self._file = self.path.open("ab")
            if end:
                self._file.truncate(end)
        except OSError as error:
            raise self._failure(error) from error

    def add(self, frame: Frame) -> None:
        """Append a frame."""
        self._write({"i": frame.index, "t": frame.time, "f": [_packed(face) for face in frame.faces]})
        self._since += 1

    def mark(self, state: FollowerState) -> None:
        """Where the follower stood behind the frames so far; written only now and then."""
        if self._since >= _STEP:
            self._since = 0
            key = state.key and {"time": state.key.time, "faces": [_packed(face) for face in state.key.faces]}
            self._write({"stand": {"tracker": state.tracker.state(), "key": key}})
            self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def _usable(self) -> int:
        """Bytes up to and with the last whole place to go on from; 0: begin anew."""
        try:
            with self.path.open("rb") as file:
                place, end = 0, 0
                for number, line in enumerate(file):
                    place += len(line)
                    parsed = _parsed(line)
                    if parsed is None or (number == 0 and parsed != self._what):
                        return end
                    if "stand" in parsed:
                        end = place
                return end
        except OSError:
            return 0

    def _write(self, line: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(line).encode() + b"\n")
        except OSError as error:
            raise self._failure(error) from error

    def _flush(self) -> None:
        try:
            self._file.flush()
        except OSError as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> OutputError:
        return OutputError(
            f"{self.path}: expected to note there what has been read, got: {error.strerror or error}; "
            "make room, and start again: it goes on from there"
        )


def journal_path(folder: Path, source: str) -> Path:
    """The file of a source's journal in the folder of a run's journals."""
    return folder / (hashlib.sha256(source.encode(errors="surrogateescape")).hexdigest()[:24] + ".jsonl")


def describe(path: Path, job: Job, model: str) -> dict[str, Any]:
    """What a journal is of: the file as it is now, network, settings, version; another one begins anew."""
    state = path.stat()
    settings = {key: value for key, value in asdict(job).items() if key not in _FREE}
    return {
        "mien": __version__,
        "source": str(path.absolute()),
        "size": state.st_size,
        "changed": state.st_mtime_ns,
        "network": model,
        "settings": json.loads(json.dumps(settings, default=str)),
    }


#: Settings that change no frame: how many threads read, and what is made of the frames afterwards.
_FREE: Final = frozenset(
    {"threads", "journals", "smooth", "events", "model"}
)  # the network is told apart by hash


def _packed(face: Face) -> dict[str, Any]:
    return {
        "box": [float(value) for value in face.box],
        "points": face.landmarks.tolist(),
        "score": float(face.score),
        "track": face.track,
        "p": None if face.probabilities is None else face.probabilities.tolist(),
        "shown": None if face.shown is None else int(face.shown),
        "set": face.set,
        "uncertain": None if face.uncertain is None else bool(face.uncertain),
    }


def _face(packed: dict[str, Any]) -> Face:
    x, y, width, height = packed["box"]
    return Face(
        box=(x, y, width, height),
        landmarks=np.array(packed["points"], np.float32),
        score=packed["score"],
        track=packed["track"],
        probabilities=None if packed["p"] is None else np.array(packed["p"], np.float32),
        shown=packed["shown"],
        set=None if packed["set"] is None else tuple(packed["set"]),
        uncertain=packed["uncertain"],
    )


def _frame(line: dict[str, Any], source: str) -> Frame:
    return Frame(source, line["i"], line["t"], tuple(_face(face) for face in line["f"]))


def _stand(line: dict[str, Any]) -> FollowerState:
    from mien.video.follow import FollowerState, KeyFrame
    from mien.video.track import Tracker

    key = line["key"] and KeyFrame(line["key"]["time"], tuple(_face(face) for face in line["key"]["faces"]))
    return FollowerState(Tracker.restored(line["tracker"]), key)


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        parsed = json.loads(line)
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None
