"""`mien analyze`: photos, folders, globs, clips and cameras to rows and annotated copies."""

from __future__ import annotations

import re
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated, Final

import typer

from mien.batch.options import AnalyzeOptions
from mien.cli.options import Model, Providers, argument, flag, make_record, option
from mien.cli.progress import choose_progress, end_lines, say
from mien.config import DETECT_EVERY
from mien.errors import ConfigError

_UNITS: Final = (1, 60, 3600)  # seconds of s, m:s, h:m:s from the right


def parse_time(text: str) -> float:
    """Seconds of "90", ".5", "1:30" or "0:01:30.5".

    >>> parse_time("1:30"), parse_time(".5")
    (90.0, 0.5)
    """
    if not re.fullmatch(r"-?((\d+:)?\d+:)?(\d+\.?\d*|\.\d+)", text):
        raise typer.BadParameter(f"expected seconds, M:SS or H:MM:SS, got {text!r}")
    parts = map(float, reversed(text.lstrip("-").split(":")))
    seconds = sum(part * unit for part, unit in zip(parts, _UNITS, strict=False))
    return -seconds if text.startswith("-") else seconds


def analyze(  # noqa: PLR0913, PLR0917 - the options of a command are its arguments
    sources: Annotated[
        list[str],
        argument(
            "SOURCE",
            "Photos, clips, folders (with subfolders) or quoted globs. Also: the number of a camera; the "
            "address of a picture, clip or stream (http://, rtsp://...); a list of paths, one per line, on "
            "standard input (-) or in a file (@FILE); a photo or clip on standard input; a Parquet file of "
            "paths or pictures; tar shards; an object store (s3://bucket/prefix/).",
        ),
    ],
    output: Annotated[
        str | None,
        option(
            "--output -o OUT",
            "Table to write: .csv, .tsv, .json, .jsonl, .xlsx or .parquet; or DIR/ for a folder of Parquet "
            r"shards. Run the same command again to resume a killed run \[default: CSV to standard output].",
        ),
    ] = None,
    annotate: Annotated[
        Path | None,
        option("DIR", "Also write copies of the pictures and clips to DIR, with the faces drawn in."),
    ] = None,
    events: Annotated[
        Path | None,
        option(
            "OUT", "For clips: also write a table of expression events to OUT, with onset, apex and offset."
        ),
    ] = None,
    summary: Annotated[
        Path | None,
        option("OUT", "Also write a table with one row per clip and track to OUT, as `mien summary` does."),
    ] = None,
    pages: Annotated[
        Path | None,
        option(
            "DIR", "For clips: also write one HTML page per clip to DIR: its faces over time, their events."
        ),
    ] = None,
    landmarks: Annotated[
        bool,
        flag(
            "--landmarks",
            "Also write the five landmarks of each face, as ten columns; with --annotate, draw all 146.",
        ),
    ] = False,
    units: Annotated[
        bool,
        flag(
            "--units",
            "Also write how much each part of the face moves: 45 blendshapes by ARKit's names, and 18 "
            "action units of FACS estimated from them, each from 0 to 1.",
        ),
    ] = False,
    gaze: Annotated[
        bool, flag("--gaze", "Also write the direction of the eyes in the head, in degrees.")
    ] = False,
    excel: Annotated[
        bool,
        flag(
            "--excel",
            "For .csv and .tsv: mark the file as UTF-8 for Excel, and keep it from running text as formulas.",
        ),
    ] = False,
    show: Annotated[
        bool, flag("--show", "Show clips, cameras and streams on the screen while they are read.")
    ] = False,
    crops: Annotated[
        bool,
        flag(
            "--crops", "Each picture is already cropped to one face, 48 x 48 pixels or more: detect nothing."
        ),
    ] = False,
    every: Annotated[int, option("N", "For clips: read every N-th frame.", min=1)] = 1,
    fps: Annotated[
        float | None, option("F", "For clips: read F frames per second, instead of --every.")
    ] = None,
    start: Annotated[
        float | None,
        option("T", "For clips: leave out frames before T: seconds, or 1:30.", parser=parse_time),
    ] = None,
    end: Annotated[
        float | None, option("T", "For clips: leave out frames at T and later.", parser=parse_time)
    ] = None,
    detect_every: Annotated[
        int,
        option(
            "N",
            "For clips: look for new faces in every N-th frame that is read; follow them in between.",
            min=1,
        ),
    ] = DETECT_EVERY,
    smooth: Annotated[
        float | None,
        option(
            "S",
            r"For clips: smooth the probabilities over S seconds; 0: no smoothing \[default: 0.2; 0.1 for "
            "cameras and streams].",
            min=0,
        ),
    ] = None,
    min_face: Annotated[int | None, option("PX", "Leave out faces smaller than PX pixels.", min=1)] = None,
    min_score: Annotated[
        float | None,
        option("P", r"Leave out faces whose score is less than P \[default: 0.95].", min=0, max=1),
    ] = None,
    max_faces: Annotated[
        int | None,
        option("N", "Read only the N largest faces in each picture; doubtful ones come last.", min=1),
    ] = None,
    animated: Annotated[
        bool, flag("--animated", "Read animated GIF, WebP and PNG as clips, not their first frame.")
    ] = False,
    all_files: Annotated[
        bool,
        flag("--all", "Also write rows (success 0) for files in folders that are neither picture nor clip."),
    ] = False,
    max_pixels: Annotated[
        int | None, option("N", r"Refuse photos of more than N pixels \[default: 150000000].", min=1)
    ] = None,
    region: Annotated[
        str | None,
        option(
            "X,Y,W,H",
            "Read only faces whose middle lies in this part of the picture: left, top, width and height in "
            "pixels.",
        ),
    ] = None,
    tracks: Annotated[
        str | None,
        option(
            "N,N", "For clips: write only the faces with these numbers in the column `track`, such as 1,3."
        ),
    ] = None,
    workers: Annotated[
        int | None,
        option("N", r"Number of processes \[default: chosen by the number of files and cores].", min=1),
    ] = None,
    shard: Annotated[
        int | None, option("N", r"With -o DIR/: inputs per shard \[default: 1000].", min=1)
    ] = None,
    retry: Annotated[
        bool, flag("--retry", "With -o DIR/: read the failed inputs of finished shards again.")
    ] = False,
    max_lost: Annotated[
        int | None,
        option(
            "N",
            "With -o DIR/: stop when N inputs in a row cannot be fetched (a disk or network is "
            r"unavailable); 0: never stop \[default: 100].",
            min=0,
        ),
    ] = None,
    engine: Annotated[
        str, option("NAME", "local: processes on this machine; ray: a Ray cluster, with -o DIR/.")
    ] = "local",
    address: Annotated[
        str | None,
        option("ADDRESS", r"With --engine ray: the cluster to use \[default: start one on this machine]."),
    ] = None,
    model: Model = None,
    policy: Annotated[
        str,
        option(
            "NAME",
            "How the emotion is chosen: accurate (nearly always the most likely one) or balanced (finds "
            "more of the rare ones).",
        ),
    ] = "accurate",
    providers: Providers = None,
    overwrite: Annotated[bool, flag("--overwrite", "Replace results that exist already.")] = False,
    quiet: Annotated[bool, flag("--quiet -q", "Print errors only.")] = False,
) -> None:
    """Read the expression on every face; write one row per face, as CSV, JSON Lines or Parquet.

    Exit status: 0 when all inputs were read, 1 when one failed (success is 0 in its row),
    2 after a wrong option, 130 after Ctrl-C (finished results are kept).
    """
    given = locals() | {
        "providers": tuple(providers or ()),
        "region": None if region is None else _numbers("--region", region, float),
        "tracks": () if tracks is None else _numbers("--tracks", tracks, int),
    }
    try:
        options = make_record(AnalyzeOptions, given)
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from error
    if show and options.sharded:
        raise typer.BadParameter("expected no --show with -o DIR/, which stores rows only; leave it out")
    from mien.batch.run import analyze as run

    on_terminal = show or (output is None and sys.stdout.isatty())
    with ExitStack() as stack:
        look = None
        if show:
            from mien.results.preview import choose_preview

            look = stack.enter_context(closing(choose_preview()))
        progress = stack.enter_context(closing(choose_progress(quiet=quiet, rows_on_terminal=on_terminal)))
        ended = run(sources, options=options, progress=progress.watch, show=look, stdin=sys.stdin.buffer)
    if not quiet:
        for line in end_lines(ended, "standard output" if output is None else output, retry=retry):
            say(line)
    if ended.interrupted:
        raise typer.Exit(130)
    if ended.failures or ended.all_failures:
        raise typer.Exit(1)


def _numbers(name: str, text: str, kind: type[int] | type[float]) -> tuple[float, ...]:
    """The numbers of an option, which stand between commas."""
    try:
        return tuple(kind(one) for one in text.split(","))
    except ValueError:
        what = "numbers" if kind is float else "whole numbers"
        raise typer.BadParameter(f"{name}: expected {what} with commas between, got {text!r}") from None
