"""ELAN's EAF 3.0: annotations that people correct by hand, a tier for each face and signal.

The order of elements and the attributes follow the schema EAFv3.0.xsd of the Max Planck Institute for
Psycholinguistics. `face 1 expression` holds the runs of what is shown, `face 1 uncertain` those of readings
below the threshold (where the model knows one), `face 1 event happiness` the events, if a table was given.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path, PurePath
from typing import Final
from urllib.parse import quote
from xml.etree import ElementTree as ET

from mien._version import __version__
from mien.labels import EMOTIONS
from mien.results.formats.clip import Moment, Watched, moments
from mien.results.formats.cues import face_name
from mien.results.formats.event_table import read_events
from mien.results.formats.runs import Run, doubted, find_runs, join_flickers, shown
from mien.results.formats.wish import Wish
from mien.results.rows import Row

SCHEMA: Final = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
SOURCE: Final = "mien:source"  # name of the property that holds it
VOCABULARY: Final = "emotions"
_MIME: Final = {
    ".avi": "video/x-msvideo", ".mkv": "video/x-matroska", ".mov": "video/quicktime", ".mp4": "video/mp4",
    ".mpeg": "video/mpeg", ".mpg": "video/mpeg", ".webm": "video/webm",
}  # fmt: skip

#: The name of a tier, its kind, and the runs on it.
Tier = tuple[str, str, Sequence[Run]]


def _with_threshold(found: Iterable[Moment], known: set[int]) -> Iterator[Moment]:
    """The same moments; adds to `known` the tracks whose doubts are known."""
    for moment in found:
        tracks = (track for track, row in moment.faces.items() if row["uncertain"] is not None)
        known.update(-1 if track is None else track for track in tracks)
        yield moment


def write_elan(rows: Iterable[Row], path: Path, wish: Wish) -> None:
    """Write the tiers of one clip.

    Raises:
        DataError: the table of events is not one, or of another clip.
    """
    watched, known = Watched(rows), set[int]()
    runs, doubts = find_runs(_with_threshold(moments(watched), known), shown, doubted)
    if not runs:
        wish.note("no expression was read, so there is no annotation of one")
    events = [] if wish.events is None else read_events(wish.events, watched.source)
    tiers = list(_tiers(join_flickers(runs, wish.min_seconds), doubts, events, known))
    with path.open("wb") as file:
        file.write(b'<?xml version="1.0" encoding="UTF-8"?>\n')
        ET.ElementTree(_document(tiers, watched.source)).write(file, encoding="utf-8")
        file.write(b"\n")


def _tiers(
    runs: Sequence[Run], doubts: Sequence[Run], events: Sequence[Run], known: set[int]
) -> Iterator[Tier]:
    """By face: its expression, its doubts where they are known, and its events by emotion."""
    for track in sorted({run.track for run in [*runs, *events]} | known):
        name = face_name(track)
        yield f"{name} expression", "expression", [run for run in runs if run.track == track]
        if track in known:
            yield f"{name} uncertain", "uncertain", [run for run in doubts if run.track == track]
        for emotion in EMOTIONS:
            mine = [run for run in events if run.track == track and run.value == emotion]
            for lane, some in enumerate(_apart(mine), 1):
                yield f"{name} event {emotion}" + (f" {lane}" if lane > 1 else ""), "event", some


def _apart(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs in as many tiers as keep them from overlapping, which a tier must not hold."""
    lanes: list[list[Run]] = []
    for run in runs:
        free = next((lane for lane in lanes if lane[-1].end <= run.start), None)
        if free is None:
            lanes.append([run])
        else:
            free.append(run)
    return lanes


