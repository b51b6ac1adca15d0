"""A sharded run: plan, make the shards that lack (here or on Ray), and sum up in the manifest."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from hashlib import file_digest
from pathlib import Path
from typing import Any, Final, Literal

from mien.batch.journal import journal_path
from mien.batch.part import Job, Part, Task
from mien.batch.plan import MANIFEST, Plan, Tasks, begin, clear, describe, resume
from mien.batch.pool import Pool
from mien.batch.run import Summary
from mien.batch.shard import Patience, Shard, fill, mend, read_shard, write_shard
from mien.batch.sources import Source
from mien.files import write_whole

SHARD: Final = 1000  # inputs
MOST_LOST: Final = 100  # inputs in a row that may not be fetched
_JOURNALS: Final = "_journal"
Tell = Callable[[Part], object]


@dataclass(frozen=True, slots=True)
class Settings:
    """How the shards are made; nothing of it changes a row."""

    workers: int = 1
    engine: Literal["local", "ray"] = "local"
    address: str | None = None  # of a Ray cluster; None: one is started here
    most_lost: int = MOST_LOST  # inputs in a row that may not be fetched before the run stops; 0: any number
    retry: bool = False  # read failed inputs of whole shards again, instead of making shards


def open_plan(
    folder: Path, sources: Iterable[Source], job: Job, *, network: str, shard: int, overwrite: bool
) -> Plan:
    """The plan in a folder, begun if there is none.

    Args:
        folder: of the run.
        sources: the inputs.
        job: what to do with each.
        network: sha256 of the classifier.
        shard: inputs a shard.
        overwrite: clear what an earlier run left, and begin anew.

    Raises:
        ConfigError: the folder was begun with other inputs or settings.
        OutputError: it cannot be written, or holds something else.
    """
    if overwrite:
        clear(folder)
    what = describe(job, network, shard)
    return (resume if (folder / MANIFEST).exists() else begin)(folder, sources, what)


def run_shards(
    plan: Plan,
    job: Job,
    settings: Settings,
    watch: Callable[[Summary, Part], None] = lambda _summary, _part: None,
) -> Summary:
    """Make the shards that lack, or read again what failed in those that are there; then the manifest.

    Ctrl-C ends it early; shards that are whole stay.

    Raises:
        Unreachable: too many inputs in a row could not be fetched.
        MienError: the networks cannot be loaded, a shard cannot be written, or Ray stopped.
    """
    missing = plan.missing()
    shards = _with_failures(plan, missing) if settings.retry else missing
    job = replace(job, journals=plan.folder / _JOURNALS)
    inputs = sum(len(read_shard(plan.part(s)).failed) if settings.retry else plan.count(s) for s in shards)
    summary, start = Summary(inputs), time.monotonic()

    def tell(part: Part) -> None:
        summary.add(part)
        summary.seconds = time.monotonic() - start
        watch(summary, part)

    try:
        if shards:
            _engine(settings)(plan, shards, job, settings, tell)
        if not (settings.retry and missing) and not (plan.manifest["whole"] and not shards):
            _finish(plan)
    except KeyboardInterrupt:
        summary.interrupted = True
    summary.seconds = time.monotonic() - start
    return summary


class Maker:
    """Worker processes that make shards; close it when done.

    Args:
        plan: the run.
        job: what to do with each input.
        settings: how.
        workers: processes.
        tell: told of every part.
    """

    def __init__(self, plan: Plan, job: Job, settings: Settings, *, workers: int, tell: Tell) -> None:
        self._plan, self._retry, self._tell = plan, settings.retry, tell
        self._journals = job.journals
        self._patience = Patience(settings.most_lost)
        self._pool = Pool(replace(job, threads=1 if workers > 1 else job.threads), workers)

    def make(self, shards: Sequence[int]) -> None:
        """Make shards, in order; workers go on to the next while one is being finished."""
        tasks = _failed(self._plan, shards) if self._retry else Tasks(self._plan, shards)
        with closing(self._pool.run(tasks)) as read:
            parts = self._told(read)
            for shard in shards:
                path, whole = self._plan.part(shard), Shard()
                pieces = fill(parts, self._plan.count(shard), whole)
                write_shard(path, mend(path, parts, whole) if self._retry else pieces, whole)
                self._forget(shard)

    def close(self) -> None:
        """End the processes."""
        self._pool.close()

    def _told(self, parts: Iterator[Part]) -> Iterator[Part]:
        for part in parts:
            self._patience.watch(part)
            self._tell(part)
            yield part

    def _forget(self, shard: int) -> None:
        """Remove the journals of a whole shard's clips."""
        if self._journals is not None and self._journals.is_dir():
            for source in self._plan.sources(shard):
                if source.kind == "clip":
                    journal_path(self._journals, source.name).unlink(missing_ok=True)


def make_here(plan: Plan, shards: Sequence[int], job: Job, settings: Settings, tell: Tell) -> None:
    """Make shards with processes of this machine; always processes, so that no input can end the run."""
    with closing(Maker(plan, job, settings, workers=settings.workers, tell=tell)) as maker:
        maker.make(shards)


def failures(plan: Plan) -> int:
    """Inputs of all whole shards that failed."""
    shards = json.loads((plan.folder / MANIFEST).read_bytes()).get("shards", [])
    return sum(shard["failed"] for shard in shards)


def _engine(settings: Settings) -> Callable[[Plan, Sequence[int], Job, Settings, Tell], None]:
    if settings.engine == "local":
        return make_here
    from mien.batch.on_ray import make_on_ray

    return make_on_ray


def _with_failures(plan: Plan, missing: Iterable[int]) -> list[int]:
    without = set(missing)
    return [s for s in range(plan.shards) if s not in without and read_shard(plan.part(s)).failed]


def _failed(plan: Plan, shards: Iterable[int]) -> list[Task]:
    """The inputs of these shards that failed."""
    tasks: list[Task] = []
    for shard in shards:
        sources = plan.sources(shard)
        tasks += [Task(sources[failed.input]) for failed in read_shard(plan.part(shard)).failed]
    return tasks


def _finish(plan: Plan) -> None:
    """All shards are there: the manifest tells what each is, and what runs that died left goes."""
    manifest = {**plan.manifest, "whole": True, "shards": [_entry(plan, s) for s in range(plan.shards)]}
    write_whole(plan.folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    for left in plan.folder.glob(".part-*.part"):
        with suppress(OSError):
            left.unlink()
    shutil.rmtree(plan.folder / _JOURNALS, ignore_errors=True)


def _entry(plan: Plan, shard: int) -> dict[str, Any]:
    path, whole = plan.part(shard), read_shard(plan.part(shard))
    with path.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    return {"file": path.name, "inputs": whole.inputs, "rows": whole.rows, "failed": len(whole.failed),
            "sha256": digest}  # fmt: skip
