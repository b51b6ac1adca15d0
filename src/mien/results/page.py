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
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import numpy as np
from PIL import Image as Pillow

from mien.errors import MienError, OutputError
from mien.files import WholeFile
from mien.labels import EMOTIONS
from mien.results import chart
from mien.results.chart import SHOWN_FACES, Timeline, clock
from mien.results.draw import COLOURS
from mien.results.tables import printable
from mien.types import Face, Frame, Image
from mien.video.events import Event, EventOptions

if TYPE_CHECKING:
    from jinja2 import Environment

PHOTO_SIDE: Final = 1000  # pixels, of a photo's longer side on the page
STRIP: Final = 6  # pictures of a clip
STRIP_SIDE: Final = 480  # pixels, of the longer side of each
FACE_SIDE: Final = 96  # pixels, of the longer side of a face's own picture
MAX_EVENTS: Final = 150  # of a face on the page of a clip, the strongest
MAX_APEXES: Final = 12  # pictures of a face, of the strongest events
MAX_NOTES: Final = 20


# --- text and pictures of a page


@dataclass(frozen=True, slots=True)
class EmbeddedPicture:
    """A picture as the page holds it."""

    width: int
    height: int
    url: str  # data: URL of a JPEG


def embed(pixels: Image, longest: int) -> EmbeddedPicture:
    """(H, W, 3) RGB or (H, W) gray pixels as JPEG, at most `longest` pixels a side."""
    small = Pillow.fromarray(np.ascontiguousarray(pixels)).convert("RGB")
    small.thumbnail((longest, longest), Pillow.Resampling.LANCZOS)
    data = io.BytesIO()
    small.save(data, "JPEG", quality=85)
    code = base64.b64encode(data.getvalue()).decode("ascii")
    return EmbeddedPicture(small.width, small.height, f"data:image/jpeg;base64,{code}")


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
    """What else an uncertain reading may be; "" for a certain one."""
    if not face.uncertain:
        return ""
    others = [emotion for emotion in face.set or () if emotion != face.emotion]
    return "Uncertain" + (": may be " + " or ".join(others) if others else "")


