"""Clips: speed beside the peer `fer`, and memory by length.

    python benchmarks/video.py --media FOLDER [--only speed|memory] [--rounds 3]

Speed: `Analyzer.video` on every frame, with the detector asked for each, every fifth and every tenth, against
`fer`'s `Video.analyze` on the same clip in the same rounds; each subject in a process of its own, wall clock.
Memory: the most that `mien analyze CLIP -o rows.csv --events --pages` holds on 1, 3 and 10 minutes of one
clip shown again and again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import av

from jobs import Subject, Timing, peak_memory
from speed import HERE, alternate, describe_machine, find_peer

PEER = "fer, Video.analyze"  # as its README calls it: it writes every frame, drawn on, and a clip of them
CLIP = "WolfgangLanger_Pexels.mp4"


def main() -> None:
    """Measure and print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--media", type=Path, default=HERE.parent.parent / "shared" / "data" / "media")
    parser.add_argument("--only", choices=("speed", "memory"), action="append")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 3, 10], help="of the memory run")
    options = parser.parse_args()
    about = describe_machine()
    print(f"{about['processor']}, {about['cores']} cores, load {about['load']:.2f} at the start")
    for section in options.only or ("speed", "memory"):
        {"speed": measure_speed, "memory": measure_memory}[section](options)


def measure_speed(options: argparse.Namespace) -> None:
    """Frames a second and times real time, median over rounds, and the peer's time over ours."""
    clip = str(options.media / CLIP)
    with av.open(clip) as container:
        stream = container.streams.video[0]
        rate, count = float(stream.average_rate), stream.frames
    runs: dict[str, Callable[[int], Timing]] = {}
    with ExitStack() as stack:
        for every in (1, 5, 10):
            mien = stack.enter_context(Subject(HERE / "subject_mien.py", threads=1))
            runs[f"Mien, detection every {every}"] = lambda _, s=mien, n=every: s.do(
                "clip", path=clip, detect_every=n
            )
        if python := find_peer():
            fer = stack.enter_context(Subject(HERE / "peer_fer.py", threads=2, python=python))
            for name, pictures in ((PEER, True), (f"{PEER}, no pictures written", False)):
                runs[name] = lambda _, p=pictures: fer.do("clip", path=clip, pictures=p)
        times = alternate(runs, options.rounds)
    print(f"\n{CLIP}: {count} frames at {rate:.3f} a second\n")
    print("| subject | frames/s | x real time | CPU ms a frame | fer's time / ours | peak MB |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, took in times.items():
        assert "fer" in name or all(t.found == count for t in took), "every frame comes"
        speed = count / median(t.wall for t in took)
        peer = [p.wall / t.wall for p, t in zip(times.get(PEER, ()), took, strict=False)]
        ratio = f"{median(peer):.1f}" if peer and name != PEER else ""
        cpu, peak = 1e3 * median(t.cpu for t in took) / count, max(t.peak for t in took)
        print(f"| {name} | {speed:.1f} | {speed / rate:.1f} | {cpu:.1f} | {ratio} | {peak:.0f} |")


def measure_memory(options: argparse.Namespace) -> None:
    """Peak memory of the whole command by the length of the clip."""
    print("\n| minutes of 640 x 360 | frames | rows | peak MB | against the first |")
    print("|---:|---:|---:|---:|---:|")
    first = 0.0
    for minutes in options.minutes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            count = repeat_clip(options.media / CLIP, folder / "clip.mp4", 60 * minutes)
            out = folder / "rows.csv"
            command = [sys.executable, "-m", "mien", "analyze", str(folder / "clip.mp4"), "-o", str(out)]
            command += ["--quiet", "--detect-every", "5", "--events", str(folder / "events.csv")]
            peak = run_for_peak([*command, "--pages", str(folder / "pages")])
            rows = len(out.read_text().splitlines()) - 1
        first = first or peak
        growth = f"{100 * (peak / first - 1):+.1f} %"
        print(f"| {minutes:g} | {count} | {rows} | {peak:.0f} | {growth} |", flush=True)


def repeat_clip(source: Path, target: Path, seconds: float) -> int:
    """Write the clip's packets again and again until it is so long, undecoded; the number of frames."""
    with av.open(str(target), "w") as out:
        made, shift, count = None, 0, 0
        while made is None or float(shift * made.time_base) < seconds:
            with av.open(str(source)) as container:
                stream = container.streams.video[0]
                made = made or out.add_stream_from_template(stream)
                step = round(1 / (stream.average_rate * stream.time_base))
                end = shift
                for packet in container.demux(stream):
                    if packet.dts is None:
                        continue
                    packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, made
                    end = max(end, packet.pts + step)
                    out.mux(packet)
                    count += 1
                made.time_base = stream.time_base if made.time_base is None else made.time_base
                shift = end
    return count


def run_for_peak(command: list[str]) -> float:
    """MB: the most that a command's process held, by Linux's VmHWM."""
    process = subprocess.Popen(command)
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, peak_memory(process.pid))
        time.sleep(0.05)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command[2:5])} ended with {process.returncode}")
    return peak


if __name__ == "__main__":
    main()
