"""The server under load: clients that send photos one after the other, beside the plain loop in the same run.

    python benchmarks/load.py --clients 32 --seconds 60 --photos DIR

Writes one JSON object. The plain loop is `analyzer.image` over the same bytes in one thread, before and
after.
The clients are one process that does next to nothing (requests are made beforehand, of answers only status
and length are looked at), and its share of the machine is told, since it shares the cores with the server.
What is done in the warm-up before the measured seconds does not count; memory settles after some 3,000
photos.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

import mien
from mien.media import is_image

MIEN = [sys.executable, "-m", "mien", "serve", "--port", "0"]


def main() -> None:
    """Plain loop, server under load, plain loop again; print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--most", type=int, default=500, help="photos, evenly taken from the folder")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60, help="that are measured")
    parser.add_argument("--warm-up", type=float, default=60, help="seconds before them")
    parser.add_argument("--plain", type=float, default=10, help="seconds of the plain loop, twice")
    parser.add_argument("--workers", type=int, default=None)
    options = parser.parse_args()
    photos = photos_of(options.photos, options.most)
    before = plain_loop(photos, options.plain)
    workers = [] if options.workers is None else ["--workers", str(options.workers)]
    served = under_load([*MIEN, *workers], photos, options)
    after = plain_loop(photos, options.plain)
    plain = (before + after) / 2
    figures = {
        "photos": len(photos),
        "cores": len(os.sched_getaffinity(0)),
        "load average": [round(value, 2) for value in os.getloadavg()],
        "plain loop, one thread, photos a second": [round(before, 2), round(after, 2)],
        "mien serve": served,
        "share of the plain loop": round(float(str(served["requests a second"])) / plain, 3),
    }
    print(json.dumps(figures, indent=2))


def photos_of(folder: Path, most: int) -> list[bytes]:
    """The files that Mien reads as photos."""
    files = [path for path in sorted(folder.rglob("*")) if is_image(path)]
    if not files:
        raise SystemExit(f"expected photos in {folder}, found none")
    return [path.read_bytes() for path in files[:: -(-len(files) // most)]]


def plain_loop(photos: list[bytes], seconds: float) -> float:
    """Photos a second of `analyzer.image`, one after the other, over whole rounds of the photos."""
    analyzer = mien.load()
    analyzer.image(photos[0])
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds or done % len(photos):
        analyzer.image(photos[done % len(photos)])
        done += 1
    return done / (time.perf_counter() - start)


@contextmanager
def running(command: list[str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server and its address, which it says on standard error."""
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    try:
        for line in server.stderr:
            if "http://" in line:
                break
        else:
            raise SystemExit(f"{command}: ended with {server.wait()} before it served")
        yield server, "http://" + line.partition("http://")[2].split()[0]
    finally:
        server.terminate()
        server.wait()
        server.stderr.close()


def under_load(command: list[str], photos: list[bytes], options: argparse.Namespace) -> dict[str, object]:
    """The figures of a server while the clients send photos."""
    warm, end = options.warm_up, options.warm_up + options.seconds
    watch = Watch()
    with (
        running(command) as (server, address),
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
    ):
        pool.submit(int).result()  # it has started and imported
        clients = pool.submit(run_clients, address, photos, options.clients, (warm, end))
        start = time.perf_counter()
        while not clients.done():
            watch.look(server.pid, time.perf_counter() - start)
            time.sleep(0.25)
        figures = clients.result()
    return figures | watch.figures(warm, end)


@dataclass
class Watch:
    """Memory and processor time of a process while it works."""

    times: list[float] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)  # megabytes
    worked: list[float] = field(default_factory=list)  # seconds of processor time

    def look(self, pid: int, now: float) -> None:
        """Note both."""
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        self.times.append(now)
        self.sizes.append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)
        self.worked.append((int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK"))

    def figures(self, warm: float, end: float) -> dict[str, object]:
        """Memory after warm-up and at the end, its slope with a 95 % interval, and cores that were busy.

        Neighbouring looks are alike, so the interval is that of the means of ten stretches.
        """
        times, sizes, worked = map(np.array, (self.times, self.sizes, self.worked))
        counts = (times >= warm) & (times <= end)
        times, sizes, worked = times[counts], sizes[counts], worked[counts]
        stretches = np.array_split(np.arange(len(times)), 10)
        x = np.array([times[part].mean() for part in stretches])
        y = np.array([sizes[part].mean() for part in stretches])
        slope, middle = np.polyfit(x, y, 1)
        left = y - (slope * x + middle)
        error = np.sqrt(left @ left / (len(x) - 2) / ((x - x.mean()) @ (x - x.mean())))
        half = 2.306 * error  # Student's t, 8 degrees of freedom
        busy = (worked[-1] - worked[0]) / (times[-1] - times[0])
        return {
            "MB after warm-up": round(float(y[0]), 1),
            "MB at the end": round(float(y[-1]), 1),
            "MB at most": round(float(sizes.max()), 1),
            "MB a minute": round(60 * float(slope), 2),
            "its 95 % interval": [round(60 * float(value), 2) for value in (slope - half, slope + half)],
            "cores that the server kept busy": round(float(busy), 3),
        }


def run_clients(
    address: str, photos: list[bytes], clients: int, span: tuple[float, float]
) -> dict[str, object]:
    """What the clients see."""
    return asyncio.run(drive(address, photos, clients, span))


async def drive(
    address: str, photos: list[bytes], clients: int, span: tuple[float, float]
) -> dict[str, object]:
    """Each client sends one photo, waits for its answer, and sends the next; `span` counts."""
    warm, end = span
    host, port = str(urlsplit(address).hostname), int(urlsplit(address).port or 80)
    requests = [request_of(photo, host) for photo in photos]
    took: list[tuple[float, float]] = []  # when a request ended, seconds that it took
    failures: list[str] = []
    start = time.perf_counter()

    async def one(number: int) -> None:
        reader, writer = await asyncio.open_connection(host, port)
        while time.perf_counter() - start < end:
            begun = time.perf_counter()
            writer.write(requests[number % len(requests)])
            status, body = await answer_of(reader)
            now = time.perf_counter()
            took.append((now - start, now - begun))
            if status != 200:
                failures.append(f"{status}: {body[:200]!r}")
            number += clients
        writer.close()

    async def safely(number: int) -> None:
        try:
            await one(number)
        except (OSError, EOFError, ValueError) as error:
            failures.append(repr(error))

    busy = cpu_seconds()
    await asyncio.gather(*map(safely, range(clients)))
    lasted = time.perf_counter() - start
    counted = [length for moment, length in took if warm <= moment <= end]
    return {
        "clients": clients,
        "seconds": end - warm,
        "requests": len(counted),
        "failures": len(failures),
        "first failures": failures[:3],
        "requests a second": round(len(counted) / (end - warm), 2),
        "p50": round(float(np.percentile(counted, 50)), 4),
        "p95": round(float(np.percentile(counted, 95)), 4),
        "cores that the clients kept busy": round((cpu_seconds() - busy) / lasted, 3),
    }


def request_of(photo: bytes, host: str) -> bytes:
    """A photo as the body of a request."""
    head = f"POST /v1/photos HTTP/1.1\r\nHost: {host}\r\nContent-Type: image/jpeg\r\n"
    return f"{head}Content-Length: {len(photo)}\r\n\r\n".encode() + photo


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of an answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
    return int(head.split(b" ", 2)[1]), await reader.readexactly(length)


def cpu_seconds() -> float:
    """Processor time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
