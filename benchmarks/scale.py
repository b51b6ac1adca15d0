"""Many photos: workers against each other, Ray against the local engine, the ceiling, memory, the planning.

    python benchmarks/scale.py --photos DIR                                  # all of it: an hour on two cores
    python benchmarks/scale.py --photos DIR --only ceiling workers --inputs 2400

Prints one JSON object. Rates are of whole sharded runs, files written, counted from the first result on
(so that starting processes, networks and Ray is told apart), the compared runs in turn; photos are repeated
until there are enough.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mien.batch.on_ray import RayMaker
from mien.batch.options import AnalyzeOptions
from mien.batch.read import Result, Summary, Task, read_input
from mien.batch.shards import LocalMaker, analyze_into_shards, open_plan
from mien.batch.sources import Source, find_sources
from mien.image import read_image

PAGE = os.sysconf("SC_PAGE_SIZE")
SMALL = 112  # pixels of the longer side of the photos of the memory run
EACH = 20  # photos between two looks at the memory
WARM = 0.2  # of the memory run is warm-up


def main() -> None:
    """Measure what was asked for."""
    options = parsed()
    photos = find_sources([str(options.photos)])
    figures: dict[str, Any] = {"photos": len(photos), "cores": len(os.sched_getaffinity(0))}
    for name in options.only:
        before = os.getloadavg()[0]
        figures[name] = MEASURES[name](photos, options)
        figures[name]["load before, after"] = [round(before, 2), round(os.getloadavg()[0], 2)]
        print(json.dumps({name: figures[name]}), flush=True)
    print(json.dumps(figures, indent=1))


@dataclass
class Run:
    """What a sharded run's watch notes."""

    start: float = field(default_factory=time.monotonic)
    cpu: float = field(default_factory=time.process_time)
    first: tuple[float, int] | None = None  # seconds, inputs
    last: tuple[float, int] = (0.0, 0)
    tick: Callable[[int], None] = lambda _done: None

    def watch(self, summary: Summary, result: Result) -> None:
        """Note a result."""
        if result.last:
            self.last = (time.monotonic() - self.start, summary.done)
            self.first = self.first or self.last
            self.tick(summary.done)

    def told(self) -> dict[str, float]:
        """Seconds to the first result, and photos a second from there on."""
        assert self.first
        (begun, before), (end, after) = self.first, self.last
        rate = (after - before) / (end - begun)
        driver = 1e3 * (time.process_time() - self.cpu) / after
        return {
            "rate": round(rate, 2),
            "to the first result, s": round(begun, 2),
            "whole, s": round(end, 2),
            "driver, CPU ms a photo": round(driver, 3),
        }


def run(
    photos: list[Source], count: int, workers: int, run: Run | None = None, *, on_ray: bool = False
) -> dict[str, float]:
    """One run over so many photos."""
    run = run or Run()
    with tempfile.TemporaryDirectory() as folder:
        options = AnalyzeOptions(output=f"{folder}/", shard=100)
        with closing((RayMaker if on_ray else LocalMaker)(options, workers)) as maker:
            summary = analyze_into_shards(repeated(photos, count), options, maker, run.watch)
        assert summary.done == count, summary
    return run.told()


