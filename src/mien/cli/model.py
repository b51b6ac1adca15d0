"""What is done with a model file: `mien export`, `mien quantize`, `mien calibrate` and `mien card`."""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.options import Detect, InputModel, OutputModel, Overwrite, Threads, argument, flag, option

if TYPE_CHECKING:
    from mien.train.quantize import QuantizationReport


def export(
    run: Annotated[
        Path, argument("RUN", "Folder of a training run: from `mien train`, or one part of `mien reproduce`.")
    ],
    output: OutputModel,
    name: Annotated[
        str | None, option("NAME", r"Name of the network on its card \[default: the recipe's name].")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a trained network as an ONNX file that contains its model card."""
    _check_output(output, overwrite=overwrite)
    from mien.paper.training import export_paper_run, is_paper_run
    from mien.train.export import export_face_run, export_run, is_face_run

    write = export_paper_run if is_paper_run(run) else export_face_run if is_face_run(run) else export_run
    write(run, output, name=name)
    typer.echo(f"{output}: {output.stat().st_size / 1e6:.1f} MB")


def quantize(
    model: InputModel,
    root: Annotated[
        Path,
        option(
            "PATH",
            "Folder or zip file of FER+: split train sets the value ranges, valid tests the result. For the "
            "face network: the folder of its corpora, as in `mien train face`.",
        ),
    ],
    output: OutputModel,
    labels: Annotated[
        Path | None,
        option("DIR", "For the face network: folder of the labels it learnt, as in `mien train face`."),
    ] = None,
    within: Annotated[
        float,
        option(
            "POINTS",
            "Most recall that an emotion may lose, in percentage points; if one loses more, nothing is "
            "written.",
            min=0,
        ),
    ] = 1.0,
    weights_only: Annotated[
        bool,
        flag(
            "--weights-only",
            "Keep 8-bit weights, but compute in float32: the file gets small, the network no faster.",
        ),
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Write a network with 8-bit convolutions, only if no emotion loses more recall than --within.

    The recall is measured on FER+ valid. Run `mien calibrate` on the result:
    its probabilities differ from those of the original network. The face network
    (--labels) is judged by its teacher's labels instead.
    """
    from mien.errors import ConfigError

    if labels is not None and weights_only:
        raise ConfigError("--weights-only: cannot be used for the face network; leave it or --labels out")
    _check_output(output, overwrite=overwrite)
    from mien.faces.network import read_model
    from mien.train.quantize import run_quantize, run_quantize_face

    if labels is None:
        typer.echo(_table(run_quantize(model, root, output, within=within, weights_only=weights_only)))
    else:
        for key, (before, after) in run_quantize_face(model, root, labels, output).items():
            typer.echo(f"{key:<20}{before:>9.3f}{after:>9.3f}")
    before = len(read_model(model)) / 1e6
    typer.echo(f"{output}: {output.stat().st_size / 1e6:.2f} MB, {before:.2f} before")


def calibrate(  # noqa: PLR0913, PLR0917 - the options of a command are its arguments
    model: InputModel,
    root: Annotated[
        Path,
        option(
            "PATH",
            "Folder or zip file of the corpus; for FER+, the split valid is used. With --data review: the "
            "codes (as for `mien agree`).",
        ),
    ],
    output: OutputModel,
    data: Annotated[
        str, option("NAME", "The corpus, as in `mien evaluate`; or review: what people coded of --table.")
    ] = "ferplus",
    table: Annotated[
        Path | None,
        option(
            "TABLE", "With --data review: the table of what was coded, written by `mien analyze` with MODEL."
        ),
    ] = None,
    detect: Detect = None,
    coverage: Annotated[
        float, option("SHARE", "Target share of faces whose set of emotions contains the label, 0 to 1.")
    ] = 0.9,
    right: Annotated[
        float, option("SHARE", "Target accuracy of the readings not marked uncertain, 0 to 1.")
    ] = 0.9,
    protocol: Annotated[str, option("NAME", "How votes become labels: argmax or majority.")] = "argmax",
    limit: Annotated[
        list[str] | None,
        option(
            "TEXT",
            "A sentence on a known limit of the network, to add to its card (a text, not a number as in "
            "`mien evaluate`); may be repeated.",
        ),
    ] = None,
    splits: Annotated[
        int, option("N", "Number of random splits into halves, one to fit, one to test.", min=1)
    ] = 50,
    seed: Annotated[int, option("N", "Seed of the random splits.", min=0)] = 0,
    overwrite: Overwrite = False,
    threads: Threads = 1,
) -> None:
    """Calibrate a network and write the result on its card.

    It fits the temperature of the probabilities, the sets of emotions, the mark for
    uncertain readings, and the policy that finds more of the rare emotions.
    The weights do not change. The values written are fitted on all faces; how good
    they are is measured with halves of the faces that were not used for fitting.
    Never use faces that the network was trained on.

    MODEL may be the name of a shipped network. With --data review, emotions with fewer
    than 50 coded faces are not fitted alone; figures before and after are printed.
    """
    from mien.card import render_calibration
    from mien.errors import ConfigError
    from mien.evaluate.calibrate import CalibrateOptions
    from mien.evaluate.evaluation import calibrate_model
    from mien.evaluate.lab import calibrate_on_codes

    options = CalibrateOptions(coverage, right, protocol, splits, seed)
    if (data == "review") != (table is not None):
        raise ConfigError(f"expected --table with --data review and nowhere else, got --data {data}")
    if table is not None:
        found, notes = calibrate_on_codes(
            model, root, table, output, options, limits=limit or (), overwrite=overwrite
        )
    else:
        found, notes = calibrate_model(
            model, root, output, options,
            data=data, detect=detect, limits=limit or (), overwrite=overwrite, threads=threads,
        )  # fmt: skip
    for note in notes:
        typer.echo(f"mien: note: {note}", err=True)
    typer.echo("\n".join(render_calibration(found)))


def card(
    model: Annotated[Path | None, argument("MODEL", "ONNX file, or name of a shipped network.")] = None,
    json: Annotated[bool, flag("--json", "Print the whole card as JSON.")] = False,
) -> None:
    """Print the model card of a network."""
    from mien.card import render_card, render_face_card
    from mien.faces.network import open_session, read_card, read_face_card, read_model

    session = open_session(read_model(model))
    known = read_face_card(session)
    if known is not None:
        typer.echo(dumps(known, indent=1) if json else render_face_card(known).rstrip())
        return
    found = read_card(session)
    typer.echo(found.to_json(indent=1) + "\n" if json else render_card(found), nl=False)


def _table(found: QuantizationReport) -> str:
    from mien.card import percent
    from mien.labels import EMOTIONS

    lines = [f"{'recall, per cent':<17}{'n':>6}{'before':>8}{'after':>8}"]
    lines += [
        f"{name:<17}{n:>6}{percent(before):>8}{percent(after):>8}"
        for name, n, before, after in zip(EMOTIONS, found.n, found.before, found.after, strict=True)
    ]
    lines.append(f"{'accuracy':<17}{found.n.sum():>6}" + "".join(f"{percent(a):>8}" for a in found.accuracy))
    lines.append(f"read alike: {percent(found.agreement)} %")
    return "\n".join(lines)


def _check_output(output: Path, *, overwrite: bool) -> None:
    """Refuse a place that cannot be written to; say how to install the learning half where it is absent."""
    from mien.files import WholeFile
    from mien.train import require_torch

    require_torch()
    WholeFile(output, overwrite=overwrite).discard()  # refuses before any work is done
