"""`mien analyze`: photos, folders, globs, clips and cameras to rows and annotated copies."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated

import typer

from mien.errors import OutputError

if TYPE_CHECKING:
    from mien.batch.part import Task
    from mien.batch.run import Summary
    from mien.batch.work import Worker
    from mien.results.preview import Preview
    from mien.results.rows import Row
    from mien.results.tables import TableWriter


def analyze(  # noqa: PLR0913, PLR0917 - the options of a command are its arguments
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            help="Photos, clips, folders (searched to the bottom), quoted globs, the number of a camera, the "
            "address of a stream (rtsp://, http://...), - or @FILE for paths on standard input or in a file, "
            "one a line, Parquet of paths or bytes, tar shards, an object store (s3://bucket/prefix/).",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="Table to write: .csv, .jsonl or .parquet; DIR/: a folder of Parquet shards, from which a "
            "run that was killed goes on. (default: CSV to standard output)",
        ),
    ] = None,
    annotate: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write copies with the faces drawn on, here.")
    ] = None,
    events: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT",
            help="Also write the expressions that come and go in clips, with onset, apex and offset, here.",
        ),
    ] = None,
    pages: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Also write a page and a picture of each clip, its faces over time, here."
        ),
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="Show clips, cameras and streams as they are read.")
    ] = False,
    crops: Annotated[
        bool, typer.Option("--crops", help="Each picture already is a face, 48 x 48 or more: detect nothing.")
    ] = False,
    every: Annotated[int, typer.Option(min=1, metavar="N", help="Of clips, take each Nth frame.")] = 1,
    fps: Annotated[
        float | None, typer.Option(metavar="F", help="Of clips, take F frames a second instead.")
    ] = None,
    start: Annotated[
        float | None, typer.Option(metavar="S", help="Of clips, leave out what is before S seconds.")
    ] = None,
    end: Annotated[
        float | None, typer.Option(metavar="S", help="Of clips, leave out what is from S seconds on.")
    ] = None,
    detect_every: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Of clips, look for faces in each Nth frame; between, they are tracked."
        ),
    ] = 1,
    smooth: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="S", help=r"Smooth clips over S seconds; 0: not at all \[default: 0.2, live 0.1]."
        ),
    ] = None,
    min_face: Annotated[
        int | None, typer.Option(min=1, metavar="PX", help="Leave out faces smaller than PX pixels.")
    ] = None,
    max_faces: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Only the N largest faces of each picture.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Processes (default: by the number of files and cores)."),
    ] = None,
    shard: Annotated[
        int | None, typer.Option(min=1, metavar="N", help=r"Of -o DIR/: inputs a shard \[default: 1000].")
    ] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Of -o DIR/: read again the inputs of whole shards that failed.")
    ] = False,
    max_lost: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Of -o DIR/: stop when N inputs in a row cannot be fetched (a disk or network that is "
            r"away); 0: never \[default: 100].",
        ),
    ] = None,
    engine: Annotated[
        str, typer.Option(metavar="NAME", help="local: this machine's processes; ray: with -o DIR/, on Ray.")
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Of --engine ray: a cluster to use (default: start one here)."),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="ONNX file by `mien export`, or name of a shipped network."),
    ] = None,
    policy: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="accurate: show the likeliest emotion; balanced: find more of the rare ones.",
        ),
    ] = "accurate",
    runtime: Annotated[
        str,
        typer.Option(metavar="NAME", help="What runs the network: onnxruntime, or openvino if installed."),
    ] = "onnxruntime",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that are there.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
) -> None:
    """Read the expression on every face: one row a face, in CSV, JSON Lines or Parquet.

    Exits 0 when all inputs were read, 1 when one failed (its row has success 0), 2 on misuse and
    130 on Ctrl-C (what was done is kept).
    """
    from mien.batch.part import Job
    from mien.batch.work import Worker
    from mien.cli.shards import Run, Shards, analyze_shards

    if every > 1 and fps is not None:
        raise typer.BadParameter("expected --every or --fps, got both; leave one out")
    if fps is not None and not 0 < fps < float("inf"):
        raise typer.BadParameter(f"--fps: expected frames a second above 0, got {fps:g}")
    if start is not None and end is not None and start >= end:
        raise typer.BadParameter(f"expected a --start before the --end, got {start:g} and {end:g} s")
    job = Job(
        model=model,
        crops=crops,
        min_face=min_face,
        max_faces=max_faces,
        every=every,
        fps=fps,
        start=start,
        end=end,
        detect_every=detect_every,
        smooth=smooth,
        events=events is not None,
        policy=policy,
        runtime=runtime,
    )
    shards = Shards(shard, max_lost, engine, address, retry=retry)
    place = None if output is None else Path(output)
    if output is not None and (output.endswith(("/", os.sep)) or Path(output).is_dir()):
        _only_rows(annotate=annotate, events=events, pages=pages, show=show)
        run = Run(Path(output), workers=workers, overwrite=overwrite, quiet=quiet)
        raise typer.Exit(analyze_shards(sources, job, shards, run))
    if shards != Shards():
        text = "expected -o DIR/ with --shard, --retry, --max-lost, --engine ray or --address"
        raise typer.BadParameter(f"{text}, got {output or 'standard output'}")
    tasks = _plan(sources, annotate, pages, overwrite=overwrite)
    job = replace(job, journals=_journals(place, tasks))
    with ExitStack() as stack:
        worker = Worker(job, _preview(stack) if show else None)
        worker.load()  # before the output is opened: without networks there is none
        tables = _Tables(place, events, overwrite)
        summary = _run(tasks, worker, tables, workers=1 if show else workers, quiet=quiet, plain=show)
    if summary.interrupted:
        raise typer.Exit(130)
    if job.journals is not None:
        shutil.rmtree(job.journals, ignore_errors=True)  # the results are whole
    if summary.failures:
        raise typer.Exit(1)


def _only_rows(**others: object) -> None:
    """Refuse what a folder of shards does not have."""
    for name, given in others.items():
        if given:
            raise typer.BadParameter(f"expected no --{name} with -o DIR/, which has rows alone; leave it out")


@dataclass(frozen=True, slots=True)
class _Tables:
    """Where the tables go."""

    output: Path | None  # None: standard output
    events: Path | None
    overwrite: bool


def _plan(arguments: list[str], annotate: Path | None, pages: Path | None, *, overwrite: bool) -> list[Task]:
    """The inputs and where their copies and pages go; refuses before any work is done."""
    from mien.batch.copies import check_copies, name_copies, name_pages
    from mien.batch.part import Task
    from mien.batch.sources import find_sources

    sources = find_sources(arguments, stdin=sys.stdin.buffer, leave=annotate)
    nothing: list[Path | None] = [None] * len(sources)
    copies = nothing if annotate is None else name_copies(sources, annotate)
    sheets = nothing if pages is None else name_pages(sources, pages)
    for made in (copies, sheets):
        check_copies(made, sources, overwrite=overwrite)
    return [Task(*all_of) for all_of in zip(sources, copies, sheets, strict=True)]


def _journals(output: Path | None, tasks: list[Task]) -> Path | None:
    """Where it is kept what has been read of clips, to go on after a kill: beside a table in a file."""
    if output is None or not any(task.source.kind == "clip" for task in tasks):
        return None
    return output.with_name(f"{output.name}.journal")


def _preview(stack: ExitStack) -> Preview:
    from mien.results.preview import choose_preview

    return stack.enter_context(closing(choose_preview()))


def _run(
    tasks: list[Task], worker: Worker, tables: _Tables, *, workers: int | None, quiet: bool, plain: bool
) -> Summary:
    from mien.batch.run import analyze_files, count_workers
    from mien.cli.console import say
    from mien.cli.progress import choose_progress, end_lines

    live = any(task.source.live for task in tasks)
    writer = _open(tables.output, overwrite=tables.overwrite, live=live)
    on_terminal = tables.output is None and sys.stdout.isatty()
    progress = choose_progress(len(tasks), quiet=quiet, rows_on_terminal=on_terminal or plain)
    try:
        with ExitStack() as stack:
            stack.enter_context(_finishing(writer))
            summary = analyze_files(
                tasks,
                worker,
                writer.write,
                write_events=_open_events(tables, stack),
                workers=workers or count_workers(tasks),
                watch=progress.watch,
            )
    finally:
        progress.close()
    if not quiet:
        for line in end_lines(summary, "standard output" if tables.output is None else str(tables.output)):
            say(line)
    return summary


def _open_events(tables: _Tables, stack: ExitStack) -> Callable[[list[Row]], object]:
    if tables.events is None:
        return lambda _rows: None
    from mien.results import EVENT_COLUMNS, open_writer

    writer = open_writer(tables.events, overwrite=tables.overwrite, columns=EVENT_COLUMNS)
    stack.enter_context(_finishing(writer))
    return writer.write


@contextmanager
def _finishing(writer: TableWriter) -> Iterator[None]:
    """Leave the writer so that a second Ctrl-C cannot tear the table while it is being finished."""
    from mien.batch.run import hold_interrupts

    def finish(
        kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with hold_interrupts():
            writer.__exit__(kind, error, trace)

    with ExitStack() as stack:
        stack.push(finish)
        yield


def _open(output: Path | None, *, overwrite: bool, live: bool) -> TableWriter:
    """Where the rows go; on standard output UTF-8 with plain line ends, those of a camera seen at once."""
    from mien.results import open_writer, stream_writer

    if output is not None:
        return open_writer(output, overwrite=overwrite)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", newline="", line_buffering=live)
    try:
        return stream_writer(sys.stdout)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(
            f"expected standard output to take rows, got: {error.strerror}; name a file with -o"
        ) from error
