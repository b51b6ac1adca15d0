"""The server under load: clients that send photos one after the other, beside the plain loop in the same run.

    python benchmarks/load.py --clients 32 --seconds 60 --photos DIR

Writes one JSON object: failures, requests a second, p50 and p95 in seconds, the memory of the server after
warm-up and at the end, its slope, and the throughput of `analyzer.image` over the same bytes, before and
after, in one thread. The clients run in a process of their own, so that the server's figures are its own; all
of it shares the machine, so nothing else should run on it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import httpx
import numpy as np

import mien
from mien.image import is_image

WARM_UP = 0.2  # of the time, whose requests do not count


def main() -> None:
    """Plain loop, server under load, plain loop again; print what was measured."""
    options = parsed()
    photos = photos_of(options.photos)
    before = plain_loop(photos, options.plain)
    figures = under_load(options)
    after = plain_loop(photos, options.plain)
    plain = (before + after) / 2
    figures |= {
        "photos": len(photos),
        "cores": len(os.sched_getaffinity(0)),
        "load average": os.getloadavg(),
        "plain loop, photos a second": [round(before, 2), round(after, 2)],
        "share of the plain loop": round(figures["requests a second"] / plain, 3),
    }
    print(json.dumps(figures, indent=2))


def parsed() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--plain", type=float, default=10, help="seconds of the plain loop, twice")
    parser.add_argument("--workers", type=int, default=None)
    return parser.parse_args()


def photos_of(folder: Path) -> list[bytes]:
    """The files that Mien reads as photos."""
    files = [path for path in sorted(folder.iterdir()) if is_image(path)]
    assert files, f"expected photos in {folder}, found none"
    return [path.read_bytes() for path in files]


def plain_loop(photos: list[bytes], seconds: float) -> float:
    """Photos a second of `analyzer.image`, one after the other."""
    analyzer = mien.load()
    analyzer.image(photos[0])
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds or done % len(photos):
        analyzer.image(photos[done % len(photos)])
        done += 1
    return done / (time.perf_counter() - start)


def under_load(options: argparse.Namespace) -> dict[str, object]:
    """The figures of a server while the clients send photos."""
    code = "from mien.cli.serve import serve; import typer; typer.run(serve)"
    workers = [] if options.workers is None else ["--workers", str(options.workers)]
    server = subprocess.Popen(
        [sys.executable, "-c", code, "--port", "0", *workers], stderr=subprocess.PIPE, text=True
    )
    try:
        address = server.stderr.readline().split()[2]
        memory: list[tuple[float, float]] = []
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            clients = pool.submit(run_clients, address, options)
            start = time.perf_counter()
            while not clients.done():
                memory.append((time.perf_counter() - start, resident(server.pid)))
                time.sleep(0.5)
            figures = clients.result()
    finally:
        server.terminate()
        server.wait()
        server.stderr.close()
    return figures | memory_figures(memory, WARM_UP * options.seconds)


def run_clients(address: str, options: argparse.Namespace) -> dict[str, object]:
    """What the clients see."""
    photos = photos_of(options.photos)
    return asyncio.run(drive(address, photos, options.clients, options.seconds))


async def drive(address: str, photos: list[bytes], clients: int, seconds: float) -> dict[str, object]:
    """Each client sends one photo, waits for its answer, and sends the next."""
    took: list[tuple[float, float]] = []  # when a request ended, seconds that it took
    failures: list[str] = []
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    start = time.perf_counter()

    async def one(http: httpx.AsyncClient, number: int) -> None:
        while time.perf_counter() - start < seconds:
            begun = time.perf_counter()
            try:
                answer = await http.post("/v1/photos", content=photos[number % len(photos)])
                if answer.status_code != 200:
                    failures.append(f"{answer.status_code}: {answer.text[:200]}")
            except httpx.HTTPError as error:
                failures.append(repr(error))
            took.append((time.perf_counter() - start, time.perf_counter() - begun))
            number += 1

    async with httpx.AsyncClient(base_url=address, limits=limits, timeout=120, trust_env=False) as http:
        await asyncio.gather(*(one(http, number) for number in range(clients)))
    warm = WARM_UP * seconds
    counted = [length for end, length in took if warm <= end <= seconds]
    return {
        "clients": clients,
        "seconds": seconds,
        "requests": len(took),
        "failures": len(failures),
        "first failures": failures[:3],
        "requests a second": round(len(counted) / (seconds - warm), 2),
        "p50": round(float(np.percentile(counted, 50)), 4),
        "p95": round(float(np.percentile(counted, 95)), 4),
    }


def memory_figures(memory: list[tuple[float, float]], warm: float) -> dict[str, object]:
    """Resident megabytes after warm-up and at the end, and the slope of a line through them."""
    times, sizes = np.array([pair for pair in memory if pair[0] >= warm]).T
    slope = float(np.polyfit(times, sizes, 1)[0]) if len(times) > 2 else float("nan")
    return {
        "MB after warm-up": round(float(sizes[:4].mean()), 1),
        "MB at the end": round(float(sizes[-4:].mean()), 1),
        "MB a minute": round(60 * slope, 2),
    }


def resident(pid: int) -> float:
    """Megabytes that a process holds in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
