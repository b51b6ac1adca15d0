"""Mien's table and people's codes side by side: moment by moment, and event by event.

Time is cut into moments of one step; a moment holds what is shown at its middle. In Mien's table a frame
lasts until the next one begins, the last one as long as the one before it. A photo is one moment. What one
rater says of one face at one moment is one of `LABELS`, or missing: not coded, "cannot tell", coded twice and
differently, or no face was read.

Legend: R raters, T moments of one clip, F its frames, E = 8 emotions.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from math import ceil
from pathlib import Path, PurePath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mien.errors import ConfigError, DataError, list_few
from mien.evaluate.codes import CANNOT_TELL, CODES, NONE, Code, base_name, read_codes
from mien.labels import EMOTIONS
from mien.results.rows import Row
from mien.results.summary import read_face
from mien.results.table_reader import ENDINGS, NEEDED, open_table, read_table
from mien.types import Frame
from mien.video.events import EXPRESSIONS, EventFinder

MIEN: Final = "Mien"
LABELS: Final = CODES[: CODES.index(CANNOT_TELL)]
#: What time without a code can mean.
GAPS: Final = ("missing", "neutral", NONE)
#: Of moments: not coded; coded twice and differently. "cannot tell" is the third that is no label.
_UNCODED, _TWICE = -1, -2
#: Of faces: seen without a number; nobody is seen.
_UNNUMBERED, _NOBODY = -1, -2
_SMALLEST: Final = 1e-9  # seconds: sums of time stamps are not exact

Labels = NDArray[np.int64]
Readings = NDArray[np.float64]  # (..., 2 + E) label, 1 doubtful or 0 certain, probabilities
#: Of a face that is not read.
_UNREAD: Final = np.array([_UNCODED, -1, *[np.nan] * len(EMOTIONS)])
Stretch = tuple[str, float, float]  # expression, onset and offset in seconds


@dataclass(frozen=True, slots=True)
class AgreeOptions:
    """How ratings are read and compared.

    Raises:
        ConfigError: times or numbers that are not above 0, or an unknown meaning of gaps.
    """

    step: float = 0.1  # seconds of a moment
    tolerance: float = 0.5  # seconds by which onsets and offsets of one event may differ
    gaps: str = "missing"  # what a coder's time without a code means, one of `GAPS`
    names: Mapping[str, str] = field(default_factory=dict)  # a word in the files to a code; "": leave it out
    fps: float | None = None  # of codes that count in frames
    intensity_max: float = 1.0  # the highest intensity that coders give
    draws: int = 2000  # of the bootstrap
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("step", "intensity_max", "draws"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name}: expected a number above 0, got {getattr(self, name)}")
        if not self.tolerance >= 0:
            raise ConfigError(f"tolerance: expected 0 seconds or more, got {self.tolerance}")
        if self.gaps not in GAPS:
            raise ConfigError(f"gaps: expected one of {', '.join(GAPS)}, got {self.gaps!r}")


@dataclass(frozen=True, slots=True, eq=False)
class FaceRatings:
    """One face of one clip, or one face of a photo."""

    clip: int  # index in `Ratings.clips`
    track: int  # its number; below 0: seen without a number, or nobody is seen
    step: float  # seconds of a moment; 0 in a photo
    labels: Labels  # (R, T) indices in LABELS, below 0 where missing
    probabilities: NDArray[np.float64]  # (T, E) Mien's, nan where no face was read
    uncertain: NDArray[np.int64]  # (T,) 1 doubtful, 0 certain, -1 not known
    intensity: dict[int, NDArray[np.float64]]  # rater to (T, E), nan where missing
    events: tuple[list[Stretch], ...]  # of each rater, by onset


@dataclass(slots=True, eq=False)
class Ratings:
    """All that is compared, and what is not."""

    raters: tuple[str, ...]
    mien: str  # what the first rater is: "frames" or "events" of Mien; "" if it is a person
    clips: tuple[str, ...]
    notes: list[str]  # what the reader must know
    faces: list[FaceRatings] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # by what it is


def read_ratings(table: Path, codes: Sequence[str | Path | Code], options: AgreeOptions) -> Ratings:
    """Mien's table and codes by people, matched.

    Args:
        table: of frames or of events, as `mien analyze` wrote it; or further codes, to compare people alone.
        codes: files, folders, or "NAME=PATH" with the coder's name, as `read_codes` reads them; or codes.
        options: how to read them.

    Raises:
        DataError: a file cannot be read, nothing can be compared, or codes do not fit their clips.
        ConfigError: options that make no sense.
    """
    notes: list[str] = []
    shown, mine, people, kind = _read_table(table, options, notes)
    for one in codes:
        people += [one] if isinstance(one, Code) else _read_named(one, options, notes)
    if kind and (strange := [code.source for code in people if code.coder == MIEN]):
        raise DataError(
            f"expected codes by people, got some of a coder called {MIEN} ({strange[0]}); give Mien's own "
            "events as TABLE, or give the coder another name: NAME=PATH"
        )
    raters = (*([MIEN] if kind else []), *sorted({code.coder for code in people}))
    if len(raters) < 2:
        raise DataError(f"expected two raters at least, got {', '.join(raters)} alone; give more codes")
    sources = list(shown) or list(dict.fromkeys(code.source for code in mine))
    places, unmatched = match_sources(people, sources)
    if kind and len(unmatched) == len(places):
        there, got = (list_few([base_name(one) for one in some], 5) for some in (sources, places))
        raise DataError(
            f"expected codes of what is in {table} ({there}), got codes of {got} alone; check that the "
            "files have the same names"
        )
    by_clip: dict[str, list[Code]] = defaultdict(list)
    for code in [*people, *mine]:
        by_clip[places.get(code.source, code.source)].append(code)
    if kind:
        coded = set(places.values())
        by_clip = {source: held for source, held in by_clip.items() if source in coded}
    ratings = Ratings(raters, kind, tuple(by_clip), notes)
    if kind:
        ratings.left_out["not in the table: people are compared among themselves alone"] += unmatched
        ratings.left_out["in the table, coded by nobody"] += [one for one in sources if one not in by_clip]
    tally: dict[str, Counter[str]] = {name: Counter() for name in raters}
    for number, (source, held) in enumerate(by_clip.items()):
        clip = shown.get(source)
        _check_codes(source, clip, held, options)
        _add_faces(ratings, number, clip, held, options, tally)
    _note_tally(ratings, tally, options)
    return ratings


# --- reading


@dataclass(slots=True)
class _Clip:
    """What a table tells of a clip or photo: its faces by track, with the frames that show them."""

    photo: bool = False
    times: list[float] = field(default_factory=list)  # (F,) seconds
    largest: list[int] = field(default_factory=list)  # (F,) the largest face
    faces: dict[int, list[tuple[int, Readings]]] = field(default_factory=lambda: defaultdict(list))
    events: dict[int, list[Stretch]] = field(default_factory=lambda: defaultdict(list))

    @property
    def end(self) -> float:
        """Seconds at which the last frame is over."""
        step = self.times[-1] - self.times[-2] if len(self.times) > 1 else 0.0
        return self.times[-1] + step


def _read_table(
    table: Path, options: AgreeOptions, notes: list[str]
) -> tuple[dict[str, _Clip], list[Code], list[Code], str]:
    """Mien's clips, Mien's events, people's codes, and whose table it is, as in `Ratings.mien`."""
    if table.suffix.lower() in ENDINGS and set(NEEDED) <= set(open_table(table).columns):
        return _read_frames(read_table(table)), [], [], "frames"
    codes = _read_named(table, options, notes)
    if {code.coder for code in codes} != {MIEN}:
        return {}, [], codes, ""
    notes.append(
        f"{table}: this is a table of events, so {MIEN} counts as neutral between them. It does not tell "
        "when no face was seen, nor which clips have no event; give the table of frames to count these"
    )
    return {}, codes, [], "events"


