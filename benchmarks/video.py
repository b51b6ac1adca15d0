"""Clips: speed beside the peer `fer`, memory by length, and whether every frame comes once with its own time.

    python benchmarks/video.py --media FOLDER [--only speed|memory|frames] [--rounds 3]

Speed: `Analyzer.video` on every frame, with the detector asked for each and for every fifth, against
`fer`'s `Video.analyze` on the same clip in the same rounds; each subject in a process of its own, wall clock.
Memory: the most that `mien analyze CLIP -o rows.csv --events --pages` holds on 1, 3 and 10 minutes of one
clip shown again and again. Frames: indices and times of `mien analyze`'s rows against what FFmpeg decodes.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from itertools import islice
from pathlib import Path
from statistics import median

import av

from jobs import Subject, Timing
from rows import alternate
from speed import HERE, find_peer, machine

PEER = "fer, Video.analyze"  # as its README calls it: it writes every frame, drawn on, and a clip of them
CLIP = "WolfgangLanger_Pexels.mp4"
MINUTES = (1, 3, 10)
MICROSECOND = 1e-6


def main() -> None:
    """Measure and print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--media", type=Path, default=HERE.parent.parent / "shared" / "data" / "media")
    parser.add_argument("--only", choices=("speed", "memory", "frames"), action="append")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    about = machine()
    print(f"{about['processor']}, {about['cores']} cores, load {about['load']:.2f} at the start")
    for section in options.only or ("frames", "speed", "memory"):
        with tempfile.TemporaryDirectory() as folder:
            {"speed": speed, "memory": memory, "frames": frames}[section](options, Path(folder))


