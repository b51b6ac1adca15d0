"""Pictures and clips to faces with the expression that each shows: detector, crop and classifier together.

Legend: N faces, H rows, W columns.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mien.card import ACCURATE, ModelCard, Policy
from mien.config import DETECT_EVERY, count_cores
from mien.errors import ConfigError, ImageError, MienError, shorten
from mien.faces.align import crop, fit
from mien.faces.detect import Detector, DetectorOptions, RegionDetector, WholePicture, YuNet, keep_largest
from mien.faces.network import CPU, Classifier
from mien.faces.parts import PartsNetwork
from mien.faces.policy import label_faces
from mien.faces.yunet import YuNetNetwork
from mien.image import make_preview, read_image
from mien.labels import EMOTIONS
from mien.types import Face, Floats, Frame, Image

if TYPE_CHECKING:
    from mien.image import ImageSource
    from mien.video.ahead import NewestFrame
    from mien.video.follow import Follower, FollowerState, FrameBatch
    from mien.video.frames import Video, VideoFrame, VideoSource

NOTEBOOKS: Final = frozenset({"IPython", "marimo"})  # the modules of programs that show pictures
BATCH: Final = 16  # pictures whose faces are classified together
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
    parts: PartsNetwork | None = None  # looks at faces of a detector that did not; None: nobody does

    def image(self, source: ImageSource, *, white: float | None = None, color: str = "rgb") -> Frame:
        """The faces of one picture.

        >>> analyzer = load()
        >>> frame = analyzer.image(np.zeros((64, 64, 3), np.uint8))
        >>> frame.faces
        ()

        Args:
            source: a path; the bytes of a file; these as base64 or a data URI; an open binary file; a PIL
                image; or an array or tensor: (H, W, 3) RGB, (H, W, 4) RGBA, (H, W) gray or (3, H, W), of
                uint8, bool, float in [0, 1], or any numbers with `white`.
            white: of an array: the value that is shown white, such as 4095 for 12 bits.
            color: of an array: "rgb", or "bgr" for what OpenCV reads.

        Raises:
            ConfigError: `white` or `color` makes no sense.
            ImageError: the picture cannot be read; the message says why.
        """
        picture = read_image(source, white=white, color=color)
        frame = self.frame(picture.pixels, source=picture.path, notes=picture.notes)
        shown = not picture.path and not NOTEBOOKS.isdisjoint(sys.modules)
        return replace(frame, preview=make_preview(picture.pixels)) if shown else frame

    def images(
        self, sources: Iterable[ImageSource], *, white: float | None = None, color: str = "rgb"
    ) -> list[Frame]:
        """The faces of several pictures, in their order; those of some at a time are classified in one batch.

        One that cannot be read is a frame without faces whose `error` says why.

        >>> analyzer = load()
        >>> black, absent = analyzer.images([np.zeros((64, 64), np.uint8), "nowhere.jpg"])
        >>> absent.error[:36]
        "expected a picture file, 'nowhere.jp"

        Args:
            sources: each as `image` takes it, also a column of paths of pandas; one without a path is named
                by its place, `[0]`, `[1]`, ...
            white: of arrays; see `image`.
            color: of arrays; see `image`.
        """
        dimensions = getattr(sources, "ndim", 4)
        column = dimensions == 1 and getattr(getattr(sources, "dtype", None), "kind", "") in {"O", "U", "T"}
        if isinstance(sources, str | bytes | os.PathLike) or (dimensions < 4 and not column):
            raise ImageError(
                f"expected several pictures, got a {type(sources).__name__}; one is read by `image`; give "
                "several as a list"
            )
        card = self.classifier.card

        def find(item: tuple[int, ImageSource]) -> tuple[Frame, list[Image]]:
            place, source = item
            name = shorten(os.fspath(source)) if isinstance(source, str | os.PathLike) else f"[{place}]"
            try:
                picture = read_image(source, white=white, color=color)
                faces = self._find(picture.pixels)
                crops = [self.crop(picture.pixels, face, card) for face in faces]
            except ConfigError:
                raise
            except Exception as error:  # noqa: BLE001 - one bad picture never ends the others
                text = str(error) if isinstance(error, MienError) else f"{type(error).__name__}: {error}"
                return Frame(name, 0, None, (), error=text), []
            size = picture.pixels.shape[1], picture.pixels.shape[0]
            return Frame(name, 0, None, tuple(faces), picture.notes, size=size), crops

        frames: list[Frame] = []
        numbered = enumerate(sources)
        with ThreadPoolExecutor(count_cores()) as pool:
            while found := list(pool.map(find, islice(numbered, BATCH))):
                flat = [face for frame, _ in found for face in frame]
                read = iter(self._read(flat, [crop for _, crops in found for crop in crops]))
                frames += [replace(frame, faces=tuple(islice(read, len(frame)))) for frame, _ in found]
        return frames

    def video(  # noqa: PLR0913 - each is one choice of a user
        self,
        source: VideoSource | Iterable[ImageSource | tuple[float, ImageSource]],
        *,
        every: int = 1,
        fps: float | None = None,
        start: float | None = None,
        end: float | None = None,
        detect_every: int = DETECT_EVERY,
        smooth: float | None = None,
        rate: float | None = None,
        times: Iterable[float] | None = None,
        white: float | None = None,
        color: str = "rgb",
    ) -> Iterator[Frame]:
        """The frames of a clip, camera or stream, one after the other, in constant memory.

        Faces carry tracks, and probabilities smoothed over time (`Face.smoothed`). Smoothing a clip looks
        ahead, so frames come `smooth` seconds late; those of a camera or stream come at once.
        `mien.video.events.find_events` makes events of them.

        Args:
            source: the path, the bytes or the open binary file of a clip; the number of a camera; the address
                of a stream; or pictures one after the other (a list, a generator, an (N, H, W, 3) array),
                each as `image` takes it, with `rate` or `times`, or in pairs of its time and itself.
            every: take every n-th frame.
            fps: or take this many frames per second, by the clip's own time stamps.
            start: seconds by time stamp; frames before it are left out.
            end: seconds by time stamp; frames from it on are left out.
            detect_every: look for faces in every n-th of these frames only; see `follower`.
            smooth: seconds over which probabilities are smoothed; 0: not at all. None: 0.2 for a clip,
                0.1 for a camera or stream.
            rate: of pictures: how many per second.
            times: of pictures: the time of each, in seconds.
            white: of pictures that are arrays; see `image`.
            color: of pictures that are arrays; see `image`.

        Raises:
            ConfigError: an option that makes no sense.
            VideoError: the source cannot be read. What could be read of a clip that is cut short comes as
                frames; `Video.notes` says what is missing (open the `Video` and use `follow`).
        """
        from mien.video.frames import Video, VideoOptions
        from mien.video.pictures import PictureReader
        from mien.video.smooth import make_smoother, smooth_frames

        # not in the generator: errors come at the call
        options = VideoOptions(every, fps, start, end)
        place: Any = source
        text = isinstance(source, str | bytes | bytearray | memoryview)
        if isinstance(source, Iterable) and not text and not hasattr(source, "read"):
            place = PictureReader(place, rate=rate, times=times, white=white, color=color)
        elif rate is not None or times is not None:
            raise ConfigError(
                "expected rate or times with pictures in hand; a clip has its own, leave them out"
            )
        video = Video(place, options)
        try:
            follower = self.follower(detect_every=detect_every)
            smoother = make_smoother(smooth, live=video.live)
        except ConfigError:
            video.close()
            raise

        def stream() -> Iterator[Frame]:
            with video:
                frames = (frame for frame, _ in self.follow(video, source=video.name, follower=follower))
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
        self, *, detect_every: int = DETECT_EVERY, threads: int = 0, state: FollowerState | None = None
    ) -> Follower:
        """What finds and tracks the faces of one video.

        Args:
            detect_every: look for faces in every n-th frame only. Where two such frames show the same
                faces, the face network follows them through those between; otherwise, and with a detector
                whose landmarks are not that network's, these are detected too.
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
            lambda pixels: self._find(pixels, detector),
            self.read_faces,
            follow=None if (parts := getattr(detector, "parts", None)) is None else parts.follow,
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
        faces = self._find(pixels)
        read = tuple(self.read_faces([pixels], [faces])[0])
        return Frame(source, index, time, read, notes, size=(pixels.shape[1], pixels.shape[0]))

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
        card = self.classifier.card
        crops = [self.crop(picture, face, card) for picture, face in flat]  # (S, S[, 3]) each
        read = iter(self._read([face for _, face in flat], crops))
        return [[next(read) for _ in some] for some in faces]

    def _find(self, pixels: Image, detector: Detector | None = None) -> list[Face]:
        """The faces of a picture, with all that is known of them but their expression."""
        found = (detector or self.detector).detect(pixels)
        # a detector of one's own may give them in another order, or one by one
        faces = keep_largest(sorted(found, key=lambda face: -face.box[2] * face.box[3]), self.max_faces)
        return faces if self.parts is None else self.parts.complete(pixels, faces)

    def _read(self, faces: list[Face], crops: Sequence[Image]) -> list[Face]:
        card = self.classifier.card
        policy = self.policy or card.policy(ACCURATE)
        return label_faces(faces, self.classifier(np.stack(crops)), policy, card.uncertain) if faces else []

    def classify(
        self,
        crops: ImageSource | Iterable[ImageSource],
        *,
        white: float | None = None,
        color: str = "rgb",
    ) -> Floats:
        """The probabilities of pictures that already are faces.

        >>> analyzer = load()
        >>> probabilities = analyzer.classify(np.zeros((2, 64, 64), np.uint8))
        >>> probabilities.shape, probabilities.sum(axis=1).round(3).tolist()
        ((2, 8), [1.0, 1.0])

        Args:
            crops: N pictures in an array or tensor, (N, H, W) gray, (N, H, W, 3) RGB or (N, 3, H, W), or in a
                list, where sizes may differ and each is whatever `image` takes; or one alone. H and W are at
                least 48; the middle square of each is used.
            white: of arrays; see `image`.
            color: of arrays; see `image`.

        Returns:
            (N, 8) float32 in the order of `mien.EMOTIONS`, each row sums to 1; (8,) for one crop alone.

        Raises:
            ConfigError: `white` or `color` makes no sense.
            ImageError: one that cannot be read, or is too small.
        """
        shape = getattr(crops, "shape", None)
        if shape is None:  # a list, or one picture that is no array
            alone = (
                isinstance(crops, str | bytes | bytearray | memoryview | os.PathLike)
                or not isinstance(crops, Iterable)
                or hasattr(crops, "read")
            )
        else:
            alone = len(shape) < 3 or (len(shape) == 3 and shape[2] in {1, 3, 4})
        ready = []
        given: Any = [crops] if alone else crops
        for one in given:
            plain = isinstance(one, np.ndarray) and one.dtype == np.uint8 and one.ndim == 2
            pixels = one if plain else read_image(one, white=white, color=color).pixels
            ready.append(fit(pixels, self.classifier.card))
        if not ready:
            return np.empty((0, len(EMOTIONS)), np.float32)
        probabilities = self.classifier(np.stack(ready))
        return probabilities[0] if alone else probabilities


