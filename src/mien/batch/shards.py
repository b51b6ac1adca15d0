"""A folder of Parquet shards, from which a killed run resumes: plan, make what is missing, sum up.

    _manifest.json      version, network, settings, number and hash of the inputs; at the end every shard
    _plan.jsonl         one input per line, in order
    _plan.offsets       where each shard begins in it: uint64, little-endian
    part-00000.parquet  the rows of a shard, there once it is complete; its footer says what failed
    _journal/           clips that are read in part

Readers of Parquet folders skip names with an underscore. Nothing here grows with the number of inputs
in memory: the plan is written while the inputs are found, and read shard by shard.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from hashlib import file_digest, sha256
from itertools import islice, zip_longest
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from mien.batch.options import AnalyzeOptions, describe_run, first_difference
from mien.batch.pool import Pool
from mien.batch.read import Counts, Result, Summary, Task, choose_journal
from mien.batch.sources import Source
from mien.config import from_plain, to_plain
from mien.errors import ConfigError, MienError, OutputError
from mien.files import write_whole
from mien.results.rows import Row
from mien.results.sidecar import MANIFEST, describe_detector
from mien.results.tables import ParquetFile
from mien.video.smooth import TWO_SIDED

PLAN, OFFSETS, JOURNALS = "_plan.jsonl", "_plan.offsets", "_journal"
_SHARD_NAME: Final = re.compile(r"part-(\d{5,})\.parquet")
_KEY: Final = "mien"  # of the footer

Tell = Callable[[Result], object]
#: Makes shards of a plan, in order, and reports every result.
Make = Callable[["Plan", Sequence[int], Tell], None]


def analyze_into_shards(
    sources: Iterable[Source],
    options: AnalyzeOptions,
    network: dict[str, Any],
    make: Make,
    progress: Callable[[Summary, Result], object],
) -> Summary:
    """Make the shards that are missing, or read again what failed in those that are there; then the manifest.

    Ctrl-C ends it early; finished shards are kept. `network` is `describe_network` of what reads; `make` is
    `make_shards` here, `make_on_ray` on Ray; `progress` is called with the summary so far and every result.

    Raises:
        ConfigError: the folder was begun with other inputs or options.
        Unreachable: too many inputs in a row could not be fetched.
        MienError: a shard cannot be written, or Ray stopped.
    """
    folder = Path(str(options.output))
    if options.retry and (options.overwrite or not folder.is_dir()):
        raise OutputError(f"{folder} holds no run whose failed inputs could be read again; leave out --retry")
    plan = open_plan(folder, sources, options, network["network"])
    missing = plan.missing()
    shards = plan.with_failures() if options.retry else missing
    count = plan.count_failed if options.retry else plan.count
    summary, start = Summary(sum(map(count, shards))), time.monotonic()

    def tell(result: Result) -> None:
        summary.add(result)
        summary.seconds = time.monotonic() - start
        progress(summary, result)

    try:
        if shards:
            make(plan, shards, tell)
        if (shards or not plan.manifest["whole"]) and not (options.retry and missing):
            plan.finish(network)
    except KeyboardInterrupt:
        summary.interrupted = True
    summary.seconds = time.monotonic() - start
    summary.all_inputs, summary.missing_shards = plan.inputs, len(plan.missing())
    made = json.loads((folder / MANIFEST).read_bytes()).get("shards", [])
    summary.all_failures = sum(shard["failed"] for shard in made)
    return summary


class Plan:
    """The plan of a run: its inputs in order, cut into shards; `open_plan` makes and checks it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
            self._offsets = np.fromfile(folder / OFFSETS, "<u8")  # (S,), S shards
        except (OSError, ValueError) as error:
            raise OutputError(
                f"could not read the plan of the sharded run in {folder} ({error}); give --overwrite to "
                "start again"
            ) from error
        self.size: int = self.manifest["shard"]  # inputs per shard; the last may have fewer
        self.inputs: int = self.manifest["inputs"]["count"]
        self.shards = len(self._offsets)

    def path(self, shard: int) -> Path:
        """The file of a shard; it exists only once it is complete."""
        return self.folder / f"part-{shard:0{max(5, len(str(self.shards - 1)))}d}.parquet"

    def sources(self, shard: int) -> list[Source]:
        """The inputs of a shard."""
        with (self.folder / PLAN).open("rb") as lines:
            lines.seek(int(self._offsets[shard]))
            return [from_plain(Source, json.loads(line)) for line in islice(lines, self.size)]

    def tasks(self, shards: Iterable[int], *, failed: bool = False) -> Iterator[Task]:
        """The inputs of shards, or those of them that failed, with their journals."""
        for shard in shards:
            sources = self.sources(shard)
            if failed:
                sources = [sources[one.input] for one in read_shard(self.path(shard)).failed]
            for source in sources:
                yield Task(source, journal=choose_journal(source, self.folder / JOURNALS))

    def count(self, shard: int) -> int:
        """Inputs of a shard."""
        return min(self.size, self.inputs - shard * self.size)

    def count_failed(self, shard: int) -> int:
        """Inputs of a finished shard that failed."""
        return len(read_shard(self.path(shard)).failed)

    def missing(self) -> list[int]:
        """The shards that are still to be made."""
        found = (_SHARD_NAME.fullmatch(name) for name in os.listdir(self.folder))  # noqa: PTH208 - names
        whole = {int(match[1]) for match in found if match}
        return [shard for shard in range(self.shards) if shard not in whole]

    def with_failures(self) -> list[int]:
        """The finished shards that have inputs that failed."""
        missing = set(self.missing())
        return [s for s in range(self.shards) if s not in missing and self.count_failed(s)]

    def finish(self, network: dict[str, Any]) -> None:
        """All shards are there: describe them in the manifest, and remove what killed runs left behind.

        `network` is `describe_network` of what read them.
        """
        shards, counts, failed = [], Counts(), 0
        for shard in range(self.shards):
            whole = read_shard(self.path(shard))
            with self.path(shard).open("rb") as file:
                digest = file_digest(file, "sha256").hexdigest()
            counts.combine(whole.counts)
            failed += len(whole.failed)
            shards.append({"file": self.path(shard).name, "inputs": whole.inputs, "rows": whole.rows,
                           "failed": len(whole.failed), "sha256": digest})  # fmt: skip
        detector = {} if self.manifest["settings"]["crops"] else describe_detector()
        more = {"detector": detector, "model": network["model"],
                "counts": {"inputs": self.inputs, "failed": failed, **asdict(counts)}}  # fmt: skip
        _write_manifest(self.folder, {**self.manifest, "whole": True, **more, "shards": shards})
        for left in self.folder.glob(".*.part"):
            with suppress(OSError):
                left.unlink()
        shutil.rmtree(self.folder / JOURNALS, ignore_errors=True)


