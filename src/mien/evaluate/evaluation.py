"""A model evaluated or calibrated on a corpus, from the files to the figures, as text and as JSON.

`mien evaluate` calls `evaluate`, `mien calibrate` calls `calibrate_model`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from textwrap import wrap
from typing import Any, Final

import numpy as np

from mien.card import ACCURATE, TEXT_WIDTH, ModelCard, join_blocks, percent, render_policies, with_card
from mien.config import provenance
from mien.data import CorpusReader, find_reader
from mien.data.corpus import Corpus, draw
from mien.errors import ConfigError, DataError, list_few
from mien.evaluate.calibrate import CalibrateOptions, calibrate_card
from mien.evaluate.group_tables import make_group_record, render_groups
from mien.evaluate.groups import GroupOptions, GroupReport, compare_groups, parse_attributes
from mien.evaluate.judge import (
    LARGEST_CROP,
    Predictions,
    Scores,
    Verdict,
    judge,
    make_cropper,
    predict_corpus,
    training_digests,
)  # fmt: skip
from mien.evaluate.metrics import PROTOCOLS, check_protocol, mean_defined, to_json
from mien.faces.network import Classifier, OnnxNetwork, open_session, read_card, read_model
from mien.faces.policy import decide
from mien.files import WholeFile
from mien.labels import EMOTIONS
from mien.results.tables import printable

#: The paper's accuracy one emotion against the rest at 50:50, per cent, mean of the ten folds of its
#: Tables 3-10 on RaFD; its matrices are transposed, which leaves accuracy as it is.
PAPER: Final = {
    "neutral": 93.75,
    "happiness": 97.50,
    "surprise": 93.29,
    "sadness": 97.29,
    "anger": 93.21,
    "disgust": 85.11,
    "fear": 73.46,
    "contempt": 66.57,
}
_LARGE: Final = f"by the detector over {LARGEST_CROP} px"
_CROPS: Final = {True: "by the detector", False: "as they are", None: _LARGE}
MAX_NAMED: Final = 10  # unreadable pictures named in the text; the JSON names all


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """What is evaluated on what."""

    root: Path | str  # folder or zip of the corpus
    data: str = "ferplus"  # name of the corpus, in `data.CORPUS_READERS`
    model: Path | str | None = None  # ONNX file, or name of a shipped network; None: the default network
    split: str | None = None  # of a corpus that has splits; None: valid
    protocol: str | None = None  # in `PROTOCOLS`; None: all that differ
    detect: bool | None = None  # find the largest face first, or pictures are faces; None: by corpus
    policy: str = ACCURATE  # how the emotion is chosen, of those on the model's card
    by: str | None = None  # tags to compare groups by, as "age,race+gender"
    limit: int | None = None  # pictures to judge on, drawn with seed 0; None: all
    threads: int = 1  # CPU threads of the network


@dataclass(frozen=True, slots=True)
class Heading:
    """What was judged on what."""

    model: str
    sha256: str  # of the model's file
    data: str  # the corpus, e.g. "ferplus"
    split: str | None  # None where the corpus has none
    root: str
    crops: str = "as they are"  # or how faces were found
    drawn: str = ""  # e.g. "1000 of 40000 pictures, seed 0"; empty: all
    policy: str = ACCURATE  # how the emotion that is scored was chosen


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """How a model did on a corpus."""

    heading: Heading
    predictions: Predictions
    verdicts: tuple[Verdict, ...]  # one per protocol; none where there are no labels
    groups: GroupReport | None = None
    notes: tuple[str, ...] = ()  # what the reader should know of the corpus

    def to_text(self) -> str:
        """Tables of at most 80 columns, ending in a newline."""
        parts = [render_verdict(self.heading, one, self.predictions) for one in self.verdicts]
        if not parts:
            parts = [join_blocks([render_heading(self.heading, self.predictions)])]
        if self.groups is not None:
            parts.append(render_groups(self.groups))
        return "\n".join(parts)

    def to_record(self) -> dict[str, Any]:
        """The same for JSON, unrounded, with the versions that made it."""
        record = make_record(self.heading, self.verdicts, self.predictions, provenance())
        if self.groups is not None:
            record["groups"] = make_group_record(self.groups)
        return record


def evaluate(options: EvaluateOptions) -> Evaluation:
    """Judge a model on a corpus, and compare groups if asked.

    Raises:
        ConfigError: an option names what does not exist, or the corpus lacks the labels or tags.
        DataError: the corpus cannot be read, or nothing in it can be judged.
        ModelError: the model cannot be read.
    """
    found = find_reader(options.data)
    corpus, training, notes = _open_corpus(options, found)
    detect = found.choose_detection(options.detect)
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
            detected=detect is not False,
            guess=decide(predictions.probabilities, policy).shown,
            options=GroupOptions.of_card(card),
        )
    heading = Heading(
        model=card.name,
        sha256=classifier.digest,
        data=options.data,
        split=(options.split or "valid") if found.splits else None,
        root=str(options.root),
        crops=_CROPS[detect],
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


def calibrate_model(  # noqa: PLR0913 - each is one choice of a user
    model: Path | str,
    root: Path | str,
    output: Path | str,
    options: CalibrateOptions,
    *,
    data: str = "ferplus",
    detect: bool | None = None,
    limits: Sequence[str] = (),
    overwrite: bool = False,
    threads: int = 1,
) -> tuple[ModelCard, list[str]]:
    """Write a model whose card holds what was fitted on labelled faces; its weights stay as they are.

    Args:
        model: ONNX file with a card, or name of a shipped network.
        root: folder or zip of the corpus; of one with splits, `valid` is used.
        output: the ONNX file to write.
        options: what is asked of the calibration, and how it is measured.
        data: name of the corpus.
        detect: find the largest face first, or pictures are faces; None: by corpus.
        limits: known failures to write on the card as well.
        overwrite: replace `output` if it exists.
        threads: CPU threads of the network.

    Returns:
        The card as it was written, and notes on the corpus, unreadable pictures and those without a face.

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
    content = read_model(model)
    network = OnnxNetwork(content, name=str(model), threads=threads)
    card = read_card(network.session)
    with_card(content, card)  # if onnx is missing, say so before the faces are read
    with WholeFile(Path(output), overwrite=overwrite) as file:
        raw = Classifier(network, replace(card, temperature=1.0))
        cropper = make_cropper(card, detect=found.choose_detection(detect), threads=threads)
        predictions = predict_corpus(corpus, raw, cropper)
        card = calibrate_card(card, corpus.name, predictions, options)
        card = replace(card, limits=(*card.limits, *limits))
        calibrated = with_card(content, card)
        read_card(open_session(calibrated))  # the file can be read again, or does not take its name
        file.partial.write_bytes(calibrated)
    notes = [f"{corpus.name}: {note}" for note in corpus.notes]
    notes += [f"left out: {_one_line(error)}" for _, error in predictions.unreadable]
    if faceless := predictions.faceless:
        notes.append(_one_line(f"left out: {len(faceless)} without a face: {list_few(faceless)}"))
    return card, notes


