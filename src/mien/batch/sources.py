"""Finds what the user named: files, folders, globs, lists, tar, Parquet, stores, addresses, cameras, streams.

A `Source` is one input. It knows how to get its picture, wherever that is stored.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from glob import glob, has_magic
from hashlib import file_digest
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final, Literal
from urllib.parse import urlsplit

from mien.batch.stores import (
    Member,
    is_archive,
    is_object,
    is_web,
    list_members,
    list_objects,
    read_object,
)
from mien.config import format_time
from mien.errors import DataError, ImageError, MienError, VideoError
from mien.image import MAX_PIXELS, Picture, count_frames, read_image
from mien.media import HEAD, file_kind, is_image, media_kind

#: How a source is read; "missing" is one that was asked for and is not there, "other" a file in a folder that
#: is neither picture nor clip.
Kind = Literal["photo", "clip", "camera", "stream", "missing", "other"]

#: Seconds to wait before a picture that could not be fetched is tried again.
PAUSES: Final = (0.2, 1.0, 3.0)
#: No use in trying these again: it is not there, or access is denied.
_FINAL: Final = frozenset(
    {errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG}
)


@dataclass(frozen=True, slots=True)
class Source:
    """One input: a path, the number of a camera or the address of a stream, as the user would write it."""

    name: str  # undecodable bytes of a file name as surrogates (os.fsdecode)
    kind: Kind
    inside: str = ""  # path below the folder that the user named; the file's name if they named the file
    error: str = ""  # why a missing one is missing
    member: Member | None = None  # where it is in a file that holds many; None: it is a file or an object
    title: str = ""  # what tables and messages call it, where that is not its name

    @property
    def live(self) -> bool:
        """Whether it is live: it has no end, and late frames are skipped."""
        return self.kind in {"camera", "stream"}

    @property
    def remote(self) -> bool:
        """Whether it is an object in a store."""
        return self.kind in {"photo", "clip"} and is_object(self.name)

    @property
    def shown(self) -> str:
        """What tables and messages call it: its title, else its name."""
        return self.title or self.name

    @property
    def readable(self) -> bool:
        """Whether there is something to read."""
        return self.kind not in {"missing", "other"}

    def read_picture(self, max_pixels: int | None = None) -> Picture:
        """Read a photo of so many pixels at most; where disk or network hiccup, a few times."""
        most = MAX_PIXELS if max_pixels is None else max_pixels
        for pause in PAUSES:
            try:
                return self._read_once(most)
            except MienError as error:
                if not is_out_of_reach(error) or _errno(error) in _FINAL:
                    raise
                time.sleep(pause)
        return self._read_once(most)

    def _read_once(self, max_pixels: int) -> Picture:
        if self.member is None and not self.remote:
            return read_image(Path(self.name), max_pixels=max_pixels)
        try:
            data = read_object(self.name) if self.member is None else self.member.read()
        except OSError as error:
            raise ImageError(self._unreadable(error)) from error
        return read_image(data, max_pixels=max_pixels)

    def fingerprint(self) -> dict[str, Any]:
        """The sha256, bytes and time of change of a file on disk; empty for anything else, or if it is gone.

        The file was read just now, so that it mostly comes from memory: 0.85 s a GiB were measured. What is
        in an archive or comes over the network would have to be fetched once more.
        """
        if self.member is not None or self.remote or self.live or is_web(self.name):
            return {}
        try:
            with Path(self.name).open("rb") as file:
                digest, state = file_digest(file, "sha256").hexdigest(), os.fstat(file.fileno())
        except OSError:
            return {}
        changed = {} if self.title else {"modified": format_time(state.st_mtime)}  # one from stdin has none
        return {"sha256": digest, "bytes": state.st_size, **changed}

    @contextmanager
    def on_disk(self) -> Iterator[str]:
        """The path of a clip; one in an object store is copied to a temporary file first."""
        if not self.remote:
            yield self.name
            return
        with tempfile.TemporaryDirectory(prefix="mien-") as folder:
            path = Path(folder, PurePosixPath(self.name).name)
            try:
                path.write_bytes(read_object(self.name))
            except OSError as error:
                raise VideoError(self._unreadable(error)) from error
            yield str(path)

    def _unreadable(self, error: OSError) -> str:
        return f"expected to read {self.name}, got: {error.strerror or error}; check name and network"


def is_out_of_reach(error: BaseException) -> bool:
    """Whether an input failed because it could not be fetched, whatever is in it."""
    number = _errno(error)
    return number is not None and number in errno.errorcode  # FFmpeg has numbers of its own, for damage


def _errno(error: BaseException) -> int | None:
    cause = error.__cause__
    return cause.errno if isinstance(cause, OSError) else None


def find_sources(
    arguments: Sequence[str],
    *,
    stdin: BinaryIO | None = None,
    leave: Path | None = None,
    spool: Path | None = None,
    animated: bool = False,
    left_out: Counter[str] | None = None,
    every: bool = False,
) -> Iterator[Source]:
    """Every input that the arguments name, in their order; folders are sorted and searched to the bottom.

    Inside folders and globs, hidden files are left out, and so are files that are neither picture nor clip by
    their content, or by their ending where that does not tell; a file that was named itself is always tried.
    One folder's names are in memory at a time.

    Args:
        arguments: paths, folders, globs, camera numbers, `-` for paths or one picture or clip from `stdin`,
            `@FILE` for paths from a file, Parquet of paths or bytes, tar shards, addresses.
        stdin: where `-` reads.
        leave: a folder whose content is left out (the copies that an earlier run drew).
        spool: a folder for a picture or clip that comes from `stdin`; None: it is refused.
        animated: animated pictures are clips.
        left_out: counts the files left out, by their ending.
        every: files that are neither picture nor clip come as sources of the kind "other".
    """
    for source in _find_all(arguments, stdin, None if leave is None else leave.resolve(), spool):
        if source.kind == "other":
            if left_out is not None:
                left_out[Path(source.name).suffix.lower() or "no ending"] += 1
            if not every:
                continue
        if animated and source.kind == "photo" and source.member is None and not source.remote:
            yield replace(source, kind="clip") if count_frames(Path(source.name)) > 1 else source
        else:
            yield source


def _find_all(
    arguments: Sequence[str], stdin: BinaryIO | None, skip: Path | None, spool: Path | None
) -> Iterator[Source]:
    for argument in arguments:
        if argument == "-":
            yield from _find_on_stdin(stdin or io.BytesIO(), skip, spool)
        elif argument.startswith("@") and not os.path.lexists(argument):
            yield from _find_in_list(argument, skip)
        else:
            yield from _find_named(argument, skip, literal=False)


def _find_in_list(argument: str, skip: Path | None) -> Iterator[Source]:
    try:
        with Path(argument[1:]).open("rb") as lines:
            yield from _find_listed(argument, argument[1:], lines, skip)
    except OSError as error:
        text = f"expected a list of paths, {argument[1:]!r} cannot be read: {error.strerror}; check the path"
        yield _missing(argument, text)


def _find_on_stdin(stdin: BinaryIO, skip: Path | None, spool: Path | None) -> Iterator[Source]:
    """A picture or clip that is piped in, else the paths listed there."""
    stream = stdin if hasattr(stdin, "peek") else io.BufferedReader(stdin)  # type: ignore[type-var]
    kind = media_kind(stream.peek(HEAD)[:HEAD])
    if not kind:
        yield from _find_listed("-", "standard input", stream, skip)
    elif spool is None:
        yield _missing(
            "-", "expected paths on standard input, got a picture or clip; give -o a file, not a folder"
        )
    else:
        path = spool / "stdin"
        with path.open("wb") as file:
            shutil.copyfileobj(stream, file)
        yield Source(str(path), kind, "stdin", title="-")


def _find_listed(argument: str, place: str, lines: BinaryIO, skip: Path | None) -> Iterator[Source]:
    """Lines are taken literally: a bracket or a number in a file name means itself."""
    empty = True
    for line in filter(None, _read_lines(lines)):
        empty = False
        name = line
        if not os.path.lexists(name):  # as Windows copies a path, or with blanks at its end
            name = line.strip().strip('"').strip("'") or line
        yield from _find_named(name, skip, literal=True)
    if empty:
        text = f"expected paths on {place}, one per line, got none; check the program that writes them"
        yield _missing(argument, text)


def _read_lines(stream: BinaryIO) -> Iterator[str]:
    """The lines of a list: UTF-8 or UTF-16, with or without a mark; or ended by NUL, as of `find -print0`."""
    first = stream.read(4096)
    encoding, ends = "utf-8-sig", "\n"
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif first[1:2] == b"\0" and first[3:4] == b"\0":
        encoding = "utf-16-le"
    elif first[:1] == b"\0" and first[2:3] == b"\0":
        encoding = "utf-16-be"
    elif b"\0" in first:
        ends = "\0"
    decoder = codecs.getincrementaldecoder(encoding)("surrogateescape" if "8" in encoding else "replace")
    rest = ""
    while first:
        *lines, rest = (rest + decoder.decode(first)).split(ends)
        yield from (line.rstrip("\r\n") for line in lines)
        first = stream.read(65536)
    yield (rest + decoder.decode(b"", final=True)).rstrip("\r\n")


def _find_named(name: str, skip: Path | None, *, literal: bool) -> Iterator[Source]:
    """The inputs that a path, glob or number names; a file of exactly that name comes first."""
    try:
        urlsplit(name if "://" in name else "")
    except ValueError as error:
        yield _missing(name, f"expected an address, {name!r} is none ({error}); check it")
        return
    if name.lower().startswith("file://"):
        from urllib.request import url2pathname

        name = url2pathname(urlsplit(name).path)
    path = Path(name)
    if stream := _find_stream(name):
        yield stream
    elif is_archive(name) and (literal or not has_magic(name) or os.path.lexists(name)):
        yield from _find_in_archive(name, skip)
    elif is_object(name):
        yield from _find_in_store(name)
    elif _is_dir(path):
        yield from _or_nothing_found(name, _find_in_folder(path, skip))
    elif os.path.lexists(path) or literal:
        yield _file(name, path.name)
    elif name.isascii() and name.isdigit():
        yield Source(name, "camera", f"camera-{name}")
    elif has_magic(name):
        yield from _find_matches(name, skip)
    else:
        what = "a photo, clip, folder, glob, camera number or stream"
        yield _missing(name, f"expected {what}, {name!r} does not exist; check the path")


def _find_stream(name: str) -> Source | None:
    """The stream with this address; None: not an address of one. Tables show it without its password."""
    if not is_object(name):
        return None
    from mien.video.stream import is_stream, shown

    if not is_stream(name):
        return None
    address = shown(name)
    inside = re.sub(r"[^\w.-]+", "-", address.partition("://")[2])
    if is_web(name) and is_image(urlsplit(name).path):
        return Source(name, "photo", inside, title=address)
    return Source(name, "stream", f"stream-{inside}", title=address)


def _find_matches(pattern: str, skip: Path | None) -> Iterator[Source]:
    """The media that match a glob; folders among them are searched."""
    matches = sorted(glob(pattern, recursive=True))  # noqa: PTH207 - the pattern may be absolute
    if not matches:
        yield _missing(pattern, f"expected files that match {pattern!r}, there are none; check the pattern")
        return
    media = (source for match in matches for source in _find_match(match, pattern, skip))
    yield from _or_nothing_found(pattern, media)


def _find_match(match: str, pattern: str, skip: Path | None) -> Iterator[Source]:
    path = Path(match)
    if _is_dir(path):
        if "**" not in pattern:  # `**` gives what is inside the folder by itself
            yield from _find_in_folder(path, skip)
    elif is_archive(match):
        yield from _find_in_archive(match, skip)
    else:
        yield _file(match, path.name, "other")


def _find_in_archive(archive: str, skip: Path | None) -> Iterator[Source]:
    """What a tar or Parquet file holds; it may name files as well."""

    def members() -> Iterator[Source]:
        for name, member in list_members(archive):
            if member is None:
                yield from _find_named(name, skip, literal=True)
            elif member.kind == "parquet" or is_image(name):
                yield Source(f"{archive}/{name}", "photo", name, member=member)

    yield from _or_unreachable(archive, members())


def _find_in_store(address: str) -> Iterator[Source]:
    """The media below an address of an object store, or the object of that name."""

    def objects() -> Iterator[Source]:
        for name, inside, named in list_objects(address):
            yield Source(name, media_kind(b"", name) or ("photo" if named else "other"), inside)

    yield from _or_unreachable(address, objects())


def _or_unreachable(name: str, media: Iterator[Source]) -> Iterator[Source]:
    """The media; where reading the archive or store fails, a failed input says so."""
    try:
        yield from _or_nothing_found(name, media)
    except DataError as error:
        yield _missing(name, str(error))
    except OSError as error:
        why = error.strerror or error
        yield _missing(name, f"expected to read {name}, got: {why}; check the address and access")


def _or_nothing_found(name: str, media: Iterator[Source]) -> Iterator[Source]:
    """The media found; if there are none, a failed input that says so."""
    found = False
    for source in media:
        found = found or source.kind != "other"
        yield source
    if not found:
        yield _missing(name, f"expected photos or clips in {name!r}, got none; check the path")


def _find_in_folder(folder: Path, skip: Path | None) -> Iterator[Source]:
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
                text = f"expected a folder to read, got: {error.strerror}; check its permissions"
                yield _missing(str(path), text)
                continue
            pending += [path / name for name in inside if not name.startswith(".")]
        else:
            yield _file(str(path), str(path.relative_to(folder)), "other")


def _missing(name: str, error: str) -> Source:
    return Source(name, "missing", error=error)


def _file(name: str, inside: str, otherwise: Kind = "photo") -> Source:
    """The source that a file is; `otherwise` is what it is if neither content nor ending tells."""
    return Source(name, file_kind(Path(name)) or otherwise, inside)


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name too long, a null byte: the reader's error says so
        return False
