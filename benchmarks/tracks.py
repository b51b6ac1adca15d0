"""One number per person: switches, IDF1, fragments and MOTA on drawn clips of real faces, kind by kind.

    python benchmarks/tracks.py --seeds 2                              # report half, both detections
    python benchmarks/tracks.py --half tune --kinds crowd occluded --every 5

MOTA and switches as in CLEAR MOT (Bernardin and Stiefelhagen 2008), with a pair kept for as long as it
overlaps; IDF1 as in Ristani and others 2016: the truth's people and the tracker's numbers are paired once for
the whole clip, so that the boxes in common are most.

Mien's tracker stands beside itself without pixels (neither appearance nor cuts), a plain IoU matcher and,
where the package `trackers` is installed (`tracks.txt`), ByteTrack and OC-SORT, told the frame rate and to
number each face at once. Detections are those of Mien's detector for clips, and simulated ones that tremble,
miss and lie.

Legend: N people of the truth, M numbers of the tracker.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from mien.faces.detect import DetectorOptions, YuNet
from mien.types import Face, Image
from mien.video.track import Tracker
from track_scenes import KINDS, People, TrueFrame, simulate_detections

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SEEN: Final = 0.5  # share of a face in sight from which it counts; below it is nobody's fault to miss it
OVERLAP: Final = 0.5  # the least intersection over union of a face with its truth
Box = tuple[float, float, float, float]  # x, y, width, height
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
class Bench:
    """What is asked, and what came."""

    people: People
    detections: Sequence[str]
    every: int
    detector: YuNet = field(default_factory=lambda: YuNet(DetectorOptions.video()))

    def clip(self, kind: str, seed: int) -> dict[tuple[str, str], Score]:
        """The scores of one clip by (detections, tracker)."""
        scene = KINDS[kind](self.people, seed)
        fps = 1 / float(np.median(np.diff(scene.times))) / self.every
        trackers = {source: subjects(fps) for source in self.detections}
        steps: dict[tuple[str, str], list[Step]] = defaultdict(list)
        rng = np.random.default_rng(seed)
        for frame in list(scene.frames())[:: self.every]:
            for source in self.detections:
                faces = self._faces(source, frame, rng)
                for name, track in trackers[source].items():
                    found = track(faces, frame.time, frame.pixels)
                    steps[source, name].append(_step(frame, found))
        return {key: score(taken) for key, taken in steps.items()}

    def _faces(self, source: str, frame: TrueFrame, rng: np.random.Generator) -> list[Face]:
        if source == "simulated":
            return simulate_detections(frame, rng)
        return self.detector.detect(frame.pixels)


def _step(frame: TrueFrame, faces: Mapping[int, Box]) -> Step:
    return Step(
        {truth.number: truth.box for truth in frame.truth if truth.visible >= SEEN},
        faces,
        [truth.box for truth in frame.truth if truth.visible < SEEN],
    )


@dataclass(frozen=True, slots=True)
class Step:
    """One frame: boxes by the person's number, boxes by the tracker's, and truth that nobody has to find."""

    truth: Mapping[int, Box]
    faces: Mapping[int, Box]
    ignored: Sequence[Box] = ()  # a face that lies on one of these counts neither way


@dataclass(frozen=True, slots=True)
class Score:
    """Counts over one clip, or over several when added."""

    truth: int = 0  # boxes
    faces: int = 0
    hits: int = 0  # pairs of both, frame by frame
    same: int = 0  # pairs of both under the one pairing of people and numbers
    switches: int = 0  # a person's number is not the last one that they had
    fragments: int = 0  # a person is found again after some frames without
    clips: int = 0

    def __add__(self, other: Self) -> Score:
        return Score(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def mota(self) -> float:
        """1 less misses, false finds and switches as shares of the truth."""
        wrong = self.truth + self.faces - 2 * self.hits + self.switches
        return 1 - wrong / max(1, self.truth)

    @property
    def idf1(self) -> float:
        """The boxes that carry their person's number: harmonic mean of their shares of truth and of faces."""
        return 2 * self.same / max(1, self.truth + self.faces)