def _write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    write_whole(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")


def open_plan(folder: Path, sources: Iterable[Source], options: AnalyzeOptions, network: str) -> Plan:
    """The plan in a folder, created if missing; with `overwrite`, an earlier run is removed first."""
    what = describe_run(options, network, shard=options.shard or 1000)
    # a journal holds frames before smoothing, a shard after it
    what["settings"]["smooth"] = TWO_SIDED if options.smooth is None else options.smooth
    lines = map(_plan_line, sources)
    if options.overwrite and folder.is_dir():
        for path in folder.iterdir():
            if path.name in {MANIFEST, PLAN, OFFSETS} or _SHARD_NAME.fullmatch(path.name):
                path.unlink()
    if not (folder / MANIFEST).exists():
        return _begin_plan(folder, lines, what)
    plan = Plan(folder)
    difference = first_difference(plan.manifest, what) or _first_other_input(folder / PLAN, lines)
    if difference:
        raise ConfigError(
            f"{folder} was begun with other inputs or settings: {difference}; name another "
            "folder, or give --overwrite to start again"
        )
    return plan


def _begin_plan(folder: Path, lines: Iterable[bytes], what: dict[str, Any]) -> Plan:
    """Write the plan of a new run; the manifest comes last: where it is, the plan is complete."""
    if folder.is_dir() and any(_SHARD_NAME.fullmatch(path.name) for path in folder.iterdir()):
        raise OutputError(
            f"{folder} has results but no complete plan; name a new or empty folder, or give --overwrite"
        )
    offsets, digest, count = [0], sha256(), 0

    def write(file: IO[bytes]) -> None:
        nonlocal count
        for line in lines:
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
    _write_manifest(folder, manifest)
    return Plan(folder)


def _plan_line(source: Source) -> bytes:
    if source.live:
        raise ConfigError(f"{source.shown} is live, and shards are for inputs that end; give -o a file")
    return json.dumps(to_plain(source)).encode() + b"\n"


def _first_other_input(plan: Path, lines: Iterable[bytes]) -> str:
    """The first input that differs from the plan's, in words; empty: none."""

    def name(line: bytes | None) -> str:
        if line is None:
            return "not there"
        source = from_plain(Source, json.loads(line))
        return f"{source.name!r}" + (f" ({source.error})" if source.error else "")

    with plan.open("rb") as before:
        for number, (then, now) in enumerate(zip_longest(before, lines)):
            if then != now:
                return f"input {number} was {name(then)} and is {name(now)} now"
    return ""


@dataclass(frozen=True, slots=True)
class FailedInput:
    """An input of a shard that failed, and where its rows are."""

    input: int  # its number in the shard, from 0
    name: str
    error: str
    row: int  # its first
    rows: int
    counts: Counts = field(default_factory=Counts)  # of the frames that were read of it


@dataclass(slots=True)
class Shard:
    """The results of the inputs of a shard; the footer of its file holds the same."""

    inputs: int = 0
    rows: int = 0
    failed: list[FailedInput] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)

    def add(self, results: Iterator[Result], inputs: int) -> Iterator[list[Row]]:
        """Count in the results of the next inputs, until there are `inputs`, and pass their rows on."""
        first, counts = self.rows, Counts()  # of the next input
        while self.inputs < inputs:
            result = next(results)
            self.rows += len(result.rows)
            counts.add(result)
            if result.error:
                rows = self.rows - first
                self.failed.append(FailedInput(self.inputs, result.name, result.error, first, rows, counts))
            if result.last:
                self.counts.combine(counts)
                self.inputs, first, counts = self.inputs + 1, self.rows, Counts()
            yield result.rows

    def mend(self, path: Path, results: Iterator[Result]) -> Iterator[list[Row]]:
        """The rows of a shard that is there, those of inputs that failed replaced by new results."""
        import pyarrow.parquet as pq

        before, rows = read_shard(path), pq.read_table(path).to_pylist()
        self.counts = before.counts
        for failed in before.failed:
            self.counts.combine(failed.counts, -1)
        done = 0  # rows that have been passed on or replaced
        for failed in before.failed:
            kept = rows[done : failed.row]
            self.rows, self.inputs = self.rows + len(kept), failed.input
            yield kept
            yield from self.add(results, failed.input + 1)
            done = failed.row + failed.rows
        self.rows, self.inputs = self.rows + len(rows) - done, before.inputs
        yield rows[done:]


