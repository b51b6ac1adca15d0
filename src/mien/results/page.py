"""Results as one page that opens in any browser: nothing beside it, nothing fetched, nothing run.

`write_page` makes a page of photos and clips, `ClipPage` that of one clip with its events. The markup is in
`templates/`, filled in by jinja2, which escapes all text.

Legend: H rows, W columns.
"""

from __future__ import annotations

import base64
import heapq
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import numpy as np
from PIL import Image as Pillow

from mien.files import WholeFile
from mien.results.chart import HEIGHT, FaceSeries, Timeline, clock
from mien.results.draw import COLOURS
from mien.results.tables import keeps_output, printable
from mien.types import Face, Frame, Image
from mien.units import ACTION_UNITS
from mien.video.events import Event, EventOptions, cut_face

if TYPE_CHECKING:
    from jinja2 import Environment

MAX_EVENTS: Final = 150  # of a face on the page of a clip, the strongest
MAX_APEXES: Final = 12  # pictures of a face, of the strongest events
MAX_NOTES: Final = 20


# --- what the templates use


def embed(pixels: Image, longest: int) -> tuple[int, int, str]:
    """Width, height and data: URL of pixels, (H, W, 3) RGB or (H, W) gray, as JPEG of `longest` a side."""
    small = Pillow.fromarray(np.ascontiguousarray(pixels)).convert("RGB")
    small.thumbnail((longest, longest), Pillow.Resampling.LANCZOS)
    data = io.BytesIO()
    small.save(data, "JPEG", quality=85)
    return small.width, small.height, f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"


def describe(faces: Iterable[Face]) -> str:
    """The faces of a picture in words, for those who do not see it."""
    words = [describe_face(face) for face in faces]
    if not words:
        return "no face"
    return f"{len(words)} face{'s' * (len(words) > 1)}: {', '.join(words)}"


def describe_face(face: Face) -> str:
    """One face in words: "happiness 93 %"."""
    if face.confidence is None:
        return f"found with score {face.score:.2f}"
    return f"{face.emotion} {percent(face.confidence)}"


def describe_doubt(face: Face) -> str:
    """Which other emotions an uncertain reading may be; "" for a certain one."""
    if not face.uncertain:
        return ""
    others = [emotion for emotion in face.set or () if emotion != face.emotion]
    return "Uncertain" + (": may be " + " or ".join(others) if others else "")


def percent(value: float) -> str:
    """A share in [0, 1] as whole per cent."""
    return f"{100 * value:.0f}\u00a0%"


