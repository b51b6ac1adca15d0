"""Damaged pictures and clips through `mien analyze`'s own worker: no crash, no hang, no unclear error.

Each case is read by a child process that is watched: a crash or a hang is counted and the run goes on. Cases
are drawn from a seed and their number, and noted in a file, from which a later run goes on:

    python benchmarks/fuzz.py --cases 100000              # goes on where an earlier run stopped
    python benchmarks/fuzz.py --case 12345 --keep FOLDER  # one case again, its bytes kept in the folder

What counts as a finding: `crash` (the process died), `hang` (over 10 s), `large` (over 2 GB), `unclear` (an
error that does not say what was expected, or calls itself a bug), `loud` (something wrote to stderr), `wrong`
(a row that is no reading). Linux alone: memory is read from /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from fuzz_inputs import ENDINGS, case_bytes, case_kind

LIMIT: Final = 10.0  # seconds a case
LARGEST: Final = 2000  # MB of the child's peak; 150 million pixels take 450 as RGB
FINDINGS: Final = ("crash", "hang", "large", "unclear", "loud", "wrong")
FRESH: Final = 20_000  # cases after which the child is replaced

Record = dict[str, Any]  # case, kind, how, and what is known of it


def main() -> None:
    """Run the cases that were not run yet, and print the table of all."""
    options = _options()
    if options.child:
        serve(options.seed)
        return
    if options.case is not None:
        if options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
            name = f"{options.case}{ENDINGS[case_kind(options.case)]}"
            (options.keep / name).write_bytes(case_bytes(options.seed, options.case))
        for record in watch(options.seed, [options.case]):
            print(json.dumps(record, indent=1))
        return
    options.log.parent.mkdir(parents=True, exist_ok=True)
    done = {record["case"] for record in _records(options.log)}
    with options.log.open("a") as log:
        for record in watch(options.seed, (n for n in range(options.cases) if n not in done)):
            log.write(json.dumps(record) + "\n")
            log.flush()
            if record["how"] in FINDINGS:
                print(
                    f"case {record['case']} ({record['kind']}): {record['how']}: {record['text']}", flush=True
                )
    print(table(_records(options.log)))


def serve(seed: int) -> None:
    """The child: read each case whose number comes in, and say how it went."""
    from mien.batch.options import AnalyzeOptions

    warnings.simplefilter("always")  # else only a place's first would be seen
    options = AnalyzeOptions(events=Path("events.csv"), threads=1)
    analyzer = options.load()
    print("ready", flush=True)
    with tempfile.TemporaryDirectory(prefix="mien-fuzz-") as folder:
        for line in sys.stdin:
            print(json.dumps(_read(analyzer, options, seed, int(line), Path(folder))), flush=True)


def _read(analyzer: Any, options: Any, seed: int, case: int, folder: Path) -> Record:
    """One case as a worker reads it."""
    from mien.batch.read import Task, read_input
    from mien.batch.sources import find_sources

    kind = case_kind(case)
    path = folder / f"case{ENDINGS[kind]}"
    path.write_bytes(case_bytes(seed, case))
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    loud = os.fstat(2).st_size
    began = time.monotonic()
    (source,) = find_sources([str(path)])
    parts = list(read_input(analyzer, Task(source), options))
    record: Record = {
        "case": case,
        "kind": kind,
        "seconds": round(time.monotonic() - began, 3),
        "mb": _peak(),
    }
    how, text = _judge(parts)
    if os.fstat(2).st_size > loud:
        how = "loud"
    elif record["mb"] > LARGEST:
        how = "large"
    return {**record, "how": how, "text": text.replace(str(path), f"case{ENDINGS[kind]}")}


def _judge(parts: list[Any]) -> tuple[str, str]:
    """How a case went by its parts, and what was said."""
    end = parts[-1]
    if [part.last for part in parts].count(True) != 1 or not end.last:
        return "wrong", f"{len(parts)} parts, the last one does not close the input"
    for row in (row for part in parts for row in part.rows):
        if row["success"] and not _is_reading(row):
            return "wrong", str(row)
    if end.error:
        clear = "expected" in end.error and "bug in Mien" not in end.error
        return ("refused" if clear else "unclear"), end.error
    return ("noted" if end.notes else "read"), "; ".join(end.notes)


def _is_reading(row: Record) -> bool:
    from mien.labels import EMOTIONS

    return (
        abs(sum(row[emotion] for emotion in EMOTIONS) - 1) < 1e-4 and row["width"] > 0 and row["height"] > 0
    )


def _peak() -> int:
    """MB of memory at the most since it was last set back."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1000


