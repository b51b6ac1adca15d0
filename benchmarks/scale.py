"""Many photos: workers against each other, Ray against the local engine, the ceiling, memory.

    python benchmarks/scale.py --photos DIR                                  # all of it: an hour on two cores
    python benchmarks/scale.py --photos DIR --only ceiling workers --inputs 2400

Prints one JSON object. Rates are of `mien analyze` into a folder of shards: a run of few photos is taken from
one of many, so that starting processes, networks and Ray is told apart. Photos are repeated in the list that
the command is given until there are enough.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

import mien
from mien.image import read_image
from mien.media import is_image

START = 200  # photos of the short run that tells the start apart
EVERY = 2.0  # seconds between two looks at the memory
WARM = 0.2  # of the memory run is warm-up


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos")
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES))
    parser.add_argument("--inputs", type=int, default=20_000, help="photos of a run")
    parser.add_argument("--long", type=int, default=100_000, help="photos of the memory run")
    parser.add_argument("--times", type=int, default=3, help="turns of workers and ceiling")
    options = parser.parse_args()
    photos = [path for path in sorted(options.photos.rglob("*")) if is_image(path)]
    figures: dict[str, Any] = {"photos": len(photos), "cores": len(os.sched_getaffinity(0))}
    for name in options.only:
        before = os.getloadavg()[0]
        figures[name] = MEASURES[name](photos, options)
        figures[name]["load before, after"] = [round(before, 2), round(os.getloadavg()[0], 2)]
        print(json.dumps({name: figures[name]}), flush=True)
    print(json.dumps(figures, indent=1))


def run(photos: Sequence[Path], count: int, *arguments: str) -> tuple[float, list[tuple[float, ...]]]:
    """Seconds of `mien analyze` over so many photos; and now and then (seconds, MB of each process)."""
    seen: list[tuple[float, ...]] = []
    with tempfile.TemporaryDirectory() as name:
        listed = Path(name) / "photos.txt"
        listed.write_text("".join(f"{path.resolve()}\n" for path in islice(cycle(photos), count)))
        command = [sys.executable, "-m", "mien", "analyze", f"@{listed}", "-o", f"{name}/out/", "--quiet"]
        start = time.monotonic()
        process = subprocess.Popen([*command, *arguments])
        while process.poll() is None:
            if not seen or time.monotonic() - start - seen[-1][0] >= EVERY:
                held = [resident(child) for child in (process.pid, *children_of(process.pid))]
                seen.append((time.monotonic() - start, *held))
            time.sleep(0.05)
        if process.returncode:
            raise SystemExit(f"{command}: ended with {process.returncode}")
    return time.monotonic() - start, seen


def measure_rate(photos: Sequence[Path], count: int, *arguments: str) -> float:
    """Photos a second, the start left out."""
    few, many = (run(photos, n, *arguments)[0] for n in (START, START + count))
    return round(count / (many - few), 2)


def compare_workers(photos: Sequence[Path], options: argparse.Namespace) -> dict[str, Any]:
    """Two workers against one, in turns."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(options.times):
        for number, found in rates.items():
            found.append(measure_rate(photos, options.inputs // 8, "--workers", str(number)))
    ratios = [two / one for one, two in zip(rates[1], rates[2], strict=True)]
    return {"photos a second": rates, "ratio": round(statistics.median(ratios), 3), "ratios": ratios}


def compare_engines(photos: Sequence[Path], options: argparse.Namespace) -> dict[str, Any]:
    """Ray against the local engine, two workers each."""
    rates = {
        engine: measure_rate(photos, options.inputs, "--workers", "2", "--engine", engine)
        for engine in ("local", "ray")
    }
    return {"photos a second": rates, "ratio": round(rates["ray"] / rates["local"], 3)}


def measure_ceiling(photos: Sequence[Path], options: argparse.Namespace) -> dict[str, Any]:
    """Detector and classifier alone on pixels in memory, against files to faces in one process."""
    analyzer = mien.load(threads=1)
    some = photos[:: max(1, len(photos) // 300)]
    pixels = [read_image(path).pixels for path in some]
    cpu: dict[str, list[float]] = {"pixels": [], "files": []}
    for _ in range(options.times):
        for name, inputs in (("pixels", pixels), ("files", some)):
            start = time.process_time()
            for one in inputs:
                analyzer.image(one)
            cpu[name].append((time.process_time() - start) / len(some))
    bare, whole = (statistics.median(cpu[name]) for name in ("pixels", "files"))
    per_photo = {"pixels": round(1e3 * bare, 2), "files": round(1e3 * whole, 2)}
    return {"photos": len(some), "CPU ms a photo": per_photo, "share": round(bare / whole, 3)}


def measure_memory(photos: Sequence[Path], options: argparse.Namespace) -> dict[str, Any]:
    """Resident memory of the command's own process and of one worker, as a slope after warm-up."""
    seconds, seen = run(photos, options.long, "--workers", "1")
    after = [look for look in seen if look[0] > WARM * seconds and len(look) > 1]
    figures: dict[str, Any] = {"photos": options.long, "photos a second": round(options.long / seconds, 2)}
    done = np.array([look[0] / seconds * options.long / 1000 for look in after])  # thousands of photos
    for name, held in (
        ("driver", [look[1] for look in after]),
        ("worker", [max(look[1:]) for look in after]),
    ):
        used = np.array(held)
        figures[f"{name}, MB after warm-up and at the end"] = [round(float(used[i]), 1) for i in (0, -1)]
        figures[f"{name}, KB a thousand photos (95 %)"] = fit_slope(done, used * 1000)
    return figures


def fit_slope(x: np.ndarray, y: np.ndarray) -> list[float]:
    """A straight line's slope, with its interval by resampling twenty stretches of the run's residuals."""
    line = np.polyfit(x, y, 1)
    fitted = np.polyval(line, x)
    blocks = np.array_split(y - fitted, min(20, len(x)))
    rng = np.random.default_rng(0)
    size = min(map(len, blocks))
    drawn = []
    for _ in range(2000):
        noise = np.concatenate([blocks[i][:size] for i in rng.integers(0, len(blocks), len(blocks))])
        drawn.append(np.polyfit(x[: len(noise)], fitted[: len(noise)] + noise, 1)[0])
    return [round(float(v), 2) for v in (line[0], *np.percentile(drawn, [2.5, 97.5]))]


def resident(process: int) -> float:
    """MB of memory that a process holds now; 0 when it has ended."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def children_of(process: int) -> list[int]:
    """The process's children, by Linux's /proc."""
    try:
        return [int(n) for n in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:
        return []


MEASURES = {
    "ceiling": measure_ceiling,
    "workers": compare_workers,
    "engines": compare_engines,
    "memory": measure_memory,
}

if __name__ == "__main__":
    main()
