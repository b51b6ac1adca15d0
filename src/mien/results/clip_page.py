"""A clip as one page that opens in any browser: its faces over time, and the events on them.

Frames come one by one and none is kept, so an hour takes no more memory than a minute.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from types import TracebackType
from typing import Final, Self

from mien.errors import MienError, OutputError
from mien.files import WholeFile
from mien.results.clip_band import band, clock, headline, lanes, marks, ticks
from mien.results.clip_record import ClipRecord, FaceRecord
from mien.results.colours import COLOURS
from mien.results.tables import printable
from mien.results.timeline import TRACKS, Track, legend
from mien.results.timeline import table as table_of_steps
from mien.types import Frame, Image
from mien.video.events import Event, EventOptions

OPEN: Final = 15  # events; a longer table is closed at first

#: Added to the style of the page for photos, which this page shares.
STYLE: Final = """
.chart.fine path { stroke: none; }
.chart svg.marks { grid-column: 2; border: 0; }
.chart svg.marks rect { stroke-width: 1; vector-effect: non-scaling-stroke; }
.chart svg.marks path { stroke: #000; stroke-width: 2; vector-effect: non-scaling-stroke; }
.axis.marks-name { justify-content: flex-end; align-items: center; }
.apexes { display: grid; gap: .5rem; margin: .75rem 0; }
.apexes { grid-template-columns: repeat(auto-fill, minmax(8rem, 1fr)); }
.apexes img { height: 6rem; width: auto; }
.apexes i, td i { display: inline-block; width: .8rem; height: .8rem; margin-right: .3rem; }
.apexes i, td i { border: 1px solid var(--edge); border-radius: 2px; vertical-align: -1px; }
details { margin: .5rem 0; }
td.word, th.word { text-align: left; }
</style>"""


class ClipFile:
    """A file about one clip, written when its `with` block ends; subclasses say what is in it.

    Leaving the block by an exception that is Ctrl-C's or Mien's own writes it too, of what came so far.
    """

    def __init__(
        self, path: Path, title: str, *, options: EventOptions | None = None, overwrite: bool = False
    ) -> None:
        """Refuse before any work is done.

        Args:
            path: where; the file appears whole.
            title: its heading, the clip's name.
            options: those that the events were found with.
            overwrite: replace a file that is there.

        Raises:
            OutputError: the file exists, or it cannot be written.
        """
        self._title = printable(title)
        self._record = ClipRecord(options or EventOptions())
        self._file = WholeFile(path, overwrite=overwrite, keep=True)

    def add(self, frame: Frame, pixels: Image | None = None) -> None:
        """Take the next frame, smoothed or not, and its (H, W, 3) RGB pixels if faces are to be seen."""
        self._record.add(frame, pixels)

    def event(self, event: Event) -> None:
        """Take an event that is over, at most 250 frames after its end if its apex is to be seen."""
        self._record.event(event)

    def parts(self) -> Iterator[str]:
        """The text of the file, piece by piece."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        wanted = isinstance(error, KeyboardInterrupt | MienError) and not isinstance(error, OutputError)
        if error is not None and not wanted:
            self._file.discard()
            return
        self._record.bins.close()
        try:
            with self._file.partial.open("w", encoding="utf-8", newline="\n") as stream:
                stream.writelines(self.parts())
        except OSError as failure:
            raise self._file.failure(failure) from failure
        self._file.finish()


class ClipPage(ClipFile):
    """The page: `add` each frame, `event` each event, and it is written at the end of the `with` block."""

    def parts(self) -> Iterator[str]:
        """Head, legend, a section a face, notes, foot."""
        record = self._record
        template = files("mien.results").joinpath("page.html").read_text("utf-8")
        head, foot = template.replace("</style>", STYLE).split("$entries")
        yield Template(head).substitute(title=escape(self._title), model=_summary(record))
        found = record.bins.tracks()
        if found:
            yield legend()
        for track in found[:TRACKS]:
            yield _section(record, track)
        if not found:
            yield "<p>No face was read in this clip.</p>"
        yield _notes(record, len(found[TRACKS:]) + record.bins.left_out)
        yield Template(foot).substitute(count="1 clip")


def _summary(record: ClipRecord) -> str:
    length = clock(record.bins.end - record.bins.start)
    return f'<p class="soft">{record.frames} frames, {length} (minutes:seconds)</p>'


def _section(record: ClipRecord, track: Track) -> str:
    face = record.face(track.number or 0)
    kept = face.events()
    events = [event for event, _ in kept]
    sight = clock(record.bins.seconds(track.number or 0))
    return (
        f"<section>\n<h2>Face {track.number}: {headline(track)}</h2>"
        f'<p class="soft">In sight for {sight}; {_counts(face)}</p>'
        f'<div class="track">{_chart(track, events)}{_apexes(kept)}{_table(track, face, events)}'
        f"{table_of_steps(track)}\n</section>\n"
    )


def _counts(face: FaceRecord) -> str:
    if not face.counts:
        return "no event"
    return "events: " + ", ".join(f"{emotion} {n}" for emotion, n in face.counts.most_common())


def _chart(track: Track, events: list[Event]) -> str:
    span = float(track.edges[0]), float(track.edges[-1])
    says = f"Stacked chart over time: {headline(track)}. The tables below have the numbers."
    times = "".join(f"<span>{time}</span>" for time in ticks(track, 5))
    below = ""
    if events:
        place = f'class="marks" style="height:{0.6 * len(lanes(events)):.1f}rem" '
        below = (
            f'<div class="axis marks-name" aria-hidden="true">events</div>{marks(events, span, place=place)}'
        )
    return (
        '<div class="chart fine">'
        '<div class="axis up" aria-hidden="true"><span>100 %</span><span>50 %</span><span>0 %</span></div>'
        f"{band(track, says)}{below}"
        f'<div class="axis along" aria-hidden="true">{times}</div>'
        '<div class="axis name" aria-hidden="true">time in the clip; height is the share of each '
        "expression shown</div></div>"
    )


def _apexes(kept: list[tuple[Event, str | None]]) -> str:
    shots = "".join(
        f"<figure>{image}<figcaption>{_swatch(event.emotion)}{event.emotion}"
        f"<br>{100 * event.peak:.0f}\u00a0% at {clock(event.apex)}</figcaption></figure>"
        for event, image in kept
        if image is not None
    )
    return f'<div class="apexes">{shots}</div>' if shots else ""


def _swatch(emotion: str) -> str:
    return f'<i style="background:{COLOURS[emotion]}"></i>'


def _table(track: Track, face: FaceRecord, events: list[Event]) -> str:
    if not events:
        return ""
    total = face.counts.total()
    name = f"Face {track.number}: {total} event{'s' * (total > 1)}"
    if total > len(events):
        name += f", the {len(events)} strongest of them here"
    words = ("onset", "apex", "offset", "seconds", "peak", "mean", "frames", "cut")
    head = '<th scope="col" class="word">expression</th>' + "".join(
        f'<th scope="col">{w}</th>' for w in words
    )
    return (
        f"<details{' open' * (len(events) <= OPEN)}><summary>{name}</summary>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="{name}"><table><thead><tr>{head}</tr>'
        f"</thead><tbody>{''.join(map(_row, events))}</tbody></table></div></details>"
    )


def _row(event: Event) -> str:
    cells = (
        clock(event.onset), clock(event.apex), clock(event.offset), f"{event.duration:.2f}",
        f"{100 * event.peak:.0f} %", f"{100 * event.mean:.0f} %", str(event.frames), event.cut or "",
    )  # fmt: skip
    return (
        f'<tr><td class="word">{_swatch(event.emotion)}{event.emotion}</td>'
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
    )


def _notes(record: ClipRecord, left_out: int) -> str:
    options = record.options
    lines = [
        f"A step of a chart is {record.bins.step:.2g} s long and shows the mean over it.",
        f"An event is a stretch in which an expression stays at {100 * options.leave:.0f} % or more and "
        f"reaches {100 * options.enter:.0f} % at least once, for {options.shortest:g} s or longer; "
        f"{options.bridge:g} s below that do not end it. The black stroke in a longer mark is its apex.",
        "Cut: the expression already showed as the face came (start), or still showed as the face or the "
        "clip went (end), so that it may have lasted longer.",
        "An event tells what a network read from the face. It is not a feeling.",
    ]
    if left_out:
        lines.append(f"{left_out} more faces were seen for a shorter time and are not shown here.")
    lines += [escape(printable(note)) for note in record.notes]
    return f"<section><h2>Notes</h2>{''.join(f'<p>{line}</p>' for line in lines)}</section>"
