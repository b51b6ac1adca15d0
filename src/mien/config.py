"""Options to and from TOML, the provenance of a run, and the cores that it may use."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import zip_longest
from math import ceil
from pathlib import Path
from typing import Any, Final, TypeVar

from mien._version import __version__
from mien.errors import ConfigError
from mien.files import write_whole

T = TypeVar("T")
_CGROUPS: Final = Path("/sys/fs/cgroup")  # where Linux tells the limits of a container


def count_cores() -> int:
    """Cores that this process may use: those of its affinity, and no more than its container's CPU limit."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _container_quota(_CGROUPS)
    return cores if quota is None else max(1, min(cores, ceil(quota)))


def _container_quota(root: Path) -> float | None:
    """The CPU limit of a control group in cores, of version 2 or else 1; None: there is none."""
    try:
        if (root / "cpu.max").is_file():  # "200000 100000" microseconds of each period, or "max 100000"
            quota, period = (root / "cpu.max").read_text().split()
        else:
            quota = (root / "cpu" / "cpu.cfs_quota_us").read_text()  # -1: no limit
            period = (root / "cpu" / "cpu.cfs_period_us").read_text()
        cores = float(quota) / float(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None
    return cores if cores > 0 else None


def to_toml(config: Any) -> str:
    """A dataclass of numbers, strings, booleans, tuples and dataclasses of such, as TOML."""
    plain, tables = [], []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            tables.append(f"\n[{field.name}]\n{to_toml(value)}")
        else:
            plain.append(f"{field.name} = {_value(value)}\n")
    return "".join(plain + tables)


def from_toml(kind: type[T], text: str) -> T:
    """Read a dataclass from TOML; what is absent keeps its default.

    Raises:
        ConfigError: the text is not TOML, or names a setting that `kind` does not have.
    """
    import tomllib

    try:
        return _build(kind, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"expected options as TOML, could not read them: {error}") from error


def provenance(**more: Any) -> dict[str, Any]:
    """What made a result: versions, machine, git commit and whether it was clean, and `more`."""
    return {
        "mien": __version__,
        "commit": _git_commit(),
        **describe_machine(("numpy", "onnxruntime", "torch")),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        **more,
    }


def describe_machine(packages: Sequence[str]) -> dict[str, Any]:
    """Versions of Python and of those of the packages that are installed, system and processor."""
    import platform

    return {
        "python": platform.python_version(),
        "packages": {name: v for name in packages if (v := _version(name))},
        "machine": f"{platform.system()} {platform.machine()}",
    }


def format_time(seconds: float) -> str:
    """A time since 1970 as ISO 8601 of UTC.

    >>> format_time(86400.5)
    '1970-01-02T00:00:00Z'
    """
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _git_commit() -> str:
    """The commit that this package stands at, with `+dirty` if files differ; empty outside git."""
    import subprocess

    command = ["git", "describe", "--always", "--dirty=+dirty", "--abbrev=12", "--exclude=*"]
    folder = Path(__file__).parent
    try:
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return ""
    return run.stdout.strip()


def _version(package: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def claim_run(path: Path, text: str, comparable: Callable[[str], str] = str) -> None:
    """Write a run's settings to the file `path` of its folder, or check that those there are of the same run.

    `comparable` takes from such a text what must be the same, one thing per line.

    Raises:
        ConfigError: the folder holds a run with other settings; names the first that differs.
    """
    held = path.read_text(encoding="utf-8") if path.is_file() else ""
    if not held.strip():  # absent, or empty since a disk was full
        write_whole(path, text)
        return
    there, now = comparable(held).splitlines(), comparable(text).splitlines()
    if there == now:
        return
    pairs = zip_longest(there, now, fillvalue="nothing")
    first, second = next((a, b) for a, b in pairs if a != b)
    raise ConfigError(
        f"{path.parent}: holds a run with other settings or data: `{first}` there, `{second}` now; "
        "give another --out or remove it"
    )


def _value(value: Any) -> str:
    if isinstance(value, bool | int | float | str):
        return json.dumps(value)  # the same in TOML for these
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    raise ConfigError(f"expected a number, a string, a boolean or a list of them, got {type(value).__name__}")


def _build(kind: type[T], raw: Mapping[str, Any]) -> T:
    known = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(raw) - set(known))
    if unknown:
        raise ConfigError(f"settings: expected some of {', '.join(known)}, got {', '.join(unknown)}")
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in raw.items()}
    for name, value in values.items():
        if isinstance(value, dict):
            values[name] = _build(type(getattr(kind(), name)), value)
    return kind(**values)
