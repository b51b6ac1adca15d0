"""Labelled faces in tar files that are read from front to back: for sets that no disk here holds.

The layout is WebDataset's: `00000042.png` (or `.jpg`, `.webp`) and, behind it, `00000042.json` with what is
known of it, many pairs a tar file. A split's index, `train.json`, lists the shards: the place of each, beside
the index or at any URL that fsspec opens, and how many pictures it holds.

Legend: N pictures, H rows, W columns.
"""

from __future__ import annotations

import hashlib
import json
import random
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from mien.data.pictures import one_vote
from mien.errors import DataError, ImageError, MissingExtra
from mien.files import write_whole
from mien.image import encode_image, read_image
from mien.labels import EMOTIONS
from mien.types import Image, Sample

Labelled = tuple[Image, Sample]  # (H, W, 3) RGB uint8, or what was given to be written

BUFFER: Final = 4096  # pictures, as they are in their files, that are mixed
_PICTURES: Final = ("png", "jpg", "jpeg", "webp")


@dataclass(frozen=True, slots=True)
class Shards:
    """A split in tar files."""

    name: str  # of the corpus, e.g. "ferplus"
    urls: tuple[str, ...]
    counts: tuple[int, ...]  # pictures in each
    hash: str  # a short sha256 of the index

    def __len__(self) -> int:
        return sum(self.counts)

    def read(self, seed: int, start: int = 0, stop: int | None = None) -> Iterator[Labelled]:
        """The pictures from `start` to `stop` of an order that the seed decides.

        The shards stand in a random order, and pictures are mixed within `BUFFER` as they come. Parts that
        do not overlap have no picture in common, and only the shards in which a part begins or ends are read
        by its neighbour too: processes share a set out by number, however many shards it has.

        Raises:
            DataError: a shard cannot be read, holds other than its index says, or a picture has no label.
        """
        mix = _webdataset("filters").shuffle(
            BUFFER,
            initial=BUFFER,
            rng=random.Random(seed + start),  # noqa: S311  no secret
        )
        return (_labelled(found) for found in mix(self._found(seed, start, stop)))

    def _found(self, seed: int, start: int, stop: int | None) -> Iterator[dict[str, Any]]:
        """The files of each picture, shard after shard."""
        place = 0  # of a shard's first picture
        for k in np.random.default_rng(seed).permutation(len(self.urls)):
            first = max(start - place, 0)
            last = min(len(self) if stop is None else stop, place + self.counts[k]) - place
            if first < last:
                yield from _part(self.urls[k], (first, last), self.counts[k])
            place += self.counts[k]


