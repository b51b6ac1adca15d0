"""Subtitles, which players and browsers show: SubRip (SRT) and WebVTT (W3C), one cue per run.

Written with the packages srt and webvtt-py, from the extra `formats`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from mien.errors import MissingExtra
from mien.results.formats.conversion import Conversion, find_stretches
from mien.results.rows import Row


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