def _read_named(one: str | Path, options: AgreeOptions, notes: list[str]) -> list[Code]:
    """The codes of a path, or of "NAME=PATH"."""
    name, equals, path = str(one).partition("=")
    if not equals or Path(one).exists():
        name, path = "", str(one)
    return read_codes(Path(path), coder=name or None, names=options.names, fps=options.fps, notes=notes)


def _read_frames(rows: Iterable[Row]) -> dict[str, _Clip]:
    clips: dict[str, _Clip] = defaultdict(_Clip)
    for source, group in groupby(rows, key=lambda row: str(row["source"])):
        clip, finder = clips[source], EventFinder()
        events = []
        for (_, time), frame in groupby(group, key=lambda row: (row["frame"], row["time"])):
            found: list[Any] = [row for row in frame if row["success"]]
            found.sort(key=lambda row: row["face"] or 0)  # the largest first
            if isinstance(time, float):
                if clip.times and time <= clip.times[-1]:
                    continue  # a frame at the time of another lasts no time
            elif clip.times:
                continue  # where a clip broke off
            clip.photo = not isinstance(time, float)
            index, number = len(clip.times), "face" if clip.photo else "track"
            faces = [read_face(row) for row in found]
            tracks: list[Any] = [_UNNUMBERED if row[number] is None else row[number] for row in found]
            clip.times.append(time if isinstance(time, float) else 0.0)
            clip.largest.append(tracks[0] if tracks else _NOBODY)
            for track, row, face in zip(tracks, found, faces, strict=True):
                reading = _UNREAD.copy()
                if row["emotion"] is not None:
                    reading[0] = EMOTIONS.index(str(row["emotion"]))
                if row["uncertain"] is not None:
                    reading[1] = row["uncertain"]
                if (values := face.probabilities if face.smoothed is None else face.smoothed) is not None:
                    reading[2:] = values
                clip.faces[track].append((index, reading))
            if not clip.photo:
                events += finder.push(Frame(source, index, clip.times[-1], tuple(faces)))
        for event in [*events, *finder.flush()]:
            clip.events[event.track].append((event.emotion, event.onset, event.offset))
    return clips


