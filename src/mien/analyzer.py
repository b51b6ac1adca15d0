"""Pictures and clips to faces with the expression that each shows: detector, crop and classifier composed.

Legend: N faces, H rows, W columns.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.card import ACCURATE, ModelCard, Policy
from mien.errors import ConfigError, ImageError
from mien.faces import runtimes
from mien.faces.align import TEMPLATE
from mien.faces.classify import Classifier
from mien.faces.detect import Detector, DetectorOptions, YuNet
from mien.faces.policy import label_faces
from mien.faces.preprocess import SMALLEST, crop, fit
from mien.image import read_image
from mien.labels import EMOTIONS
from mien.types import Face, Floats, Frame, Image
from mien.video.ahead import NewestFrame
from mien.video.follow import Follower, FollowerState, FrameBatch
from mien.video.frames import Video, VideoFrame, VideoOptions

#: Takes a face out of its picture: (H, W, 3) RGB, the face and the card, to the card's crop.
Cut = Callable[[Image, Face, ModelCard], Image]


def cut_aligned(pixels: Image, face: Face, card: ModelCard) -> Image:
    """The face upright, by its landmarks."""
    return crop(pixels, face.landmarks, card)


def cut_whole(pixels: Image, face: Face, card: ModelCard) -> Image:  # noqa: ARG001 - a `Cut` gets the face
    """The whole picture, which already is a face."""
    return fit(pixels, card)


class WholePicture:
    """The detector for pictures that already are faces: one face, as large as the picture."""

    def detect(self, image: Image) -> list[Face]:
        """One face over the whole (H, W, 3) picture, its landmarks where the template has them.

        Raises:
            ImageError: the picture is smaller than 48 x 48.
        """
        rows, columns = image.shape[:2]
        side = min(rows, columns)
        if side < SMALLEST:
            raise ImageError(
                f"expected a face of at least {SMALLEST} x {SMALLEST} pixels, got {columns} x {rows}; "
                "use a larger picture (enlarging this one adds nothing)"
            )
        corner = np.array([columns - side, rows - side]) / 2
        landmarks = (np.array(TEMPLATE) * side + corner).astype(np.float32)  # (5, 2)
        return [Face((0.0, 0.0, float(columns), float(rows)), landmarks, 1.0)]


@dataclass(frozen=True, slots=True)
class Analyzer:
    """Finds the faces of a picture and reads the expression that each shows; `load` makes one.

    Its parts are objects that can be exchanged: any `Detector`, any `Classifier`.
    """

    detector: Detector
    classifier: Classifier
    video_detector: Detector | None = None  # a quicker one for clips; None: the same
    cut: Cut = cut_aligned
    max_faces: int | None = None  # the largest so many of a picture; None: all
    policy: Policy | None = None  # how probabilities become an emotion; None: the card's `accurate`

    def image(self, source: str | os.PathLike[str] | bytes | NDArray[Any]) -> Frame:
        """The faces of one picture.

        >>> analyzer = load()
        >>> frame = analyzer.image(np.zeros((64, 64, 3), np.uint8))
        >>> frame.faces
        ()

        Args:
            source: a path, the bytes of a file, or a uint8 array: (H, W, 3) RGB, (H, W) gray.

        Raises:
            ImageError: the picture cannot be read; the message says why.
        """
        picture = read_image(source)
        name = os.fspath(source) if isinstance(source, str | os.PathLike) else ""
        return self.frame(picture.pixels, source=name, notes=picture.notes)

    def video(
        self,
        source: str | os.PathLike[str] | int,
        *,
        every: int = 1,
        fps: float | None = None,
        detect_every: int = 1,
    ) -> Iterator[Frame]:
        """The frames of a clip or camera, one after the other, in constant memory; faces carry tracks.

        Args:
            source: a path, or the number of a camera.
            every: take each so-manieth frame.
            fps: or take so many frames a second, by the clip's own time stamps.
            detect_every: look for faces in each so-manieth of these frames only; see `follow`.

        Raises:
            ConfigError: `every`, `fps` or `detect_every` makes no sense.
            VideoError: the clip cannot be read. What could be read of a cut clip comes as frames;
                `Video.notes` tells what is missing (open the `Video` and use `follow`).
        """
        video = Video(source, VideoOptions(every, fps))  # here, not in the generator: errors come at the call
        follower = self.follower(detect_every=detect_every)

        def stream() -> Iterator[Frame]:
            with video:
                for frame, _ in self.follow(video, source=str(source), follower=follower):
                    yield frame

        return stream()

    def follow(
        self,
        video: Video | NewestFrame[VideoFrame] | Iterable[VideoFrame],
        *,
        source: str,
        follower: Follower | None = None,
    ) -> Iterator[tuple[Frame, Image]]:
        """The frames of an opened video, each with its (H, W, 3) RGB pixels, to draw on a copy of them.

        Decoding, looking for faces and reading them go on side by side, some frames ahead of the one that
        is given. Of a camera or stream the newest frame comes next, and what came meanwhile is passed over.

        Args:
            video: an opened video, or frames of one.
            source: what the frames call it.
            follower: how it is followed; None: `self.follower()`.
        """
        for batch in self.follow_batches(video, source=source, follower=follower):
            yield from batch.frames

    def follow_batches(
        self,
        video: Video | NewestFrame[VideoFrame] | Iterable[VideoFrame],
        *,
        source: str,
        follower: Follower | None = None,
    ) -> Iterator[FrameBatch]:
        """The same, some frames at a time, each time with the state of the follower."""
        follower = follower or self.follower()
        if isinstance(video, Video) and video.live:
            video = NewestFrame.of(video)
        if isinstance(video, NewestFrame):
            return follower.one_by_one(video, source)
        return follower.batches(video, source)

    def follower(
        self, *, detect_every: int = 1, threads: int = 0, state: FollowerState | None = None
    ) -> Follower:
        """What follows the faces of one video.

        Args:
            detect_every: look for faces in each so-manieth frame only. Where two such frames show the same
                faces, these move in straight lines between; otherwise the frames between are looked at too.
            threads: that look for faces; 0: one a core.
            state: of another follower, to go on from there.

        Raises:
            ConfigError: `detect_every` below 1.
        """
        if detect_every < 1:
            raise ConfigError(f"detect_every: expected at least 1, got {detect_every}")
        detector = self.video_detector or self.detector
        return Follower(
            lambda pixels: detector.detect(pixels)[: self.max_faces],
            self.read_faces,
            detect_every=detect_every,
            threads=threads,
            state=state,
        )

    def frame(
        self,
        pixels: Image,
        *,
        source: str = "",
        index: int = 0,
        time: float | None = None,
        notes: tuple[str, ...] = (),
    ) -> Frame:
        """The faces of (H, W, 3) RGB uint8 pixels; those of one picture are classified in one batch.

        >>> analyzer = load()
        >>> analyzer.frame(np.zeros((64, 64, 3), np.uint8), source="camera", index=7, time=0.28).index
        7
        """
        faces = self.detector.detect(pixels)[: self.max_faces]
        return Frame(source, index, time, tuple(self.read_faces([pixels], [faces])[0]), notes)

    def read_faces(self, pictures: Sequence[Image], faces: Sequence[Sequence[Face]]) -> list[list[Face]]:
        """The faces of several pictures with the expression that each shows, all classified in one batch.

        >>> analyzer = load()
        >>> picture = np.zeros((64, 64, 3), np.uint8)
        >>> analyzer.read_faces([picture], [analyzer.detector.detect(picture)])
        [[]]

        Args:
            pictures: (H, W, 3) RGB uint8 each; sizes may differ.
            faces: those of each picture, in its pixels.

        Returns:
            The same faces in the same order, each with its probabilities and what the policy says of them.
        """
        if len(pictures) != len(faces):
            raise ValueError(f"expected the faces of {len(pictures)} pictures, got {len(faces)} lists")
        flat = [(picture, face) for picture, some in zip(pictures, faces, strict=True) for face in some]
        if not flat:
            return [[] for _ in faces]
        card = self.classifier.card
        crops = np.stack([self.cut(picture, face, card) for picture, face in flat])  # (N, S, S[, 3])
        policy = self.policy or card.policy(ACCURATE)
        read = iter(label_faces([face for _, face in flat], self.classifier(crops), policy, card.uncertain))
        return [[next(read) for _ in some] for some in faces]

    def classify(self, crops: NDArray[np.uint8] | Sequence[Image]) -> Floats:
        """The probabilities of pictures that already are faces.

        >>> analyzer = load()
        >>> probabilities = analyzer.classify(np.zeros((2, 64, 64), np.uint8))
        >>> probabilities.shape, probabilities.sum(axis=1).round(3).tolist()
        ((2, 8), [1.0, 1.0])

        Args:
            crops: (N, H, W) gray or (N, H, W, 3) RGB uint8, H and W at least 48; or a list of N
                pictures of differing sizes. The middle square of each is used.

        Returns:
            (N, 8) float32 in the order of `mien.EMOTIONS`; each row sums to 1.

        Raises:
            ImageError: another type or shape, or too small.
        """
        card = self.classifier.card
        ready = [fit(_checked(picture), card) for picture in crops]
        return self.classifier(np.stack(ready)) if ready else np.empty((0, len(EMOTIONS)), np.float32)


def load(
    model: str | os.PathLike[str] | None = None,
    *,
    policy: str = ACCURATE,
    crops: bool = False,
    min_face: int | None = None,
    max_faces: int | None = None,
    threads: int = 1,
    runtime: str = runtimes.DEFAULT,
) -> Analyzer:
    """An analyzer with the detector and the network that come with Mien: no download, no torch.

    Args:
        model: an ONNX file that `mien export` wrote, or the name of a shipped network; None: the default one.
        policy: how probabilities become the emotion shown: "accurate", the likeliest, or "balanced", which
            finds more of the rare emotions and is wrong more often. The probabilities stay the same.
        crops: pictures already are faces, so that nothing is to be detected.
        min_face: pixels; smaller faces are left out. None: the detector's own limit.
        max_faces: only the largest so many of each picture. None: all.
        threads: threads inside the networks; with several worker processes keep it at 1.
        runtime: what runs the network: "onnxruntime", or "openvino" where that is installed.

    Raises:
        ConfigError: `min_face` or `max_faces` below 1, no such runtime, or the network has no such policy.
        MissingExtra: the runtime's package is not installed.
        ModelError: no such file, not an ONNX network with its card, or a shipped file was altered.
    """
    if max_faces is not None and max_faces < 1:
        raise ConfigError(f"max_faces: expected at least 1 or None for all, got {max_faces}")
    classifier = Classifier.load(None if model is None else Path(model), threads=threads, runtime=runtime)
    chosen = classifier.card.policy(policy)
    if crops:
        return Analyzer(WholePicture(), classifier, cut=cut_whole, max_faces=max_faces, policy=chosen)
    photo, clip = DetectorOptions(), DetectorOptions.video()
    if min_face is not None:
        photo, clip = replace(photo, min_face=min_face), replace(clip, min_face=min_face)
    detector, quick = YuNet(photo, threads), YuNet(clip, threads)
    return Analyzer(detector, classifier, quick, max_faces=max_faces, policy=chosen)


def _checked(picture: NDArray[Any]) -> Image:
    """One crop, (H, W) or (H, W, 3) uint8, or an error that says what came."""
    array = np.asarray(picture)
    if array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
        raise ImageError(
            f"expected crops (N, H, W) or (N, H, W, 3) of uint8, got {array.dtype} of shape {array.shape} "
            "for one of them; a single crop is given as crop[None]"
        )
    return array
