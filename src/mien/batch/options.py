"""The options of a run, in one record; when two runs are the same run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mien._version import __version__
from mien.config import DETECT_EVERY, to_plain
from mien.errors import ConfigError

if TYPE_CHECKING:
    from mien.analyzer import Analyzer
    from mien.video.frames import VideoOptions

#: Options that decide what is read of a frame; `smooth` decides what is written of it as well.
READING: Final = (
    "policy", "crops", "min_face", "min_score", "max_faces", "every", "fps", "start", "end", "detect_every",
    "providers", "landmarks", "units", "gaze", "region", "tracks",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyzeOptions:
    """All options of `mien analyze` and `mien.analyze` except the sources.

    It is made once, checked as it is made, and passed on to everything that works on the run.

    Raises:
        ConfigError: options that contradict each other, or a value that makes no sense.
    """

    # where results go
    output: str | Path | None = None  # a table, or a folder (`DIR/`) of shards; None: CSV to standard output
    annotate: Path | None = None  # folder of copies with the faces drawn on
    events: Path | None = None  # table of the expressions that come and go in clips
    summary: Path | None = None  # table of one row per clip and track
    pages: Path | None = None  # folder of a page of each clip, its faces over time
    overwrite: bool = False  # replace what is there
    landmarks: bool = False  # tables have the columns of the five landmarks, too
    units: bool = False  # ... those of the movements of the face and of FACS's action units
    gaze: bool = False  # ... and those of the direction of the eyes in the head
    excel: bool = False  # CSV and TSV that spreadsheets open correctly

    # how faces are read
    model: str | Path | None = None  # ONNX file, or name of a shipped network; None: the default one
    policy: str = "accurate"  # how probabilities become the emotion shown
    crops: bool = False  # pictures already are faces
    min_face: int | None = None  # pixels
    min_score: float | None = None  # detection score in [0, 1] from which a face counts; None: 0.95
    max_faces: int | None = None  # the n largest faces of a picture; certain ones before doubtful ones
    region: tuple[float, float, float, float] | None = None  # x, y, width, height: only faces in there
    tracks: tuple[int, ...] = ()  # of clips, only the faces with these numbers; (): all
    providers: tuple[str, ...] = ()  # of ONNX Runtime, the preferred first; (): the processor

    # which frames of a clip are read, and how
    every: int = 1  # every n-th frame ...
    fps: float | None = None  # ... or this many frames per second
    start: float | None = None  # seconds by time stamp: no frame before it ...
    end: float | None = None  # ... and none from it on
    detect_every: int = DETECT_EVERY  # look for faces in every n-th of these frames
    smooth: float | None = None  # seconds over which probabilities are smoothed; None: 0.2, live 0.1

    # which files are read
    animated: bool = False  # animated GIF, WebP and PNG are clips; else their first frame is a photo
    all_files: bool = False  # files in folders that are neither picture nor clip have rows, with success 0
    max_pixels: int | None = None  # photos with more are refused; None: 150 million

    # how the work is shared out; nothing from here on changes a row
    workers: int | None = None  # processes; None: by the number of inputs and cores
    threads: int = 0  # that decode a clip and look for faces; 0: one per core

    # folder of shards only
    shard: int | None = None  # inputs per shard; None: 1000
    max_lost: int | None = None  # inputs in a row that may be out of reach; None: 100, 0: any number
    retry: bool = False  # read failed inputs again, instead of making the missing shards
    engine: str = "local"  # local: processes on this machine; ray: actors on Ray
    address: str | None = None  # of a Ray cluster; None: one is started here

    def __post_init__(self) -> None:
        if (self.every, self.fps, self.start, self.end) != (1, None, None, None):
            self.video()
        if self.region is not None:
            from mien.faces.detect import RegionDetector, WholePicture

            if self.crops:
                raise ConfigError(
                    "region: cannot be used with crops, which are faces already; leave out one of the two"
                )
            RegionDetector(WholePicture(), self.region)  # checks it
        tables = [Path(path).resolve() for path in (self.output, self.events, self.summary) if path]
        if len(set(tables)) < len(tables):
            raise ConfigError("output, events and summary: expected a file for each, got one file twice")
        numbers = {"max_pixels": self.max_pixels, "workers": self.workers, "detect_every": self.detect_every}
        for name, number in (numbers | {"tracks": min(self.tracks or [1])}).items():
            if number is not None and number < 1:
                raise ConfigError(f"{name}: expected at least 1, got {number}")
        if self.engine not in {"local", "ray"}:
            raise ConfigError(f"engine: expected local or ray, got {self.engine!r}")
        if self.address is not None and self.engine != "ray":
            raise ConfigError("address: only the engine ray takes one; leave it out")
        if self.sharded:
            for name in ("annotate", "events", "summary", "pages", "excel"):
                if getattr(self, name):
                    raise ConfigError(
                        f"{name} cannot be used with a folder of shards, which holds rows only; leave it out"
                    )
        elif self.retry or self.engine == "ray" or (self.shard, self.max_lost) != (None, None):
            where = "standard output" if self.output is None else self.output
            raise ConfigError(
                "expected a folder as output (-o DIR/) with shard, retry, max_lost, engine ray or address, "
                f"got {where}"
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the table."""
        from mien.results.rows import choose_columns  # it loads NumPy, which `--help` does without

        return choose_columns(landmarks=self.landmarks, units=self.units, gaze=self.gaze)

    @property
    def sharded(self) -> bool:
        """Whether the output is a folder of shards."""
        if self.output is None:
            return False
        return str(self.output).endswith(("/", os.sep)) or Path(self.output).is_dir()

    def load(self) -> Analyzer:
        """Load the networks; one thread, so that workers do not crowd each other."""
        from mien.analyzer import load
        from mien.image import quiet_decoders

        quiet_decoders()
        if self.max_pixels is not None:  # Pillow's readers of WebP and TIFF have a limit of their own
            from PIL import Image

            Image.MAX_IMAGE_PIXELS = self.max_pixels
        return load(
            self.model,
            policy=self.policy,
            crops=self.crops,
            min_face=self.min_face,
            min_score=self.min_score,
            max_faces=self.max_faces,
            region=self.region,
            providers=self.providers,
        )

    @property
    def described(self) -> bool:
        """Whether tables are written to files, beside which it is said how they were made."""
        return not self.sharded and any((self.output, self.events, self.summary))

    def video(self) -> VideoOptions:
        """Which frames of a clip are read."""
        from mien.video.frames import VideoOptions

        return VideoOptions(self.every, self.fps, self.start, self.end)