def watch(seed: int, cases: Iterable[int]) -> Iterator[Record]:
    """The record of each case; a child that dies or hangs is replaced."""
    child = None
    try:
        for count, case in enumerate(cases):
            if child is not None and count % FRESH == 0:
                child.end()
                child = None
            child = child or _Child(seed)
            record = child.ask(case)
            yield record
            if record["how"] in {"crash", "hang"}:
                child.end()
                child = None
    finally:
        if child is not None:
            child.end()


class _Child:
    """A process that reads cases; what it writes to stderr is kept."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        command = [sys.executable, __file__, "--child", "--seed", str(seed)]
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._errors}
        self._process = subprocess.Popen(command, text=True, bufsize=1, **pipes)
        self._ready = selectors.DefaultSelector()
        self._ready.register(self._process.stdout, selectors.EVENT_READ)
        if self._answer(120) != "ready\n":
            raise SystemExit(f"expected a child that is ready, it ended:\n{self._said()}")

    def ask(self, case: int) -> Record:
        """The record of one case."""
        kind = case_kind(case)
        began = time.monotonic()
        with suppress(BrokenPipeError):
            self._process.stdin.write(f"{case}\n")
        answer = self._answer(LIMIT)
        if answer:
            record: Record = json.loads(answer)
            if record["how"] == "loud":
                record["text"] = self._said()[-500:]
            return record
        how, text = "hang", f"no answer in {LIMIT:g} s"
        if answer is not None:
            how, text = "crash", f"ended with {self._process.wait()}: {self._said()[-500:]}"
        return {
            "case": case,
            "kind": kind,
            "how": how,
            "text": text,
            "seconds": round(time.monotonic() - began, 3),
        }

    def _answer(self, seconds: float) -> str | None:
        """The next line; empty: the process ended; None: no line in time."""
        return self._process.stdout.readline() if self._ready.select(seconds) else None

    def _said(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")

    def end(self) -> None:
        """Stop it."""
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()
        self._ready.close()
        self._errors.close()


def table(records: Iterable[Record]) -> str:
    """A Markdown table, one line a format."""
    counts: dict[str, Counter[str]] = {}
    slowest: dict[str, float] = {}
    largest: dict[str, int] = {}
    for record in records:
        kind = record["kind"]
        counts.setdefault(kind, Counter())[record["how"]] += 1
        slowest[kind] = max(slowest.get(kind, 0.0), record["seconds"])
        largest[kind] = max(largest.get(kind, 0), record.get("mb", 0))
    columns = ("read", "noted", "refused", *FINDINGS)
    lines = [
        f"| format | n | {' | '.join(columns)} | slowest s | most MB |",
        f"|---|{'---:|' * (len(columns) + 3)}",
    ]
    for kind, count in sorted(counts.items()):
        cells = " | ".join(f"{count[column]:,}" for column in columns)
        lines.append(f"| {kind} | {count.total():,} | {cells} | {slowest[kind]:.1f} | {largest[kind]:,} |")
    return "\n".join([*lines, f"{sum(c.total() for c in counts.values()):,} in all"])


def _records(log: Path) -> list[Record]:
    """What a log holds; a line that a kill cut is left out."""
    found = []
    for line in log.read_text().splitlines() if log.exists() else ():
        with suppress(json.JSONDecodeError):
            found.append(json.loads(line))
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--cases", type=int, default=100_000, help="run cases 0 to this (default %(default)s)"
    )
    parser.add_argument("--case", type=int, help="run this one alone")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for the bytes of --case")
    parser.add_argument("--log", type=Path, default=Path("runs/fuzz.jsonl"))
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
