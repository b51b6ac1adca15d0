"""Timed jobs in processes of their own: the benchmark asks, a subject answers, one line of JSON each.

A subject keeps its networks loaded between jobs, so that subjects can take turns on the same pictures;
what it prepares for a job (decoding, say) is not timed. Standard library only: the peer's interpreter
runs this file too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Prepares a job from its arguments and gives what is to be timed; that may return a number of finds.
Prepare = Callable[..., Callable[[], Any]]


@dataclass(frozen=True)
class Timing:
    """One timed run."""

    cpu: float  # seconds of the process, all its threads
    wall: float  # seconds
    peak: float = 0.0  # MB: the most memory that the process ever held
    found: Any = None  # what the job gives: faces counted, or their boxes


class Subject:
    """A process that does jobs: `script` run by `python`, with so many threads in its libraries."""

    def __init__(self, script: Path, *arguments: str, threads: int = 1, python: str = sys.executable) -> None:
        variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3"}
        env = {**os.environ, **dict.fromkeys(variables, str(threads)), **quiet}
        self._process = subprocess.Popen(
            [python, str(script), *arguments, "--threads", str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env,
        )  # fmt: skip
        hello = self._read()
        self.about: dict[str, Any] = hello["about"]

    def do(self, job: str, **arguments: Any) -> Timing:
        """Have a job done and timed."""
        self._process.stdin.write(json.dumps({"job": job, "arguments": arguments}) + "\n")
        self._process.stdin.flush()
        return Timing(**self._read())

    def __enter__(self) -> Subject:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # its standard input ends, and it with that

    def _read(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            error = self._process.communicate()[1].strip().splitlines()[-8:]
            raise RuntimeError(f"{Path(self._process.args[1]).name} ended: {' | '.join(error)}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{Path(self._process.args[1]).name}: {answer['error']}")
        return answer


def answer(jobs: Mapping[str, Prepare], about: Mapping[str, Any]) -> None:
    """The subject's side: do jobs from standard input until it ends."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what libraries print is no answer
    os.dup2(1, 2)  # and a full pipe would block them
    _say(out, {"about": about})
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            _say(out, _timed(jobs[asked["job"]](**asked["arguments"])))
        except Exception as error:  # whatever it is, the benchmark is to hear of it
            _say(out, {"error": f"{asked['job']}: {type(error).__name__}: {error}"})
            raise


def _timed(run: Callable[[], Any]) -> dict[str, Any]:
    cpu, wall = time.process_time(), time.perf_counter()
    found = run()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {"cpu": cpu, "wall": wall, "peak": peak_memory(), "found": found}


def run_fresh(command: list[str], **env: str) -> Timing:
    """Time a command from start to end, its children with it."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command, env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    error = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{Path(command[0]).name} {' '.join(command[1:3])}: {error.strip()[-400:]}")
    return Timing(usage.ru_utime + usage.ru_stime, wall)


def peak_memory(process: int | str = "self") -> float:
    """MB: Linux's VmHWM, which, other than `ru_maxrss`, leaves out what the parent held at the fork.

    0 where there is no /proc, or the process has just ended.
    """
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM"))


def _say(out: Any, words: Mapping[str, Any]) -> None:
    out.write(json.dumps(words) + "\n")
    out.flush()
