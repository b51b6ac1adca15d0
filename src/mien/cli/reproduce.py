"""`mien reproduce`: the paper's experiment, from a corpus to its tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from mien.cli.train import say

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
        typer.Option(
            help="How folds are drawn: repeated, kfold, person. Chosen to fit the corpus if not given."
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(min=1, help=r"Folds for each emotion \[default: the paper's 10, 2 with --small]."),
    ] = None,
    autoencoders: Annotated[
        str,
        typer.Option(help="one for all pictures, or each: one for each emotion (paper-300 and its kind)."),
    ] = "one",
    networks: Annotated[
        str,
        typer.Option(help="one with eight outputs, or eight: each of one emotion against the rest."),
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
    """Train and test the paper's system over its folds; run the same command again to go on after a stop."""
    from mien.errors import ConfigError
    from mien.train import require_torch

    if what != "paper":
        raise ConfigError(f"reproduce: expected paper, got {what!r}")
    require_torch()
    from mien.paper.corpora import load_corpus
    from mien.paper.folds import FoldOptions
    from mien.paper.reproduce import ExperimentPlan
    from mien.paper.reproduce import reproduce as run
    from mien.paper.variants import make_variant
    from mien.train.faces import unlabelled_faces

    recipes = []
    for name in variant or DEFAULT:
        recipe = make_variant(f"{name.removesuffix('-small')}-small" if small else name).seeded(seed)
        # other variants use no generated pictures, and take the option as it is only to refuse a wrong one
        ignored = autoencoders == "each" and recipe.variant != "generated"
        recipe = replace(recipe, width=width or recipe.width)
        recipes.append(recipe.with_readings("one" if ignored else autoencoders, networks))
    # By person, nobody is in both halves of a fold; FER+ does not know its persons, and has a test split.
    fitting = "repeated" if corpus == "ferplus" else "person"
    plan = ExperimentPlan(
        variants=tuple(recipes),
        folds=FoldOptions(design or fitting, folds or (2 if small else 10), seed=seed),
        threshold=threshold,
        share=labels,
        unlabelled=None if unlabelled is None else unlabelled_faces(unlabelled, out / "cache"),
        device=device,
    )
    faces = load_corpus(corpus, _corpus_root(corpus, root, out), out / "cache")
    for note in faces.notes:
        typer.echo(f"mien: note: {faces.name}: {note}", err=True)
    _write_tables(run(plan, faces, out, say), out)


def _corpus_root(corpus: str, root: Path | None, out: Path) -> Path:
    """Where the corpus is; the toy corpus is drawn where it is not given."""
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


def _write_tables(results: dict[str, Any], out: Path) -> None:
    """Print the tables of each variant, and write them and the report beside the results."""
    from mien.errors import MissingExtra
    from mien.files import write_whole
    from mien.paper.report import report_folder
    from mien.paper.tables import tables_as_csv, tables_as_text

    for name, data in results["variants"].items():
        typer.echo(tables_as_text(data))
        write_whole(out / f"{name}.csv", tables_as_csv(data))
    typer.echo(f"results: {out}/results.json, and the tables of each variant as .csv beside it")
    try:
        typer.echo(f"report: {report_folder(out)}")
    except MissingExtra as error:
        typer.echo(f"mien: note: no report: {error}", err=True)