def speed(options: argparse.Namespace, _folder: Path) -> None:
    """Frames a second and times real time, median over rounds, and the peer's time over ours."""
    clip = str(options.media / CLIP)
    peer = find_peer()
    with av.open(clip) as container:
        stream = container.streams.video[0]
        rate, count = float(stream.average_rate), stream.frames
    runs, subjects = {}, []
    for every in (1, 5, 10):
        subject = Subject(HERE / "subject_mien.py", threads=1)
        subjects.append(subject)
        runs[f"Mien, detection every {every}"] = lambda _, s=subject, n=every: s.do(
            "clip", path=clip, detect_every=n
        )
    if peer:
        subject = Subject(HERE / "peer_fer.py", threads=2, python=peer)
        subjects.append(subject)
        for name, pictures in ((PEER, True), (f"{PEER}, no pictures written", False)):
            runs[name] = lambda _, s=subject, p=pictures: s.do("clip", path=clip, pictures=p)
    times = alternate(runs, options.rounds)
    ours = times["Mien, detection every 1"]
    print(f"\n{CLIP}: {count} frames at {rate:.3f} a second\n")
    print("| subject | frames/s | x real time | CPU ms a frame | fer's time / ours | peak MB |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, found in times.items():
        print(_speed_row(name, found, ours, times, count, rate))
    for subject in subjects:
        subject.__exit__()


def _speed_row(
    name: str,
    found: list[Timing],
    ours: list[Timing],
    times: dict[str, list[Timing]],
    count: int,
    rate: float,
) -> str:
    wall = median(t.wall for t in found)
    peer = times.get(PEER)
    ratio = (
        median(p.wall / o.wall for p, o in zip(peer, found, strict=True)) if peer and found is not peer else 0
    )
    assert found is not ours or all(t.found == count for t in found), "every frame comes"
    return (
        f"| {name} | {count / wall:.1f} | {count / wall / rate:.1f} "
        f"| {1e3 * median(t.cpu for t in found) / count:.1f} | {f'{ratio:.1f}' if ratio else ''} "
        f"| {max(t.peak for t in found):.0f} |"
    )


def memory(options: argparse.Namespace, folder: Path) -> None:
    """Peak memory of the whole command by the length of the clip."""
    print(
        "\n| minutes of 640 x 360 | frames | rows | peak MB | against the first |\n|---:|---:|---:|---:|---:|"
    )
    first = 0.0
    for minutes in MINUTES:
        clip = repeated(options.media / CLIP, folder / f"{minutes}.mp4", 60 * minutes)
        out = folder / f"{minutes}.csv"
        command = [sys.executable, "-m", "mien", "analyze", str(clip), "-o", str(out), "--quiet"]
        command += ["--detect-every", "5", "--events", str(folder / f"{minutes}-events.csv")]
        command += ["--pages", str(folder / f"{minutes}-pages")]
        peak = peak_of(command)
        first = first or peak
        with av.open(str(clip)) as container:
            count = container.streams.video[0].frames
        rows = len(out.read_text().splitlines()) - 1
        print(
            f"| {minutes} | {count} | {rows} | {peak:.0f} | {100 * (peak / first - 1):+.1f} % |", flush=True
        )


def repeated(source: Path, target: Path, seconds: float) -> Path:
    """The clip's packets again and again, their times going on, until it is so long; nothing is decoded."""
    with av.open(str(target), "w") as out:
        made, shift = None, 0
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
                made.time_base = stream.time_base if made.time_base is None else made.time_base
                shift = end
    return target


def peak_of(command: list[str]) -> float:
    """MB: the most that a command's process held, by Linux's VmHWM."""
    process = subprocess.Popen(command)
    peak = 0.0
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
            line = next((x for x in status.splitlines() if x.startswith("VmHWM")), "VmHWM: 0 kB")
            peak = max(peak, int(line.split()[1]) * 1024 / 1e6)
        except OSError:
            break
        time.sleep(0.05)
    if process.wait():
        raise RuntimeError(f"{' '.join(command[2:5])} ended with {process.returncode}")
    return peak


def frames(options: argparse.Namespace, folder: Path) -> None:
    """Whether each decoded frame has its row, with its time to the microsecond."""
    print("\n| clip | frames decoded | frames in the table | largest difference of a time, microseconds |")
    print("|---|---:|---:|---:|")
    clips = [p for p in sorted(options.media.iterdir()) if p.suffix in {".mp4", ".mov"}] + made(
        options, folder
    )
    for clip in clips:
        out = folder / "rows.csv"
        command = [
            sys.executable,
            "-m",
            "mien",
            "analyze",
            str(clip),
            "-o",
            str(out),
            "--quiet",
            "--overwrite",
        ]
        subprocess.run([*command, "--detect-every", "10"], check=False, capture_output=True)
        with out.open(newline="") as file:
            got = {int(row["frame"]): float(row["time"]) for row in csv.DictReader(file) if row["time"]}
        want = decoded(clip)
        worst = max((abs(got.get(i, 1e9) - t) for i, t in enumerate(want)), default=0.0)
        print(f"| {clip.name} | {len(want)} | {len(got)} | {1e6 * worst:.3f} |", flush=True)
        assert len(got) == len(want)
        assert worst < MICROSECOND


def decoded(clip: Path) -> list[float]:
    """Seconds of each frame that FFmpeg decodes, damaged packets left out."""
    times = []
    with av.open(str(clip)) as container:
        for packet in container.demux(container.streams.video[0]):
            try:
                times += [float(frame.pts * frame.time_base) for frame in packet.decode()]
            except av.FFmpegError:
                continue
    return times


def made(options: argparse.Namespace, folder: Path) -> list[Path]:
    """Clips of uneven rate, with B-frames, with an offset start, cut short and damaged."""
    with av.open(str(options.media / CLIP)) as container:
        pictures = [f.to_ndarray(format="rgb24") for f in islice(container.decode(video=0), 48)]
    uneven = [0, 40, 200, 240, 1000, 1033, *(1100 + 37 * i + i % 3 for i in range(42))]
    steady = [1001 * i // 30 for i in range(48)]  # 29.97 a second, in milliseconds
    clips = [
        write(folder / "uneven.mp4", pictures, uneven),
        write(folder / "b-frames-29.97.mkv", pictures, steady, bf="3"),
        write(folder / "offset.mp4", pictures, [5000 + t for t in steady]),
        write(folder / "offset.ts", pictures, [5000 + t for t in steady]),
    ]
    whole = write(folder / "whole.ts", pictures, steady).read_bytes()
    (folder / "cut.ts").write_bytes(whole[: len(whole) * 2 // 3])
    damaged = bytearray(whole)
    for place in range(len(whole) // 3, len(whole) // 2, 997):
        damaged[place] ^= 0xFF
    (folder / "damaged.ts").write_bytes(bytes(damaged))
    return [*clips, folder / "cut.ts", folder / "damaged.ts"]


def write(path: Path, pictures: list, times: list[int], *, bf: str = "0") -> Path:
    """Encode pictures at times in milliseconds."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", options={"bf": bf, "preset": "veryfast"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for pixels, pts in zip(pictures, times, strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = pts, Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


if __name__ == "__main__":
    main()
