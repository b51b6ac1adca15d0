"""The options of the server, with defaults that are safe on one machine."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from mien.config import count_cores
from mien.errors import ConfigError

MEGA: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that one request, or all of them together, may use."""

    upload: int = 100 * MEGA  # bytes of a request with photos
    clip: int = 2_000 * MEGA  # bytes of a request with a clip
    files: int = 500  # photos in one request
    answer: int = 200 * MEGA  # bytes of the JSON that answers one request
    pixels: int = 50 * MEGA  # of a photo, or of a frame of a clip
    faces: int = 200  # in one picture; the largest are kept
    requests: int = 128  # with photos, at one time
    clip_seconds: float = 7200.0  # length of a clip, by its time stamps
    clip_frames: int = 500_000  # read from one clip
    job_seconds: float = 14_400.0  # of work on one clip
    jobs: int = 1  # clips read at one time
    queue: int = 20  # clips that wait
    disk: int = 20_000 * MEGA  # bytes of uploads and results together
    stall: float = 15.0  # seconds without a byte of an upload
    rate: int = 10_000  # bytes per second that an upload must reach once it has taken longer than `stall`
    fetch: int = 30 * MEGA  # bytes of a photo that is fetched by its address
    fetch_seconds: float = 20.0  # until it must be there
    live: int = 8  # cameras at one time
    live_frame: int = 8 * MEGA  # bytes of a live frame
    live_pixels: int = 9 * MEGA
    streams: int = 64  # clients that follow the events of jobs at one time


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How a server is run.

    Raises:
        ConfigError: an address that others can reach, without a token; or a number out of range.
    """

    host: str = "127.0.0.1"
    port: int = 8000  # 0: any free port
    workers: int | None = None  # threads that read photos; None: one per core
    model: Path | None = None
    providers: tuple[str, ...] = ()  # of ONNX Runtime; (): the processor
    keep: Path | None = None  # folder where jobs are kept; None: nothing is kept
    forget_after: float = 3600.0  # seconds until the results of a finished job go, where nothing is kept
    token: str | None = field(default=None, repr=False)
    auth: bool = True  # False: no token is needed, whoever can reach the address
    names: tuple[str, ...] = ()  # further host names of this server
    fetch: tuple[str, ...] = ()  # hosts from which photos are fetched by their address; "*": public ones
    cors: tuple[str, ...] = ()  # origins of other sites' pages that may ask; "*": any
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"--port: expected 0 to 65535, got {self.port}")
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"--workers: expected at least 1, got {self.workers}")
        if self.token is not None and (len(self.token) < 8 or not self.token.isascii()):
            raise ConfigError("--token: expected at least 8 ASCII characters; use a long random one")
        if self.auth and not self.token and not is_loopback(self.host):
            raise ConfigError(
                f"--host {self.host}: others can reach this address; give a --token that they must know, "
                "or --no-auth if everyone who can reach it may use it"
            )

        for origin in self.cors:
            parts = urlsplit(origin)
            if origin not in {"*", f"{parts.scheme}://{parts.netloc}"}:
                raise ConfigError(f"--cors: expected an origin as https://example.org, or *, got {origin!r}")
        if "*" in self.cors and self.auth and not self.token:
            raise ConfigError(
                "--cors *: any page in a browser on this machine could ask this server; give a --token that "
                "it must know, or --no-auth if every page may ask"
            )

    @property
    def threads(self) -> int:
        """Threads that read photos."""
        return self.workers or count_cores()

    @property
    def guarded(self) -> bool:
        """Whether a token is needed."""
        return self.auth and bool(self.token)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
