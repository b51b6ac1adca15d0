"""Where one shot of a clip ends and another begins: a frame that looks like nothing shown just before.

Frames are compared as small gray pictures by correlation, which neither brightness nor a flash changes.
What counts as different follows how much the clip has differed of late, so that a camera that swings, or
frames a second apart, do not pass for cuts. A dissolve is not one either: it has no frame to end on.

Legend: R x C cells.
"""

from __future__ import annotations

from typing import Any, Final, Self

import numpy as np

from mien.types import Floats, Image
from mien.video.signature import POINTS, listed, signature, unlisted

_ROWS: Final = 18  # R
_COLUMNS: Final = 32  # C
_FLAT: Final = 4.0  # gray levels of deviation below which a frame shows nothing: black, or a flash
_LEAST: Final = (
    0.35  # 1 - correlation of a cut in a clip that stands still; 99 of 100 pairs of heads have more
)
_TIMES: Final = 3.0  # times as different as usual, above that
_USUAL: Final = 0.1  # difference taken for usual before any is known
_RATE: Final = 0.2  # how quickly what is usual follows what is seen


class CutDetector:
    """Tells frame after frame whether a new shot begins; one for a clip."""

    def __init__(self) -> None:
        self._last: Floats | None = None  # (R * C,) the last frame that was not flat
        self._usual = _USUAL

    def state(self) -> dict[str, Any]:
        """All that it knows, as JSON can hold it to the last bit; `restored` takes it back."""
        return {"last": listed(self._last), "usual": self._usual}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> Self:
        """The detector whose `state` it was."""
        detector = cls()
        detector._last, detector._usual = unlisted(state["last"]), state["usual"]
        return detector

    def starts(self, pixels: Image) -> bool:
        """Whether the (H, W, 3) RGB frame begins another shot than the one given before; never the first."""
        frame = _small(pixels)
        if frame is None:
            return False
        before, self._last = self._last, frame
        if before is None:
            return False
        change = 1.0 - float(frame @ before)
        if change > _LEAST + _TIMES * self._usual:
            self._usual = _USUAL
            return True
        self._usual += _RATE * (change - self._usual)
        return False


def _small(pixels: Image) -> Floats | None:
    """(R * C,) gray, of mean 0 and length 1; None: the frame is flat."""
    rows, columns = pixels.shape[:2]
    y = (np.arange(_ROWS * POINTS) + 0.5) * rows / (_ROWS * POINTS)
    x = (np.arange(_COLUMNS * POINTS) + 0.5) * columns / (_COLUMNS * POINTS)
    spots = pixels[y.astype(np.intp)[:, None], x.astype(np.intp)]  # (R * points, C * points, 3)
    return signature(spots.reshape(-1, 3), (_ROWS, _COLUMNS), flat=_FLAT)