def open_shards(folder: Path, split: str) -> Shards:
    """A split of the corpus whose indices are in `folder`.

    Raises:
        DataError: there is no index of that split, or it is no index.
    """
    path = folder / f"{split}.json"
    try:
        text = path.read_bytes()
        index = json.loads(text)
        urls = tuple(_place(folder, shard["url"]) for shard in index["shardlist"])
        counts = tuple(int(shard["nsamples"]) for shard in index["shardlist"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: expected the index of a split in shards, as `mien data shards` writes it, could not "
            f"read it ({error}); check --root"
        ) from error
    name = str(index.get("name", folder.resolve().name))
    return Shards(name, urls, counts, hashlib.sha256(text).hexdigest()[:16])


def write_shards(name: str, split: str, faces: Iterable[Labelled], folder: Path, *, size: int = 1000) -> int:
    """Write a split; gives the number of its pictures. What is there of that split is replaced.

    Args:
        name: of the corpus.
        split: train, valid or test.
        faces: pictures with their labels, in the order in which they are to be read.
        folder: a folder; it is made.
        size: pictures in a shard.

    Raises:
        DataError: there is no picture.
        OutputError: a file cannot be written.
    """
    coming, listed = iter(faces), list[dict[str, Any]]()
    index_of = folder / f"{split}.json"
    index_of.unlink(missing_ok=True)  # killed half-way, there is no index of what is partly old
    while some := list(islice(coming, size)):
        path = folder / f"{split}-{len(listed):06d}.tar"
        first = len(listed) * size
        write_whole(path, lambda file, some=some, first=first: _write(file, some, first))  # type: ignore[misc]
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        listed.append({"url": path.name, "nsamples": len(some), "sha256": digest})
    if not listed:
        raise DataError(f"{name}/{split}: expected at least one labelled picture, found none")
    index = {"name": name, "shardlist": listed}  # the keys of WebDataset's own index (`wids`)
    write_whole(index_of, json.dumps(index, indent=1) + "\n")
    return sum(shard["nsamples"] for shard in listed)


def _write(file: IO[bytes], faces: list[Labelled], first: int) -> None:
    writer = _webdataset("writer").TarWriter(file, encoder=False, mtime=0)
    for number, (image, sample) in enumerate(faces, first):
        known = {"name": sample.name, "votes": sample.votes, "unknown": sample.unknown}
        writer.write(
            {
                "__key__": f"{number:08d}",
                "png": encode_image(image, ".png"),
                "json": json.dumps(known | {"not_face": sample.not_face}).encode(),
            }
        )
    writer.close()


def _part(url: str, span: tuple[int, int], count: int) -> Iterator[dict[str, Any]]:
    """The files of the pictures first .. last of a shard that holds `count`."""
    first, last = span
    tar = _webdataset("tariterators")
    read = 0
    try:
        with _open(url) as stream:
            files = tar.tar_file_expander([{"url": url, "stream": stream}])
            for found in islice(tar.group_by_keys(files), last + (last == count)):  # one more: there is none
                read += 1
                if read > first:
                    yield found
    except (OSError, tarfile.TarError, ValueError, EOFError) as error:
        raise DataError(f"{url}: cannot be read as a shard ({error}); fetch or write it again") from error
    if read != last:
        raise DataError(
            f"{url}: expected {count} pictures as its index says, found {'more' if read > last else read}; "
            "write it or the index again"
        )


def _labelled(found: dict[str, Any]) -> Labelled:
    """Picture and label from the bytes of their files."""
    try:
        known = json.loads(found["json"])
        name, unknown = str(known.get("name", found["__key__"])), int(known.get("unknown", 0))
        sample = Sample(name, _votes(known), unknown=unknown, not_face=int(known.get("not_face", 0)))
        return read_image(next(found[kind] for kind in _PICTURES if kind in found)).pixels, sample
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration, DataError, ImageError) as error:
        raise DataError(
            f"{found['__url__']}: {found['__key__']}: expected a picture ({', '.join(_PICTURES)}) and a "
            f'.json with "emotion", its name, or "votes", {len(EMOTIONS)} counts in the order '
            f"{' '.join(EMOTIONS)}, got {error!r}"
        ) from error


def _votes(known: dict[str, Any]) -> tuple[int, ...]:
    if "emotion" in known:
        return one_vote(known["emotion"])
    votes = tuple(map(int, known["votes"]))
    if not any(votes):
        raise ValueError(f"the votes {votes}")
    return votes


def _place(folder: Path, url: str) -> str:
    return url if "://" in url else str(folder / url)


def _open(url: str) -> AbstractContextManager[IO[bytes]]:
    """A local file, or whatever fsspec opens; webdataset's own opener would run a shell for `pipe:`."""
    if "://" not in url:
        return Path(url).open("rb")
    try:
        import fsspec
    except ImportError as error:
        raise MissingExtra("fsspec", "train", "reading shards from a URL") from error
    return fsspec.open(url, "rb")  # type: ignore[no-any-return]


def _webdataset(part: str) -> Any:
    from importlib import import_module

    try:
        return import_module(f"webdataset.{part}")
    except ImportError as error:
        raise MissingExtra("webdataset", "train", "shards of labelled faces") from error
