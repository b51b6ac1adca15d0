"""`mien analyze`: inputs to tables, in order; failures are skipped, Ctrl-C waits until a row is complete."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, replace
from functools import partial
from itertools import islice
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from mien.batch.options import AnalyzeOptions, describe_network, describe_run
from mien.batch.read import Counts, Result, Show, Summary, Task, choose_journal, read_input
from mien.batch.sources import Source, find_sources
from mien.config import count_cores, describe_machine, format_time
from mien.errors import ConfigError, OutputError
from mien.results import EVENT_COLUMNS, open_writer, stdout_writer
from mien.results.rows import Row
from mien.results.sidecar import check_sidecar, describe_detector, write_sidecar
from mien.results.summary import FIGURES, Summarizer
from mien.results.tables import printable
from mien.video.events import EventOptions

if TYPE_CHECKING:
    from mien.results.tables import TableWriter

#: Called with the summary so far and each result, once its rows are written.
Progress = Callable[[Summary, Result], object]
#: Takes rows.
Write = Callable[[list[Row]], object]

#: Endings that a copy keeps; any other photo becomes `name.ending.png`, any other clip `name.ending.mp4`.
_COPY_ENDINGS: Final = {"photo": (".jpg", ".jpeg", ".png"), "clip": (".mp4",)}


def analyze(
    sources: str | Path | Sequence[str | Path],
    output: str | Path | None = None,
    *,
    options: AnalyzeOptions | None = None,
    progress: Progress = lambda _summary, _result: None,
    show: Show | None = None,
    stdin: BinaryIO | None = None,
    **fields: Any,
) -> Summary:
    """Read the expression on every face of many inputs and write one row per face.

        mien.analyze("photos/", "faces.csv", max_faces=1)
        mien.analyze(["a.mp4", "b.mp4"], "rows.parquet", events="events.csv", every=5, workers=2)

    Inputs that cannot be read have a row with `success` 0, and are named in the summary. Ctrl-C ends the run
    early: the summary says so, and what was done until then is kept.

    Args:
        sources: photos, clips, folders, globs, numbers of cameras, addresses of streams or object stores,
            `@FILE` for one path per line in a file.
        output: a table (.csv, .xlsx, .parquet ...), or a folder (`DIR/`) of Parquet shards from which a
            killed run resumes; None: CSV to standard output.
        options: what to do, as one record.
        progress: called with the summary so far and with each result, once its rows are written.
        show: sees every frame of clips, cameras and streams; then everything is read in this process.
        stdin: where the source `-` reads one path per line.
        fields: fields of `AnalyzeOptions`: annotate, events, summary, pages, workers, model, every, ...

    Returns:
        How it went: counts, and what failed.

    Raises:
        ConfigError: options that contradict each other.
        OutputError: a result is there already (without `overwrite`), or cannot be written.
        MienError: the networks cannot be loaded.
    """
    if output is not None:
        fields["output"] = output
    if fields or options is None:
        options = replace(options, **fields) if options else AnalyzeOptions(**fields)
    given: list[Any] = [sources]
    if isinstance(sources, Iterable) and not isinstance(sources, str | bytes | os.PathLike):
        given = list(sources)
    for one in given:
        if not isinstance(one, str | os.PathLike | int):
            kind = type(one).__name__
            raise ConfigError(
                f"sources: expected paths, got {kind}; `mien.load().images` reads pictures in hand"
            )
    named = [str(one) for one in given]
    if not options.sharded:
        return _analyze_into_tables(named, options, progress, show, stdin)
    if show is not None:
        raise ConfigError("show cannot be used with a folder of shards, which holds rows only; leave it out")
    from mien.batch.pool import Pool
    from mien.batch.shards import analyze_into_shards, make_shards

    left_out: Counter[str] = Counter()
    found = _find(named, options, left_out, stdin=stdin)
    workers = options.workers or count_cores()
    if options.engine == "ray":
        from mien.batch.on_ray import make_on_ray

        network = describe_network(options.load(), options.policy)
        make = partial(make_on_ray, options, workers)
        return replace(analyze_into_shards(found, options, network, make, progress), left_out=left_out)
    with closing(Pool(options, workers)) as pool:
        network, make = pool.start(1), partial(make_shards, pool, options)
        return replace(analyze_into_shards(found, options, network, make, progress), left_out=left_out)


def _find(
    named: Sequence[str], options: AnalyzeOptions, left_out: Counter[str], **more: Any
) -> Iterator[Source]:
    return find_sources(named, animated=options.animated, left_out=left_out, every=options.all_files, **more)


def _analyze_into_tables(
    named: Sequence[str],
    options: AnalyzeOptions,
    progress: Progress,
    show: Show | None,
    stdin: BinaryIO | None,
) -> Summary:
    journals = None if options.output is None else Path(f"{options.output}.journal")
    left_out: Counter[str] = Counter()
    with ExitStack() as stack:
        spool = Path(stack.enter_context(TemporaryDirectory(prefix="mien-"))) if "-" in named else None
        tasks = plan_tasks(named, options, journals, left_out, stdin=stdin, spool=spool)
        # before there is an output
        network, results = stack.enter_context(open_results(tasks, options, show))
        record = RunRecord(tasks)
        write_events: Write | None = None
        if options.events is not None:
            writer = _open_file(options.events, options, EVENT_COLUMNS)
            write_events = stack.enter_context(finish_whole(writer)).write
        if options.summary is not None:
            columns = ("source", "track", *FIGURES)
            summed = stack.enter_context(finish_whole(_open_file(options.summary, options, columns)))
            summarizer = Summarizer()
        # last: its header is on standard output at once, which a wrong name of another table must not leave
        table = stack.enter_context(finish_whole(_open_table(options, tasks)))
        write: Write = table.write
        if options.summary is not None:

            def write(rows: list[Row]) -> None:
                table.write(rows)
                summarizer.add(rows)

        def tell(summary: Summary, result: Result) -> None:
            record.add(result)
            progress(summary, result)

        summary = write_results(results, len(tasks), write, write_events, tell)
        summary.left_out = left_out
        if options.summary is not None:
            summed.write(summarizer.rows())
    if options.described:
        with hold_interrupts():
            record.write(options, network, summary)
    if journals is not None and not summary.interrupted:
        shutil.rmtree(journals, ignore_errors=True)  # the results are complete
    return summary


def plan_tasks(
    named: Sequence[str],
    options: AnalyzeOptions,
    journals: Path | None,
    left_out: Counter[str],
    **more: Any,
) -> list[Task]:
    """The inputs, and where their copies, pages and journals go; refuses before any work is done."""
    annotate, pages = (None if path is None else Path(path) for path in (options.annotate, options.pages))
    found: dict[Any, list[Source]] = {}  # the same input, given again, would double its rows
    for source in _find(named, options, left_out, leave=annotate, **more):
        found.setdefault((Path(source.name).absolute(), source.member), []).append(source)
    sources = [same[0] for same in found.values()]
    copies, made = name_copies(sources, annotate), name_copies(sources, pages, _page_name)
    killed = journals is not None and journals.is_dir()  # it stays, as copies do, of a run that was killed
    check_copies([*copies, *made], sources, overwrite=options.overwrite or killed)
    return [
        Task(same[0], copy, page, choose_journal(same[0], journals), len(same))
        for same, copy, page in zip(found.values(), copies, made, strict=True)
    ]


def _copy_name(source: Source) -> str:
    """Below the folder of copies; an ending that a copy may not have is followed by one that it may."""
    kind = "photo" if source.kind == "photo" else "clip"
    kept = PurePath(source.inside).suffix.lower() in _COPY_ENDINGS[kind]
    return source.inside if kept else source.inside + (".png" if kind == "photo" else ".mp4")


def _page_name(source: Source) -> str:
    """Below the folder of pages; photos have none."""
    return "" if source.kind == "photo" else f"{source.inside}.html"


def name_copies(
    sources: Sequence[Source], folder: Path | None, name: Callable[[Source], str] = _copy_name
) -> list[Path | None]:
    """The path of each readable source's copy in `folder`, laid out as below the folder that the user named.

    Two inputs of one name get `name.jpg` and `name-2.jpg`, in the order of the inputs. `name` gives the path
    below the folder, empty where there is to be no copy.
    """
    taken: set[str] = set()
    return [
        _free(folder / name(source), taken) if folder and source.readable and name(source) else None
        for source in sources
    ]


def check_copies(copies: Sequence[Path | None], sources: Sequence[Source], *, overwrite: bool) -> None:
    """Refuse, before any work is done, to write over an input or, without `overwrite`, over anything."""
    there = [copy for copy in copies if copy is not None and copy.exists()]
    if not there:
        return
    inputs = {_identity(Path(s.name)) for s in sources if s.kind in {"photo", "clip"}}
    for copy in there:
        if _identity(copy) in inputs:
            raise OutputError(f"{copy} is one of the inputs and would be overwritten; name another folder")
    if not overwrite:
        raise OutputError(
            f"{there[0]} exists already (and {len(there) - 1} more copies and pages); "
            "name another folder or give --overwrite"
        )


def _free(path: Path, taken: set[str]) -> Path:
    """`path`, or with the first number that makes it new; case does not tell names apart everywhere."""
    free, number = path, 1
    while str(free).casefold() in taken:
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    taken.add(str(free).casefold())
    return free


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino


@contextmanager
def open_results(
    tasks: Sequence[Task], options: AnalyzeOptions, show: Show | None = None
) -> Iterator[tuple[dict[str, Any], Iterator[Result]]]:
    """The network, and the results of all tasks in their order; they are the same for any number of workers.

    The networks are loaded here, before the first result is asked for. Inputs are read in other processes, so
    that a decoder that dies takes one input with it. Only a lone photo, camera or stream is read in this one:
    a second process costs 0.3 to 0.6 CPU seconds a run, half of what the photo takes, and a sixth of what a
    clip of 2.4 s takes.
    """
    readable = list(islice(_readable(tasks), 2))
    if not show and (len(readable) > 1 or any(task.source.kind == "clip" for task in readable)):
        from mien.batch.pool import Pool

        workers = options.workers or count_workers(tasks)
        with closing(Pool(options, workers)) as pool:
            network = pool.start(sum(1 for _ in islice(_readable(tasks), workers)))
            with closing(pool.run(tasks)) as results:
                yield network, results
        return
    analyzer = options.load()

    def read() -> Generator[Result]:
        for task in tasks:
            yield from read_input(analyzer, task, options, show)

    with closing(read()) as results:
        yield describe_network(analyzer, options.policy), results


def _readable(tasks: Sequence[Task]) -> Iterator[Task]:
    return (task for task in tasks if task.source.readable)


def count_workers(tasks: Sequence[Task]) -> int:
    """How many processes pay for their start: one for a few photos, up to one per core for many."""
    clips = sum(task.source.kind == "clip" for task in tasks)
    worth = clips + (len(tasks) - clips) // 60  # photos from which a second process pays for its start
    return 1 if worth < 2 else min(worth, count_cores())


def write_results(
    results: Iterator[Result],
    inputs: int,
    write: Write,
    write_events: Write | None = None,
    progress: Progress = lambda _summary, _result: None,
) -> Summary:
    """Hand the rows of all results of so many inputs on; Ctrl-C ends it early, between two results.

    `write` takes the rows of one frame, or of one input that failed, `write_events` those of events;
    `progress` is called with every result once its rows are written.
    """
    summary, start = Summary(inputs), time.monotonic()
    try:
        for result in results:
            with hold_interrupts():
                write(result.rows)
                if result.events and write_events:
                    write_events(result.events)
                summary.add(result)
                summary.seconds = time.monotonic() - start
                progress(summary, result)
    except KeyboardInterrupt:
        summary.interrupted = True
    summary.seconds = time.monotonic() - start
    return summary


@contextmanager
def hold_interrupts() -> Iterator[None]:
    """Ctrl-C waits until the block ends, so that it is never cut short."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread only
        return
    held: list[tuple[Any, ...]] = []
    before = signal.signal(signal.SIGINT, lambda *call: held.append(call))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held and callable(before):
        before(*held[0])


