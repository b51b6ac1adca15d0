"""`mien review`: people code the photos and clips of a table in their browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def review(  # noqa: PLR0913, PLR0917 - the options of a command are its arguments
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="A table written by `mien analyze`.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="CODES",
            help="CSV file for the codes of all coders. If it exists, the review goes on where it ended.",
        ),
    ],
    events: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Code the events of this table (`mien analyze --events`), not stretches of a fixed length.",
        ),
    ] = None,
    coder: Annotated[
        str | None,
        typer.Option(metavar="NAME", help=r"The only coder \[default: each gives a name in the page]."),
    ] = None,
    blind: Annotated[
        bool, typer.Option("--blind/--show", metavar="", help="Hide or show what Mien reads.")
    ] = True,
    random: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help=r"Code N items drawn at random, for an honest estimate \[default: all, those first of which "
            "Mien is least sure].",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of --random.")] = 0,
    seconds: Annotated[
        float, typer.Option(min=0.5, metavar="S", help="Length of a stretch of a clip, in seconds.")
    ] = 2.0,
    media: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the photos and clips, if they were moved."),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="N", help="Port to listen on; 0: any free port.")
    ] = 8000,
) -> None:
    """Let people code which expression faces show, in a page on this machine.

    Open the address that is printed. Each face of a photo and each stretch of a clip is
    shown with a box around the face; a key codes one of the eight expressions, none of
    them, or that it cannot be told. Every code is saved at once. `mien agree` compares
    the codes with the table, and coders with each other.
    """
    from mien.cli.progress import say
    from mien.errors import MissingExtra

    try:
        from mien.server.review import ReviewOptions
        from mien.server.review import review as hold_review
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("mien"):
            raise
        raise MissingExtra(error.name or "fastapi", "serve", "mien review") from error
    hold_review(ReviewOptions(table, output, events, coder, blind, random, seed, seconds, media, port), say)
