"""What a sharded run is of, in its folder: the inputs in order, cut into shards, and the settings.

    _manifest.json      settings, version, network, number and hash of the inputs; at the end every shard
    _plan.jsonl         one input a line, in order
    _plan.offsets       where each shard begins in it: uint64, little-endian
    part-00000.parquet  the rows of a shard, there as soon as it is whole

Readers of Parquet folders pass over names with an underscore. Nothing here grows with the number of inputs
in memory: it is written while the inputs are found, and read shard by shard.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import lru_cache
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, Final, overload

import numpy as np

from mien import __version__
from mien.batch.held import Place
from mien.batch.part import Job, Task
from mien.batch.sources import Source
from mien.errors import ConfigError, OutputError
from mien.files import write_whole

MANIFEST, PLAN, OFFSETS = "_manifest.json", "_plan.jsonl", "_plan.offsets"
_PART: Final = re.compile(r"part-(\d{5,})\.parquet")
#: Settings that change no row; the network is told apart by its hash.
_FREE: Final = frozenset({"threads", "journals", "model"})


class Plan:
    """A sharded run in its folder.

    Args:
        folder: where the run's files are; `begin` and `resume` make and check them.

    Raises:
        OutputError: there is no whole plan.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
            self._offsets = np.fromfile(folder / OFFSETS, "<u8")  # (S,), S shards
        except (OSError, ValueError) as error:
            raise OutputError(
                f"expected the plan of a sharded run in {folder}, could not read it ({error}); give "
                "--overwrite to begin anew"
            ) from error
        self.size: int = self.manifest["shard"]  # inputs a shard; the last may have fewer
        self.inputs: int = self.manifest["inputs"]["count"]
        self.shards = len(self._offsets)

    def part(self, shard: int) -> Path:
        """The file of a shard; that it is there says that it is whole."""
        return self.folder / f"part-{shard:0{max(5, len(str(self.shards - 1)))}d}.parquet"

    def sources(self, shard: int) -> list[Source]:
        """The inputs of a shard."""
        with (self.folder / PLAN).open("rb") as lines:
            lines.seek(int(self._offsets[shard]))
            return [_source(line) for line in islice(lines, self.size)]

    def count(self, shard: int) -> int:
        """The number of inputs of a shard."""
        return min(self.size, self.inputs - shard * self.size)

    def missing(self) -> list[int]:
        """The shards that are still to be made."""
        found = (_PART.fullmatch(name) for name in os.listdir(self.folder))  # noqa: PTH208 - names
        whole = {int(match[1]) for match in found if match}
        return [shard for shard in range(self.shards) if shard not in whole]


class Tasks(Sequence[Task]):
    """The inputs of some shards of a plan, read from it as they are asked for."""

    def __init__(self, plan: Plan, shards: Sequence[int]) -> None:
        self._plan, self._shards = plan, shards  # ascending: only the plan's last shard may be short
        short = bool(shards) and shards[-1] == plan.shards - 1
        self._length = len(shards) * plan.size - (-plan.inputs % plan.size if short else 0)
        self._sources = lru_cache(maxsize=4)(plan.sources)

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, number: int) -> Task: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Task]: ...
    def __getitem__(self, number: int | slice) -> Task | Sequence[Task]:
        """The task of that number."""
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        if not 0 <= number < self._length:
            raise IndexError(number)
        shard, place = divmod(number, self._plan.size)
        return Task(self._sources(self._shards[shard])[place])


def begin(folder: Path, sources: Iterable[Source], what: dict[str, Any]) -> Plan:
    """Write the plan of a new run; the manifest comes last, and says that the plan is whole.

    Args:
        folder: made if it is not there.
        sources: the inputs.
        what: `describe`.

    Raises:
        OutputError: the folder holds another run's results, or cannot be written.
        ConfigError: there are no inputs, or one cannot be part of a sharded run.
    """
    if folder.is_dir() and any(_PART.fullmatch(path.name) for path in folder.iterdir()):
        raise OutputError(
            f"expected a new or empty folder, or one with a whole plan, {folder} has results without one; "
            "name another, or give --overwrite"
        )
    offsets, digest, count = [0], hashlib.sha256(), 0

    def write(file: Any) -> None:
        nonlocal count
        for line in map(_line, sources):
            if count and count % what["shard"] == 0:
                offsets.append(file.tell())
            file.write(line)
            digest.update(line)
            count += 1

    write_whole(folder / PLAN, write)
    if not count:
        raise ConfigError("expected inputs, got none; name a photo, a clip or a folder of them")
    write_whole(folder / OFFSETS, np.array(offsets, "<u8").tobytes())
    manifest = {**what, "inputs": {"count": count, "sha256": digest.hexdigest()}, "whole": False}
    write_whole(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    return Plan(folder)


def resume(folder: Path, sources: Iterable[Source], what: dict[str, Any]) -> Plan:
    """The plan of a run that was begun, if it is of the same inputs and settings.

    Raises:
        ConfigError: it is not; says what differs.
    """
    plan = Plan(folder)
    difference = _setting(plan.manifest, what) or _input(folder / PLAN, map(_line, sources))
    if difference:
        raise ConfigError(
            f"expected the inputs and settings with which {folder} was begun, {difference}; name another "
            "folder, or give --overwrite to begin anew"
        )
    return plan


def describe(job: Job, network: str, shard: int) -> dict[str, Any]:
    """What a run is of, besides its inputs: version, network (sha256), settings, inputs a shard."""
    settings = {key: value for key, value in asdict(job).items() if key not in _FREE}
    plain: dict[str, Any] = json.loads(json.dumps(settings, default=str))
    return {"mien": __version__, "network": network, "shard": shard, "settings": plain}


def clear(folder: Path) -> None:
    """Remove what an earlier run left; nothing else."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name in {MANIFEST, PLAN, OFFSETS} or _PART.fullmatch(path.name):
            path.unlink()


def _setting(then: dict[str, Any], now: dict[str, Any]) -> str:
    """The first setting that differs, in words; empty: none."""
    flat_then, flat_now = ({**one, **one["settings"]} for one in (then, now))
    for key in [*now["settings"], "shard", "network", "mien"]:
        if flat_then.get(key) != flat_now[key]:
            return f"{key} was {flat_then.get(key)!r} and is {flat_now[key]!r} now"
    return ""


def _input(plan: Path, lines: Iterable[bytes]) -> str:
    """The first input that differs, in words; empty: none."""
    with plan.open("rb") as before:
        for number, (then, now) in enumerate(zip_longest(before, lines)):
            if then != now:
                was, is_ = (_named(line) for line in (then, now))
                return f"input {number} was {was} and is {is_} now"
    return ""


def _named(line: bytes | None) -> str:
    if line is None:
        return "not there"
    source = _source(line)
    return f"{source.name!r}" + (f" ({source.error})" if source.error else "")


def _line(source: Source) -> bytes:
    if source.live:
        raise ConfigError(f"expected inputs that end, {source.shown} is live; give -o a file to write")
    return json.dumps({key: value for key, value in asdict(source).items() if value}).encode() + b"\n"


def _source(line: bytes) -> Source:
    fields = json.loads(line)
    if "held" in fields:
        fields["held"] = Place(**fields["held"])
    return Source(**fields)
