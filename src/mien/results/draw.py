"""Faces drawn on a copy of their picture: box, landmarks, a label, and eight bars where there is room.

Legend: H rows, W columns; a rectangle is (left, top, right, bottom) in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from mien.labels import EMOTIONS
from mien.types import Face, Floats, Image

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
GAP: Final = 4  # pixels between a box and its panel


def annotate(pixels: Image, faces: Sequence[Face], *, dense: bool = False) -> Image:
    """A copy of the picture with its faces drawn on it.

    Args:
        pixels: (H, W, 3) RGB or (H, W) gray uint8; stays as it is.
        faces: those of this picture; one that was not classified gets its box and detection score.
        dense: draw all 146 landmarks of a face, where they are known, instead of five.

    Returns:
        (H, W, 3) RGB uint8.
    """
    canvas = Pillow.fromarray(pixels).convert("RGB")
    few = len(faces) <= MAX_DETAILED_FACES
    boxes = [_clip_box(face, canvas.size) for face in faces]
    taken = list(boxes)
    pairs = list(zip(faces, boxes, strict=True))
    for face, box in pairs:
        _draw_outline(canvas, face, box, face.landmarks_dense if dense else None)
    for face, box in pairs:
        detailed = few and box[3] - box[1] >= MIN_DETAILED_HEIGHT
        taken += _draw_label(canvas, face, box, taken, detailed=detailed)
    for face, box in pairs:
        if few and face.probabilities is not None:
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


def _draw_outline(canvas: Pillow.Image, face: Face, box: Rect, points: Floats | None) -> None:
    """Box and landmarks, or these (N, 2) points, in the emotion's colour, dark around: seen on any ground."""
    draw = ImageDraw.Draw(canvas)
    side = min(box[2] - box[0], box[3] - box[1])
    line = max(1, min(round(min(canvas.size) / 250), side // 24))
    edge = max(1, line // 2)
    outer = (box[0] - edge, box[1] - edge, box[2] + edge, box[3] + edge)
    draw.rectangle(outer, outline=DARK, width=line + 2 * edge)
    draw.rectangle(box, outline=_colour(face), width=line)
    radius = side / (70 if points is None else 250)
    if points is None and radius < 0.9:  # a smaller dot would hide the eye it marks
        return
    for x, y in (face.landmarks if points is None else points).tolist():
        for r, fill in ((radius + max(1.0, radius / 2), DARK), (radius, _colour(face))):
            draw.ellipse((x - r, y - r, x + r, y + r), fill=fill)


def _text_size(canvas: Pillow.Image, box: Rect) -> int:
    """Grows with the face, within bounds that the picture sets."""
    side = min(canvas.size)
    smallest = MIN_TEXT if side >= 64 else 8  # so that a 48-pixel crop still holds "happiness"
    return max(smallest, round(min(max((box[3] - box[1]) / 10, side / 70), side / 22)))


def _draw_label(
    canvas: Pillow.Image, face: Face, box: Rect, taken: Sequence[Rect], *, detailed: bool
) -> list[Rect]:
    """The label on a filled tag over the box, else under it, else inside; nothing if none fits."""
    value = f"{100 * (face.score if face.confidence is None else face.confidence):.0f} %"
    word = "face" if face.emotion is None else face.emotion
    texts = [f"{word} {value}", word, value] if detailed else [word, value]
    if detailed and face.track is not None:
        texts.insert(0, f"#{face.track} {word} {value}")
    font = _font(_text_size(canvas, box))
    pad = max(2, round(_text_size(canvas, box) / 4))
    for text in texts:  # the longest that fits
        left, top, right, _ = map(round, font.getbbox(text))
        low = round(font.getbbox("hp")[3])  # one height for every word
        size = width, height = right - left + 2 * pad, low - top + 2 * pad
        if width <= canvas.width and height <= canvas.height:
            break
    else:
        return []
    corners = [(box[0], box[1] - height), (box[0], box[3] + 1), (box[0], box[1])]
    spot = _first_free(corners, size, canvas.size, taken) or _inside(corners[-1], size, canvas.size)
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
    for corner in corners:
        a = _inside(corner, size, picture)
        if not any(a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3] for b in taken):
            return a
    return None


def _draw_panel(
    canvas: Pillow.Image, face: Face, box: Rect, taken: Sequence[Rect], *, alone: bool
) -> list[Rect]:
    """Eight bars beside the box, smaller if need be; nothing where they would hide a face."""
    rooms = []  # letters, and the width and height that the panel takes with them, largest first
    text = _text_size(canvas, box)
    for letters in sorted({max(MIN_TEXT, round(text * part)) for part in (0.9, 0.7, 0.6)}, reverse=True):
        width, height = round(letters * 11.4), round(letters * 1.3 * len(EMOTIONS) + letters * 0.6)
        if height <= min(1.3 * (box[3] - box[1]), canvas.height) and width <= canvas.width:
            rooms.append((letters, (width, height)))
    for letters, size in rooms:
        left, under, over = box[0] - GAP - size[0], box[3] + GAP, box[1] - GAP - size[1]
        corners = [(box[2] + GAP, box[1]), (left, box[1]), (box[0], under), (box[0], over)]
        spot = _first_free(corners, size, canvas.size, taken)
        if spot is not None:
            _draw_bars(canvas, face, spot, letters)
            return [spot]
    # a lone face may fill the picture: then its lower right corner, if that hides little of the face
    for letters, size in rooms if alone else []:
        spot = _inside(canvas.size, size, canvas.size)
        shared = max(0, box[2] - spot[0]) * max(0, box[3] - spot[1])
        if shared <= 0.08 * (box[2] - box[0]) * (box[3] - box[1]):
            _draw_bars(canvas, face, spot, letters)
            return [spot]
    return []


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
