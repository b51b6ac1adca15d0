"""`mien analyze`: photos, folders, globs, clips and cameras to rows and annotated copies."""

from __future__ import annotations

import sys
from contextlib import ExitStack, closing
from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer

from mien.batch.options import AnalyzeOptions
from mien.cli.progress import choose_progress, end_lines, say
from mien.errors import ConfigError


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
            metavar="DIR", help="Also write a page of each clip here: its faces over time, and their events."
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
    providers: Annotated[
        list[str] | None,
        typer.Option(
            "--provider", metavar="NAME", help="Execution provider of ONNX Runtime; may be repeated."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that are there.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
) -> None:
    """Read the expression on every face: one row a face, in CSV, JSON Lines or Parquet.

    Exits 0 when all inputs were read, 1 when one failed (its row has success 0), 2 on misuse and
    130 on Ctrl-C (what was done is kept).
    """
    given = locals() | {"providers": tuple(providers or ())}
    try:
        options = AnalyzeOptions(
            **{one.name: given[one.name] for one in fields(AnalyzeOptions) if one.name in given}
        )
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from error
    if show and options.sharded:
        raise typer.BadParameter("expected no --show with -o DIR/, which holds rows only; leave it out")
    from mien.batch.run import analyze as run

    on_terminal = show or (output is None and sys.stdout.isatty())
    with ExitStack() as stack:
        look = None
        if show:
            from mien.results.preview import choose_preview

            look = stack.enter_context(closing(choose_preview()))
        progress = stack.enter_context(closing(choose_progress(quiet=quiet, rows_on_terminal=on_terminal)))
        summary = run(sources, options=options, progress=progress.watch, show=look, stdin=sys.stdin.buffer)
    if not quiet:
        for line in end_lines(summary, "standard output" if output is None else output, retry=retry):
            say(line)
    if summary.interrupted:
        raise typer.Exit(130)
    if summary.failures or summary.all_failures:
        raise typer.Exit(1)
