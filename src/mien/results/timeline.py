"""The expressions of a clip over its time, as HTML: for each face a stacked chart (SVG) and a table.

The words of the axes stand in HTML around the SVG, so that they stay readable when it shrinks to a phone.

Legend: T steps of time, E the eight emotions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mien.labels import EMOTIONS
from mien.results.colours import COLOURS
from mien.types import Floats, Frame

STEPS: Final = 240  # a finer chart shows no more on a screen; the frames of a step are averaged
ROWS: Final = 12  # of a table
TRACKS: Final = 12  # charts a clip, those seen longest; a crowd has hundreds
WIDTH, HEIGHT = 1000, 100  # units of the SVG, stretched to the page

Seconds = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One face through a clip."""

    number: int | None
    edges: Seconds  # (T + 1,) seconds at which the steps begin, and the end
    values: Floats  # (T, E) mean probabilities of each step; NaN where the face is not seen


def tracks(frames: Sequence[Frame]) -> list[Track]:
    """The faces of a clip that were classified, those seen longest first."""
    size = max(1, -(-len(frames) // STEPS))
    steps = [frames[i : i + size] for i in range(0, len(frames), size)]
    edges = _edges(frames, [step[0] for step in steps])
    seen: dict[int | None, Floats] = {}
    for i, step in enumerate(steps):
        for number, mean in _means(step).items():
            empty = np.full((len(steps), len(EMOTIONS)), np.nan, np.float32)  # (T, E)
            seen.setdefault(number, empty)[i] = mean
    found = [Track(number, edges, values) for number, values in seen.items()]
    return sorted(found, key=lambda track: int(np.isnan(track.values[:, 0]).sum()))


def timeline(frames: Sequence[Frame]) -> str:
    """Legend, charts and tables of a clip, as HTML."""
    found = tracks(frames)
    if not found:
        return "<p>No face was read in this clip.</p>"
    more = f"<p>{len(found) - TRACKS} more faces were seen for a shorter time.</p>" * (len(found) > TRACKS)
    return legend() + "".join(_chart(track) + table(track) for track in found[:TRACKS]) + more


def seconds(time: float) -> str:
    """A time as people write it.

    >>> seconds(4.25), seconds(83.0)
    ('4.2 s', '1:23')
    """
    return f"{time:.1f} s" if time < 60 else f"{int(time) // 60}:{int(time) % 60:02}"


def _edges(frames: Sequence[Frame], first: Sequence[Frame]) -> Seconds:
    times = [_time(frame) for frame in frames]
    pace = (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 0.0
    return np.array([*map(_time, first), times[-1] + (pace or 1.0)] if times else [0.0])


def _time(frame: Frame) -> float:
    return float(frame.index) if frame.time is None else frame.time


def _means(step: Sequence[Frame]) -> dict[int | None, Floats]:
    """Of each face, its mean probabilities (E,) over the frames of a step that show it."""
    found: dict[int | None, list[Floats]] = {}
    for frame in step:
        for face in frame.faces:
            if face.probabilities is not None:
                found.setdefault(face.track, []).append(face.probabilities)
    return {number: np.mean(values, axis=0, dtype=np.float32) for number, values in found.items()}


def _name(track: Track) -> str:
    return "Faces" if track.number is None else f"Face {track.number}"


def legend() -> str:
    """The colours of the emotions."""
    items = (f'<li><i style="background:{COLOURS[e]}"></i>{e}</li>' for e in EMOTIONS)
    return f'<ul class="legend" aria-label="Colours">{"".join(items)}</ul>'


def _chart(track: Track) -> str:
    mean = np.nanmean(track.values, axis=0)  # (E,)
    start, end = float(track.edges[0]), float(track.edges[-1])
    top = EMOTIONS[int(mean.argmax())]
    says = f"{_name(track)}: shows {top} most, {100 * mean.max():.0f}\u00a0% on average"
    ticks = "".join(f"<span>{seconds(start + (end - start) * i / 4)}</span>" for i in range(5))
    return (
        f'<div class="track"><h3>{says}</h3><div class="chart">'
        '<div class="axis up" aria-hidden="true"><span>100 %</span><span>50 %</span><span>0 %</span></div>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="Stacked chart over time. {says}. The table below has the numbers.">'
        f"{''.join(_layers(track))}</svg>"
        f'<div class="axis along" aria-hidden="true">{ticks}</div>'
        '<div class="axis name" aria-hidden="true">time in the clip; height is the share of each '
        "expression shown</div></div>"
    )


def _layers(track: Track) -> list[str]:
    """One path an emotion: its share in each step, on top of those before it in the order of EMOTIONS."""
    x = (track.edges - track.edges[0]) / (track.edges[-1] - track.edges[0]) * WIDTH  # (T + 1,)
    tops = np.cumsum(track.values, axis=1)  # (T, E)
    bottoms = np.column_stack([np.zeros(len(tops), np.float32), tops[:, :-1]])  # (T, E)
    runs = [list(run) for here, run in groupby(range(len(tops)), lambda i: not np.isnan(tops[i, 0])) if here]
    return [
        f'<path fill="{COLOURS[emotion]}" d="{_area(x, tops[:, e], bottoms[:, e], runs)}"/>'
        for e, emotion in enumerate(EMOTIONS)
    ]


def _area(x: Seconds, top: Floats, bottom: Floats, runs: Sequence[Sequence[int]]) -> str:
    return "".join(_step(x, top, bottom, run) for run in runs)


def _step(x: Seconds, top: Floats, bottom: Floats, run: Sequence[int]) -> str:
    """The outline of one unbroken stretch of a layer, a stair a step: there and back."""
    over = [(side, top[i]) for i in run for side in (x[i], x[i + 1])]
    under = [(side, bottom[i]) for i in reversed(run) for side in (x[i + 1], x[i])]
    return "M" + "L".join(f"{a:.4g} {HEIGHT * (1 - b):.4g}" for a, b in over + under) + "Z"


def table(track: Track) -> str:
    """A few steps in numbers, for those who do not see the chart."""
    seen = np.flatnonzero(~np.isnan(track.values[:, 0]))
    picks = seen[np.unique(np.linspace(0, len(seen) - 1, min(ROWS, len(seen))).round().astype(int))]
    head = "".join(f'<th scope="col">{word}</th>' for word in ("time", *EMOTIONS))
    lines = (
        f'<tr><th scope="row">{seconds(float(track.edges[i]))}</th>'
        + "".join(f"<td>{100 * value:.0f} %</td>" for value in track.values[i].tolist())
        + "</tr>"
        for i in picks
    )
    return (
        f"<details><summary>{_name(track)} in numbers</summary>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="{_name(track)} in numbers">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div></details></div>"
    )
