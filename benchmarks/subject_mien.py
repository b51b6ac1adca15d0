"""What Mien does, as timed jobs; to compare, its detector's weights in OpenCV, and matrix products."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import mien
from jobs import answer
from mien.analyzer import Analyzer
from mien.faces.detect import DetectorOptions, YuNet
from mien.faces.network import Classifier, open_session
from mien.faces.yunet import FILE, PACKAGE, YuNetNetwork
from mien.image import read_image
from mien.types import Face, Image

THRESHOLD = 0.6  # of YuNet alone, here and in OpenCV


class Jobs:
    """One job a method; what each returns is timed."""

    def __init__(self, model: Path | None, threads: int) -> None:
        self._model, self._threads = model, threads
        self.classifier = cache(lambda: Classifier.load(model, threads=threads))
        self.analyzer: Callable[[], Analyzer] = cache(lambda: mien.load(model, threads=threads))
        self.network = cache(lambda: YuNetNetwork(threads))
        self._detector_40 = cache(lambda: YuNet(DetectorOptions(min_face=40), threads))

    def classify(self, batch: int, calls: int) -> Callable[[], None]:
        """uint8 crops to probabilities."""
        classifier = self.classifier()
        side = classifier.card.size
        crops = np.random.default_rng(0).integers(0, 256, (batch, side, side), np.uint8)
        return lambda: _repeat(calls, lambda: classifier(crops))

    def gemm_numpy(self, side: int, calls: int) -> Callable[[], None]:
        """Products of square float32 matrices by NumPy's OpenBLAS."""
        a, b = np.random.default_rng(0).random((2, side, side), np.float32)
        out = np.empty_like(a)
        return lambda: _repeat(calls, lambda: np.matmul(a, b, out))

    def gemm_ort(self, side: int, calls: int) -> Callable[[], None]:
        """The same by ONNX Runtime."""
        session = self._product(side)
        a = np.random.default_rng(0).random((side, side), np.float32)
        return lambda: _repeat(calls, lambda: session.run(None, {"a": a}))

    def whole(self, paths: list[str]) -> Callable[[], int]:
        """Files to faces with their expression."""
        analyzer = self.analyzer()
        return lambda: sum(len(analyzer.image(path).faces) for path in paths)

    def clip(self, path: str, detect_every: int) -> Callable[[], int]:
        """A clip to its frames, faces read, as many threads as there are cores."""
        analyzer = self.analyzer()
        return lambda: sum(1 for _ in analyzer.video(path, detect_every=detect_every))

    def decode(self, paths: list[str]) -> Callable[[], None]:
        """Files to pixels."""
        return lambda: _each(paths, read_image)

    def detect(self, paths: list[str]) -> Callable[[], int]:
        """Pixels to faces, with all that Mien does for it."""
        detector, images = self.analyzer().detector, _pixels(paths)
        return lambda: sum(len(detector.detect(image)) for image in images)

    def detect_40(self, paths: list[str]) -> Callable[[], int]:
        """The same where faces below 40 px are not wanted, so that little is enlarged."""
        detector, images = self._detector_40(), _pixels(paths)
        return lambda: sum(len(detector.detect(image)) for image in images)

    def detect_video(self, paths: list[str]) -> Callable[[], int]:
        """Pixels to faces the quicker way that clips are read."""
        analyzer = self.analyzer()
        detector, images = analyzer.video_detector or analyzer.detector, _pixels(paths)
        return lambda: sum(len(detector.detect(image)) for image in images)

    def cut(self, paths: list[str]) -> Callable[[], None]:
        """Pixels and faces to crops."""
        card, found = self.classifier().card, self._found(paths)
        cut = self.analyzer().cut
        return lambda: _each(found, lambda one: [cut(one[0], face, card) for face in one[1]])

    def read(self, paths: list[str]) -> Callable[[], None]:
        """The crops of each picture to probabilities."""
        analyzer, found = self.analyzer(), self._found(paths)
        card = analyzer.classifier.card
        crops = [
            np.stack([analyzer.cut(image, face, card) for face in faces]) for image, faces in found if faces
        ]
        return lambda: _each(crops, analyzer.classifier)

    def yunet_ort(self, paths: list[str]) -> Callable[[], int]:
        """One pass of YuNet at full size by ONNX Runtime, as a part of what `detect` does."""
        network, images = self.network(), _pixels(paths)
        return lambda: sum(len(network(image, THRESHOLD)) for image in images)

    def yunet_cv2(self, paths: list[str]) -> Callable[[], int]:
        """The same weights, size and thresholds by OpenCV's FaceDetectorYN."""
        detector = _face_detector_yn(self._threads)
        images = [np.ascontiguousarray(image[:, :, ::-1]) for image in _pixels(paths)]

        def find(image: Image) -> int:
            detector.setInputSize((image.shape[1], image.shape[0]))
            _, faces = detector.detect(image)
            return 0 if faces is None else len(faces)

        return lambda: sum(map(find, images))

    def _found(self, paths: list[str]) -> list[tuple[Image, list[Face]]]:
        detect = self.analyzer().detector.detect
        return [(image, detect(image)) for image in _pixels(paths)]

    @cache  # noqa: B019 - it lives as long as the process
    def _product(self, side: int) -> Any:
        from onnx import TensorProto, helper, numpy_helper

        weight = np.random.default_rng(1).random((side, side), np.float32)
        ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, (side, side)) for n in ("a", "y")]
        node = helper.make_node("MatMul", ["a", "b"], ["y"])
        graph = helper.make_graph(
            [node], "product", ends[:1], ends[1:], [numpy_helper.from_array(weight, "b")]
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        return open_session(model.SerializeToString(), threads=self._threads)


@cache
def _face_detector_yn(threads: int) -> Any:
    import cv2

    cv2.setNumThreads(threads)
    weights = Path(find_spec(PACKAGE).origin).parent / FILE
    return cv2.FaceDetectorYN.create(str(weights), "", (320, 320), THRESHOLD, 0.3, 5000)


def _pixels(paths: list[str]) -> list[Image]:
    return [read_image(path).pixels for path in paths]


def _repeat(calls: int, call: Callable[[], Any]) -> None:
    for _ in range(calls):
        call()


def _each(things: list[Any], call: Callable[[Any], Any]) -> None:
    for thing in things:
        call(thing)


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
