"""`mien agree`: Mien's table against codes by people, and these among themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.options import Overwrite, argument, make_record, option


def agree(  # noqa: PLR0913, PLR0917 - the options of a command are its arguments
    table: Annotated[
        Path,
        argument(
            "TABLE",
            "A table of frames or events written by `mien analyze`; or codes, to compare people alone.",
        ),
    ],
    codes: Annotated[
        list[str] | None,
        argument(
            "CODES...",
            "What people coded: tables of stretches or frames, ELAN's .eaf, BORIS's tables, folders of "
            "these, or of photos in folders named after codes. NAME=PATH says who coded it.",
        ),
    ] = None,
    output: Annotated[
        list[Path] | None,
        option(
            "--output -o OUT",
            "Also write a page (.html), or all figures for other programs (.json); may be repeated.",
        ),
    ] = None,
    names: Annotated[
        list[str] | None,
        option(
            "--map WORD=CODE",
            "What a word in the files means: one of the eight expressions, none, or cannot tell; WORD= "
            "leaves it out. May be repeated.",
        ),
    ] = None,
    step: Annotated[float, option("S", "Length of a moment in seconds.")] = 0.1,
    tolerance: Annotated[
        float, option("S", "Seconds by which onsets and offsets of one event may differ.")
    ] = 0.5,
    gaps: Annotated[
        str, option("NAME", "What time without a code means: missing (data), neutral or none (of the eight).")
    ] = "missing",
    fps: Annotated[float | None, option("N", "Frames in a second, for codes that count in frames.")] = None,
    intensity_max: Annotated[float, option("N", "The highest intensity that coders give.")] = 1.0,
    draws: Annotated[int, option("N", "Bootstrap draws of clips for the intervals.", min=1)] = 2000,
    seed: Annotated[int, option("N", "Seed of these draws.", min=0)] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Compare what Mien reads with what people coded, and people among themselves.

    Cohen's kappa, Krippendorff's alpha, percent agreement, confusion, events by onset, offset and overlap,
    ICC of intensities, in all and for each expression, with intervals from drawing whole clips.
    Clips and faces without a counterpart, and what counts as missing data, are listed.
    """
    given = locals()
    from mien.errors import ConfigError
    from mien.evaluate.agreement import agree as compare
    from mien.evaluate.agreement_tables import render_agreement, write_report
    from mien.evaluate.ratings import AgreeOptions
    from mien.files import WholeFile

    pairs = [word.rpartition("=") for word in names or []]
    if bare := [word for word, equals, _ in pairs if not (equals and word)]:
        raise ConfigError(f"--map: expected WORD=CODE, such as smile=happiness, got {bare[0]!r}")
    outputs = output or []
    for path in outputs:
        if path.suffix.lower() not in {".html", ".json"}:
            raise ConfigError(f"{path}: expected a name that ends in .html or .json, got {path.suffix!r}")
        WholeFile(path, overwrite=overwrite).discard()  # refuses before any work is done
    given["names"] = {word: code for word, _, code in pairs}
    found = compare(table, codes or [], make_record(AgreeOptions, given))
    typer.echo(render_agreement(found), nl=False)
    for path in outputs:
        write_report(found, path, overwrite=overwrite)
