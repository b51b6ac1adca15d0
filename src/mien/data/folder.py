"""A folder (or a zip of it) with one folder per emotion, or with a table that names each picture's."""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePosixPath

from mien.data.corpus import Corpus, open_store
from mien.data.pictures import corpus_of, is_hidden, is_picture, one_vote, read_tables
from mien.errors import DataError, list_few
from mien.labels import EMOTIONS, parse_emotion
from mien.media import IMAGE_SUFFIXES
from mien.types import Sample


def folder(root: Path | str) -> Corpus:
    """The pictures below folders that are named after emotions, or those that a table names.

    A table is a .csv with the columns `file` (or `image`) and `emotion`, beside the pictures or beside their
    folder `images`; where there is one, it alone tells the labels.

    Spellings such as `Happy` or `angry` count (`labels.SPELLINGS`); below an emotion's folder,
    folders may nest. A single folder around all of them is stepped into, as zips often have one.
    Files that are not pictures by their ending, and hidden ones, are skipped.

    Each sample has one vote. A picture that cannot be read raises `ImageError`
    when it is read, not here.

    Raises:
        DataError: nothing there, no picture in it, or pictures in folders that name no emotion.
    """
    store = open_store(root)
    name = f"folder/{Path(root).resolve().name}"
    files = store.names()
    names = [name for name in files if is_picture(PurePosixPath(name))]
    samples: list[Sample] = []
    for place, row in read_tables(store, ["emotion"]):
        try:
            samples.append(Sample(place, one_vote(row["emotion"])))
        except DataError as error:
            raise DataError(f"{root}: the column emotion of its table, {place}: {error}") from error
    if samples:
        rest = sorted(set(names) - {sample.name for sample in samples})
        notes = [f"{len(rest)} pictures that no table names were left out: {list_few(rest)}"] if rest else []
        if any(_emotion(part) for sample in samples for part in PurePosixPath(sample.name).parts[:-1]):
            notes.append("the labels are those of the table, not of the folders' names")
        return corpus_of(name, store, samples, notes)
    if not names:
        raise DataError(
            f"{root}: expected one folder per emotion with pictures ({' '.join(sorted(IMAGE_SUFFIXES))}), "
            "or a .csv with the columns file and emotion, found no picture; check --root"
        )
    depth = _depth(names)
    strange = Counter(word for name in names if _emotion(word := _folder_of(name, depth)) is None)
    if strange:
        listed = ", ".join(
            f"{repr(word) if word else 'none at all'} ({n})" for word, n in sorted(strange.items())[:12]
        )
        raise DataError(
            f"{root}: expected every picture in a folder named after one of {', '.join(EMOTIONS)} "
            f"(or a common spelling), found pictures (how many) in the folders {listed}"
            f"{' and more' * (len(strange) > 12)}; rename these folders or take them out, or give a .csv "
            "with the columns file and emotion"
        )
    samples = [Sample(name, votes=one_vote(_folder_of(name, depth))) for name in names]
    others = [one for one in sorted(set(files) - set(names)) if not is_hidden(PurePosixPath(one))]
    notes = [f"{len(others)} files that are no pictures by their names were left out: {list_few(others)}"]
    return corpus_of(name, store, samples, notes if others else [])


def _depth(names: list[str]) -> int:
    """How many folders enclose those of the emotions: steps in while there is one, of another name."""
    depth = 0
    words = {_folder_of(name, depth) for name in names}
    while len(words) == 1 and _emotion(*words) is None:
        words = {_folder_of(name, depth + 1) for name in names}
        if "" in words:
            break
        depth += 1
    return depth


def _folder_of(name: str, depth: int) -> str:
    """The folder of a picture at a depth; empty where the picture itself is there."""
    folders = PurePosixPath(name).parts[:-1]
    return folders[depth] if depth < len(folders) else ""


def _emotion(word: str) -> str | None:
    try:
        return parse_emotion(word)
    except DataError:
        return None
