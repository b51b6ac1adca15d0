"""Figures of the server in Prometheus' text format, version 0.0.4: counts, and how long requests took."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable
from typing import Final

#: Upper ends of the buckets, in seconds.
BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

_HELP: Final = {
    "mien_requests_total": "Requests that were answered, by route, method and status.",
    "mien_photos_total": "Photos that were read, by outcome.",
    "mien_faces_total": "Faces that were read in photos.",
    "mien_live_frames_total": "Frames of live cameras, by outcome.",
    "mien_jobs_total": "Clips that ended, by state.",
    "mien_upload_bytes_total": "Bytes of uploads that were taken in.",
}


class Metrics:
    """Counts from any thread; `text` gives them all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: defaultdict[tuple[str, str], float] = defaultdict(float)  # name and labels to count
        self._buckets: dict[str, list[int]] = {}  # labels to counts, the last for what took longer
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}

    def count(self, name: str, number: float = 1, **labels: str) -> None:
        """Add to a counter."""
        with self._lock:
            self._counts[name, _labels(labels)] += number

    def took(self, seconds: float, **labels: str) -> None:
        """Note how long a request took."""
        text = _labels(labels)
        with self._lock:
            counts = self._buckets.setdefault(text, [0] * (len(BUCKETS) + 1))
            counts[bisect_left(BUCKETS, seconds)] += 1
            self._seconds[text] += seconds

    def gauge(self, name: str, says: str, value: Callable[[], float]) -> None:
        """A figure that is asked for when the text is."""
        self._gauges[name] = (says, value)

    def text(self) -> str:
        """All of them."""
        with self._lock:
            counts, buckets = dict(self._counts), {k: list(v) for k, v in self._buckets.items()}
            seconds = dict(self._seconds)
        lines = _counters(counts) + _histogram(buckets, seconds)
        for name, (says, value) in self._gauges.items():
            lines += [f"# HELP {name} {says}", f"# TYPE {name} gauge", f"{name} {value():g}"]
        return "\n".join(lines) + "\n"


def _counters(counts: dict[tuple[str, str], float]) -> list[str]:
    lines: list[str] = []
    for name, says in _HELP.items():
        lines += [f"# HELP {name} {says}", f"# TYPE {name} counter"]
        lines += [
            f"{name}{labels} {value:.15g}" for (of, labels), value in sorted(counts.items()) if of == name
        ]
    return lines


def _histogram(buckets: dict[str, list[int]], seconds: dict[str, float]) -> list[str]:
    name = "mien_request_seconds"
    lines = [f"# HELP {name} Seconds from a request to its answer, by route.", f"# TYPE {name} histogram"]
    for labels, counts in sorted(buckets.items()):
        inside, so_far = labels[1:-1], 0
        for end, number in zip((*map(str, BUCKETS), "+Inf"), counts, strict=True):
            so_far += number
            lines.append(f'{name}_bucket{{{inside},le="{end}"}} {so_far}')
        lines += [f"{name}_sum{labels} {seconds[labels]:.6f}", f"{name}_count{labels} {so_far}"]
    return lines


def _labels(labels: dict[str, str]) -> str:
    inside = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return f"{{{inside}}}" if inside else ""
