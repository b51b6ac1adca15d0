"""The process that reads one clip: what is damaged or endless ends here and not in the server.

It is told what to do by one line of JSON on its standard input, says how far it is by lines of JSON on its
standard output, and ends with whoever started it: that is when its standard input does.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any, Final, cast

from mien.batch.options import AnalyzeOptions
from mien.batch.read import Result, Task, read_input
from mien.batch.sources import Source
from mien.errors import MienError, MissingExtra
from mien.results.rows import EVENT_COLUMNS, Row
from mien.results.tables import TableWriter, open_writer, write_jsonl

_SAY: Final = 0.2  # seconds from one line to the next
_OVER: Final = "expected a clip of at most {most}, got more: the rest was left out; cut it, or raise {option}"


class JsonFile:
    """`{"rows": [...]}`, or another key: one object a line."""

    def __init__(self, path: Path, key: str, columns: Sequence[str]) -> None:
        self._columns, self._first = columns, True
        self._stream = path.open("w", encoding="utf-8", newline="")
        self._stream.write(f'{{"{key}": [\n')

    def write(self, rows: Sequence[Row]) -> None:
        """Append rows."""
        for row in rows:
            self._stream.write("" if self._first else ",")
            self._first = False
            write_jsonl(self._stream, [row], columns=self._columns)

    def close(self) -> None:
        """Finish and close the file."""
        self._stream.write("]}\n")
        self._stream.close()


def main() -> None:
    """Read the clip that standard input names."""
    asked = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(AttributeError, OSError):
        os.nice(5)  # photos go first
    with suppress(OSError):  # Linux: where memory ends, this process is ended and not the server
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
    _bound_files(asked["room"])
    try:
        say(read(asked))
    except (MienError, OSError) as error:  # a table could not be written
        from mien.server.problem import problem_of

        problem = problem_of(error)
        detail = _without(Path(asked["folder"]), problem.detail)
        say({"end": True, "notes": [], "error": detail, "kind": problem.kind})


def read(asked: dict[str, Any]) -> dict[str, Any]:
    """Read a clip into the tables and pages of its folder, and say how it went.

    Args:
        asked: `folder` with the clip in it, its `name`, `options` as in `AnalyzeOptions`, whether to
            `annotate`, and what it may take: `frames`, `seconds` of it, seconds of `work`, bytes of `room`.
    """
    folder = Path(asked["folder"])
    task = Task(
        Source(str(folder / "clip"), "clip", title=asked["name"]),
        folder / "annotated.mp4" if asked["annotate"] else None,
        folder / "page.html",
        folder / "journal" / "clip.jsonl",
    )
    options = AnalyzeOptions(**asked["options"] | {"model": asked["model"]}, events=folder / "events.csv")
    analyzer = options.load()
    notes, error, frames = [], "", 0
    with ExitStack() as stack:
        tables, events, told = _tables(folder, stack)
        notes += told
        for part in _bounded(read_input(analyzer, task, options), asked, notes):
            if part.frames or not part.error:
                _write(tables, part.rows)
            _write(events, part.events)
            frames += part.frames
            error = part.error or error
            notes += part.notes
    full = _tells_of_full_disk(error)  # copy, page or journal broke off
    failed = full or not frames
    plain = [_without(folder, text) for text in [*notes, *([] if failed or not error else [error])]]
    kind = "disk-full" if full else "unreadable"
    return {"end": True, "notes": plain, "error": _without(folder, error) if failed else "", "kind": kind}


def _bounded(parts: Iterator[Result], asked: dict[str, Any], notes: list[str]) -> Iterator[Result]:
    """The parts, up to what a clip may take; says how far they are."""
    bounds = _Bounds(asked)
    said = time.monotonic()
    frames = faces = 0
    with closing(cast("Generator[Result]", parts)):  # ending it early finishes copy and page
        for part in parts:
            yield part
            frames, faces = frames + part.frames, faces + part.faces
            if time.monotonic() - said > _SAY:
                said = time.monotonic()
                say({"progress": part.share, "frames": frames, "faces": faces})
            if over := bounds.over(part, frames):
                notes.append(over)
                break
    say({"progress": 1.0, "frames": frames, "faces": faces})


class _Bounds:
    """What a clip may take."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self._asked, self._start = asked, time.monotonic()
        self._first: float | None = None  # seconds, of the first frame

    def over(self, part: Result, frames: int) -> str:
        """Why no more is read; "" if more is."""
        now = part.rows[0]["time"] if part.rows else None
        if isinstance(now, float):
            self._first = now if self._first is None else self._first
            if now - self._first > self._asked["seconds"]:
                return _OVER.format(most=f"{self._asked['seconds']:g} seconds", option="--clip-seconds")
        if frames >= self._asked["frames"]:
            return _OVER.format(most=f"{self._asked['frames']} frames", option="--clip-frames")
        if time.monotonic() - self._start > self._asked["work"]:
            return _OVER.format(most=f"{self._asked['work']:g} seconds of work", option="--job-seconds")
        return ""


def _tables(folder: Path, stack: ExitStack) -> tuple[list[TableWriter], list[TableWriter], list[str]]:
    """Writers of the rows and of the events; what cannot be written is said."""
    json_rows = {".json": lambda path, columns: JsonFile(path, "rows", columns)}
    json_events = {".json": lambda path, columns: JsonFile(path, "events", columns)}
    notes: list[str] = []
    rows = [open_writer(folder / "rows.json", overwrite=True, formats=json_rows)]
    for name in ("rows.csv", "rows.parquet"):
        try:
            rows.append(open_writer(folder / name, overwrite=True))
        except MissingExtra as error:
            notes.append(f"no {name}: {error}")
    events = [
        open_writer(folder / "events.json", overwrite=True, columns=EVENT_COLUMNS, formats=json_events),
        open_writer(folder / "events.csv", overwrite=True, columns=EVENT_COLUMNS),
    ]
    for writer in rows + events:
        stack.enter_context(writer)
    return rows, events, notes


def _write(writers: list[TableWriter], rows: list[Row]) -> None:
    for writer in writers:
        if rows:
            writer.write(rows)


def say(line: dict[str, Any]) -> None:
    """A line for whoever started this."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _tells_of_full_disk(error: str) -> bool:
    if not error:
        return False
    from mien.server.problem import FULL  # it loads the web framework, which a clip does without

    return any(os.strerror(number) in error for number in FULL)


def _without(folder: Path, text: str) -> str:
    """A text that does not tell where the server has its files."""
    return text.replace(f"{folder / 'clip'}", "the clip").replace(f"{folder}{os.sep}", "")


def _bound_files(room: int) -> None:
    """No file grows beyond what the server has room for; writing one fails as on a full disk."""
    try:
        import resource
        import signal
    except ImportError:  # Windows
        return
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(143)


if __name__ == "__main__":
    main()
