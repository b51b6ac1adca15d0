"""What the routes share: one of each for a running server."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request, WebSocket

from mien.analyzer import Analyzer
from mien.server.disk import Disk
from mien.server.jobs import Jobs
from mien.server.metrics import Metrics
from mien.server.reader import Reader
from mien.server.settings import Settings


@dataclass(slots=True, eq=False)
class Service:
    """A running server."""

    settings: Settings
    metrics: Metrics
    disk: Disk
    analyzer: Analyzer
    reader: Reader
    jobs: Jobs
    photo_requests: int = 0  # let in at this time; touched by the event loop alone
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


def service_of(request: Request | WebSocket) -> Service:
    """The server that a request came to."""
    service: Service = request.app.state.service
    return service
