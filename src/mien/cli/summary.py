"""`mien summary`: a table of frames to one row per clip and track."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.options import Overwrite


def summary(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="A table written by `mien analyze`.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="Table to write: .csv, .tsv, .json, .jsonl, .xlsx or .parquet "
            r"\[default: CSV to standard output].",
        ),
    ] = None,
    excel: Annotated[
        bool,
        typer.Option("--excel", metavar="", help="Write CSV or TSV that Excel opens as it is meant."),
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Sum up a table: one row for each track of each clip, and for each photo.

    How long the face is seen, the share of that time in which it shows each expression, the mean
    probabilities, the number and length of its events.
    """
    from mien.results.summary import FIGURES, summarize
    from mien.results.table_reader import read_table
    from mien.results.tables import open_writer, stdout_writer

    rows = summarize(read_table(table))
    columns = ("source", "track", *FIGURES)
    if output is None:
        writer = stdout_writer(columns, excel=excel)
    else:
        writer = open_writer(output, overwrite=overwrite, columns=columns, excel=excel)
    with writer:
        writer.write(rows)
