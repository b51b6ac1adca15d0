"""`mien review`: people code the photos and clips of a table in their browser, on this machine alone."""

from __future__ import annotations

import io
import random
import secrets
import shlex
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from mien.errors import DataError
from mien.evaluate.codes import CODES, write_codes
from mien.evaluate.review import (
    NAME_LENGTH,
    SECONDS,
    CodeBook,
    ReviewItem,
    ReviewTable,
    draw_items,
    most_doubtful_first,
)
from mien.image import encode_image, read_image
from mien.results.clip import ClipWriter
from mien.server.answers import Problem
from mien.server.app import CSP, STATIC, Assets, answer_problems
from mien.server.guard import Guard
from mien.server.listen import serve
from mien.server.service import Metrics
from mien.server.settings import ServerSettings
from mien.types import Frame
from mien.video.file import read_stretch, start_time

PAGE: Final = Path(__file__).parent / "review_page"
AROUND: Final = 0.5  # seconds of a clip that are shown before and after what is coded
_SAME_BEGIN: Final = 0.02  # seconds from 0 at which a clip begins whose time all players count alike


@dataclass(frozen=True, slots=True)
class ReviewOptions:
    """What is reviewed, by whom, and where the codes go."""

    table: Path  # that `mien analyze` wrote
    output: Path  # CSV of codes; one that is there goes on
    events: Path | None = None  # table of events, instead of stretches of a fixed length
    coder: str | None = None  # the only one; None: each gives a name in the page
    blind: bool = True  # do not tell what Mien reads
    sample: int | None = None  # so many drawn at random; None: all, most doubtful first
    seed: int = 0  # of the drawing
    seconds: float = SECONDS  # of a stretch
    media: Path | None = None  # folder in which the photos and clips are now
    port: int = 8000


class CodeBody(BaseModel):
    """A code that a person gives, or takes back."""

    coder: str = Field(min_length=1, max_length=NAME_LENGTH)
    item: int = Field(ge=0)
    code: str | None


@dataclass(slots=True, eq=False)
class Review:
    """A review that is held."""

    options: ReviewOptions
    settings: ServerSettings
    table: ReviewTable
    items: list[ReviewItem]  # in the order in which they are coded
    files: dict[str, Path]  # of each source of the items
    order: str
    book: CodeBook
    metrics: Metrics = field(default_factory=Metrics)
    session: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    def close(self) -> None:
        """Let go of the file of codes."""
        self.book.close()

    def check_coder(self, coder: str) -> str:
        """The name, without spaces around it; a Problem if it is none, or not the one who codes."""
        coder = coder.strip()
        if not coder or not coder.isprintable():
            raise Problem("bad-setting", f"expected a name of up to {NAME_LENGTH} letters, got {coder!r}")
        if self.options.coder not in {None, coder}:
            raise Problem("bad-setting", f"expected the coder {self.options.coder}, got {coder!r}")
        return coder

    def find(self, item: int) -> ReviewItem:
        """An item by its number; a Problem if there is none."""
        if not 0 <= item < len(self.items):
            raise Problem("not-found", f"expected an item from 0 to {len(self.items) - 1}, got {item}")
        return self.items[item]


def review(options: ReviewOptions, say: Callable[[str], object]) -> None:
    """Hold a review until Ctrl-C ends it; `say` gets notes, and the address to open in a browser.

    Raises:
        ConfigError: the port is taken, or the sample is larger than what there is to code.
        DataError: a table or the codes cannot be read, or none of its photos and clips is on this machine.
        OutputError: the codes cannot be written.
    """
    serve(ServerSettings(port=options.port), say, lambda settings: make_review(options, settings, say))


def make_review(options: ReviewOptions, settings: ServerSettings, say: Callable[[str], object]) -> Guard:
    """The application of a review, behind its guard; errors are those of `review`."""
    table = ReviewTable(options.table)
    files = table.find_files(options.media)
    clips = table.stretches(options.seconds) if options.events is None else table.events(options.events)
    every = [item for item in (*table.photos(), *clips) if item.source in files]
    missing = [source for source in table.sources if source not in files]
    for source in missing[:5]:
        say(f"mien: note: {source} was not found, and is left out")
    if missing[5:]:
        say(f"mien: note: {len(missing) - 5} more are left out; --media names the folder that they are in")
    if not every:
        what = f"found none of its {len(table.sources)} files" if missing else "got nothing to code"
        raise DataError(f"{options.table}: expected photos and clips on this machine, {what}; give --media")
    if options.sample is None:
        items = most_doubtful_first(every)
        order = (
            f"Most doubtful first: all {len(items)}, beginning with the one of which Mien is least sure. "
            f"This finds errors soonest; agreement on the first ones alone is lower than on all {len(items)}."
        )
    else:
        items = draw_items(every, options.sample, options.seed)
        order = (
            f"Random sample: {len(items)} of {len(every)}, seed {options.seed}. Agreement on all of them is "
            f"an honest estimate for the {len(every)}."
        )
    app = FastAPI(title="Mien", openapi_url=None, docs_url=None, redoc_url=None)
    app.state.review = Review(options, settings, table, items, files, order, CodeBook(options.output))
    app.include_router(router)
    app.mount("/assets", Assets(directory=STATIC / "assets"))
    app.mount("/review", Assets(directory=PAGE))
    answer_problems(app)
    return Guard(app, app.state.review)


router = APIRouter()


async def _find_review(request: Request) -> Any:
    return request.app.state.review


HeldReview = Annotated[Review, Depends(_find_review)]


