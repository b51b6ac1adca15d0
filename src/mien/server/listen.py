"""The server on its port, by uvicorn, whose connections may neither be too slow nor stay open for ever."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from mien.errors import ConfigError
from mien.image import quiet_decoders
from mien.server.app import make_app
from mien.server.guard import Guard
from mien.server.service import open_service
from mien.server.settings import ServerSettings

_HEADERS: Final = 10.0  # seconds in which the headers of a request come
_LINGER: Final = 2.0  # seconds that a client has to read why its upload was refused
_STUCK: Final = 120.0  # seconds in which a client takes some of its answer; a player that pauses asks again
_CONNECTIONS: Final = 1000
_HANDLES: Final = 4096  # open files that this many connections, their uploads and the clips may need
_GRACE: Final = 3  # seconds that open requests have when the server ends


class Connection(H11Protocol):
    """uvicorn's connection, which waits for nothing without end.

    Neither for headers, nor for the rest of a refused upload, nor for a client that does not read.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client came."""
        super().connection_made(transport)
        self._timers: dict[str, asyncio.TimerHandle] = {}  # each ends the connection
        self._start_timer("headers", _HEADERS)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_timer("headers")
        elif "headers" not in self._timers and self.timeout_keep_alive_task is None:
            self._start_timer("headers", _HEADERS)  # the first bytes of a further request

    def connection_lost(self, exc: Exception | None) -> None:
        """The client went."""
        self._stop_timer("headers")
        self._stop_timer("answer")
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not read."""
        super().pause_writing()
        self._stop_timer("answer")
        self._start_timer("answer", _STUCK)

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        self._stop_timer("answer")

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """The connection is another's from here."""
        self._stop_timer("headers")
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        """The answer is out; what still comes of a refused upload is thrown away for a moment only."""
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY:
            self.loop.call_later(_LINGER, self._cut, self.cycle)

    def _cut(self, cycle: Any) -> None:
        if self.cycle is cycle and self.conn.their_state is h11.SEND_BODY:
            self.transport.abort()

    def _start_timer(self, what: str, seconds: float) -> None:
        self._timers[what] = self.loop.call_later(seconds, self.transport.abort)

    def _stop_timer(self, what: str) -> None:
        if what in self._timers:
            self._timers.pop(what).cancel()


class Server(uvicorn.Server):
    """uvicorn's server, which says when it can be reached, and why it ends."""

    def __init__(self, config: uvicorn.Config, say: Callable[[str], object]) -> None:
        super().__init__(config)
        self._say = say
        self._why = "it was asked to"

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        for bound in sockets or []:
            host, port = bound.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            self._say(f"mien: serving http://{shown}:{port}  (Ctrl-C ends it)")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal came."""
        self._why = signal.Signals(sig).name
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say why, then end."""
        self._say(f"mien: the server ends: {self._why}")
        await super().shutdown(sockets)


def _make_server(app: Guard, say: Callable[[str], object]) -> Server:
    """A server that is ready to `run`."""
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of each body that is none
    config = uvicorn.Config(
        app,
        http=Connection,
        ws="websockets-sansio",
        ws_max_size=app.settings.limits.live_frame + 1000,
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
        limit_concurrency=_CONNECTIONS,
    )
    return Server(config, say)


@contextmanager
def opened(
    settings: ServerSettings,
    say: Callable[[str], object] = lambda _line: None,
    make: Callable[[ServerSettings], Guard] | None = None,
) -> Iterator[tuple[Server, socket.socket]]:
    """A server and the socket that it is to run on; both are let go of when the block ends.

    `make` makes what answers: `mien serve` itself, or another application behind the same guard.
    """
    with _bound(settings) as bound:
        app = make(settings) if make else make_app(open_service(settings))
        try:
            yield _make_server(app, say), bound
        finally:
            app.service.close()


def serve(
    settings: ServerSettings,
    say: Callable[[str], object],
    make: Callable[[ServerSettings], Guard] | None = None,
) -> None:
    """Serve until Ctrl-C or a signal ends it; `say` gets a line with the address, and one with why it ends.

    `make` is that of `opened`.

    Raises:
        ConfigError: the address is not free, or not of this machine.
        MienError: the networks or the folder cannot be opened.
    """
    with suppress(OSError, ValueError):  # standard error is no file
        faulthandler.enable()  # a crash below Python says where it was
    _allow_files()
    quiet_decoders()

    def say_if_read(line: str) -> None:
        with suppress(OSError):  # nobody reads it any more: that ends no server
            say(line)

    with opened(settings, say_if_read, make) as (server, bound):
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
            signal.signal(signal.SIGHUP, server.handle_exit)  # else it would end without a word
        with suppress(KeyboardInterrupt):
            server.run(sockets=[bound])


def _allow_files() -> None:
    """Let this process open as many files as its connections may need, where the system does."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = _HANDLES if hard == resource.RLIM_INFINITY else min(_HANDLES, hard)
        if soft != resource.RLIM_INFINITY and soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _bound(settings: ServerSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # Its protocol by name: else asyncio leaves Nagle's algorithm on, and each answer waits 40 ms for an ACK.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((settings.host, settings.port))
        bound.listen()  # two may bind an address, but only one can listen on it
    except OSError as error:
        bound.close()
        raise ConfigError(
            f"expected a free address of this machine at --host {settings.host} --port {settings.port}, "
            f"got: {error.strerror or error}; choose another"
        ) from error
    return bound
