"""FairFace: faces with age group, gender and race, and no expression (Karkkainen and Joo, WACV 2021).

A table (`fairface_label_train.csv` with the column `file`, as published, or `legend.csv` with the column
`image`) names the pictures; each sample carries the other three columns as tags.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Final

from mien.data.corpus import Corpus, CorpusStore, open_store
from mien.data.pictures import corpus_of
from mien.errors import DataError
from mien.types import Sample

GROUPS: Final = ("age", "gender", "race")
_NAMES: Final = ("file", "image")  # of the column that names the picture
#: Age groups as a spreadsheet writes them when it takes them for dates: some copies have these.
_DATES: Final = {"03-Sep": "3-9", "Oct-19": "10-19"}
_FOLDERS: Final = ("", "images/")  # of the pictures, beside the table


def fairface(root: Path) -> Corpus:
    """The faces of every table in a folder or zip, without votes.

    Raises:
        DataError: no table with these columns is there, or pictures that it names are not.
    """
    store = open_store(root)
    names = frozenset(store.names())
    samples = tuple(sample for table in _tables(store, names) for sample in _samples(store, table, names))
    if not samples:
        raise DataError(
            f"{root}: expected a .csv with the columns {' or '.join(_NAMES)}, {', '.join(GROUPS)} and the "
            "pictures it names, found none; give the folder or zip of FairFace"
        )
    return corpus_of("fairface", store, samples)


def _tables(store: CorpusStore, names: frozenset[str]) -> list[str]:
    return [name for name in sorted(names) if name.endswith(".csv") and _picture_column(store, name)]


def _picture_column(store: CorpusStore, table: str) -> str | None:
    head = next(csv.reader(io.StringIO(store.read(table).decode("utf-8-sig", "replace"))), [])
    return next((name for name in _NAMES if name in head), None) if set(GROUPS) <= set(head) else None


def _samples(store: CorpusStore, table: str, names: frozenset[str]) -> list[Sample]:
    column = _picture_column(store, table)
    folder = table.rpartition("/")[0] + "/" if "/" in table else ""
    samples, absent = [], 0
    for row in csv.DictReader(io.StringIO(store.read(table).decode("utf-8-sig", "replace"))):
        place = next(
            (f"{folder}{f}{row[column]}" for f in _FOLDERS if f"{folder}{f}{row[column]}" in names), ""
        )
        absent += not place
        if place:
            tags = {group: _DATES.get(row[group], row[group]) for group in GROUPS}
            samples.append(Sample(name=place, tags=tags))
    if absent:
        raise DataError(
            f"{store.root}: {table} names {absent + len(samples)} pictures, {absent} of them are not there; "
            "is the download whole?"
        )
    return samples
