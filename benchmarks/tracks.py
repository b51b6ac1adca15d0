"""One number a person: switches, IDF1, fragments and MOTA on drawn clips of real faces, kind by kind.

    python benchmarks/tracks.py --seeds 2                              # report half, both detections
    python benchmarks/tracks.py --half tune --kinds crowd occluded --every 5
    python benchmarks/tracks.py --clip group.mp4 --sheet sheet.png     # a real clip, to look at

Mien's tracker stands beside itself without pixels (no looks, no cuts), a plain IoU matcher and, where the
package `trackers` is installed (`tracks.txt`), ByteTrack and OC-SORT, told the frame rate and to number each
face at once. Detections are those of Mien's detector for clips and simulated ones that tremble, miss and lie.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import thread_time
from typing import Any, Final

import numpy as np
from PIL import Image as Pil
from PIL import ImageDraw

from mien.faces.detect import DetectorOptions, YuNet
from mien.types import Face, Image
from mien.video.frames import Video
from mien.video.track import Tracker
from track_people import People
from track_scenes import KINDS
from track_scores import Box, Score, Step, overlap, score
from track_stage import Shot, simulated

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SEEN: Final = 0.5  # share of a face in sight from which it counts; below it is nobody's fault to miss it
#: Numbers the faces of the next frame: faces, seconds, pixels to boxes by number.
Track = Callable[[Sequence[Face], float, Image], dict[int, Box]]


def mien(*, pixels: bool = True) -> Track:
    """Mien's tracker, with or without what it sees of the frame."""
    tracker = Tracker()

    def track(faces: Sequence[Face], time: float, image: Image) -> dict[int, Box]:
        numbered = tracker.update(faces, time, image if pixels else None)
        return {face.track: face.box for face in numbered if face.track is not None}

    return track


def plain() -> Track:
    """The usual few lines: greedy by overlap of at least 0.3 with the last box, kept for a second."""
    kept: dict[int, tuple[Box, float]] = {}
    count = 0

    def track(faces: Sequence[Face], time: float, _: Image) -> dict[int, Box]:
        nonlocal count
        live = {number: box for number, (box, seen) in kept.items() if time - seen <= 1.0}
        ratio = overlap(list(live.values()), [face.box for face in faces])  # (N, M)
        given: dict[int, int] = {}  # face to number
        for i, j in sorted(np.argwhere(ratio >= 0.3).tolist(), key=lambda pair: -ratio[pair[0], pair[1]]):
            if j not in given and list(live)[i] not in given.values():
                given[j] = list(live)[i]
        for j, face in enumerate(faces):
            if j not in given:
                count += 1
                given[j] = count
            kept[given[j]] = (face.box, time)
        return {number: faces[j].box for j, number in given.items()}

    return track


def peer(kind: str, fps: float) -> Track:
    """A tracker of the package `trackers`; it does not use pixels."""
    import supervision
    import trackers

    tracker = getattr(trackers, kind)(frame_rate=fps, minimum_consecutive_frames=1)

    def track(faces: Sequence[Face], _: float, __: Image) -> dict[int, Box]:
        boxes = np.array([face.box for face in faces], np.float32).reshape(-1, 4)
        found = tracker.update(
            supervision.Detections(
                xyxy=np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1),
                confidence=np.array([face.score for face in faces], np.float32),
                class_id=np.zeros(len(faces), int),
            )
        )
        ids = [] if found.tracker_id is None else found.tracker_id
        return {
            int(n): (float(a), float(b), float(c - a), float(d - b))
            for n, (a, b, c, d) in zip(ids, found.xyxy, strict=True)
            if n >= 0
        }

    return track


def subjects(fps: float) -> dict[str, Track]:
    """New trackers for one clip, by name."""
    every: dict[str, Track] = {"Mien": mien(), "no pixels": mien(pixels=False), "IoU": plain()}
    with suppress(ImportError):
        every |= {name: peer(f"{name}Tracker", fps) for name in ("ByteTrack", "OCSORT")}
    return every


@dataclass
class Clock:
    """Processor seconds of one step."""

    seconds: float = 0.0
    calls: int = 0

    def __call__(self, call: Callable[..., Any], *given: Any) -> Any:
        """What the call gives; its time is added."""
        start = thread_time()
        result = call(*given)
        self.seconds += thread_time() - start
        self.calls += 1
        return result

    @property
    def mean(self) -> float:
        """Milliseconds a call."""
        return 1000 * self.seconds / max(1, self.calls)


