"""Mien's table in the formats of other programs: OpenFace, py-feat, ELAN, WebVTT, SubRip, BORIS, iMotions.

The tables of OpenFace and py-feat can also be read; the others are only written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from mien.errors import ConfigError, OutputError
from mien.files import WholeFile
from mien.results.formats import elan, openface, pyfeat, stretches
from mien.results.formats.conversion import Conversion, check_one_clip, choose_source
from mien.results.rows import EXTRA_COLUMNS, Row, choose_columns
from mien.results.table_reader import NEEDED, open_table, read_table
from mien.results.tables import WRITERS

__all__ = ["FORMATS", "Format", "convert"]


def _write_mien(rows: Iterable[Row], path: Path, conversion: Conversion) -> None:
    """Write Mien's own table in the format that the ending of the output names."""
    columns = choose_columns(**dict.fromkeys(conversion.extra, True))
    table = WRITERS[conversion.ending](path, columns)
    try:
        every = iter(rows)
        while some := list(islice(every, 1000)):
            table.write(some)
    finally:
        table.close()


@dataclass(frozen=True, slots=True)
class Format:
    """One format."""

    endings: tuple[str, ...]  # of the names of its files
    write: Callable[[Iterable[Row], Path, Conversion], None]
    one_clip: bool = True  # it holds one clip with times, not photos or several sources
    runs: bool = False  # it holds runs, of which short ones can be joined
    events: bool = False  # it has a place for a table of events


FORMATS: Final[dict[str, Format]] = {
    "mien": Format(tuple(WRITERS), _write_mien, one_clip=False),
    "openface": Format((".csv",), openface.write_openface),
    "pyfeat": Format((".csv",), pyfeat.write_pyfeat, one_clip=False),
    "eaf": Format((".eaf",), elan.write_elan, runs=True, events=True),
    "vtt": Format((".vtt",), stretches.write_webvtt, runs=True),
    "srt": Format((".srt",), stretches.write_srt, runs=True),
    "boris": Format((".tsv", ".csv"), stretches.write_boris, runs=True, events=True),
    "imotions": Format((".csv",), stretches.write_imotions, runs=True, events=True),
}

#: The formats that can be read: the columns by which a table of it is known, and its reader.
TABLE_READERS: Final[dict[str, tuple[tuple[str, ...], Callable[[Path, Conversion], Iterable[Row]]]]] = {
    "mien": (NEEDED, lambda path, _: read_table(path)),
    "openface": (openface.NEEDED, openface.read_openface),
    "pyfeat": (pyfeat.NEEDED, pyfeat.read_pyfeat),
}


def convert(
    table: Path,
    output: Path,
    *,
    to: str | None = None,
    source: str | None = None,
    events: Path | None = None,
    min_seconds: float = 0.0,
    overwrite: bool = False,
) -> Conversion:
    """Convert a table into another format; the file appears whole or not at all.

    Args:
        table: a table of Mien, OpenFace or py-feat.
        output: the file to write.
        to: name of the format, one of `FORMATS`; None: by the ending of `output`.
        source: of a table of several sources, the one to convert; what to call that of OpenFace, whose
            tables do not name it.
        events: a table of events; eaf gets tiers of them, boris and imotions hold them alone.
        min_seconds: for formats of stretches: what is shown for a shorter time is joined to what it
            interrupts.
        overwrite: replace `output` if it exists.

    Returns:
        The conversion, with the name of the format written, and notes on what was lost or left out.

    Raises:
        DataError: `table` is none of the formats that can be read, damaged, or empty.
        OutputError: the format cannot hold it, or `output` cannot be written.
        ConfigError: an option that the format has no place for.
        MissingExtra: the format needs a package that is not installed.
    """
    columns = open_table(table).columns
    read_name = _tell_format(columns)
    name = _choose_format(output, to, read_name)
    form = FORMATS[name]
    if min_seconds and not form.runs:
        fit = ", ".join(key for key, one in FORMATS.items() if one.runs)
        raise ConfigError(f"--min-seconds: expected one of {fit}, got {name}, which holds every frame")
    if events is not None and not form.events:
        fit = ", ".join(key for key, one in FORMATS.items() if one.events)
        raise ConfigError(f"--events: expected one of {fit}, got {name}, which has no place for events")
    for path in [table] if events is None else [table, events]:
        if output.exists() and path.exists() and output.samefile(path):
            raise OutputError(f"{output}: expected another file than the one that is read; give another name")
    extra = tuple(name for name, some in EXTRA_COLUMNS.items() if set(columns).issuperset(some))
    conversion = Conversion(name, output.suffix.lower(), source, events, min_seconds, extra)
    with WholeFile(output, overwrite=overwrite) as file:
        _, read = TABLE_READERS[read_name]
        rows = choose_source(read(table, conversion), source)
        if form.one_clip:
            rows = check_one_clip(rows, conversion)
        form.write(rows, file.partial, conversion)
    return conversion


def _tell_format(columns: Sequence[str]) -> str:
    """The name of the format of a table, by its columns."""
    found = [name for name, (needed, _) in TABLE_READERS.items() if set(columns).issuperset(needed)]
    return found[0] if found else "mien"  # whose reader says what is missing


def _choose_format(output: Path, name: str | None, read_name: str) -> str:
    """The format to write: `name`, or the one that the ending of `output` tells.

    Without a `name`, a table of another program goes to Mien's own format.
    """
    ending = output.suffix.lower()
    if name is None:
        fits = [key for key, form in FORMATS.items() if ending in form.endings]
        if not fits or (len(fits) > 1 and read_name == "mien"):
            names = ", ".join(fits or FORMATS)
            raise ConfigError(f"{output}: the ending does not tell the format; choose with --to: {names}")
        name = fits[0]
    form = FORMATS.get(name)
    if form is None:
        raise ConfigError(f"--to: expected one of {', '.join(FORMATS)}, got {name!r}")
    if ending not in form.endings:
        raise ConfigError(
            f"{output}: expected a name that ends in {' or '.join(form.endings)} for {name}, got {ending!r}"
        )
    return name
