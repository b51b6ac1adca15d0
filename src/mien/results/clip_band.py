"""One face of a clip as SVG: its probabilities stacked over time, and its events as marks.

Legend: T steps of time, E the eight emotions.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby
from typing import Final

import numpy as np

from mien.labels import EMOTIONS
from mien.results.colours import COLOURS
from mien.results.timeline import Track, seconds
from mien.video.events import Event

HEIGHT: Final = 200  # units of a band; steps of half a per cent
WIDTH: Final = 1000  # units of the marks
LANE: Final = 10  # units, of the height of a row of marks
BROAD: Final = 8  # units; a narrower mark has no stroke at its apex


def band(track: Track, says: str, *, place: str = "") -> str:
    """The stacked probabilities as an `<svg>` of T by 200 units, stretched to where it stands.

    Args:
        track: the face.
        says: what the picture shows, in words.
        place: further attributes of the element.
    """
    return (
        f'<svg {place}viewBox="0 0 {len(track.values)} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(says)}">{"".join(layers(track))}</svg>'
    )


def layers(track: Track) -> list[str]:
    """One path an emotion, the highest first: each covers what lies below the one before it.

    So each edge is written once, which keeps the file small.
    """
    tops = np.nancumsum(track.values, axis=1)  # (T, E)
    heights = (HEIGHT * (1 - tops)).round().astype(int).clip(0, HEIGHT)  # down from the top
    seen = ~np.isnan(track.values[:, 0])
    runs = [list(run) for here, run in groupby(range(len(seen)), lambda i: bool(seen[i])) if here]
    outlines = [
        "".join(_stairs(heights[run, e].tolist(), run[0]) for run in runs) for e in range(len(EMOTIONS))
    ]
    paths = zip(EMOTIONS, outlines, strict=True)
    return [f'<path fill="{COLOURS[emotion]}" d="{outline}"/>' for emotion, outline in paths][::-1]


def _stairs(heights: Sequence[int], first: int) -> str:
    """The area under one unbroken stretch: a stair a step, equal ones in one."""
    path, level = f"M{first} {HEIGHT}", HEIGHT
    for height, same in groupby(heights):
        path += f"v{height - level}h{len(list(same))}"
        level = height
    return path + f"V{HEIGHT}z"


def marks(events: Sequence[Event], span: tuple[float, float], *, place: str = "") -> str:
    """The events below a band, a row an expression in the order of the legend, a stroke at each apex.

    Args:
        events: of one face.
        span: seconds at the left and at the right edge.
        place: further attributes of the element.
    """
    rows = lanes(events)
    inside = "".join(_mark(event, span, LANE * rows[event.emotion]) for event in events)
    return (
        f'<svg {place}viewBox="0 0 {WIDTH} {LANE * max(1, len(rows))}" preserveAspectRatio="none" '
        f'role="img" aria-label="Events as marks: {len(events)}. The table below names them.">{inside}</svg>'
    )


def _mark(event: Event, span: tuple[float, float], y: int) -> str:
    start, end = span
    x, apex, until = (
        WIDTH * (time - start) / (end - start) for time in (event.onset, event.apex, event.offset)
    )
    colour = COLOURS[event.emotion]
    stroke = f'<path d="M{apex:.2f} {y + 1}v{LANE - 2}"/>' if until - x > BROAD else ""
    return (
        f'<g fill="{colour}" stroke="{colour}"><title>{escape(describe(event))}</title>'
        f'<rect x="{x:.2f}" y="{y + 1}" width="{until - x:.2f}" height="{LANE - 2}"/>{stroke}</g>'
    )


def lanes(events: Sequence[Event]) -> dict[str, int]:
    """The row of each expression among the events, in the order of EMOTIONS."""
    present = {event.emotion for event in events}
    return {emotion: row for row, emotion in enumerate(e for e in EMOTIONS if e in present)}


def describe(event: Event) -> str:
    """An event in a line."""
    return (
        f"{event.emotion} {clock(event.onset)} to {clock(event.offset)}, "
        f"peak {100 * event.peak:.0f}\u00a0% at {clock(event.apex)}"
    )


def clock(time: float) -> str:
    """A time to a tenth of a second, as a player shows it.

    >>> clock(4.25), clock(83.0), clock(3725.5)
    ('0:04.2', '1:23.0', '1:02:05.5')
    """
    tenths = round(10 * time)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}:{minutes:02}" if hours else str(minutes)
    return f"{head}:{rest // 10:02}.{rest % 10}"


def headline(track: Track) -> str:
    """What a face showed most."""
    mean = np.nanmean(track.values, axis=0)  # (E,)
    return f"shows {EMOTIONS[int(mean.argmax())]} most, {100 * mean.max():.0f}\u00a0% on average"


def ticks(track: Track, count: int) -> list[str]:
    """Times evenly from the start to the end."""
    start, end = float(track.edges[0]), float(track.edges[-1])
    return [seconds(start + (end - start) * i / (count - 1)) for i in range(count)]
