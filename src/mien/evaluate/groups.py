"""Groups of people beside each other: what a model says of each, and where two groups differ most.

A measure is one number a picture (read as happiness or not, the confidence, ...); a group's figure is its
mean. Each figure has its own interval (Wilson for shares, normal for means); `gaps` says how far the
difference of two groups can be trusted.

Legend: P pictures looked at, the N with a face first; G groups, M measures, K = 8 emotions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mien.card import ModelCard
from mien.data.corpus import Corpus
from mien.errors import ConfigError
from mien.evaluate.gaps import Codes, Gaps, GapSettings, Shares, find_gaps, sums, variance_of
from mien.evaluate.judge import Readings
from mien.evaluate.metrics import Z95, Values, wilson
from mien.evaluate.protocol import LEFT_OUT, PROTOCOLS
from mien.labels import EMOTIONS
from mien.types import Sample

UNSURE: Final = 0.5  # confidence below which a reading counts as unsure, where the card has no own
FOUND: Final = "face found"  # the measure of the detection rate


@dataclass(frozen=True, slots=True)
class GroupSettings:
    """What counts as unsure, and how gaps are looked for."""

    below: float = UNSURE  # a reading of less confidence is unsure
    below_from: str = "Mien's default"  # or "the model card"
    gaps: GapSettings = field(default_factory=GapSettings)


@dataclass(frozen=True, slots=True, eq=False)
class Measure:
    """One number a picture; its mean over a group is the group's figure."""

    name: str
    values: Values  # (P,) nan where it does not concern the picture
    share: bool = True  # 0 or 1 each; False: any number, e.g. a confidence


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """A figure of several groups; nan where a group has no picture of it."""

    n: NDArray[np.int64]  # (G,) pictures
    value: Values  # (G,) in [0, 1]
    low: Values  # (G,) 95 %, each for itself
    high: Values  # (G,)


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One measure by group."""

    name: str
    share: bool
    groups: Cells  # (G,)
    overall: Cells  # (1,) all groups together
    gaps: Gaps | None  # None: fewer than two groups that can be compared, or all the same


@dataclass(frozen=True, slots=True, eq=False)
class GroupTable:
    """All measures by the values of one attribute."""

    attribute: str  # e.g. "age", or "race+gender"
    groups: tuple[str, ...]  # (G,)
    untagged: int  # pictures without this tag, left out
    comparisons: int  # pairs of groups, over all rows, for which the gaps' intervals hold at once
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True, eq=False)
class GroupReport:
    """A table an attribute, and what the reader must know of all."""

    tables: tuple[GroupTable, ...]
    settings: GroupSettings
    labelled: bool  # whether recall could be counted
    detected: bool  # whether faces were looked for, so that a picture could show none
    repeated: bool  # whether persons are known to stand in several pictures


def parse_attributes(text: str, samples: Sequence[Sample]) -> tuple[str, ...]:
    """The attributes in "age,gender" or, crossed, "race+gender", each once.

    Raises:
        ConfigError: a tag that no sample has; the message lists those there are.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    there = list(dict.fromkeys(tag for sample in samples for tag in sample.tags))
    for tag in (tag for name in names for tag in name.split("+")):
        if not there:
            raise ConfigError(f"--by: expected a corpus whose samples carry tags, got {text!r} and none do")
        if tag not in there:
            raise ConfigError(f"--by: expected tags out of {', '.join(there)}, got {tag!r}")
    return names


def group_settings(card: ModelCard) -> GroupSettings:
    """The card's own threshold of `uncertain`, where it has one."""
    own = getattr(card, "uncertain", None)
    if isinstance(own, float) and 0 < own <= 1:
        return GroupSettings(below=own, below_from="the model card")
    return GroupSettings()


def compare_groups(
    corpus: Corpus,
    readings: Readings,
    attributes: Sequence[str],
    *,
    protocols: Sequence[str] = (),
    detected: bool = False,
    guess: NDArray[np.int64] | None = None,
    settings: GroupSettings = GroupSettings(),
) -> GroupReport:
    """Every measure by group.

    Args:
        corpus: what `readings` was read from; its samples carry the tags.
        readings: from `judge.read_all`; pictures that could not be read are in no group.
        attributes: from `parse_attributes`.
        protocols: names in `PROTOCOLS` under which recall is counted; none where there are no labels.
        detected: whether faces were looked for.
        guess: (N,) emotions shown, where a policy chose them; None: the likeliest.
        settings: thresholds and seed.
    """
    by_name = {sample.name: sample for sample in corpus.samples}
    samples = (*readings.samples, *(by_name[name] for name in readings.faceless))  # (P,)
    probabilities = readings.predictions.probabilities
    read = probabilities.argmax(axis=1) if guess is None else guess  # (N,)
    confidence = probabilities[np.arange(len(read)), read].astype(np.float64)  # (N,)
    faceless = len(readings.faceless)
    measures = reading_measures(read, confidence, below=settings.below, faceless=faceless, found=detected)
    for name in protocols:
        measures += recall_measures(readings, read, name, named=len(protocols) > 1)
    persons = [s.person for s in samples if s.person is not None]
    return GroupReport(
        tables=tuple(group_table(samples, attribute, measures, settings) for attribute in attributes),
        settings=settings,
        labelled=bool(protocols),
        detected=detected,
        repeated=len(set(persons)) < len(persons),
    )


