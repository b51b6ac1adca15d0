"""`mien data shards`: a corpus into tar files that `mien train --data shards` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def shards(
    folder: Annotated[Path, typer.Argument(help="Folder of the shards.")],
    data: Annotated[str, typer.Option(help="A corpus of faces: ferplus, fer2013, toy or folder.")],
    root: Annotated[Path, typer.Option(help="Folder or zip of the corpus.")],
    size: Annotated[int, typer.Option(min=1, help="Pictures in a shard.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the order, and of a split that is drawn.")] = 0,
) -> None:
    """Write a corpus as shards in WebDataset's layout: train and valid, each with its index."""
    from mien.train.shards import make_shards

    for split, count in make_shards(data, root, folder, size=size, seed=seed).items():
        typer.echo(f"{folder}: {split} {count} pictures")
