"""`mien analyze`: photos, folders, globs, clips and cameras to rows and annotated copies."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated

import typer

from mien.errors import OutputError

if TYPE_CHECKING:
    from mien.batch.run import Summary
    from mien.batch.work import Task, Worker
    from mien.output.writers import Writer


def analyze(  # noqa: PLR0913, PLR0917 - the options of a command are its arguments
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            help="Photos, clips, folders (searched to the bottom), quoted globs, the number of a camera, "
            "or - for paths on standard input, one a line.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="Table to write: .csv, .jsonl or .parquet. (default: CSV to standard output)",
        ),
    ] = None,
    annotate: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write copies with the faces drawn on, here.")
    ] = None,
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
    from mien.batch.work import Job, Worker

    if every > 1 and fps is not None:
        raise typer.BadParameter("expected --every or --fps, got both; leave one out")
    if fps is not None and not 0 < fps < float("inf"):
        raise typer.BadParameter(f"--fps: expected frames a second above 0, got {fps:g}")
    tasks = _plan(sources, annotate, overwrite=overwrite)
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
        policy=policy,
        runtime=runtime,
    )
    worker = Worker(job)
    worker.load()  # before the output is opened: without networks there is none
    summary = _run(tasks, worker, output, workers=workers, overwrite=overwrite, quiet=quiet)
    if summary.interrupted:
        raise typer.Exit(130)
    if summary.failed:
        raise typer.Exit(1)


def _plan(arguments: list[str], annotate: Path | None, *, overwrite: bool) -> list[Task]:
    """The inputs and where their copies go; refuses before any work is done."""
    from mien.batch.copies import check_copies, name_copies
    from mien.batch.sources import find_sources
    from mien.batch.work import Task

    sources = find_sources(arguments, stdin=sys.stdin.buffer, leave=annotate)
    if annotate is None:
        return [Task(source) for source in sources]
    copies = name_copies(sources, annotate)
    check_copies(copies, sources, overwrite=overwrite)
    return [Task(source, copy) for source, copy in zip(sources, copies, strict=True)]


def _run(
    tasks: list[Task],
    worker: Worker,
    output: Path | None,
    *,
    workers: int | None,
    overwrite: bool,
    quiet: bool,
) -> Summary:
    from mien.batch.run import analyze_files, count_workers
    from mien.cli.console import say
    from mien.cli.progress import choose_progress, end_lines

    writer = _open(output, overwrite=overwrite, live=any(task.source.kind == "camera" for task in tasks))
    on_terminal = output is None and sys.stdout.isatty()
    progress = choose_progress(len(tasks), quiet=quiet, rows_on_terminal=on_terminal)
    try:
        with _finishing(writer):
            summary = analyze_files(
                tasks, worker, writer.write, workers=workers or count_workers(tasks), watch=progress.watch
            )
    finally:
        progress.close()
    if not quiet:
        for line in end_lines(summary, "standard output" if output is None else str(output)):
            say(line)
    return summary


@contextmanager
def _finishing(writer: Writer) -> Iterator[None]:
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


def _open(output: Path | None, *, overwrite: bool, live: bool) -> Writer:
    """Where the rows go; on standard output UTF-8 with plain line ends, those of a camera seen at once."""
    from mien.output import open_writer, stream_writer

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
