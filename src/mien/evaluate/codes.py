"""What people coded: stretches of a clip, or photos, each with the expression that a coder saw.

`read_codes` takes what labs have: tables of stretches or frames, ELAN's .eaf, tables exported by BORIS,
folders of labelled photos, folders of any of these files. EAF is read after the Max Planck Institute's "EAF
Annotation Format 3.0"; BORIS's tables: see `results.formats.stretches`.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import isfinite
from pathlib import Path, PureWindowsPath
from statistics import median
from typing import Any, Final
from urllib.parse import unquote
from xml.etree import ElementTree as ET

from mien.errors import ConfigError, DataError, OutputError, list_few
from mien.files import WholeFile
from mien.labels import EMOTIONS, parse_emotion
from mien.media import IMAGE_SUFFIXES
from mien.results.formats.conversion import EVENT_NEEDED, FaceRun, in_order
from mien.results.formats.elan import ElanTier, without_overlap, write_tiers
from mien.results.formats.stretches import BORIS, boris_lines, write_lines
from mien.results.table_reader import bad_line, is_missing, open_table, parse_number, parse_whole
from mien.results.tables import printable
from mien.units import ACTION_UNITS

NONE: Final = "none"  # none of the eight is shown
CANNOT_TELL: Final = "cannot tell"  # the coder looked and does not decide: missing data
#: What a code can be.
CODES: Final = (*EMOTIONS, NONE, CANNOT_TELL)
#: Columns of a table of codes; `track`, `coder`, for photos the times may be missing; `intensity` may follow.
CODE_COLUMNS: Final = ("source", "track", "coder", "start", "end", "code")
_TABLES: Final = (".csv", ".tsv")
_FACE: Final = re.compile(r"\bface (\d+)\b", re.IGNORECASE)
_LISTED: Final = 12  # unknown words that an error lists


@dataclass(frozen=True, slots=True)
class Code:
    """One stretch of a clip, or one photo, as a coder saw it.

    Raises:
        ValueError: no such code, or times that are not 0 <= start <= end.
    """

    source: str  # the file, as the table of `mien analyze` names it, or by its bare name
    track: int | None  # the face's number in the clip, or in the photo; None: the largest face
    coder: str
    start: float | None  # seconds; None for a photo
    end: float | None
    code: str  # one of `CODES`
    intensity: float | None = None  # how strong, where coders say so; 0: not shown

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"expected a code of {', '.join(CODES)}, got {self.code!r}")
        if (self.start is None) != (self.end is None):
            raise ValueError("expected a start and an end, or neither for a photo; got one of them")
        if self.start is not None and self.end is not None and not 0 <= self.start <= self.end:
            raise ValueError(
                f"expected seconds from 0, the end not before the start, got {self.start} to {self.end}"
            )
        if self.intensity is not None and not (isfinite(self.intensity) and self.intensity >= 0):
            raise ValueError(f"expected an intensity of 0 or more, got {self.intensity}")


def read_codes(
    path: Path,
    *,
    coder: str | None = None,
    names: Mapping[str, str] | None = None,
    fps: float | None = None,
    notes: list[str] | None = None,
) -> list[Code]:
    """The codes of a file or folder, in its order.

    Args:
        path: a table of codes (.csv, .tsv, .json, .jsonl, .parquet; columns `source`, `code`, and `start`
            with `end`, or `time`, or `frame`, or none of them for photos; `track`, `coder`, `intensity` if
            wanted), a table of events that `mien analyze` wrote (its action units are left out), ELAN's .eaf,
            BORIS's "aggregated" or "tabular events", a folder of such files, or one of photos in folders
            named after their codes.
        coder: who coded all of it; None: who the file names, else the name of the file (of the folder, where
            a folder of files is read).
        names: word in the file to a code, e.g. {"smile": "happiness"}; "" leaves the word out.
        fps: frames in a second, for tables that have `frame` and no times.
        notes: a list that gets a line on what was left out.

    Raises:
        DataError: no such file, damaged, of another kind, without a code, or with words that are no codes,
            which the message lists.
        ConfigError: `names` maps to what is no code, or a table of frames needs `fps`.
    """
    names = _check_names(names or {})
    notes = [] if notes is None else notes
    if not path.is_dir():
        return _read_file(path, coder, coder or path.stem, names, fps, notes)
    inside = sorted(p for p in path.iterdir() if not p.name.startswith("."))
    files = [p for p in inside if p.is_file() and p.suffix.lower() in {*_TABLES, ".eaf"}]
    if files:
        default = coder or path.resolve().name
        return [code for file in files for code in _read_file(file, coder, default, names, fps, notes)]
    pictures = [
        (p, folder.name)
        for folder in inside
        if folder.is_dir()
        for p in sorted(folder.rglob("*"))
        if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")
    ]
    default = coder or path.resolve().name
    return _make_codes(path, ((0, _Raw(str(p), default, word)) for p, word in pictures), names, notes)


def write_codes(codes: Iterable[Code], path: Path, *, to: str | None = None, overwrite: bool = False) -> None:
    """Write codes; the file appears whole or not at all.

    Args:
        codes: what to write.
        path: the file.
        to: "codes" (.csv, .tsv: everything), "eaf" (stretches of one clip, a tier for each coder and face) or
            "boris" (.csv, .tsv: stretches of one coder); None: by the ending, "codes" for .csv and .tsv.
        overwrite: replace a file that exists.

    Raises:
        ConfigError: no such format, or its files end otherwise.
        OutputError: the format cannot hold the codes, or the file cannot be written.
        MissingExtra: EAF without pympi-ling.
    """
    ending = path.suffix.lower()
    to = to or ("eaf" if ending == ".eaf" else "codes")
    endings = {"codes": _TABLES, "eaf": (".eaf",), "boris": _TABLES}.get(to, ())
    if ending not in endings:
        raise ConfigError(
            f"{path}: expected codes (.csv, .tsv), eaf (.eaf) or boris (.csv, .tsv), got {to} and {ending!r}"
        )
    held = list(codes)
    if to != "codes" and any(code.start is None for code in held):
        raise OutputError(
            f"expected stretches of clips for {to}, got codes of photos; write a table of codes"
        )
    with WholeFile(path, overwrite=overwrite) as file:
        if to == "codes":
            _write_table(held, file.partial, ending)
        elif to == "eaf":
            _write_eaf(held, file.partial)
        else:
            _write_boris(held, file.partial, ending)


# --- reading


@dataclass(frozen=True, slots=True)
class _Raw:
    """A code as a file holds it: nothing checked but numbers."""

    source: str
    coder: str
    word: str
    track: int | None = None
    start: float | None = None
    end: float | None = None
    intensity: float | None = None


#: Lines with their number, from 1; 0 where there are none.
_Raws = Iterable[tuple[int, _Raw]]


def _read_file(
    path: Path,
    coder: str | None,
    default: str,
    names: Mapping[str, str],
    fps: float | None,
    notes: list[str],
) -> list[Code]:
    """The codes of a file; `default` is the coder where it names none."""
    if path.suffix.lower() == ".eaf":
        raws: _Raws = _read_eaf(path, default, names, notes)
    else:
        raws = _read_table(path, default, fps)
    codes = _make_codes(path, raws, names, notes)
    return codes if coder is None else [replace(code, coder=coder) for code in codes]


def _make_codes(path: Path, raws: _Raws, names: Mapping[str, str], notes: list[str]) -> list[Code]:
    codes, strange, left_out = [], Counter[str](), Counter[str]()
    for line, raw in raws:
        word = _find_code(raw.word, names)
        if word is None:
            strange[raw.word] += 1
        elif not word:
            left_out[raw.word] += 1
        else:
            try:
                times = raw.start, raw.end
                codes.append(Code(raw.source, raw.track, raw.coder, *times, word, raw.intensity))
            except ValueError as error:
                raise bad_line(path, line, error) from error
    if strange:
        word = next(iter(strange))
        raise DataError(
            f"{path}: expected codes of {', '.join(CODES)}, got {_count_words(strange)}; say what they are, "
            f"e.g. --map '{word}=happiness', or leave them out with --map '{word}='"
        )
    if not codes:
        raise DataError(f"{path}: expected codes, got none; give a file or folder with somebody's codes")
    if left_out:
        notes.append(f"{path}: left out as asked: {_count_words(left_out)}")
    return codes


def _count_words(words: Counter[str]) -> str:
    return list_few([f"{word!r} ({n})" for word, n in words.most_common()], _LISTED)


def _check_names(names: Mapping[str, str]) -> dict[str, str]:
    """The same by lower case, each to a code or to ""."""
    checked = {}
    for word, code in names.items():
        found = _find_code(code, {"": ""})
        if found is None:
            raise ConfigError(
                f"--map: expected WORD=CODE with a code of {', '.join(CODES)}, or WORD= to leave it out, got "
                f"{word}={code}"
            )
        checked[word.strip().lower()] = found
    return checked


def _find_code(word: str, names: Mapping[str, str]) -> str | None:
    """The code that a word means; "": to be left out; None: it means none."""
    key = word.strip().lower().replace("_", " ")
    if key in names:
        return names[key]
    if key in CODES:
        return key
    try:
        return parse_emotion(key)
    except DataError:
        return None


def _read_table(path: Path, default: str, fps: float | None) -> Iterator[tuple[int, _Raw]]:
    """The lines of a table of codes, of events, or of one that BORIS exported."""
    table = open_table(path)
    columns = set(table.columns)
    if "Behavior" in columns:
        yield from _read_boris(path, table.records, columns, default)
        return
    if columns.issuperset(EVENT_NEEDED):
        renamed = {"code": "emotion", "start": "onset", "end": "offset"}
        default = "Mien"
    else:
        table.require(("source", "code"), "codes (or events of `mien analyze`, or a table exported by BORIS)")
        renamed = {}
    at = next((name for name in ("time", "frame") if name in columns and "start" not in columns), None)
    if at == "frame" and not fps:
        raise ConfigError(f"{path}: counts in frames and has no times; give the frames per second with --fps")
    frames = []
    for line, record in table.records:
        if renamed and record["emotion"] in ACTION_UNITS:
            continue
        cells = {name: record.get(renamed.get(name, name)) for name in (*CODE_COLUMNS, "intensity")}
        try:
            start, end, intensity = (_number(cells[name]) for name in ("start", "end", "intensity"))
            if at:
                start = end = _required(record[at], at) / (fps if at == "frame" and fps else 1.0)
            track = None if is_missing(cells["track"]) else parse_whole(cells["track"])
            texts = (str(cells[name] or "").strip() for name in ("source", "coder", "code"))
            source, coder, word = texts
            if not source:
                raise ValueError("expected a source, got an empty cell")  # noqa: TRY301
            raw = _Raw(source, coder or default, word, track, start, end, intensity)
        except ValueError as error:
            raise bad_line(path, line, error) from error
        frames.append((line, raw))
    yield from _with_ends(frames) if at else frames


def _with_ends(frames: Sequence[tuple[int, _Raw]]) -> Iterator[tuple[int, _Raw]]:
    """Codes of single frames as stretches: each lasts until its coder's next one, at most the usual step."""
    times: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    for _, raw in frames:
        times[raw.source, raw.track, raw.coder].append(raw.start or 0.0)
    ends = {}
    for key, starts in times.items():
        starts = sorted(set(starts))  # noqa: PLW2901
        step = median([b - a for a, b in pairwise(starts)] or [0.0])
        following = [*starts[1:], starts[-1] + step]
        ends[key] = {a: min(b, a + 1.5 * step) for a, b in zip(starts, following, strict=True)}
    for line, raw in frames:
        yield line, replace(raw, end=ends[raw.source, raw.track, raw.coder][raw.start or 0.0])


