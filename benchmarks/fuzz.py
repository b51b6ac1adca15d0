"""Damaged pictures and clips through `mien analyze`: no crash, no hang, no unclear error.

Cases are drawn from a seed and their number, read a batch at a time by one command, and noted in a file, from
which a later run goes on. A batch in which the command hung, crashed or said what it should not is read again
case by case.

    python benchmarks/fuzz.py --cases 100000              # goes on where an earlier run stopped
    python benchmarks/fuzz.py --case 12345 --keep FOLDER  # one case again, its bytes kept in the folder

What counts as a finding: `crash` (no row, or an exit status other than 0 or 1), `hang`, `unclear` (an error
that does not say what was expected, or calls itself a bug), `loud` (a line on standard error that is not
Mien's), `wrong` (a row that is no reading). The command may hold 2 GB; asking for more is a finding too.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final

from fuzz_inputs import ENDINGS, case_bytes, case_kind
from mien.labels import EMOTIONS

BATCH: Final = 200  # cases read by one command
SECONDS: Final = 20.0  # a command may take, and 2 more per case
MEMORY: Final = 2_000_000_000  # bytes; 150 million pixels take 450 MB as RGB
FINDINGS: Final = ("crash", "hang", "unclear", "loud", "wrong")

Record = dict[str, Any]  # case, kind, how it went, and what was said


def main() -> None:
    """Run the cases that were not run yet, and print the table of all."""
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
    options = parser.parse_args()
    if options.case is not None:
        if options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
            (options.keep / name_of(options.case)).write_bytes(case_bytes(options.seed, options.case))
        print(json.dumps(run_cases(options.seed, [options.case]), indent=1))
        return
    options.log.parent.mkdir(parents=True, exist_ok=True)
    done = {record["case"] for record in read_log(options.log)}
    missing = (case for case in range(options.cases) if case not in done)
    with options.log.open("a") as log:
        while batch := list(islice(missing, BATCH)):
            for record in run_cases(options.seed, batch):
                log.write(json.dumps(record) + "\n")
                if record["how"] in FINDINGS:
                    print(f"case {record['case']} ({record['kind']}): {record['how']}: {record['text']}")
            log.flush()
    print(render(read_log(options.log)))


def name_of(case: int) -> str:
    """The file name of a case."""
    return f"case{case}{ENDINGS[case_kind(case)]}"


def run_cases(seed: int, cases: Sequence[int]) -> list[Record]:
    """The record of each case; one by one where the batch did not go as it should."""
    with tempfile.TemporaryDirectory(prefix="mien-fuzz-") as folder:
        for case in cases:
            Path(folder, name_of(case)).write_bytes(case_bytes(seed, case))
        code, said = analyze(Path(folder), SECONDS + 2 * len(cases))
        table = Path(folder, "rows.jsonl")
        rows = [json.loads(line) for line in table.read_text().splitlines()] if table.exists() else []
    records = [
        {"case": case, "kind": case_kind(case)}
        | judge(
            [row for row in rows if row["source"].endswith(name_of(case))],
            [line for line in said if name_of(case) in line],
        )
        for case in cases
    ]
    loud = [line for line in said if not line.startswith("mien: ")]
    if code in {0, 1} and not loud and not any(record["how"] == "crash" for record in records):
        return records
    if len(cases) > 1:
        return [record for case in cases for record in run_cases(seed, [case])]
    how = "hang" if code is None else "crash" if code not in {0, 1} else "loud" if loud else records[0]["how"]
    return [{**records[0], "how": how, "text": f"status {code}: {' | '.join(said[-5:])}"}]


def analyze(folder: Path, seconds: float) -> tuple[int | None, list[str]]:
    """Exit status of `mien analyze` (None: it was stopped after `seconds`) and its standard error."""
    command = [sys.executable, "-X", "faulthandler", "-W", "always", "-m", "mien", "analyze", "."]
    try:
        done = subprocess.run(
            [*command, "-o", "rows.jsonl", "--quiet"],
            cwd=folder,
            capture_output=True,
            timeout=seconds,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY)),
        )
    except subprocess.TimeoutExpired as stopped:
        return None, (stopped.stderr or b"").decode(errors="replace").splitlines()
    return done.returncode, done.stderr.decode(errors="replace").splitlines()


def judge(rows: Sequence[Record], said: Sequence[str]) -> dict[str, str]:
    """How a case went, by its rows and what was said of it."""
    errors = [line for line in said if line.startswith("mien: error: ")]
    found = [row for row in rows if row["success"]]
    wrong = [
        row
        for row in found
        if abs(sum(row[emotion] for emotion in EMOTIONS) - 1) > 1e-4 or min(row["width"], row["height"]) <= 0
    ]
    if not rows:
        return {"how": "crash", "text": "it has no row"}
    if wrong:
        return {"how": "wrong", "text": str(wrong[0])}
    if errors:
        clear = all("expected" in line and "bug in Mien" not in line for line in errors)
        return {"how": "refused" if clear else "unclear", "text": "; ".join(errors)}
    return {"how": "read", "text": ""}


def render(records: Iterable[Record]) -> str:
    """A Markdown table, one line per format."""
    counts: dict[str, Counter[str]] = {}
    for record in records:
        counts.setdefault(record["kind"], Counter())[record["how"]] += 1
    columns = ("read", "refused", *FINDINGS)
    lines = [f"| format | n | {' | '.join(columns)} |", f"|---|{'---:|' * (len(columns) + 1)}"]
    for kind, count in sorted(counts.items()):
        cells = " | ".join(f"{count[column]:,}" for column in columns)
        lines.append(f"| {kind} | {count.total():,} | {cells} |")
    return "\n".join([*lines, f"{sum(c.total() for c in counts.values()):,} in all"])


def read_log(log: Path) -> Iterator[Record]:
    """The records of a log; a line that a kill cut is left out."""
    for line in log.read_text().splitlines() if log.exists() else ():
        with suppress(json.JSONDecodeError):
            yield json.loads(line)


if __name__ == "__main__":
    main()
