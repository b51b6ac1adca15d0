"""The figures of the server for Prometheus: counts, and how long requests took."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

#: Upper ends of the buckets, in seconds.
BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Counts from any thread; `text` gives them all in the text format of Prometheus."""

    media_type: Final = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a time for each counter, which nobody reads
        self._registry = every = CollectorRegistry()
        self.requests = Counter(
            "mien_requests_total",
            "Requests that were answered, by route, method and status.",
            ("route", "method", "status"),
            registry=every,
        )
        self.photos = Counter(
            "mien_photos_total", "Photos that were read, by outcome.", ("outcome",), registry=every
        )
        self.faces = Counter("mien_faces_total", "Faces that were read in photos.", registry=every)
        self.live_frames = Counter(
            "mien_live_frames_total", "Frames of live cameras, by outcome.", ("outcome",), registry=every
        )
        self.jobs = Counter("mien_jobs_total", "Clips that ended, by state.", ("state",), registry=every)
        self.upload_bytes = Counter(
            "mien_upload_bytes_total", "Bytes of uploads that were taken in.", registry=every
        )
        self.seconds = Histogram(
            "mien_request_seconds",
            "Seconds from a request to its answer, by route.",
            ("route",),
            buckets=BUCKETS,
            registry=every,
        )

    def add_gauge(self, name: str, description: str, value: Callable[[], float]) -> None:
        """Add a figure that is asked for each time the figures are read."""
        Gauge(name, description, registry=self._registry).set_function(value)

    def text(self) -> bytes:
        """All figures."""
        return generate_latest(self._registry)
