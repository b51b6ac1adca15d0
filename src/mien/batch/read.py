"""One input to its results: a photo gives one, a clip one per frame, so that nothing piles up in memory.

    options = AnalyzeOptions(every=5)
    analyzer = options.load()
    for result in read_input(analyzer, Task(Source("clip.mp4", "clip")), options):
        write(result.rows)                     # in the columns of `mien.results.COLUMNS`
        if result.last: print(result.error or "read")

What is wrong with an input comes as its last result, never as an exception. Whoever has enough closes the
generator (a bound on frames or on time is theirs to watch): copy and page so far are then finished.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, fields, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mien.batch.options import AnalyzeOptions, describe_run
from mien.batch.sources import Source, is_out_of_reach
from mien.batch.stores import fetch, is_web
from mien.errors import ImageError, MienError, ProgressError, VideoError
from mien.files import make_folder
from mien.results.rows import Row, event_row, failure_row, rows
from mien.types import Frame, Image

if TYPE_CHECKING:
    from mien.analyzer import Analyzer
    from mien.batch.journal import Journal
    from mien.results.clip import ClipWriter
    from mien.results.page import ClipPage
    from mien.video.ahead import Latency, NewestFrame
    from mien.video.events import Event
    from mien.video.frames import LazyFrame, Video, VideoFrame

#: Sees each frame with its (H, W, 3) pixels as soon as it is read, and the latency of a live one; False ends
#: the clip there.
Show = Callable[[Frame, Image, "Latency | None"], bool]

KEPT: Final = 1000  # failures whose names a summary holds
_NO_PIXELS: Final = np.zeros((1, 1, 3), np.uint8)  # of a frame whose pixels are not used


@dataclass(frozen=True, slots=True)
class Task:
    """One input, and where the files go that are made of it."""

    source: Source
    copy: Path | None = None  # annotated copy
    page: Path | None = None  # HTML page of a clip
    journal: Path | None = None  # what has been read of a clip, from which a killed run resumes
    times: int = 1  # that it was given


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a photo, a frame of a clip, or the end of a clip; the last one closes the input."""

    name: str  # the source's, as it is shown
    rows: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)  # rows of the events' table
    frames: int = 0
    faces: int = 0
    share: float = 0.0  # of the input that is read, 0 to 1, where its length is known
    notes: tuple[str, ...] = ()
    error: str = ""  # why the input failed
    out_of_reach: bool = False  # it failed because it could not be fetched, whatever is in it
    last: bool = False
    inputs: int = 1  # that the last result closes: one, or those of a whole shard
    file: dict[str, Any] = field(default_factory=dict)  # of the last: what `Source.fingerprint` gives


