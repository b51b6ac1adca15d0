"""`mien export`: a run to one ONNX file with its card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    run: Annotated[
        Path, typer.Argument(help="Folder of a run: of `mien train`, or a part of `mien reproduce`.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The ONNX file to write.")],
    name: Annotated[
        str | None, typer.Option(help="What the card calls the network, instead of its recipe's name.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUTPUT if it exists.")] = False,
) -> None:
    """Write a trained network as ONNX with its model card inside."""
    from mien.errors import OutputError
    from mien.train.export_run import run_export
    from mien.train.recipes import require_torch

    require_torch()
    if output.exists() and not overwrite:
        raise OutputError(f"{output}: exists already; give another name or --overwrite")
    run_export(run, output, name=name)
    typer.echo(f"{output}: {output.stat().st_size / 1e6:.1f} MB")
