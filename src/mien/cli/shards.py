"""`mien analyze -o DIR/`: a folder of Parquet shards, from which a run that was killed goes on."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import typer

from mien.cli.console import say
from mien.errors import OutputError

if TYPE_CHECKING:
    from mien.batch.part import Job
    from mien.batch.plan import Plan
    from mien.batch.run import Summary
    from mien.batch.sharded import Settings


@dataclass(frozen=True, slots=True)
class Shards:
    """The options that only a sharded run has; None: its default."""

    shard: int | None = None  # inputs
    max_lost: int | None = None  # inputs in a row
    engine: str = "local"
    address: str | None = None
    retry: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """The other options of a run."""

    folder: Path
    workers: int | None = None  # None: one a core
    overwrite: bool = False
    quiet: bool = False


def analyze_shards(arguments: Sequence[str], job: Job, options: Shards, run: Run) -> int:
    """Begin or go on with a sharded run; returns the exit status.

    Raises:
        MienError: the run cannot begin, or stopped.
    """
    from mien.batch import sharded
    from mien.batch.sources import iterate_sources
    from mien.cli.progress import choose_progress
    from mien.config import count_cores

    settings = sharded.Settings(
        workers=run.workers or count_cores(),
        engine=_engine(options),
        address=options.address,
        most_lost=sharded.MOST_LOST if options.max_lost is None else options.max_lost,
        retry=options.retry,
    )
    network = job.open().classifier.digest  # before anything is written: without networks there is no run
    if options.retry and (run.overwrite or not run.folder.is_dir()):
        raise OutputError(
            f"expected a run in {run.folder} whose failed inputs are to be read again, there is none"
        )
    sources = iterate_sources(arguments, stdin=sys.stdin.buffer)
    size = options.shard or sharded.SHARD
    plan = sharded.open_plan(run.folder, sources, job, network=network, shard=size, overwrite=run.overwrite)
    progress = choose_progress(plan.inputs, quiet=run.quiet, rows_on_terminal=False)
    try:
        summary = sharded.run_shards(plan, job, settings, progress.watch)
    finally:
        progress.close()
    return _end(plan, settings, summary, quiet=run.quiet)


def _engine(options: Shards) -> Literal["local", "ray"]:
    if options.engine not in {"local", "ray"}:
        raise typer.BadParameter(f"--engine: expected local or ray, got {options.engine!r}")
    if options.address is not None and options.engine != "ray":
        raise typer.BadParameter("expected --address with --engine ray alone; leave it out")
    return cast("Literal['local', 'ray']", options.engine)


def _end(plan: Plan, settings: Settings, summary: Summary, *, quiet: bool) -> int:
    from mien.batch.sharded import failures
    from mien.cli.progress import count, end_lines

    failed, missing = failures(plan), len(plan.missing())
    lines = end_lines(summary, str(plan.folder))
    if settings.retry and missing and not summary.interrupted:
        lines.append(f"mien: {count(missing, 'shard')} still lacking; start again without --retry")
    elif missing:
        lines.append(f"mien: {count(missing, 'shard')} still lacking; start again, and it goes on")
    elif failed:
        lines.append(
            f"mien: {failed:,} of all {count(plan.inputs, 'input')} failed; --retry reads them again"
        )
    if not quiet:
        for line in lines:
            say(line)
    return 130 if summary.interrupted else int(bool(failed))
