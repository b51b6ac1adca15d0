"""How fast Mien is, beside a peer and beside OpenCV, on this machine: `make bench`.

Every figure is a median over rounds; in a round the subjects take turns, each in a process of its own,
on the same pictures, and every other round goes backwards. docs/speed.md says what was measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any

from jobs import Subject, Timing, run_fresh
from mien.config import provenance
from rows import NOTES, Row, alternate, clock, row, table

HERE = Path(__file__).parent
ARCHIVE = HERE.parent.parent / "shared" / "data" / "photos.zip"
PEER = Path(sys.prefix) / "peers" / "bin" / "python"
GEMM_SIDE, GEMM_CALLS = 1024, 8
KINDS = {"photos": "350 px", "hd": "1920 x 1080", "large": "4000 x 3000"}
#: Pictures in a round of each kind.
CHUNKS = {"photos": 20, "hd": 2, "large": 1}


class Bench:
    """The subjects, the pictures and the rows so far."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.model = ["--model", str(options.model)] if options.model else []
        self.peer = find_peer()
        self.rows: list[Row] = []
        self.about: dict[str, Any] = {}
        self.pictures = {
            kind: sorted(str(p) for p in (folder / kind).iterdir())
            for kind in KINDS
            if getattr(options, kind)
        }

    @contextmanager
    def subjects(self, threads: int, **more: Sequence[str]) -> Iterator[dict[str, Subject]]:
        """Mien, further processes of its script with these arguments, and the peer if it is installed."""
        mien, fer = HERE / "subject_mien.py", HERE / "peer_fer.py"
        with ExitStack() as stack:
            made = {
                name: stack.enter_context(Subject(mien, *arguments, threads=threads))
                for name, arguments in {"mien": self.model, **more}.items()
            }
            if self.peer:
                made["fer"] = stack.enter_context(Subject(fer, threads=threads, python=self.peer))
            self.about |= {name: subject.about for name, subject in made.items()}
            yield made

    def classifier(self) -> None:
        """Faces a second of the classifier alone, beside matrix products and the peer's."""
        others: dict[str, Sequence[str]] = {"float32": ("--model", "compact")}
        if self.options.before:
            others["before"] = ("--model", str(self.options.before))
        for threads in (1, 2):
            batches = (1, 8, 64)
            with self.subjects(threads, **others) as subjects:
                for batch in batches:
                    self._classifier(subjects, batch, threads)

    def _classifier(self, subjects: Mapping[str, Subject], batch: int, threads: int) -> None:
        faces = max(batch, 128)
        job = {"batch": batch, "calls": faces // batch}
        gemm = {"side": GEMM_SIDE, "calls": GEMM_CALLS}
        runs = {name: lambda _, s=subject: s.do("classify", **job) for name, subject in subjects.items()}
        for kind in ("gemm_numpy", "gemm_ort"):
            runs[kind] = lambda _, kind=kind: subjects["mien"].do(kind, **gemm)
        times = self._timed(runs)
        rates = [
            GEMM_CALLS * GEMM_SIDE**3 / min(clock(a, threads), clock(b, threads))
            for a, b in zip(times["gemm_numpy"], times["gemm_ort"], strict=True)
        ]
        self.about.setdefault("gemm_multiply_adds_per_second", {})[f"{threads} threads"] = median(rates)
        for name in subjects:
            each = self.about[name]["multiply_adds"]
            shares = [each * faces / clock(t, threads) / r for t, r in zip(times[name], rates, strict=True)]
            made = row("classifier", f"{_title(name)}, batch {batch}", times[name], times["mien"],
                       units=faces, threads=threads)  # fmt: skip
            self.rows.append(replace(made, share=median(shares), peak_mb=None))

    def pipeline(self) -> None:
        """Photos a second from file to faces, and of the detectors alone, by size of picture."""
        with self.subjects(1) as subjects:
            for kind, paths in self.pictures.items():
                self._whole(subjects, kind, paths)
            self._stages(subjects["mien"])
        with self.subjects(1, cv2=self.model) as subjects:
            for kind, paths in self.pictures.items():
                self._detectors(subjects, kind, paths)

    def _whole(self, subjects: Mapping[str, Subject], kind: str, paths: list[str]) -> None:
        runs = {
            name: self._over(subjects[name], "whole", kind, paths)
            for name in ("mien", "fer")
            if name in subjects
        }
        self._add(f"file to faces, {KINDS[kind]}", runs, kind, paths, memory=True)

    def _detectors(self, subjects: Mapping[str, Subject], kind: str, paths: list[str]) -> None:
        jobs = {
            "YuNet once, ONNX Runtime": ("mien", "yunet_ort"),
            "YuNet once, OpenCV": ("cv2", "yunet_cv2"),
            "Mien's detector": ("mien", "detect"),
            "Mien's detector, --min-face 40": ("mien", "detect_40"),
            "Mien's detector, as in clips": ("mien", "detect_video"),
            "fer's (Haar)": ("fer", "detect"),
        }
        runs = {
            what: self._over(subjects[name], job, kind, paths)
            for what, (name, job) in jobs.items()
            if name in subjects
        }
        self._add(f"pixels to boxes, {KINDS[kind]}", runs, kind, paths)

    def _stages(self, subject: Subject) -> None:
        for kind, paths in self.pictures.items():
            stages = ("whole", "decode", "detect", "cut", "read")
            runs = {stage: self._over(subject, stage, kind, paths) for stage in stages}
            self._add(f"where Mien's time goes, {KINDS[kind]}", runs, kind, paths)

    def commands(self) -> None:
        """`mien analyze` on the whole folder, with one process and with two."""
        paths = self.pictures["photos"]
        folder = str(Path(paths[0]).parent)
        command = [_mien(), "analyze", folder, "--quiet", *self.model]
        runs = {
            f"mien analyze, {n} worker{'s' * (n > 1)}": lambda _, n=n: run_fresh(
                [*command, "--workers", str(n)]
            )
            for n in (1, 2)
        }
        times = self._timed(runs, rounds=3)
        first = times["mien analyze, 1 worker"]
        for n, (what, run) in enumerate(times.items(), 1):
            self.rows.append(row("a folder, start included", what, run, first, units=len(paths), threads=n))

    def cold_start(self) -> None:
        """CPU seconds of fresh processes."""
        photo = self.pictures["photos"][0]
        peer = f"from fer.fer import FER; print(FER().detect_emotions({photo!r}))"
        commands = {
            "mien analyze one.jpg": [_mien(), "analyze", photo, *self.model],
            "mien --help": [_mien(), "--help"],
            "python -c 'import mien'": [sys.executable, "-c", "import mien"],
            "python -c pass": [sys.executable, "-c", "pass"],
        }
        if self.peer:
            commands["fer, one.jpg"] = [self.peer, "-c", peer]
        runs = {what: lambda _, c=command: run_fresh(c) for what, command in commands.items()}
        times = self._timed(runs)
        for what, run in times.items():
            self.rows.append(row("cold start", what, run, times["mien analyze one.jpg"], units=1, threads=1))

    def _over(self, subject: Subject, job: str, kind: str, paths: list[str]) -> Callable[[int], Timing]:
        """A run over the pictures that each round has."""
        size = CHUNKS[kind]
        return lambda i: subject.do(job, paths=[paths[(i * size + j) % len(paths)] for j in range(size)])

    def _add(
        self,
        section: str,
        runs: Mapping[str, Callable[[int], Timing]],
        kind: str,
        paths: list[str],
        *,
        memory: bool = False,  # the subjects have held nothing but these runs, so that their peak tells
    ) -> None:
        times = self._timed(runs, rounds=max(1, len(paths) // CHUNKS[kind]))
        first = next(iter(times.values()))
        for what, run in times.items():
            made = row(section, _title(what), run, first, units=CHUNKS[kind], threads=1)
            self.rows.append(made if memory else replace(made, peak_mb=None))

    def _timed(self, runs: Mapping[str, Callable[[int], Timing]], rounds: int = 0) -> dict[str, list[Timing]]:
        alternate(runs, 1)  # to warm up
        return alternate(runs, rounds or self.options.rounds)


def _title(name: str) -> str:
    return {
        "mien": "Mien",
        "fer": "fer",
        "float32": "Mien, float32",
        "before": "an earlier network",
    }.get(name, name)


def _mien() -> str:
    return str(Path(sys.executable).with_name("mien"))


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


def machine() -> dict[str, Any]:
    """Processor, cores and how busy it was."""
    name, info = platform.processor(), Path("/proc/cpuinfo")
    if info.exists():
        name = next(
            (x.split(":")[1].strip() for x in info.read_text().splitlines() if "model name" in x), name
        )
    return {"processor": name, "cores": os.cpu_count(), "load": os.getloadavg()[0]}


def main() -> None:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, help="an ONNX file (default: the one that comes with Mien)")
    parser.add_argument("--rounds", type=int, default=11, help="of classifier and cold start")
    parser.add_argument("--before", type=Path, help="an earlier ONNX file, beside it in `classifier`")
    for kind, number in (("photos", 240), ("hd", 10), ("large", 5)):
        parser.add_argument(f"--{kind}", type=int, default=number, help=f"pictures of {KINDS[kind]}")
    sections = ("classifier", "pipeline", "commands", "cold_start")
    parser.add_argument("--only", choices=sections, action="append", help="these sections (default: all)")
    parser.add_argument("--json", type=Path, help="also write the figures, with where they come from, here")
    options = parser.parse_args()
    before = machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "pictures"
        numbers = [f"--{kind}={getattr(options, kind)}" for kind in KINDS]
        subprocess.run(
            [sys.executable, str(HERE / "pictures.py"), str(ARCHIVE), str(folder), *numbers], check=True
        )
        bench = Bench(options, folder)
        for section in options.only or sections:
            getattr(bench, section)()
    source = (
        "photos.zip"
        if ARCHIVE.exists()
        else "scikit-image's astronaut, for want of ../shared/data/photos.zip"
    )
    made = provenance(machine_before=before, machine_after=machine(), pictures=source, subjects=bench.about)
    print(f"{before['processor']}, {before['cores']} cores, load {before['load']:.2f} at the start; "
          f"portraits from {source}")  # fmt: skip
    print(table(bench.rows))
    print(NOTES)
    if options.json:
        data = {"provenance": made, "rows": [asdict(r) for r in bench.rows]}
        options.json.write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    main()
