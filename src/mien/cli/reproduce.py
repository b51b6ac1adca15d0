"""`mien reproduce`: the paper's experiment, from a corpus to its tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def reproduce(  # noqa: PLR0913, PLR0917 - the options of a command are its arguments
    what: Annotated[str, typer.Argument(help="What to reproduce: paper.")],
    corpus: Annotated[str, typer.Option(help="rafd, ferplus or toy (drawn; needs no data).")] = "toy",
    root: Annotated[Path | None, typer.Option(help="Folder or zip of the corpus; toy needs none.")] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(help="paper-raw, paper-300, paper-500, ...; may be given several times."),
    ] = None,
    small: Annotated[bool, typer.Option("--small", help="Narrow networks and few epochs: minutes.")] = False,
    design: Annotated[
        str | None,
        typer.Option(help="How folds are drawn: repeated, kfold, person. Fitting the corpus if not given."),
    ] = None,
    folds: Annotated[int, typer.Option(min=1, help="Folds an emotion; the paper has 10.")] = 10,
    labels: Annotated[float, typer.Option(help="Share of the training labels to use, 0 to 1.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random draw.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder of the experiment.")] = Path("runs/paper"),
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:0, ...")] = "cpu",
) -> None:
    """Train and test the paper's system over its folds; give the command again to go on after a stop."""
    from mien.errors import ConfigError
    from mien.recipes import require_torch

    if what != "paper":
        raise ConfigError(f"reproduce: expected paper, got {what!r}")
    require_torch()
    from mien.evaluate.folds import FoldSettings
    from mien.recipes.material import make_material
    from mien.recipes.paper import make_paper, seeded
    from mien.recipes.reproduce import Plan
    from mien.recipes.reproduce import reproduce as run

    names = variant or ["paper-raw", "paper-300", "paper-500"]
    recipes = tuple(seeded(make_paper(f"{name}-small" if small else name), seed) for name in names)
    settings = FoldSettings(design or _design(corpus), folds, seed=seed)
    material = make_material(corpus, _root(corpus, root, out), out / "cache")
    results = run(Plan(recipes, settings, labels, device), material, out, _say)
    _print(results, out)


def _design(corpus: str) -> str:
    """Nobody stands on both sides of a fold; FER+ does not know its persons, and tests on another split."""
    return "repeated" if corpus == "ferplus" else "person"


def _root(corpus: str, root: Path | None, out: Path) -> Path:
    from mien.errors import ConfigError

    if root is not None:
        return root
    if corpus != "toy":
        raise ConfigError(f"--root: expected the folder or zip of {corpus}, got none")
    from mien.data.toy import ToySettings, write_toy

    folder = out / "toy"
    if not folder.is_dir():  # it appears whole
        typer.echo("drawing the toy corpus")
        write_toy(folder, ToySettings(cameras=1))
    return folder


def _say(line: Any) -> None:
    typer.echo("  ".join(f"{key} {value}" for key, value in line.items()))


def _print(results: dict[str, Any], out: Path) -> None:
    """The tables of each variant, and where they are."""
    from mien.evaluate.paper_render import render_csv, render_markdown, render_text

    for name, figures in results["variants"].items():
        typer.echo(render_text(figures))
        (out / f"{name}.md").write_text(render_markdown(figures))
        (out / f"{name}.csv").write_text(render_csv(figures))
    typer.echo(f"results: {out}/results.json, and the tables of each variant as .md and .csv beside it")
