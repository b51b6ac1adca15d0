"""How well faces are found: one row for each detector, over photos made harder in thirteen ways.

    python benchmarks/detector.py --n 100
    python benchmarks/detector.py --n 100 --opencv    # and OpenCV's FaceDetectorYN on the same pictures

Photos are `photos.zip`'s tight heads. A face counts as found when the middle of a box lies within a
quarter of the head's side of where the head is, and no box is needed anywhere else. Turned photos
keep their frame, their corners filled by repeating the edge. Small heads are pasted on drawn textures of
640 x 480 so that the face's box, not the head picture, is `px` on its longer side. Empty pictures are noise,
gradients, textures and scenes, all drawn. Roll error: photos turned by 30, 90 and 180 degrees against
the roll measured in the same photo upright: median/p90 degrees, and the share that is over 20 wrong.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image as Pil
from PIL import ImageDraw, ImageFilter

from mien.faces.align import roll
from mien.faces.detect import Detector, DetectorOptions, YuNet
from mien.types import Face, Image

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SIDE = 350  # photos are brought to this side
USUAL_SHARE = 0.7  # of a head's side that its face takes, where no face is found to measure
Change = Callable[[Image, np.random.Generator], Image]


def photos(archive: Path, number: int) -> list[Image]:
    """So many (350, 350, 3) heads, evenly from the archive."""
    with zipfile.ZipFile(archive) as file:
        names = sorted(name for name in file.namelist() if name.endswith(".jpg"))
        chosen = [names[i * len(names) // number] for i in range(number)]
        pictures = [Pil.open(io.BytesIO(file.read(name))).convert("RGB") for name in chosen]
    return [np.asarray(p.resize((SIDE, SIDE), Pil.Resampling.BICUBIC)) for p in pictures]


def turned(angle: float) -> Change:
    """Turn clockwise by `angle` degrees within the frame."""

    def change(image: Image, _: np.random.Generator) -> Image:
        if angle % 90 == 0:
            return np.ascontiguousarray(np.rot90(image, -round(angle / 90)))
        wide = np.pad(image, ((SIDE // 2, SIDE // 2), (SIDE // 2, SIDE // 2), (0, 0)), mode="edge")
        whole = Pil.fromarray(wide).rotate(-angle, Pil.Resampling.BICUBIC)
        start = SIDE // 2
        return np.asarray(whole.crop((start, start, start + SIDE, start + SIDE)))

    return change


def dark(image: Image, rng: np.random.Generator) -> Image:
    """A tenth of the light, with the noise of a camera that amplifies it."""
    return (image * 0.1 + rng.normal(0, 2, image.shape)).clip(0, 255).astype(np.uint8)


def jpeg(image: Image, _: np.random.Generator) -> Image:
    """JPEG at quality 5."""
    buffer = io.BytesIO()
    Pil.fromarray(image).save(buffer, "JPEG", quality=5)
    return np.asarray(Pil.open(buffer).convert("RGB"))


def noise(image: Image, rng: np.random.Generator) -> Image:
    """Gaussian noise of 50 gray levels."""
    return (image + rng.normal(0, 50, image.shape)).clip(0, 255).astype(np.uint8)


def hidden(top: float, bottom: float) -> Change:
    """A gray bar over the rows from `top` to `bottom`, shares of the height."""

    def change(image: Image, _: np.random.Generator) -> Image:
        covered = image.copy()
        covered[round(top * SIDE) : round(bottom * SIDE)] = 128
        return covered

    return change


CHANGES: dict[str, Change] = {
    "photos": lambda image, _: image,
    "30 deg": turned(30),
    "45 deg": turned(45),
    "90 deg": turned(90),
    "dark": dark,
    "jpeg q5": jpeg,
    "noise": noise,
    "mouth hid": hidden(0.65, 1.0),
    "eyes hid": hidden(0.3, 0.5),
}
SMALL = (16, 24, 32, 40)  # longer side of the pasted face's box, pixels


def texture(size: tuple[int, int], rng: np.random.Generator) -> Image:
    """Noise smoothed at a few scales, in colour: (height, width, 3) from (width, height)."""
    width, height = size
    whole = np.zeros((height, width, 3), np.float32)
    for cell in (4, 16, 64):
        coarse = rng.integers(0, 256, (height // cell + 2, width // cell + 2, 3), np.uint8)
        layer = Pil.fromarray(coarse).resize(size, Pil.Resampling.BICUBIC)
        whole += np.asarray(layer, np.float32) / 3
    return whole.clip(0, 255).astype(np.uint8)


def pasted(image: Image, side: int, size: tuple[int, int], rng: np.random.Generator) -> tuple[Image, Image]:
    """A head of `side` pixels somewhere on a texture; and the (2,) middle of it."""
    head = np.asarray(Pil.fromarray(image).resize((side, side), Pil.Resampling.LANCZOS))
    left, top = (int(rng.integers(8, length - side - 8)) for length in size)
    whole = texture(size, rng)
    whole[top : top + side, left : left + side] = head
    return whole, np.array([left + side / 2, top + side / 2])


def empty(rng: np.random.Generator) -> Iterator[Image]:
    """52 pictures without a face: 13 each of noise, gradients, textures and scenes."""
    for i in range(13):
        width, height = (640, 480) if i % 2 else (960, 720)
        yield (128 + rng.normal(0, 10 + 6 * i, (height, width, 3))).clip(0, 255).astype(np.uint8)
        across = (
            np.linspace(0, 255, width) * rng.random() + np.linspace(0, 255, height)[:, None] * rng.random()
        )
        yield np.repeat((across % 256).astype(np.uint8)[:, :, None], 3, axis=2)
        yield texture((width, height), rng)
        yield drawn_scene((width, height), rng)


def drawn_scene(size: tuple[int, int], rng: np.random.Generator) -> Image:
    """Sky, houses with windows, round trees and wheels: what looks a little like faces."""
    picture = Pil.fromarray(texture(size, rng)).filter(ImageFilter.GaussianBlur(12))
    draw = ImageDraw.Draw(picture)
    for _ in range(40):
        x, y = (int(rng.integers(0, length)) for length in size)
        w, h = (int(v) for v in rng.integers(12, 160, 2))
        colour = tuple(int(v) for v in rng.integers(0, 256, 3))
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape([x, y, x + w, y + h], fill=colour)
        for i in range(int(rng.integers(0, 4))):  # windows, or the like of eyes
            left, top = x + w * (i + 1) // 5, y + h // 3
            draw.ellipse([left, top, left + w // 8 + 1, top + h // 8 + 1], fill=(20, 20, 20))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(1)))


def hit(faces: list[Face], centre: np.ndarray, side: float) -> bool:
    """Whether the middle of a box lies within a quarter of `side` of `centre`."""
    middles = [np.array([f.box[0] + f.box[2] / 2, f.box[1] + f.box[3] / 2]) for f in faces]
    return any(float(np.hypot(*(middle - centre))) < side / 4 for middle in middles)


def recall(detector: Detector, heads: list[Image], change: Change) -> float:
    """The share of changed heads that are found."""
    rng = np.random.default_rng(0)
    centre = np.array([SIDE / 2, SIDE / 2])
    return float(np.mean([hit(detector.detect(change(head, rng)), centre, SIDE) for head in heads]))


def recall_small(detector: Detector, heads: list[Image], face: int, size: tuple[int, int]) -> float:
    """The share of heads with a face of `face` pixels, pasted on textures of `size`, that are found."""
    rng = np.random.default_rng(face)
    sides = [round(face / face_share(head.tobytes())) for head in heads]
    pairs = ((*pasted(head, side, size, rng), side) for head, side in zip(heads, sides, strict=True))
    return float(np.mean([hit(detector.detect(image), centre, side) for image, centre, side in pairs]))


@cache
def face_share(head: bytes) -> float:
    """The longer side of the face's box in a (350, 350, 3) head, as a share of the head's side."""
    faces = YuNet().detect(np.frombuffer(head, np.uint8).reshape(SIDE, SIDE, 3))
    return max(faces[0].box[2:]) / SIDE if faces else USUAL_SHARE


def roll_errors(detector: Detector, heads: list[Image], angle: float) -> list[float]:
    """Degrees between the roll of each head turned by `angle` and its roll upright, less `angle`."""
    rng, errors = np.random.default_rng(0), []
    for head in heads:
        upright, leaning = detector.detect(head), detector.detect(turned(angle)(head, rng))
        if upright and leaning:
            error = roll(leaning[0].landmarks) - roll(upright[0].landmarks) - angle
            errors.append(abs((error + 180) % 360 - 180))
    return errors


class OpenCV:
    """OpenCV's own FaceDetectorYN with the same weights, for comparison; full size, one look."""

    def __init__(self, threads: int = 1) -> None:
        import cv2

        from mien.faces.yunet import path_of_weights

        cv2.setNumThreads(threads)
        self._detector = cv2.FaceDetectorYN.create(str(path_of_weights()), "", (320, 320), 0.6, 0.3, 5000)

    def detect(self, image: Image) -> list[Face]:
        """As `Detector.detect`."""
        self._detector.setInputSize((image.shape[1], image.shape[0]))
        _, rows = self._detector.detect(np.ascontiguousarray(image[:, :, ::-1]))
        faces = [] if rows is None else rows
        found = [Face(tuple(map(float, r[:4])), r[4:14].reshape(5, 2), float(r[14])) for r in faces]
        return sorted(found, key=lambda face: -face.box[2] * face.box[3])


