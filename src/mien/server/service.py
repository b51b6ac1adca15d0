"""What a running server consists of, and what its routes share: networks, queues, disk, metrics."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from fastapi import Request, WebSocket
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from mien.analyzer import Analyzer, load
from mien.server.fetch import Fetcher
from mien.server.jobs import Jobs
from mien.server.reader import PhotoReader
from mien.server.settings import ServerSettings
from mien.server.store import Disk

#: Upper ends of the histogram's buckets, in seconds.
BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Counts for Prometheus, from any thread."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a time for each counter, which nobody reads
        self.registry = CollectorRegistry()

        def counter(name: str, description: str, *labels: str) -> Counter:
            return Counter(f"mien_{name}_total", description, labels, registry=self.registry)

        self.requests = counter(
            "requests",
            "Requests that were answered, by route, method and status.",
            "route",
            "method",
            "status",
        )
        self.photos = counter("photos", "Photos that were read, by outcome.", "outcome")
        self.faces = counter("faces", "Faces that were read in photos.")
        self.live_frames = counter("live_frames", "Frames of live cameras, by outcome.", "outcome")
        self.jobs = counter("jobs", "Clips that ended, by state.", "state")
        self.upload_bytes = counter("upload_bytes", "Bytes of uploads that were taken in.")
        description = "Seconds from a request to its answer, by route."
        self.seconds = Histogram(
            "mien_request_seconds", description, ("route",), buckets=BUCKETS, registry=self.registry
        )

    def add_gauge(self, name: str, description: str, value: Callable[[], float]) -> None:
        """Add a figure that is asked for each time the figures are read."""
        Gauge(f"mien_{name}", description, registry=self.registry).set_function(value)


@dataclass(slots=True, eq=False)
class Service:
    """A running server."""

    settings: ServerSettings
    metrics: Metrics
    disk: Disk
    analyzer: Analyzer
    reader: PhotoReader
    jobs: Jobs
    fetcher: Fetcher
    session: str = field(default_factory=lambda: secrets.token_urlsafe(32))  # the page's cookie
    #: Bodies of JSON, and photos of other hosts, that are in memory at one time.
    unpacking: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))
    fetching: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(4))
    photo_requests: int = 0  # let in at this time; only the event loop changes these three
    cameras: int = 0
    streams: int = 0
    closed: bool = False

    def close(self) -> None:
        """End the threads and processes, and remove what is not to be kept; a second time does nothing."""
        if self.closed:
            return
        self.closed = True
        self.reader.close()
        self.jobs.close()
        self.disk.close()


def open_service(settings: ServerSettings) -> Service:
    """Load the networks, open the folder, start the threads."""
    limits = settings.limits
    analyzer = load(settings.model, providers=settings.providers)
    metrics, disk = Metrics(), Disk(settings.keep, limits.disk)
    try:
        jobs = Jobs(settings, disk, metrics.jobs)
    except BaseException:
        if settings.keep is None:
            disk.close()
        raise
    reader = PhotoReader(analyzer, threads=settings.threads, pixels=limits.pixels, faces=limits.faces)
    fetcher = Fetcher(settings.fetch, limits.fetch_seconds)
    service = Service(settings, metrics, disk, analyzer, reader, jobs, fetcher)
    metrics.add_gauge("photos_waiting", "Photos that wait.", lambda: reader.waiting)
    metrics.add_gauge("jobs_queued", "Clips that wait.", lambda: jobs.store.count("queued"))
    metrics.add_gauge("jobs_running", "Clips that are read.", lambda: jobs.store.count("running"))
    metrics.add_gauge("disk_bytes", "Bytes of uploads and results.", lambda: disk.taken)
    metrics.add_gauge("cameras", "Live cameras.", lambda: service.cameras)
    return service


def service_of(request: Request | WebSocket) -> Service:
    """The server that a request came to."""
    service: Service = request.app.state.service
    return service