def _read_boris(
    path: Path, records: Iterable[tuple[int, Mapping[str, Any]]], columns: set[str], default: str
) -> Iterator[tuple[int, _Raw]]:
    """Aggregated events, a line for each stretch; or tabular events, a line for each start and stop."""
    media = next(
        (name for name in ("Media file name", "Media file", "Observation id") if name in columns), ""
    )
    aggregated = columns.issuperset(("Start (s)", "Stop (s)"))
    if not media or not (aggregated or columns.issuperset(("Behavior type", "Time"))):
        raise DataError(
            f"{path}: expected BORIS's aggregated events (with Start (s), Stop (s) and Media file name) or "
            "its tabular events (with Time and Behavior type); export one of them"
        )
    open_since: dict[tuple[str, str, str], float] = {}
    for line, record in records:
        source, subject, word = (
            str(record.get(name) or "").strip() for name in (media, "Subject", "Behavior")
        )
        track = _face_number(subject)
        try:
            if aggregated:
                start, end = (_required(record[name], name) for name in ("Start (s)", "Stop (s)"))
            else:
                start = end = _required(record["Time"], "Time")
                kind, key = str(record["Behavior type"]).strip().upper(), (source, subject, word)
                if kind == "START":
                    open_since[key] = start
                    continue
                if kind == "STOP" and key not in open_since:
                    raise ValueError(f"expected a START of {word!r} before its STOP, got none")  # noqa: TRY301
                start = open_since.pop(key) if kind == "STOP" else start
        except ValueError as error:
            raise bad_line(path, line, error) from error
        yield line, _Raw(source, default, word, track, start, end)
    if open_since:
        source, _, word = next(iter(open_since))
        raise DataError(f"{path}: expected a STOP of {word!r} in {source}, got none; end it in BORIS")


