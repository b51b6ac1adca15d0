"""`mien calibrate`: make a network's probabilities mean what they say, by faces with labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


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
    from mien.evaluate.calibrate import CalibrateOptions
    from mien.evaluate.card_text import render_calibration
    from mien.evaluate.evaluation import calibrate_model

    options = CalibrateOptions(coverage, right, protocol, splits, seed)
    card, notes = calibrate_model(
        model, root, output, options, data=data, limits=limit or (), overwrite=overwrite, threads=threads
    )
    for note in notes:
        typer.echo(f"mien: note: {note}", err=True)
    typer.echo("\n".join(render_calibration(card)))