@contextmanager
def finish_whole(writer: TableWriter) -> Iterator[TableWriter]:
    """Close the writer at the end, so that a second Ctrl-C cannot damage the table meanwhile."""

    def finish(*error: Any) -> None:
        with hold_interrupts():
            writer.__exit__(*error)

    with ExitStack() as stack:
        stack.push(finish)
        yield writer


def _open_table(options: AnalyzeOptions, tasks: Sequence[Task]) -> TableWriter:
    """Where the rows go."""
    if options.output is not None:
        return _open_file(options.output, options, options.columns)
    live = any(task.source.live for task in tasks)
    return stdout_writer(options.columns, excel=options.excel, by_line=live)


def _open_file(path: str | Path, options: AnalyzeOptions, columns: Sequence[str]) -> TableWriter:
    check_sidecar(Path(path), overwrite=options.overwrite)
    return open_writer(Path(path), overwrite=options.overwrite, columns=columns, excel=options.excel)


class RunRecord:
    """Counts the results of a run, input by input, as they come in the order of its tasks."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = tasks
        self._inputs: list[str] = []  # as JSON
        self._total = Counts()
        # of the input that is read
        self._counts = Counts()
        self._times: tuple[float, float] | None = None

    def add(self, result: Result) -> None:
        """Count a result in."""
        self._counts.add(result)
        for row in result.rows[:1]:  # a frame's rows have one time
            if isinstance(at := row["time"], float):
                first, last = self._times or (at, at)
                self._times = min(first, at), max(last, at)
        if result.last:
            self._end_input(result)

    def _end_input(self, result: Result) -> None:
        source = self._tasks[len(self._inputs)].source
        about: dict[str, Any] = {"name": printable(source.shown), "kind": source.kind, **result.file}
        about |= asdict(self._counts)
        if self._times is not None:
            about["first"], about["last"] = self._times
        if result.error:
            about["error"] = printable(result.error)
        self._inputs.append(json.dumps(about, ensure_ascii=False))
        self._total.combine(self._counts)
        self._counts, self._times = Counts(), None

    def write(self, options: AnalyzeOptions, network: dict[str, Any], summary: Summary) -> None:
        """Write the sidecar of each table of the run; the tables are complete.

        `network` is `describe_network` of what read the inputs.

        Raises:
            OutputError: one cannot be written.
        """
        what = describe_run(options, network["network"])
        what["settings"]["smooth"] = options.smooth if options.smooth is not None else self._usual_smoothing()
        if self._counts.frames:  # of an input that Ctrl-C cut short
            self._end_input(Result(""))
        record = {
            **what,
            "detector": {} if options.crops else describe_detector(),
            "model": network["model"],
            "counts": {"inputs": len(self._inputs), "failed": summary.failures, **asdict(self._total)},
            "interrupted": summary.interrupted,
            "left_out": dict(summary.left_out),
            "made": {
                "finished": format_time(time.time()),
                "seconds": round(summary.seconds, 3),
                **describe_machine(("numpy", "onnxruntime", "pillow", "av")),
            },
        }
        tables = {"frames": options.output, "events": options.events, "summary": options.summary}
        for holds, path in tables.items():
            if path is None:
                continue
            found = EventOptions(units=options.units and holds == "events")
            more = {} if holds == "frames" else {"events": asdict(found)}
            write_sidecar(Path(path), holds, record | more, self._inputs)

    def _usual_smoothing(self) -> float | None:
        """Seconds over which clips are smoothed, or if all inputs are live, these; None: both were read."""
        from mien.video.smooth import CAUSAL, TWO_SIDED

        live = {task.source.live for task in self._tasks if task.source.kind != "photo"}
        return None if len(live) == 2 else CAUSAL if True in live else TWO_SIDED
