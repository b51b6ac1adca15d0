"""One clip read in a process of its own: started, listened to, ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

_PATIENCE: Final = 3.0  # seconds that it has to end by itself
_LATE: Final = 60.0  # seconds after its time in which it may say that it was too long


def alone() -> dict[str, str]:
    """The environment of a process in which NumPy starts no threads: it has nothing large to multiply."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class ClipProcess:
    """Runs `worker` on what it is asked; use it in a `with` block, at whose end it has ended.

    Args:
        asked: what `worker.read` takes; `work` are the seconds that it has.
    """

    def __init__(self, asked: dict[str, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mien.server.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=alone(),
        )
        with suppress(OSError):  # it died at once; its exit status says so
            self._in.write(json.dumps(asked) + "\n")
            self._in.flush()
        self._watch = threading.Timer(asked["work"] + _LATE, self.end)  # for one that says nothing any more
        self._watch.daemon = True
        self._watch.start()

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def lines(self) -> Iterator[dict[str, Any]]:
        """What it says, until it has said all."""
        for line in self._process.stdout or ():
            with suppress(ValueError):  # a library's own words
                said = json.loads(line)
                if isinstance(said, dict):
                    yield said

    def how_it_ended(self) -> str:
        """Its exit status or signal, once it has ended."""
        code = self._process.wait()
        return f"signal {-code}" if code < 0 else f"exit status {code}"

    def end(self) -> None:
        """End it, first politely; from any thread."""
        if self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watch.cancel()
        self.end()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()

    @property
    def _in(self) -> Any:
        return self._process.stdin