def reading_measures(
    read: NDArray[np.int64], confidence: Values, *, below: float, faceless: int, found: bool
) -> list[Measure]:
    """What needs no labels: each expression, unsure, confidence, and whether a face was found.

    Args:
        read: (N,) emotions, of the pictures with a face.
        confidence: (N,) their probabilities.
        below: the confidence under which a reading is unsure.
        faceless: how many pictures without a face follow them.
        found: whether faces were looked for, so that a detection rate is to be had.
    """
    measures = [Measure(e, _padded(read == k, faceless)) for k, e in enumerate(EMOTIONS)]
    measures.append(Measure("unsure", _padded(confidence < below, faceless)))
    measures.append(Measure("confidence", _padded(confidence, faceless), share=False))
    if found:
        measures.append(Measure(FOUND, np.repeat([1.0, 0.0], [len(read), faceless])))
    return measures


def recall_measures(
    readings: Readings, read: NDArray[np.int64], protocol: str, *, named: bool = False
) -> list[Measure]:
    """Of the pictures of an emotion, whether each is read as it; a measure an emotion that is there."""
    truth = PROTOCOLS[protocol](readings.samples)  # (N,)
    right = (read == truth).astype(np.float64)
    end, faceless = f" ({protocol})" if named else "", len(readings.faceless)
    return [
        Measure(f"recall {EMOTIONS[k]}{end}", _padded(np.where(truth == k, right, np.nan), faceless))
        for k in np.unique(truth[truth != LEFT_OUT])
    ]


def group_table(
    samples: Sequence[Sample], attribute: str, measures: Sequence[Measure], settings: GroupSettings
) -> GroupTable:
    """The measures of (P,) samples by an attribute."""
    names = [_group(sample, attribute) for sample in samples]
    groups = tuple(sorted({name for name in names if name is not None}, key=_natural))
    place = {name: i for i, name in enumerate(groups)}
    codes = np.array([-1 if name is None else place[name] for name in names], np.int64)  # (P,)
    values = np.stack([m.values for m in measures], axis=1)[codes >= 0]  # (P, M) of those with the tag
    shares = np.array([m.share for m in measures])  # (M,)
    kept = codes[codes >= 0]
    apart = _cells(kept, values, shares, len(groups))
    together = _cells(np.zeros_like(kept), values, shares, 1)
    gaps, comparisons = find_gaps(kept, values, shares=shares, groups=groups, settings=settings.gaps)
    rows = zip(measures, apart, together, gaps, strict=True)
    return GroupTable(
        attribute,
        groups,
        untagged=int((codes < 0).sum()),
        comparisons=comparisons,
        rows=tuple(Row(m.name, m.share, cells, whole, gap) for m, cells, whole, gap in rows),
    )


def _group(sample: Sample, attribute: str) -> str | None:
    """The sample's group, or None where it lacks a tag."""
    values = [sample.tags.get(tag, "") for tag in attribute.split("+")]
    return " + ".join(values) if all(values) else None


def _natural(name: str) -> tuple[float, str]:
    """Ages in their order: by the first number, then by name."""
    number = re.search(r"\d+", name)
    return (float(number[0]) if number else -1.0), name


def _padded(values: NDArray[Any], more: int) -> Values:
    return np.concatenate([values.astype(np.float64), np.full(more, np.nan)])  # (N,) -> (P,)


def _cells(codes: Codes, values: Values, shares: Shares, groups: int) -> Iterator[Cells]:
    n, total, squares = sums(codes, values, groups)  # (G, M)
    mean = np.divide(total, n, out=np.full(n.shape, np.nan), where=n > 0)
    half = Z95 * np.sqrt(variance_of(n, total, squares, shares))  # of the means
    for m, share in enumerate(shares):
        low, high = mean[:, m] - half[:, m], mean[:, m] + half[:, m]
        if share:
            limits = [wilson(round(t), round(of)) for t, of in zip(total[:, m], n[:, m], strict=True)]
            low, high = np.array(limits).reshape(-1, 2).T
        yield Cells(n[:, m].astype(np.int64), mean[:, m], low, high)