def overlap(a: Sequence[Box], b: Sequence[Box]) -> NDArray[np.float64]:
    """(N, M) intersection over union of N and M boxes."""
    one, two = np.reshape(a, (-1, 1, 4)).astype(float), np.reshape(b, (1, -1, 4)).astype(float)
    low = np.maximum(one[..., :2], two[..., :2])  # (N, M, 2)
    high = np.minimum(one[..., :2] + one[..., 2:], two[..., :2] + two[..., 2:])
    common = (high - low).clip(0).prod(-1)  # (N, M)
    ratio: NDArray[np.float64] = common / (one[..., 2:].prod(-1) + two[..., 2:].prod(-1) - common + 1e-9)
    return ratio


def score(steps: Sequence[Step]) -> Score:
    """The counts of one clip."""
    number: dict[int, int] = {}  # the last number that a person had
    missed: set[int] = set()  # who has been found before and is not now
    common: Counter[tuple[int, int]] = Counter()
    counts: Counter[str] = Counter()
    for step in map(_without_ignored, steps):
        people, found = list(step.truth), list(step.faces)
        ratio = overlap(list(step.truth.values()), list(step.faces.values()))
        common.update((people[i], found[j]) for i, j in np.argwhere(ratio >= OVERLAP))
        pairs = _pairs(ratio, [(i, found.index(number[p])) for i, p in enumerate(people)
                               if number.get(p) in step.faces])  # fmt: skip
        counts.update(truth=len(people), faces=len(found), hits=len(pairs))
        now = {people[i]: found[j] for i, j in pairs}
        counts["switches"] += sum(number.get(person, own) != own for person, own in now.items())
        counts["fragments"] += len(missed & now.keys())
        number |= now
        missed = (missed | {p for p in people if p in number}) - now.keys()
    return Score(**counts, same=_same(common), clips=1)


def _without_ignored(step: Step) -> Step:
    """The step without the faces that lie on ignored truth and on no other."""
    if not step.ignored or not step.faces:
        return step
    boxes = list(step.faces.values())
    free = overlap(list(step.ignored), boxes).max(0) < OVERLAP  # (M,)
    if step.truth:
        free |= overlap(list(step.truth.values()), boxes).max(0) >= OVERLAP
    return Step(step.truth, {n: box for (n, box), keep in zip(step.faces.items(), free, strict=True) if keep})


def _pairs(ratio: NDArray[np.float64], before: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Pairs of a frame: those of before that still overlap, then the best of the rest."""
    value = np.where(ratio >= OVERLAP, ratio, 0.0)
    for i, j in before:
        value[i, j] += 2.0 * len(value) * (value[i, j] > 0)
    return [(int(i), int(j)) for i, j in zip(*linear_sum_assignment(-value), strict=True) if value[i, j] > 0]


def _same(common: Mapping[tuple[int, int], int]) -> int:
    """Boxes in common under the best one-to-one pairing of people and numbers."""
    people, numbers = sorted({p for p, _ in common}), sorted({n for _, n in common})
    table = np.zeros((len(people), len(numbers)), np.int64)  # (N, M)
    for (person, number), count in common.items():
        table[people.index(person), numbers.index(number)] = count
    return int(table[linear_sum_assignment(-table)].sum())


def table(source: str, scores: Mapping[str, Mapping[str, Score]]) -> None:
    """Print one table: a row for each kind, and for each tracker switches, IDF1, fragments and MOTA."""
    names = list(next(iter(scores.values())))
    print(f"\n{source}: switches, IDF1, fragments, MOTA\n\n| kind | n | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 2) + "|")
    whole = {name: sum((row[name] for row in scores.values()), Score()) for name in names}
    for kind, row in [*scores.items(), ("all", whole)]:
        cells = [f"{s.switches}, {s.idf1:.3f}, {s.fragments}, {s.mota:.3f}" for s in row.values()]
        print(f"| {kind} | {row[names[0]].clips} | " + " | ".join(cells) + " |")


def main() -> None:
    """Print a table for each kind of detections."""
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
    parser.add_argument("--every", type=int, default=1, help="only every n-th frame")
    given = parser.parse_args()
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


if __name__ == "__main__":
    main()
