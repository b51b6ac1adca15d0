"""What smoothing over time buys: frames read right, steadiness, delay, and events found.

    python benchmarks/smoothing.py ferplus.zip [--media FOLDER] [--model MODEL.onnx]

Clips whose truth is known are made of FER+ valid: a neutral face and one that shows something take turns,
each held for 0.3 to 4 s, and every frame is shifted, turned, scaled, lit and made noisy as in a clip. The
length is chosen on one half of the faces and judged on the other. Real clips have no truth: there only the
changes of the label are counted. About two minutes on one core.

Legend: T frames of a made clip, K = 8 emotions, S pixels of a crop's side.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from mien.analyzer import load
from mien.data.arrays import load_images
from mien.data.fer import ferplus
from mien.evaluate import metrics
from mien.evaluate.metrics import majority
from mien.faces.network import Classifier
from mien.labels import EMOTIONS
from mien.types import Face, Frame, Image
from mien.video.events import Event, EventFinder, EventOptions
from mien.video.smooth import Causal, Smoother, TwoSided

FPS, LENGTH = 25, 10.0  # of a made clip: frames a second, seconds
HOLDS = (0.3, 4.0)  # seconds an expression is held, evenly on a logarithmic scale
LENGTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.8)  # seconds of smoothing tried
CHANGE = 5.0  # per cent of frames that one change a second is held to cost: as much as 0.05 s misread
KINDS = {"causal": Causal, "two-sided": TwoSided}
#: Standard deviations of what moves a frame: slowly (0.3 s), and from frame to frame.
MOVES = {"shift": (1.0, 0.5), "turn": (3.0, 1.0), "scale": (0.03, 0.01), "light": (0.08, 0.02)}
NOISE = 4.0  # gray levels
POINTS = np.zeros((5, 2), np.float32)

Doubles = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Hold:
    """One face held."""

    start: int  # frame
    end: int
    truth: int  # what most people saw
    read: int  # what the network reads from the still picture


@dataclass(frozen=True)
class Clip:
    """A made clip as the network reads it."""

    p: NDArray[np.float32]  # (T, K)
    truth: Labels  # (T,)
    holds: tuple[Hold, ...]


def make_clips(root: Path, classifier: Classifier, n: int) -> list[list[Clip]]:
    """Two halves of n clips each, no face in both."""
    corpus = ferplus(root, "valid")
    truth, images = majority(corpus.samples), load_images(corpus)
    known = np.flatnonzero(truth >= 0)
    read = np.full(len(truth), -1)
    read[known] = classifier(images[known]).argmax(axis=1)
    rng = np.random.default_rng(0)
    halves = np.split(rng.permutation(known), [len(known) // 2])
    return [[make_clip(half, (truth, read, images), classifier, rng) for _ in range(n)] for half in halves]


def make_clip(
    faces: Labels, known: tuple[Labels, Labels, Image], classifier: Classifier, rng: np.random.Generator
) -> Clip:
    """A clip of some of the faces, neutral and shown in turns."""
    truth, read, images = known
    neutral = faces[truth[faces] == 0]
    shown = faces[truth[faces] != 0]
    total, frames, holds = int(LENGTH * FPS), [], []
    turn = int(rng.integers(2))
    while len(frames) < total:
        face = int(rng.choice((neutral, shown)[turn % 2]))
        turn += 1
        length = round(FPS * np.exp(rng.uniform(*np.log(HOLDS))))
        end = min(total, len(frames) + length)
        holds.append(Hold(len(frames), end, int(truth[face]), int(read[face])))
        frames += [images[face]] * (end - len(frames))
    p = classifier(shaken(np.stack(frames), rng))
    return Clip(p, np.concatenate([np.full(h.end - h.start, h.truth) for h in holds]), tuple(holds))


def shaken(frames: Image, rng: np.random.Generator) -> Image:
    """(T, S, S) pictures moved as a face in a clip moves."""
    n, side = frames.shape[:2]
    dx, dy, turn, scale, light = (
        wander(n, name, rng) for name in ("shift", "shift", "turn", "scale", "light")
    )
    moved = np.stack(
        [warp(f, *m) for f, *m in zip(frames, dx, dy, np.radians(turn), np.exp(scale), strict=True)]
    )
    lit = moved * np.exp(light)[:, None, None] + rng.normal(0, NOISE, (n, side, side))
    return lit.round().clip(0, 255).astype(np.uint8)


def wander(n: int, name: str, rng: np.random.Generator) -> Doubles:
    """(n,) values that drift and tremble."""
    slow, quick = MOVES[name]
    keep = np.exp(-1 / (0.3 * FPS))
    drift = np.empty(n)
    drift[0] = rng.normal()
    for i, step in enumerate(rng.normal(0, np.sqrt(1 - keep**2), n - 1), 1):
        drift[i] = keep * drift[i - 1] + step
    return slow * drift + quick * rng.normal(size=n)


def warp(picture: Image, dx: float, dy: float, turn: float, scale: float) -> Image:
    """A picture turned and scaled about its middle and shifted; edges are continued."""
    pad, mid = 8, picture.shape[0] / 2 + 8
    c, s = np.cos(turn) / scale, np.sin(turn) / scale
    matrix = (c, s, mid - c * (mid + dx) - s * (mid + dy), -s, c, mid + s * (mid + dx) - c * (mid + dy))
    wide = Pillow.fromarray(np.pad(picture, pad, mode="edge"))
    return np.asarray(wide.transform(wide.size, Pillow.Transform.AFFINE, matrix, Pillow.Resampling.BILINEAR))[
        pad:-pad, pad:-pad
    ]


def as_frames(p: NDArray[np.float32]) -> list[Frame]:
    """(T, K) readings of one face."""
    return [Frame("made", i, i / FPS, (Face((0, 0, 1, 1), POINTS, 1.0, 1, row),)) for i, row in enumerate(p)]


def run(smoother: Smoother, frames: Iterable[Frame]) -> Iterator[Frame]:
    """All frames, smoothed."""
    for frame in frames:
        yield from smoother.push(frame)
    yield from smoother.flush()


def values(frames: Iterable[Frame]) -> NDArray[np.float32]:
    """(T, K) smoothed probabilities of the one face."""
    return np.stack([face.smoothed for frame in frames for face in frame.faces])


def delays(clip: Clip, p: NDArray[np.float32]) -> Iterator[float]:
    """Seconds from each change until what is read after it outweighs what was read before."""
    for one, two in zip(clip.holds, clip.holds[1:], strict=False):
        if one.read == two.read:
            continue
        middle, end = (one.start + one.end) // 2, two.end
        over = np.flatnonzero(p[middle:end, two.read] > p[middle:end, one.read])
        yield (over[0] + middle - two.start if len(over) else end - two.start) / FPS


def flips(labels: Labels) -> int:
    """Changes from one frame to the next."""
    return int((np.diff(labels) != 0).sum())


def events_of(frames: Iterable[Frame], options: EventOptions | None = None) -> list[Event]:
    """All events of one clip."""
    finder = EventFinder(options)
    found = [event for frame in frames for event in finder.push(frame)]
    return [*found, *finder.flush()]


def judge_events(clip: Clip, events: Sequence[Event]) -> tuple[list[tuple[float, bool, float]], int]:
    """Of each hold that is read right still: (seconds, found, error of the onset); and the false events."""
    found = []
    for hold in clip.holds:
        if hold.truth == 0 or hold.read != hold.truth or hold.start == 0:
            continue
        start, end = hold.start / FPS, hold.end / FPS
        same = [e for e in events if e.emotion == EMOTIONS[hold.truth]]
        over = [e for e in same if min(end, e.offset) - max(start, e.onset) >= (end - start) / 2]
        found.append((end - start, bool(over), over[0].onset - start if over else np.nan))
    wrong = sum(
        not any(
            EMOTIONS[h.read] == e.emotion and h.start / FPS - 0.2 <= e.apex < h.end / FPS + 0.2
            for h in clip.holds
        )
        for e in events
    )
    return found, wrong


def row(clips: Sequence[Clip], smoothed: Sequence[NDArray[np.float32]]) -> dict[str, float]:
    """The figures of one smoothing."""
    truth, p = np.concatenate([c.truth for c in clips]), np.concatenate(smoothed).astype(np.float64)
    late = np.array([d for c, s in zip(clips, smoothed, strict=True) for d in delays(c, s)])
    judged = [judge_events(c, events_of(as_frames(s))) for c, s in zip(clips, smoothed, strict=True)]
    holds = np.array([h for found, _ in judged for h in found])  # (holds, 3)
    minutes = len(truth) / FPS / 60
    short, middle = holds[:, 0] < 0.6, (holds[:, 0] >= 0.6) & (holds[:, 0] < 1.2)
    return {
        "right %": 100 * (p.argmax(axis=1) == truth).mean(),
        "NLL": float(-np.log(p[np.arange(len(truth)), truth]).mean()),
        "ECE %": 100 * metrics.ece(p, truth),
        "flips/s": sum(flips(s.argmax(axis=1)) for s in smoothed) / (60 * minutes),
        "delay": float(np.median(late)),
        "off 90%": float(np.quantile(np.abs(late), 0.9)),
        "<.6 s %": 100 * holds[short, 1].mean(),
        "<1.2 s %": 100 * holds[middle, 1].mean(),
        "longer %": 100 * holds[holds[:, 0] >= 1.2, 1].mean(),
        "onset": float(np.nanmedian(np.abs(holds[:, 2]))),
        "false/min": sum(wrong for _, wrong in judged) / minutes,
    }


def stills(clips: Sequence[Clip]) -> float:
    """Changes a second of what is read from the still pictures: how many a steady reading has."""
    seconds = sum(len(c.p) for c in clips) / FPS
    return sum(flips(np.array([h.read for h in c.holds])) for c in clips) / seconds


def show(name: str, figures: dict[str, float]) -> None:
    """One line of the table."""
    print(
        f"| {name:<22} | "
        + " | ".join(f"{v:.{1 if '%' in k and 'off' not in k else 2}f}" for k, v in figures.items())
        + " |"
    )


def compare(name: str, clips: Sequence[Clip]) -> dict[tuple[str, float], dict[str, float]]:
    """The table of one half."""
    found = {}
    for kind, make in KINDS.items():
        for seconds in LENGTHS:
            smoothed = [values(run(make(seconds), as_frames(c.p))) for c in clips]
            found[kind, seconds] = row(clips, smoothed)
    frames, changes = sum(len(c.p) for c in clips), sum(len(c.holds) - 1 for c in clips)
    print(f"\n{name}: {len(clips)} clips, {frames} frames, {changes} changes of the face, ", end="")
    print(f"{stills(clips):.2f} a second that change what is read from the still picture")
    counted = np.array([h for c in clips for h, _, _ in judge_events(c, [])[0]])
    short, middle = int((counted < 0.6).sum()), int(((counted >= 0.6) & (counted < 1.2)).sum())
    longer = len(counted) - short - middle
    print(
        f"expressions whose events are looked for: {short} under 0.6 s, {middle} under 1.2 s, {longer} longer"
    )
    print("| smoothing | " + " | ".join(next(iter(found.values()))) + " |")
    for (kind, seconds), figures in found.items():
        show(f"{kind} {seconds}", figures)
    return found


def real_clips(folder: Path, model: Path | None) -> None:
    """Changes of the label a second of real faces, raw and smoothed."""
    analyzer = load(model)
    for path in sorted(p for p in folder.iterdir() if p.suffix in (".mp4", ".mov")):
        frames = list(analyzer.video(path))
        seen = sum(len(frame.faces) for frame in frames)
        if not seen or frames[-1].time is None:
            continue
        cells = [
            f"{kind} {seconds}: {label_changes(run(make(seconds), frames)):.2f}"
            for kind, make in KINDS.items()
            for seconds in LENGTHS
        ]
        print(
            f"{path.name}: {frames[-1].time:.1f} s, {seen} faces read; changes a second: " + ", ".join(cells)
        )


def label_changes(frames: Iterable[Frame]) -> float:
    """Changes of the smoothed label, a second of a face in sight."""
    last: dict[int, tuple[float, int]] = {}
    changes, seconds = 0, 0.0
    for frame in frames:
        for face in frame.faces:
            label = int(face.smoothed.argmax())
            if face.track in last:
                before, old = last[face.track]
                seconds += frame.time - before
                changes += label != old
            last[face.track] = (frame.time, label)
    return changes / seconds if seconds else 0.0


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path)
    parser.add_argument("--media", type=Path, help="folder of real clips")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--clips", type=int, default=100, help="made of each half")
    given = parser.parse_args()
    fit, rest = make_clips(given.root, Classifier.load(given.model), given.clips)
    found = compare("chosen on", fit)
    for kind in KINDS:
        # per cent of frames read right, less what a change of the label a second is held to cost
        tried = {s: f["right %"] - CHANGE * f["flips/s"] for (k, s), f in found.items() if k == kind}
        print(f"{kind}: {max(tried, key=tried.__getitem__)} s is worth most")
    compare("judged on", rest)
    if given.media is not None:
        real_clips(given.media, given.model)


if __name__ == "__main__":
    main()
