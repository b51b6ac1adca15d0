"""A camera to its frames and their times, by OpenCV; PyAV's wheels have no camera input."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from mien.errors import MissingExtra, VideoError
from mien.types import Image


class CameraReader:
    """Camera `number`, open until it is closed."""

    frames_total: int | None = None  # a camera announces no end
    duration: float | None = None

    def __init__(self, number: int) -> None:
        self._capture = _open_camera(number)
        self._number = number
        self._ended = False
        rate = float(self._capture.get(5))  # CAP_PROP_FPS; 0 where the driver does not know
        self.fps: float | None = rate if rate > 0 else None

    def pictures(self) -> Iterator[tuple[float, Callable[[], Image]]]:
        """Frames until the camera stops giving them."""
        start = time.monotonic()
        while self._capture.grab():
            yield time.monotonic() - start, self._pixels
        self._ended = True

    def _pixels(self) -> Image:
        good, pixels = self._capture.retrieve()
        if not good:
            raise VideoError(f"camera {self._number} gave a frame that cannot be decoded; plug it in again")
        return np.ascontiguousarray(pixels[:, :, ::-1])  # BGR to RGB, (H, W, 3)

    def notes(self) -> tuple[str, ...]:
        """That the camera stopped, if it did."""
        return (f"camera {self._number} stopped giving frames",) if self._ended else ()

    def missing(self) -> tuple[str, ...]:
        """Nothing: a camera announces no end."""
        return ()

    def close(self) -> None:
        """Release the camera."""
        self._capture.release()


def _open_camera(number: int) -> Any:
    """Open camera `number`; OpenCV's own log is silent meanwhile."""
    if number < 0:  # OpenCV's "any camera"; some of its builds end the process over it
        raise VideoError(f"expected the number of a camera, 0 for the first, got {number}")
    try:
        import cv2
    except ImportError as error:
        raise MissingExtra("opencv-python-headless", "camera", "a camera") from error
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(0)
    try:
        capture = cv2.VideoCapture(number)
    finally:
        cv2.utils.logging.setLogLevel(level)
    if not capture.isOpened():
        capture.release()
        raise VideoError(
            f"expected a camera, number {number} cannot be opened; check that it is plugged in and that no "
            "other program uses it (the first camera is 0; on Linux /dev/video0)"
        )
    return capture
