"""What every request must pass first: host name, origin, token, number of bytes, speed.

It is plain ASGI, outside of everything else, so that nothing is read of a request that is refused.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import socket
import time
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from starlette.middleware.cors import CORSMiddleware

from mien.server.answers import Problem, too_large
from mien.server.service import Metrics
from mien.server.settings import Limits, ServerSettings, is_loopback

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE: Final = "mien_session"
#: Paths that need no token: they hold nothing of anybody.
OPEN: Final = frozenset({"/", "/healthz", "/v1/about", "/v1/openapi.json"})
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
METHODS: Final = frozenset({"GET", "HEAD", "POST", "DELETE", "WEBSOCKET"})
#: Added to every answer that does not say otherwise.
HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
}


class Guarded(Protocol):
    """What a guard must know of the server behind it."""

    settings: ServerSettings
    metrics: Metrics
    session: str  # the page's cookie

    def close(self) -> None:
        """End it."""


class Guard:
    """The whole server as one ASGI application: `app` answers the requests that it lets pass."""

    def __init__(self, app: App, service: Guarded) -> None:
        self.app, self.service, self.settings = app, service, service.settings
        settings = service.settings
        self._token, self._session = _digest(settings.token or ""), _digest(service.session)
        here = () if is_loopback(settings.host) else (socket.gethostname().lower(),)
        self._entry: App = self._answer
        if settings.cors:
            self._entry = CORSMiddleware(
                self._answer,
                allow_origins=settings.cors,
                allow_methods=sorted(METHODS - {"WEBSOCKET"}),
                allow_headers=["Authorization", "Content-Type", "Accept"],
                expose_headers=["Location", "Retry-After", "Content-Disposition"],
            )
        self._names = {"localhost", settings.host.lower(), *map(str.lower, settings.names), *here}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        await self._entry(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        try:
            self._check(scope)
        except Problem as problem:
            await _refuse(problem, scope, receive, self._finish_answer(scope, send))
            return
        if scope["type"] == "http":
            receive = LimitedBody(receive, self.settings.limits, _byte_limit(scope, self.settings.limits))
        await self.app(scope, receive, self._finish_answer(scope, send))

    def _check(self, scope: Scope) -> None:
        """Raise the problem that a request is refused with."""
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        host = headers.get("host", "")
        if not self._is_own_name(host):
            raise Problem(
                "wrong-host",
                f"expected a Host that is a name of this server, got {host!r}; use its address, "
                "or start it with --allow-host and that name",
            )
        origin = headers.get("origin")
        changes = scope["type"] == "websocket" or scope["method"] not in SAFE
        own = origin is None or urlsplit(origin).netloc.lower() == host.lower()
        if changes and not own and not {origin, "*"} & set(self.settings.cors):
            why = f"expected a page of this server, got one of {origin}"
            raise Problem("forbidden-origin", f"{why}; start the server with --cors and that origin")
        is_open = scope["path"] in OPEN or scope["path"].startswith("/assets/")
        if self.settings.guarded and not is_open and not self._is_authorized(headers):
            raise Problem(
                "unauthorized", "expected the server's token as `Authorization: Bearer TOKEN`; send it"
            )
        announced = headers.get("content-length", "0")  # digits, says h11
        if scope["type"] == "http" and int(announced) > (most := _byte_limit(scope, self.settings.limits)):
            raise too_large(most)

    def _is_own_name(self, host: str) -> bool:
        """Whether a Host is this server's: a name that others can point here is not (DNS rebinding)."""
        if host.startswith("["):  # an IPv6 address
            name = host[1:].partition("]")[0].lower()
        else:
            name = host.rpartition(":")[0].lower() if ":" in host else host.lower()
        if name in self._names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not is_loopback(self.settings.host)

    def _is_authorized(self, headers: dict[str, str]) -> bool:
        """Whether token or cookie is right; compared in a time that does not tell how nearly."""
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return hmac.compare_digest(_digest(given.strip()), self._token)
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return morsel is not None and hmac.compare_digest(_digest(morsel.value), self._session)

    def _finish_answer(self, scope: Scope, send: Send) -> Send:
        """A `send` that adds the headers that every answer has, and counts the answer."""
        start = time.perf_counter()

        async def send_finished(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {key.lower() for key, _ in message.get("headers", ())}
                extra = [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in present]
                message = {**message, "headers": [*message.get("headers", ()), *extra]}
                route = getattr(scope.get("route"), "path", "other")
                method = str(scope.get("method", "WEBSOCKET"))
                method = method if method in METHODS else "OTHER"  # else clients could make endless labels
                metrics = self.service.metrics
                metrics.requests.labels(route, method, str(message["status"])).inc()
                metrics.seconds.labels(route).observe(time.perf_counter() - start)
            await send(message)

        return send_finished


class LimitedBody:
    """Receives the body of a request, and raises a Problem where it is too large or comes too slowly."""

    def __init__(self, receive: Receive, limits: Limits, most: int) -> None:
        self._receive, self._limits, self._most = receive, limits, most
        self._bytes, self._whole = 0, False
        self._start = time.monotonic()

    async def __call__(self) -> Message:
        """The next piece."""
        if self._whole:
            return await self._receive()  # that the client has gone
        try:
            async with asyncio.timeout(self._limits.stall):
                message = await self._receive()
        except TimeoutError:
            raise self._slow(f"nothing came for {self._limits.stall:g} s") from None
        self._bytes += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._bytes > self._most:
            raise too_large(self._most)
        took = time.monotonic() - self._start
        if not self._whole and took > self._limits.stall and self._bytes < took * self._limits.rate:
            raise self._slow(f"got {self._bytes} bytes in {took:.0f} s")
        return message

    def _slow(self, what: str) -> Problem:
        return Problem(
            "too-slow",
            f"expected an upload of at least {self._limits.rate} bytes a second, {what}; send it again",
        )


def _byte_limit(scope: Scope, limits: Limits) -> int:
    return limits.clip if scope["path"].rstrip("/") == "/v1/clips" else limits.upload


async def _refuse(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()  # its `connect`
        if problem.kind == "unauthorized":
            # else a page cannot tell this from a server that is gone
            await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 1008, "reason": problem.body().title})
        return
    await problem.response()(scope, receive, send)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
