"""Shows frames while they are read: in a window where there is a display, otherwise in the terminal."""

from __future__ import annotations

import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from mien.labels import EMOTIONS
from mien.types import Frame, Image

if TYPE_CHECKING:
    from rich.table import Table

WINDOW_SIZE: Final = (1280, 720)  # pixels that a window's picture is made to fit
SHOWN_EMOTIONS: Final = 3  # emotions of a face in the terminal
BAR_LENGTH: Final = 24  # characters of a probability of 1


class Window:
    """A window with the faces drawn on; closed by its button, by Escape or by q."""

    def __init__(self) -> None:
        import tkinter as tk

        self._root = tk.Tk()
        self._root.title("Mien")
        self._label = tk.Label(self._root)
        self._label.pack()
        self._open = True
        self._rate = _FrameRate()
        self._picture: Any = None  # tkinter itself keeps no reference to it
        self._root.protocol("WM_DELETE_WINDOW", self._stop)
        for key in ("<Escape>", "q"):
            self._root.bind(key, self._stop)

    def __call__(self, frame: Frame, pixels: Image, latency: object | None) -> bool:
        """Draw the frame; False: the window was closed."""
        from PIL import Image as Pillow
        from PIL import ImageTk

        from mien.results.draw import annotate

        picture = Pillow.fromarray(annotate(pixels, frame.faces))
        picture.thumbnail(WINDOW_SIZE)
        self._picture = ImageTk.PhotoImage(picture)
        self._label.configure(image=self._picture)
        self._root.title(f"Mien: {self._rate.state(frame, latency)}")
        self._root.update()
        return self._open

    def close(self) -> None:
        """Close the window."""
        self._root.destroy()

    def _stop(self, *_event: object) -> None:
        self._open = False


class Terminal:
    """A few lines on standard error that change in place: each face's likeliest emotions as bars."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._rate = _FrameRate()
        self._live = Live(console=Console(stderr=True), refresh_per_second=10, transient=True)
        self._live.start()

    def __call__(self, frame: Frame, pixels: Image, latency: object | None) -> bool:  # noqa: ARG002
        """Write the frame's faces."""
        self._live.update(_table(frame, self._rate.state(frame, latency)))
        return True

    def close(self) -> None:
        """Take the lines away."""
        self._live.stop()


def choose_preview() -> Window | Terminal:
    """A window, or the terminal where no window can be opened."""
    try:
        return Window()
    except Exception as error:  # noqa: BLE001 - no tkinter, no display: each system says it in its own way
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        print(f"mien: note: no window ({reason}); showing in the terminal", file=sys.stderr)  # noqa: T201
        return Terminal()


class _FrameRate:
    """Measures how fast frames come, over the last 30."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=30)

    def state(self, frame: Frame, latency: object | None) -> str:
        self._times.append(time.monotonic())
        span = self._times[-1] - self._times[0]
        rate = f", {(len(self._times) - 1) / span:.0f} frames/s" if span > 0 else ""
        late = f", latency {latency}" if latency is not None else ""
        return f"frame {frame.index}{rate}{late}"


def _table(frame: Frame, state: str) -> Table:
    from rich.table import Table

    table = Table(title=state, title_justify="left", box=None, padding=(0, 1))
    for column in ("face", "expression", "", "per cent"):
        table.add_column(column, justify="right" if column == "per cent" else "left")
    for face in frame.faces:
        if face.probabilities is None:
            continue
        name = ("" if face.track is None else str(face.track)) + (" unsure" if face.uncertain else "")
        values = sorted(zip(face.probabilities.tolist(), EMOTIONS, strict=True), reverse=True)
        for value, emotion in values[:SHOWN_EMOTIONS]:
            table.add_row(name, emotion, "\u2588" * round(BAR_LENGTH * value), f"{100 * value:.0f}")
            name = ""  # on the first line only
    if not frame.faces:
        table.add_row("", "no face", "", "")
    return table
