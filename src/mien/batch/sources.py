"""What the user named to what is to be read: files, folders, globs, lists, stores, cameras, streams."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Literal

from mien.batch import held, store
from mien.errors import DataError
from mien.image import is_image
from mien.video.frames import is_clip
from mien.video.stream import is_stream, shown

#: How a source is read; "missing" is one that was asked for and is not there.
Kind = Literal["photo", "clip", "camera", "stream", "missing"]


@dataclass(frozen=True, slots=True)
class Source:
    """One input: a path, the number of a camera or the address of a stream, as the user would write it."""

    name: str  # undecodable bytes of a file name as surrogates (os.fsdecode)
    kind: Kind
    inside: str = ""  # path below the folder that the user named; the file's name if they named the file
    error: str = ""  # why a missing one is missing
    held: held.Place | None = None  # where it lies in a file that holds many; None: it is a file or an object

    @property
    def live(self) -> bool:
        """It has no end and no past: late frames are passed over."""
        return self.kind in {"camera", "stream"}

    @property
    def moving(self) -> bool:
        """It has frame after frame."""
        return self.live or self.kind == "clip"

    @property
    def shown(self) -> str:
        """What tables and messages call it: an address without its password."""
        return shown(self.name) if self.kind == "stream" else self.name


def find_sources(
    arguments: Sequence[str], *, stdin: BinaryIO | None = None, leave: Path | None = None
) -> list[Source]:
    """Every input that the arguments name, as `iterate_sources` gives them."""
    return list(iterate_sources(arguments, stdin=stdin, leave=leave))


def iterate_sources(
    arguments: Sequence[str], *, stdin: BinaryIO | None = None, leave: Path | None = None
) -> Iterator[Source]:
    """Every input that the arguments name, in their order; folders are sorted and searched to the bottom.

    Inside folders and globs, hidden files and files that are neither picture nor clip by their ending
    are left out; a file that was named itself is always tried. One folder's names are in memory at a time.

    Args:
        arguments: paths, folders, globs, camera numbers, `-` for one path a line from `stdin`, `@FILE` for
            one path a line from a file, Parquet of paths or bytes, tar shards, addresses of object stores.
        stdin: where `-` reads.
        leave: a folder whose content is left out (the copies that an earlier run drew).
    """
    skip = None if leave is None else leave.resolve()
    for argument in arguments:
        if argument == "-":
            yield from _listed("-", "standard input", stdin or (), skip)
        elif argument.startswith("@") and not os.path.lexists(argument):
            yield from _list_file(argument, skip)
        else:
            yield from _named(argument, skip, literal=False)


def _list_file(argument: str, skip: Path | None) -> Iterator[Source]:
    try:
        with Path(argument[1:]).open("rb") as lines:
            yield from _listed(argument, argument[1:], lines, skip)
    except OSError as error:
        text = f"expected a list of paths in {argument[1:]!r}, got: {error.strerror}; check the path"
        yield Source(argument, "missing", error=text)


def _listed(argument: str, place: str, lines: Iterable[bytes], skip: Path | None) -> Iterator[Source]:
    """Lines are taken literally: a bracket or a number in a file name means itself."""
    names = (os.fsdecode(line.rstrip(b"\r\n")) for line in lines)
    empty = True
    for name in filter(None, names):
        empty = False
        yield from _named(name, skip, literal=True)
    if empty:
        yield Source(argument, "missing", error=f"expected paths on {place}, one a line, none came")


def _named(name: str, skip: Path | None, *, literal: bool) -> Iterator[Source]:
    """What one path, glob or number stands for; a file of that very name comes first."""
    path = Path(name)
    if is_stream(name):
        yield Source(name, "stream", "stream-" + re.sub(r"[^\w.-]+", "-", shown(name).partition("://")[2]))
    elif held.is_holder(name) and (literal or not has_magic(name) or os.path.lexists(name)):
        yield from _held(name, skip)
    elif store.is_store(name):
        yield from _stored(name)
    elif _is_dir(path):
        yield from _checked(name, _walk(path, skip))
    elif os.path.lexists(path) or literal:
        yield Source(name, "clip" if is_clip(path) else "photo", path.name)
    elif name.isascii() and name.isdigit():
        yield Source(name, "camera", f"camera-{name}")
    elif has_magic(name):
        yield from _matched(name, skip)
    else:
        yield Source(
            name,
            "missing",
            error=f"expected a photo, clip, folder, glob, camera number or stream, {name!r} does not exist; "
            "check the path",
        )


def _matched(pattern: str, skip: Path | None) -> Iterator[Source]:
    """The media that match a glob; folders among them are searched."""
    matches = sorted(glob(pattern, recursive=True))  # noqa: PTH207 - the pattern may be absolute
    if not matches:
        error = f"expected files that match {pattern!r}, there are none; check the pattern"
        yield Source(pattern, "missing", error=error)
        return
    yield from _checked(pattern, (source for match in matches for source in _match(match, pattern, skip)))


def _match(match: str, pattern: str, skip: Path | None) -> Iterator[Source]:
    path = Path(match)
    if _is_dir(path):
        if "**" not in pattern:  # `**` gives what is inside the folder by itself
            yield from _walk(path, skip)
    elif held.is_holder(match):
        yield from _held(match, skip)
    elif _is_media(path):
        yield Source(match, "clip" if is_clip(path) else "photo", path.name)


def _held(holder: str, skip: Path | None) -> Iterator[Source]:
    """What a tar shard or a Parquet file holds; it may name files as well."""

    def members() -> Iterator[Source]:
        for name, place in held.members(holder):
            if place is None:
                yield from _named(name, skip, literal=True)
            elif place.kind == "parquet" or is_image(name):
                yield Source(f"{holder}/{name}", "photo", name, held=place)

    yield from _reachable(holder, members())


def _stored(address: str) -> Iterator[Source]:
    """The media below an address of an object store, or the object of that name."""
    objects = store.walk(address)
    media = (
        Source(name, "clip" if is_clip(name) else "photo", inside)
        for name, inside, named in objects
        if named or _is_media(Path(name))
    )
    yield from _reachable(address, media)


def _reachable(name: str, media: Iterator[Source]) -> Iterator[Source]:
    """The media; where the holder or store breaks off, an input that failed says so."""
    try:
        yield from _checked(name, media)
    except DataError as error:
        yield Source(name, "missing", error=str(error))
    except OSError as error:
        text = f"expected {name} to be readable, got: {error.strerror or error}; check the address and access"
        yield Source(name, "missing", error=text)


def _checked(name: str, media: Iterator[Source]) -> Iterator[Source]:
    """The media found, or why the run goes on without."""
    first = next(media, None)
    if first is None:
        error = f"expected photos or clips in {name!r}, found none; check the path and the files' endings"
        first = Source(name, "missing", error=error)
    return chain([first], media)


def _walk(folder: Path, skip: Path | None) -> Iterator[Source]:
    """The media below a folder, sorted by name at each level; links to folders are not followed."""
    pending = [folder]
    while pending:
        path = pending.pop()
        if path.is_symlink() and path != folder and path.is_dir():
            continue
        if path.is_dir():
            if skip is not None and path.resolve() == skip:
                continue
            try:
                inside = sorted(os.listdir(path), reverse=True)  # noqa: PTH208 - names, not paths
            except OSError as error:
                text = f"expected a folder that can be read, got: {error.strerror}; check its permissions"
                yield Source(str(path), "missing", error=text)
                continue
            pending += [path / name for name in inside if not name.startswith(".")]
        elif _is_media(path):
            kind: Kind = "clip" if is_clip(path) else "photo"
            yield Source(str(path), kind, str(path.relative_to(folder)))


def _is_media(path: Path) -> bool:
    return is_image(path) or is_clip(path)


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name too long, a null byte: the reader's error says so
        return False
