"""FairFace: faces with age group, gender and race, and no expression (Karkkainen and Joo, WACV 2021).

A table (`fairface_label_train.csv` with the column `file`, as published, or `legend.csv` with the column
`image`) names the pictures; each sample carries the other three columns as tags.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Final

from mien.data.corpus import Corpus, open_store
from mien.data.pictures import corpus_of
from mien.errors import DataError
from mien.types import Sample

GROUPS: Final = ("age", "gender", "race")
_NAMES: Final = ("file", "image")  # of the column that names the picture
#: Age groups as a spreadsheet writes them when it takes them for dates: some copies have these.
_DATES: Final = {"03-Sep": "3-9", "Oct-19": "10-19"}


def fairface(root: Path) -> Corpus:
    """The faces of every table in a folder or zip, without votes.

    Raises:
        DataError: no table with these columns is there, or pictures that it names are not.
    """
    store = open_store(root)
    names = frozenset(store.names())
    samples: list[Sample] = []
    for table in sorted(name for name in names if name.endswith(".csv")):
        rows = csv.DictReader(io.StringIO(store.read(table).decode("utf-8-sig", "replace")))
        head = rows.fieldnames or ()
        column = next((name for name in _NAMES if name in head), None)
        if column is None or not set(GROUPS) <= set(head):
            continue
        folder, absent, present = table.rpartition("/")[0], 0, 0
        for row in rows:
            # the pictures are beside the table or in its folder `images`
            places = [f"{folder}/{inner}{row[column]}".lstrip("/") for inner in ("", "images/")]
            place = next((place for place in places if place in names), None)
            if place is None:
                absent += 1
                continue
            present += 1
            tags = {group: _DATES.get(row[group], row[group]) for group in GROUPS}
            samples.append(Sample(name=place, tags=tags))
        if absent:
            raise DataError(
                f"{root}: {table} names {absent + present} pictures, {absent} of them are not there; "
                "is the download whole?"
            )
    if not samples:
        raise DataError(
            f"{root}: expected a .csv with the columns {' or '.join(_NAMES)}, {', '.join(GROUPS)} and the "
            "pictures it names, found none; give the folder or zip of FairFace"
        )
    return corpus_of("fairface", store, samples)
