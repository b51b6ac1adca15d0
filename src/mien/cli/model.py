"""What is done with a model file: `mien export` writes one from a run, `mien quantize` in 8 bits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mien.train.quantize import QuantizationReport


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
    _check_output(output, overwrite=overwrite)
    from mien.paper.train import export_paper_run, is_paper_run
    from mien.train.export import export_run

    (export_paper_run if is_paper_run(run) else export_run)(run, output, name=name)
    typer.echo(f"{output}: {output.stat().st_size / 1e6:.1f} MB")


def quantize(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An ONNX file made by `mien export`.")],
    root: Annotated[Path, typer.Option(help="Folder or zip of FER+: train sets the ranges, valid judges.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The ONNX file to write.")],
    within: Annotated[
        float,
        typer.Option(min=0, help="Points of recall that an emotion may lose; beyond, nothing is written."),
    ] = 1.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUTPUT if it exists.")] = False,
) -> None:
    """Write a network with 8-bit convolutions, if every emotion is still read as well on FER+ valid.

    Calibrate the result with `mien calibrate`: its probabilities are its own.
    """
    _check_output(output, overwrite=overwrite)
    from mien.train.quantize import run_quantize

    typer.echo(_table(run_quantize(model, root, output, within=within)))
    typer.echo(f"{output}: {output.stat().st_size / 1e6:.2f} MB, {model.stat().st_size / 1e6:.2f} before")


def _table(found: QuantizationReport) -> str:
    from mien.labels import EMOTIONS

    lines = [f"{'recall, per cent':<17}{'n':>6}{'before':>8}{'after':>8}"]
    lines += [
        f"{name:<17}{n:>6}{100 * before:>8.1f}{100 * after:>8.1f}"
        for name, n, before, after in zip(EMOTIONS, found.n, found.before, found.after, strict=True)
    ]
    before, after = found.accuracy
    lines.append(f"{'accuracy':<17}{found.n.sum():>6}{100 * before:>8.2f}{100 * after:>8.2f}")
    lines.append(f"read alike: {100 * found.agreement:.2f} %")
    return "\n".join(lines)


def _check_output(output: Path, *, overwrite: bool) -> None:
    """Refuse a file that is there, and say how to install the learning half where it is absent."""
    from mien.errors import OutputError
    from mien.train.recipes import require_torch

    require_torch()
    if output.exists() and not overwrite:
        raise OutputError(f"{output}: exists already; give another name or --overwrite")
