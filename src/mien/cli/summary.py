"""`mien summary`: a table of frames to one row per clip and track, or per person and condition."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from mien.cli.analyze import parse_time
from mien.cli.options import Overwrite, argument, flag, option


def summary(  # noqa: PLR0913, PLR0917 - the options of a command are its arguments
    table: Annotated[Path, argument("TABLE", "A table written by `mien analyze`.")],
    output: Annotated[
        Path | None,
        option(
            "--output -o OUT",
            r"Table to write: .csv, .tsv, .json, .jsonl, .xlsx or .parquet \[default: CSV to standard "
            "output].",
        ),
    ] = None,
    by: Annotated[
        str | None,
        option(
            "NAME,NAME",
            "Write one row for each combination of these columns: clip, track, and those of --pattern and "
            r"--design \[default: all of these].",
        ),
    ] = None,
    pattern: Annotated[
        str | None,
        option(
            "PATTERN",
            "Take columns from the names of the files, such as '{person}_{condition}_*'; with a / also from "
            "the names of their folders.",
        ),
    ] = None,
    design: Annotated[
        Path | None,
        option(
            "FILE",
            "Table of the study: a column `source`, columns of your own such as person and condition, and "
            "where needed `track`, `start`, `end` and `offset` in seconds.",
        ),
    ] = None,
    offset: Annotated[
        list[str] | None,
        option(
            "CLIP=S",
            "Add S seconds to the times of a clip, so that several cameras share one clock; may be repeated.",
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        option(
            "T-T",
            "The period in which faces are at rest, such as 0-2 or 1:00-1:10: also write the mean "
            "probabilities in it, and how those of the other time differ from them.",
        ),
    ] = None,
    window: Annotated[float | None, option("S", "Sum up every S seconds separately.")] = None,
    long: Annotated[bool, flag("--long", "Write one row for each expression.")] = False,
    wide: Annotated[
        str | None,
        option(
            "NAME", "Write the values of this column side by side, such as mean_fear.film and mean_fear.rest."
        ),
    ] = None,
    excel: Annotated[bool, flag("--excel", "Write CSV or TSV that Excel opens correctly.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Sum up a table: one row for each track of each clip, and for each photo.

    Or one for each person and condition, taken from the names of the files or from a table of the design.

    A row tells how long the face is seen or missing, the share of time in which it shows each expression,
    the mean probabilities, and the number and length of its events. Notes go to standard error.
    """
    from mien.cli.progress import say
    from mien.results.design import Design
    from mien.results.summary import FIGURES, summarize, summary_columns, to_long, to_wide
    from mien.results.table_reader import read_table
    from mien.results.tables import open_writer, stdout_writer

    if wide and long:
        raise typer.BadParameter("expected one of --long and --wide, got both; leave out one")
    known = Design(design, pattern=pattern, offsets=dict(map(_parse_offset, offset or ())))
    names = ("source", "track", *known.columns)
    chosen = names if by is None else tuple("source" if n == "clip" else n for n in by.split(","))
    if wide and wide not in chosen:
        raise typer.BadParameter(f"--wide: expected one of {', '.join(chosen)}, got {wide!r}")
    rest = None if baseline is None else _parse_baseline(baseline)
    rows = summarize(read_table(table), chosen, design=known, window=window, baseline=rest)
    for note in known.finish():
        say(f"mien: note: {note}")
    columns = summary_columns(chosen, window=window is not None, baseline=rest is not None)
    if long:
        rows, columns = to_long(rows), tuple(to_long([dict.fromkeys(columns)])[0])
    elif wide and rows:
        rows = to_wide(rows, wide, columns[: columns.index(FIGURES[0])])
        columns = tuple(rows[0])
    if output is None:
        writer = stdout_writer(columns, excel=excel)
    else:
        writer = open_writer(output, overwrite=overwrite, columns=columns, excel=excel)
    with writer:
        writer.write(rows)


def _parse_baseline(text: str) -> tuple[float, float]:
    """Start and end of "0-2" or "1:00-1:10", in seconds."""
    if not (found := re.fullmatch(r"(-?)([\d:.]+)-(-?)([\d:.]+)", text)):
        raise typer.BadParameter(f"--baseline: expected two times such as 0-2 or 1:00-1:10, got {text!r}")
    return float(found[1] + "1") * parse_time(found[2]), float(found[3] + "1") * parse_time(found[4])


def _parse_offset(text: str) -> tuple[str, float]:
    """Clip and seconds of "camera2.mp4=-1.5"."""
    found = re.fullmatch(r"(.+)=(-?\d+(?:\.\d*)?)", text)
    if found is None:
        raise typer.BadParameter(
            f"--offset: expected a clip and seconds such as camera2.mp4=1.5, got {text!r}"
        )
    return found[1], float(found[2])
