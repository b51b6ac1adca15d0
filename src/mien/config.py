"""Records to and from JSON and TOML, the provenance of a run, and the cores that it may use."""

from __future__ import annotations

import json
import os
import sys
import types
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import zip_longest
from math import ceil
from pathlib import Path
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

from mien._version import __version__
from mien.errors import ConfigError
from mien.files import write_whole

T = TypeVar("T")
DETECT_EVERY: Final = 10  # frames of a clip between two that are searched for faces, unless told otherwise
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


def to_plain(value: Any) -> Any:
    """A record, or what is in one, as what JSON can hold; fields that have their default are left out."""
    if is_dataclass(value):
        held = ((field, getattr(value, field.name)) for field in fields(value))
        return {field.name: to_plain(one) for field, one in held if one is not field.default}
    if isinstance(value, list | tuple):
        return [to_plain(one) for one in value]
    if hasattr(value, "tolist"):  # an array or a number of NumPy's; float32 is held exactly
        return value.tolist()
    return value


def from_plain(kind: type[T], plain: dict[str, Any]) -> T:
    """The record that `to_plain` was given, by the types of its fields; what is absent has its default.

    >>> from mien.types import Frame
    >>> from_plain(Frame, {"source": "a.mp4", "index": 3, "time": 0.12, "faces": []}).time
    0.12

    Raises:
        ConfigError: it names a setting that `kind`, or a record in it, does not have.
    """
    hints = _type_hints(kind)  # type: ignore[arg-type]  # a class can be hashed
    if unknown := sorted(plain.keys() - hints.keys()):
        raise ConfigError(f"settings: expected some of {', '.join(hints)}, got {', '.join(unknown)}")
    return kind(**{name: _restore(hints[name], value) for name, value in plain.items()})


def _restore(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(hint, types.UnionType) or get_origin(hint) is Union:  # X | None
        hint = next(one for one in get_args(hint) if one is not types.NoneType)
    if isinstance(hint, type) and is_dataclass(hint):
        return from_plain(hint, value)
    made = get_origin(hint)
    if made in {tuple, list}:
        return made(_restore(get_args(hint)[0], one) for one in value)
    if isinstance(value, list):  # NDArray[np.float32] and the like
        import numpy as np

        return np.array(value, get_args(get_args(hint)[1])[0])
    return value


@cache
def _type_hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def to_toml(config: Any) -> str:
    """A dataclass of numbers, strings, booleans, tuples and dataclasses of such, as TOML."""
    plain, tables = [], []
    for field in fields(config):
        value = getattr(config, field.name)
        if is_dataclass(value):
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
        return from_plain(kind, tomllib.loads(text))
    except (tomllib.TOMLDecodeError, TypeError) as error:
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
