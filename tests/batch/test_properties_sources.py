"""Every input is found once, whatever it is called."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as some

from mien.batch import sources

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


def find_sources(arguments, **more):
    return list(sources.find_sources(arguments, **more))


def plant(tree, folder):
    for path in tree:
        file = Path(folder, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


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
