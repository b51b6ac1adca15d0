"""How fast Mien is, beside a peer and beside OpenCV, on this machine: `make bench`.

Every figure is a median over rounds. In a round the subjects take turns, each in a process of its own, on the
same pictures, and every other round goes backwards.

Portraits come from photos.zip or, where that is absent, are cut from scikit-image's astronaut (public domain,
NASA); larger pictures are drawn scenes that hold several of them.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from jobs import Subject, Timing, run_fresh
from mien.config import provenance

HERE = Path(__file__).parent
ARCHIVE = HERE.parent.parent / "shared" / "data" / "photos.zip"
PEER = Path(sys.prefix) / "peers" / "bin" / "python"
MIEN = str(Path(sys.executable).with_name("mien"))
GEMM = {"side": 1024, "calls": 8}
KINDS = {"photos": "350 px", "hd": "1920 x 1080", "large": "4000 x 3000"}
SCENES = {"hd": (1920, 1080, 6), "large": (4000, 3000, 12)}  # width, height, faces
PER_ROUND = {"photos": 20, "hd": 2, "large": 1}  # pictures in a round
NOTES = """
Medians over rounds. per s and wall ms: by the wall clock, for one face, photo or run. CPU ms: of the process,
all its threads. time x: time over that of the section's first row (CPU time of one thread, wall time of two),
median of the rounds' ratios. of GEMM: multiply-adds a second over those of NumPy's 1024 x 1024 float32
products in the same round. peak MB: the most memory that the process held up to then."""
Runs = Mapping[str, Callable[[int], Timing]]


@dataclass(frozen=True)
class SpeedRow:
    """One line of the result: medians over rounds."""

    section: str
    what: str
    threads: int
    rounds: int
    per_second: float  # faces, photos or runs, by the wall clock
    cpu_ms: float  # of the process, for one of them
    beside: float  # its time over that of the section's first row
    share: float | None  # of the measured float32 GEMM rate
    peak_mb: float | None
    found: str  # faces found in so many pictures
    samples: tuple[tuple[float, float], ...]  # (CPU, wall) seconds of one of them, round by round


def alternate(runs: Runs, rounds: int) -> dict[str, list[Timing]]:
    """Every run once per round, in turns; every other round backwards."""
    times: dict[str, list[Timing]] = {name: [] for name in runs}
    for i in range(rounds):
        for name in list(runs)[:: 1 if i % 2 == 0 else -1]:
            times[name].append(runs[name](i))
    return times


def clock(timing: Timing, threads: int) -> float:
    """CPU seconds of one thread, which other processes hardly disturb; the wall's of more."""
    return timing.cpu if threads == 1 else timing.wall


