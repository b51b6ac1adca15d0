"""The forms that photos are answered in: JSON, or Mien's rows as CSV or Parquet.

Each photo takes its form in the thread that read it, so that the event loop only puts the pieces together.
"""

from __future__ import annotations

import importlib.util
import io
import json
import threading
from typing import Any, Final, Protocol, TypeVar

from mien.results.rows import Row, failure_row, rows
from mien.results.tables import ParquetFile, write_csv
from mien.server.answer import failed_answer, photo_answer
from mien.server.problem import Problem
from mien.types import Frame, Image

T = TypeVar("T")
JSON: Final = "application/json"
CSV: Final = "text/csv"
PARQUET: Final = "application/vnd.apache.parquet"


class Form(Protocol[T]):
    """What becomes of the photos of one request."""

    kind: str  # media type

    def read(self, name: str, pixels: Image, frame: Frame) -> T:
        """One photo; called in a thread.

        Args:
            name: what its sender calls it.
            pixels: (H, W, 3) RGB uint8.
            frame: its faces.
        """

    def failed(self, name: str, problem: Problem) -> T:
        """One photo that could not be read."""

    def whole(self, photos: list[T]) -> bytes:
        """The answer."""


class JsonForm:
    """`{"photos": [...]}`.

    Args:
        drawn: also the pictures with the faces drawn on them.
        most: bytes of an answer.
    """

    kind = JSON

    def __init__(self, *, drawn: bool, most: int) -> None:
        self._drawn, self._most = drawn, most
        self._size = 0
        self._lock = threading.Lock()

    def read(self, name: str, pixels: Image, frame: Frame) -> bytes:
        """One photo.

        Raises:
            Problem: with those before it, it is too much for one answer.
        """
        photo = _json(photo_answer(name, pixels, frame, drawn=self._drawn))
        with self._lock:
            self._size += len(photo)
            if self._size > self._most:
                self._size -= len(photo)
                raise Problem(
                    "too-large",
                    f"expected an answer of at most {self._most:,} bytes, got more; send fewer photos at "
                    "one time, or do without `annotate`",
                )
        return photo

    def failed(self, name: str, problem: Problem) -> bytes:
        """Its error."""
        return _json(failed_answer(name, problem))

    def whole(self, photos: list[bytes]) -> bytes:
        """One object."""
        return b'{"photos":[' + b",".join(photos) + b"]}"


class CsvForm:
    """Rows under a header."""

    kind = f"{CSV}; charset=utf-8"

    def read(self, name: str, pixels: Image, frame: Frame) -> str:  # noqa: ARG002 - a `Form` gets them
        """Its rows."""
        return _csv(_rows(name, frame))

    def failed(self, name: str, problem: Problem) -> str:  # noqa: ARG002 - a row has no place for it
        """A row with success 0."""
        return _csv([failure_row(name)])

    def whole(self, photos: list[str]) -> bytes:
        """One table."""
        return "".join([_csv([], header=True), *photos]).encode()


class ParquetForm:
    """Rows with the types of `mien analyze -o OUT.parquet`."""

    kind = PARQUET

    def read(self, name: str, pixels: Image, frame: Frame) -> list[Row]:  # noqa: ARG002 - a `Form` gets them
        """Its rows."""
        return _rows(name, frame)

    def failed(self, name: str, problem: Problem) -> list[Row]:  # noqa: ARG002 - a row has no place for it
        """A row with success 0."""
        return [failure_row(name)]

    def whole(self, photos: list[list[Row]]) -> bytes:
        """One file."""
        place = io.BytesIO()
        file = ParquetFile(place)
        for some in photos:
            file.write(some)
        file.close()
        return place.getvalue()


def form_of(accept: str, *, drawn: bool, most: int) -> Form[Any]:
    """The form that a request asks for; JSON where it names none that there is.

    Args:
        accept: its header.
        drawn: JSON has the drawn pictures, too.
        most: bytes of a JSON answer.

    Raises:
        Problem: it asks for Parquet, and pyarrow is not installed.
    """
    kind = _likeliest(accept)
    if kind == CSV:
        return CsvForm()
    if kind != PARQUET:
        return JsonForm(drawn=drawn, most=most)
    if importlib.util.find_spec("pyarrow") is None:
        raise Problem(
            "not-acceptable",
            "expected JSON or CSV to be asked for, got Parquet, for which this server lacks pyarrow; ask for "
            "another, or `pip install 'mien[data]'` where the server runs",
        )
    return ParquetForm()


def _likeliest(accept: str) -> str:
    """What an `Accept` header (RFC 9110, 12.5.1) likes best of what there is."""
    best, liked = JSON, 0.0
    for part in accept.lower().split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        weight = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            much = float(weight)
        except ValueError:
            much = 0.0
        if kind in {JSON, CSV, PARQUET} and much > liked:
            best, liked = kind, much
    return best


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _rows(name: str, frame: Frame) -> list[Row]:
    return rows(Frame(name, frame.index, frame.time, frame.faces, frame.notes))


def _csv(some: list[Row], *, header: bool = False) -> str:
    text = io.StringIO()
    write_csv(text, some, header=header)
    return text.getvalue()
