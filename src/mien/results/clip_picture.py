"""A clip as one still picture (SVG): time across, a band a face, its events below it."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Final

from mien.labels import EMOTIONS
from mien.results.clip_band import band, headline, lanes, marks, ticks
from mien.results.clip_page import ClipFile
from mien.results.clip_record import ClipRecord
from mien.results.colours import COLOURS
from mien.results.timeline import TRACKS, Track
from mien.types import Frame, Image

WIDTH: Final = 1200  # pixels
LEFT, RIGHT = 70, 40  # pixels beside the bands
TOP, BOTTOM = 90, 40  # pixels above and below them
BAND, MARKS, PITCH = 110, 40, 215  # pixels: of a band, of its marks, from one band to the next
LONGEST: Final = 90  # letters of the title
STYLE: Final = (
    "text{font:15px system-ui,sans-serif;fill:#1b1d22}.soft{fill:#545966}"
    ".marks path{stroke:#000;stroke-width:2;vector-effect:non-scaling-stroke}"
    ".marks rect{vector-effect:non-scaling-stroke}"
)


class ClipPicture(ClipFile):
    """The picture, used as `ClipPage` is; it has its own light ground, so it reads the same everywhere."""

    def add(self, frame: Frame, pixels: Image | None = None) -> None:  # noqa: ARG002 - as `ClipPage` is used
        """Take the next frame; its pixels are not needed."""
        super().add(frame)

    def parts(self) -> Iterator[str]:
        """The title, the legend, a band a face."""
        found = self._record.bins.tracks()
        shown = found[:TRACKS]
        more = len(found) - len(shown) + self._record.bins.left_out
        height = TOP + PITCH * max(1, len(shown)) + BOTTOM
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}"><title>{escape(self._title)}</title><style>{STYLE}</style>'
            f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>'
            f'<text x="{LEFT}" y="36" style="font-size:22px">{escape(_short(self._title))}</text>{_legend()}'
        )
        for row, track in enumerate(shown):
            yield _face(self._record, track, TOP + PITCH * row)
        if not shown:
            yield f'<text x="{LEFT}" y="{TOP + 40}">No face was read in this clip.</text>'
        rest = f" {more} more faces were seen for a shorter time." if more else ""
        yield (
            f'<text class="soft" x="{LEFT}" y="{height - 16}">Time across; height is the share of each '
            f"expression shown, as a network reads it.{rest}</text></svg>\n"
        )


def _legend() -> str:
    step = (WIDTH - LEFT - RIGHT) / len(EMOTIONS)
    return "".join(
        f'<rect x="{LEFT + step * i:.0f}" y="54" width="14" height="14" fill="{COLOURS[e]}" '
        'stroke="#555b66"/>'
        f'<text x="{LEFT + step * i + 20:.0f}" y="66">{e}</text>'
        for i, e in enumerate(EMOTIONS)
    )


def _face(record: ClipRecord, track: Track, y: int) -> str:
    events = [event for event, _ in record.face(track.number or 0).events()]
    width, top = WIDTH - LEFT - RIGHT, y + 30
    says = f"Face {track.number}: {headline(track)}"
    span = float(track.edges[0]), float(track.edges[-1])
    stands = f'x="{LEFT}" y="{top}" width="{width}" height="{BAND}" '
    high = min(MARKS, 9 * len(lanes(events)))
    below = f'class="marks" x="{LEFT}" y="{top + BAND + 3}" width="{width}" height="{high}" '
    along = ticks(track, 7)
    times = "".join(
        f'<text class="soft" text-anchor="middle" x="{LEFT + width * i / (len(along) - 1):.0f}" '
        f'y="{top + BAND + MARKS + 20}">{time}</text>'
        for i, time in enumerate(along)
    )
    shares = "".join(
        f'<text class="soft" text-anchor="end" x="{LEFT - 8}" y="{top + BAND * (1 - s) + 5:.0f}">'
        f"{100 * s:.0f}&#160;%</text>"
        for s in (1.0, 0.5, 0.0)
    )
    return (
        f'<text x="{LEFT}" y="{y + 20}">{says}</text>{shares}'
        f'<rect x="{LEFT}" y="{top}" width="{width}" height="{BAND + 3 + high}" fill="#eceef2"/>'
        f"{band(track, says, place=stands)}{marks(events, span, place=below)}{times}"
    )


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
