"""What a running server consists of, and what its routes share: networks, queues, disk, figures."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request, WebSocket

from mien.analyzer import Analyzer, load
from mien.server.jobs import Jobs
from mien.server.metrics import Metrics
from mien.server.reader import PhotoReader
from mien.server.settings import ServerSettings
from mien.server.store import Disk


@dataclass(slots=True, eq=False)
class Service:
    """A running server."""

    settings: ServerSettings
    metrics: Metrics
    disk: Disk
    analyzer: Analyzer
    reader: PhotoReader
    jobs: Jobs
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
    """Load the networks, open the folder, start the threads.

    Raises:
        MienError: the networks cannot be loaded, or the folder cannot be used.
    """
    limits = settings.limits
    analyzer = load(settings.model, providers=settings.providers)
    metrics, disk = Metrics(), Disk(settings.keep, limits.disk)
    try:
        jobs = Jobs(settings, disk, metrics)
    except BaseException:
        if settings.keep is None:
            disk.close()
        raise
    reader = PhotoReader(analyzer, threads=settings.threads, pixels=limits.pixels, faces=limits.faces)
    service = Service(settings, metrics, disk, analyzer, reader, jobs)
    metrics.add_gauge("mien_photos_waiting", "Photos that wait.", lambda: reader.waiting)
    metrics.add_gauge("mien_jobs_queued", "Clips that wait.", lambda: jobs.store.count("queued"))
    metrics.add_gauge("mien_jobs_running", "Clips that are read.", lambda: jobs.store.count("running"))
    metrics.add_gauge("mien_disk_bytes", "Bytes of uploads and results.", lambda: disk.taken)
    metrics.add_gauge("mien_cameras", "Live cameras.", lambda: service.cameras)
    return service


def service_of(request: Request | WebSocket) -> Service:
    """The server that a request came to."""
    service: Service = request.app.state.service
    return service