# --- text and JSON


def render_verdict(heading: Heading, verdict: Verdict, predictions: Predictions) -> str:
    """One table, lines of at most 80 columns, ending in a newline."""
    # the policies of the card beside each other, where it has several
    n = dict(zip(EMOTIONS, verdict.scores.counts.sum(axis=1).tolist(), strict=True))
    policies = render_policies(to_json(verdict.policies), n) if len(verdict.policies) > 1 else []
    return join_blocks(
        [
            render_heading(heading, predictions, verdict),
            _render_summary(verdict),
            _render_emotions(verdict),
            policies,
            _render_matrix(verdict.scores),
        ]
    )


def render_heading(heading: Heading, predictions: Predictions, verdict: Verdict | None = None) -> list[str]:
    """Names of what was judged; long ones (a path) continue on the next line, so that none is cut."""
    split = f", split {heading.split}" if heading.split else ""
    faceless, unreadable = len(predictions.faceless), len(predictions.unreadable)
    entries = {
        "model": f"{heading.model} (sha256 {heading.sha256[:16]})",
        "data": f"{heading.data}{split}, crops {heading.crops}",
        "root": _one_line(heading.root),
        "drawn": heading.drawn,
        "policy": heading.policy if heading.policy != ACCURATE else "",
        "protocol": verdict.protocol if verdict else "",
        "scored": f"{verdict.scores.n if verdict else len(predictions.samples)}",
        "left out": f"{verdict.left_out} to which the protocol gives no label" if verdict else "",
        "no face": f"{faceless} more, in which none was found" if faceless else "",
        "damaged": f"{unreadable} more, which could not be read" if unreadable else "",
    }
    return [
        line
        for key, value in entries.items()
        if value
        for line in wrap(
            value, TEXT_WIDTH, initial_indent=f"{key:<10}", subsequent_indent=" " * 10, break_on_hyphens=False
        )
    ]


def render_unreadable(predictions: Predictions) -> str:
    """The pictures that could not be read, the first few by name; empty where there is none."""
    errors = [f"  {_one_line(error)}" for _, error in predictions.unreadable]
    if not errors:
        return ""
    more = len(errors) - MAX_NAMED
    end = [f"  and {more} more (--json names all)"] if more > 0 else []
    return "\n".join([f"could not be read: {len(errors)}", *errors[:MAX_NAMED], *end]) + "\n"