@dataclass(slots=True)
class Counts:
    """What some results hold."""

    frames: int = 0
    without_face: int = 0  # frames
    faces: int = 0
    read: int = 0  # faces with an emotion
    uncertain: int = 0  # of these

    def add(self, result: Result) -> None:
        """Count a result in."""
        self.frames += result.frames
        self.without_face += result.frames if not result.faces else 0
        self.faces += result.faces
        self.read += sum(row["emotion"] is not None for row in result.rows)
        self.uncertain += sum(bool(row["uncertain"]) for row in result.rows)

    def combine(self, other: Counts, sign: int = 1) -> None:
        """Add other counts, or with -1 take them away."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + sign * getattr(other, one.name))


@dataclass(slots=True)
class Summary:
    """How a run went, or how far it is."""

    inputs: int  # asked for
    done: int = 0  # closed, failed ones among them
    frames: int = 0
    faces: int = 0
    share: float = 0.0  # of the input that is being read
    seconds: float = 0.0
    failures: int = 0  # inputs that failed
    failed: list[tuple[str, str]] = field(default_factory=list)  # name, error of the first `KEPT` of them
    left_out: Counter[str] = field(default_factory=Counter)  # files in folders that are not media, by ending
    interrupted: bool = False  # by Ctrl-C; what was done until then is in the rows
    # of a folder of shards, this run and those before it together
    all_inputs: int = 0
    all_failures: int = 0
    missing_shards: int = 0

    def add(self, result: Result) -> None:
        """Count a result in."""
        self.frames += result.frames
        self.faces += result.faces
        self.share = result.share
        if result.error:
            self.failures += 1
            if len(self.failed) < KEPT:
                self.failed.append((result.name, result.error))
        if result.last:
            self.done += result.inputs
            self.share = 0.0


def choose_journal(source: Source, folder: Path | None) -> Path | None:
    """The file of a source's journal in the folder of a run's journals: clips on disk have one."""
    if folder is None or source.kind != "clip" or source.remote:
        return None
    name = sha256(source.name.encode(errors="surrogateescape")).hexdigest()[:24]
    return folder / f"{name}.jsonl"


def fail(name: str, error: str, *, out_of_reach: bool = False) -> Result:
    """The last result of an input that failed: its row has success 0."""
    return Result(name, [failure_row(name)], error=error, out_of_reach=out_of_reach, last=True)


def read_input(
    analyzer: Analyzer, task: Task, options: AnalyzeOptions, show: Show | None = None
) -> Iterator[Result]:
    """The results of one input, as they are read; the analyzer, of `options.load()`, serves all inputs."""
    source = task.source
    if source.kind == "missing":
        yield fail(source.shown, source.error, out_of_reach=True)
        return
    if source.kind == "other":
        yield Result(source.shown, [failure_row(source.shown)], last=True)
        return
    for result in _read(analyzer, task, options, show):
        if result.last and task.times > 1:
            result = replace(result, notes=(*result.notes, f"given {task.times} times, read once"))  # noqa: PLW2901
        yield replace(result, file=source.fingerprint()) if result.last and options.described else result
    if source.kind != "photo":
        gc.collect()  # PyAV's decoders sit in cycles with their frames: some 20 MB a clip would wait


def _read(analyzer: Analyzer, task: Task, options: AnalyzeOptions, show: Show | None) -> Iterator[Result]:
    """The results of an input that is there."""
    source = task.source
    try:
        if is_web(source.name) and source.kind in {"photo", "stream"}:
            yield from _read_address(analyzer, task, options, show)
        elif source.kind == "photo":
            yield _read_photo(analyzer, task, options)
        else:
            yield from _read_clip(analyzer, task, options, show)
    except ProgressError:
        raise  # the input is as good as before
    except MienError as error:
        yield fail(source.shown, str(error), out_of_reach=is_out_of_reach(error))
    except Exception as error:  # noqa: BLE001 - one bad file never ends a run
        text = f"stopped by {type(error).__name__}: {error}; a bug in Mien: please report the file"
        yield fail(source.shown, text)


def _read_address(
    analyzer: Analyzer, task: Task, options: AnalyzeOptions, show: Show | None
) -> Iterator[Result]:
    """The results of what is at an address of the web: a stream, else the picture or clip that is fetched."""
    failure: VideoError | None = None
    if task.source.kind == "stream":  # not fetched first, since some cameras answer only once
        begun = False
        try:
            for result in _read_clip(analyzer, task, options, show):
                begun = True
                yield result
        except VideoError as error:
            if begun:
                raise
            failure = error
        else:
            return
    with ExitStack() as stack:
        task = _fetched(task, stack, failure)
        if task.source.kind == "photo":
            yield _read_photo(analyzer, task, options)
        else:
            yield from _read_clip(analyzer, task, options, show)


def _fetched(task: Task, stack: ExitStack, failure: VideoError | None) -> Task:
    """The task, with the picture or clip at an address of the web in a temporary file, closed by the stack.

    `failure`, why it is no stream, is raised if it is neither picture nor clip.
    """
    from http.client import HTTPException  # slow to import

    source = task.source
    try:
        kind, path = stack.enter_context(fetch(source.name))
    except (OSError, HTTPException, ValueError) as error:  # ValueError: no number of a port, for instance
        if failure is not None:
            raise failure from error
        reason = getattr(error, "reason", None) or error
        text = f"expected a picture, {source.shown} cannot be fetched: {reason}; check the address"
        raise ImageError(text) from error
    if kind == "stream":
        if failure is not None:
            raise failure
        return replace(task, source=replace(source, kind=kind))
    copy = task.copy.with_suffix(".png") if task.copy and kind == "photo" else task.copy
    return replace(task, source=replace(source, name=str(path), kind=kind), copy=copy)


def _read_photo(analyzer: Analyzer, task: Task, options: AnalyzeOptions) -> Result:
    name = task.source.shown
    picture = task.source.read_picture(options.max_pixels)
    frame = analyzer.frame(picture.pixels, source=name, notes=picture.notes)
    if task.copy is not None:
        from mien.image import write_image
        from mien.results.draw import annotate

        make_folder(task.copy.parent)
        write_image(task.copy, annotate(picture.pixels, frame.faces, dense=options.landmarks))
    return Result(
        name, rows(frame), frames=1, faces=len(frame.faces), share=1.0, notes=frame.notes, last=True
    )


def _read_clip(
    analyzer: Analyzer, task: Task, options: AnalyzeOptions, show: Show | None
) -> Iterator[Result]:
    """The results of a clip, camera or stream; before an error, those of what came before it."""
    from mien.video.frames import Video

    source = task.source
    with ExitStack() as stack:
        path = stack.enter_context(source.on_disk())
        place = int(path) if source.kind == "camera" else path
        video = stack.enter_context(Video(place, options.video(), threads=options.threads))
        clip = _Clip(video, task, options, stack)
        try:
            for whole, pixels in clip.frames(analyzer, looked_at=show is not None):
                frame = keep_tracks(whole, options.tracks)
                yield from clip.push(frame, pixels)
                if show is not None and not show(frame, pixels, clip.latency):
                    break
        except GeneratorExit:  # Ctrl-C, or enough: copy and page so far are finished, as the rows are
            return
        except MienError:
            yield from clip.flush()
            raise
        yield from clip.flush()
    yield clip.end()


def keep_tracks(frame: Frame, tracks: Collection[int]) -> Frame:
    """The frame with the faces of these tracks alone; all of them if there are none."""
    if not tracks:
        return frame
    return replace(frame, faces=tuple(face for face in frame.faces if face.track in tracks))


class _Clip:
    """A clip that is read: where its frames come from, and what is made of them."""

    def __init__(self, video: Video, task: Task, options: AnalyzeOptions, stack: ExitStack) -> None:
        from mien.video.events import EventFinder, EventOptions
        from mien.video.smooth import make_smoother

        self._video, self._task, self._options = video, task, options
        self._newest: NewestFrame[VideoFrame] | None = None  # of a live video
        self._notes: list[str] = []
        self._pushed = 0  # frames
        self._smoother = make_smoother(options.smooth, live=task.source.live)
        found = EventOptions(units=options.units)
        self._finder = EventFinder(found) if options.events or task.page else None
        self._copy: ClipWriter | None = None
        self._page: ClipPage | None = None
        self._waiting: dict[int, Image] = {}  # pixels of frames that the smoother holds
        source = task.source
        if task.copy is not None:
            from mien.results.clip import ClipWriter

            make_folder(task.copy.parent)
            sound = Path(source.name) if source.kind == "clip" and not source.remote else None
            self._copy = stack.enter_context(ClipWriter(task.copy, sound=sound, dense=options.landmarks))
        if task.page is not None:
            from mien.results.page import ClipPage

            make_folder(task.page.parent)
            self._page = stack.enter_context(ClipPage(task.page, Path(source.shown).name))

    @property
    def latency(self) -> Latency | None:
        """Seconds from a live frame's coming to its being done."""
        return self._newest.latency if self._newest else None

    def frames(self, analyzer: Analyzer, *, looked_at: bool) -> Iterator[tuple[Frame, Image]]:
        """Every frame with its pixels; those that a killed run had read come from its journal."""
        from mien.batch.journal import Journal
        from mien.video.ahead import NewestFrame

        task, options = self._task, self._options
        source = task.source.shown
        make = partial(analyzer.follower, detect_every=options.detect_every, threads=options.threads)
        if task.source.live:
            self._newest = NewestFrame.of(self._video)
        if task.journal is None:
            yield from analyzer.follow(self._newest or self._video, source=source, follower=make())
            return
        state = Path(task.source.name).stat()
        what = describe_run(
            options,
            analyzer.classifier.digest,
            source=str(Path(task.source.name).absolute()),
            size=state.st_size,
            changed=state.st_mtime_ns,
        )
        dense = self._copy is not None and options.landmarks
        with Journal(task.journal, what, dense=dense) as journal:
            lazy = self._video.lazy_frames()
            looked_at = looked_at or self._copy is not None or self._page is not None
            yield from self._replay(journal, lazy, looked_at=looked_at)
            follower = make(state=journal.state)
            rest = (frame.load() for frame in lazy)
            for batch in analyzer.follow_batches(rest, source=source, follower=follower):
                for frame, pixels in batch.frames:
                    journal.add(frame)
                    if frame is batch.frames[-1][0]:
                        journal.mark(batch.state)
                    yield frame, pixels

    def _replay(
        self, journal: Journal, lazy: Iterator[LazyFrame], *, looked_at: bool
    ) -> Iterator[tuple[Frame, Image]]:
        """The journal's frames; the clip is decoded along with them, up to where they end."""
        replayed = 0
        for frame in journal.replay(self._task.source.shown):
            found = next(lazy, None)
            if found is None or (found.index, found.time) != (frame.index, frame.time):
                raise VideoError(
                    f"{frame.source} differs at frame {frame.index} from what an earlier run read: it "
                    f"changed, or is damaged; remove {journal.path} and start again"
                )
            replayed += 1
            yield frame, found.pixels() if looked_at else _NO_PIXELS
        if replayed:
            self._notes.append(f"resumed after {replayed} frames that an earlier run read")

    def push(self, frame: Frame, pixels: Image) -> Iterator[Result]:
        """Take a frame; gives the results of those that are smoothed now."""
        self._pushed += 1
        if self._copy is not None:
            self._copy.write(pixels, frame)
        if self._page is not None:
            self._waiting[frame.index] = pixels
        yield from map(self._result, self._smoother.push(frame))

    def flush(self) -> Iterator[Result]:
        """The results of the frames and events that are still held."""
        yield from map(self._result, self._smoother.flush())
        events = list(self._finder.flush()) if self._finder else []
        if events:
            yield Result(events[0].source, events=self._add_events(events))

    def _result(self, frame: Frame) -> Result:
        pixels = self._waiting.pop(frame.index, None)
        if self._page is not None:
            self._page.add(frame)
        events = list(self._finder.push(frame, pixels)) if self._finder else []
        return Result(
            frame.source,
            rows(frame),
            self._add_events(events),
            frames=1,
            faces=len(frame.faces),
            share=self._video.share,
        )

    def _add_events(self, events: list[Event]) -> list[Row]:
        """Put events on the page; gives their rows."""
        if self._page is not None:
            for event in events:
                self._page.add_event(event)
        return [event_row(event) for event in events]

    def end(self) -> Result:
        """The last result: a clip of which something is missing has failed, though its rows are kept."""
        name, missing = self._task.source.shown, self._video.missing
        notes = self._notes + [note for note in self._video.notes if note not in missing]
        if self._newest is not None and self._newest.latency is not None:
            over = self._newest.passed_over
            notes.append(f"latency {self._newest.latency}; {over} frames skipped for newer ones")
        error = ""
        if missing:
            error = (
                f"expected a whole clip, {name} was read only in part: {'; '.join(missing)}; the rows up to "
                "there are kept: get it again or save it again for the rest"
            )
        elif not self._pushed:
            start, end = self._options.start or 0, self._options.end
            until = "its end" if end is None else f"{end:g} s"
            error = (
                f"expected frames from {start:g} s to {until}, {name} has none there; give another start or "
                "end, or leave this input out"
            )
        row = [] if self._pushed else [failure_row(name)]  # every input has one
        return Result(name, row, share=1.0, notes=tuple(notes), error=error, last=True)
