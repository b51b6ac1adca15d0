"""`mien evaluate`: any model on any corpus, as a table and as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mien.data.corpus import Corpus
    from mien.data.readers import Reader
    from mien.evaluate.groups import GroupReport


def evaluate(  # noqa: PLR0913, PLR0917 - the options of a command are its arguments
    root: Annotated[Path, typer.Option(help="Folder or zip of the corpus.")],
    data: Annotated[
        str,
        typer.Option(
            help="ferplus, fer2013, rafd, ckplus, jaffe, kdef, toy, fairface or folder (one an emotion)."
        ),
    ] = "ferplus",
    model: Annotated[Path | None, typer.Option(help="ONNX file, or name of a shipped network.")] = None,
    split: Annotated[
        str | None,
        typer.Option(help="train, valid or test, of ferplus and fer2013; valid if not given."),
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="argmax or majority, how votes become labels; both if not given.")
    ] = None,
    detect: Annotated[
        bool | None,
        typer.Option(
            "--detect/--crops",
            help=r"Find the largest face first, or pictures already are faces \[default: by corpus].",
        ),
    ] = None,
    policy: Annotated[
        str, typer.Option(help="How the emotion is chosen, of those on the model's card: accurate, balanced.")
    ] = "accurate",
    by: Annotated[
        str | None,
        typer.Option(help="Compare groups by the corpus's tags: age,gender,race; race+gender crosses two."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Judge on so many pictures, drawn with seed 0; all if not given."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the groups of --by to an .svg file; replaces the file.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the same as JSON; replaces the file.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the network.")] = 1,
) -> None:
    """Judge a model: accuracy, recall of every emotion, calibration, confusion matrix.

    With --by, how often each expression is read in each group, how surely, and where groups differ most; it
    needs no labels.

    Pictures that cannot be read are named, counted and left out, and the exit status is 1.
    """
    from mien.config import provenance
    from mien.data.corpus import draw
    from mien.data.readers import reader
    from mien.evaluate import group_tables, tables
    from mien.evaluate.cut import make_cut
    from mien.evaluate.groups import compare_groups, group_settings
    from mien.evaluate.judge import judge, read_all, training_digests
    from mien.faces.classify import Classifier
    from mien.faces.policy import decide

    found = reader(data)
    detect = not found.crops if detect is None else detect
    if json is not None:
        tables.check_path(json, [model, root])
    _check_plot(plot, by, [model, root, json])
    corpus, training = _corpora(data, found, root, split)
    protocols = _protocols(protocol, found, corpus, by)
    attributes = _attributes(by, corpus)
    total = len(corpus)
    corpus = corpus if limit is None else draw(corpus, limit)
    classifier = Classifier.load(model, threads=threads)
    classifier.card.policy(policy)  # before the work: is there such a policy?
    readings = read_all(corpus, classifier, make_cut(classifier.card, detect=detect, threads=threads))
    marks = None if training is None else training_digests(training)
    verdicts = judge(readings, protocols, training=marks, card=classifier.card, policy=policy)
    heading = tables.Heading(
        model=classifier.card.name,
        sha256=classifier.digest,
        data=data,
        split=(split or "valid") if found.splits else None,
        root=str(root),
        crops="by the detector" if detect else "as they are",
        drawn=f"{len(corpus)} of {total} pictures, seed 0" if len(corpus) < total else "",
        policy=policy,
    )
    typer.echo("\n".join(tables.render(heading, verdict, readings) for verdict in verdicts), nl=False)
    record = tables.to_record(heading, verdicts, readings, provenance())
    if attributes:
        settings = group_settings(classifier.card)
        shown = decide(readings.predictions.probabilities, classifier.card.policy(policy)).shown
        report = compare_groups(
            corpus,
            readings,
            attributes,
            protocols=protocols,
            detected=detect,
            guess=shown,
            settings=settings,
        )
        typer.echo(_group_text(report, [] if verdicts else tables.head(heading, readings)), nl=False)
        record["groups"] = group_tables.to_record(report)
        _draw_plot(plot, report)
    if json is not None:
        tables.write_json(json, record)
    if readings.broken:
        typer.echo(tables.render_trouble(readings), nl=False, err=True)
        raise typer.Exit(1)


def _protocols(name: str | None, found: Reader, corpus: Corpus, by: str | None) -> list[str]:
    """The protocols asked for; single labels are the same under both, so that one is enough.

    A corpus without labels has none: it can only be compared by groups.
    """
    from mien.errors import ConfigError
    from mien.evaluate.protocol import PROTOCOLS

    if name is not None and name not in PROTOCOLS:
        raise ConfigError(f"--protocol: expected one of {', '.join(PROTOCOLS)}, got {name!r}")
    if not any(sample.votes for sample in corpus.samples):
        if by is None or name is not None:
            asked = "no --by" if by is None else f"--protocol {name}"
            raise ConfigError(
                f"{corpus.name} has no labels to score by: expected --by TAGS and no --protocol, got {asked}"
            )
        return []
    if name is None:
        return list(PROTOCOLS) if found.votes else ["argmax"]
    return [name]


def _attributes(by: str | None, corpus: Corpus) -> tuple[str, ...]:
    from mien.evaluate.groups import parse_attributes

    return () if by is None else parse_attributes(by, corpus.samples)


def _check_plot(plot: Path | None, by: str | None, inputs: list[Path | None]) -> None:
    from mien.errors import ConfigError
    from mien.evaluate import group_plot, tables

    if plot is None:
        return
    if by is None:
        raise ConfigError("--plot: expected --by TAGS with it, as it draws groups; got none")
    group_plot.check_plot(plot)
    tables.check_path(plot, inputs, "--plot")


def _group_text(report: GroupReport, heading: list[str]) -> str:
    """The groups below the verdicts, or below a heading of their own."""
    from mien.evaluate.group_tables import render_groups

    return "\n".join([*heading, "", render_groups(report)])


def _draw_plot(plot: Path | None, report: GroupReport) -> None:
    from mien.evaluate.group_plot import plot_groups
    from mien.evaluate.tables import write_text

    if plot is not None:
        write_text(plot, plot_groups(report), "--plot")


def _corpora(data: str, found: Reader, root: Path, split: str | None) -> tuple[Corpus, Corpus | None]:
    """The corpus to judge on, and its training split where there is another at hand."""
    from mien.errors import ConfigError, DataError

    if not found.splits and split is not None:
        raise ConfigError(f"--split: expected none with --data {data}, which has no splits, got {split!r}")
    corpus = found.open(root, split)
    for note in corpus.notes:
        typer.echo(f"mien: note: {corpus.name}: {note}", err=True)
    if not found.splits or split == "train":
        return corpus, None
    try:
        return corpus, found.open(root, "train")
    except DataError as error:
        typer.echo(f"mien: note: no scores without training's copies: {error}", err=True)
        return corpus, None
