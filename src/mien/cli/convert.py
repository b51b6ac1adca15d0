"""`mien convert`: a table into the format of another program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def convert(
    table: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE",
            help="A table that `mien analyze`, OpenFace or py-feat wrote.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="The file to write.")],
    to: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="mien, openface, pyfeat, eaf, vtt or srt. (default: by the ending of OUT)"
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of a table of several sources, this one; for a table of OpenFace, the name of its clip.",
        ),
    ] = None,
    events: Annotated[
        Path | None, typer.Option(metavar="FILE", help="For eaf: a table of events, for tiers of their own.")
    ] = None,
    min_seconds: Annotated[
        float,
        typer.Option(
            min=0, metavar="S", help="For eaf, vtt and srt: join what is shown for less than S seconds."
        ),
    ] = 0.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
) -> None:
    """Turn a table into the format of another program: OpenFace, py-feat, ELAN, WebVTT or SRT.

    Tables of OpenFace and py-feat can be turned into Mien's own. What a format has no place for is lost;
    the guide tells what. Notes go to standard error. ELAN, WebVTT and SRT need the extra `formats`.
    """
    from mien.cli.progress import say
    from mien.results.formats import convert as convert_table

    converted = convert_table(
        table, output, to=to, source=source, events=events, min_seconds=min_seconds, overwrite=overwrite
    )
    for note in converted.notes:
        say(note)
    say(f"{output}: written as {converted.format}")
