"""What holds one line for each stretch: tables of BORIS and iMotions, and subtitles (SubRip, WebVTT).

BORIS: "aggregated events" as `export_aggregated_events` of its export_observation.py writes them (version 9),
every expression a state. iMotions: the annotations of respondents, in the columns that scripts of its users
write (github.com/dpmagill/Annotate_iMotions); its own description is for its customers alone.
The stretches are those of what is shown; in BORIS's and iMotions' tables the events, if a table of events is
given. Subtitles are written with the packages srt and webvtt-py, from the extra `formats`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path, PurePath
from typing import Final

from mien._version import __version__
from mien.errors import MissingExtra
from mien.results.draw import COLOURS, UNKNOWN
from mien.results.formats.conversion import Conversion, FaceRun, find_stretches
from mien.results.rows import Row
from mien.results.tables import write_csv_cells

BORIS: Final = (
    "Observation id", "Observation date", "Description", "Observation type", "Source", "Time offset (s)",
    "Coding duration", "Media duration (s)", "FPS (frame/s)", "Subject",
    "Observation duration by subject by observation", "Behavior", "Behavioral category", "Behavior type",
    "Start (s)", "Stop (s)", "Duration (s)", "Media file name", "Image index start", "Image index stop",
    "Image file path start", "Image file path stop", "Comment start", "Comment stop",
)  # fmt: skip
IMOTIONS: Final = (
    "Respondent Name", "Stimulus Name", "Marker Type", "Marker Name", "Start Time (ms)", "End Time (ms)",
    "Comment", "Color",
)  # fmt: skip


def write_boris(rows: Iterable[Row], path: Path, conversion: Conversion) -> None:
    """Write the stretches of one clip by their start; seconds have three digits, as BORIS writes them."""
    source, runs = find_stretches(rows, conversion, "line")
    category = "Expression" if conversion.events is None else "Expression event"
    write_lines(path, conversion.ending, BORIS, boris_lines(source, runs, f"Mien {__version__}", category))


def boris_lines(
    source: str, runs: Sequence[FaceRun], description: str, category: str = "Expression"
) -> list[tuple[str, ...]]:
    """The lines of one clip, an observation, by the columns of `BORIS`."""
    coded = max((run.end for run in runs), default=0) - min((run.start for run in runs), default=0)
    by_face: Counter[str] = Counter()
    for run in runs:
        by_face[run.face] += run.end - run.start
    head = (
        source, "", description, "Media file", f"player #1:{source}", "0", _seconds(coded), "NA", "NA",
    )  # fmt: skip
    return [
        (
            *head, run.face, _seconds(by_face[run.face]), run.value, category, "STATE",
            _seconds(run.start), _seconds(run.end), _seconds(run.end - run.start), source, *[""] * 6,
        )
        for run in runs
    ]  # fmt: skip


def write_imotions(rows: Iterable[Row], path: Path, conversion: Conversion) -> None:
    """Write the stretches of one clip by their start, in whole milliseconds from its time 0."""
    source, runs = find_stretches(rows, conversion, "line")
    conversion.note(
        "imotions: the respondent is called by the number of the face, the stimulus by the name of the file: "
        "put in the names of your study"
    )
    stimulus = PurePath(source).stem
    lines = [
        (
            run.face, stimulus, "Respondent Annotation", run.value, str(run.start), str(run.end),
            f"Mien {__version__}", COLOURS.get(run.value, UNKNOWN),
        )
        for run in runs
    ]  # fmt: skip
    write_lines(path, conversion.ending, IMOTIONS, lines)


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.3f}"


def write_lines(path: Path, ending: str, header: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Write a table of text, with tabs where its name ends in .tsv."""
    with path.open("w", encoding="utf-8", newline="") as file:
        write_csv_cells(file, [header, *lines], "\t" if ending == ".tsv" else ",")


def write_srt(rows: Iterable[Row], path: Path, conversion: Conversion) -> None:
    """Write the cues of one clip by their start, numbered from 1."""
    try:
        import srt
    except ImportError as error:
        raise MissingExtra("srt", "formats", "writing SRT") from error
    _, runs = find_stretches(rows, conversion, "cue")
    cues = [
        srt.Subtitle(number, timedelta(milliseconds=run.start), timedelta(milliseconds=run.end), run.text)
        for number, run in enumerate(runs, 1)
    ]
    path.write_text(srt.compose(cues, reindex=False), encoding="utf-8", newline="")


def write_webvtt(rows: Iterable[Row], path: Path, conversion: Conversion) -> None:
    """Write the cues of one clip by their start; a note holds the name of the clip, as JSON."""
    try:
        from webvtt import Caption, WebVTT
        from webvtt.models import Timestamp
    except ImportError as error:
        raise MissingExtra("webvtt-py", "formats", "writing WebVTT") from error
    source, runs = find_stretches(rows, conversion, "cue")
    name = json.dumps(source, ensure_ascii=False).replace(">", "\\u003e")  # a note must not hold an arrow
    captions = []
    for run in runs:
        start, end = (str(Timestamp.from_seconds(time / 1000)) for time in (run.start, run.end))
        captions.append(Caption(start, end, run.text))
    page = WebVTT(captions=captions, header_comments=[f"source {name}"])
    path.write_text(page.content, encoding="utf-8", newline="")
