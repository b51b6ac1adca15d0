"""`mien convert`: a table into the format of another program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from mien.cli.options import Overwrite, argument, option


def convert(
    table: Annotated[Path, argument("TABLE", "A table written by `mien analyze`, OpenFace or py-feat.")],
    output: Annotated[Path, option("--output -o OUT", "The file to write.")],
    to: Annotated[
        str | None,
        option(
            "NAME",
            r"Format to write: mien, openface, pyfeat, eaf, vtt, srt, boris or imotions \[default: chosen "
            "by the ending of OUT].",
        ),
    ] = None,
    source: Annotated[
        str | None,
        option(
            "NAME",
            "The source to convert, if the table has several. For a table from OpenFace: the name to give "
            "its clip.",
        ),
    ] = None,
    events: Annotated[
        Path | None,
        option(
            "FILE",
            "A table of events: for eaf written as tiers of their own; for boris and imotions written "
            "instead of what each frame shows.",
        ),
    ] = None,
    min_seconds: Annotated[
        float,
        option(
            "S",
            "For eaf, vtt, srt, boris and imotions: join an expression shorter than S seconds to the one "
            "before it, or, where a face has just come into view, to the one after it.",
            min=0,
        ),
    ] = 0.0,
    overwrite: Overwrite = False,
) -> None:
    """Convert a table to the format of another program.

    These are OpenFace, py-feat, ELAN, WebVTT, SRT, BORIS and iMotions.

    Tables from OpenFace and py-feat can be converted to Mien's own format.
    What the new format cannot store is lost: see docs/analyze.md.
    Notes go to standard error.
    ELAN, WebVTT and SRT need the extra `formats`.
    """
    from mien.cli.progress import say
    from mien.results.formats import convert as convert_table

    converted = convert_table(
        table, output, to=to, source=source, events=events, min_seconds=min_seconds, overwrite=overwrite
    )
    for note in converted.notes:
        say(note)
    say(f"{output}: written as {converted.format}")
