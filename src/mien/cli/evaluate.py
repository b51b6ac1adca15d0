"""`mien evaluate`: any model on any corpus, as a table and as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mien.data.corpus import Corpus
    from mien.data.readers import Reader
    from mien.evaluate.judge import Cut
    from mien.run.classify import Classifier


def evaluate(
    root: Annotated[Path, typer.Option(help="Folder or zip of the corpus.")],
    data: Annotated[
        str,
        typer.Option(help="ferplus, fer2013, rafd, ckplus, jaffe, kdef, toy or folder (one an emotion)."),
    ] = "ferplus",
    model: Annotated[Path | None, typer.Option(help="ONNX file, instead of the shipped model.")] = None,
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
    json: Annotated[Path | None, typer.Option(help="Write the same as JSON; replaces the file.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the network.")] = 1,
) -> None:
    """Judge a model: accuracy, recall of every emotion, calibration, confusion matrix.

    Pictures that cannot be read are named, counted and left out, and the exit status is 1.
    """
    from mien.config import provenance
    from mien.data.readers import reader
    from mien.evaluate import tables
    from mien.evaluate.judge import judge, read_all, training_digests
    from mien.run.classify import Classifier

    found = reader(data)
    detect = not found.crops if detect is None else detect
    protocols = _protocols(protocol, found)
    if json is not None:
        tables.check_json_path(json, [model, root])
    corpus, training = _corpora(data, found, root, split)
    classifier = Classifier.load(model, threads=threads)
    readings = read_all(corpus, classifier, _cut(classifier, detect, threads))
    marks = None if training is None else training_digests(training)
    verdicts = judge(readings, protocols, training=marks)
    heading = tables.Heading(
        model=classifier.card.name,
        sha256=_sha256(model),
        data=data,
        split=(split or "valid") if found.splits else None,
        root=str(root),
        crops="by the detector" if detect else "as they are",
    )
    typer.echo("\n".join(tables.render(heading, verdict, readings) for verdict in verdicts), nl=False)
    if json is not None:
        tables.write_json(json, tables.to_record(heading, verdicts, readings, provenance()))
    if readings.broken:
        typer.echo(tables.render_trouble(readings), nl=False, err=True)
        raise typer.Exit(1)


def _protocols(name: str | None, found: Reader) -> list[str]:
    """The protocols asked for; single labels are the same under both, so that one is enough."""
    from mien.errors import ConfigError
    from mien.evaluate.protocol import PROTOCOLS

    if name is None:
        return list(PROTOCOLS) if found.votes else ["argmax"]
    if name not in PROTOCOLS:
        raise ConfigError(f"--protocol: expected one of {', '.join(PROTOCOLS)}, got {name!r}")
    return [name]


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


def _cut(classifier: Classifier, detect: bool, threads: int) -> Cut:
    """How a picture becomes a crop: whole, or its largest face upright."""
    import numpy as np

    from mien.preprocess import crop, fit
    from mien.run.detect import YuNet
    from mien.types import Image

    card = classifier.card
    if not detect:
        return lambda image: fit(image, card)
    detector = YuNet(threads=threads)

    def largest(image: Image) -> Image | None:
        colour = image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)  # (H, W, 3)
        faces = detector.detect(colour)
        return crop(image, faces[0].landmarks, card) if faces else None

    return largest


def _sha256(model: Path | None) -> str:
    from hashlib import sha256

    from mien.models import load_model

    return sha256(load_model() if model is None else model.read_bytes()).hexdigest()
