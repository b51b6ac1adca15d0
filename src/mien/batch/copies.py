"""Where annotated copies and pages go: one name an input, none twice, none over what is there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Final

from mien.batch.sources import Source
from mien.errors import OutputError

#: Endings that a copy keeps; any other photo becomes `name.ending.png`, any other clip `name.ending.mp4`.
_KEPT: Final = {
    "photo": (".jpg", ".jpeg", ".png"),
    "clip": (".mp4",),
    "camera": (".mp4",),
    "stream": (".mp4",),
}


def name_copies(sources: Sequence[Source], folder: Path) -> list[Path | None]:
    """The path of each source's copy in `folder`, laid out as below the folder that the user named.

    Two inputs of one name get `name.jpg` and `name-2.jpg`, in the order of the inputs.
    """
    taken: set[str] = set()
    return [None if s.kind == "missing" else _free(folder / _copy_name(s), taken) for s in sources]


def name_pages(sources: Sequence[Source], folder: Path) -> list[Path | None]:
    """The path of each clip's page in `folder`, named in the same way; photos have none."""
    taken: set[str] = set()
    return [_free(folder / f"{s.inside}.html", taken) if s.moving else None for s in sources]


def check_copies(copies: Sequence[Path | None], sources: Sequence[Source], *, overwrite: bool) -> None:
    """Refuse, before any work is done, to write over an input or, unless told to, over anything.

    Raises:
        OutputError: a copy is there already, or would replace an input.
    """
    inputs = {_identity(Path(s.name)) for s in sources if s.kind in ("photo", "clip")}
    there = [copy for copy in copies if copy is not None and copy.exists()]
    for copy in there:
        if _identity(copy) in inputs:
            raise OutputError(f"expected another place than the inputs', {copy} is one of them; name another")
    if there and not overwrite:
        raise OutputError(
            f"expected no copies and pages yet, {there[0]} exists already (and {len(there) - 1} more); "
            "name another folder or give --overwrite"
        )


def _copy_name(source: Source) -> PurePath:
    inside = PurePath(source.inside)
    if inside.suffix.lower() in _KEPT[source.kind]:
        return inside
    return inside.with_name(inside.name + (".png" if source.kind == "photo" else ".mp4"))


def _free(path: Path, taken: set[str]) -> Path:
    """`path`, or with the first number that makes it new; case does not tell names apart everywhere."""
    free, number = path, 1
    while str(free).casefold() in taken:
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    taken.add(str(free).casefold())
    return free


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino
