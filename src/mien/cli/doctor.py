"""`mien doctor`: what is installed, what runs the networks, and how fast."""

from __future__ import annotations

import typer

from mien.cli.options import Providers


def doctor(device: Providers = None) -> None:
    """Tell what is installed, what runs the networks, and how fast this machine reads.

    It takes a few seconds, reads no file and sends nothing.
    With a bug report, send what it prints, the command, all that this printed,
    and the photo or clip if you may; else one that goes wrong in the same way.
    Exit status: 1 if no face can be read.
    """
    from mien.doctor import examine
    from mien.faces.network import CPU

    lines, works = examine(tuple(device) if device else CPU)
    typer.echo("\n".join(lines))
    if not works:
        raise typer.Exit(1)
    typer.echo(
        "\nWith a bug report, send these lines, the command, all that it printed, and the file if you may."
    )
