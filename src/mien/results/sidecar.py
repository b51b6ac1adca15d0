"""Sidecars: files beside tables that tell how these were made, `faces.csv.json` beside `faces.csv`.

A folder of shards has its manifest instead, with the same keys but for `table`, `inputs` (its plan names
them) and `made`.

    table                     what it holds (frames, events or a summary), and its sha256
    mien, network, settings   version, sha256 of the network's file, options: what rows depend on
    events                    of events and summaries: what counted as an event
    detector                  sha256 of the two networks that find faces
    model                     of the network: its name, size, thresholds, and the figures of its card
    counts                    inputs, failed ones, frames, frames without a face, faces, uncertain ones
    interrupted, left_out     whether Ctrl-C ended the run; files in folders that were no media, by ending
    made                      when, in which time, by which versions, on which machine
    inputs                    one per line: its name, kind, sha256, counts, first and last time, error

All but `made` is the same for a run that was killed and resumed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import file_digest
from pathlib import Path
from typing import Any, Final

from mien.errors import DataError, OutputError
from mien.files import write_whole

MANIFEST: Final = "_manifest.json"
_NEEDED: Final = ("mien", "network", "settings", "model", "counts")


def find_sidecar(table: Path) -> Path:
    """Where the sidecar of a table is, or of a folder of shards."""
    return table / MANIFEST if table.is_dir() else table.with_name(f"{table.name}.json")


def check_sidecar(table: Path, *, overwrite: bool) -> None:
    """Refuse, before any work is done, to replace a file that is no sidecar by one.

    Raises:
        OutputError: there is such a file, and no `overwrite`.
    """
    path = find_sidecar(table)
    if path.exists() and not overwrite and _parse(path) is None:
        raise OutputError(
            f"{path} exists already, and has the name of the file that tells how {table.name} was made; give "
            "the table another name, or replace both with --overwrite (in Python overwrite=True)"
        )


def write_sidecar(table: Path, holds: str, record: Mapping[str, Any], inputs: Iterable[str]) -> None:
    """Write the sidecar of a table that is complete.

    Args:
        table: its file.
        holds: frames, events or summary.
        record: what is said of its run.
        inputs: each as JSON in one line.

    Raises:
        OutputError: it cannot be written; nothing is left behind.
    """
    with table.open("rb") as file:
        about = {"file": table.name, "holds": holds, "sha256": file_digest(file, "sha256").hexdigest()}
    head = json.dumps({"table": about, **record}, indent=1)[:-2]
    lines = ",\n  ".join(inputs)
    write_whole(find_sidecar(table), f'{head},\n "inputs": [\n  {lines}\n ]\n}}\n')


def read_sidecar(table: Path) -> dict[str, Any]:
    """What the sidecar of a table says.

    Raises:
        DataError: there is none, it is damaged, or a folder of shards is not complete.
    """
    path = find_sidecar(table)
    if not table.exists():
        raise DataError(f"{table}: expected a table, there is no such file; check the name")
    if not path.is_file():
        raise DataError(
            f"{path}: expected the file that `mien analyze` writes beside a table to tell how it was made, "
            "there is none; keep it beside the table, or make the table again"
        )
    record = _parse(path)
    if record is None or (table.is_dir() and not record.get("whole")):
        why = "the run is not complete: start it again" if record else "it is damaged, or not Mien's"
        raise DataError(f"{path}: expected what `mien analyze` writes about a run; {why}")
    return record


def is_changed(table: Path, record: Mapping[str, Any]) -> bool:
    """Whether a table is another than the one that its sidecar describes."""
    if table.is_dir():
        return False
    with table.open("rb") as file:
        return bool(file_digest(file, "sha256").hexdigest() != record["table"]["sha256"])


def describe_detector() -> dict[str, str]:
    """The sha256 of the two networks that find faces."""
    from mien.faces.yunet import SHA256
    from mien.models import FACE

    return {"yunet": SHA256, **FACE}


def _parse(path: Path) -> dict[str, Any] | None:
    """The record in a file; None: it holds none."""
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and all(name in record for name in _NEEDED) else None
