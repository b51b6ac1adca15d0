"""Pictures and clips to faces with the expression that each shows: detector, crop and classifier together.

Legend: N faces, H rows, W columns.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mien.card import ACCURATE, ModelCard, Policy
from mien.errors import ConfigError, ImageError
from mien.faces.align import crop, fit
from mien.faces.detect import Detector, DetectorOptions, RegionDetector, WholePicture, YuNet
from mien.faces.network import CPU, Classifier
from mien.faces.policy import label_faces
from mien.faces.yunet import YuNetNetwork
from mien.image import read_image
from mien.labels import EMOTIONS
from mien.types import Face, Floats, Frame, Image

if TYPE_CHECKING:
    from mien.image import ImageSource
    from mien.video.ahead import NewestFrame
    from mien.video.follow import Follower, FollowerState, FrameBatch
    from mien.video.frames import Video, VideoFrame

#: Makes the crop that the card asks for from a picture, (H, W, 3) RGB, and one of its faces.
MakeCrop = Callable[[Image, Face, ModelCard], Image]


def crop_aligned(pixels: Image, face: Face, card: ModelCard) -> Image:
    """The face upright, by its landmarks."""
    return crop(pixels, face.landmarks, card)


def crop_whole(pixels: Image, face: Face, card: ModelCard) -> Image:  # noqa: ARG001 - `MakeCrop` has a face
    """The whole picture, which already is a face."""
    return fit(pixels, card)


@dataclass(frozen=True, slots=True)
class Analyzer:
    """Finds the faces of a picture and reads the expression that each shows; `load` makes one.

    Its parts can be exchanged: any `Detector`, any `Classifier`.
    """

    detector: Detector
    classifier: Classifier
    video_detector: Detector | None = None  # a quicker one for clips; None: the same
    crop: MakeCrop = crop_aligned
    max_faces: int | None = None  # at most this many of a picture, the largest; None: all
    policy: Policy | None = None  # how probabilities become an emotion; None: the card's `accurate`

    def image(self, source: ImageSource) -> Frame:
        """The faces of one picture.

        >>> analyzer = load()
        >>> frame = analyzer.image(np.zeros((64, 64, 3), np.uint8))
        >>> frame.faces
        ()

        Args:
            source: a path, the bytes of a file, an open binary file, a PIL image, or a uint8 array: (H, W, 3)
                RGB, (H, W) gray.

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
        start: float | None = None,
        end: float | None = None,
        detect_every: int = 1,
        smooth: float | None = None,
    ) -> Iterator[Frame]:
        """The frames of a clip, camera or stream, one after the other, in constant memory.

        Faces carry tracks, and probabilities smoothed over time (`Face.smoothed`). Smoothing a clip looks
        ahead, so frames come `smooth` seconds late; those of a camera or stream come at once.
        `mien.video.events.find_events` makes events of them.

        Args:
            source: a path, the number of a camera, or the address of a stream.
            every: take every n-th frame.
            fps: or take this many frames per second, by the clip's own time stamps.
            start: seconds by time stamp; frames before it are left out.
            end: seconds by time stamp; frames from it on are left out.
            detect_every: look for faces in every n-th of these frames only; see `follower`.
            smooth: seconds over which probabilities are smoothed; 0: not at all. None: 0.2 for a clip,
                0.1 for a camera or stream.

        Raises:
            ConfigError: an option that makes no sense.
            VideoError: the source cannot be read. What could be read of a clip that is cut short comes as
                frames; `Video.notes` says what is missing (open the `Video` and use `follow`).
        """
        from mien.video.frames import Video, VideoOptions
        from mien.video.smooth import make_smoother, smooth_frames

        # not in the generator: errors come at the call
        video = Video(source, VideoOptions(every, fps, start, end))
        try:
            follower = self.follower(detect_every=detect_every)
            smoother = make_smoother(smooth, live=video.live)
        except ConfigError:
            video.close()
            raise

        def stream() -> Iterator[Frame]:
            with video:
                frames = (frame for frame, _ in self.follow(video, source=str(source), follower=follower))
                yield from smooth_frames(frames, smoother)

        return stream()

    def follow(
        self,
        video: Video | NewestFrame[VideoFrame] | Iterable[VideoFrame],
        *,
        source: str,
        follower: Follower | None = None,
    ) -> Iterator[tuple[Frame, Image]]:
        """The frames of an opened video, not smoothed, each with its (H, W, 3) RGB pixels.

        Decoding, detecting and classifying run side by side, some frames ahead of the one that is given. Of a
        camera or stream the newest frame comes next, and those that came meanwhile are skipped.

        Args:
            video: an opened video, or frames of one.
            source: its name in the frames.
            follower: finds and tracks the faces; None: `self.follower()`.
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
        from mien.video.ahead import NewestFrame
        from mien.video.frames import Video

        follower = follower or self.follower()
        if isinstance(video, Video) and video.live:
            video = NewestFrame.of(video)
        if isinstance(video, NewestFrame):
            return follower.one_by_one(video, source)
        return follower.batches(video, source)

    def follower(
        self, *, detect_every: int = 1, threads: int = 0, state: FollowerState | None = None
    ) -> Follower:
        """What finds and tracks the faces of one video.

        Args:
            detect_every: look for faces in every n-th frame only. Where two such frames show the same
                faces, these move in straight lines between; otherwise the frames between are detected too.
            threads: that detect and classify; 0: one per core.
            state: of another follower, to resume from.

        Raises:
            ConfigError: `detect_every` below 1.
        """
        from mien.video.follow import Follower

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
        crops = np.stack([self.crop(picture, face, card) for picture, face in flat])  # (N, S, S[, 3])
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
        ready = []
        for picture in map(np.asarray, crops):
            if picture.dtype != np.uint8 or picture.ndim not in (2, 3) or picture.shape[2:] not in ((), (3,)):
                raise ImageError(
                    f"expected crops (N, H, W) or (N, H, W, 3) of uint8, got {picture.dtype} of shape "
                    f"{picture.shape} for one of them; a single crop is given as crop[None]"
                )
            ready.append(fit(picture, self.classifier.card))
        return self.classifier(np.stack(ready)) if ready else np.empty((0, len(EMOTIONS)), np.float32)


def load(
    model: str | os.PathLike[str] | None = None,
    *,
    policy: str = ACCURATE,
    crops: bool = False,
    min_face: int | None = None,
    max_faces: int | None = None,
    region: tuple[float, float, float, float] | None = None,
    threads: int = 1,
    providers: Sequence[str] | None = None,
) -> Analyzer:
    """An analyzer with the detector and the network that come with Mien: no download, no torch.

    Args:
        model: an ONNX file that `mien export` wrote, or the name of a shipped network; None: the default one.
        policy: how probabilities become the emotion shown: "accurate", the likeliest, or "balanced", which
            finds more of the rare emotions and is wrong more often. The probabilities stay the same.
        crops: pictures already are faces, so that nothing is to be detected.
        min_face: pixels; smaller faces are left out. None: the detector's own limit.
        max_faces: at most this many of each picture, the largest. None: all.
        region: x, y, width, height in pixels; faces whose middle lies elsewhere are left out. None: none are.
        threads: threads inside the networks; with several worker processes keep it at 1.
        providers: execution providers of ONNX Runtime, the preferred first, such as
            ["CUDAExecutionProvider"] where onnxruntime-gpu is installed. None: the processor.

    Raises:
        ConfigError: `min_face` or `max_faces` below 1, a region that is none or with `crops`, no such
            provider, or the network has no such policy.
        ModelError: no such file, not an ONNX network with its card, or a shipped file was altered.
    """
    if max_faces is not None and max_faces < 1:
        raise ConfigError(f"max_faces: expected at least 1 or None for all, got {max_faces}")
    if region is not None and crops:
        raise ConfigError("region: pictures that already are faces have none; leave out region or crops")
    providers = providers or CPU
    classifier = Classifier.load(None if model is None else Path(model), threads=threads, providers=providers)
    chosen = classifier.card.policy(policy)
    if crops:
        return Analyzer(WholePicture(), classifier, crop=crop_whole, max_faces=max_faces, policy=chosen)
    network = YuNetNetwork(threads, providers)  # opened when a picture is first looked at
    photo: Detector
    clip: Detector
    photo, clip = (
        YuNet(options if min_face is None else replace(options, min_face=min_face), network=network)
        for options in (DetectorOptions(), DetectorOptions.video())
    )
    if region is not None:
        photo, clip = RegionDetector(photo, region), RegionDetector(clip, region)
    return Analyzer(photo, classifier, clip, max_faces=max_faces, policy=chosen)