def _read_eaf(
    path: Path, default: str, names: Mapping[str, str], notes: list[str]
) -> Iterator[tuple[int, _Raw]]:
    """The annotations of the tiers that hold codes."""
    try:
        root = ET.parse(path).getroot()  # noqa: S314 - a file of the user's own, nothing outside it is read
    except (ET.ParseError, OSError) as error:
        raise DataError(
            f"{path}: expected a file of ELAN, could not read it ({error}); save it again in ELAN"
        ) from error
    if root.tag != "ANNOTATION_DOCUMENT":
        raise DataError(
            f"{path}: expected a file of ELAN (ANNOTATION_DOCUMENT), got {root.tag}; give another"
        )
    source = _find_media(path, root)
    slots = {slot.get("TIME_SLOT_ID"): slot.get("TIME_VALUE") for slot in root.iter("TIME_SLOT")}
    tiers = {tier: list(_annotations(tier)) for tier in root.iter("TIER")}
    # an annotation without times of its own has those of the one that it refers to
    times = {id_: refs for held in tiers.values() for id_, refs, _ in held}
    known = {
        tier: held
        for tier, held in tiers.items()
        if any(text and _find_code(text, names) is not None for *_, text in held)
    }
    if corrected := {t: held for t, held in known.items() if t.get("LINGUISTIC_TYPE_REF") == "expression"}:
        known = corrected  # as Mien writes it: its events say the same again
    others = [str(tier.get("TIER_ID")) for tier in tiers if tier not in known]
    if not known:
        words = Counter(text for held in tiers.values() for *_, text in held if text)
        raise DataError(
            f"{path}: expected a tier with codes of {', '.join(CODES)}, got the tiers "
            f"{', '.join(others) or 'none'} with {_count_words(words) or 'nothing on them'}; say what the "
            "words are, e.g. --map smile=happiness"
        )
    if others:
        notes.append(f"{path}: tiers without codes were left out: {', '.join(others)}")
    for tier, held in known.items():
        track = _face_number(f"{tier.get('PARTICIPANT', '')} {tier.get('TIER_ID', '')}")
        for id_, _, text in held:
            refs = times[id_]
            while len(refs) == 1:
                refs = times.get(refs[0], ("", ""))
            try:
                start, end = (int(slots[ref] or "") / 1000 for ref in refs)
            except (KeyError, ValueError) as error:
                raise DataError(
                    f"{path}: expected a start and an end of every annotation, got none for {id_} ({text!r}) "
                    f"on {tier.get('TIER_ID')}; align it in ELAN"
                ) from error
            if text:
                yield 0, _Raw(source, tier.get("ANNOTATOR") or default, text, track, start, end)


