"""A model evaluated or calibrated on a corpus, from the files to the figures.

`mien evaluate` calls `evaluate`, `mien calibrate` calls `calibrate_model`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mien.card import ACCURATE, ModelCard, join_blocks, with_card
from mien.config import provenance
from mien.data import CorpusReader, find_reader
from mien.data.corpus import Corpus, draw
from mien.errors import ConfigError, DataError
from mien.evaluate import tables
from mien.evaluate.calibrate import CalibrateOptions, calibrate_card
from mien.evaluate.group_tables import make_group_record, render_groups
from mien.evaluate.groups import GroupOptions, GroupReport, compare_groups, parse_attributes
from mien.evaluate.judge import Predictions, Verdict, judge, make_cropper, predict_corpus, training_digests
from mien.evaluate.protocol import PROTOCOLS, check_protocol
from mien.faces.network import Classifier, OnnxNetwork, open_session, read_card, read_model
from mien.faces.policy import decide
from mien.files import WholeFile


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """What is evaluated on what."""

    root: Path  # folder or zip of the corpus
    data: str = "ferplus"  # name of the corpus, in `data.CORPUS_READERS`
    model: Path | None = None  # ONNX file, or name of a shipped network; None: the default network
    split: str | None = None  # of a corpus that has splits; None: valid
    protocol: str | None = None  # in `PROTOCOLS`; None: all that differ
    detect: bool | None = None  # find the largest face first, or pictures are faces; None: by corpus
    policy: str = ACCURATE  # how the emotion is chosen, of those on the model's card
    by: str | None = None  # tags to compare groups by, as "age,race+gender"
    limit: int | None = None  # pictures to judge on, drawn with seed 0; None: all
    threads: int = 1  # CPU threads of the network


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """How a model did on a corpus."""

    heading: tables.Heading
    predictions: Predictions
    verdicts: tuple[Verdict, ...]  # one per protocol; none where there are no labels
    groups: GroupReport | None = None
    notes: tuple[str, ...] = ()  # what the reader should know of the corpus

    def to_text(self) -> str:
        """Tables of at most 80 columns, ending in a newline."""
        parts = [tables.render_verdict(self.heading, one, self.predictions) for one in self.verdicts]
        if not parts:
            parts = [join_blocks([tables.render_heading(self.heading, self.predictions)])]
        if self.groups is not None:
            parts.append(render_groups(self.groups))
        return "\n".join(parts)

    def to_record(self) -> dict[str, Any]:
        """The same for JSON, unrounded, with the versions that made it."""
        record = tables.make_record(self.heading, self.verdicts, self.predictions, provenance())
        if self.groups is not None:
            record["groups"] = make_group_record(self.groups)
        return record


def evaluate(options: EvaluateOptions) -> Evaluation:
    """Judge a model on a corpus, and compare groups if asked.

    Raises:
        ConfigError: an option that names nothing there is, or labels or tags that the corpus has not.
        DataError: the corpus cannot be read, or nothing in it can be judged.
        ModelError: the model cannot be read.
    """
    found = find_reader(options.data)
    detect = not found.crops if options.detect is None else options.detect
    corpus, training, notes = _open_corpus(options, found)
    protocols = _choose_protocols(options, found, corpus)
    attributes = () if options.by is None else parse_attributes(options.by, corpus.samples)
    classifier = Classifier.load(options.model, threads=options.threads)
    card = classifier.card
    policy = card.policy(options.policy)  # before the work: is there such a policy?
    judged = corpus if options.limit is None else draw(corpus, options.limit)
    cropper = make_cropper(card, detect=detect, threads=options.threads)
    predictions = predict_corpus(judged, classifier, cropper)
    copies = None if training is None else training_digests(training)
    verdicts = judge(predictions, protocols, training=copies, card=card, policy=options.policy)
    groups = None
    if attributes:
        groups = compare_groups(
            judged,
            predictions,
            attributes,
            protocols=protocols,
            detected=detect,
            guess=decide(predictions.probabilities, policy).shown,
            options=GroupOptions.of_card(card),
        )
    heading = tables.Heading(
        model=card.name,
        sha256=classifier.digest,
        data=options.data,
        split=(options.split or "valid") if found.splits else None,
        root=str(options.root),
        crops="by the detector" if detect else "as they are",
        drawn=f"{len(judged)} of {len(corpus)} pictures, seed 0" if len(judged) < len(corpus) else "",
        policy=options.policy,
    )
    return Evaluation(heading, predictions, tuple(verdicts), groups, notes)


def _open_corpus(
    options: EvaluateOptions, found: CorpusReader
) -> tuple[Corpus, Corpus | None, tuple[str, ...]]:
    """The corpus to judge on, its training split where there is another at hand, and notes."""
    if not found.splits and options.split is not None:
        raise ConfigError(
            f"--split: expected none with --data {options.data}, which has no splits, got {options.split!r}"
        )
    corpus = found.open(options.root, options.split)
    notes = tuple(f"{corpus.name}: {note}" for note in corpus.notes)
    if not found.splits or options.split == "train":
        return corpus, None, notes
    try:
        return corpus, found.open(options.root, "train"), notes
    except DataError as error:
        return corpus, None, (*notes, f"no scores without training's copies: {error}")


def _choose_protocols(options: EvaluateOptions, found: CorpusReader, corpus: Corpus) -> list[str]:
    """The protocols asked for; single labels are the same under both, so that one is enough.

    A corpus without labels has none: it can only be compared by groups.
    """
    name = options.protocol
    if name is not None:
        check_protocol(name)
    if any(sample.votes for sample in corpus.samples):
        if name is not None:
            return [name]
        return list(PROTOCOLS) if found.votes else ["argmax"]
    if options.by is None or name is not None:
        asked = "no --by" if options.by is None else f"--protocol {name}"
        raise ConfigError(
            f"{corpus.name} has no labels to score by: expected --by TAGS and no --protocol, got {asked}"
        )
    return []


def calibrate_model(
    model: Path,
    root: Path,
    output: Path,
    options: CalibrateOptions,
    *,
    data: str = "ferplus",
    limits: Sequence[str] = (),
    overwrite: bool = False,
    threads: int = 1,
) -> tuple[ModelCard, list[str]]:
    """Write a model whose card holds what was fitted on labelled faces; its weights stay as they are.

    Args:
        model: ONNX file with a card.
        root: folder or zip of the corpus; of one with splits, `valid` is used.
        output: the ONNX file to write.
        options: what is asked of the calibration, and how it is measured.
        data: name of the corpus.
        limits: known failures to write on the card as well.
        overwrite: replace `output` if it exists.
        threads: CPU threads of the network.

    Returns:
        The card as it was written, and notes on pictures that could not be read.

    Raises:
        ConfigError: no such corpus, or one without labels.
        DataError: too few faces with a label.
        ModelError: the model cannot be read.
        OutputError: `output` exists or cannot be written.
    """
    found = find_reader(data)
    corpus = found.open(root, "valid" if found.splits else None)
    if not any(sample.votes for sample in corpus.samples):
        raise ConfigError(f"{corpus.name} has no labels: expected labelled faces to calibrate on")
    network = OnnxNetwork(read_model(model), name=str(model), threads=threads)
    card = read_card(network.session)
    with_card(model.read_bytes(), card)  # if onnx is missing, say so before the faces are read
    with WholeFile(output, overwrite=overwrite) as file:
        raw = Classifier(network, replace(card, temperature=1.0))
        cropper = make_cropper(card, detect=not found.crops, threads=threads)
        predictions = predict_corpus(corpus, raw, cropper)
        card = calibrate_card(card, corpus.name, predictions, options)
        card = replace(card, limits=(*card.limits, *limits))
        calibrated = with_card(model.read_bytes(), card)
        read_card(open_session(calibrated))  # the file can be read again, or does not take its name
        file.partial.write_bytes(calibrated)
    return card, [f"left out: {name}: {error}" for name, error in predictions.unreadable]
