"""`mien reproduce`: the paper's experiment, from a corpus to its tables."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from mien.cli.options import Precision, Seed, TrainingDevice, argument, flag, option
from mien.cli.train import say

#: The paper's two autoencoders, and raw pictures.
DEFAULT: Final = ("paper-300", "paper-500", "paper-raw")


def reproduce(  # noqa: PLR0913, PLR0917 - the options of a command are its arguments
    what: Annotated[str, argument("WHAT", "What to reproduce; the only choice is: paper.")],
    corpus: Annotated[
        str, option("NAME", "Corpus: rafd, ferplus or toy (drawn here, needs no data).")
    ] = "toy",
    root: Annotated[
        Path | None, option("PATH", "Folder or zip file of the corpus; not needed for toy.")
    ] = None,
    cameras: Annotated[
        str,
        option(
            "NAME",
            "Pictures of rafd and toy: frontal (as in section 2.4) or all (five cameras; folds of 140 "
            "against 140 need them).",
        ),
    ] = "frontal",
    variant: Annotated[
        list[str] | None,
        option(
            "NAME",
            "paper-300, paper-500, paper-raw, paper-300-500, paper-300-8way, paper-300-one, paper-300-pca, "
            "paper-300-alone, paper-300-joint, paper-pretrained, paper-noise or paper-mask; may be repeated "
            r"\[default: the first three].",
        ),
    ] = None,
    small: Annotated[
        bool, flag("--small", "Narrow networks, few steps, 2 folds: minutes on two cores with toy.")
    ] = False,
    design: Annotated[
        str | None,
        option(
            "NAME",
            "How folds are drawn: repeated (each anew, they may overlap), kfold (no overlap) or person (no "
            r"overlap, each person in one fold only) \[default: repeated for ferplus, else person].",
        ),
    ] = None,
    folds: Annotated[
        int | None,
        option("N", r"Number of folds per emotion \[default: 10 as in the paper; 2 with --small].", min=1),
    ] = None,
    autoencoders: Annotated[
        str | None,
        option(
            "NAME",
            "each: one autoencoder per emotion; one: one for all pictures (variants with generated pictures "
            r"only) \[default: each, but one for paper-300-one].",
        ),
    ] = None,
    networks: Annotated[
        str | None,
        option(
            "NAME",
            "eight: one network per emotion, against all others; one: one network with eight outputs "
            r"\[default: eight, but one for paper-300-8way].",
        ),
    ] = None,
    threshold: Annotated[
        str | None,
        option(
            "NAME",
            "winner: the most likely emotion; half: a probability of 0.5; training: the threshold that "
            r"scores best on the training pictures \[default: half; for one network with eight outputs both "
            "training and winner].",
        ),
    ] = None,
    width: Annotated[
        int | None, option("N", r"Number of filters of the CNN \[default: 512; 16 with --small].", min=1)
    ] = None,
    draws: Annotated[
        int | None,
        option(
            "N",
            "How long all learn: pictures in an epoch of one of the eight networks, and of its autoencoder "
            r"\[default: 12800; 1280 with --small].",
            min=256,
        ),
    ] = None,
    labels: Annotated[float, option("SHARE", "Share of the training labels to use, 0 to 1.")] = 1.0,
    unlabelled: Annotated[
        Path | None, option("PATH", "Folder or zip file of FairFace: more pictures for the autoencoders.")
    ] = None,
    seed: Seed = 0,
    seeds: Annotated[
        int,
        option(
            "N",
            "Repeat with N seeds, from --seed on, on the same folds: a folder each, and seeds.csv.",
            min=1,
        ),
    ] = 1,
    out: Annotated[Path, option("DIR", "Folder for the experiment and its results.")] = Path("runs/paper"),
    device: TrainingDevice = "cpu",
    precision: Precision = "float32",
) -> None:
    """Train and test the paper's system on its folds; run the same command again to resume.

    The same command started several times, or under torchrun, shares the work: each process trains parts of
    its own.
    """
    from mien.errors import ConfigError
    from mien.files import write_whole
    from mien.train import require_torch

    if what != "paper":
        raise ConfigError(f"reproduce: expected paper, got {what!r}")
    require_torch()
    from mien.paper.corpora import load_corpus
    from mien.paper.folds import FoldOptions
    from mien.paper.reproduce import ExperimentPlan, estimate_seconds
    from mien.paper.reproduce import reproduce as run
    from mien.paper.variants import make_variant
    from mien.train.distributed import is_first, own_device
    from mien.train.faces import unlabelled_faces

    place = own_device(device)
    recipes = []
    for name in variant or DEFAULT:
        recipe = make_variant(f"{name.removesuffix('-small')}-small" if small else name)
        recipe = recipe.with_width(width or recipe.width).with_precision(precision)
        recipe = recipe.with_draws(draws or recipe.draws)
        recipes.append(recipe.with_readings(autoencoders, networks))
    # By person, nobody is in both halves of a fold; FER+ does not know its persons, and has a test split.
    fitting = "repeated" if corpus == "ferplus" else "person"
    plan = ExperimentPlan(
        variants=tuple(recipes),
        folds=FoldOptions(design or fitting, folds or (2 if small else 10), seed=seed),
        threshold=threshold,
        share=labels,
        unlabelled=None if unlabelled is None else unlabelled_faces(unlabelled, out / "cache"),
        device=place,
    )
    faces = load_corpus(corpus, _corpus_root(corpus, root, out, cameras), out / "cache", cameras)
    for note in faces.notes:
        typer.echo(f"mien: note: {faces.name}: {note}", err=True)
    folders = {each: out if seeds == 1 else out / f"seed-{each}" for each in range(seed, seed + seeds)}
    plans = {each: plan.seeded(each) for each in folders}
    if is_first():
        seconds, left = estimate_seconds(list(plans.values()), faces, list(folders.values()))
        parts = "1 part" if left == 1 else f"{left} parts"
        typer.echo(f"about {_in_words(seconds)} on {place} for {parts}, if nobody shares the work")
    results = {each: run(plans[each], faces, folders[each], say) for each in folders}
    if not is_first():
        return  # under torchrun one process tells the results
    for each, folder in folders.items():
        _write_tables(results[each], folder)
    if seeds > 1:
        from mien.paper.seeds import compare_seeds

        write_whole(out / "seeds.csv", compare_seeds(results))
        typer.echo(f"seeds: {out}/seeds.csv")


def _in_words(seconds: float) -> str:
    """A duration as a person would say it."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(1, seconds):.0f} seconds"


def _corpus_root(corpus: str, root: Path | None, out: Path, cameras: str) -> Path:
    """Where the corpus is; the toy corpus is drawn where it is not given."""
    from mien.errors import ConfigError

    if root is not None:
        return root
    if corpus != "toy":
        raise ConfigError(f"--root: expected the folder or zip of {corpus}, got none")
    from mien.data.toy import ToySettings, write_toy
    from mien.files import lock, make_folder

    folder = out / ("toy" if cameras == "frontal" else "toy-all")
    make_folder(out)
    while not folder.is_dir():  # it appears whole
        with lock(out / f"{folder.name}.lock") as mine:  # one of several processes draws it
            if mine and not folder.is_dir():
                typer.echo("drawing the toy corpus")
                write_toy(folder, ToySettings(cameras=1 if cameras == "frontal" else 5))
        if not mine:
            time.sleep(1)
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