def describe_run(options: AnalyzeOptions, network: str, **more: object) -> dict[str, Any]:
    """What rows depend on apart from the input: the version, the network and the options that change a row.

    `network` is the sha256 of the classifier's file, `more` what else must be the same, as JSON can hold it.
    Limits that were left to the detector are written out.
    """
    from mien.faces.detect import DetectorOptions

    settings = {name: to_plain(getattr(options, name)) for name in READING}
    if not options.crops:
        detector = DetectorOptions()
        for name, limit in (("min_face", detector.min_face), ("min_score", detector.threshold)):
            settings[name] = limit if settings[name] is None else settings[name]
    return {"mien": __version__, "network": network, **more, "settings": settings}


def describe_network(analyzer: Analyzer, policy: str) -> dict[str, Any]:
    """What is said of a network beside what it read: `network`, the sha256 of its file, and `model`.

    That has its size and thresholds, and the figures of its card for the policy, by the protocol of labels.
    """
    card = analyzer.classifier.card
    chosen = card.policy(policy)
    named = ("accuracy", "balanced accuracy", "right if certain")
    held_out: dict[str, dict[str, float | None]] = {}
    for protocol, figures in card.calibration.get("held_out", {}).items():
        means = figures.get("policies", {}).get(policy, {})
        held_out[protocol] = {"n": figures.get("n"), "splits": card.calibration.get("splits")}
        held_out[protocol] |= {name: means[name].get("mean") for name in named if name in means}
    about = {name: getattr(card, name) for name in ("name", "size", "colour", "parameters", "data")}
    about |= {"uncertain": card.uncertain, "set_from": chosen.set_from, "leans": any(chosen.offsets)}
    about |= {"calibrated_on": card.calibration.get("data"), "held_out": held_out}
    return {"network": analyzer.classifier.digest, "model": about}


def first_difference(then: dict[str, Any], now: dict[str, Any]) -> str:
    """The first entry of `now` that was another one `then`, in words; empty: it is the same run."""
    for name, value in now.items():
        before = then.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            if difference := first_difference(before, value):
                return difference
        elif before != value:
            return f"{name} was {before!r} and is {value!r} now"
    return ""
