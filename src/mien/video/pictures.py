"""Pictures that a program has in hand as a clip: one after the other, at a rate or at their own times."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sized
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.errors import ConfigError, ImageError, VideoError
from mien.image import read_image
from mien.types import Image

if TYPE_CHECKING:
    from mien.image import ImageSource


class PictureReader:
    """Pictures of an iterable, read once, first to last.

    Args:
        pictures: each as `read_image` takes it, or a pair of its time and such a picture.
        rate: pictures per second ...
        times: ... or the time of each in seconds.
        white: of arrays; see `pixels.array_to_rgb`.
        color: of arrays.

    Raises:
        ConfigError: no time can be told, or `rate` makes no sense.
        VideoError: one picture instead of several.
    """

    duration: float | None = None

    def __init__(
        self,
        pictures: Iterable[ImageSource | tuple[float, ImageSource]],
        *,
        rate: float | None = None,
        times: Iterable[float] | None = None,
        white: float | None = None,
        color: str = "rgb",
    ) -> None:
        if rate is not None and (times is not None or not (math.isfinite(rate) and rate > 0)):
            raise ConfigError(f"expected times, or a rate of pictures per second above 0, got rate={rate!r}")
        shape = getattr(pictures, "shape", (0, 0, 0, 0))
        if len(shape) < 3 or (len(shape) == 3 and shape[2] in {1, 3, 4}):
            raise VideoError(f"expected several pictures, got one of shape {tuple(shape)}; use `image`")
        self._pictures, self._times = pictures, None if times is None else iter(times)
        self._read = partial(read_image, white=white, color=color)
        self._notes: dict[str, None] = {}  # each once, in their order
        self.fps = rate
        self.frames_total = len(pictures) if isinstance(pictures, Sized) else None

    def pictures(self) -> Iterator[tuple[float, Callable[[], Image]]]:
        """Each picture's time, and a function that gives its pixels."""
        for i, item in enumerate(self._pictures):
            picture: Any = item
            if self.fps is not None:
                time = i / self.fps
            elif self._times is not None:
                time = next(self._times, math.nan)
            elif isinstance(item, tuple) and len(item) == 2:
                time, picture = item
            else:
                raise ConfigError(
                    "expected to know when each picture was taken; give rate (pictures per second), times, "
                    "or pairs of time and picture"
                )
            try:
                time = float(time)
            except (TypeError, ValueError):
                time = math.nan
            if not math.isfinite(time):
                raise ConfigError(f"times: expected the seconds of picture {i}, got none, or no number")
            yield time, partial(self._pixels, i, picture)

    def _pixels(self, number: int, picture: Any) -> Image:
        try:
            read = self._read(picture)
        except ImageError as error:
            raise VideoError(f"picture {number}: {error}") from error
        self._notes |= dict.fromkeys(read.notes)
        return np.array(read.pixels)  # a copy: whoever made the array may fill it anew while it waits

    def notes(self) -> tuple[str, ...]:
        """What arrays were taken for."""
        return tuple(self._notes)

    def missing(self) -> tuple[str, ...]:
        """Nothing: what is given is all there is."""
        return ()

    def close(self) -> None:
        """End a generator, so that it can tidy up."""
        close = getattr(self._pictures, "close", None)
        if close is not None:
            close()
