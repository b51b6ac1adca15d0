"""ELAN's EAF 3.0: annotations that people correct by hand, a tier for each face and kind of run.

`face 1 expression` holds the runs of what is shown, `face 1 uncertain` those of readings below the threshold
(where the model has one), `face 1 event happiness` the events, if a table of events was given. Written with
the package pympi-ling, from the extra `formats`, after the schema EAFv3.0.xsd of the Max Planck Institute
for Psycholinguistics.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote
from xml.etree import ElementTree as ET

from mien._version import __version__
from mien.errors import MissingExtra
from mien.labels import EMOTIONS
from mien.results.formats.conversion import (
    Conversion,
    FaceRun,
    certainty,
    find_runs,
    join_short_runs,
    read_events,
    shown_emotion,
    with_source,
)
from mien.results.rows import Row
from mien.units import ACTION_UNITS

if TYPE_CHECKING:
    from pympi.Elan import Eaf

SCHEMA: Final = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
VOCABULARY: Final = "emotions"
_MIME: Final = {
    ".avi": "video/x-msvideo", ".mkv": "video/x-matroska", ".mov": "video/quicktime", ".mp4": "video/mp4",
    ".mpeg": "video/mpeg", ".mpg": "video/mpeg", ".webm": "video/webm",
}  # fmt: skip


class ElanTier(NamedTuple):
    """One tier."""

    name: str
    kind: str  # "expression", "uncertain" or "event"
    runs: Sequence[FaceRun]
    annotator: str = ""  # who coded it


def write_elan(rows: Iterable[Row], path: Path, conversion: Conversion) -> None:
    """Write the tiers of one clip.

    Raises:
        DataError: the table of events is not one, or of another clip.
    """
    source, rows = with_source(rows)
    runs, doubts = find_runs(rows, shown_emotion, certainty)
    if not runs:
        conversion.note("no expression was read, so there is no annotation of one")
    events = [] if conversion.events is None else read_events(conversion.events, source)
    tiers = list(_tiers(join_short_runs(runs, conversion.min_seconds), doubts, events))
    units = sorted({run.value for run in events} - set(EMOTIONS))
    write_tiers(path, source, tiers, (*EMOTIONS, *units))


def write_tiers(path: Path, source: str, tiers: Sequence[ElanTier], words: Sequence[str] = EMOTIONS) -> None:
    """Write tiers of one clip; ELAN offers `words` to choose from.

    Raises:
        MissingExtra: pympi-ling is not installed.
    """
    try:
        from pympi.Elan import Eaf, to_adocument
    except ImportError as error:
        raise MissingExtra("pympi-ling", "formats", "writing EAF") from error
    eaf = Eaf(author=f"Mien {__version__}")
    _describe(eaf, source, words)
    _fill(eaf, tiers)
    tree = ET.ElementTree(to_adocument(eaf))  # `eaf.to_file` would rename a file that is there
    with path.open("wb") as file:
        tree.write(file, encoding="UTF-8", xml_declaration=True)


def _tiers(
    runs: Sequence[FaceRun], doubts: Sequence[FaceRun], events: Sequence[FaceRun]
) -> Iterator[ElanTier]:
    """By face: its expression, its doubts where they are known, and its events by emotion and action unit."""
    known = {run.track for run in doubts}
    for track in sorted({run.track for run in [*runs, *events]} | known):
        face = FaceRun(0, 0, track, "").face
        yield ElanTier(f"{face} expression", "expression", [run for run in runs if run.track == track])
        if track in known:
            uncertain = [run for run in doubts if (run.track, run.value) == (track, "uncertain")]
            yield ElanTier(f"{face} uncertain", "uncertain", uncertain)
        for emotion in (*EMOTIONS, *ACTION_UNITS):
            of_emotion = [run for run in events if (run.track, run.value) == (track, emotion)]
            for lane, apart in enumerate(without_overlap(of_emotion), 1):
                name = f"{face} event {emotion}" + (f" {lane}" if lane > 1 else "")
                yield ElanTier(name, "event", apart)


def without_overlap(runs: Sequence[FaceRun]) -> list[list[FaceRun]]:
    """Runs in as many tiers as keep them from overlapping, which a tier must not hold."""
    lanes: list[list[FaceRun]] = []
    for run in runs:
        free = next((lane for lane in lanes if lane[-1].end <= run.start), None)
        if free is None:
            lanes.append([run])
        else:
            free.append(run)
    return lanes


def _describe(eaf: Eaf, source: str, words: Sequence[str]) -> None:
    """The document but for its tiers: format, clip, kinds of tiers, and the words to choose from."""
    eaf.remove_tier("default")
    for made_by_pympi in (eaf.linguistic_types, eaf.constraints, eaf.properties):
        made_by_pympi.clear()
    eaf.adocument.update({
        "DATE": datetime.now(UTC).isoformat(timespec="seconds"),
        "FORMAT": "3.0",
        "VERSION": "3.0",
        "xsi:noNamespaceSchemaLocation": SCHEMA,
    })  # fmt: skip
    eaf.header.update(MEDIA_FILE="", TIME_UNITS="milliseconds")
    path = PurePath(source)
    absolute = path.is_absolute()
    eaf.add_linked_file(
        path.as_uri() if absolute else quote(f"./{path.as_posix()}"),
        quote(f"./{path.name if absolute else path.as_posix()}"),
        _MIME.get(path.suffix.lower(), "unknown"),
    )
    eaf.add_property("mien:source", json.dumps(source))  # as JSON, since XML cannot hold every character
    chosen = {"CONTROLLED_VOCABULARY_REF": VOCABULARY}
    for kind, extra in (("expression", chosen), ("uncertain", {}), ("event", chosen)):
        eaf.add_linguistic_type(kind)
        eaf.linguistic_types[kind].update(extra)
    eaf.add_language("eng", lang_label="English (eng)")
    eaf.add_controlled_vocabulary(VOCABULARY)
    eaf.add_cv_description(VOCABULARY, "eng", "The expressions that Mien tells apart")
    for word in words:
        eaf.add_cv_entry(VOCABULARY, f"cv_{word.replace(' ', '_')}", [(word, "eng", None)])


def _fill(eaf: Eaf, tiers: Sequence[ElanTier]) -> None:
    """Add the tiers. The time slots are made by hand: ELAN wants them sorted by time, over all tiers."""
    ends = sorted(
        ((run.start, run.end)[side], (i, j, side))
        for i, tier in enumerate(tiers)
        for j, run in enumerate(tier.runs)
        for side in (0, 1)
    )
    eaf.timeslots.update({f"ts{number}": time for number, (time, _) in enumerate(ends, 1)})
    slots = {key: f"ts{number}" for number, (_, key) in enumerate(ends, 1)}
    numbers = count(1)
    for i, (name, kind, runs, annotator) in enumerate(tiers):
        eaf.add_tier(name, ling=kind, part=name.partition(f" {kind}")[0], ann=annotator or None)
        annotations = eaf.tiers[name][0]
        for j, run in enumerate(runs):
            annotations[f"a{next(numbers)}"] = (slots[i, j, 0], slots[i, j, 1], run.value, None)
    eaf.add_property("lastUsedAnnotationId", len(ends) // 2)
