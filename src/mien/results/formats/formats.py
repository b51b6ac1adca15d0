"""The formats, by name, and how a file's is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from mien.errors import DataError, OutputError
from mien.results.formats import openface, pyfeat, table
from mien.results.formats.elan import write_elan
from mien.results.formats.elan_read import read_elan
from mien.results.formats.sheet import ENDINGS, open_sheet
from mien.results.formats.srt import read_srt, write_srt
from mien.results.formats.webvtt import read_webvtt, write_webvtt
from mien.results.formats.wish import Wish
from mien.results.rows import Row

Reader = Callable[[Path, Wish], Iterable[Row]]
Writer = Callable[[Iterable[Row], Path, Wish], None]


@dataclass(frozen=True, slots=True)
class Form:
    """One format."""

    endings: tuple[str, ...]
    read: Reader
    write: Writer
    clip: bool = True  # holds one clip with times, not photos or several sources
    runs: bool = False  # holds runs, so that short ones can be joined
    needed: tuple[str, ...] = ()  # columns by which a table of it is known


def _table(ending: str) -> Form:
    write = partial(table.write_table, ending=ending)
    return Form(ENDINGS, table.read_table, write, clip=False, needed=table.NEEDED)


FORMATS: Final[dict[str, Form]] = {
    "mien": _table(".csv"),
    "openface": Form((".csv",), openface.read_openface, openface.write_openface, needed=openface.NEEDED),
    "pyfeat": Form((".csv",), pyfeat.read_pyfeat, pyfeat.write_pyfeat, clip=False, needed=pyfeat.NEEDED),
    "eaf": Form((".eaf",), read_elan, write_elan, runs=True),
    "vtt": Form((".vtt",), read_webvtt, write_webvtt, runs=True),
    "srt": Form((".srt",), read_srt, write_srt, runs=True),
}


def tell_format(path: Path) -> str:
    """The name of the format of a file that is there, by its ending or, of a table, its columns.

    Raises:
        DataError: none of them.
        MissingExtra: Parquet without pyarrow.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        found = [name for name, form in FORMATS.items() if ending in form.endings]
        if not found:
            known = dict.fromkeys(e for form in FORMATS.values() for e in form.endings)
            raise DataError(f"{path}: expected a name that ends in {', '.join(known)}, got {ending!r}")
        return found[0]
    columns = set(open_sheet(path).columns)
    found = [name for name, form in FORMATS.items() if form.needed and columns.issuperset(form.needed)]
    return found[0] if found else "mien"  # whose reader says what is missing


def choose_format(out: Path, name: str | None, read: str) -> tuple[str, Form]:
    """The format to write: that with `name`, or the one that the ending of `out` tells.

    Args:
        out: the file to write.
        name: what was asked for; None: by the ending.
        read: the format that is read; of it a table goes to Mien's own, if it is not that already.

    Raises:
        OutputError: no such format, or an ending that tells none or another.
    """
    ending = out.suffix.lower()
    if name is None:
        fits = [key for key, form in FORMATS.items() if ending in form.endings]
        name = fits[0] if len(fits) == 1 or (fits and read != "mien") else None
        if name is None:
            names = ", ".join(fits or FORMATS)
            raise OutputError(f"{out}: the ending does not tell the format; choose with --to: {names}")
    form = FORMATS.get(name)
    if form is None:
        raise OutputError(f"--to: expected one of {', '.join(FORMATS)}, got {name!r}")
    if ending not in form.endings:
        raise OutputError(
            f"{out}: expected a name that ends in {' or '.join(form.endings)} for {name}, got {ending!r}"
        )
    return name, _table(ending) if name == "mien" else form
