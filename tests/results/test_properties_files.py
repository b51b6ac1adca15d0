"""What goes into a table comes out of it, and every input is found once, whatever it is called."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as some

from mien.batch.sources import find_sources
from mien.labels import EMOTIONS
from mien.results import COLUMNS, EVENT_COLUMNS, WRITERS, event_row, failure_row, open_writer, rows
from mien.results.rows import TYPES
from mien.results.tables import printable, shortest, shortest_text
from mien.types import Face, Frame
from mien.video.events import Event
from written_table import read_back

quick = settings(max_examples=25, deadline=None, derandomize=True, database=None)

seeds = some.integers(0, 2**32 - 1)
singles = some.floats(width=32, allow_nan=False, allow_infinity=False)
formats = some.sampled_from(sorted(WRITERS))
#: File names as Linux has them, any bytes but two: what is no text, and what tables stumble over.
pieces = [
    b"a",
    b"x",
    b"n",
    b"\\",
    b"\xe9",
    b"\xff",
    "é".encode(),
    "\u2028".encode(),
    b",",
    b";",
    b'"',
    b"'",
    b"\n",
    b"\r",
    b"\t",
    b" ",
]
raw_names = some.lists(some.sampled_from(pieces), min_size=1, max_size=8).map(b"".join)
odd_names = raw_names.map(lambda raw: raw.decode(errors="ignore") or "a")
names = odd_names | raw_names.map(os.fsdecode)


# --- text


@quick
@given(singles)
def test_the_shortest_text_is_the_same_float32_again_and_none_is_shorter(value):
    text = shortest_text(value)
    assert np.float32(text) == np.float32(value)
    assert np.float32(shortest(value)) == np.float32(value)
    digits = text.strip("-").replace(".", "").strip("0")
    if len(digits) > 1:  # one digit less is another number
        fewer = np.format_float_scientific(np.float64(text), precision=len(digits) - 2)
        assert np.float32(fewer) != np.float32(value)


@quick
@given(raw_names, raw_names)
def test_names_that_are_no_text_stay_apart_and_can_be_got_back(one, other):
    written = [printable(os.fsdecode(raw)) for raw in (one, other)]
    for raw, text in zip((one, other), written, strict=True):
        text.encode("utf-8")
        if text != os.fsdecode(raw):
            escaped = text.encode("utf-8").decode("latin-1").encode("latin-1")
            assert escaped.decode("unicode_escape", "strict").encode("latin-1") == raw
    if b"\\" not in one + other:
        assert (written[0] == written[1]) == (one == other)


# --- tables


@some.composite
def frames(draw):
    """A photo or a frame with none to three faces, some of them with sets, doubts and smoothing."""
    moving, found = draw(some.booleans()), []
    for i in range(draw(some.integers(0, 3))):
        random = np.random.default_rng(draw(seeds))
        p, smoothed = random.dirichlet(np.full(8, 0.4), 2).astype(np.float32)
        box = tuple(float(np.float32(v)) for v in random.normal(0, 500, 4))
        points = random.normal(0, 500, (5, 2)).astype(np.float32)
        known = draw(some.booleans())
        members = tuple(draw(some.lists(some.sampled_from(EMOTIONS), min_size=1, max_size=3, unique=True)))
        found.append(
            Face(
                box,
                points,
                float(np.float32(random.random())),
                track=i + 1 if moving else None,
                probabilities=p,
                shown=draw(some.none() | some.integers(0, 7)),
                set=members if known else None,
                uncertain=draw(some.booleans()) if known else None,
                smoothed=smoothed if moving else None,
            )
        )
    time = draw(some.floats(0, 1e6)) if moving else None
    return Frame(draw(names), draw(some.integers(0, 2**31 - 1)), time, tuple(found))


def cell(name, value, *, text):
    """A cell that was read back, as what was written; CSV has text alone."""
    if value is None or name in ("source", "emotion", "cut"):
        return value
    if name == "set":
        return tuple(value.split(" ") if text else value)
    if TYPES[name] == "float32":
        return float(np.float32(value))
    return float(value) if name == "time" or not text else type_of(name)(value)


def type_of(name):
    return float if name in ("onset", "apex", "offset", "duration") else int


@quick
@given(some.lists(frames() | names, max_size=5), formats)
def test_every_row_comes_back_to_the_last_bit(content, ending):
    """Frames, and names of inputs that failed."""
    wanted = [row for one in content for row in ([failure_row(one)] if isinstance(one, str) else rows(one))]
    with TemporaryDirectory() as folder:
        path = Path(folder, f"faces{ending}")
        with open_writer(path) as writer:
            for row in wanted:
                writer.write([row])
        got = read_back(path)
    assert len(got) == len(wanted)
    for row, given_row in zip(got, wanted, strict=True):
        assert list(row) == list(COLUMNS)
        for name in COLUMNS:
            value = given_row[name]
            value = printable(value) if name == "source" else value
            if TYPES[name] == "float32" and value is not None:
                value = float(np.float32(value))
            assert cell(name, row[name], text=ending == ".csv") == value, name


@some.composite
def events(draw):
    onset, length = draw(some.floats(0, 1e5)), draw(some.floats(0, 100))
    return Event(
        source=draw(names),
        track=draw(some.integers(1, 2**31 - 1)),
        emotion=draw(some.sampled_from(EMOTIONS)),
        onset=onset,
        apex=onset + length / 2,
        offset=onset + length,
        peak=draw(some.floats(0, 1, width=32)),
        mean=draw(some.floats(0, 1)),
        frames=draw(some.integers(1, 2**31 - 1)),
        cut=draw(some.sampled_from([None, "start", "end", "both"])),
    )


@quick
@given(some.lists(events(), max_size=5), formats)
def test_events_come_back_to_the_nanosecond(content, ending):
    with TemporaryDirectory() as folder:
        path = Path(folder, f"events{ending}")
        with open_writer(path, columns=EVENT_COLUMNS) as writer:
            writer.write([event_row(event) for event in content])
        got = read_back(path)
    assert len(got) == len(content)
    for row, event in zip(got, content, strict=True):
        assert list(row) == list(EVENT_COLUMNS)
        back = {name: cell(name, value, text=ending == ".csv") for name, value in row.items()}
        assert (back["source"], back["track"], back["emotion"], back["frames"], back["cut"]) == (
            printable(event.source), event.track, event.emotion, event.frames, event.cut,
        )  # fmt: skip
        for name in ("onset", "apex", "offset", "duration"):
            assert abs(back[name] - getattr(event, name)) <= 1e-9
        assert (back["peak"], np.float32(back["mean"])) == (event.peak, np.float32(event.mean))


# --- sources


parts = some.text(some.sampled_from("ab0[]*?.- é"), min_size=1, max_size=5).filter(
    lambda one: one.strip(". ")
)
media = some.sampled_from([".jpg", ".PNG", ".webp", ".mp4", ".MKV"])
others = some.sampled_from([".txt", "", ".jpg.part", ".csv", ".jpg ", " "])


@some.composite
def trees(draw):
    """Files below a folder: path -> whether it is a photo or clip that is to be found."""
    found = {}
    for _ in range(draw(some.integers(0, 8))):
        folders = draw(some.lists(parts, max_size=2))
        ending, wanted = draw(some.tuples(media, some.just(True)) | some.tuples(others, some.just(False)))
        stem = draw(parts)
        path = "/".join([*(f"d{f}" for f in folders), f"f{stem}{ending}"])
        found[path] = wanted
    hidden = draw(some.lists(some.sampled_from([".x.jpg", ".d/a.jpg", "d/.b.png"]), max_size=2))
    return found | dict.fromkeys(hidden, False)


def plant(tree, folder):
    for path in tree:
        file = Path(folder, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


@quick
@given(trees())
def test_a_folder_gives_each_photo_and_clip_once_in_order(tree):
    with TemporaryDirectory() as folder:
        plant(tree, folder)
        found = find_sources([folder])
        wanted = sorted((p for p, is_wanted in tree.items() if is_wanted), key=lambda p: p.split("/"))
        if not wanted:
            assert [source.kind for source in found] == ["missing"]
            return
        assert [source.inside for source in found] == wanted
        assert [source.name for source in found] == [str(Path(folder, path)) for path in wanted]
        kinds = {"mp4": "clip", "mkv": "clip"}
        assert [s.kind for s in found] == [kinds.get(p.rpartition(".")[2].lower(), "photo") for p in wanted]


@quick
@given(trees(), some.randoms())
def test_a_list_gives_every_line_once_in_its_own_order_whatever_is_in_the_name(tree, random):
    with TemporaryDirectory() as folder:
        plant(tree, folder)
        paths = [str(Path(folder, path)) for path in tree]
        random.shuffle(paths)
        lines = b"".join(os.fsencode(path) + random.choice((b"\n", b"\r\n", b"\n\n")) for path in paths)
        found = find_sources(["-"], stdin=BytesIO(lines))
        listed = Path(folder, "list")
        listed.write_bytes(lines)
        assert find_sources([f"@{listed}"]) == found or not paths
    if paths:
        assert [source.name for source in found] == paths
        assert {source.kind for source in found} <= {"photo", "clip"}
    else:
        assert [source.kind for source in found] == ["missing"]


@quick
@given(trees(), trees())
def test_what_is_named_in_two_ways_is_found_as_often_as_it_is_named(one, other):
    """Several arguments are one after the other, and a glob of all gives what the folder gives."""
    with TemporaryDirectory() as first, TemporaryDirectory() as second:
        plant(one, first)
        plant(other, second)
        alone = [find_sources([first]), find_sources([second])]
        assert find_sources([first, second, first]) == [*alone[0], *alone[1], *alone[0]]
        spread = find_sources([f"{first}/**/*"])
        kept = sorted(source.name for source in alone[0] if source.kind != "missing")
        assert sorted(source.name for source in spread if source.kind != "missing") == kept
