"""Counts what a run reads, for the sidecars beside its tables: see `results.sidecar`."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mien.batch.options import AnalyzeOptions, describe_run
from mien.batch.read import Counts, Result, Summary, Task
from mien.config import describe_machine, format_time
from mien.results.sidecar import describe_detector, write_sidecar
from mien.results.tables import printable
from mien.video.events import EventOptions


class RunRecord:
    """Counts the results of a run, input by input, as they come in the order of its tasks."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = tasks
        self._inputs: list[str] = []  # as JSON
        self._total = Counts()
        # of the input that is read
        self._counts = Counts()
        self._times: tuple[float, float] | None = None

    def add(self, result: Result) -> None:
        """Count a result in."""
        self._counts.add(result)
        for row in result.rows[:1]:  # a frame's rows have one time
            if isinstance(at := row["time"], float):
                first, last = self._times or (at, at)
                self._times = min(first, at), max(last, at)
        if result.last:
            self._end_input(result)

    def _end_input(self, result: Result) -> None:
        source = self._tasks[len(self._inputs)].source
        about: dict[str, Any] = {"name": printable(source.shown), "kind": source.kind, **result.file}
        about |= asdict(self._counts)
        if self._times is not None:
            about["first"], about["last"] = self._times
        if result.error:
            about["error"] = printable(result.error)
        self._inputs.append(json.dumps(about, ensure_ascii=False))
        self._total.combine(self._counts)
        self._counts, self._times = Counts(), None

    def write(self, options: AnalyzeOptions, network: dict[str, Any], summary: Summary) -> None:
        """Write the sidecar of each table of the run; the tables are complete.

        `network` is `describe_network` of what read the inputs.

        Raises:
            OutputError: one cannot be written.
        """
        what = describe_run(options, network["network"])
        what["settings"]["smooth"] = options.smooth if options.smooth is not None else self._usual_smoothing()
        if self._counts.frames:  # of an input that Ctrl-C cut short
            self._end_input(Result(""))
        record = {
            **what,
            "detector": {} if options.crops else describe_detector(),
            "model": network["model"],
            "counts": {"inputs": len(self._inputs), "failed": summary.failures, **asdict(self._total)},
            "interrupted": summary.interrupted,
            "left_out": dict(summary.left_out),
            "made": {
                "finished": format_time(time.time()),
                "seconds": round(summary.seconds, 3),
                **describe_machine(("numpy", "onnxruntime", "pillow", "av")),
            },
        }
        tables = {"frames": options.output, "events": options.events, "summary": options.summary}
        for holds, path in tables.items():
            if path is None:
                continue
            found = EventOptions(units=options.units and holds == "events")
            more = {} if holds == "frames" else {"events": asdict(found)}
            write_sidecar(Path(path), holds, record | more, self._inputs)

    def _usual_smoothing(self) -> float | None:
        """Seconds over which clips are smoothed, or if all inputs are live, these; None: both were read."""
        from mien.video.smooth import CAUSAL, TWO_SIDED

        live = {task.source.live for task in self._tasks if task.source.kind != "photo"}
        return None if len(live) == 2 else CAUSAL if True in live else TWO_SIDED
