"""What is done with a model file: `mien export`, `mien quantize`, `mien calibrate` and `mien card`."""

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
    from mien.paper.training import export_paper_run, is_paper_run
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


def calibrate(  # noqa: PLR0913, PLR0917 - the options of a command are its arguments
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An ONNX file made by `mien export`.")],
    root: Annotated[Path, typer.Option(help="Folder or zip of the corpus; of FER+ its split valid is used.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The ONNX file to write.")],
    data: Annotated[str, typer.Option(help="The corpus, as in `mien evaluate`.")] = "ferplus",
    coverage: Annotated[
        float, typer.Option(help="Share of faces whose set of emotions is to hold the label.")
    ] = 0.9,
    right: Annotated[
        float, typer.Option(help="Share that is to be right of the readings that are not uncertain.")
    ] = 0.9,
    protocol: Annotated[
        str, typer.Option(help="How votes become the labels that count: argmax or majority.")
    ] = "argmax",
    limit: Annotated[
        list[str] | None, typer.Option(help="A known failure to write on the card as well; may be repeated.")
    ] = None,
    splits: Annotated[int, typer.Option(min=1, help="Splits into halves that measure what is fitted.")] = 50,
    seed: Annotated[int, typer.Option(help="Seed of the splits.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUTPUT if it exists.")] = False,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the network.")] = 1,
) -> None:
    """Fit temperature, sets of emotions, doubt and the policy for rare emotions; write them on the card.

    The weights stay as they are, bit for bit. What is fitted on all faces is measured on halves that were
    not used for fitting. Never give faces that the network was trained on.
    """
    from mien.card import render_calibration
    from mien.evaluate.calibrate import CalibrateOptions
    from mien.evaluate.evaluation import calibrate_model

    options = CalibrateOptions(coverage, right, protocol, splits, seed)
    found, notes = calibrate_model(
        model, root, output, options, data=data, limits=limit or (), overwrite=overwrite, threads=threads
    )
    for note in notes:
        typer.echo(f"mien: note: {note}", err=True)
    typer.echo("\n".join(render_calibration(found)))


def card(
    model: Annotated[
        Path | None, typer.Argument(metavar="[MODEL]", help="ONNX file, or the name of a shipped network.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="The whole card as JSON.")] = False,
) -> None:
    """Print the model card inside a network's file."""
    from mien.card import render_card
    from mien.faces.network import open_session, read_card, read_model

    found = read_card(open_session(read_model(model)))
    typer.echo(found.to_json(indent=1) + "\n" if json else render_card(found), nl=False)


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
    from mien.train import require_torch

    require_torch()
    if output.exists() and not overwrite:
        raise OutputError(f"{output}: exists already; give another name or --overwrite")
