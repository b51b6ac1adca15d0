"""Faces drawn on a copy of their picture: box, landmarks, a label, and eight bars where there is room.

Legend: H rows, W columns; a rectangle is (left, top, right, bottom) in pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Final

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from mien.labels import EMOTIONS
from mien.types import Face, Image

Rect = tuple[int, int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

#: Emotion -> "#rrggbb", told apart by colour-blind people too: seven of the eight colours of
#: Okabe and Ito (2008), https://jfly.uni-koeln.de/color/, and, for neutral,
#: a gray light enough to differ from the purple and the green when red and green look the same.
COLOURS: Final = {
    "neutral": "#bbbbbb",
    "happiness": "#f0e442",
    "surprise": "#e69f00",
    "sadness": "#0072b2",
    "anger": "#d55e00",
    "disgust": "#009e73",
    "fear": "#cc79a7",
    "contempt": "#56b4e9",
}

#: The colour of a face that has not been classified.
UNKNOWN: Final = "#ffffff"

MIN_TEXT: Final = 9  # pixels; the font cannot be read when it is smaller
MAX_DETAILED_FACES: Final = 6  # with more faces, each gets its box and a short label only
MIN_DETAILED_HEIGHT: Final = 48  # pixels; so does a face that is not as high
DARK, PALE = "#16181d", "#f4f4f4"
PANEL_OPACITY: Final = 215  # of 255


def annotate(pixels: Image, faces: Sequence[Face]) -> Image:
    """A copy of the picture with its faces drawn on it.

    Args:
        pixels: (H, W, 3) RGB or (H, W) gray uint8; stays as it is.
        faces: those of this picture; one that was not classified gets its box and detection score.

    Returns:
        (H, W, 3) RGB uint8.
    """
    canvas = Pillow.fromarray(pixels).convert("RGB")
    boxes = [_clip_box(face, canvas.size) for face in faces]
    taken = list(boxes)
    for face, box in zip(faces, boxes, strict=True):
        _draw_outline(canvas, face, box)
    for face, box in zip(faces, boxes, strict=True):
        taken += _draw_label(
            canvas,
            face,
            box,
            taken,
            short=len(faces) > MAX_DETAILED_FACES or box[3] - box[1] < MIN_DETAILED_HEIGHT,
        )
    for face, box in zip(faces, boxes, strict=True):
        if face.probabilities is not None and len(faces) <= MAX_DETAILED_FACES:
            taken += _draw_panel(canvas, face, box, taken, alone=len(faces) == 1)
    return np.array(canvas)


@cache
def _font(size: int) -> Font:
    return ImageFont.load_default(size)


def _clip_box(face: Face, size: tuple[int, int]) -> Rect:
    """The part of the box that lies in the picture, so that each of its sides is seen."""
    x, y, width, height = face.box
    right, bottom = size[0] - 1, size[1] - 1
    left, top = min(max(round(x), 0), right), min(max(round(y), 0), bottom)
    return left, top, max(left, min(round(x + width), right)), max(top, min(round(y + height), bottom))


def _colour(face: Face) -> str:
    return UNKNOWN if face.emotion is None else COLOURS[face.emotion]


def _draw_outline(canvas: Pillow.Image, face: Face, box: Rect) -> None:
    """Box and landmarks in the emotion's colour within a dark edge, seen on light and on dark."""
    draw = ImageDraw.Draw(canvas)
    side = min(box[2] - box[0], box[3] - box[1])
    line = max(1, min(round(min(canvas.size) / 250), side // 24))
    draw.rectangle(_enlarge(box, max(1, line // 2)), outline=DARK, width=line + 2 * max(1, line // 2))
    draw.rectangle(box, outline=_colour(face), width=line)
    radius = side / 70
    if radius < 0.9:  # a smaller dot would hide the eye it marks
        return
    for x, y in face.landmarks.tolist():  # (5, 2)
        for r, fill in ((radius + max(1.0, radius / 2), DARK), (radius, _colour(face))):
            draw.ellipse((x - r, y - r, x + r, y + r), fill=fill)


def _enlarge(box: Rect, by: int) -> Rect:
    return box[0] - by, box[1] - by, box[2] + by, box[3] + by


def _text_size(canvas: Pillow.Image, box: Rect) -> int:
    """Grows with the face, within bounds that the picture sets."""
    side = min(canvas.size)
    smallest = MIN_TEXT if side >= 64 else 8  # so that a 48-pixel crop still holds "happiness"
    return max(smallest, round(min(max((box[3] - box[1]) / 10, side / 70), side / 22)))


def _label_texts(face: Face, *, short: bool) -> Iterator[str]:
    """What the tag may say, longest first."""
    value = f"{100 * (face.score if face.confidence is None else face.confidence):.0f} %"
    word = "face" if face.emotion is None else face.emotion
    if not short:
        if face.track is not None:
            yield f"#{face.track} {word} {value}"
        yield f"{word} {value}"
    yield from (word, value)


def _draw_label(
    canvas: Pillow.Image, face: Face, box: Rect, taken: Sequence[Rect], *, short: bool
) -> list[Rect]:
    """The label on a filled tag over the box, else under it, else inside; nothing if none fits."""
    font = _font(_text_size(canvas, box))
    pad = max(2, round(_text_size(canvas, box) / 4))
    for text in _label_texts(face, short=short):
        left, top, right, _ = map(round, font.getbbox(text))
        low = round(font.getbbox("hp")[3])  # one height for every word
        width, height = right - left + 2 * pad, low - top + 2 * pad
        if width <= canvas.width and height <= canvas.height:
            break
    else:
        return []
    rooms = [(box[0], box[1] - height), (box[0], box[3] + 1), (box[0], box[1])]
    spot = _first_free(rooms, (width, height), canvas.size, taken) or _inside(
        rooms[2], (width, height), canvas.size
    )
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((spot[0], spot[1], spot[2] - 1, spot[3] - 1), fill=_colour(face), outline=DARK)
    draw.text((spot[0] + pad - left, spot[1] + pad - top), text, fill=ink(_colour(face)), font=font)
    return [spot]


def _inside(corner: tuple[int, int], size: tuple[int, int], picture: tuple[int, int]) -> Rect:
    """The rectangle of `size` nearest to `corner` that does not run off the picture."""
    left, top = (max(0, min(c, p - s)) for c, s, p in zip(corner, size, picture, strict=True))
    return left, top, left + size[0], top + size[1]


def _first_free(
    corners: Sequence[tuple[int, int]], size: tuple[int, int], picture: tuple[int, int], taken: Sequence[Rect]
) -> Rect | None:
    """The first of the places that, moved into the picture, meets nothing that is drawn there."""
    places = (_inside(corner, size, picture) for corner in corners)
    return next((place for place in places if not any(_overlap(place, other) for other in taken)), None)


def _overlap(a: Rect, b: Rect) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _draw_panel(
    canvas: Pillow.Image, face: Face, box: Rect, taken: Sequence[Rect], *, alone: bool
) -> list[Rect]:
    """Eight bars beside the box, smaller if need be; nothing where they would hide a face."""
    rooms = [
        (size, room)
        for size, room in _panel_sizes(_text_size(canvas, box))
        if room[1] <= 1.3 * (box[3] - box[1]) and room[0] <= canvas.width and room[1] <= canvas.height
    ]
    beside = ((size, _first_free(_beside(box, room), room, canvas.size, taken)) for size, room in rooms)
    corner = ((size, _corner(canvas, box, room)) for size, room in rooms if alone)
    for size, spot in chain(beside, corner):
        if spot is not None:
            _draw_bars(canvas, face, spot, size)
            return [spot]
    return []


def _panel_sizes(text: int) -> Iterator[tuple[int, tuple[int, int]]]:
    """Letters and the room that the panel takes with them, (width, height), largest first."""
    for size in sorted({max(MIN_TEXT, round(text * part)) for part in (0.9, 0.7, 0.6)}, reverse=True):
        yield size, (round(size * 11.4), round(size * 1.3 * len(EMOTIONS) + size * 0.6))


def _beside(box: Rect, room: tuple[int, int]) -> list[tuple[int, int]]:
    """The places of a panel in order of preference: right, left, under, over."""
    gap = 4
    left, under = box[0] - gap - room[0], box[3] + gap
    return [(box[2] + gap, box[1]), (left, box[1]), (box[0], under), (box[0], box[1] - gap - room[1])]


def _corner(canvas: Pillow.Image, box: Rect, size: tuple[int, int]) -> Rect | None:
    """The picture's lower right corner, for a lone face that fills it, if that hides little of the face."""
    spot = _inside(canvas.size, size, canvas.size)
    shared = max(0, box[2] - spot[0]) * max(0, box[3] - spot[1])
    return spot if shared <= 0.08 * (box[2] - box[0]) * (box[3] - box[1]) else None


def _draw_bars(canvas: Pillow.Image, face: Face, spot: Rect, size: int) -> None:
    """One line an emotion: name, bar, percent."""
    room = (spot[2] - spot[0], spot[3] - spot[1])
    canvas.paste(Pillow.new("RGB", room, DARK), spot[:2], Pillow.new("L", room, PANEL_OPACITY))
    draw, font = ImageDraw.Draw(canvas), _font(size)
    start, end = spot[0] + round(size * 5.6), spot[2] - round(size * 2.4)
    values = [] if face.probabilities is None else face.probabilities.tolist()
    for i, (emotion, value) in enumerate(zip(EMOTIONS, values, strict=True)):
        middle = spot[1] + round(size * (0.3 + 1.3 * (i + 0.5)))
        half = max(2, round(size * 0.36))
        bar = (start, middle - half, start + round((end - start) * value), middle + half)
        draw.text((spot[0] + size * 0.4, middle), emotion, fill=PALE, font=font, anchor="lm")
        draw.rectangle((start, middle - half, end, middle + half), fill="#3a3e47")
        draw.rectangle(bar, fill=COLOURS[emotion])
        draw.text((spot[2] - size * 0.4, middle), f"{100 * value:.0f}", fill=PALE, font=font, anchor="rm")


def ink(colour: str) -> str:
    """Black or white, whichever reads better on `colour`.

    >>> ink("#f0e442"), ink("#0072b2")
    ('#000000', '#ffffff')
    """
    level = luminance(colour)
    return "#000000" if (level + 0.05) / 0.05 >= 1.05 / (level + 0.05) else "#ffffff"


def luminance(colour: str) -> float:
    """Relative luminance of "#rrggbb" in [0, 1] (WCAG 2.2, "relative luminance")."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
