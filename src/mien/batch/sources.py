"""What the user named to what is to be read: files, folders, globs, cameras, streams, and paths on stdin."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from typing import BinaryIO, Literal

from mien.image import is_image
from mien.run.stream import is_stream, shown
from mien.run.video import is_clip

#: How a source is read; "missing" is one that was asked for and is not there.
Kind = Literal["photo", "clip", "camera", "stream", "missing"]


@dataclass(frozen=True, slots=True)
class Source:
    """One input: a path, the number of a camera or the address of a stream, as the user would write it."""

    name: str  # undecodable bytes of a file name as surrogates (os.fsdecode)
    kind: Kind
    inside: str = ""  # path below the folder that the user named; the file's name if they named the file
    error: str = ""  # why a missing one is missing

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
    """Every input that the arguments name, in their order; folders are sorted and searched to the bottom.

    Inside folders and globs, hidden files and files that are neither picture nor clip by their ending
    are left out; a file that was named itself is always tried.

    Args:
        arguments: paths, folders, globs, camera numbers, or `-` for one path a line from `stdin`.
        stdin: where `-` reads.
        leave: a folder whose content is left out (the copies that an earlier run drew).
    """
    skip = None if leave is None else leave.resolve()
    found: list[Source] = []
    for argument in arguments:
        if argument == "-":
            found += _from_stdin(stdin, skip)
        else:
            found += _named(argument, skip, literal=False)
    return found


def _from_stdin(stdin: BinaryIO | None, skip: Path | None) -> Iterator[Source]:
    """Lines are taken literally: a bracket or a number in a file name means itself."""
    lines = [line.rstrip(b"\r") for line in (stdin.read() if stdin else b"").split(b"\n")]
    names = [os.fsdecode(line) for line in lines if line]
    if not names:
        yield Source("-", "missing", error="expected paths on standard input, one a line, none came")
    for name in names:
        yield from _named(name, skip, literal=True)


def _named(name: str, skip: Path | None, *, literal: bool) -> Iterator[Source]:
    """What one path, glob or number stands for; a file of that very name comes first."""
    path = Path(name)
    if is_stream(name):
        yield Source(name, "stream", "stream-" + re.sub(r"[^\w.-]+", "-", shown(name).partition("://")[2]))
    elif _is_dir(path):
        yield from _checked(name, list(_walk(path, skip)))
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
    media: list[Source] = []
    for match in matches:
        path = Path(match)
        if _is_dir(path):
            if "**" not in pattern:  # `**` gives what is inside the folder by itself
                media += _walk(path, skip)
        elif _is_media(path):
            media.append(Source(match, "clip" if is_clip(path) else "photo", path.name))
    yield from _checked(pattern, media)


def _checked(name: str, media: list[Source]) -> list[Source]:
    """The media found, or why the run goes on without."""
    if media:
        return media
    error = f"expected photos or clips in {name!r}, found none; check the path and the files' endings"
    return [Source(name, "missing", error=error)]


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
