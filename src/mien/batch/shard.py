"""One shard: the parts of its inputs to a Parquet file that appears whole, with what failed in its footer."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from mien.batch.part import Part
from mien.errors import MienError, OutputError
from mien.results.rows import Row
from mien.results.tables import ParquetFile

_KEY: Final = "mien"  # of the footer


class Unreachable(MienError):
    """So many inputs in a row could not be fetched that the disk or network must be away."""


@dataclass(frozen=True, slots=True)
class Failed:
    """An input of a shard that failed, and where its rows are."""

    input: int  # of the shard, from 0
    name: str
    error: str
    row: int  # its first
    rows: int


@dataclass(slots=True)
class Shard:
    """What became of the inputs of a shard; its file's footer says the same."""

    inputs: int = 0
    rows: int = 0
    failed: list[Failed] = field(default_factory=list)

    def add(self, part: Part, row: int) -> None:
        """Count a part in; `row`: the first of its input."""
        self.rows += len(part.rows)
        if part.error:
            self.failed.append(Failed(self.inputs, part.name, part.error, row, self.rows - row))
        self.inputs += part.last


class Patience:
    """Inputs in a row that could not be fetched: how many more may come.

    Args:
        most: so many in a row end the run; 0: none do.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._row = 0

    def watch(self, part: Part) -> None:
        """Count a part.

        Raises:
            Unreachable: there have been too many.
        """
        if not part.last:
            return
        self._row = self._row + 1 if part.lost else 0
        if self._most and self._row >= self._most:
            raise Unreachable(
                f"expected inputs that can be fetched, {self._row} in a row could not be, the last: "
                f"{part.error}; the shard that they are in was not written: when disk and network are there "
                "again, start again, and it goes on (if they are gone for good, give --max-lost 0)"
            )


class _File(ParquetFile):
    """A shard's file, with what it is in its footer."""

    def describe(self, shard: Shard) -> None:
        """Note it; before the file is closed."""
        self._file.add_key_value_metadata({_KEY: json.dumps(asdict(shard))})


def write_shard(path: Path, pieces: Iterator[Part | list[Row]], whole: Shard) -> None:
    """Write a shard, and give it its name when it is whole and on disk.

    Args:
        path: its file.
        pieces: parts of inputs, or rows that an earlier run made.
        whole: counts the parts; noted in the file.

    Raises:
        OutputError: it cannot be written (a full disk); nothing is left behind.
        MienError: what the pieces raise.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        file = _File(partial)
        for piece in pieces:
            file.write(piece.rows if isinstance(piece, Part) else piece)
        file.describe(whole)
        file.close()
        with partial.open("rb") as written:
            os.fsync(written.fileno())  # else the name may outlive a power cut that the rows do not
        partial.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path}: writing broke off ({error.strerror or error}); make room, and start again: it goes on "
            "with this shard"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def fill(parts: Iterator[Part], inputs: int, whole: Shard) -> Iterator[Part]:
    """The parts of the next inputs, counted; what follows stays in `parts`."""
    row = whole.rows
    while whole.inputs < inputs:
        part = next(parts)
        whole.add(part, row)
        yield part
        row = whole.rows if part.last else row


def mend(path: Path, parts: Iterator[Part], whole: Shard) -> Iterator[Part | list[Row]]:
    """The rows of a shard, those of failed inputs replaced by new parts."""
    import pyarrow.parquet as pq

    before, rows = read_shard(path), pq.read_table(path).to_pylist()
    done = 0
    for failed in before.failed:
        kept = rows[done : failed.row]
        whole.rows += len(kept)
        whole.inputs = failed.input
        yield kept
        yield from fill(parts, failed.input + 1, whole)
        done = failed.row + failed.rows
    whole.rows += len(rows) - done
    whole.inputs = before.inputs
    yield rows[done:]


def read_shard(path: Path) -> Shard:
    """What a shard's footer says of it.

    Raises:
        OutputError: it is no shard that Mien wrote.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        noted: dict[str, Any] = json.loads(pq.read_metadata(path).metadata[_KEY.encode()])
        return Shard(**{**noted, "failed": [Failed(**one) for one in noted["failed"]]})
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise OutputError(
            f"expected a shard that Mien wrote in {path}, could not read it ({error}); remove it, and start "
            "again: it is made anew"
        ) from error