def read_shard(path: Path) -> Shard:
    """What a shard's footer says of it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return from_plain(Shard, json.loads(pq.read_metadata(path).metadata[_KEY.encode()]))
    except (OSError, pa.ArrowException, ConfigError, KeyError, TypeError, ValueError) as error:
        raise OutputError(
            f"could not read {path} as a shard that Mien wrote ({error}); remove it, and start again: it is "
            "made again"
        ) from error


class Unreachable(MienError):
    """So many inputs in a row could not be fetched that the disk or network must be unavailable."""


def stop_when_unreachable(results: Iterator[Result], most: int) -> Iterator[Result]:
    """The results, until `most` inputs in a row are out of reach; 0: any number may be."""
    in_a_row = 0
    for result in results:
        if result.last:
            in_a_row = in_a_row + 1 if result.out_of_reach else 0
        if most and in_a_row >= most:
            raise Unreachable(
                f"{in_a_row} inputs in a row could not be fetched, the last: {result.error}; their shard was "
                "not written: when disk and network are back, start again, and the run resumes (if the "
                "inputs are gone for good, give --max-lost 0)"
            )
        yield result


def make_shards(pool: Pool, options: AnalyzeOptions, plan: Plan, shards: Sequence[int], tell: Tell) -> None:
    """Make shards with worker processes, in order, so that no input can end the run.

    Workers continue with the next shard while one is being finished.
    """

    def report(result: Result) -> Result:
        tell(result)
        return result

    retry, most = options.retry, 100 if options.max_lost is None else options.max_lost
    with closing(pool.run(plan.tasks(shards, failed=retry))) as read:
        results = map(report, stop_when_unreachable(read, most))
        for shard in shards:
            whole, path = Shard(), plan.path(shard)
            rows = whole.mend(path, results) if retry else whole.add(results, plan.count(shard))
            # nothing is left on a full disk
            write_whole(path, partial(_write_shard, rows, whole, options.columns))
            for task in plan.tasks([shard]):
                if task.journal is not None:
                    task.journal.unlink(missing_ok=True)


class _ShardFile(ParquetFile):
    """A shard's file, with the shard's record in its footer."""

    def describe(self, shard: Shard) -> None:
        """Write it into the footer; call this before the file is closed."""
        self._file.add_key_value_metadata({_KEY: json.dumps(to_plain(shard))})


def _write_shard(pieces: Iterator[list[Row]], whole: Shard, columns: Sequence[str], file: Any) -> None:
    shard = _ShardFile(file, columns)
    try:
        for rows in pieces:
            shard.write(rows)
        shard.describe(whole)
    finally:
        shard.close()
