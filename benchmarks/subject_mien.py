"""What Mien does, as timed jobs; to compare, its detector's weights in OpenCV, and matrix products."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import cache
from importlib import metadata
from pathlib import Path

import numpy as np

import mien
from jobs import answer
from mien.faces.detect import DetectorOptions, YuNet
from mien.faces.network import Classifier
from mien.image import read_image
from mien.types import Image


class Jobs:
    """One job per method; what each returns is timed."""

    def __init__(self, model: Path | None, threads: int) -> None:
        self._threads = threads
        self.classifier = cache(lambda: Classifier.load(model, threads=threads))
        self.analyzer = cache(lambda: mien.load(model, threads=threads))

    def classify(self, batch: int, calls: int) -> Callable[[], None]:
        """uint8 crops to probabilities."""
        classifier = self.classifier()
        side = classifier.card.size
        crops = np.random.default_rng(0).integers(0, 256, (batch, side, side), np.uint8)

        def run() -> None:
            for _ in range(calls):
                classifier(crops)

        return run

    def gemm(self, side: int, calls: int) -> Callable[[], None]:
        """Products of square float32 matrices by NumPy's OpenBLAS."""
        a, b = np.random.default_rng(0).random((2, side, side), np.float32)
        out = np.empty_like(a)

        def run() -> None:
            for _ in range(calls):
                np.matmul(a, b, out)

        return run

    def whole(self, paths: list[str]) -> Callable[[], int]:
        """Files to faces with their expression."""
        analyzer = self.analyzer()
        return lambda: sum(len(analyzer.image(path).faces) for path in paths)

    def clip(self, path: str, detect_every: int) -> Callable[[], int]:
        """A clip to its frames, faces read, as many threads as there are cores."""
        analyzer = self.analyzer()
        return lambda: sum(1 for _ in analyzer.video(path, detect_every=detect_every))

    def detect(self, paths: list[str]) -> Callable[[], int]:
        """Pixels to faces, with all that Mien does for it."""
        return self._detect(DetectorOptions(), paths)

    def detect_video(self, paths: list[str]) -> Callable[[], int]:
        """Pixels to faces the quicker way that clips are read."""
        return self._detect(DetectorOptions.video(), paths)

    def _detect(self, options: DetectorOptions, paths: list[str]) -> Callable[[], int]:
        detector = YuNet(options, self._threads)
        images = [read_image(path).pixels for path in paths]
        return lambda: sum(len(detector.detect(image)) for image in images)

    def yunet_opencv(self, paths: list[str]) -> Callable[[], int]:
        """One pass of the same weights at full size by OpenCV's FaceDetectorYN."""
        from detector import opencv

        find = opencv(threads=self._threads)
        images: list[Image] = [read_image(path).pixels for path in paths]
        return lambda: sum(len(find(image)[0]) for image in images)


def main() -> None:
    """Answer until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    jobs = Jobs(options.model, options.threads)
    card = jobs.classifier().card
    packages = ("mien", "numpy", "onnxruntime", "pillow", "opencv-python-headless")
    about = {
        "model": card.name,
        "multiply_adds": card.multiply_adds,
        "parameters": card.parameters,
        "versions": {name: metadata.version(name) for name in packages},
    }
    answer({name: getattr(jobs, name) for name in dir(jobs) if not name.startswith("_")}, about)


if __name__ == "__main__":
    main()
