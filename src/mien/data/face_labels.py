"""What a face network's teacher says of the pictures of a corpus: one file of labels beside it.

`docs/face.md` tells how these are made. Legend: N pictures, L = 146 landmarks, U = 45 movements.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mien.data.corpus import Corpus, open_store
from mien.data.pictures import corpus_of, is_picture
from mien.errors import DataError
from mien.files import load_arrays
from mien.types import Sample
from mien.units import OUTPUTS, UNITS

ADVICE: Final = "docs/face.md tells how labels are made"
_LANDMARKS: Final = OUTPUTS["landmarks"] // 2
_PRESENT: Final = 0.5  # the teacher's presence from which it saw a face


def read_labels(path: Path) -> dict[str, NDArray[Any]]:
    """What the teacher says of N pictures, from an .npz file.

    The file holds `name` (N,), a file of the corpus, with or without folder and ending; `presence` (N,);
    `landmarks` (N, 146 or more, 2), shares of the picture's width and height; `blendshapes` (N, B) with
    `blendshape_name` (B,); `rotation` (N, 3), yaw, pitch and roll in degrees.

    Returns:
        name, known (N,) bool, landmarks (N, L, 2), units (N, U), rotation (N, 3).

    Raises:
        DataError: no such file, or one that holds something else.
    """
    if not path.is_file():
        raise DataError(f"{path}: expected the labels of {path.stem}, found no such file; {ADVICE}")
    held = load_arrays(path, ADVICE)
    try:
        names = held["blendshape_name"].tolist()
        found = {
            "name": held["name"],
            "known": held["presence"] > _PRESENT,
            "landmarks": held["landmarks"][:, :_LANDMARKS].astype(np.float32),
            "units": held["blendshapes"][:, [names.index(unit) for unit in UNITS]].astype(np.float32),
            "rotation": held["rotation"],
        }
    except (KeyError, ValueError, IndexError) as error:
        raise DataError(
            f"{path}: expected labels of a face network's teacher, got {error}; {ADVICE}"
        ) from error
    shapes = [found[key].shape[1:] for key in ("landmarks", "units", "rotation")]
    if shapes != [(_LANDMARKS, 2), (len(UNITS),), (3,)] or len(set(map(len, found.values()))) > 1:
        came = ", ".join(f"{key} {values.shape}" for key, values in held.items())
        raise DataError(f"{path}: expected labels of a face network's teacher, got {came}; {ADVICE}")
    return found


def open_labelled(name: str, root: Path, labels: Path) -> tuple[Corpus, dict[str, NDArray[Any]]]:
    """The labelled pictures of a corpus in a folder or zip, and what `read_labels` gives of them.

    Raises:
        DataError: the labels cannot be read, or a picture that they name is not there.
    """
    found = read_labels(labels)
    store = open_store(root)
    pictures = [place for place in store.names() if is_picture(PurePosixPath(place))]
    places = {PurePosixPath(place).stem: place for place in pictures}  # FairFace's numbers
    places |= {PurePosixPath(place).name: place for place in pictures}  # a zip file that was unpacked
    places |= {place: place for place in pictures}
    names = [n if n in places else PurePosixPath(n).name for n in found["name"].tolist()]
    absent = [n for n in names if n not in places]
    if absent:
        raise DataError(
            f"{root}: expected the {len(found['name'])} pictures that {labels} names, {len(absent)} are not "
            f"there, the first: {absent[0]}; give the same download"
        )
    return corpus_of(name, store, [Sample(places[n]) for n in names]), found


def is_kept_back(name: str) -> bool:
    """Whether a face judges, or is left out: FairFace's numbers that end in 0, and FER+'s other splits."""
    return (name.isdigit() and name.endswith("0")) or "FER2013Valid" in name or "FER2013Test" in name


def find_corpus(root: Path, name: str) -> Path:
    """The folder or zip file of a corpus; DataError if there is neither."""
    for path in (root / name, root / f"{name}.zip"):
        if path.exists():
            return path
    raise DataError(f"{root}: expected {name} or {name}.zip in it, found neither; check --root")
