"""How well faces are found in real pictures, and what it costs: one table, a column for each detector.

    python benchmarks/detector.py                          # minutes
    python benchmarks/detector.py --heads 60 --only Mien

Mien's detector stands beside YuNet alone, once at full size by OpenCV's FaceDetectorYN with thresholds of .6
and .8, and beside the Haar cascade of the peer `fer` where `make bench` has installed it. What is looked at:

- `people/`: everyday photos; one is right when as many faces are found as `faces.csv` allows.
- `scenes/`: pictures without people; every find is false.
- `photos.zip`: tight heads, 350 x 350. A head is found when the middle of a box lies within a quarter of its
  side of its middle, both ways; turned ones keep their frame, corners filled by repeating the edge.
- Small faces: people/ reduced until the longer side of a face's box is so many pixels, and heads pasted into
  scenes/ of 800 pixels with soft edges. Where a face is, and how large, is taken from OpenCV's YuNet at .6 in
  the picture as it is. A small face is found when the middle of a box lies in its box.
- CPU: medians over repeated runs on one thread, of heads and of two mosaics of people/.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from statistics import median

import cv2
import numpy as np
from PIL import Image as Pil
from PIL import ImageDraw, ImageFilter

import mien
from jobs import Subject
from mien.faces.yunet import path_of_weights
from mien.image import read_image

HERE = Path(__file__).resolve().parent
PEER = HERE.parent / ".venv" / "peers" / "bin" / "python"
DATA = HERE.parents[1] / "shared" / "data"
SIDE = 350  # pixels: heads are brought to this side
SCENE = 800  # pixels: the long side of a scene that heads are pasted into
SMALL = (24, 32, 40)  # pixels: longer side of a small face's box
USUAL_FACE = SIDE * np.array([0.15, 0.15, 0.7, 0.7])  # box in a head where none is found to measure
LEAST = 160  # pixels: the long side below which a picture is not reduced
MIDDLE = np.array([[1, 0], [0, 1], [0.5, 0], [0, 0.5]])  # takes (N, 4) boxes to the (N, 2) of their middles
REPEATS = 5  # of each large picture, timed
MOSAICS = {  # size, and the pictures of people/ in it, left to right and down
    "CPU ms, 1920 x 1080, 6 faces": ((1920, 1080), ("src_meeting", "src_portrait1")),
    "CPU ms, 4000 x 3000, 12 faces": ((4000, 3000), ("src_meeting", "sample5", "src_man2", "src_man3")),
}
Boxes = np.ndarray  # (N, 4) x, y, width, height; (4,) of one face
Image = np.ndarray  # (H, W, 3) RGB uint8
# The boxes of the faces of a picture, and the CPU seconds that finding them took.
Find = Callable[[Image], tuple[Boxes, float]]


def timed(find: Callable[[Image], Boxes]) -> Find:
    """A detector of this process."""

    def run(image: Image) -> tuple[Boxes, float]:
        start = time.process_time()
        boxes = find(image)
        return boxes, time.process_time() - start

    return run


def mien_detector() -> Find:
    """The detector of `mien.load()`, with all that it does to be sure."""
    detector = mien.load(threads=1).detector
    return timed(lambda image: np.array([face.box for face in detector.detect(image)]).reshape(-1, 4))


def opencv(threshold: float = 0.6, threads: int = 1) -> Find:
    """YuNet's weights in OpenCV's FaceDetectorYN; full size, one look."""
    cv2.setNumThreads(threads)
    yunet = cv2.FaceDetectorYN.create(str(path_of_weights()), "", (320, 320), threshold, 0.3, 5000)

    def find(image: Image) -> Boxes:
        yunet.setInputSize((image.shape[1], image.shape[0]))
        _, rows = yunet.detect(np.ascontiguousarray(image[:, :, ::-1]))
        return np.zeros((0, 4)) if rows is None else rows[:, :4].astype(float)

    return timed(find)


def peer() -> Find:
    """The peer's detector, in its own interpreter."""
    subject = Subject(HERE / "peer_fer.py", python=str(PEER))

    def find(image: Image) -> tuple[Boxes, float]:
        with tempfile.NamedTemporaryFile(suffix=".png") as file:
            Pil.fromarray(image).save(file, "PNG", compress_level=1)
            file.flush()
            done = subject.do("boxes", path=file.name)
        return np.array(done.found, float).reshape(-1, 4), done.cpu

    return find


