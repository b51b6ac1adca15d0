"""One clip, camera or stream to its parts: rows, events, an annotated copy and a page, in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from mien.batch.fetch import on_disk
from mien.batch.journal import Journal, describe, journal_path
from mien.batch.part import Job, Part, Task
from mien.batch.store import is_store
from mien.errors import MienError, OutputError, VideoError
from mien.results.rows import Row, rows
from mien.types import Frame, Image

if TYPE_CHECKING:
    from mien.analyzer import Analyzer
    from mien.results.clip import ClipWriter
    from mien.results.clip_page import ClipFile
    from mien.video.ahead import Latency, NewestFrame
    from mien.video.events import Event
    from mien.video.frames import LazyFrame, Video, VideoFrame
    from mien.video.smooth import Smoother

#: Sees each frame with its (H, W, 3) pixels as soon as it is read, and what latency there is; False: enough.
Show = Callable[[Frame, Image, "Latency | None"], bool]
_UNSEEN: Final = np.zeros((1, 1, 3), np.uint8)  # pixels that nobody looks at


def read_clip(analyzer: Analyzer, task: Task, job: Job, show: Show | None = None) -> Iterator[Part]:
    """The parts of one clip; the last one closes it.

    Raises:
        MienError: it cannot be read, or a copy or page of it not be written; what came before has been given.
    """
    from mien.video.frames import Video, VideoOptions

    with ExitStack() as stack:
        name = stack.enter_context(on_disk(task.source))
        place = int(name) if task.source.kind == "camera" else name
        video = stack.enter_context(
            Video(place, VideoOptions(job.every, job.fps, job.start, job.end), threads=job.threads)
        )
        reading = _Reading(video, job, task, stack, show)
        try:
            yield from reading.run(_frames(analyzer, video, job, task, reading))
        except GeneratorExit:  # Ctrl-C: copy and page so far are finished, as the rows are
            return
    yield _end(video, task.source.shown, reading)


def _frames(
    analyzer: Analyzer, video: Video, job: Job, task: Task, reading: _Reading
) -> Iterator[tuple[Frame, Image]]:
    """Every frame with its pixels; those that a killed run had read come from its journal."""
    from mien.video.ahead import NewestFrame

    source = task.source.shown
    make = partial(analyzer.follower, detect_every=job.detect_every, threads=job.threads)
    if task.source.live:
        reading.newest = NewestFrame.of(video)
        yield from analyzer.follow(reading.newest, source=source, follower=make())
    elif job.journals is None or is_store(task.source.name):
        yield from analyzer.follow(video, source=source, follower=make())
    else:
        path = journal_path(job.journals, task.source.name)
        what = describe(Path(task.source.name), job, analyzer.classifier.digest)
        with Journal(path, what, source) as journal:
            lazy = video.lazy_frames()
            yield from _replayed(journal, lazy, reading)
            follower = make(state=journal.state)
            rest = (frame.load() for frame in lazy)
            for batch in analyzer.follow_batches(rest, source=source, follower=follower):
                for frame, pixels in batch.frames:
                    journal.add(frame)
                    if frame is batch.frames[-1][0]:
                        journal.mark(batch.state)
                    yield frame, pixels


def _replayed(
    journal: Journal, lazy: Iterator[LazyFrame], reading: _Reading
) -> Iterator[tuple[Frame, Image]]:
    """The journal's frames; the clip is decoded along with them, so that it stands where they end.

    Raises:
        VideoError: the clip gives other frames than the journal has.
    """
    for frame in journal.replay():
        found = next(lazy, None)
        if found is None or (found.index, found.time) != (frame.index, frame.time):
            raise VideoError(
                f"expected the frames that an earlier run had read of {frame.source}, got others at "
                f"frame {frame.index}: it changed, or is damaged; remove {journal.path} and start again"
            )
        yield frame, found.pixels() if reading.sees else _UNSEEN
    if journal.replayed:
        reading.notes.append(f"went on after {journal.replayed} frames that an earlier run had read")


class _Reading:
    """What is made of the frames of one clip."""

    def __init__(self, video: Video, job: Job, task: Task, stack: ExitStack, show: Show | None) -> None:
        from mien.video.events import EventFinder

        self.newest: NewestFrame[VideoFrame] | None = None
        self.notes: list[str] = []
        self._video, self._show = video, show
        self._smoother = _smoother(job, live=task.source.live)
        self._finder = EventFinder() if job.events or task.page else None
        self._copy = _open_copy(task, stack)
        self._pages = _open_pages(task, stack)
        self.sees = bool(self._copy or self._pages or show)  # somebody looks at pixels
        self._waiting: dict[int, Image] = {}  # pixels of frames that the smoother holds

    def run(self, frames: Iterator[tuple[Frame, Image]]) -> Iterator[Part]:
        """The parts of the frames; when reading them fails, first those of what came before."""
        try:
            for frame, pixels in frames:
                yield from self._take(frame, pixels)
                latency = self.newest.latency if self.newest else None
                if self._show is not None and not self._show(frame, pixels, latency):
                    break
        except MienError:
            yield from self._flush()
            raise
        yield from self._flush()

    def _take(self, frame: Frame, pixels: Image) -> Iterator[Part]:
        if self._copy is not None:
            self._copy.write(pixels, frame)
        if self._pages:
            self._waiting[frame.index] = pixels
        yield from map(self._part, self._smoother.push(frame))

    def _flush(self) -> Iterator[Part]:
        """The parts of what is still held."""
        yield from map(self._part, self._smoother.flush())
        events = list(self._finder.flush()) if self._finder else []
        if events:
            yield Part(events[0].source, events=self._told(events))

    def _part(self, frame: Frame) -> Part:
        pixels = self._waiting.pop(frame.index, None)
        for page in self._pages:
            page.add(frame, pixels)
        events = list(self._finder.push(frame)) if self._finder else []
        return Part(frame.source, rows(frame), self._told(events), 1, len(frame.faces), self._video.share)

    def _told(self, events: list[Event]) -> list[Row]:
        from mien.results.rows import event_row

        for event in events:
            for page in self._pages:
                page.event(event)
        return [event_row(event) for event in events]


def _smoother(job: Job, *, live: bool) -> Smoother:
    from mien.video.smooth import CAUSAL, TWO_SIDED, Causal, TwoSided

    if live:
        return Causal(CAUSAL if job.smooth is None else job.smooth)
    return TwoSided(TWO_SIDED if job.smooth is None else job.smooth)


def _open_copy(task: Task, stack: ExitStack) -> ClipWriter | None:
    if task.copy is None:
        return None
    from mien.results.clip import ClipWriter

    make_folder(task.copy.parent)
    whole = task.source.kind == "clip" and not is_store(task.source.name)
    sound = Path(task.source.name) if whole else None
    return stack.enter_context(ClipWriter(task.copy, sound=sound))


def _open_pages(task: Task, stack: ExitStack) -> list[ClipFile]:
    if task.page is None:
        return []
    from mien.results.clip_page import ClipPage
    from mien.results.clip_picture import ClipPicture

    make_folder(task.page.parent)
    title = Path(task.source.shown).name
    made = (ClipPage(task.page, title, overwrite=True),
            ClipPicture(task.page.with_suffix(".svg"), title, overwrite=True))  # fmt: skip
    return [stack.enter_context(one) for one in made]


def _end(video: Video, name: str, reading: _Reading) -> Part:
    """The last part: a clip of which something is missing has failed, though its rows are kept."""
    missing = video.missing
    notes = reading.notes + [note for note in video.notes if note not in missing]
    if reading.newest is not None and reading.newest.latency is not None:
        over = reading.newest.passed_over
        notes.append(f"latency {reading.newest.latency}; {over} frames passed over for newer ones")
    end = Part(name, share=1.0, notes=tuple(notes), last=True)
    if not missing:
        return end
    error = (
        f"expected a whole clip, {name} was read in part: {'; '.join(missing)}; its rows until there are "
        "kept: get it again or save it anew for the rest"
    )
    return replace(end, error=error)


def make_folder(folder: Path) -> None:
    """A folder for copies or pages.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"expected a folder that can be made at {folder}, got: {error.strerror}; name another"
        ) from error
