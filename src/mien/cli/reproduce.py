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
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help="What to reproduce; the only choice is: paper.")
    ],
    corpus: Annotated[
        str, typer.Option(metavar="NAME", help="Corpus: rafd, ferplus or toy (drawn here, needs no data).")
    ] = "toy",
    root: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Folder or zip file of the corpus; not needed for toy."),
    ] = None,
    cameras: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Pictures of rafd and toy: frontal (as in section 2.4) or all (five cameras; folds of "
            "140 against 140 need them).",
        ),
    ] = "frontal",
    variant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="paper-raw, paper-300, paper-500, paper-300-500, paper-pretrained, paper-noise or "
            r"paper-mask; may be repeated \[default: the first three].",
        ),
    ] = None,
    small: Annotated[
        bool,
        typer.Option(
            "--small", metavar="", help="Narrow networks, few epochs, 2 folds: one or two minutes with toy."
        ),
    ] = False,
    design: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="How folds are drawn: repeated (each anew, they may overlap), kfold (no overlap) or person "
            r"(no overlap, each person in one fold only) \[default: repeated for ferplus, else person].",
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help=r"Number of folds per emotion \[default: 10 as in the paper; 2 with --small].",
        ),
    ] = None,
    autoencoders: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="one: one autoencoder for all pictures; each: one per emotion (paper-300, paper-500 and "
            "paper-300-500 only).",
        ),
    ] = "one",
    networks: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="one: one network with eight outputs; eight: one network per emotion, against all others.",
        ),
    ] = "one",
    threshold: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="winner: the most likely emotion; half: a probability of 0.5; training: the threshold that "
            r"scores best on the training pictures \[default: winner; half with --networks eight].",
        ),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help=r"Number of filters of the CNN \[default: 512; 16 with --small]."
        ),
    ] = None,
    labels: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of the training labels to use, 0 to 1.")
    ] = 1.0,
    unlabelled: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="Folder or zip file of FairFace: more pictures for the autoencoders."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of all random numbers.")] = 0,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the experiment and its results.")
    ] = Path("runs/paper"),
    device: Annotated[
        str, typer.Option(metavar="NAME", help="Device to train on: cpu, cuda, cuda:0, ...")
    ] = "cpu",
) -> None:
    """Train and test the paper's system on its folds; run the same command again to resume."""
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
    faces = load_corpus(corpus, _corpus_root(corpus, root, out, cameras), out / "cache", cameras)
    for note in faces.notes:
        typer.echo(f"mien: note: {faces.name}: {note}", err=True)
    _write_tables(run(plan, faces, out, say), out)


def _corpus_root(corpus: str, root: Path | None, out: Path, cameras: str) -> Path:
    """Where the corpus is; the toy corpus is drawn where it is not given."""
    from mien.errors import ConfigError

    if root is not None:
        return root
    if corpus != "toy":
        raise ConfigError(f"--root: expected the folder or zip of {corpus}, got none")
    from mien.data.toy import ToySettings, write_toy

    folder = out / ("toy" if cameras == "frontal" else "toy-all")
    if not folder.is_dir():  # it appears whole
        typer.echo("drawing the toy corpus")
        write_toy(folder, ToySettings(cameras=1 if cameras == "frontal" else 5))
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
