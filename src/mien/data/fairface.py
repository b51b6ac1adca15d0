"""FairFace: faces with age group, gender and race, and no expression (Karkkainen and Joo, WACV 2021).

A table (`fairface_label_train.csv` with the column `file`, as published, or `legend.csv` with the column
`image`) names the pictures; each sample carries the other three columns as tags.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from mien.data.corpus import Corpus, open_store
from mien.data.pictures import corpus_of, read_tables
from mien.errors import DataError
from mien.types import Sample

GROUPS: Final = ("age", "gender", "race")
#: Age groups as a spreadsheet writes them when it takes them for dates: some copies have these.
_DATES: Final = {"03-Sep": "3-9", "Oct-19": "10-19"}


def fairface(root: Path | str) -> Corpus:
    """The faces of every table in a folder or zip, without votes.

    Raises:
        DataError: no table with these columns is there, or pictures that it names are not.
    """
    store = open_store(root)
    samples = [
        Sample(place, tags={group: _DATES.get(row[group], row[group]) for group in GROUPS})
        for place, row in read_tables(store, GROUPS)
    ]
    if not samples:
        raise DataError(
            f"{root}: expected a .csv with the columns file or image, {', '.join(GROUPS)} and the "
            "pictures it names, found none; give the folder or zip of FairFace"
        )
    return corpus_of("fairface", store, samples)