def workers(photos: list[Source], options: argparse.Namespace) -> dict[str, Any]:
    """Two workers against one."""
    runs: dict[int, list[dict[str, float]]] = {1: [], 2: []}
    for _ in range(options.times):
        for number, told in runs.items():
            told.append(run(photos, options.inputs // 8, number))
    return compared(runs, 2, 1)


def engines(photos: list[Source], options: argparse.Namespace) -> dict[str, Any]:
    """Ray against the local engine, two workers each."""
    runs: dict[str, list[dict[str, float]]] = {"local": [], "ray": []}
    runs["local"].append(run(photos, options.inputs, 2))
    runs["ray"].append(run(photos, options.inputs, 2, on_ray=True))
    return compared(runs, "ray", "local")


def compared(runs: dict[Any, list[dict[str, float]]], one: Any, other: Any) -> dict[str, Any]:
    """The runs, and the median of the ratios of each turn."""
    ratios = [a["rate"] / b["rate"] for a, b in zip(runs[one], runs[other], strict=True)]
    middle = round(statistics.median(ratios), 3)
    return {str(key): value for key, value in runs.items()} | {"ratio": middle, "ratios": ratios}


def ceiling(photos: list[Source], options: argparse.Namespace) -> dict[str, Any]:
    """One worker, decode and all, against detector and classifier alone on pixels in memory."""
    reading = AnalyzeOptions()
    analyzer = reading.load()
    some = photos[:: max(1, len(photos) // 300)]
    pixels = [read_image(source.name).pixels for source in some]
    tasks = [Task(source) for source in some]
    bare, read, pooled = [], [], []
    for _ in range(options.times):
        bare.append(timed(analyzer.frame, pixels))
        read.append(timed(lambda task: list(read_input(analyzer, task, reading)), tasks))
        pooled.append(run(some, 3 * len(some), 1)["rate"])
    wall = statistics.median(rate for rate, _ in bare)
    cpu = [statistics.median(spent for _, spent in times) for times in (bare, read)]
    return {
        "photos": len(some),
        "detector and classifier, photos/s": [round(rate, 2) for rate, _ in bare],
        "one worker process, photos/s": pooled,
        "share": round(statistics.median(pooled) / wall, 3),
        "share by CPU time in one process": round(cpu[0] / cpu[1], 3),
        "CPU ms a photo, bare and whole": [round(1e3 * spent, 2) for spent in cpu],
    }


def timed(do: Callable[[Any], object], inputs: list[Any]) -> tuple[float, float]:
    """Inputs a second by the clock, and CPU seconds an input."""
    clock, cpu = time.monotonic(), time.process_time()
    for one in inputs:
        do(one)
    return len(inputs) / (time.monotonic() - clock), (time.process_time() - cpu) / len(inputs)


def memory(photos: list[Source], options: argparse.Namespace) -> dict[str, Any]:
    """Resident memory of driver and worker over many small photos, as a slope after warm-up."""
    seen = np.full(
        (options.long // EACH, 3), -1.0
    )  # (S, 3): photos, MB of the driver, of the worker; written
    # beforehand, so that what is noted here is no growth

    def tick(done: int) -> None:
        if done % EACH == 0 and active_children():
            seen[done // EACH - 1] = (done, resident(os.getpid()), resident(active_children()[0].pid))

    with tempfile.TemporaryDirectory() as folder:
        small = shrunk(photos, Path(folder))
        told = run(small, options.long, 1, Run(tick=tick))
    after = seen[seen[:, 0] > WARM * options.long]  # (S, 3)
    figures: dict[str, Any] = {"photos": options.long, "rate": told["rate"]}
    for column, name in ((1, "driver"), (2, "worker")):
        used = after[:, column]
        figures[f"{name}, MB after warm-up and at the end"] = [round(float(used[i]), 1) for i in (0, -1)]
        figures[f"{name}, KB a thousand photos (95 %)"] = slope(after[:, 0] / 1000, used * 1000)
    return figures


def slope(x: np.ndarray, y: np.ndarray) -> list[float]:
    """A straight line's slope, with its interval by resampling twenty stretches of the run's residuals."""
    line = np.polyfit(x, y, 1)
    fitted = np.polyval(line, x)
    blocks = np.array_split(y - fitted, 20)
    rng = np.random.default_rng(0)
    size = min(map(len, blocks))
    drawn = []
    for _ in range(2000):
        noise = np.concatenate([blocks[i][:size] for i in rng.integers(0, 20, 20)])
        drawn.append(np.polyfit(x[: len(noise)], fitted[: len(noise)] + noise, 1)[0])
    return [round(float(v), 2) for v in (line[0], *np.percentile(drawn, [2.5, 97.5]))]


def planning(photos: list[Source], options: argparse.Namespace) -> dict[str, Any]:
    """What the driver spends on an input: listing it in the plan, checking it on a restart, and bytes."""
    with tempfile.TemporaryDirectory() as name:
        folder, count = Path(name), 5 * options.long
        spent = []
        for _ in range(2):
            start = time.process_time()
            open_plan(folder, repeated(photos, count), AnalyzeOptions(output=name), "")
            spent.append(1e6 * (time.process_time() - start) / count)
        plan_bytes = sum(path.stat().st_size for path in folder.iterdir()) / count
        most = len(photos)
        reading = AnalyzeOptions(output=name, shard=most, overwrite=True)
        with closing(LocalMaker(reading, 2)) as maker:
            analyze_into_shards(photos, reading, maker, lambda _summary, _result: None)
        rows = next(folder.glob("part-*.parquet")).stat().st_size / most
    start = time.process_time()
    find_sources([str(options.photos)])
    walked = 1e6 * (time.process_time() - start) / len(photos)
    return {"inputs": count, "to write the plan, µs an input": round(spent[0], 2),
            "to check it, µs an input": round(spent[1], 2), "to walk the folder, µs a file": round(walked, 2),
            "plan, bytes an input": round(plan_bytes, 1), "rows, bytes a photo": round(rows, 1)}  # fmt: skip


def shrunk(photos: list[Source], folder: Path) -> list[Source]:
    """Small copies of the photos."""
    for number, source in enumerate(photos):
        picture = Image.fromarray(read_image(source.name).pixels)
        picture.thumbnail((SMALL, SMALL))
        picture.save(folder / f"{number:05}.jpg")
    return find_sources([str(folder)])


def repeated(photos: list[Source], count: int) -> Iterable[Source]:
    """So many photos, the ones there are over and over."""
    return (photos[i % len(photos)] for i in range(count))


def resident(process: int | None) -> float:
    """Resident memory of a process, MB."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE / 1e6


MEASURES = {
    "planning": planning,
    "ceiling": ceiling,
    "workers": workers,
    "engines": engines,
    "memory": memory,
}


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos")
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES))
    parser.add_argument("--inputs", type=int, default=20_000, help="photos of the engines' run")
    parser.add_argument("--long", type=int, default=100_000, help="photos of the memory run")
    parser.add_argument("--times", type=int, default=3, help="turns of workers and ceiling")
    return parser.parse_args()


if __name__ == "__main__":
    main()
