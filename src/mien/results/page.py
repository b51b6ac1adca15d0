"""The results as one page that opens in any browser: nothing beside it, nothing fetched, nothing run.

Legend: H rows, W columns.
"""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Final, Literal, TextIO

import numpy as np
from PIL import Image as Pillow

from mien.files import WholeFile
from mien.labels import EMOTIONS
from mien.results.colours import COLOURS
from mien.results.tables import printable
from mien.results.timeline import seconds, timeline
from mien.types import Face, Frame, Image

LONGEST: Final = 1000  # pixels, of a photo's longer side on the page
STRIP: Final = 6  # pictures of a clip
STRIP_LONGEST: Final = 480  # pixels, of the longer side of each
THUMB: Final = 96  # pixels, of a face's own picture


@dataclass(frozen=True, slots=True, eq=False)
class PageEntry:
    """One photo or clip on the page."""

    title: str  # its name
    kind: Literal["photo", "clip"]
    frames: tuple[Frame, ...]  # one of a photo; all that were read of a clip
    pictures: tuple[Image, ...]  # annotated, (H, W, 3) RGB at the frames' size; a few of a clip
    times: tuple[float, ...] = ()  # seconds of each picture of a clip; () if it has one a frame


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
        path: where; it appears whole.
        title: heading of the page.
        model: what read the expressions, a line of plain text.
        overwrite: replace a file that is there.

    Raises:
        OutputError: the file exists, or it cannot be written.
    """
    with (
        WholeFile(path, overwrite=overwrite) as file,
        file.partial.open("w", encoding="utf-8", newline="\n") as stream,
    ):
        _write(stream, entries, title=_text(title), model=_text(model))


def _write(stream: TextIO, entries: Iterable[PageEntry], *, title: str, model: str) -> None:
    template = files("mien.results").joinpath("page.html").read_text("utf-8")
    head, foot = template.split("$entries")
    line = f'<p class="soft">Read by {model}</p>' if model else ""
    stream.write(Template(head).substitute(title=title, model=line))
    count: Counter[str] = Counter()
    for entry in entries:
        stream.write(_section(entry))
        count[entry.kind] += 1
    counts = " and ".join(f"{n} {kind}{'s' * (n != 1)}" for kind, n in sorted(count.items(), reverse=True))
    stream.write(Template(foot).substitute(count=counts or "Nothing was read."))


def _section(entry: PageEntry) -> str:
    notes = {note: None for frame in entry.frames for note in frame.notes}  # each once, in order
    lines = "".join(f'<p class="soft">{_text(note)}</p>' for note in notes)
    body = _photo(entry) if entry.kind == "photo" else _clip(entry)
    return f"<section>\n<h2>{_text(entry.title)}</h2>\n{lines}{body}\n</section>\n"


def _photo(entry: PageEntry) -> str:
    faces = [face for frame in entry.frames for face in frame.faces]
    picture = next(iter(entry.pictures), None)
    shown = "" if picture is None else f"<figure>{img(picture, LONGEST, describe(faces))}</figure>"
    cards = "".join(_card(number, face, picture) for number, face in enumerate(faces, 1))
    cards = f'<div class="faces">{cards}</div>' if faces else "<p>No face was found.</p>"
    return f'<div class="photo{" many" * (len(faces) > 2)}">{shown}{cards}</div>'


def _card(number: int, face: Face, picture: Image | None) -> str:
    thumb = "" if picture is None else _thumb(face, picture)
    head = f'<div class="head">{thumb}<h3>Face {number}: {describe_face(face)}</h3></div>'
    return f"<div>{head}{_doubt(face)}{_bars(face)}</div>"


def _doubt(face: Face) -> str:
    """A line under an uncertain reading: what else it may be."""
    if not face.uncertain:
        return ""
    others = [emotion for emotion in face.set or () if emotion != face.emotion]
    return f'<p class="soft">Uncertain{": may be " + " or ".join(others) if others else ""}</p>'


def _bars(face: Face) -> str:
    """The eight probabilities as labelled bars."""
    if face.probabilities is None:
        return "<p>Its expression was not read.</p>"
    pairs = zip(EMOTIONS, face.probabilities.tolist(), strict=True)
    return f'<ul class="bars">{"".join(_bar(face, *pair) for pair in pairs)}</ul>'


def _bar(face: Face, emotion: str, value: float) -> str:
    top = ' class="top"' if emotion == face.emotion else ""
    bar = f'<i style="width:{100 * value:.1f}%;background:{COLOURS[emotion]}"></i>'
    return (
        f"<li{top}><span>{emotion}</span> "
        f'<span class="bar">{bar}</span> <span class="value">{100 * value:.1f} %</span></li>'
    )


def _clip(entry: PageEntry) -> str:
    times = entry.times
    if not times and len(entry.pictures) == len(entry.frames):
        times = tuple(frame.time or 0.0 for frame in entry.frames)
    picks = _spread(len(entry.pictures), STRIP)
    strip = "".join(
        _shot(entry.pictures[i], times[i] if i < len(times) else None, entry.frames) for i in picks
    )
    return f'<div class="strip">{strip}</div>{timeline(entry.frames)}'


def _shot(picture: Image, time: float | None, frames: tuple[Frame, ...]) -> str:
    """One picture of a clip, with its time where that is known."""
    if time is None:
        return f"<figure>{img(picture, STRIP_LONGEST, 'A frame of the clip')}</figure>"
    frame = min(frames, key=lambda f: abs((f.time or 0.0) - time), default=None)
    alt = f"At {seconds(time)}: {describe(() if frame is None else frame.faces)}"
    return f"<figure>{img(picture, STRIP_LONGEST, alt)}<figcaption>{seconds(time)}</figcaption></figure>"


def _spread(count: int, limit: int) -> Iterator[int]:
    """At most `limit` positions out of `count`, evenly from the first to the last."""
    kept = min(count, limit)
    return (round(i * (count - 1) / max(1, kept - 1)) for i in range(kept))


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
    return f"{face.emotion} {100 * face.confidence:.0f}\u00a0%"


def _thumb(face: Face, picture: Image) -> str:
    """The face alone, so that its bars are told from its neighbour's."""
    x, y, width, height = (round(v) for v in face.box)
    cut = picture[max(0, y) : max(0, y + height), max(0, x) : max(0, x + width)]
    return img(cut, THUMB, "") if cut.size else ""


def img(picture: Image, longest: int, alt: str) -> str:
    """An `<img>` that holds its JPEG."""
    small = Pillow.fromarray(np.ascontiguousarray(picture)).convert("RGB")
    small.thumbnail((longest, longest), Pillow.Resampling.LANCZOS)
    data = io.BytesIO()
    small.save(data, "JPEG", quality=85)
    code = base64.b64encode(data.getvalue()).decode("ascii")
    size = f'width="{small.width}" height="{small.height}"'
    return f'<img {size} alt="{escape(alt)}" src="data:image/jpeg;base64,{code}">'


def _text(text: str) -> str:
    return escape(printable(text))
