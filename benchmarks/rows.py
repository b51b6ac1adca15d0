"""Rounds of alternating runs to medians, and medians to a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

from jobs import Timing

NOTES = """
Medians over rounds. per s and wall ms: by the wall clock, for one face, photo or run. CPU ms: of the process,
all its threads. time x: time over that of the section's first row (CPU time of one thread, wall time of two),
median of the rounds' ratios. of GEMM: multiply-adds a second over those of 1024 x 1024 float32 products, the
faster of NumPy's and ONNX Runtime's in the same round. peak MB: the most memory the process ever held."""


@dataclass(frozen=True)
class Row:
    """One line of the result: medians over rounds."""

    section: str
    what: str
    threads: int
    n: int  # rounds
    per_second: float  # faces, photos or runs, by the wall clock
    cpu_ms: float  # of the process, for one of them
    beside: float  # median over rounds of its time over that of the section's first row
    share: float | None = None  # of the measured float32 GEMM rate
    peak_mb: float | None = None  # most memory that the process held so far
    found: str = ""  # faces found in so many pictures
    samples: tuple[tuple[float, float], ...] = ()  # (CPU, wall) seconds of one of them, round by round


def alternate(runs: Mapping[str, Callable[[int], Timing]], rounds: int) -> dict[str, list[Timing]]:
    """Every run once a round, in turns; every other round backwards."""
    times: dict[str, list[Timing]] = {name: [] for name in runs}
    for i in range(rounds):
        order = list(runs) if i % 2 == 0 else list(runs)[::-1]
        for name in order:
            times[name].append(runs[name](i))
    return times


def row(
    section: str, what: str, times: list[Timing], first: list[Timing], *, units: int, threads: int
) -> Row:
    """The medians of one run; `units` are the faces or photos of a round."""
    ratios = [clock(t, threads) / clock(f, threads) for t, f in zip(times, first, strict=True)]
    counted = [t.found for t in times if t.found is not None]
    return Row(
        section, what, threads, len(times),
        per_second=units / median(t.wall for t in times),
        cpu_ms=1e3 * median(t.cpu for t in times) / units,
        beside=median(ratios),
        peak_mb=max(t.peak for t in times) or None,
        found=f"{sum(counted)} in {units * len(counted)}" if counted else "",
        samples=tuple((t.cpu / units, t.wall / units) for t in times),
    )  # fmt: skip


def clock(timing: Timing, threads: int) -> float:
    """CPU seconds of one thread, which other processes hardly disturb; the wall's of more."""
    return timing.cpu if threads == 1 else timing.wall


def table(rows: list[Row]) -> str:
    """All rows for people, a section under its title."""
    lines: list[str] = []
    for i, r in enumerate(rows):
        if i == 0 or r.section != rows[i - 1].section:
            head = (
                "threads",
                "rounds",
                "per s",
                "wall ms",
                "CPU ms",
                "time x",
                "of GEMM",
                "peak MB",
                "faces found",
            )
            lines += ["", f"{r.section:40}" + "".join(f"{h:>9}" for h in head[:-1]) + f"  {head[-1]}"]
        share = f"{r.share:.0%}" if r.share is not None else ""
        peak = f"{r.peak_mb:.0f}" if r.peak_mb is not None else ""
        lines.append(
            f"  {r.what:38}{r.threads:9}{r.n:9}{r.per_second:9.4g}{1e3 / r.per_second:9.4g}{r.cpu_ms:9.4g}"
            f"{r.beside:9.2f}{share:>9}{peak:>9}  {r.found}"
        )
    return "\n".join(lines)