class Pictures:
    """What is looked at; the same for every detector, by a seed."""

    def __init__(self, data: Path, heads: int, seed: int) -> None:
        self.seed = seed
        self._find = opencv()  # tells where the faces are before they are made small
        with (data / "people" / "faces.csv").open(newline="") as file:
            counts = {row["picture"]: (int(row["fewest"]), int(row["most"])) for row in csv.DictReader(file)}
        self.people = {Path(name).stem: read_image(data / "people" / name).pixels for name in counts}
        self.counts = {Path(name).stem: count for name, count in counts.items()}
        self.scenes = [read_image(path).pixels for path in sorted((data / "scenes").glob("*.jpg"))]
        with zipfile.ZipFile(data / "photos.zip") as archive:
            names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
            chosen = [archive.read(names[i * len(names) // heads]) for i in range(heads)]
        self.heads = [resize(read_image(content).pixels, (SIDE, SIDE)) for content in chosen]

    def shrunk(self, face: int) -> Iterator[tuple[Image, Boxes]]:
        """Each face of people/ at so many pixels, in its picture; and the box that it has there."""
        for picture in self.people.values():
            for box in self._find(picture)[0]:
                scale = face / max(box[2:])
                height, width = (round(side * scale) for side in picture.shape[:2])
                if LEAST <= max(height, width) <= max(picture.shape):
                    yield resize(picture, (width, height)), box * scale

    def pasted(self, face: int) -> Iterator[tuple[Image, Boxes]]:
        """Each head with a face of so many pixels somewhere in a scene; and the box of the face."""
        rng = np.random.default_rng((self.seed, face))
        for number, head in enumerate(self.heads):
            found, _ = self._find(head)
            box = found[0] if len(found) else USUAL_FACE
            scene = Pil.fromarray(self.scenes[number % len(self.scenes)])
            scene.thumbnail((SCENE, SCENE), Pil.Resampling.LANCZOS)
            side = max(8, round(SIDE * face / max(box[2:])))
            soft = Pil.new("L", (SIDE, SIDE))
            ImageDraw.Draw(soft).ellipse([SIDE * 0.08, SIDE * 0.04, SIDE * 0.92, SIDE * 0.96], fill=255)
            soft = soft.filter(ImageFilter.GaussianBlur(SIDE * 0.04)).resize((side, side))
            at = tuple(int(rng.integers(0, length - side)) for length in scene.size)
            scene.paste(Pil.fromarray(resize(head, (side, side))), at, soft)
            yield np.asarray(scene), box * side / SIDE + (*at, 0, 0)

    def mosaic(self, size: tuple[int, int], names: tuple[str, ...]) -> Image:
        """Pictures of people/, two in a row, on a scene."""
        whole = Pil.fromarray(resize(self.scenes[-9], size))
        cell = (size[0] // 2, size[1] * 2 // len(names))
        for i, name in enumerate(names):
            picture = Pil.fromarray(self.people[name])
            scale = min(cell[0] / picture.width, cell[1] / picture.height)
            picture = picture.resize((int(picture.width * scale), int(picture.height * scale)))
            whole.paste(picture, (i % 2 * cell[0], i // 2 * cell[1]))
        return np.asarray(whole)


def resize(image: Image, size: tuple[int, int]) -> Image:
    """To (width, height), without aliasing."""
    return np.asarray(Pil.fromarray(image).resize(size, Pil.Resampling.LANCZOS))


def turned(head: Image, angle: float) -> Image:
    """Turned clockwise by `angle` degrees within its frame."""
    pad = SIDE // 2
    wide = Pil.fromarray(np.pad(head, ((pad, pad), (pad, pad), (0, 0)), mode="edge"))
    return np.asarray(wide.rotate(-angle, Pil.Resampling.BICUBIC).crop((pad, pad, pad + SIDE, pad + SIDE)))


def dark(head: Image, rng: np.random.Generator) -> Image:
    """A tenth of the light, with the noise of a camera that amplifies it."""
    return (head * 0.1 + rng.normal(0, 2, head.shape)).clip(0, 255).astype(np.uint8)


CHANGES: dict[str, Callable[[Image, np.random.Generator], Image]] = {
    "tight heads found": lambda head, _: head,
    "... turned by 45 degrees": lambda head, _: turned(head, 45),
    "... turned by 90 degrees": lambda head, _: turned(head, 90),
    "... in a tenth of the light": dark,
}


def share_found(find: Find, pairs: Iterable[tuple[Image, Boxes]]) -> str:
    """Of pictures with one known (4,) box each: how many have a find whose middle lies in it."""
    hits = []
    for image, (x, y, width, height) in pairs:
        away = (find(image)[0] @ MIDDLE - (x + width / 2, y + height / 2)) / (width, height)  # (N, 2)
        hits.append((np.abs(away) < 0.5).all(axis=1).any())
    return f"{np.mean(hits):.2f}"


def measure(find: Find, pictures: Pictures) -> dict[str, str]:
    """The column of one detector."""
    column = {}
    right = sum(low <= len(find(pictures.people[n])[0]) <= high for n, (low, high) in pictures.counts.items())
    column[f"counted photos right, of {len(pictures.counts)}"] = str(right)
    found = [len(find(scene)[0]) for scene in pictures.scenes]
    column[f"false finds per 100 pictures without people (n {len(found)})"] = f"{100 * np.mean(found):.1f}"
    column["pictures with a false find"] = str(np.count_nonzero(found))
    frame = np.array([SIDE / 4, SIDE / 4, SIDE / 2, SIDE / 2])
    for name, change in CHANGES.items():
        rng = np.random.default_rng(pictures.seed)
        pairs = [(change(head, rng), frame) for head in pictures.heads]
        column[f"{name} (n {len(pairs)})"] = share_found(find, pairs)
    for face in SMALL:
        for what, make in (("people reduced", pictures.shrunk), ("pasted into scenes", pictures.pasted)):
            pairs = list(make(face))
            column[f"face of {face} px, {what} (n {len(pairs)})"] = share_found(find, pairs)
    again = {f"CPU ms, {SIDE} px": pictures.heads[:20]}
    again |= {name: [pictures.mosaic(*parts)] * REPEATS for name, parts in MOSAICS.items()}
    for name, images in again.items():
        find(images[0])  # to warm up
        column[name] = f"{1000 * median([find(image)[1] for image in images]):.0f}"
        if name in MOSAICS:
            column[name] += f" ({len(find(images[0])[0])} found)"
    return column


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder with people/, scenes/ and photos.zip")
    parser.add_argument("--heads", type=int, default=200, help="how many of photos.zip")
    parser.add_argument("--seed", type=int, default=0, help="of noise, and of where heads are pasted")
    parser.add_argument("--only", help="one column: its name, or a part of it")
    given = parser.parse_args()
    makers: dict[str, Callable[[], Find]] = {
        "Mien": mien_detector,
        "YuNet .6, OpenCV": opencv,
        "YuNet .8, OpenCV": lambda: opencv(0.8),
    }
    if PEER.exists():
        makers["fer (Haar)"] = peer
    pictures = Pictures(given.data, given.heads, given.seed)
    columns = {name: measure(make(), pictures) for name, make in makers.items() if (given.only or "") in name}
    print("|", " | ".join(("", *columns)), "|")
    print("|---" * (1 + len(columns)) + "|")
    for row in next(iter(columns.values())):
        print("|", " | ".join((row, *(column[row] for column in columns.values()))), "|")


if __name__ == "__main__":
    main()
