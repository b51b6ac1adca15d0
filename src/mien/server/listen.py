"""The server on its port, by uvicorn, with connections that may neither dawdle nor go on for ever."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from mien.server.app import make_app, open_service
from mien.server.service import Service
from mien.server.settings import Settings

_HEADERS: Final = 10.0  # seconds in which the headers of a request come
_LINGER: Final = 2.0  # seconds that a client has to read why its upload was refused
_GRACE: Final = 3  # seconds that open requests have when the server ends


class Connection(H11Protocol):
    """uvicorn's connection, which waits neither for headers nor for the rest of a refused upload for ever."""

    _watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client came."""
        super().connection_made(transport)
        self._watch_headers()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._unwatch()
        elif self._watch is None and self.timeout_keep_alive_task is None:
            self._watch_headers()  # the first bytes of a further request

    def connection_lost(self, exc: Exception | None) -> None:
        """The client went."""
        self._unwatch()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """The connection is another's from here."""
        self._unwatch()
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        """The answer is out; what still comes of a refused upload is thrown away for a moment only."""
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY:
            self.loop.call_later(_LINGER, self._cut, self.cycle)

    def _cut(self, cycle: Any) -> None:
        if self.cycle is cycle and self.conn.their_state is h11.SEND_BODY:
            self.transport.abort()

    def _watch_headers(self) -> None:
        self._watch = self.loop.call_later(_HEADERS, self.transport.abort)

    def _unwatch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None


def make_server(service: Service) -> uvicorn.Server:
    """A server that is ready to `run`; it closes the service when it ends."""
    settings = service.settings
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of each body that is none
    config = uvicorn.Config(
        make_app(service),
        http=Connection,
        ws="websockets-sansio",
        ws_max_size=settings.limits.live_frame + 1000,
        ws_per_message_deflate=False,  # pictures are compressed as they are
        loop="asyncio",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,  # who sent what is nobody's business
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=20,
        timeout_graceful_shutdown=_GRACE,
        limit_concurrency=1000,
    )
    return uvicorn.Server(config)


@contextmanager
def opened(settings: Settings) -> Iterator[tuple[uvicorn.Server, socket.socket]]:
    """A server and the socket that it is to run on; both are let go of when the block ends.

    Raises:
        MienError: its networks or folder cannot be had.
        OSError: the address is taken.
    """
    with _bound(settings) as bound:
        service = open_service(settings)
        try:
            yield make_server(service), bound
        finally:
            service.close()


def serve(settings: Settings, say: Callable[[str], object]) -> None:
    """Serve until Ctrl-C or a signal ends it.

    Args:
        settings: how.
        say: is told of the address, once it is open.

    Raises:
        MienError: its networks or folder cannot be had.
        OSError: the address is taken.
    """
    with opened(settings) as (server, bound):
        host, port = bound.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        say(f"http://{shown}:{port}")
        with suppress(KeyboardInterrupt):
            server.run(sockets=[bound])


def _bound(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # Its protocol by name: else asyncio leaves Nagle's algorithm on, and each answer waits 40 ms for an ACK.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((settings.host, settings.port))
    except OSError:
        bound.close()
        raise
    return bound
