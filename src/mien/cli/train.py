"""`mien train`: a recipe into a run's folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer


def train(
    recipe: Annotated[str, typer.Argument(help="Name of the recipe, e.g. compact.")],
    root: Annotated[Path, typer.Option(help="Folder or zip of the corpus.")],
    data: Annotated[str, typer.Option(help="Corpus: ferplus.")] = "ferplus",
    out: Annotated[Path | None, typer.Option(help=r"Folder of the run \[default: runs/RECIPE].")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs, instead of the recipe's.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random draw.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:0, ...")] = "cpu",
    threads: Annotated[int | None, typer.Option(min=1, help=r"CPU threads \[default: all cores].")] = None,
) -> None:
    """Train a network; run the same command again to go on from where it stopped."""
    from mien.errors import ConfigError
    from mien.recipes import make_recipe, run_training

    chosen = make_recipe(recipe)
    if data != chosen.data:
        raise ConfigError(f"--data: recipe {recipe!r} learns from {chosen.data!r}, got {data!r}")
    loop = replace(chosen.loop, seed=seed, epochs=epochs or chosen.loop.epochs)
    _set_threads(threads)
    run = out or Path("runs") / recipe
    run_training(replace(chosen, loop=loop), root, run, device=device, report=_say)
    typer.echo(f"done: {run}; export it with: mien export {run} -o {recipe}.onnx")


def _set_threads(threads: int | None) -> None:
    import torch

    if threads:
        torch.set_num_threads(threads)


def _say(line: Any) -> None:
    typer.echo("  ".join(f"{key} {value}" for key, value in line.items()))