def _render_summary(verdict: Verdict) -> list[str]:
    columns = {"all": verdict.scores}
    if verdict.without_copies is not None:
        columns["no copy in training"] = verdict.without_copies
    rows = {
        "": list(columns),
        "n": [str(s.n) for s in columns.values()],
        "accuracy %": [_interval(s.accuracy, s.accuracy_95) for s in columns.values()],
        "balanced accuracy %": [
            _interval(s.balanced_accuracy, s.balanced_accuracy_95) for s in columns.values()
        ],
        "macro F1 %": [_interval(s.macro_f1, s.macro_f1_95) for s in columns.values()],
        "ECE (15 bins) %": [percent(s.ece) for s in columns.values()],
        "Brier": [_number(s.brier) for s in columns.values()],
        "NLL, nats": [_number(s.nll) for s in columns.values()],
        "seven expressions %": [_interval(s.seven.accuracy, s.seven.accuracy_95) for s in columns.values()],
        "... balanced %": [percent(s.seven.balanced_accuracy) for s in columns.values()],
        "... n": [str(s.seven.n) for s in columns.values()],
    }
    lines = [f"{name:<20}" + "".join(f"{cell:>28}" for cell in cells) for name, cells in rows.items()]
    return [*lines, "(seven: contempt is neither label nor answer; the best of the others is taken)"]


def _render_emotions(verdict: Verdict) -> list[str]:
    """A line per emotion; at 50:50 beside the paper's figures."""
    scores, rest = verdict.scores, verdict.without_copies
    alone = [""] * len(EMOTIONS) if scores.detection is None else [percent(v) for v in scores.detection]
    lines = [
        f"{'':<40}{'one against rest':>24}" + ("  no copy" if rest else ""),
        f"{'emotion, %':<10}{'n':>6}{'recall':>8}{'prec.':>8}{'F1':>8}{'50:50':>8}{'alone':>8}{'paper':>8}"
        + (f"{'n':>7}{'recall':>8}" if rest else ""),
    ]
    for k, emotion in enumerate(EMOTIONS):
        figures = (scores.recall[k], scores.precision[k], scores.f1[k], scores.one_vs_rest[k])
        line = f"{emotion:<10}{scores.counts[k].sum():>6}" + "".join(f"{percent(v):>8}" for v in figures)
        line += f"{alone[k]:>8}{PAPER[emotion]:>8.2f}"
        line += f"{rest.counts[k].sum():>7}{percent(rest.recall[k]):>8}" if rest else ""
        lines.append(line)
    mean_alone = "" if scores.detection is None else percent(float(mean_defined(scores.detection)))
    mean, paper = percent(float(mean_defined(scores.one_vs_rest))), sum(PAPER.values()) / len(PAPER)
    lines.append(f"{'mean':<40}{mean:>8}{mean_alone:>8}{paper:>8.2f}")
    lines.append("(paper: Tables 3-10, 50:50 on RaFD; chance is 50 there, and 12.5 in 8 ways)")
    if mean_alone:
        lines.append("(alone: each emotion asked for by itself, by the mean shares on the card)")
    return lines


def _render_matrix(scores: Scores) -> list[str]:
    lines = [f"{'true, read':<11}" + "".join(f"{emotion[:7]:>8}" for emotion in EMOTIONS)]
    for emotion, row in zip(EMOTIONS, scores.counts, strict=True):
        lines.append(f"{emotion:<11}" + "".join(f"{count:>8}" for count in row))
    return lines


def make_record(
    heading: Heading, verdicts: Sequence[Verdict], predictions: Predictions, provenance: Mapping[str, Any]
) -> dict[str, Any]:
    """The verdicts as numbers, strings, lists and dicts; undefined values are None."""
    return {
        **asdict(heading),
        "root": _one_line(heading.root),
        "drawn": heading.drawn or None,
        "read": len(predictions.samples),
        "unreadable": [
            {"name": _one_line(name), "error": _one_line(error)} for name, error in predictions.unreadable
        ],
        "no_face": [_one_line(name) for name in predictions.faceless],
        "labels": list(EMOTIONS),
        "protocols": {
            v.protocol: {
                "left_out": v.left_out,
                "all": to_json(v.scores),
                "without_copies": to_json(v.without_copies),
                "policies": to_json(v.policies),
            }
            for v in verdicts
        },
        "provenance": dict(provenance),
    }


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.4f}"


def _interval(value: float, limits: tuple[float, float]) -> str:
    low, high = limits
    return "-" if np.isnan(value) else f"{percent(value)} ({percent(low)} to {percent(high)})"


def _one_line(text: str) -> str:
    """Text on one line that can be printed, whatever bytes a file name in it holds."""
    return printable(text).replace("\n", " ").replace("\r", " ")
