"""`mien evaluate`: any model on any corpus, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from mien.cli.options import Detect, Threads, make_record, option


def evaluate(  # noqa: PLR0913, PLR0917 - the options of a command are its arguments
    root: Annotated[Path, option("PATH", "Folder or zip file of the corpus.")],
    data: Annotated[
        str,
        option(
            "NAME",
            "Corpus: ferplus, fer2013, rafd, ckplus, jaffe, kdef, toy, fairface, or folder (one folder per "
            "emotion).",
        ),
    ] = "ferplus",
    model: Annotated[Path | None, option("FILE", "ONNX file, or name of a shipped network.")] = None,
    split: Annotated[
        str | None, option("NAME", r"For ferplus and fer2013: train, valid or test \[default: valid].")
    ] = None,
    protocol: Annotated[
        str | None, option("NAME", r"How votes become labels: argmax or majority \[default: both].")
    ] = None,
    detect: Detect = None,
    policy: Annotated[
        str, option("NAME", "How the emotion is chosen: accurate, or balanced if the model's card has it.")
    ] = "accurate",
    by: Annotated[
        str | None,
        option(
            "TAGS",
            "Compare groups by tags of the corpus, for example age,gender,race; race+gender compares their "
            "combinations.",
        ),
    ] = None,
    limit: Annotated[
        int | None, option("N", r"Use only N pictures, drawn at random with seed 0 \[default: all].", min=1)
    ] = None,
    plot: Annotated[
        Path | None, option("FILE", "With --by: draw the groups to FILE (.svg); replaces it if it exists.")
    ] = None,
    json: Annotated[
        Path | None, option("FILE", "Also write the results to FILE as JSON; replaces it if it exists.")
    ] = None,
    threads: Threads = 1,
) -> None:
    """Evaluate a model: accuracy, recall of every emotion, calibration, confusion matrix.

    With --by: how often each expression is read in each group, how confidently,
    and where groups differ most. This needs no labels.

    Pictures that cannot be read are listed, counted and left out; the exit status is then 1.
    """
    given = locals()
    from mien.errors import ConfigError
    from mien.evaluate.evaluation import EvaluateOptions, render_unreadable
    from mien.evaluate.evaluation import evaluate as run_evaluation
    from mien.evaluate.group_tables import check_plot, plot_groups
    from mien.files import write_whole

    if json is not None:
        _check_output("--json", json, [model, root])
    if plot is not None:
        if by is None:
            raise ConfigError("--plot: expected --by TAGS as well, for the groups to draw; got none")
        check_plot(plot)
        _check_output("--plot", plot, [model, root, json])
    result = run_evaluation(make_record(EvaluateOptions, given))
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


def _check_output(name: str, path: Path, inputs: Sequence[Path | None]) -> None:
    """Say before the work begins that a result cannot go to `path`: no folder, a folder, or an input."""
    from mien.errors import OutputError

    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else f"lies in {path.parent}, which does not exist"
        raise OutputError(f"{name}: expected a file in a folder that exists, {path} {what}; give another")
    if any(p is not None and p.exists() and path.exists() and p.samefile(path) for p in inputs):
        raise OutputError(f"{name}: expected a file that is not an input, {path} is one; give another")