def _annotations(tier: ET.Element) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Each annotation: its name, its two time slots or the annotation that it refers to, and its text."""
    for one in tier.iter():
        references: dict[str, tuple[str, ...]] = {
            "ALIGNABLE_ANNOTATION": ("TIME_SLOT_REF1", "TIME_SLOT_REF2"),
            "REF_ANNOTATION": ("ANNOTATION_REF",),
        }
        if one.tag in references:
            refs = tuple(one.get(name, "") for name in references[one.tag])
            yield one.get("ANNOTATION_ID", ""), refs, (one.findtext("ANNOTATION_VALUE") or "").strip()


def _find_media(path: Path, root: ET.Element) -> str:
    """The clip that a file of ELAN is about."""
    held = root.find("HEADER/PROPERTY[@NAME='mien:source']")
    if held is not None:
        try:
            return str(json.loads(held.text or ""))
        except ValueError:
            pass
    for media in root.iter("MEDIA_DESCRIPTOR"):
        for name in ("RELATIVE_MEDIA_URL", "MEDIA_URL"):
            if bare := base_name(unquote(media.get(name, ""))):
                return bare
    raise DataError(
        f"{path}: expected a linked clip, got none; link it in ELAN (Edit, Linked Files) and save"
    )


def base_name(source: str) -> str:
    r"""The bare name of a file, of a path of any system or an address.

    >>> base_name("file:///C:/films/a.mp4"), base_name(r"C:\films\a.mp4")
    ('a.mp4', 'a.mp4')
    """
    return PureWindowsPath(source).name


def _face_number(text: str) -> int | None:
    found = _FACE.search(text)
    return int(found[1]) if found else None


def _number(cell: Any) -> float | None:
    return None if is_missing(cell) else parse_number(cell)


def _required(cell: Any, name: str) -> float:
    number = _number(cell)
    if number is None:
        raise ValueError(f"expected a number of {name}, got an empty cell")
    return number


# --- writing


def _write_table(codes: Sequence[Code], path: Path, ending: str) -> None:
    columns = [*CODE_COLUMNS, *(["intensity"] if any(code.intensity is not None for code in codes) else [])]
    lines = [
        ["" if (value := getattr(code, name)) is None else printable(str(value)) for name in columns]
        for code in codes
    ]
    write_lines(path, ending, columns, lines)


def _write_eaf(codes: Sequence[Code], path: Path) -> None:
    sources = sorted({code.source for code in codes})
    if len(sources) != 1:
        raise OutputError(
            f"{path}: expected codes of one clip for eaf, got {len(sources)} "
            f"({', '.join(sources[:_LISTED])}); write a file for each"
        )
    tiers = []
    for (coder, face), runs in _runs_by(
        codes, lambda code: (code.coder, -1 if code.track is None else code.track)
    ).items():
        for lane, apart in enumerate(without_overlap(runs), 1):
            name = f"{FaceRun(0, 0, face, '').face} expression {coder}" + (f" {lane}" if lane > 1 else "")
            tiers.append(ElanTier(name, "expression", apart, coder))
    write_tiers(path, sources[0], tiers, CODES)


def _write_boris(codes: Sequence[Code], path: Path, ending: str) -> None:
    coders = sorted({code.coder for code in codes})
    if len(coders) > 1:
        raise OutputError(
            f"{path}: expected the codes of one coder for boris, which has no column for them, got those of "
            f"{', '.join(coders)}; write a file for each"
        )
    lines = [
        line
        for source, runs in _runs_by(codes, lambda code: code.source).items()
        for line in boris_lines(printable(source), runs, f"coded by {printable(coders[0])}")
    ]
    write_lines(path, ending, BORIS, lines)


def _runs_by(codes: Iterable[Code], key: Callable[[Code], Any]) -> dict[Any, list[FaceRun]]:
    """The codes as runs in whole milliseconds, in order, by a key."""
    found: dict[Any, list[FaceRun]] = defaultdict(list)
    for code in codes:
        start, end = (round(1000 * (time or 0)) for time in (code.start, code.end))
        found[key(code)].append(FaceRun(start, end, -1 if code.track is None else code.track, code.code))
    return {key: in_order(runs) for key, runs in sorted(found.items())}
