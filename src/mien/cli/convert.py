"""`mien convert`: Mien's table into the formats of other programs, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def convert(
    table: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE",
            help="A table that `mien analyze` wrote, or a file of OpenFace, py-feat or ELAN, WebVTT or SRT.",
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
            help="Of a table of several sources, this one; of a file that names none, what to call it.",
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
    """Turn a table into a format of the field: OpenFace, py-feat, ELAN, WebVTT or SRT; or one back.

    What the format has no place for is lost; docs/interchange.md tells what. Remarks go to standard error.
    """
    from mien.cli.console import say
    from mien.results.formats import Wish, convert_file

    wish = Wish(source, events, min_seconds)
    name = convert_file(table, output, wish, to=to, overwrite=overwrite)
    for note in wish.notes:
        say(note)
    say(f"{output}: written as {name}")
