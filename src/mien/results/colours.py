"""One colour an emotion, the same in every picture, page and plot."""

from __future__ import annotations

from typing import Final

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