class Bench:
    """The subjects, the pictures and the rows so far."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.model = ["--model", str(options.model)] if options.model else []
        self.peer = find_peer()
        self.rows: list[SpeedRow] = []
        self.about: dict[str, Any] = {}
        numbers = {kind: getattr(options, kind) for kind in KINDS}
        self.pictures = {kind: paths for kind, paths in write_pictures(folder, numbers).items() if paths}

    @contextmanager
    def subjects(self, threads: int) -> Iterator[dict[str, Subject]]:
        """Mien's default network, its float32 one, and the peer if it is installed."""
        script, made = HERE / "subject_mien.py", {}
        with ExitStack() as stack:
            for name, arguments in {"Mien": self.model, "Mien, float32": ["--model", "compact"]}.items():
                made[name] = stack.enter_context(Subject(script, *arguments, threads=threads))
            if self.peer:
                peer = Subject(HERE / "peer_fer.py", threads=threads, python=self.peer)
                made["fer"] = stack.enter_context(peer)
            self.about |= {name: subject.about for name, subject in made.items()}
            yield made

    def classifier(self) -> None:
        """Faces a second of the classifier alone, beside matrix products and the peer's."""
        for threads in (1, 2):
            with self.subjects(threads) as subjects:
                for batch in (1, 8, 64):
                    self._classify(subjects, batch, threads)

    def _classify(self, subjects: Mapping[str, Subject], batch: int, threads: int) -> None:
        faces = max(batch, 128)
        runs: dict[str, Callable[[int], Timing]] = {
            name: lambda _, s=subject: s.do("classify", batch=batch, calls=faces // batch)
            for name, subject in subjects.items()
        }
        times = self._time({**runs, "gemm": lambda _: subjects["Mien"].do("gemm", **GEMM)})
        rates = [GEMM["calls"] * GEMM["side"] ** 3 / clock(t, threads) for t in times.pop("gemm")]
        self.about[f"GEMM multiply-adds a second, {threads} threads"] = median(rates)
        for name, took in times.items():
            work = faces * self.about[name]["multiply_adds"]
            share = median(work / clock(t, threads) / rate for t, rate in zip(took, rates, strict=True))
            what = f"{name}, batch {batch}"
            self._add("classifier", what, took, times["Mien"], units=faces, threads=threads, share=share)

    def pipeline(self) -> None:
        """Photos a second from file to faces, and of the detectors alone, by size of picture."""
        with self.subjects(1) as subjects:
            for kind, paths in self.pictures.items():
                whole = {name: (subjects[name], "whole") for name in ("Mien", "fer") if name in subjects}
                self._over_pictures(f"file to faces, {KINDS[kind]}", whole, kind, paths, memory=True)
            for kind, paths in self.pictures.items():
                detectors = {
                    "Mien's detector": ("Mien", "detect"),
                    "Mien's detector, as in clips": ("Mien", "detect_video"),
                    "YuNet once, OpenCV": ("Mien, float32", "yunet_opencv"),
                    "fer's (Haar)": ("fer", "detect"),
                }
                jobs = {what: (subjects[n], job) for what, (n, job) in detectors.items() if n in subjects}
                self._over_pictures(f"pixels to boxes, {KINDS[kind]}", jobs, kind, paths)

    def _over_pictures(
        self,
        section: str,
        jobs: Mapping[str, tuple[Subject, str]],
        kind: str,
        paths: list[str],
        *,
        memory: bool = False,  # the subjects have held nothing but these runs, so that their peak tells
    ) -> None:
        size = PER_ROUND[kind]

        def chosen(i: int) -> list[str]:
            return [paths[(i * size + j) % len(paths)] for j in range(size)]

        runs = {what: lambda i, s=s, job=job: s.do(job, paths=chosen(i)) for what, (s, job) in jobs.items()}
        times = self._time(runs, rounds=max(1, len(paths) // size))
        first = next(iter(times.values()))
        for what, took in times.items():
            self._add(section, what, took, first, units=size, memory=memory)

    def commands(self) -> None:
        """`mien analyze` on the whole folder, with one process and with two."""
        paths = self.pictures["photos"]
        command = [MIEN, "analyze", str(Path(paths[0]).parent), "--quiet", *self.model, "--workers"]
        runs = {f"mien analyze, workers {n}": lambda _, n=n: run_fresh([*command, str(n)]) for n in (1, 2)}
        times = self._time(runs, rounds=3)
        for threads, (what, took) in enumerate(times.items(), 1):
            first = times["mien analyze, workers 1"]
            self._add("a folder, start included", what, took, first, units=len(paths), threads=threads)

    def cold_start(self) -> None:
        """CPU seconds of fresh processes."""
        photo = self.pictures["photos"][0]
        commands = {
            "mien analyze one.jpg": [MIEN, "analyze", photo, *self.model],
            "mien --help": [MIEN, "--help"],
            "python -c 'import mien'": [sys.executable, "-c", "import mien"],
            "python -c pass": [sys.executable, "-c", "pass"],
        }
        if self.peer:
            code = f"from fer.fer import FER; print(FER().detect_emotions({photo!r}))"
            commands["fer, one.jpg"] = [self.peer, "-c", code]
        times = self._time({what: lambda _, c=command: run_fresh(c) for what, command in commands.items()})
        for what, took in times.items():
            self._add("cold start", what, took, times["mien analyze one.jpg"], units=1)

    def _time(self, runs: Runs, rounds: int = 0) -> dict[str, list[Timing]]:
        alternate(runs, 1)  # to warm up
        return alternate(runs, rounds or self.options.rounds)

    def _add(
        self,
        section: str,
        what: str,
        times: list[Timing],
        first: list[Timing],
        *,
        units: int,
        threads: int = 1,
        share: float | None = None,
        memory: bool = False,
    ) -> None:
        """Add the medians of one run; `units` are the faces or photos of a round."""
        ratios = [clock(a, threads) / clock(b, threads) for a, b in zip(times, first, strict=True)]
        counted = [t.found for t in times if t.found is not None]
        self.rows.append(
            SpeedRow(
                section,
                what,
                threads,
                len(times),
                per_second=units / median(t.wall for t in times),
                cpu_ms=1e3 * median(t.cpu for t in times) / units,
                beside=median(ratios),
                share=share,
                peak_mb=max(t.peak for t in times) if memory else None,
                found=f"{sum(counted)} in {units * len(counted)}" if counted else "",
                samples=tuple((t.cpu / units, t.wall / units) for t in times),
            )
        )


def render(rows: list[SpeedRow]) -> str:
    """All rows as a table, a section under its title."""
    heads = ("threads", "rounds", "per s", "wall ms", "CPU ms", "time x", "of GEMM", "peak MB")
    lines: list[str] = []
    for i, r in enumerate(rows):
        if i == 0 or r.section != rows[i - 1].section:
            lines += ["", f"{r.section:40}" + "".join(f"{h:>9}" for h in heads) + "  faces found"]
        share = "" if r.share is None else f"{r.share:.0%}"
        peak = "" if r.peak_mb is None else f"{r.peak_mb:.0f}"
        lines.append(
            f"  {r.what:38}{r.threads:9}{r.rounds:9}{r.per_second:9.4g}{1e3 / r.per_second:9.4g}"
            f"{r.cpu_ms:9.4g}{r.beside:9.2f}{share:>9}{peak:>9}  {r.found}"
        )
    return "\n".join(lines)


def write_pictures(folder: Path, numbers: Mapping[str, int]) -> dict[str, list[str]]:
    """Paths of so many pictures of each kind, written below `folder`."""
    portraits = list(read_portraits(max(1, numbers["photos"])))
    faces = [Image.open(io.BytesIO(data)).convert("RGB") for data in portraits]
    written: dict[str, list[str]] = {}
    for kind, number in numbers.items():
        (folder / kind).mkdir(parents=True)
        written[kind] = [str(folder / kind / f"{i:03}.jpg") for i in range(number)]
        for i, path in enumerate(written[kind]):
            data = portraits[i] if kind == "photos" else draw_scene(SCENES[kind], faces, i)
            Path(path).write_bytes(data)
    return written


def read_portraits(number: int) -> Iterator[bytes]:
    """So many JPEG files, evenly from the archive, or variations of the astronaut at 350 x 350."""
    if ARCHIVE.exists():
        with zipfile.ZipFile(ARCHIVE) as file:
            names = sorted(name for name in file.namelist() if name.endswith(".jpg"))
            yield from (file.read(names[i * len(names) // number]) for i in range(number))
        return
    spec = find_spec("skimage")
    if spec is None:
        raise SystemExit("expected ../shared/data/photos.zip or scikit-image: pip install 'mien[demo]'")
    whole = Image.open(Path(spec.submodule_search_locations[0]) / "data" / "astronaut.png").convert("RGB")
    for i in range(number):
        rng = np.random.default_rng(i)
        side = int(rng.integers(170, 260))
        left, top = (max(0, c + int(rng.integers(-20, 20)) - side // 2) for c in (222, 110))
        yield encode_jpeg(whole.crop((left, top, left + side, top + side)).resize((350, 350)))


def draw_scene(size: tuple[int, int, int], faces: list[Image.Image], seed: int) -> bytes:
    """Soft clouds, grain, and portraits of 60 px to a third of the height."""
    width, height, number = size
    rng = np.random.default_rng(seed)
    clouds = np.zeros((height, width, 3), np.float32)
    for cells, strength in ((8, 0.6), (40, 0.3), (200, 0.1)):
        noise = rng.integers(0, 256, (cells, cells * width // height, 3), np.uint8)
        layer = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
        clouds += strength * np.asarray(layer)
    clouds += rng.normal(0, 4, clouds.shape)
    picture = Image.fromarray(clouds.clip(0, 255).astype(np.uint8))
    for i in range(number):
        side = int(np.exp(rng.uniform(np.log(60), np.log(height / 3))))
        place = (int(rng.integers(0, width - side)), int(rng.integers(0, height - side)))
        picture.paste(faces[(seed * number + i) % len(faces)].resize((side, side)), place)
    return encode_jpeg(picture)


def encode_jpeg(picture: Image.Image) -> bytes:
    """As cameras write."""
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=90, subsampling=2)
    return data.getvalue()


def find_peer() -> str | None:
    """The interpreter of the peer's environment, if the peer starts in it."""
    if not PEER.exists():
        print("the peer is not installed, so it is left out: make .venv/.peers")
        return None
    try:
        with Subject(HERE / "peer_fer.py", python=str(PEER)):
            return str(PEER)
    except RuntimeError as error:
        print(f"the peer does not start, so it is left out: {error}")
        return None


def describe_machine() -> dict[str, Any]:
    """Processor, cores and how busy it was."""
    name, info = platform.processor(), Path("/proc/cpuinfo")
    if info.exists():
        found = [line for line in info.read_text().splitlines() if "model name" in line]
        name = found[0].split(":")[1].strip() if found else name
    return {"processor": name, "cores": os.cpu_count(), "load": os.getloadavg()[0]}


def main() -> None:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, help="an ONNX file (default: the one that comes with Mien)")
    parser.add_argument("--rounds", type=int, default=11, help="of classifier and cold start")
    for kind, number in (("photos", 240), ("hd", 10), ("large", 5)):
        parser.add_argument(f"--{kind}", type=int, default=number, help=f"pictures of {KINDS[kind]}")
    sections = ("classifier", "pipeline", "commands", "cold_start")
    parser.add_argument("--only", choices=sections, action="append", help="these sections (default: all)")
    parser.add_argument("--json", type=Path, help="also write the figures, with where they come from, here")
    options = parser.parse_args()
    before = describe_machine()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, Path(folder))
        for section in options.only or sections:
            getattr(bench, section)()
    source = ARCHIVE.name if ARCHIVE.exists() else "scikit-image's astronaut, for want of photos.zip"
    print(f"{before['processor']}, {before['cores']} cores, load {before['load']:.2f} at the start; "
          f"portraits from {source}")  # fmt: skip
    print(render(bench.rows))
    print(NOTES)
    if options.json:
        machines = {"machine_before": before, "machine_after": describe_machine()}
        made = provenance(**machines, pictures=source, subjects=bench.about)
        data = {"provenance": made, "rows": [asdict(row) for row in bench.rows]}
        options.json.write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    main()