def template_environment(package: str) -> Environment:
    """The templates of a package, which may extend `layout.html`; the text put into them is escaped."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("mien.results")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters.update(printable=printable)
    return made


@cache
def _templates() -> Environment:
    made = template_environment("mien.results")
    made.filters.update(
        clock=clock, percent=percent,
        describe=describe, describe_face=describe_face, describe_doubt=describe_doubt,
    )  # fmt: skip
    made.globals.update(colours=COLOURS, chart_height=HEIGHT, embed=embed, cut_face=cut_face)
    return made


def _fill(template: str, path: Path, values: dict[str, Any]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(_templates().get_template(template).generate(values))


# --- photos and clips


@dataclass(frozen=True, slots=True, eq=False)
class PageEntry:
    """One photo or clip on the page."""

    title: str  # its name
    kind: Literal["photo", "clip"]
    frames: tuple[Frame, ...]  # one of a photo; all that were read of a clip
    #: frames to be shown, each with its annotated (H, W, 3) RGB pixels: the one of a photo, a few of a clip
    pictures: tuple[tuple[Frame, Image], ...]

    @property
    def notes(self) -> list[str]:
        """The notes of the frames, each once."""
        return list(dict.fromkeys(note for frame in self.frames for note in frame.notes))

    def series(self) -> tuple[list[FaceSeries], int]:
        """The charts of a clip, and how many faces have none."""
        timeline = Timeline()
        for frame in self.frames:
            timeline.add(frame)
        timeline.close()
        return timeline.series()


def write_page(
    entries: Iterable[PageEntry],
    path: Path,
    *,
    title: str = "Expressions shown",
    model: str = "",
    overwrite: bool = False,
) -> None:
    """Write the page; entries are taken one by one, so that only one is in memory.

    Args:
        entries: photos and clips in the order of the page.
        path: the file; it appears whole.
        title: heading of the page.
        model: what read the expressions, a line of plain text.
        overwrite: replace a file that exists.

    Raises:
        OutputError: the file exists, or it cannot be written.
    """
    count: Counter[str] = Counter()

    def counted() -> Iterator[PageEntry]:
        for entry in entries:
            yield entry
            count[entry.kind] += 1

    def summary() -> str:
        counts = (f"{n} {kind}{'s' * (n != 1)}" for kind, n in sorted(count.items(), reverse=True))
        return " and ".join(counts) or "Nothing was read."

    values = {"title": title, "model": model, "entries": counted(), "summary": summary}
    with WholeFile(path, overwrite=overwrite) as file:
        _fill("page.html", file.partial, values)


# --- one clip with its events


@dataclass(slots=True)
class FaceEvents:
    """The strongest events of one face: those of its expressions, or of its action units."""

    counts: Counter[str] = field(default_factory=Counter)  # events by name, those not kept too
    _strongest: list[tuple[float, float, int, Event]] = field(default_factory=list)  # a heap, weakest first

    def add(self, event: Event) -> None:
        """Take an event."""
        self.counts[event.emotion] += 1
        item = (event.peak, event.duration, self.counts.total(), event)  # the number tells equals apart
        if len(self._strongest) < MAX_EVENTS:
            heapq.heappush(self._strongest, item)
        else:
            heapq.heappushpop(self._strongest, item)

    def events(self) -> list[Event]:
        """The strongest events in the order of time."""
        return _by_time(event for *_, event in self._strongest)

    def pictured(self) -> list[Event]:
        """Those of which the page shows the face at the apex."""
        seen = [item for item in self._strongest if item[-1].face is not None]
        return _by_time(event for *_, event in heapq.nlargest(MAX_APEXES, seen))


def _by_time(events: Iterable[Event]) -> list[Event]:
    return sorted(events, key=lambda event: (event.onset, event.emotion))


class ClipPage:
    """The page of one clip: `add` each frame, `add_event` each event; written when its `with` block ends.

    Frames are not kept, so an hour takes no more memory than a minute. Leaving the block by Ctrl-C or by one
    of Mien's own errors writes the page too, of the frames so far. A page that is there is replaced.
    """

    def __init__(self, path: Path, title: str) -> None:
        """Refuse before any work is done.

        Args:
            path: the file; it appears whole.
            title: its heading, the clip's name.

        Raises:
            OutputError: it cannot be written.
        """
        self._title = title
        self._timeline = Timeline()
        #: by track: of expressions, of action units
        self._faces: dict[int, tuple[FaceEvents, FaceEvents]] = {}
        self._notes: dict[str, None] = {}  # each once, in order
        self._frames = 0
        self._file = WholeFile(path, overwrite=True, keep=True)

    def add(self, frame: Frame) -> None:
        """Take the next frame, smoothed or not."""
        self._frames += 1
        self._timeline.add(frame)
        for note in frame.notes:
            if len(self._notes) < MAX_NOTES:
                self._notes[note] = None

    def add_event(self, event: Event) -> None:
        """Take an event that is over."""
        if event.track in self._timeline:
            self._faces = {track: face for track, face in self._faces.items() if track in self._timeline}
            of_face = self._faces.setdefault(event.track, (FaceEvents(), FaceEvents()))
            of_face[event.emotion in ACTION_UNITS].add(event)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if not keeps_output(error):
            self._file.discard()
            return
        self._timeline.close()
        series, more = self._timeline.series()
        values = {
            "title": self._title,
            "frames": self._frames,
            "timeline": self._timeline,
            "faces": [
                (one, *self._faces.get(one.track or 0, (FaceEvents(), FaceEvents()))) for one in series
            ],
            "more": more,
            "options": EventOptions(),
            "with_units": any(moved.counts for _, moved in self._faces.values()),
            "notes": list(self._notes),
        }
        try:
            _fill("clip.html", self._file.partial, values)
        except OSError as failure:
            raise self._file.failure(failure) from failure
        self._file.finish()