def _document(tiers: Sequence[Tier], source: str) -> ET.Element:
    root = ET.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": f"Mien {__version__}",
            "DATE": datetime.now(UTC).isoformat(timespec="seconds"),
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:noNamespaceSchemaLocation": SCHEMA,
        },
    )
    order, slots = _time_order(tiers)
    root.append(_header(source, sum(len(runs) for _, _, runs in tiers)))
    root.append(order)
    ids = count(1)
    root.extend(_tier(i, tier, slots, ids) for i, tier in enumerate(tiers))
    for kind in ("expression", "uncertain", "event"):
        words = {} if kind == "uncertain" else {"CONTROLLED_VOCABULARY_REF": VOCABULARY}
        ET.SubElement(root, "LINGUISTIC_TYPE", {
            "LINGUISTIC_TYPE_ID": kind, "TIME_ALIGNABLE": "true", "GRAPHIC_REFERENCES": "false", **words,
        })  # fmt: skip
    ET.SubElement(root, "LANGUAGE", LANG_ID="eng", LANG_LABEL="English (eng)")
    root.append(_vocabulary())
    ET.indent(root, "\t")
    return root


def _header(source: str, annotations: int) -> ET.Element:
    header = ET.Element("HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    path = PurePath(source)
    absolute = path.is_absolute()
    ET.SubElement(header, "MEDIA_DESCRIPTOR", {
        "MEDIA_URL": path.as_uri() if absolute else quote(f"./{path.as_posix()}"),
        "RELATIVE_MEDIA_URL": quote(f"./{path.name if absolute else path.as_posix()}"),
        "MIME_TYPE": _MIME.get(path.suffix.lower(), "unknown"),
    })  # fmt: skip
    ET.SubElement(header, "PROPERTY", NAME=SOURCE).text = json.dumps(
        source
    )  # XML cannot hold every character
    ET.SubElement(header, "PROPERTY", NAME="lastUsedAnnotationId").text = str(annotations)
    return header


def _time_order(tiers: Sequence[Tier]) -> tuple[ET.Element, dict[tuple[int, int, int], str]]:
    """The slots by time, as ELAN wants them, and the slot of each (tier, run, 0 for start or 1 for end)."""
    ends = sorted(
        ((run.start, run.end)[side], (i, j, side))
        for i, (_, _, runs) in enumerate(tiers)
        for j, run in enumerate(runs)
        for side in (0, 1)
    )
    order = ET.Element("TIME_ORDER")
    for number, (time, _) in enumerate(ends, 1):
        ET.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=f"ts{number}", TIME_VALUE=str(time))
    return order, {key: f"ts{number}" for number, (_, key) in enumerate(ends, 1)}


def _tier(number: int, tier: Tier, slots: dict[tuple[int, int, int], str], ids: Iterator[int]) -> ET.Element:
    name, kind, runs = tier
    who = name.partition(f" {kind}")[0]
    element = ET.Element("TIER", TIER_ID=name, PARTICIPANT=who, LINGUISTIC_TYPE_REF=kind)
    for j, run in enumerate(runs):
        annotation = ET.SubElement(
            ET.SubElement(element, "ANNOTATION"),
            "ALIGNABLE_ANNOTATION",
            ANNOTATION_ID=f"a{next(ids)}",
            TIME_SLOT_REF1=slots[number, j, 0],
            TIME_SLOT_REF2=slots[number, j, 1],
        )
        ET.SubElement(annotation, "ANNOTATION_VALUE").text = run.value
    return element


def _vocabulary() -> ET.Element:
    """The eight emotions, so that whoever corrects an annotation picks one of them."""
    vocabulary = ET.Element("CONTROLLED_VOCABULARY", CV_ID=VOCABULARY)
    ET.SubElement(vocabulary, "DESCRIPTION", LANG_REF="eng").text = "The expressions that Mien tells apart"
    for emotion in EMOTIONS:
        entry = ET.SubElement(vocabulary, "CV_ENTRY_ML", CVE_ID=f"cv_{emotion}")
        ET.SubElement(entry, "CVE_VALUE", LANG_REF="eng").text = emotion
    return vocabulary
