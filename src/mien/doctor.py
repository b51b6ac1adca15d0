"""What is installed, what runs the networks, and how fast: for choosing a machine, and for bug reports."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from importlib import metadata
from itertools import repeat
from typing import Final, cast

import numpy as np

from mien._version import __version__
from mien.analyzer import load
from mien.config import count_cores, describe_machine
from mien.data.toy import ToySettings, draw_toy
from mien.errors import MienError
from mien.faces.network import CPU, import_runtime
from mien.models import DEFAULT
from mien.types import Frame

_SECONDS: Final = 0.6  # that each of the two measurements takes
_SIZE: Final = (480, 640)  # of the picture on which is measured, H and W
_FACE: Final = 240  # side of the drawn face in it


def examine(device: Sequence[str] = CPU) -> tuple[list[str], bool]:
    """Lines on this install and this machine, and whether it can read faces at all.

    It takes two seconds or so, reads no file of yours and sends nothing.

    Args:
        device: what is to run the networks, as `providers` of `mien.load`.
    """
    needed, extras = _find_packages()
    made = describe_machine(needed)
    lines = [
        f"mien        {__version__}" + ("" if needed else " (its code is here, but it is not installed)"),
        f"python      {made['python']} on {made['machine']}, {count_cores()} cores",
        f"needs       {_versions(needed, made['packages'])}",
    ]
    for extra, packages in extras.items():
        lines.append(f"{extra:<11} {_versions(packages, describe_machine(packages)['packages'])}")
    try:
        offered = ", ".join(import_runtime().get_available_providers())
        lines += [f"runtime     offers {offered}", *_measure(device)]
    except (MienError, ImportError) as error:
        return [*lines, f"broken      {error}"], False
    return lines, True


def _find_packages() -> tuple[list[str], dict[str, list[str]]]:
    """The packages that Mien needs, and those of each extra; both empty if it is not installed."""
    try:
        requirements = metadata.requires("mien") or []
    except metadata.PackageNotFoundError:
        return [], {}
    needed: list[str] = []
    extras: dict[str, list[str]] = defaultdict(list)
    for requirement in requirements:
        name = re.match(r"[\w.-]+", requirement)
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", requirement)
        if name is None or name[0] == "mien" or (extra and extra[1] in {"dev", "docs", "audit"}):
            continue
        (extras[extra[1]] if extra else needed).append(name[0])
    return needed, extras


def _versions(names: Sequence[str], found: dict[str, str]) -> str:
    return ", ".join(f"{name} {found.get(name, 'missing')}" for name in names)


def _measure(device: Sequence[str]) -> list[str]:
    """What runs the networks, and how long a photo and a frame of a clip take."""
    analyzer = load(providers=device)
    _, face = next(draw_toy(ToySettings(models=1, size=_FACE)))
    picture = np.full((*_SIZE, 3), 128, np.uint8)
    picture[120 : 120 + _FACE, 200 : 200 + _FACE] = face
    found = len(analyzer.frame(picture))
    frames = analyzer.video(repeat(picture), rate=25)
    with closing(cast("Generator[Frame]", frames)):
        read, followed = (_time(call) for call in (lambda: analyzer.frame(picture), lambda: next(frames)))
    return [
        f"network     {DEFAULT} {analyzer.classifier.digest[:12]}, run by {', '.join(device)}",
        f"speed       {1000 * read:.0f} ms a photo, {1000 * followed:.1f} ms a frame of a clip, each of "
        f"{_SIZE[1]} x {_SIZE[0]} with {found} face",
    ]


def _time(call: Callable[[], object]) -> float:
    """Seconds of a call, the mean of as many as there is time for, after some to warm up."""
    for _ in range(10):  # frames of clips come eight at a time
        call()
    calls, start = 0, time.perf_counter()
    while (taken := time.perf_counter() - start) < _SECONDS:
        call()
        calls += 1
    return taken / calls