def percent(value: float) -> str:
    """A share in [0, 1] as whole per cent."""
    return f"{100 * value:.0f}\u00a0%"


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("mien.results"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters.update(printable=printable, percent=percent)
    made.globals.update(colours=COLOURS, clock=clock, chart=chart)
    return made


# --- photos and clips


@dataclass(frozen=True, slots=True, eq=False)
class PageEntry:
    """One photo or clip on the page."""

    title: str  # its name
    kind: Literal["photo", "clip"]
    frames: tuple[Frame, ...]  # one of a photo; all that were read of a clip
    pictures: tuple[Image, ...]  # annotated, (H, W, 3) RGB at the frames' size; a few of a clip
    times: tuple[float, ...] = ()  # seconds of each picture of a clip; () if there is one per frame


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

    def views() -> Iterator[dict[str, Any]]:
        for entry in entries:
            yield _view(entry)
            count[entry.kind] += 1

    def summary() -> str:
        counts = (f"{n} {kind}{'s' * (n != 1)}" for kind, n in sorted(count.items(), reverse=True))
        return " and ".join(counts) or "Nothing was read."

    template = _templates().get_template("page.html")
    text = template.generate(title=title, model=model, entries=views(), summary=summary)
    with (
        WholeFile(path, overwrite=overwrite) as file,
        file.partial.open("w", encoding="utf-8", newline="\n") as stream,
    ):
        stream.writelines(text)


def _view(entry: PageEntry) -> dict[str, Any]:
    """An entry as the template shows it."""
    notes = dict.fromkeys(note for frame in entry.frames for note in frame.notes)  # each once, in order
    view = {"title": entry.title, "kind": entry.kind, "notes": list(notes)}
    return view | (_photo_view(entry) if entry.kind == "photo" else _clip_view(entry))


def _photo_view(entry: PageEntry) -> dict[str, Any]:
    faces = [face for frame in entry.frames for face in frame.faces]
    pixels = next(iter(entry.pictures), None)
    cards = [
        {
            "words": describe_face(face),
            "thumb": None if pixels is None else _thumb(face, pixels),
            "doubt": describe_doubt(face),
            "emotion": face.emotion,
            "values": None if face.probabilities is None else zip(EMOTIONS, face.probabilities.tolist()),  # noqa: B905 - both have eight
        }
        for face in faces
    ]
    picture = None if pixels is None else embed(pixels, PHOTO_SIDE)
    return {"picture": picture, "alt": describe(faces), "faces": cards}


def _thumb(face: Face, pixels: Image) -> EmbeddedPicture | None:
    """The face alone, so that its bars are told from its neighbour's; None: it lies outside."""
    x, y, width, height = (round(v) for v in face.box)
    cut = pixels[max(0, y) : max(0, y + height), max(0, x) : max(0, x + width)]
    return embed(cut, FACE_SIDE) if cut.size else None


def _clip_view(entry: PageEntry) -> dict[str, Any]:
    times = entry.times
    if not times and len(entry.pictures) == len(entry.frames):
        times = tuple(frame.time or 0.0 for frame in entry.frames)
    strip = []
    kept = min(len(entry.pictures), STRIP)
    for k in range(kept):  # pictures evenly from the first to the last
        i = round(k * (len(entry.pictures) - 1) / max(1, kept - 1))
        time = times[i] if i < len(times) else None
        alt = "A frame of the clip" if time is None else f"At {clock(time)}: {_faces_at(entry, time)}"
        strip.append({"picture": embed(entry.pictures[i], STRIP_SIDE), "alt": alt, "time": time})
    timeline = Timeline()
    for frame in entry.frames:
        timeline.add(frame)
    timeline.close()
    series = timeline.series()
    more = len(series[SHOWN_FACES:]) + timeline.left_out
    return {"strip": strip, "series": series[:SHOWN_FACES], "more": more}


def _faces_at(entry: PageEntry, time: float) -> str:
    frame = min(entry.frames, key=lambda f: abs((f.time or 0.0) - time), default=None)
    return describe(() if frame is None else frame.faces)


# --- one clip with its events


@dataclass(slots=True)
class FaceEvents:
    """The strongest events of one face."""

    counts: Counter[str] = field(default_factory=Counter)  # emotion: events, those not kept too
    _events: list[tuple[float, float, int, Event]] = field(default_factory=list)  # a heap, weakest first
    _pictures: list[tuple[float, float, int, EmbeddedPicture]] = field(default_factory=list)  # the same

    def add(self, event: Event) -> None:
        """Take an event."""
        self.counts[event.emotion] += 1
        key = (event.peak, event.duration, self.counts.total())  # the number tells equals apart
        _push(self._events, (*key, event), MAX_EVENTS)
        if event.face is not None and (len(self._pictures) < MAX_APEXES or key[:2] > self._pictures[0][:2]):
            _push(self._pictures, (*key, embed(event.face, FACE_SIDE)), MAX_APEXES)

    def kept(self) -> list[tuple[Event, EmbeddedPicture | None]]:
        """The strongest events in the order of time, each with the face at its apex if that is kept."""
        pictures = {number: picture for _, _, number, picture in self._pictures}
        pairs = [(event, pictures.get(number)) for _, _, number, event in self._events]
        return sorted(pairs, key=lambda pair: (pair[0].onset, pair[0].emotion))


def _push(heap: list[Any], item: Any, limit: int) -> None:
    """Add to a heap and drop its smallest if it is full."""
    if len(heap) < limit:
        heapq.heappush(heap, item)
    else:
        heapq.heappushpop(heap, item)


class ClipPage:
    """The page of one clip: `add` each frame, `add_event` each event; written when its `with` block ends.

    Frames are not kept, so an hour takes no more memory than a minute. Leaving the block by Ctrl-C or by one
    of Mien's own errors writes the page too, of the frames so far.
    """

    def __init__(
        self, path: Path, title: str, *, options: EventOptions | None = None, overwrite: bool = False
    ) -> None:
        """Refuse before any work is done.

        Args:
            path: the file; it appears whole.
            title: its heading, the clip's name.
            options: those that the events were found with.
            overwrite: replace a file that exists.

        Raises:
            OutputError: the file exists, or it cannot be written.
        """
        self._title = title
        self._options = options or EventOptions()
        self._timeline = Timeline()
        self._faces: dict[int, FaceEvents] = {}
        self._notes: dict[str, None] = {}  # each once, in order
        self._frames = 0
        self._file = WholeFile(path, overwrite=overwrite, keep=True)

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
            self._faces.setdefault(event.track, FaceEvents()).add(event)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stopped = isinstance(error, KeyboardInterrupt | MienError) and not isinstance(error, OutputError)
        if error is not None and not stopped:
            self._file.discard()
            return
        self._timeline.close()
        series = self._timeline.series()
        text = _templates().get_template("clip.html").generate(
            title=self._title,
            frames=self._frames,
            timeline=self._timeline,
            faces=[(one, self._faces.get(one.track or 0, FaceEvents())) for one in series[:SHOWN_FACES]],
            options=self._options,
            more=len(series[SHOWN_FACES:]) + self._timeline.left_out,
            notes=list(self._notes),
        )  # fmt: skip
        try:
            with self._file.partial.open("w", encoding="utf-8", newline="\n") as stream:
                stream.writelines(text)
        except OSError as failure:
            raise self._file.failure(failure) from failure
        self._file.finish()
