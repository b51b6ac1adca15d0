"""`mien reproduce`: the paper's experiment, from a corpus to its tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from mien.cli.train import say

if TYPE_CHECKING:
    from mien.paper.variants import PaperRecipe

#: Raw pictures against what the paper's two autoencoders generate.
DEFAULT: Final = ("paper-raw", "paper-300", "paper-500")


def reproduce(  # noqa: PLR0913, PLR0917 - the options of a command are its arguments
    what: Annotated[str, typer.Argument(help="What to reproduce: paper.")],
    corpus: Annotated[str, typer.Option(help="rafd, ferplus or toy (drawn; needs no data).")] = "toy",
    root: Annotated[Path | None, typer.Option(help="Folder or zip of the corpus; toy needs none.")] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(help="paper-raw, paper-300, paper-500, ...; may be given several times."),
    ] = None,
    small: Annotated[
        bool, typer.Option("--small", help="Narrow networks, few epochs, 2 folds: a minute or two on toy.")
    ] = False,
    design: Annotated[
        str | None,
        typer.Option(help="How folds are drawn: repeated, kfold, person. Fitting the corpus if not given."),
    ] = None,
    folds: Annotated[
        int | None, typer.Option(min=1, help=r"Folds an emotion \[default: the paper's 10, 2 with --small].")
    ] = None,
    autoencoders: Annotated[
        str, typer.Option(help="one for all pictures, or each: one an emotion (paper-300 and its kin).")
    ] = "one",
    networks: Annotated[
        str, typer.Option(help="one of eight outputs, or eight: one an emotion against the rest.")
    ] = "one",
    threshold: Annotated[
        str | None,
        typer.Option(
            help="winner (the likeliest emotion), half, or training (what tells best on the training "
            r"pictures) \[default: winner; half for --networks eight]."
        ),
    ] = None,
    width: Annotated[
        int | None, typer.Option(min=1, help=r"Filters of the CNN \[default: 512, 16 with --small].")
    ] = None,
    labels: Annotated[float, typer.Option(help="Share of the training labels to use, 0 to 1.")] = 1.0,
    unlabelled: Annotated[
        Path | None, typer.Option(help="Folder or zip of FairFace: more pictures for the autoencoders.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random draw.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder of the experiment.")] = Path("runs/paper"),
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:0, ...")] = "cpu",
) -> None:
    """Train and test the paper's system over its folds; give the command again to go on after a stop."""
    from mien.errors import ConfigError
    from mien.train.recipes import require_torch

    if what != "paper":
        raise ConfigError(f"reproduce: expected paper, got {what!r}")
    require_torch()
    from mien.paper import material as pictures
    from mien.paper.folds import FoldSettings
    from mien.paper.part import Means
    from mien.paper.reproduce import Plan
    from mien.paper.reproduce import reproduce as run
    from mien.train.faces import unlabelled_faces

    names = [f"{name.removesuffix('-small')}-small" if small else name for name in variant or DEFAULT]
    recipes = tuple(_recipe(name, seed, width, autoencoders, networks) for name in names)
    settings = FoldSettings(design or _design(corpus), folds or (2 if small else 10), seed=seed)
    cache = out / "cache"
    more = None if unlabelled is None else unlabelled_faces(unlabelled, cache)
    plan = Plan(recipes, settings, Means(labels, more, device), threshold)
    found = pictures.make_material(corpus, _root(corpus, root, out), cache)
    for note in found.notes:
        typer.echo(f"mien: note: {found.name}: {note}", err=True)
    results = run(plan, found, out, say)
    _print(results, out)


def _recipe(name: str, seed: int, width: int | None, autoencoders: str, networks: str) -> PaperRecipe:
    from dataclasses import replace

    from mien.paper.variants import make_paper, seeded, with_readings

    recipe = seeded(make_paper(name), seed)
    recipe = replace(recipe, width=width or recipe.width)
    each = autoencoders if recipe.variant == "generated" or autoencoders not in ("one", "each") else "one"
    return with_readings(recipe, each, networks)


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


def _print(results: dict[str, Any], out: Path) -> None:
    """The tables of each variant, and where they are."""
    from mien.errors import MissingExtra
    from mien.paper.render import render_csv, render_markdown, render_text
    from mien.paper.report import report_folder

    for name, figures in results["variants"].items():
        typer.echo(render_text(figures))
        (out / f"{name}.md").write_text(render_markdown(figures))
        (out / f"{name}.csv").write_text(render_csv(figures))
    typer.echo(f"results: {out}/results.json, and the tables of each variant as .md and .csv beside it")
    try:
        typer.echo(f"report: {report_folder(out)}")
    except MissingExtra as error:
        typer.echo(f"mien: note: no report: {error}", err=True)