def measure(detector: Detector, heads: list[Image]) -> dict[str, str]:
    """The row of one detector."""
    row = {name: f"{recall(detector, heads, change):.3f}" for name, change in CHANGES.items()}
    row |= {f"{side} px": f"{recall_small(detector, heads, side, (640, 480)):.3f}" for side in SMALL}
    few = heads[:: max(1, len(heads) // 20)][:20]
    for side in (24, 32):
        row[f"{side} px in 4000 (n {len(few)})"] = f"{recall_small(detector, few, side, (4000, 3000)):.3f}"
    row["false of 52"] = str(sum(len(detector.detect(image)) for image in empty(np.random.default_rng(9))))
    for angle in (30, 90, 180):
        errors = roll_errors(detector, heads, angle)
        wrong = np.mean(np.array(errors) > 20)
        middle, most = np.percentile(errors, [50, 90])
        row[f"roll at {angle}"] = f"{middle:.1f}/{most:.1f}, over 20: {wrong:.3f} (n {len(errors)})"
    return row


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder that holds photos.zip")
    parser.add_argument("--n", type=int, default=300, help="photos")
    parser.add_argument("--video", action="store_true", help="measure the options for clips too")
    parser.add_argument("--opencv", action="store_true", help="measure OpenCV's FaceDetectorYN too")
    given = parser.parse_args()
    heads = photos(given.data / "photos.zip", given.n)
    detectors: dict[str, Callable[[], Detector]] = {"mien": YuNet}
    if given.video:
        detectors["mien, video"] = lambda: YuNet(DetectorOptions.video())
    if given.opencv:
        detectors["OpenCV FaceDetectorYN"] = OpenCV
    for name, make in detectors.items():
        print(f"{name}, n {len(heads)}")
        for column, value in measure(make(), heads).items():
            print(f"  {column:24} {value}", flush=True)


if __name__ == "__main__":
    main()
