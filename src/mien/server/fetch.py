"""Pictures by their address, from the hosts that the server may ask, and from no private network by chance.

Whoever may send an address can make the server ask for it (server-side request forgery, CWE-918). So the
address must be of an allowed host; each name is looked up once, and the connection goes to what was found
and checked; redirects are checked alike; bytes and seconds are bounded.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from typing import Final
from urllib.parse import SplitResult, quote, urljoin, urlsplit

import h11

from mien.errors import shorten
from mien.server.answers import Problem, too_large

ANY_HOST: Final = "*"
_PORTS: Final = {"http": 80, "https": 443}
_REDIRECTS: Final = 3
_ADDRESSES: Final = 3  # of one host that are tried
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")  # an IPv4 address in its last four bytes
_HEADERS: Final = 32_000  # bytes
_SAFE: Final = "/?%:@!$&'()*+,;=~[]"  # of an address, what stays as it is
_CHECK: Final = "check the address, or send the picture itself"


class Fetcher:
    """Gets what is at an address.

    Args:
        hosts: names of hosts that may be asked, each on its standard ports, or as `name:port`; "*": every
            host on the public Internet. A named host may be in a private network, others may not.
        seconds: in which an answer must be complete.
    """

    def __init__(self, hosts: Sequence[str], seconds: float) -> None:
        self._hosts = {host.lower() for host in hosts}
        self._seconds = seconds

    async def get(self, address: str, most: int) -> bytes:
        """The bytes at an address, at most `most` of them.

        Raises:
            Problem: the address is not allowed, or does not give a file.
        """
        shown, at = shorten(address), address
        try:
            async with asyncio.timeout(self._seconds):
                for _ in range(_REDIRECTS + 1):
                    found = await self._request(at, shown, most)
                    if isinstance(found, bytes):
                        return found
                    at = urljoin(at, found)
        except TimeoutError:
            why = f"expected the picture at {shown} within {self._seconds:g} s, it took longer"
            raise Problem("unreadable", f"{why}; {_CHECK}") from None
        except (OSError, h11.ProtocolError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise Problem("unreadable", f"expected a picture at {shown}, got: {reason}; {_CHECK}") from error
        raise Problem("unreadable", f"expected a picture at {shown}, got more than {_REDIRECTS} redirects")

    async def _request(self, address: str, shown: str, most: int) -> bytes | str:
        """One request: the bytes of its answer, or where it points to."""
        parts, host, port, named = self._check(address)
        reader, writer = await self._connect(parts, host, port, named=named)
        try:
            client = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEADERS)
            query = f"?{parts.query}" if parts.query else ""
            target = quote(f"{parts.path or '/'}{query}", safe=_SAFE)
            name = f"[{host}]" if ":" in host else host
            headers = [
                ("Host", name if port == _PORTS[parts.scheme] else f"{name}:{port}"),
                ("User-Agent", "mien"), ("Accept", "image/*"), ("Connection", "close"),
            ]  # fmt: skip
            request = h11.Request(method="GET", target=target, headers=headers)
            for message in (request, h11.EndOfMessage()):
                writer.write(client.send(message) or b"")
            body = bytearray()
            while True:
                event = client.next_event()
                if event is h11.NEED_DATA:
                    client.receive_data(await reader.read(65_536))
                elif isinstance(event, h11.Response):
                    if location := _follow(event):
                        return location
                    if event.status_code != 200:
                        why = f"expected a picture at {shown}, the answer there was {event.status_code}"
                        raise Problem("unreadable", f"{why}; {_CHECK}")
                elif isinstance(event, h11.Data):
                    body += event.data
                    if len(body) > most:
                        raise too_large(most)
                elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
                    return bytes(body)
        finally:
            writer.close()

    def _check(self, address: str) -> tuple[SplitResult, str, int, bool]:
        """The parts of an address, its host and port, and whether the host is one that is named."""
        try:
            parts = urlsplit(address)
            host = (parts.hostname or "").encode("idna").decode()
            port = parts.port or _PORTS[parts.scheme]
        except (ValueError, LookupError):
            host, port = "", 0
        if not host or parts.username is not None:
            why = f"expected an address http(s)://HOST/..., got {shorten(address)!r}; {_CHECK}"
            raise Problem("bad-request", why)
        standard = port in _PORTS.values()
        named = f"{host}:{port}" in self._hosts or (standard and host in self._hosts)
        if not named and not (standard and ANY_HOST in self._hosts):
            where = host if standard else f"{host}:{port}"
            raise Problem(
                "forbidden-address",
                f"expected an address from which this server may fetch, got one at {where}; send the picture "
                f"itself, or start the server with --fetch {where}",
            )
        return parts, host, port, named

    async def _connect(
        self, parts: SplitResult, host: str, port: int, *, named: bool
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to one of the addresses that a host has."""
        infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        found = list(dict.fromkeys(str(info[4][0]) for info in infos))[:_ADDRESSES]
        if not named and not all(map(is_public, found)):
            why = f"expected an address on the public Internet, {host} is on a private network"
            raise Problem("forbidden-address", f"{why}; send the picture itself")
        tls = self._context if parts.scheme == "https" else None
        name = host if tls else None
        for one in found[:-1]:
            with suppress(OSError):
                return await asyncio.open_connection(one, port, ssl=tls, server_hostname=name)
        return await asyncio.open_connection(found[-1], port, ssl=tls, server_hostname=name)

    @cached_property
    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context()


def _follow(answer: h11.Response) -> str:
    """Where an answer points to; "" where it does not."""
    if answer.status_code not in {301, 302, 303, 307, 308}:
        return ""
    return next((value.decode("latin-1") for name, value in answer.headers if name == b"location"), "")


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public Internet, and holds none that is not."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if ip.teredo is not None or (inner is not None and not is_public(str(inner))):
            return False
    return ip.is_global and not ip.is_multicast
