"""Processes of Mien's own that start in a hundredth of a second instead of a second: forked, not begun anew.

They are forked from a process that has imported what they need, and are processes as any other: they can be
killed, have limits of their own, and die alone. How they are begun outside of tests is tried by the few tests
that start a whole program (`ServerProcess`, Ctrl-C, a script).
"""

from __future__ import annotations

import asyncio
import importlib
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from multiprocessing.reduction import DupFd
from typing import Any

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    ["mien.server.worker", "mien.batch.pool", "mien.analyzer", "mien.video.frames", "mien.results.page",
     "mien.results.draw", "mien.faces.yunet", "onnxruntime", "av", "jinja2", "pyarrow.parquet"]
)  # fmt: skip
_start = asyncio.create_subprocess_exec


class _End:
    """An end of a pipe that goes along with a process."""

    def __init__(self, file: int) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return _take, (DupFd(self.file),)


def _take(sent: Any) -> int:
    return sent.detach()


def _run(command: Sequence[str], env: Mapping[str, str], ends: Sequence[int]) -> None:
    """Be the process of `python -m MODULE ...`, whose `main` is called, or of `python -P -c CODE`."""
    for file, end in enumerate(ends):
        os.dup2(end, file)
        os.close(end)
    sys.stdin, sys.stdout = (open(file, mode, encoding="utf-8") for file, mode in ((0, "r"), (1, "w")))  # noqa: SIM115, PTH123
    os.environ.clear()
    os.environ.update(env)
    if command[1] == "-m":
        sys.argv = list(command[2:])
        importlib.import_module(command[2]).main()
    else:
        exec(command[3], {})  # noqa: S102 - it is our own


class WarmProcess:
    """What `subprocess.Popen` gives, as far as Mien uses it: pipes to and from it, its end by any thread."""

    def __init__(
        self, command: Sequence[str], *, env: Mapping[str, str], encoding: str | None = None, **_pipes: int
    ) -> None:
        read, feed = os.pipe()
        hear, write = os.pipe()
        ends = [_End(end) for end in (read, write, 2)]
        self._process = _FORKS.Process(target=_run, args=(command, dict(env), ends))
        self._process.start()
        os.close(read)
        os.close(write)
        self._poll = threading.Lock()
        self.pid = self._process.pid
        self.stdin = open(feed, "w" if encoding else "wb", encoding=encoding)  # noqa: SIM115, PTH123
        self.stdout = open(hear, "r" if encoding else "rb", encoding=encoding)  # noqa: SIM115, PTH123

    @property
    def returncode(self) -> int | None:
        with self._poll:  # it is told once
            return self._process.exitcode

    def wait(self, timeout: float = 1e9) -> int:
        end = time.monotonic() + timeout
        while (code := self.returncode) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("warm", timeout)
            time.sleep(0.003)
        return code

    def terminate(self) -> None:
        if self.returncode is None:
            self._process.terminate()

    def kill(self) -> None:
        if self.returncode is None:
            self._process.kill()


class _Probe:
    """What `asyncio.create_subprocess_exec` gives, as far as Mien uses it."""

    def __init__(self, process: WarmProcess) -> None:
        self._process, self.kill = process, process.kill

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    async def wait(self) -> int:
        return await asyncio.to_thread(self._process.wait)

    async def communicate(self) -> tuple[bytes, None]:
        self._process.stdin.close()
        with self._process.stdout as said:
            found = await asyncio.to_thread(said.read)
        await self.wait()
        return found, None


async def start_warm(*command: str, env: Mapping[str, str] | None = None, **pipes: Any) -> Any:
    """`asyncio.create_subprocess_exec`, warm where a module of Mien's is begun."""
    if command[1:2] != ("-m",):
        return await _start(*command, env=env, **pipes)
    return _Probe(await asyncio.to_thread(WarmProcess, command, env=env or os.environ))
