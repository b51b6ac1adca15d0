"""The peer `fer` (its quantized TFLite network, its Haar cascade) as timed jobs, run by its own interpreter.

`fer` is used as published, without a change. Its code is reached into in one place: its classifier is
a private method.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import warnings
from collections.abc import Callable
from importlib import metadata
from math import prod
from typing import Any

import cv2
import numpy as np

from jobs import answer

warnings.simplefilter("ignore")  # TensorFlow announces the end of tf.lite


class Jobs:
    """One job a method; what each returns is timed."""

    def __init__(self, threads: int) -> None:
        from fer.fer import FER

        cv2.setNumThreads(threads)
        cv2.waitKey = lambda _milliseconds: -1  # Video.analyze asks for keys; OpenCV has no window here
        self._fer = FER()

    def classify(self, batch: int, calls: int) -> Callable[[], None]:
        """uint8 faces to probabilities: what `detect_emotions` does with faces that are cut and resized."""
        faces = np.random.default_rng(0).integers(0, 256, (batch, 64, 64), np.uint8)

        def run() -> None:
            for _ in range(calls):
                ready = np.array(faces, dtype="float32") / 255.0
                self._fer._classify_emotions((ready - 0.5) * 2.0)

        return run

    def whole(self, paths: list[str]) -> Callable[[], int]:
        """Files to faces with their emotions, by the call that its README gives."""
        return lambda: sum(len(self._fer.detect_emotions(path)) for path in paths)

    def clip(self, path: str, pictures: bool) -> Callable[[], int]:
        """A clip to a list of its frames: the call of its README or, without `pictures`, no copies made."""
        from fer.classes import Video

        names = ("save_frames", "save_video", "annotate_frames", "zip_images")
        options = {} if pictures else dict.fromkeys(names, False)

        def run() -> int:
            # It writes its tables where it stands.
            with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
                return len(Video(path, outdir=folder).analyze(self._fer, display=False, **options))

        return run

    def detect(self, paths: list[str]) -> Callable[[], int]:
        """Pixels to boxes: its Haar cascade."""
        images = [cv2.imread(path) for path in paths]
        return lambda: sum(len(self._fer.find_faces(image)) for image in images)

    def boxes(self, path: str) -> Callable[[], list[list[int]]]:
        """The boxes that its Haar cascade finds: x, y, width, height."""
        image = cv2.imread(path)
        return lambda: [[int(side) for side in box] for box in self._fer.find_faces(image)]

    def multiply_adds(self) -> int:
        """For one face: every output of a convolution times the weights behind it."""
        net = self._fer._FER__tflite_interpreter
        shapes = {t["index"]: t["shape"].tolist() for t in net.get_tensor_details()}
        total = 0
        for op in net._get_ops_details():
            if op["op_name"] not in ("CONV_2D", "DEPTHWISE_CONV_2D"):
                continue
            kernel, out = shapes[op["inputs"][1]], shapes[op["outputs"][0]]
            behind = prod(kernel[1:]) if op["op_name"] == "CONV_2D" else prod(kernel[1:3])
            total += prod(out) * behind
        return total


def about(jobs: Jobs) -> dict[str, Any]:
    """Names and versions."""
    packages = ("fer", "tensorflow-cpu", "opencv-python-headless", "numpy")
    versions = {name: metadata.version(name) for name in packages}
    return {"model": "fer TFLite", "multiply_adds": jobs.multiply_adds(), "versions": versions}


def main() -> None:
    """Answer until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    jobs = Jobs(parser.parse_args().threads)
    answer(
        {name: getattr(jobs, name) for name in ("classify", "whole", "detect", "boxes", "clip")}, about(jobs)
    )


if __name__ == "__main__":
    main()
