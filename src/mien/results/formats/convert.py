"""One file into another format, whole or not at all."""

from __future__ import annotations

from pathlib import Path

from mien.errors import ConfigError, OutputError
from mien.files import WholeFile
from mien.results.formats.clip import choose, one_clip
from mien.results.formats.formats import FORMATS, choose_format, tell_format
from mien.results.formats.wish import Wish


def convert_file(path: Path, out: Path, wish: Wish, *, to: str | None = None, overwrite: bool = False) -> str:
    """Convert `path` to `out`; the remarks stand in `wish.notes`.

    Args:
        path: Mien's table or a file of one of `FORMATS`.
        out: the file to write; there is none of this name unless all went well.
        wish: options, as far as the format has a place for them.
        to: name of the format; None: by the ending of `out`.
        overwrite: replace `out` if it is there.

    Returns:
        The name of the format that was written.

    Raises:
        DataError: the file is none of the formats, damaged, or empty.
        OutputError: the format cannot hold it, or `out` cannot be written.
        ConfigError: an option that the format has no place for.
        MissingExtra: Parquet without pyarrow.
    """
    read = tell_format(path)
    name, form = choose_format(out, to, read)
    if wish.min_seconds and not form.runs:
        raise ConfigError(f"--min-seconds: expected eaf, vtt or srt, got {name}, which holds every frame")
    if wish.events is not None and name != "eaf":
        raise ConfigError(f"--events: expected eaf, got {name}, which has no place for events")
    _apart(out, [path, *([wish.events] if wish.events else [])])
    with WholeFile(out, overwrite=overwrite) as file:
        rows = choose(FORMATS[read].read(path, wish), wish.source)
        form.write(one_clip(rows, name, wish) if form.clip else rows, file.partial, wish)
    return name


def _apart(out: Path, inputs: list[Path]) -> None:
    for path in inputs:
        if out.exists() and path.exists() and out.samefile(path):
            raise OutputError(f"{out}: expected another file than the one that is read; give another name")
