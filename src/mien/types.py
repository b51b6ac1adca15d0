"""The records that pass between rooms: frozen, their shapes checked once, when they are made.

Legend: N samples or faces, H rows, W columns; boxes and landmarks are in pixels of the
picture they were found in, origin top left, x to the right and y down.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from html import escape
from math import ceil, floor
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mien.errors import ImageError
from mien.image import make_preview, read_image
from mien.labels import EMOTIONS
from mien.pixels import Floats, Image, check_shape
from mien.units import ACTION_UNITS, GAZE, UNITS, estimate_action_units, estimate_gaze

if TYPE_CHECKING:
    from mien.image import ImageSource

__all__ = [
    "ALL_COLUMNS",
    "COLUMNS",
    "EXTRA_COLUMNS",
    "FACE_COLUMNS",
    "LANDMARKS",
    "POSE",
    "SMOOTHED",
    "Cell",
    "Face",
    "Floats",
    "Frame",
    "Image",
    "Row",
    "Sample",
    "check_shape",
]

#: A value of a cell; None is an empty cell. Probabilities and boxes are the float32 values, held exactly.
Cell = str | int | float | tuple[str, ...] | None
Row = dict[str, Cell]

#: Columns of a clip's probabilities smoothed over time, in the order of EMOTIONS; empty for photos.
SMOOTHED: Final = tuple(f"smoothed_{emotion}" for emotion in EMOTIONS)
#: Columns of the five landmarks; left is left in the picture.
LANDMARKS: Final = tuple(
    f"{point}_{axis}"
    for point in ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
    for axis in ("x", "y")
)
#: Columns of the head's turn, in degrees.
POSE: Final = ("yaw", "pitch", "roll")
#: What rows tell of a face, in the order of a table: its attributes, each with the type of its numbers, named
#: as pyarrow names it (`list` is a list of texts), and their columns. A new field of `Face` that belongs into
#: tables gets its line here.
FACE_COLUMNS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "track": ("int32", ("track",)),
    "box": ("float32", ("x", "y", "width", "height")),
    "score": ("float32", ("score",)),
    "pose": ("float32", POSE),
    "quality": ("float32", ("quality",)),
    "emotion": ("string", ("emotion",)),
    "confidence": ("float32", ("confidence",)),
    "probabilities": ("float32", EMOTIONS),
    "set": ("list", ("set",)),
    "uncertain": ("int32", ("uncertain",)),
    "smoothed": ("float32", SMOOTHED),
    "landmarks": ("float32", LANDMARKS),
    "movements": ("float32", UNITS),
    "action_units": ("float32", tuple(ACTION_UNITS)),
    "gaze": ("float32", GAZE),
}
#: Columns that a table has where they are asked for, by the name of the option.
EXTRA_COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "landmarks": LANDMARKS,
    "units": (*UNITS, *ACTION_UNITS),
    "gaze": GAZE,
}
#: Columns of the results table, in their order, before those of `EXTRA_COLUMNS`.
COLUMNS: Final = (
    "source", "frame", "time", "face", "track", "success",
    *(
        c for one, (_, columns) in FACE_COLUMNS.items() if one != "track" for c in columns
        if all(c not in extra for extra in EXTRA_COLUMNS.values())
    ),
)  # fmt: skip
#: All that a row has.
ALL_COLUMNS: Final = (*COLUMNS, *(c for extra in EXTRA_COLUMNS.values() for c in extra))


#: Of the arrays of a face that need not be there.
_SHAPES: Final = {
    "probabilities": (len(EMOTIONS),), "smoothed": (len(EMOTIONS),), "pose": (3,), "movements": (len(UNITS),),
    "landmarks_dense": (146, 2),
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face in one frame, and the expression it shows once it has been classified."""

    box: tuple[float, float, float, float]  # x, y, width, height in pixels; may reach past the edge
    landmarks: Floats  # (5, 2) x, y: eye, eye, nose tip, mouth corner, mouth corner; image left first
    score: float  # detection score in [0, 1]
    track: int | None = None  # the same number for the same face through a clip; None in a photo
    probabilities: Floats | None = None  # (8,) in the order of EMOTIONS, sum 1; None: not classified
    shown: int | None = None  # index of the emotion that the policy chose; None: the likeliest
    set: tuple[str, ...] | None = None  # emotions it may be, likeliest first; None: the network knows no sets
    uncertain: bool | None = None  # confidence x quality below the card's threshold; None: the card has none
    smoothed: Floats | None = None  # (8,) probabilities smoothed over time, along its track; None: not so
    pose: Floats | None = None  # (3,) yaw, pitch and roll in degrees; None, as what follows: not looked at
    quality: float | None = None  # in [0, 1]: how well it can be read, of light, sharpness, turn and cover
    movements: Floats | None = None  # (45,) in [0, 1], in the order of `units.UNITS`
    landmarks_dense: Floats | None = None  # (146, 2) x, y: those of MediaPipe's mesh in `docs/face.md`

    def __post_init__(self) -> None:
        check_shape("Face.landmarks", self.landmarks, (5, 2))
        for name, shape in _SHAPES.items():
            if (values := getattr(self, name)) is not None:
                check_shape(f"Face.{name}", values, shape)

    @property
    def emotion(self) -> str | None:
        """The expression that the policy chose; without one, that with the highest probability."""
        return None if self.probabilities is None else EMOTIONS[self._index(self.probabilities)]

    @property
    def confidence(self) -> float | None:
        """The probability of `emotion`."""
        p = self.probabilities
        return None if p is None else float(p[self._index(p)])

    @property
    def yaw(self) -> float | None:
        """Degrees by which the nose points to the picture's left."""
        return None if self.pose is None else float(self.pose[0])

    @property
    def pitch(self) -> float | None:
        """Degrees by which the nose points down; a face that looks into the camera has about 6."""
        return None if self.pose is None else float(self.pose[1])

    @property
    def roll(self) -> float | None:
        """Degrees by which the head leans: above 0 clockwise in the picture."""
        return None if self.pose is None else float(self.pose[2])

    @property
    def units(self) -> dict[str, float]:
        """The movements by their ARKit names, from 0 to 1; empty where the face was not looked at."""
        return {} if self.movements is None else dict(zip(UNITS, self.movements.tolist(), strict=True))

    @property
    def action_units(self) -> dict[str, float]:
        """The action units of FACS, from 0 to 1, as `units.ACTION_UNITS` estimates them."""
        return {} if self.movements is None else estimate_action_units(self.units)

    @property
    def gaze(self) -> tuple[float, float] | None:
        """Degrees by which the eyes are turned in the head: to the picture's left, and downwards."""
        return None if self.movements is None else estimate_gaze(self.units)

    def __iter__(self) -> Iterator[tuple[str, float]]:
        """Each emotion with its probability, as `dict(face)` takes them; none before it is classified."""
        return iter(
            [] if self.probabilities is None else zip(EMOTIONS, self.probabilities.tolist(), strict=True)
        )

    def __len__(self) -> int:
        return 0 if self.probabilities is None else len(EMOTIONS)

    def __bool__(self) -> bool:
        return True  # whatever its length

    def __repr__(self) -> str:
        shown = "not classified" if self.emotion is None else f"{self.emotion} {self.confidence:.2f}"
        unsure = ", uncertain" if self.uncertain else ""
        track = "" if self.track is None else f", track {self.track}"
        x, y, width, height = (round(float(value)) for value in self.box)
        return (
            f"<Face: {shown}{unsure}{track}, {width} x {height} pixels at ({x}, {y}), score {self.score:.2f}>"
        )

    def to_dict(self) -> dict[str, Any]:
        """All that is known of it, ready for JSON: probabilities by emotion, arrays as lists."""
        named = {"emotion": self.emotion, "confidence": self.confidence}
        held = {one.name: _plain(getattr(self, one.name)) for one in fields(self)}
        held["units"], held["action_units"] = self.units, self.action_units
        return named | {name: value for name, value in held.items() if name not in {"shown", "movements"}}

    def to_row(self) -> Row:
        """Its cells in a table, by column."""
        row: Row = {}
        for name, (_, columns) in FACE_COLUMNS.items():
            value = getattr(self, name)
            if len(columns) == 1:
                row[columns[0]] = _cell(value)
            else:
                held = list(value.values()) if isinstance(value, dict) else value
                some = held is not None and len(held) > 0
                cells = np.asarray(held, np.float32).ravel().tolist() if some else [None] * len(columns)
                row.update(zip(columns, cells, strict=True))
        return row

    def crop(self, picture: ImageSource, *, margin: float = 0.0) -> Image:
        """The part of the picture in its box, (H, W, 3) uint8: a copy, cut at the picture's edge.

        Args:
            picture: what it was found in, as `Analyzer.image` takes it.
            margin: the share of the box's width and height to add on each side.

        Raises:
            ImageError: the picture cannot be read, or the box lies outside it.
        """
        pixels = read_image(picture).pixels
        x, y, width, height = self.box
        left, top = max(0, floor(x - margin * width)), max(0, floor(y - margin * height))
        right, bottom = ceil(x + (1 + margin) * width), ceil(y + (1 + margin) * height)
        part = pixels[top : max(0, bottom), left : max(0, right)]
        if not part.size:
            raise ImageError(
                f"expected the picture that the face was found in, its box {self.box} lies outside of "
                f"{pixels.shape[1]} x {pixels.shape[0]} pixels; give that picture"
            )
        return part.copy()

    def _index(self, probabilities: Floats) -> int:
        return int(probabilities.argmax()) if self.shown is None else self.shown


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture with its time and faces; a photo is a video of one frame.

    It holds no pixels, so that a list of the frames of a long clip stays small; in notebooks a small copy of
    a picture that is no file.
    """

    source: str  # path or name of what was read
    index: int  # 0 for a photo; the position among the decoded frames of a clip
    time: float | None  # seconds, the container's own time stamp; None for a photo
    faces: tuple[Face, ...]  # largest first
    notes: tuple[str, ...] = ()  # what the reader should know, e.g. "animated: first frame used"
    error: str = ""  # why it could not be read (`Analyzer.images`)
    size: tuple[int, int] | None = None  # width, height in pixels; None: not known
    preview: str = ""  # data URI of a small copy of what is no file, made in notebooks

    def __iter__(self) -> Iterator[Face]:
        return iter(self.faces)

    def __len__(self) -> int:
        return len(self.faces)

    def __repr__(self) -> str:
        name = repr(self.source) if self.source else "picture"
        place = "" if self.time is None else f" frame {self.index} at {self.time:.3f} s"
        if self.error:
            return f"<Frame: {name}{place}, not read: {self.error}>"
        shown = "".join(f"\n  {face!r}" for face in self.faces)
        return f"<Frame: {name}{place}, {len(self.faces)} face{'' if len(self.faces) == 1 else 's'}{shown}>"

    def to_dict(self) -> dict[str, Any]:
        """All that is known of it, ready for JSON."""
        rest = {one.name: _plain(getattr(self, one.name)) for one in fields(self) if one.name != "preview"}
        return rest | {"faces": [face.to_dict() for face in self.faces]}

    def to_rows(self) -> list[Row]:
        """Its rows in a table, `ALL_COLUMNS`: one per face, or one with `success` 0."""
        time = None if self.time is None else float(self.time)  # a NumPy number would be written otherwise
        empty: Row = dict.fromkeys(ALL_COLUMNS)
        empty |= {"source": self.source, "frame": int(self.index), "time": time, "success": 0}
        return [empty | face.to_row() | {"face": i, "success": 1} for i, face in enumerate(self.faces)] or [
            empty
        ]

    def _repr_html_(self) -> str:
        """For notebooks: the picture with numbered boxes, and a table of the faces."""
        shown, preview = "", self.preview
        if not preview and self.source and self.time is None:
            with suppress(ImageError):  # it was moved
                preview = make_preview(read_image(self.source).pixels)
        if preview and self.size:
            width, height = self.size
            line = max(self.size) / 200
            boxes = "".join(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" fill="none" '
                f'stroke="#f0e442" stroke-width="{line:.1f}"/>'
                f'<text x="{x + 2 * line:.1f}" y="{y + 8 * line:.1f}" '
                f'fill="#f0e442" font-size="{7 * line:.1f}">{i}</text>'
                for i, (x, y, w, h) in enumerate(face.box for face in self.faces)
            )
            shown = (
                f'<svg viewBox="0 0 {width} {height}" style="max-width:100%;max-height:480px">'
                f'<image href="{preview}" width="{width}" height="{height}"/>{boxes}</svg>'
            )
        rows = "".join(
            f"<tr><td>{i}</td><td>{face.emotion or ''}</td><td>{face.confidence or 0:.2f}</td>"
            f"<td>{'yes' if face.uncertain else ''}</td>"
            f"<td>{'' if face.track is None else face.track}</td></tr>"
            for i, face in enumerate(self.faces)
        )
        head = "".join(f"<th>{name}</th>" for name in ("face", "emotion", "confidence", "uncertain", "track"))
        title = escape(repr(self).splitlines()[0].strip("<>"))
        return f"<div><p>{title}</p>{shown}<table><tr>{head}</tr>{rows}</table></div>"


def _plain(value: Any) -> Any:
    """A value of a record as JSON has it; (8,) arrays by the name of the emotion."""
    if isinstance(value, np.ndarray):
        plain = value.tolist()
        return dict(zip(EMOTIONS, plain, strict=True)) if value.shape == (len(EMOTIONS),) else plain
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value


def _cell(value: Any) -> Cell:
    """A single value as a cell; yes and no as 1 and 0."""
    plain: Cell = value.item() if isinstance(value, np.generic) else value
    return int(plain) if isinstance(plain, bool) else plain


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled (or unlabelled) face of a corpus; pixels are read through its `Corpus`."""

    name: str  # unique within the corpus
    votes: tuple[int, ...] = ()  # (8,) votes in the order of EMOTIONS; one vote if one label; () if none
    unknown: int = 0  # votes for "unknown" (FER+)
    not_face: int = 0  # votes for "not a face" (FER+)
    person: str | None = None  # identity, where the corpus knows it
    tags: Mapping[str, str] = field(default_factory=dict)  # e.g. age, gender, race

    def __post_init__(self) -> None:
        if len(self.votes) not in (0, len(EMOTIONS)):
            raise ValueError(f"Sample.votes: expected 0 or {len(EMOTIONS)} counts, got {len(self.votes)}")
