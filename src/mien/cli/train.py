"""`mien train`: a recipe into a run's folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from mien.cli.options import Precision, TrainingDevice, argument, option


def train(  # noqa: PLR0913, PLR0917 - the options of a command are its arguments
    recipe: Annotated[
        str,
        argument(
            "RECIPE",
            "compact, votes, teacher, teacher-96 or teacher-large; face, face-more, face-fine or face-last, "
            "the network that looks at the face itself (docs/face.md); or a variant of the paper: "
            "paper-300, paper-500, paper-300-500, paper-raw, paper-300-8way, paper-300-one, paper-300-pca, "
            "paper-300-alone, paper-300-joint, paper-pretrained, paper-noise or paper-mask, each also "
            "with -small (see docs/paper.md).",
        ),
    ],
    root: Annotated[
        Path,
        option(
            "PATH",
            "Folder or zip file of the corpus; for face: the folder that holds fairface, photos and "
            "ferplus, each a folder or zip file.",
        ),
    ],
    data: Annotated[
        str, option("NAME", "Corpus: ferplus; for the paper's variants also rafd or toy.")
    ] = "ferplus",
    out: Annotated[Path | None, option("DIR", r"Folder for the run \[default: runs/RECIPE].")] = None,
    epochs: Annotated[
        int | None,
        option(
            "N", r"Number of epochs (paper: of each of eight networks) \[default: set by the recipe].", min=1
        ),
    ] = None,
    seed: Annotated[
        int | None, option("N", r"Seed of all random numbers \[default: set by the recipe, or 0].", min=0)
    ] = None,
    unlabelled: Annotated[
        Path | None,
        option(
            "PATH",
            "Folder or zip file of FairFace. For compact: more faces, labelled by the teachers; for the "
            "paper's variants: more pictures for the autoencoders.",
        ),
    ] = None,
    teacher: Annotated[
        list[Path] | None,
        option(
            "FILE",
            "For compact: exported network (ONNX) to learn from; may be repeated (their mean is used).",
        ),
    ] = None,
    start: Annotated[
        Path | None,
        option(
            "PATH",
            "For teacher and teacher-96: Intel's face-reidentification-retail-0095 (ONNX); for face-more, "
            "face-fine and face-last: the folder of a run.",
        ),
    ] = None,
    labels: Annotated[
        Path | None, option("DIR", "For face: folder of what its teacher says of each corpus (NAME.npz).")
    ] = None,
    negatives: Annotated[
        Path | None,
        option(
            "PATH",
            "For face: what is no face, an .npz of crops, or a folder or zip file of pictures without "
            "people.",
        ),
    ] = None,
    device: TrainingDevice = "cpu",
    precision: Precision = "float32",
    threads: Annotated[int | None, option("N", r"CPU threads \[default: one per core].", min=1)] = None,
) -> None:
    """Train a network; run the same command again to resume after a stop.

    With several processes: torchrun --nproc-per-node 2 -m mien train ...
    """
    from mien.errors import ConfigError
    from mien.train import require_torch

    require_torch()
    import torch

    from mien.paper.training import train_paper
    from mien.paper.variants import VARIANTS, make_variant
    from mien.train import distributed
    from mien.train.face_recipes import FACE_RECIPES, run_face_training
    from mien.train.loop import LoopOptions
    from mien.train.recipes import RECIPES, make_recipe, run_training

    run = out or Path("runs") / recipe
    if recipe not in RECIPES | FACE_RECIPES and recipe.removesuffix("-small") not in VARIANTS:
        known = ", ".join((*RECIPES, *FACE_RECIPES, *VARIANTS))
        raise ConfigError(
            f"recipe: expected one of {known} (the paper's variants also with -small), got {recipe!r}"
        )
    if recipe in FACE_RECIPES and (labels is None or negatives is None or teacher or unlabelled):
        raise ConfigError(
            f"recipe {recipe!r}: needs --labels and --negatives, and takes no --teacher and no --unlabelled"
        )
    if recipe not in FACE_RECIPES and (labels or negatives):
        raise ConfigError(f"--labels and --negatives are for {', '.join(FACE_RECIPES)}, got {recipe!r}")
    if threads:
        torch.set_num_threads(threads)

    def as_asked(loop: LoopOptions) -> LoopOptions:
        chosen = loop.seed if seed is None else seed
        return replace(loop, seed=chosen, epochs=epochs or loop.epochs, precision=precision)

    with distributed.joined(device) as place:
        if recipe in RECIPES:
            chosen = make_recipe(recipe)
            if data != chosen.data:
                raise ConfigError(f"recipe {recipe!r}: learns from {chosen.data!r}, got --data {data}")
            run_training(
                replace(chosen, loop=as_asked(chosen.loop)), root, run,
                teachers=teacher or (), unlabelled=unlabelled, start=start, device=place, report=say,
            )  # fmt: skip
        elif labels is not None and negatives is not None:
            wanted = FACE_RECIPES[recipe]()
            run_face_training(
                replace(wanted, loop=as_asked(wanted.loop)), root, run,
                labels=labels, negatives=negatives, start=start, device=place, report=say,
            )  # fmt: skip
        else:
            paper = make_variant(recipe).seeded(seed or 0).with_precision(precision)
            paper = replace(paper, loop=as_asked(paper.loop))
            train_paper(paper, data, root, run, unlabelled=unlabelled, device=place, report=say)
        if distributed.rank() == 0:
            typer.echo(f"done: {run}; export it with: mien export {run} -o {recipe}.onnx")


def say(line: Any) -> None:
    """Print one line of a log."""
    typer.echo("  ".join(f"{key} {value}" for key, value in line.items()))
