"""One input to its result, in parts: a photo gives one, a clip one a frame, so that none piles up."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mien.batch.sources import Source
from mien.errors import MienError, OutputError
from mien.output.rows import Row, failure_row, rows

if TYPE_CHECKING:
    from mien.run.analyzer import Analyzer
    from mien.run.video import Video
    from mien.types import Frame


@dataclass(frozen=True, slots=True)
class Job:
    """What to do with every input."""

    model: Path | None = None  # None: the network that comes with Mien
    crops: bool = False  # pictures already are faces
    min_face: int | None = None  # pixels
    max_faces: int | None = None  # a picture
    every: int = 1  # of a clip, each so-manieth frame ...
    fps: float | None = None  # ... or so many a second
    start: float | None = None  # seconds of a clip, by its time stamps: from here ...
    end: float | None = None  # ... to here
    detect_every: int = 1  # of the frames taken, look for faces in each so-manieth
    policy: str = "accurate"  # how probabilities become the emotion shown
    runtime: str = "onnxruntime"  # what runs the classifier
    threads: int = 0  # that decode a clip; 0: one a core, 1 in a worker that has one core

    def open(self) -> Analyzer:
        """Load the networks; one thread, so that workers do not crowd each other."""
        from mien.run.analyzer import load

        return load(
            self.model,
            policy=self.policy,
            crops=self.crops,
            min_face=self.min_face,
            max_faces=self.max_faces,
            runtime=self.runtime,
        )


@dataclass(frozen=True, slots=True)
class Task:
    """One input, and where its annotated copy goes."""

    source: Source
    copy: Path | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of one input's result; the last one closes the input."""

    name: str  # the source's
    rows: list[Row] = field(default_factory=list)
    frames: int = 0
    faces: int = 0
    share: float = 0.0  # of the input that is read, 0 to 1, where its length is known
    notes: tuple[str, ...] = ()
    error: str = ""  # why the input failed
    last: bool = False


class Worker:
    """Reads one input after the other; the networks are loaded once, when first needed."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._analyzer: Analyzer | None = None

    def load(self) -> Analyzer:
        """The analyzer.

        Raises:
            MienError: it cannot be loaded, so that nothing can be read.
        """
        if self._analyzer is None:
            self._analyzer = self.job.open()
        return self._analyzer

    def read(self, task: Task) -> Iterator[Part]:
        """The parts of one input; what is wrong with it ends in a part, never in an exception."""
        source = task.source
        if source.kind == "missing":
            yield failure(source.name, source.error)
            return
        analyzer = self.load()  # outside the try: without it no input can be read
        try:
            yield from _photo(analyzer, task) if source.kind == "photo" else _clip(analyzer, task, self.job)
        except MienError as error:
            yield failure(source.name, str(error))
        except Exception as error:  # noqa: BLE001 - one bad file never ends a batch
            text = f"stopped by {type(error).__name__}: {error}; a bug in Mien: please report the file"
            yield failure(source.name, text)
        if source.kind != "photo":
            gc.collect()  # PyAV's decoders sit in cycles with their frames: some 20 MB a clip would wait


def failure(name: str, error: str) -> Part:
    """The last part of an input that failed: its row has success 0."""
    return Part(name, [failure_row(name)], error=error, last=True)


def _photo(analyzer: Analyzer, task: Task) -> Iterator[Part]:
    from mien.image import read_image, write_image

    name = task.source.name
    picture = read_image(name)
    frame = analyzer.frame(picture.pixels, source=name, notes=picture.notes)
    if task.copy is not None:
        from mien.output.draw import annotate

        _make_folder(task.copy.parent)
        write_image(task.copy, annotate(picture.pixels, frame.faces))
    yield _part(frame, share=1.0, notes=frame.notes, last=True)


def _clip(analyzer: Analyzer, task: Task, job: Job) -> Iterator[Part]:
    from mien.run.video import Video, Wanted

    name = task.source.name
    place = int(name) if task.source.kind == "camera" else name
    with ExitStack() as stack:
        video = stack.enter_context(
            Video(place, Wanted(job.every, job.fps, job.start, job.end), threads=job.threads)
        )
        copy = None
        if task.copy is not None:
            from mien.output.clip import ClipWriter

            _make_folder(task.copy.parent)
            copy = stack.enter_context(ClipWriter(task.copy))
        follower = analyzer.follower(detect_every=job.detect_every, threads=job.threads)
        for frame, pixels in analyzer.follow(video, source=name, follower=follower):
            if copy is not None:
                copy.write(pixels, frame)
            total = video.frames_total
            try:
                yield _part(frame, share=min(1.0, video.decoded / total) if total else 0.0)
            except GeneratorExit:  # Ctrl-C: the copy so far is finished, as the rows are
                return
    yield _end_of_clip(video, name)


def _end_of_clip(video: Video, name: str) -> Part:
    """The last part: a clip of which something is missing has failed, though its rows are kept."""
    missing = video.missing
    notes = tuple(note for note in video.notes if note not in missing)
    if not missing:
        return Part(name, share=1.0, notes=notes, last=True)
    error = (
        f"expected a whole clip, {name} was read in part: {'; '.join(missing)}; its rows until there are "
        "kept: get it again or save it anew for the rest"
    )
    return Part(name, share=1.0, notes=notes, error=error, last=True)


def _part(frame: Frame, *, share: float, notes: tuple[str, ...] = (), last: bool = False) -> Part:
    return Part(frame.source, rows(frame), 1, len(frame.faces), share, notes, last=last)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"expected a folder that can be made at {folder}, got: {error.strerror}; name another --annotate"
        ) from error
