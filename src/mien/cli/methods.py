"""`mien methods`: the paragraph on methods that a paper needs of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.options import Overwrite, argument, flag, option


def methods(
    table: Annotated[
        Path, argument("TABLE", "A table written by `mien analyze` to a file, or its folder of shards.")
    ],
    output: Annotated[
        Path | None,
        option(
            "--output -o OUT",
            "File to write; with --latex the references go beside it, into a file that ends in .bib "
            r"\[default: standard output].",
        ),
    ] = None,
    latex: Annotated[bool, flag("--latex", "Write LaTeX, and the references as BibTeX.")] = False,
    agreement: Annotated[
        Path | None,
        option("FILE", "From `mien agree -o FILE.json`: also tell how far Mien and people agree."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write the paragraph that the methods section of a paper needs about a table.

    It tells the version, the networks and how good they are, which faces were kept,
    the thresholds, and the shares of frames without a face and of uncertain readings.
    All of it comes from the file that `mien analyze` writes beside a table (TABLE.json);
    what this file does not tell is called "not known". Notes go to standard error.
    """
    from mien.cli.progress import say
    from mien.files import WholeFile
    from mien.results.methods import describe_methods

    found = describe_methods(table, agreement=agreement)
    for note in found.notes:
        say(f"mien: note: {note}")
    if output is None:
        typer.echo(f"{found.latex}\n{found.bibtex}" if latex else found.text, nl=False)
        return
    files = {output: found.latex, output.with_suffix(".bib"): found.bibtex} if latex else {output: found.text}
    for path in files:
        WholeFile(path, overwrite=overwrite).discard()  # refuses before the first is written
    for path, text in files.items():
        with WholeFile(path, overwrite=overwrite) as file:
            file.partial.write_text(text, encoding="utf-8")
