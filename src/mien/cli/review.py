"""`mien review`: people code the photos and clips of a table in their browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from mien.cli.options import Port, argument, flag, needing_server, option


def review(  # noqa: PLR0913, PLR0917 - the options of a command are its arguments
    table: Annotated[Path, argument("TABLE", "A table written by `mien analyze`.")],
    output: Annotated[
        Path,
        option(
            "--output -o CODES",
            "CSV file for the codes of all coders. If it exists, the review goes on where it ended.",
        ),
    ],
    events: Annotated[
        Path | None,
        option(
            "FILE",
            "Code the events of this table (`mien analyze --events`), not stretches of a fixed length.",
        ),
    ] = None,
    coder: Annotated[
        str | None, option("NAME", r"The only coder \[default: coders enter their names in the page].")
    ] = None,
    blind: Annotated[bool, flag("--blind/--show", "Hide or show what Mien reads.")] = True,
    random: Annotated[
        int | None,
        option(
            "N",
            r"Code N items drawn at random, for an honest estimate \[default: all, beginning with those of "
            "which Mien is least sure].",
            min=1,
        ),
    ] = None,
    seed: Annotated[int, option("N", "Seed of --random.")] = 0,
    seconds: Annotated[float, option("S", "Length of a stretch of a clip, in seconds.", min=0.5)] = 2.0,
    media: Annotated[
        Path | None, option("DIR", "Folder of the photos and clips, if they were moved.")
    ] = None,
    port: Port = 8000,
) -> None:
    """Let people code which expression faces show, in a page on this machine.

    Open the address that is printed. Each face of a photo and each stretch of a clip is
    shown with a box around the face; with one key, the coder chooses one of the eight
    expressions, none of them, or "cannot tell". Every code is saved at once. `mien agree` compares
    the codes with the table, and coders with each other.
    """
    from mien.cli.progress import say

    with needing_server("mien review"):
        from mien.server.review import ReviewOptions
        from mien.server.review import review as hold_review
    hold_review(ReviewOptions(table, output, events, coder, blind, random, seed, seconds, media, port), say)