@router.get("/")
def page() -> Response:
    """The page."""
    headers = {"Content-Security-Policy": CSP, "Cache-Control": "no-cache"}
    return FileResponse(PAGE / "review.html", headers=headers)


@router.get("/about")
def about(review: HeldReview) -> dict[str, Any]:
    """How the review is held: by whom, in which order, which codes there are, and what to do afterwards."""
    options = review.options
    then = f"mien agree {shlex.quote(str(options.table))} {shlex.quote(str(options.output))}"
    return {
        "coder": options.coder, "blind": options.blind, "order": review.order, "words": CODES, "then": then,
    }  # fmt: skip


@router.get("/queue")
def queue(review: HeldReview, coder: str) -> dict[str, Any]:
    """What one person is to code, with this person's codes, and which were coded, first coded first.

    Of a random sample everyone gets the same items, each in another order. Times are the clip's own.
    """
    coder = review.check_coder(coder)
    given = {(c.source, c.track, c.start, c.end): c.code for c in review.book.of(coder)}
    numbers = {item.key: number for number, item in enumerate(review.items)}
    order = list(range(len(review.items)))
    if review.options.sample is not None:
        random.Random(f"{review.options.seed} {coder}").shuffle(order)  # noqa: S311 - not a secret
    media = {source: number for number, source in enumerate(review.files)}
    items = [
        {
            "item": number,
            "media": media[item.source],
            "name": Path(item.source).name,
            "track": item.track,
            "start": item.start,
            "end": item.end,
            "code": given.get(item.key),
            "read": None if review.options.blind else item.emotion,
        }
        for number, item in ((number, review.items[number]) for number in order)
    ]
    return {"items": items, "coded": [numbers[key] for key in given if key in numbers]}


@router.get("/items/{number}")
def view(review: HeldReview, number: int) -> dict[str, Any]:
    """Where an item is seen: start and end, what is shown in a loop, and boxes: time, x, y, width, height.

    Times are seconds from the begin of the file; None of a photo. `whole`: players count from it, too; where
    a clip begins later than at 0, some count by its time stamps, and the stretch is to be shown alone.
    """
    item = review.find(number)
    rows = review.table.boxes(item, AROUND)
    if item.start is None or item.end is None:
        boxes = [(None, *row[1:].tolist()) for row in rows]
        return dict.fromkeys(("start", "end", "first", "last")) | {"boxes": boxes}
    begin = start_time(review.files[item.source])
    rows = rows - np.array([begin, 0, 0, 0, 0])
    start, end = item.start - begin, item.end - begin
    first = max(0.0, start - AROUND)
    seen = {"start": start, "end": end, "first": first, "last": end + AROUND, "boxes": rows.tolist()}
    return seen | {"whole": abs(begin) < _SAME_BEGIN}


@router.get("/media/{number}")
def media(review: HeldReview, number: int) -> Response:
    """A clip as it is, in the pieces that the browser asks for; a photo as JPEG, upright."""
    files = list(review.files.items())
    if not 0 <= number < len(files):
        raise Problem("not-found", f"expected a number below {len(files)}, got {number}")
    source, path = files[number]
    if review.table.is_clip(source):
        return FileResponse(path, headers={"Cache-Control": "private, no-cache"})
    return Response(encode_image(read_image(path).pixels), media_type="image/jpeg")


@router.get("/stretches/{number}.mp4")
def stretch(review: HeldReview, number: int) -> Response:
    """What is shown of an item as H.264 from time 0, for browsers that cannot play the clip itself."""
    item = review.find(number)
    if item.start is None or item.end is None:
        raise Problem("not-found", f"expected an item of a clip, {number} is a photo")
    path = review.files[item.source]
    first = max(start_time(path), item.start - AROUND)
    with tempfile.TemporaryDirectory(prefix="mien-") as folder:
        written = Path(folder, "stretch.mp4")
        with ClipWriter(written) as writer:
            for time, pixels in read_stretch(path, first, item.end + AROUND):
                writer.write(pixels, Frame(item.source, 0, time - first, ()))
        return Response(written.read_bytes(), media_type="video/mp4")


@router.get("/saved/{to}")
def saved(review: HeldReview, to: Literal["codes", "boris", "eaf"], coder: str) -> Response:
    """One person's codes as a table, for BORIS, or for ELAN: a ZIP with a file for each clip."""
    name = review.check_coder(coder)
    codes = [code for code in review.book.of(name) if to == "codes" or code.start is not None]
    if not codes:
        raise Problem(
            "not-found", f"expected codes of {'clips by ' * (to != 'codes')}{name}, there are none yet"
        )
    with tempfile.TemporaryDirectory(prefix="mien-") as folder:
        path = Path(folder, "codes.csv")
        if to != "eaf":
            write_codes(codes, path, to=to)
            return Response(path.read_bytes(), media_type="text/csv")
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w") as archive:
            for number, source in enumerate(dict.fromkeys(code.source for code in codes), 1):
                path = Path(folder, f"{number}-{Path(source).stem}.eaf")
                write_codes([code for code in codes if code.source == source], path)
                archive.write(path, path.name)
        return Response(held.getvalue(), media_type="application/zip")


@router.post("/codes", status_code=204)
def code(review: HeldReview, body: CodeBody) -> Response:
    """Keep a code, or take it back; it is on disk when this answers."""
    if body.code not in {None, *CODES}:
        raise Problem("bad-setting", f"expected one of {', '.join(CODES)}, got {body.code!r}")
    review.book.set(review.check_coder(body.coder), review.find(body.item), body.code)
    return Response(status_code=204)
