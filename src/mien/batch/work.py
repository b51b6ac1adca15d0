"""One input to its result, in parts: a photo gives one, a clip one a frame, so that none piles up."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mien.batch.clip import Show, make_folder, read_clip
from mien.batch.fetch import fetch_picture, is_lost
from mien.batch.part import Job, Part, Task, failure
from mien.errors import MienError
from mien.image import quiet_decoders
from mien.results.rows import rows

if TYPE_CHECKING:
    from mien.analyzer import Analyzer


class Worker:
    """Reads one input after the other; the networks are loaded once, when first needed.

    Args:
        job: what to do with each.
        show: sees every frame of clips, cameras and streams.
    """

    def __init__(self, job: Job, show: Show | None = None) -> None:
        self.job = job
        self._show = show
        self._analyzer: Analyzer | None = None

    def load(self) -> Analyzer:
        """The analyzer.

        Raises:
            MienError: it cannot be loaded, so that nothing can be read.
        """
        if self._analyzer is None:
            quiet_decoders()
            self._analyzer = self.job.open()
        return self._analyzer

    def read(self, task: Task) -> Iterator[Part]:
        """The parts of one input; what is wrong with it ends in a part, never in an exception."""
        source = task.source
        if source.kind == "missing":
            yield failure(source.shown, source.error, lost=True)
            return
        analyzer = self.load()  # outside the try: without it no input can be read
        try:
            if source.kind == "photo":
                yield _photo(analyzer, task)
            else:
                yield from read_clip(analyzer, task, self.job, self._show)
        except MienError as error:
            yield failure(source.shown, str(error), lost=is_lost(error))
        except Exception as error:  # noqa: BLE001 - one bad file never ends a batch
            text = f"stopped by {type(error).__name__}: {error}; a bug in Mien: please report the file"
            yield failure(source.shown, text)
        if source.kind != "photo":
            gc.collect()  # PyAV's decoders sit in cycles with their frames: some 20 MB a clip would wait


def _photo(analyzer: Analyzer, task: Task) -> Part:
    name = task.source.name
    picture = fetch_picture(task.source)
    frame = analyzer.frame(picture.pixels, source=name, notes=picture.notes)
    if task.copy is not None:
        from mien.image import write_image
        from mien.results.draw import annotate

        make_folder(task.copy.parent)
        write_image(task.copy, annotate(picture.pixels, frame.faces))
    return Part(name, rows(frame), [], 1, len(frame.faces), 1.0, frame.notes, last=True)
