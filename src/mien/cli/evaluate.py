"""`mien evaluate`: any model on any corpus, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from json import dumps
from pathlib import Path
from typing import Annotated

import typer


def evaluate(  # noqa: PLR0913, PLR0917 - the options of a command are its arguments
    root: Annotated[Path, typer.Option(help="Folder or zip of the corpus.")],
    data: Annotated[
        str,
        typer.Option(
            help="ferplus, fer2013, rafd, ckplus, jaffe, kdef, toy, fairface or folder (one per emotion)."
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
        typer.Option(min=1, help="Judge on this many pictures, drawn with seed 0; all if not given."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the groups of --by to an .svg file; replaces the file.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the same as JSON; replaces the file.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the network.")] = 1,
) -> None:
    """Judge a model: accuracy, recall of every emotion, calibration, confusion matrix.

    With --by: how often each expression is read in each group, with what confidence, and where groups differ
    most. This needs no labels.

    Pictures that cannot be read are named, counted and left out, and the exit status is 1.
    """
    from mien.errors import ConfigError
    from mien.evaluate.evaluation import EvaluateOptions
    from mien.evaluate.evaluation import evaluate as run_evaluation
    from mien.evaluate.group_tables import check_plot, plot_groups
    from mien.evaluate.tables import render_unreadable
    from mien.files import write_whole

    if json is not None:
        _check_output("--json", json, [model, root])
    if plot is not None:
        if by is None:
            raise ConfigError("--plot: expected --by TAGS with it, as it draws groups; got none")
        check_plot(plot)
        _check_output("--plot", plot, [model, root, json])
    options = EvaluateOptions(
        root=root,
        data=data,
        model=model,
        split=split,
        protocol=protocol,
        detect=detect,
        policy=policy,
        by=by,
        limit=limit,
        threads=threads,
    )
    result = run_evaluation(options)
    for note in result.notes:
        typer.echo(f"mien: note: {note}", err=True)
    typer.echo(result.to_text(), nl=False)
    if plot is not None and result.groups is not None:
        write_whole(plot, plot_groups(result.groups))
    if json is not None:
        text = dumps(result.to_record(), indent=1, ensure_ascii=False, allow_nan=False)
        write_whole(json, text + "\n")
    if result.predictions.unreadable:
        typer.echo(render_unreadable(result.predictions), nl=False, err=True)
        raise typer.Exit(1)


def _check_output(option: str, path: Path, inputs: Sequence[Path | None]) -> None:
    """Say before the work begins that a result cannot go to `path`: no folder, a folder, or an input."""
    from mien.errors import OutputError

    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else f"lies in {path.parent}, which is not there"
        raise OutputError(f"{option}: expected a file in a folder that exists, {path} {what}; give another")
    if any(p is not None and p.exists() and path.exists() and p.samefile(path) for p in inputs):
        raise OutputError(f"{option}: expected a file of its own, {path} is an input; give another")
