"""Pictures to time with: portraits of about 350 px, and drawn scenes that hold several of them.

Portraits come from `photos.zip` (../shared/data/README.md) or, where that is absent, are cut from
scikit-image's astronaut (public domain, NASA).
"""

from __future__ import annotations

import argparse
import io
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

SCENES = {"hd": (1920, 1080, 6), "large": (4000, 3000, 12)}  # width, height, faces
JPEG = {"quality": 90, "subsampling": 2}  # as cameras write


def portraits(archive: Path, number: int) -> Iterator[bytes]:
    """So many JPEG files, evenly from the archive, or variations of the astronaut."""
    if not archive.exists():
        yield from (_astronaut(i) for i in range(number))
        return
    with zipfile.ZipFile(archive) as file:
        names = sorted(name for name in file.namelist() if name.endswith(".jpg"))
        for i in range(number):
            yield file.read(names[i * len(names) // number])


def _astronaut(number: int) -> bytes:
    """A square around her head, of another size and place for each number, at 350 x 350."""
    spec = find_spec("skimage")
    if spec is None:
        raise SystemExit("expected ../shared/data/photos.zip or scikit-image: pip install 'mien[demo]'")
    whole = Image.open(Path(spec.submodule_search_locations[0]) / "data" / "astronaut.png")
    draw = np.random.default_rng(number)
    side = int(draw.integers(170, 260))
    left, top = (max(0, c + int(draw.integers(-20, 20)) - side // 2) for c in (222, 110))
    return _jpeg(whole.convert("RGB").crop((left, top, left + side, top + side)).resize((350, 350)))


def scene(size: tuple[int, int, int], faces: list[Image.Image], seed: int) -> bytes:
    """Soft clouds, grain, and portraits of 60 px to a third of the height."""
    width, height, number = size
    draw = np.random.default_rng(seed)
    clouds = np.zeros((height, width, 3), np.float32)
    for cells, strength in ((8, 0.6), (40, 0.3), (200, 0.1)):
        noise = draw.integers(0, 256, (cells, cells * width // height, 3), np.uint8)
        clouds += strength * np.asarray(
            Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
        )
    clouds += draw.normal(0, 4, clouds.shape)
    picture = Image.fromarray(clouds.clip(0, 255).astype(np.uint8))
    for i in range(number):
        side = int(np.exp(draw.uniform(np.log(60), np.log(height / 3))))
        place = (int(draw.integers(0, width - side)), int(draw.integers(0, height - side)))
        picture.paste(faces[(seed * number + i) % len(faces)].resize((side, side)), place)
    return _jpeg(picture)


def _jpeg(picture: Image.Image) -> bytes:
    data = io.BytesIO()
    picture.save(data, "JPEG", **JPEG)
    return data.getvalue()


def main() -> None:
    """Write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("out", type=Path)
    for kind, number in (("photos", 240), ("hd", 10), ("large", 5)):
        parser.add_argument(f"--{kind}", type=int, default=number)
    options = parser.parse_args()
    files = list(portraits(options.archive, options.photos))
    faces = [Image.open(io.BytesIO(data)).convert("RGB") for data in files]
    for kind, size in SCENES.items():
        folder = options.out / kind
        folder.mkdir(parents=True)
        for i in range(getattr(options, kind)):
            (folder / f"{i:03}.jpg").write_bytes(scene(size, faces, i))
    (options.out / "photos").mkdir()
    for i, data in enumerate(files):
        (options.out / "photos" / f"{i:03}.jpg").write_bytes(data)


if __name__ == "__main__":
    main()
