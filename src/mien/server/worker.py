"""The processes in which clips are decoded: a damaged or endless one ends there, and not in the server.

`PROBE` followed by a path decodes the first frame and prints one line of JSON. `READ` reads a whole clip: it
takes its task as one line of JSON on its standard input, prints its progress as lines of JSON on its
standard output, and ends when its standard input does, that is with the server.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from mien.batch.options import AnalyzeOptions
from mien.batch.read import Result, Summary, Task, read_input
from mien.batch.run import Write, write_results
from mien.batch.sources import Source
from mien.errors import MienError, MissingExtra, VideoError
from mien.results.rows import COLUMNS, EVENT_COLUMNS, Row
from mien.results.tables import WRITERS, JsonFile, TableWriter, open_writer

READ: Final = (sys.executable, "-m", "mien.server.worker")
PROBE: Final = (*READ, "--probe")
_PROGRESS_SECONDS: Final = 0.2  # from one line to the next


def main() -> None:
    """Do what the command line or standard input asks."""
    if sys.argv[1:2] == ["--probe"]:
        print_line(probe(Path(sys.argv[2])))
        return
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(AttributeError, OSError):
        os.nice(5)  # photos go first
    with suppress(OSError):  # Linux: where memory ends, this process is ended and not the server
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
    _limit_file_size(request["max_bytes"])
    try:
        print_line(read_clip(request))
    except (MienError, OSError) as error:  # a table could not be written
        from mien.server.answers import problem_of

        problem = problem_of(error)
        detail = _without_paths(Path(request["folder"]), problem.detail)
        print_line({"end": True, "notes": [], "error": detail, "kind": problem.kind})


def probe(path: Path) -> dict[str, Any]:
    """What must be known of a clip before it is queued.

    Returns:
        `height`, `width` of the first frame; `seconds` that it lasts, None if it does not say; `start`,
        the time in seconds, by its own time stamps, at which it begins. Or `error`, why it cannot be read.
    """
    from mien.video.file import start_time
    from mien.video.frames import Video

    try:
        with Video(path) as video:
            first = next(video.lazy_frames(), None)
            height, width = first.pixels().shape[:2] if first else (0, 0)
            seconds = video.duration
    except VideoError as error:
        return {"error": str(error)}
    return {"height": height, "width": width, "seconds": seconds, "start": start_time(path)}


def read_clip(request: dict[str, Any]) -> dict[str, Any]:
    """Read a clip into the tables and pages of its folder.

    Args:
        request: `folder` with the clip in it, its `name`, the `model`, `options` as in `AnalyzeOptions`,
            whether to `annotate`, and what it may use: `max_frames`, `max_seconds` of the clip, `max_work` in
            seconds, `max_bytes` of a file.

    Returns:
        How it went: `notes`, `error` and its `kind`; an `error` of "" if there are results.
    """
    folder = Path(request["folder"])
    task = Task(
        Source(str(folder / "clip"), "clip", title=request["name"]),
        folder / "annotated.mp4" if request["annotate"] else None,
        folder / "page.html",
        folder / "journal" / "clip.jsonl",
    )
    options = AnalyzeOptions(**request["options"], model=request["model"], events=folder / "events.csv")
    analyzer = options.load()
    last = 0.0  # when progress was printed

    def tell_progress(summary: Summary, result: Result) -> None:
        nonlocal last
        if time.monotonic() - last > _PROGRESS_SECONDS or result.last:
            last = time.monotonic()
            share = 1.0 if result.last else result.share
            print_line({"progress": share, "frames": summary.frames, "faces": summary.faces})

    with ExitStack() as stack:
        notes: list[str] = []
        write_rows = _open_tables(folder, "rows", COLUMNS, (".json", ".csv", ".parquet"), stack, notes)
        write_events = _open_tables(folder, "events", EVENT_COLUMNS, (".json", ".csv"), stack, notes)
        results = _stop_at_limits(read_input(analyzer, task, options), request, notes)
        summary = write_results(results, 1, write_rows, write_events, tell_progress)
    error = summary.failed[-1][1] if summary.failed else ""
    full = _tells_of_full_disk(error)  # copy, page or journal broke off
    failed = full or not summary.frames
    if error and not failed:
        notes.append(error)
    return {
        "end": True,
        "notes": [_without_paths(folder, note) for note in notes],
        "error": _without_paths(folder, error) if failed else "",
        "kind": "disk-full" if full else "unreadable",
    }


def _stop_at_limits(results: Iterator[Result], request: dict[str, Any], notes: list[str]) -> Iterator[Result]:
    """The results, up to what a clip may use; adds their notes, and why the rest is left out."""
    start, frames = time.monotonic(), 0
    first: float | None = None  # seconds, of the first frame
    with closing(cast("Generator[Result]", results)):  # ending it early finishes copy and page
        for result in results:
            yield replace(result, rows=[]) if result.error else result  # no row for a clip that failed
            notes += result.notes
            frames += result.frames
            now = result.rows[0]["time"] if result.rows else None
            if isinstance(now, float) and first is None:
                first = now
            if isinstance(now, float) and first is not None and now - first > request["max_seconds"]:
                most, option = f"{request['max_seconds']:g} seconds", "--clip-seconds"
            elif frames >= request["max_frames"]:
                most, option = f"{request['max_frames']} frames", "--clip-frames"
            elif time.monotonic() - start > request["max_work"]:
                most, option = f"{request['max_work']:g} seconds of work", "--job-seconds"
            else:
                continue
            why = f"expected a clip of at most {most}, got more: the rest was left out"
            notes.append(f"{why}; cut it, or raise {option}")
            return


def _open_tables(
    folder: Path, key: str, columns: Sequence[str], endings: Sequence[str], stack: ExitStack, notes: list[str]
) -> Write:
    """What writes rows to the tables `key` with these endings; a note tells of one that cannot be written."""
    formats = WRITERS | {".json": partial(JsonFile, start=f'{{"{key}": [\n', end="]}\n")}
    tables: list[TableWriter] = []
    for ending in endings:
        path = folder / f"{key}{ending}"
        try:
            writer = open_writer(path, overwrite=True, columns=columns, formats=formats)
            tables.append(stack.enter_context(writer))
        except MissingExtra as error:
            notes.append(f"no {path.name}: {error}")

    def write(some: list[Row]) -> None:
        for table in tables:
            table.write(some)

    return write


def print_line(message: dict[str, Any]) -> None:
    """A line of JSON for the server."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _tells_of_full_disk(error: str) -> bool:
    if not error:
        return False
    from mien.server.answers import DISK_FULL  # it loads the web framework, which a clip does without

    return any(os.strerror(number) in error for number in DISK_FULL)


def _without_paths(folder: Path, text: str) -> str:
    """A text that does not tell where the server has its files."""
    return text.replace(f"{folder / 'clip'}", "the clip").replace(f"{folder}{os.sep}", "")


def _limit_file_size(most: int) -> None:
    """No file grows beyond `most` bytes; writing one fails as on a full disk."""
    try:
        import resource
        import signal
    except ImportError:  # Windows
        return
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]  # of the server's own surroundings, if there is one
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(143)


if __name__ == "__main__":
    main()
