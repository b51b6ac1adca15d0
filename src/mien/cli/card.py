"""`mien card`: what a network is, what it is worth, and where it must not be used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def card(
    model: Annotated[
        Path | None, typer.Argument(metavar="[MODEL]", help="ONNX file, or the name of a shipped network.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="The whole card as JSON.")] = False,
) -> None:
    """Print the model card inside a network's file."""
    from mien.evaluate.card_text import render_card
    from mien.faces.network import open_session, read_card, read_model

    found = read_card(open_session(read_model(model)))
    typer.echo(found.to_json(indent=1) + "\n" if json else render_card(found), nl=False)