def load(  # noqa: PLR0913 - each is one choice of a user
    model: str | os.PathLike[str] | None = None,
    *,
    policy: str = ACCURATE,
    crops: bool = False,
    min_face: int | None = None,
    min_score: float | None = None,
    max_faces: int | None = None,
    region: tuple[float, float, float, float] | None = None,
    threads: int = 1,
    device: str | None = None,
    providers: Sequence[str] | None = None,
) -> Analyzer:
    """An analyzer with the detector and the network that come with Mien: no download, no torch.

    Args:
        model: an ONNX file that `mien export` wrote, or the name of a shipped network; None: the default one.
        policy: how probabilities become the emotion shown: "accurate", the likeliest with a slight lean
            to rare emotions, or "balanced", which finds more of those and is wrong more often. The
            probabilities stay the same.
        crops: pictures already are faces, so that nothing is to be detected.
        min_face: pixels; smaller faces are left out. None: the detector's own limit.
        min_score: detection score in [0, 1]; faces with less are left out. None: the detector's own limit.
        max_faces: at most this many of each picture, the largest of those that are surely faces, then of the
            others. None: all that are found; Mien's own detector looks at the 400 likeliest.
        region: x, y, width, height in pixels; faces whose middle lies elsewhere are left out. None: none are.
        threads: threads inside the networks; with several worker processes keep it at 1.
        device: what runs the networks: "cpu", "cuda" ("cuda:1" is the second card), "coreml", "directml" or
            "openvino"; what is missing for it is said, with the command that installs it. None: "cpu".
        providers: or several of these, or execution providers of ONNX Runtime, the preferred first.

    Raises:
        ConfigError: `min_face` or `max_faces` below 1, `min_score` outside of [0, 1], a region that is none
            or with `crops`, a device that is not there, or the network has no such policy.
        ModelError: no such file, not an ONNX network with its card, or a shipped file was altered.
    """
    for name, number in (("min_face", min_face), ("max_faces", max_faces)):
        if number is not None and not (isinstance(number, Integral) and number >= 1):
            raise ConfigError(f"{name}: expected a whole number from 1, or None, got {number!r}")
    if min_score is not None and not 0 <= min_score <= 1:
        raise ConfigError(f"min_score: expected a number from 0 to 1, got {min_score}")
    if region is not None and crops:
        raise ConfigError("region: pictures that already are faces have none; leave out region or crops")
    if device is not None and providers:
        raise ConfigError(f"expected device or providers, got both ({device}, {', '.join(providers)})")
    providers = providers or (CPU if device is None else (device,))
    classifier = Classifier.load(None if model is None else Path(model), threads=threads, providers=providers)
    chosen = classifier.card.policy(policy)
    parts = PartsNetwork(threads, providers)
    if crops:
        return Analyzer(
            WholePicture(), classifier, crop=crop_whole, max_faces=max_faces, policy=chosen, parts=parts
        )
    network = YuNetNetwork(threads, providers)  # opened when a picture is first looked at
    limits: dict[str, Any] = {} if min_face is None else {"min_face": min_face}
    if min_score is not None:
        limits["threshold"] = min_score
    photo: Detector
    clip: Detector
    photo, clip = (
        YuNet(replace(options, **limits), network=network, parts=parts)
        for options in (DetectorOptions(), DetectorOptions.video())
    )
    if region is not None:
        photo, clip = RegionDetector(photo, region), RegionDetector(clip, region)
    return Analyzer(photo, classifier, clip, max_faces=max_faces, policy=chosen, parts=parts)