@dataclass
class Bench:
    """What is asked, and what came."""

    people: People
    detections: Sequence[str]
    every: int
    detector: YuNet = field(default_factory=lambda: YuNet(DetectorOptions.video()))
    clocks: dict[str, Clock] = field(default_factory=lambda: defaultdict(Clock))

    def clip(self, kind: str, seed: int) -> dict[tuple[str, str], Score]:
        """The scores of one clip by (detections, tracker)."""
        scene = KINDS[kind](self.people, seed)
        fps = 1 / float(np.median(np.diff(scene.times))) / self.every
        trackers = {source: subjects(fps) for source in self.detections}
        steps: dict[tuple[str, str], list[Step]] = defaultdict(list)
        rng = np.random.default_rng(seed)
        for shot in list(scene.frames())[:: self.every]:
            for source in self.detections:
                faces = self._faces(source, shot, rng)
                for name, track in trackers[source].items():
                    found = self.clocks[name](track, faces, shot.time, shot.pixels)
                    steps[source, name].append(_step(shot, found))
        return {key: score(taken) for key, taken in steps.items()}

    def _faces(self, source: str, shot: Shot, rng: np.random.Generator) -> list[Face]:
        if source == "simulated":
            return simulated(shot, rng)
        faces: list[Face] = self.clocks["detector"](self.detector.detect, shot.pixels)
        return faces


def _step(shot: Shot, faces: Mapping[int, Box]) -> Step:
    return Step(
        {truth.number: truth.box for truth in shot.truth if truth.visible >= SEEN},
        faces,
        [truth.box for truth in shot.truth if truth.visible < SEEN],
    )


def table(source: str, scores: Mapping[str, Mapping[str, Score]]) -> None:
    """Print one table: a row for each kind, and for each tracker switches, IDF1, fragments and MOTA."""
    names = list(next(iter(scores.values())))
    print(f"\n{source}: switches, IDF1, fragments, MOTA\n\n| kind | n | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 2) + "|")
    whole = {name: sum((row[name] for row in scores.values()), Score()) for name in names}
    for kind, row in [*scores.items(), ("all", whole)]:
        cells = [f"{s.switches}, {s.idf1:.3f}, {s.fragments}, {s.mota:.3f}" for s in row.values()]
        print(f"| {kind} | {row[names[0]].clips} | " + " | ".join(cells) + " |")


def sheet(clip: Path, path: Path, number: int = 24) -> None:
    """Write so many frames of a real clip with the numbers in them, and print who was there for how long."""
    track, detector, seen = mien(), YuNet(DetectorOptions.video()), defaultdict(list)
    pictures: list[Pil.Image] = []
    for frame, found in _followed(clip, track, detector):
        for person in found:
            seen[person].append(frame.time)
        pictures.append(_drawn(frame.pixels, found))
    chosen = [pictures[i * len(pictures) // number] for i in range(number)]
    width, height = chosen[0].size
    whole = Pil.new("RGB", (6 * width, -(-number // 6) * height))
    for i, picture in enumerate(chosen):
        whole.paste(picture, (i % 6 * width, i // 6 * height))
    whole.save(path)
    for person, times in seen.items():
        print(f"{person}: {len(times)} frames, {times[0]:.2f} to {times[-1]:.2f} s")


def _followed(clip: Path, track: Track, detector: YuNet) -> Iterator[tuple[Any, dict[int, Box]]]:
    with Video(clip) as video:
        for frame in video:
            yield frame, track(detector.detect(frame.pixels), frame.time, frame.pixels)


def _drawn(pixels: Image, found: Mapping[int, Box]) -> Pil.Image:
    scale = 320 / pixels.shape[1]
    picture = Pil.fromarray(pixels).resize((320, round(pixels.shape[0] * scale)))
    pen = ImageDraw.Draw(picture)
    for person, (x, y, width, height) in found.items():
        box = [scale * v for v in (x, y, x + width, y + height)]
        pen.rectangle(box, outline="yellow", width=2)
        pen.text((box[0] + 3, box[1] + 1), str(person), fill="yellow", font_size=18)
    return picture


def main() -> None:
    """Tables of the kinds asked for, then times; or a sheet of a real clip."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder that holds photos.zip")
    parser.add_argument("--half", choices=("tune", "report"), default="report", help="which people and seeds")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--seeds", type=int, default=2, help="clips of each kind")
    parser.add_argument(
        "--detections", nargs="+", choices=("found", "simulated"), default=["found", "simulated"]
    )
    parser.add_argument("--every", type=int, default=1, help="only each so-manieth frame")
    parser.add_argument("--clip", type=Path, help="a real clip instead; needs --sheet")
    parser.add_argument("--sheet", type=Path, help="write the picture of its frames here")
    given = parser.parse_args()
    if given.clip:
        sheet(given.clip, given.sheet)
        return
    half = ("tune", "report").index(given.half)
    bench = Bench(People(given.data / "photos.zip", half), given.detections, given.every)
    scores: dict[str, dict[str, dict[str, Score]]] = {source: {} for source in given.detections}
    for kind in given.kinds:
        for seed in range(given.seeds):
            for (source, name), one in bench.clip(kind, 2 * seed + half).items():
                row = scores[source].setdefault(kind, {})
                row[name] = row.get(name, Score()) + one
    for source, rows in scores.items():
        table(f"{source}, {given.half} half, every {given.every}", rows)
    print("\nprocessor ms a frame: " + ", ".join(f"{name} {c.mean:.2f}" for name, c in bench.clocks.items()))


if __name__ == "__main__":
    main()
