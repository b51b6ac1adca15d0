"""`mien calibrate`: a network's numbers made to mean what they say, by faces with labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mien.data.corpus import Corpus
    from mien.data.readers import Reader


def calibrate(  # noqa: PLR0913, PLR0917 - the options of a command are its arguments
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An ONNX file made by `mien export`.")],
    root: Annotated[Path, typer.Option(help="Folder or zip of the corpus; of FER+ its split valid is used.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The ONNX file to write.")],
    data: Annotated[str, typer.Option(help="The corpus, as in `mien evaluate`.")] = "ferplus",
    coverage: Annotated[
        float, typer.Option(help="Share of faces whose set of emotions shall hold the label.")
    ] = 0.9,
    right: Annotated[
        float, typer.Option(help="Share that shall be right of the readings that are not uncertain.")
    ] = 0.9,
    protocol: Annotated[
        str, typer.Option(help="How votes become the labels that count: argmax or majority.")
    ] = "argmax",
    limit: Annotated[
        list[str] | None, typer.Option(help="A known failure to write on the card as well; may be repeated.")
    ] = None,
    splits: Annotated[int, typer.Option(min=1, help="Cuts into halves that measure what is fitted.")] = 50,
    seed: Annotated[int, typer.Option(help="Of the cuts.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUTPUT if it exists.")] = False,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the network.")] = 1,
) -> None:
    """Fit temperature, prediction sets, doubt and the policy for rare emotions; write them on the card.

    The weights stay as they are, bit for bit. What was fitted on all faces is measured on halves that were
    not used for fitting. Never give faces that the network learnt from.
    """
    from dataclasses import replace

    from mien.data.readers import reader
    from mien.evaluate.calibrate import Settings
    from mien.evaluate.calibrate_card import Plan, calibrated_card
    from mien.evaluate.cut import make_cut
    from mien.evaluate.judge import read_all
    from mien.faces.classify import Classifier
    from mien.faces.rewrite import with_card
    from mien.faces.runtimes import by_session
    from mien.faces.session import open_session, read_card
    from mien.files import WholeFile
    from mien.results.card_text import render_calibration

    _check(coverage=coverage, right=right, protocol=protocol)
    found = reader(data)
    corpus = _open(found, root)
    session = open_session(model, threads=threads)
    card = read_card(session)
    with WholeFile(output, overwrite=overwrite) as file:
        raw = Classifier(by_session(session), replace(card, temperature=1.0))
        readings = read_all(corpus, raw, make_cut(card, detect=not found.crops, threads=threads))
        plan = Plan(Settings(coverage, right), protocol, splits, seed)
        card = calibrated_card(card, corpus.name, readings, plan)
        card = replace(card, limits=(*card.limits, *(limit or ())))
        calibrated = with_card(model.read_bytes(), card)
        read_card(open_session(calibrated))  # the file can be read again, or does not take its name
        file.partial.write_bytes(calibrated)
    for name, error in readings.broken:
        typer.echo(f"mien: note: left out: {name}: {error}", err=True)
    typer.echo("\n".join(render_calibration(card)))


def _check(*, coverage: float, right: float, protocol: str) -> None:
    from mien.errors import ConfigError
    from mien.evaluate.protocol import PROTOCOLS

    for option, value in (("--coverage", coverage), ("--right", right)):
        if not 0 < value < 1:
            raise ConfigError(f"{option}: expected a share between 0 and 1, got {value:g}")
    if protocol not in PROTOCOLS:
        raise ConfigError(f"--protocol: expected one of {', '.join(PROTOCOLS)}, got {protocol!r}")


def _open(found: Reader, root: Path) -> Corpus:
    """The faces to calibrate on; of a corpus with splits those of `valid`."""
    from mien.errors import ConfigError

    corpus = found.open(root, "valid" if found.splits else None)
    if not any(sample.votes for sample in corpus.samples):
        raise ConfigError(f"{corpus.name} has no labels: expected labelled faces to calibrate on")
    return corpus