# --- matching


def match_sources(codes: Iterable[Code], sources: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The clip of each source of codes: one of `sources`, or its bare name; and those that are unmatched.

    Names match whole, else without folders, else without their endings too; each only where it is clear.
    """
    keys: list[Callable[[str], str]] = [str, base_name, lambda text: PurePath(base_name(text)).stem]
    by_key: list[dict[str, list[str]]] = [defaultdict(list) for _ in keys]
    for source in sources:
        for known, key in zip(by_key, keys, strict=True):
            known[key(source)].append(source)
    places: dict[str, str] = {}
    unmatched = []
    for name in dict.fromkeys(code.source for code in codes):
        for known, key in zip(by_key, keys, strict=True):
            fits = known.get(key(name), [])
            if len(fits) == 1:
                places[name] = fits[0]
                break
        else:
            places[name] = base_name(name)
            unmatched.append(name)
    return places, unmatched


def _check_codes(source: str, clip: _Clip | None, codes: Sequence[Code], options: AgreeOptions) -> None:
    """Raise a `DataError` if codes do not fit their clip."""
    timed = [code for code in codes if code.start is not None]
    photo = clip.photo if clip else not timed
    strange = timed if photo else [code for code in codes if code.start is None]
    if strange:
        what, other = ("a photo", "with times") if photo else ("a clip", "without times")
        raise DataError(
            f"expected codes of {source}, {what}, got one by {strange[0].coder} {other}; correct that code"
        )
    late = [code for code in timed if clip and code.start and code.start > clip.end + options.step]
    if late and clip:
        raise DataError(
            f"expected codes within {source}, which ends at {clip.end:.3f} s in the table, got {len(late)} "
            f"later ones, the first by {late[0].coder} from {late[0].start} s; check that they belong "
            "to this clip and are in seconds, or analyse the whole clip"
        )
    strong = [code for code in codes if code.intensity and code.intensity > options.intensity_max]
    if strong:
        raise DataError(
            f"expected intensities from 0 to {options.intensity_max:g}, got {strong[0].intensity:g} by "
            f"{strong[0].coder} of {source}; give the highest one with --intensity-max"
        )


# --- moments


@dataclass(slots=True, eq=False)
class _Grid:
    """The moments of a clip, as they fill."""

    step: float  # seconds
    raters: int  # R
    seen: dict[int, Readings] | None  # by face, (T, 2 + E); None: no table says
    largest: Labels  # (T,) the face that is meant where a code names none
    labels: dict[int, Labels] = field(default_factory=dict)  # by face, (R, T)
    strengths: dict[int, dict[int, NDArray[np.float64]]] = field(default_factory=lambda: defaultdict(dict))
    events: dict[tuple[int, int], list[Stretch]] = field(default_factory=lambda: defaultdict(list))

    def readings(self, face: int) -> Readings:
        """(T, 2 + E) what the table says of a face at each moment."""
        found = (self.seen or {}).get(face)
        return np.tile(_UNREAD, (len(self.largest), 1)) if found is None else found

    def add(self, r: int, track: int, codes: Sequence[Code], options: AgreeOptions) -> Counter[str]:
        """Add what a rater says of a face, or of whoever is largest; what of it is missing is counted."""
        moments = len(self.largest)
        painted, strength, tally = _paint(codes, moments, self.step, options)
        for face in np.unique(self.largest).tolist() if track == _NOBODY else [track]:
            meant = self.largest == face if track == _NOBODY else np.ones(moments, bool)  # (T,)
            seen = np.ones(moments, bool) if self.seen is None else self.readings(face)[:, 0] != _UNCODED
            gap = meant & seen & (painted == _UNCODED)
            tally["seen"] += int((meant & seen).sum())
            tally["gaps"] += int(gap.sum())
            labels = self.labels.setdefault(face, np.full((self.raters, moments), _UNCODED))
            here, said = meant & (labels[r] == _UNCODED), painted.copy()
            if options.gaps != "missing":
                said[gap] = LABELS.index(options.gaps)
            labels[r, here] = said[here]
            if strength is not None:
                held = self.strengths[face].setdefault(r, np.full(strength.shape, np.nan))
                held[here] = strength[here]
                held[here & gap & (said != _UNCODED), 1:] = 0.0
        for code in codes:
            if code.code in EXPRESSIONS and code.start is not None and code.end is not None:
                first, last = _span(code, self.step)
                first = min(first, moments - 1)
                usual = Counter(self.largest[first : max(last, first + 1)].tolist()).most_common(1)[0][0]
                face = usual if track == _NOBODY else track
                _extend(self.events[r, face], code.code, code.start, code.end, self.step)
        return tally


def _add_faces(
    ratings: Ratings,
    number: int,
    clip: _Clip | None,
    codes: Sequence[Code],
    options: AgreeOptions,
    tally: dict[str, Counter[str]],
) -> None:
    """Add the faces of a clip that people coded."""
    grid = _make_grid(ratings, number, clip, codes, options)

    def key(code: Code) -> tuple[int, int]:
        return ratings.raters.index(code.coder), _NOBODY if code.track is None else code.track

    for (r, track), held in groupby(sorted(codes, key=key), key=key):
        name = ratings.raters[r]
        read_as = replace(options, gaps="neutral") if name == MIEN else options
        tally[name] += grid.add(r, track, list(held), read_as)
    people = slice(1 if ratings.mien else 0, None)
    for face, said in sorted(grid.labels.items()):
        if not (said[people] != _UNCODED).any():
            continue
        readings = grid.readings(face)
        if ratings.mien == "frames":
            said[0] = readings[:, 0]
            grid.events[0, face] = clip.events.get(face, []) if clip else []
            coded = (said[people] != _UNCODED).any(axis=0)
            tally[MIEN]["without a face"] += int((coded & (said[0] == _UNCODED)).sum())
        said[said >= len(LABELS)] = _UNCODED
        ratings.faces.append(
            FaceRatings(
                clip=number,
                track=face,
                step=0.0 if codes[0].start is None else grid.step,
                labels=said,
                probabilities=readings[:, 2:],
                uncertain=readings[:, 1].astype(np.int64),
                intensity=grid.strengths[face],
                events=tuple(
                    sorted(grid.events[r, face], key=lambda one: one[1]) for r in range(grid.raters)
                ),
            )
        )


def _make_grid(
    ratings: Ratings, number: int, clip: _Clip | None, codes: Sequence[Code], options: AgreeOptions
) -> _Grid:
    """The empty moments of a clip; says which faces of it have no counterpart."""
    source, left_out = ratings.clips[number], ratings.left_out
    photo = codes[0].start is None
    step = 1.0 if photo else options.step
    end = clip.end if clip else max((code.end or 0.0) for code in codes)
    moments = 1 if photo else max(1, ceil(end / step - _SMALLEST))
    numbered = {code.track for code in codes if code.track is not None}
    bare = any(code.track is None for code in codes)
    if clip is None:
        if len(numbered) > 1 and bare:
            left_out["coded without a number where nothing says which face is meant"].append(source)
        face = next(iter(numbered)) if len(numbered) == 1 else _NOBODY
        return _Grid(step, len(ratings.raters), None, np.full(moments, face))
    # (T,) the frame at the middle of each moment; -1 before the first
    at = np.zeros(1, np.int64)
    if not photo:
        at = np.searchsorted(clip.times, (np.arange(moments) + 0.5) * step, side="right") - 1
    largest = np.append(clip.largest, _NOBODY)[at]
    seen = {}
    for face, frames in clip.faces.items():
        # (F + 1, 2 + E), the last for before the first frame
        each = np.tile(_UNREAD, (len(clip.times) + 1, 1))
        for index, reading in frames:
            each[index] = reading
        seen[face] = each[at]
    meant = set(largest.tolist()) if bare else set()
    for what, some in [
        ("faces that people coded and the table does not have", numbered - set(seen)),
        ("faces of the table that nobody coded", set(seen) - numbered - meant),
    ]:
        if some:
            names = ("without a number" if n == _UNNUMBERED else str(n) for n in sorted(some))
            left_out[what].append(f"{source}: {', '.join(names)}")
    return _Grid(step, len(ratings.raters), seen, largest)


def _span(code: Code, step: float) -> tuple[int, int]:
    """The moments whose middles a code holds, from the first to before the last."""
    if code.start is None or code.end is None:
        return 0, 1
    first, last = (ceil(time / step - 0.5 - _SMALLEST) for time in (code.start, code.end))
    return first, last


def _paint(
    codes: Sequence[Code], moments: int, step: float, options: AgreeOptions
) -> tuple[Labels, NDArray[np.float64] | None, Counter[str]]:
    """(T,) what a coder says, (T, E) how strongly, if any of the codes says so; and what is missing of it."""
    painted, tally = np.full(moments, _UNCODED), Counter[str]()
    strength = np.full((moments, len(EMOTIONS)), np.nan)
    for code in codes:
        first, last = _span(code, step)
        tally["short"] += first >= min(last, moments)
        label, here = CODES.index(code.code), slice(first, last)
        again = painted[here] == label  # if not as strong, how strong is missing data
        painted[here] = np.where((painted[here] != _UNCODED) & (painted[here] != label), _TWICE, label)
        if code.code != CANNOT_TELL:
            before = strength[here].copy()
            strength[here] = 0.0
            if label < len(EMOTIONS):
                given = np.nan if code.intensity is None else code.intensity / options.intensity_max
                strength[here, label] = np.where(again & (before[:, label] != given), np.nan, given)
    strength[painted == _TWICE] = np.nan
    strength[:, EMOTIONS.index("neutral")] = np.nan  # it has none
    tally["cannot tell"] += int((painted == CODES.index(CANNOT_TELL)).sum())
    tally["twice"] += int((painted == _TWICE).sum())
    return painted, strength if any(code.intensity is not None for code in codes) else None, tally


def _extend(stretches: list[Stretch], emotion: str, start: float, end: float, step: float) -> None:
    """Add a stretch, joined to those of the same expression that it touches, in whatever order they come."""
    near = step / 2
    for one in [o for o in stretches if o[0] == emotion and start <= o[2] + near and end >= o[1] - near]:
        stretches.remove(one)
        start, end = min(start, one[1]), max(end, one[2])
    if end > start:
        stretches.append((emotion, start, end))


def _note_tally(ratings: Ratings, tally: Mapping[str, Counter[str]], options: AgreeOptions) -> None:
    """Say what is missing data."""
    said = {
        "without a face": "{} moments that people coded have no face in the table; there, people are "
        "compared only with each other",
        "cannot tell": '"cannot tell" in {} moments, which count as missing data',
        "twice": "{} moments are coded twice, with different codes, and count as missing data; if two "
        "people, or two passes of one, share this name, give each file its own with NAME=PATH",
        "short": f"{{}} codes are too short to hold the middle of a moment of {options.step:g} s; they count "
        "only as events",
    }
    for name, counts in tally.items():
        notes = [text.format(counts[key]) for key, text in said.items() if counts[key]]
        if counts["gaps"] and name != MIEN and options.gaps == "missing":
            notes.append(
                f"{100 * counts['gaps'] / counts['seen']:.1f} % of the time in which the faces are seen is "
                "not coded, and counts as missing data; if it means that nothing was shown, give --gaps "
                "neutral"
            )
        ratings.notes += [f"{name}: {note}" for note in notes]
