"""The page in a real browser, on a real server: photos, clips and a (fake) camera.

Photos of drawn faces are read with the other tests; what takes longer, or needs pictures of people, is slow.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from makers import Pixels, scene, write_clip
from mien import load
from mien.labels import EMOTIONS
from mien.results.rows import COLUMNS, rows
from test_server import ServerProcess

BATCH = ("0-f1-su-ph.jpg", "0-f15-hao-ph.jpg", "single_face.jpg", "free-mountain-vector-01.jpg")
UNSURE = ("45-m7-di-ph.jpg", "15-f13-anc-ph.jpg", "BWPictureHuman.jpg")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
START, RATE = 5, 10  # of the drawn clip: seconds of its first frame, frames a second


# A browser and a server.


@contextmanager
def _serving(*options: str) -> Iterator[str]:
    """The address of `mien serve` on a free port."""
    server = ServerProcess(*options)
    try:
        yield server.address
    finally:
        server.end(signal.SIGTERM)


@pytest.fixture(scope="module")
def server(browser: object) -> Iterator[str]:
    """One for all tests; where there is no browser, none is started."""
    with _serving("--workers", "1") as address:
        yield address


def _moving() -> list[Pixels]:
    """14 pictures, 480 x 240, of a face that goes to the right."""
    return [scene((20 + 20 * i, 40, 160), size=(240, 480)) for i in range(14)]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small files: photos, a clip, and what is neither."""
    folder = tmp_path_factory.mktemp("drawn")
    photos = {
        "one.png": scene((60, 40, 160)),
        "two.png": scene((20, 40, 180), (250, 60, 120), size=(240, 400)),
        "none.png": scene(),
    }
    for name, pixels in photos.items():
        Image.fromarray(pixels).save(folder / name)
    (folder / "broken.png").write_bytes((folder / "one.png").read_bytes()[:300])
    (folder / "letter.txt").write_text("Dear Mien")
    write_clip(folder / "moving.webm", _moving(), codec="libvpx-vp9", start=START * RATE)
    return folder


@dataclass
class Tab:
    """A tab with what its console complained of."""

    page: object
    complaints: list[str] = field(default_factory=list)

    def __getattr__(self, name: str):
        return getattr(self.page, name)

    def button(self, name: str):
        return self.page.get_by_role("button", name=name, exact=True)

    def choose(self, folder: Path, *names: str) -> None:
        self.page.set_input_files("input[type=file]", [folder / name for name in names])

    def drop(self, folder: Path, *names: str) -> None:
        """Drop files on the page as the mouse does."""
        data = [(name, base64.b64encode((folder / name).read_bytes()).decode()) for name in names]
        self.page.evaluate(DROP, data)

    def said(self, text: str) -> None:
        """Wait until a screen reader was told so."""
        self.page.locator("#said", has_text=text).wait_for(state="attached", timeout=60_000)

    def download(self, control) -> bytes:
        with self.page.expect_download() as info:
            control.click()
        return Path(info.value.path()).read_bytes()

    def check(self) -> None:
        """No fault that axe finds in either theme, and nothing wider than a phone."""
        pytest.importorskip("axe_playwright_python", reason="no axe-core")
        page = self.page
        page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text("utf-8"))
        for theme in ("dark", "light"):
            page.emulate_media(color_scheme=theme)
            rules = RULES if theme == "dark" else ["color-contrast"]  # the rest does not depend on colours
            found = page.evaluate("rules => axe.run(document, {runOnly: rules})", rules)
            faults = [(v["id"], [n["html"][:200] for n in v["nodes"][:3]]) for v in found["violations"]]
            assert faults == [], theme
        for width in (390, 320):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate(WIDER) == [], width
        page.set_viewport_size({"width": 1280, "height": 900})


#: Drops files, of which it is given name and Base64.
DROP = """files => {
    const data = new DataTransfer();
    for (const [name, text] of files) {
        const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
        data.items.add(new File([bytes], name, {type: /(mp4|webm)$/.test(name) ? "video/mp4" : ""}));
    }
    for (const kind of ["dragover", "drop"])
        document.body.dispatchEvent(
            new DragEvent(kind, {dataTransfer: data, bubbles: true, cancelable: true}));
}"""

#: Texts and controls that reach past the window, or are cut by what holds them.
WIDER = """() => {
    const width = document.documentElement.clientWidth;
    const all = [...document.querySelectorAll("h1,h2,h3,h4,p,a,button,label,li,select,summary,td,th")];
    const out = all.filter(e => !e.closest(".hidden, .scroll, .skip, .boxes")).filter(e => {
        const box = e.getBoundingClientRect();
        return box.width > 0 && (box.right > width + 1 || box.left < -1);
    }).map(e => e.outerHTML.slice(0, 120));
    if (document.documentElement.scrollWidth > width) out.push("the page itself");
    return out;
}"""


@pytest.fixture
def tab(browser, server: str) -> Iterator[Tab]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, permissions=["camera"])
    context.set_default_timeout(30_000)
    found = Tab(context.new_page())
    complain = found.complaints.append
    found.page.on("pageerror", lambda error: complain(str(error)))
    found.page.on("console", lambda message: message.type == "error" and complain(message.text))
    found.page.goto(server)
    found.page.locator(".drop").wait_for()
    yield found
    context.close()
    # a refused file is logged by the browser itself; everything else is a bug, a broken policy too
    assert [text for text in found.complaints if "status of 4" not in text] == []


def _bars(tab: Tab) -> list[float]:
    values = tab.locator(".face .bars .value").all_inner_texts()
    return [float(value.removesuffix("\u00a0%")) for value in values]


def _read_right(tab: Tab, path: Path) -> None:
    """The page shows the one face of a photo as Mien reads it: words, bars, box."""
    tab.locator(".face").wait_for()
    (face,) = load().image(path).faces
    head = tab.locator(".face h3").inner_text().split("\n")[0]
    perhaps = "perhaps " if face.uncertain else ""
    words = f"Face 1: {perhaps}{face.emotion} {100 * face.confidence:.0f}\u00a0%"
    assert head.removesuffix("unsure") == words
    np.testing.assert_allclose(_bars(tab), 100 * face.probabilities, atol=0.0501)
    picture, box = (tab.locator(what).bounding_box() for what in (".picture img", ".box"))
    scale = picture["width"] / tab.locator(".picture img").evaluate("e => e.naturalWidth")
    shown = [box["x"] - picture["x"], box["y"] - picture["y"], box["width"], box["height"]]
    np.testing.assert_allclose(shown, np.array(face.box) * scale, atol=1.5)


def _same_table(table: list[dict[str, str]], folder: Path, names: Sequence[str]) -> None:
    """The page's table is Mien's, number by number."""
    assert tuple(table[0]) == COLUMNS
    wanted = [row | {"source": name} for name in names for row in rows(load().image(folder / name))]
    for got, want in zip(table, wanted, strict=True):
        for name in COLUMNS:
            cell = want[name]
            if isinstance(cell, (int, float)):
                assert np.float32(got[name]) == np.float32(cell), name
            else:
                text = " ".join(cell) if isinstance(cell, tuple) else cell or ""
                assert got[name] == text, name


def _table(text: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.decode())))


# The core, on drawn faces.


def test_a_dropped_photo_shows_what_mien_reads(tab: Tab, drawn: Path) -> None:
    tab.drop(drawn, "one.png")
    _read_right(tab, drawn / "one.png")
    tab.said("1 photo read, 1 face found.")
    tab.check()


def test_a_batch_sorts_filters_exports_and_says_what_cannot_be_read(tab: Tab, drawn: Path) -> None:
    tab.choose(drawn, "one.png", "broken.png", "two.png", "letter.txt", "none.png")
    tab.said("3 photos read, 3 faces found. 1 photo could not be read.")
    alert = tab.get_by_role("alert").filter(has_text="letter.txt")
    assert "neither a photo nor a clip" in alert.inner_text()
    tab.button("Dismiss").click()
    alert.wait_for(state="hidden")
    assert tab.evaluate("() => document.activeElement.id") == "main"
    csv_table = _table(tab.download(tab.button("CSV")))
    _same_table(csv_table, drawn, ("one.png", "two.png", "none.png"))
    faces = {name: load().image(drawn / name).faces for name in ("one.png", "two.png")}
    table = json.loads(tab.download(tab.button("JSON")))
    assert [row["source"] for row in table] == [row["source"] for row in csv_table]
    assert table[0]["set"] == list(faces["one.png"][0].set)
    names = tab.locator(".tile .name")
    order = tab.get_by_role("combobox", name="Sort by")
    order.select_option("faces")
    assert names.all_inner_texts() == ["two.png", "one.png", "none.png", "broken.png"]
    order.select_option("surprise")
    index = EMOTIONS.index("surprise")
    most = {name: max(face.probabilities[index] for face in found) for name, found in faces.items()}
    assert names.all_inner_texts()[0] == max(most, key=lambda name: most[name])
    show = tab.get_by_role("combobox", name="Show", exact=True)
    show.select_option("none")
    assert names.all_inner_texts() == ["none.png"]
    show.select_option("failed")
    tab.locator(".tile", has_text="broken.png").click()
    dialog = tab.get_by_role("dialog")
    assert "expected" in dialog.locator(".problem").inner_text().lower()
    dialog.get_by_role("button", name="Try again").wait_for()


@pytest.mark.slow  # tests/server/test_server.py reads the server's tables
def test_photos_are_saved_as_parquet(tab: Tab, drawn: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow (pip install 'mien[data]')")
    tab.choose(drawn, "one.png", "two.png", "none.png")
    tab.said("3 photos read, 3 faces found.")
    table = parquet.read_table(io.BytesIO(tab.download(tab.button("Parquet"))))
    assert tuple(table.column_names) == COLUMNS
    assert table["source"].to_pylist() == ["one.png", "two.png", "two.png", "none.png"]
    same = _table(tab.download(tab.button("CSV")))
    assert table["happiness"].to_pylist()[:3] == [float(np.float32(row["happiness"])) for row in same[:3]]


@pytest.mark.slow  # tests/server/test_server_clips.py reads the tables, events and copies that it shows
def test_a_clip_is_followed_scrubbed_by_frame_and_exported(tab: Tab, drawn: Path) -> None:
    """One whose own time begins at START: table, player, slider and boxes go by that."""
    tab.drop(drawn, "moving.webm")
    tab.locator(".timeline").wait_for(timeout=60_000)
    tab.said("moving.webm: Read")
    assert "14 frames, 1 face followed" in tab.locator("main").inner_text()
    tab.locator(".track .head img").wait_for()  # the face, cut out of the clip
    _steps(tab, drawn / "moving.webm")
    tab.check()
    table = _table(tab.download(tab.get_by_role("link", name="Table, CSV")))
    assert tuple(table[0]) == COLUMNS
    assert [float(row["time"]) for row in table] == pytest.approx([START + i / RATE for i in range(14)])
    for name in ("Table, JSON", "Events, CSV", "Events, JSON", "Annotated clip, MP4"):
        assert tab.get_by_role("link", name=name).get_attribute("href")
    tab.button("Remove").click()
    tab.locator(".timeline").wait_for(state="detached")


def _steps(tab: Tab, path: Path) -> None:
    """Keys in a row each go by a frame; the picture, its box and the words are those of that frame."""
    frames = list(load().video(path))
    slider = tab.get_by_role("slider", name="Position in the clip")
    slider.focus()
    for _ in range(5):
        tab.keyboard.press("ArrowRight")
    _shows(tab, frames[5])
    tab.keyboard.press("ArrowLeft")
    _shows(tab, frames[4])
    tab.keyboard.press("PageDown")
    _shows(tab, frames[0])
    tab.keyboard.press("End")
    tab.keyboard.press("ArrowLeft")
    _shows(tab, frames[-2])
    assert slider.get_attribute("aria-valuetext") == f"0:0{START + 12 / RATE:.1f}"


#: The left edge of the drawn hair, in pixels of the picture that the player shows.
HAIR = """video => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    const pen = canvas.getContext("2d");
    pen.drawImage(video, 0, 0);
    const line = pen.getImageData(0, 100, canvas.width, 1).data;
    for (let x = 0; x < canvas.width; x += 1) if (line[4 * x] < 80) return x;
}"""


def _shows(tab: Tab, frame) -> None:
    """Wait for a frame in the player (it has its time to get there), then look at what is around it."""
    video = tab.locator(".player video")
    index = round((frame.time - START) * RATE)
    edge = 48 + 20 * index  # where the face is drawn
    _until(tab, lambda: video.evaluate(HAIR), edge)
    assert video.evaluate("v => v.currentTime") == pytest.approx(frame.time, abs=0.01)
    (face,) = frame.faces
    place, box = video.bounding_box(), tab.locator(".player .box").bounding_box()
    assert box["x"] - place["x"] == pytest.approx(face.box[0] * place["width"] / 480, abs=3)


def _until(tab: Tab, found: Callable[[], float], wanted: float) -> None:
    """Wait until something in pixels is where it should be, to 4 pixels."""
    end = time.monotonic() + 20
    while abs(found() - wanted) > 4:
        assert time.monotonic() < end, f"found {found()}, expected {wanted}"
        tab.wait_for_timeout(30)


@pytest.mark.slow  # tests/server/test_server_live.py sends frames as the page does
def test_the_camera_starts_after_the_notice_and_stops(tab: Tab) -> None:
    tab.button("Use the camera").click()
    notice = tab.locator(".notice").inner_text()
    for part in ("What is read", "What for", "How long it is kept", "Not at all."):
        assert part in notice
    assert tab.locator("video").count() == 0
    tab.check()
    tab.get_by_label("What these readings are for").fill("To try the page.")
    assert "To try the page." in tab.locator(".notice").inner_text()
    tab.button("Start the camera").click()
    tab.locator(".now .face").wait_for()
    tab.get_by_text("The camera is on.").wait_for()
    tab.locator("button:focus", has_text="Stop the camera").wait_for()
    head = rf"Face \d+: (perhaps )?({'|'.join(EMOTIONS)}) \d+"
    assert re.match(head, tab.locator(".now .face h3").first.inner_text())
    assert sum(_bars(tab)[:8]) == pytest.approx(100, abs=0.5)
    tab.get_by_text(re.compile(r"\d+ pictures per second")).wait_for()
    tab.check()
    stream = tab.locator("video").evaluate_handle("v => v.srcObject")
    tab.button("Stop the camera").click()
    tab.locator("button:focus", has_text="Use the camera").wait_for()
    assert stream.evaluate("s => s.getTracks().every(t => t.readyState === 'ended')")


def test_everything_is_reached_by_key_in_order(tab: Tab) -> None:
    order = []
    for _ in range(9):
        tab.keyboard.press("Tab")
        order.append(tab.evaluate("() => document.activeElement.innerText.trim()"))
    assert order == [
        "Skip to the content", "Mien", "Read", "History", "Notice", "Uses", "Choose files", "Use the camera",
        "Options for clips",
    ]  # fmt: skip


# What takes longer, or needs pictures of real people.


@pytest.mark.slow
def test_an_unsure_face_is_called_unsure(tab: Tab, media: Path) -> None:
    analyzer = load()
    read = ((name, analyzer.image(media / name).faces) for name in UNSURE)
    unsure = ((name, faces[0]) for name, faces in read if len(faces) == 1 and faces[0].uncertain)
    name, face = next(unsure, (None, None))
    if name is None or face is None:
        pytest.skip("the network that ships is sure of all of these")
    tab.choose(media, name)
    tab.locator(".face").wait_for()
    head = tab.locator(".face h3").inner_text()
    assert re.fullmatch(rf"Face 1: perhaps {face.emotion} \d+\u00a0%\s*unsure", head)
    label = tab.locator(".box.unsure .label").inner_text()
    assert label in {"1", f"1 {face.emotion}?"}  # the number alone where the box is narrow
    tab.get_by_text("Do not rely on this reading.").wait_for()


@pytest.mark.slow
def test_a_pasted_photo_is_read(tab: Tab, media: Path) -> None:
    tab.evaluate(
        """text => {
            const data = new DataTransfer();
            const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
            data.items.add(new File([bytes], "image.png", {type: "image/png"}));
            document.body.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true}));
        }""",
        base64.b64encode((media / "0-f1-su-ph.jpg").read_bytes()).decode(),
    )
    tab.locator(".face").wait_for()
    assert tab.locator("h3.name").inner_text() == "pasted-1.png"


@pytest.mark.slow
def test_a_photo_of_the_batch_opens_and_closes_by_key(tab: Tab, media: Path) -> None:
    tab.choose(media, *BATCH)
    tab.said("4 photos read, ")
    tile = tab.locator(".tile").first
    tile.focus()
    tab.keyboard.press("Enter")
    dialog = tab.get_by_role("dialog")
    dialog.locator(".face").wait_for()
    tab.check()
    assert dialog.get_by_role("heading", level=2).inner_text() == BATCH[0]
    tab.keyboard.press("ArrowRight")
    tab.get_by_role("heading", level=2, name=BATCH[1]).wait_for()
    tab.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    assert tile.evaluate("e => e === document.activeElement")


@pytest.mark.slow
def test_a_clip_is_followed_scrubbed_exported_and_forgotten(tab: Tab, media: Path) -> None:
    tab.get_by_text("Options for clips").click()
    tab.get_by_label("Look for faces in").select_option("1")
    tab.drop(media, "single_face.mp4")
    tab.locator(".timeline").wait_for(timeout=60_000)
    tab.said("single_face.mp4: Read")
    assert "72 frames, 1 face followed" in tab.locator("main").inner_text()
    tab.check()
    tab.locator(".chart").click(position={"x": 600, "y": 20})  # the band moves the clip
    tab.page.wait_for_function("() => document.querySelector('video').currentTime > 1")
    tab.locator(".apexes button").first.click()
    assert tab.locator(".now .face h3").inner_text().startswith("Face 1: ")
    assert tab.get_by_role("link", name="Table, Parquet").get_attribute("href")
    tab.get_by_role("link", name="History").click()
    tab.get_by_role("link", name="Open single_face.mp4").wait_for()
    tab.check()
    tab.button("Remove single_face.mp4").click()
    tab.said("single_face.mp4 was removed.")
    assert tab.get_by_role("link", name="Open single_face.mp4").count() == 0
    assert tab.evaluate("() => document.activeElement.id") == "main"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mp4", "mov", "mkv"])
def test_clips_of_other_kinds_go_by_their_own_time_too(tab: Tab, tmp_path: Path, kind: str) -> None:
    name = f"later.{kind}"
    write_clip(tmp_path / name, _moving(), codec="libx264", start=START * RATE)
    tab.choose(tmp_path, name)
    tab.locator(".timeline").wait_for(timeout=60_000)
    _steps(tab, tmp_path / name)
    tab.get_by_role("link", name="History").click()
    tab.reload()  # the tab has the clip no more: the annotated copy keeps its time
    tab.get_by_role("link", name=f"Open {name}").click()
    tab.get_by_text("this is the annotated copy").wait_for()
    tab.get_by_role("slider", name="Position in the clip").focus()
    video = tab.locator(".player video")
    tab.page.wait_for_function("() => document.querySelector('.player video').readyState >= 2")
    tab.keyboard.press("Home")
    first = video.evaluate(HAIR)  # or the left edge of the box that is drawn around the face
    tab.keyboard.press("PageUp")
    _until(tab, lambda: video.evaluate(HAIR), first + 20 * RATE)
    tab.button("Remove").click()


@pytest.mark.slow
def test_a_camera_that_is_missing_says_what_to_do(tab: Tab) -> None:
    tab.evaluate(
        """() => navigator.mediaDevices.getUserMedia =
            () => Promise.reject(new DOMException("none", "NotFoundError"))"""
    )
    tab.button("Use the camera").click()
    tab.button("Start the camera").click()
    alert = tab.get_by_role("alert").filter(has_text="No camera was found")
    alert.wait_for()
    assert tab.get_by_text("The camera is on.").count() == 0
    tab.check()


@pytest.mark.slow
def test_notice_and_uses_have_pages(tab: Tab) -> None:
    for name, text in (("Notice", "article 50"), ("Uses", "article 5 (1) (f)")):
        tab.get_by_role("link", name=name, exact=True).click()
        tab.get_by_text(text).first.wait_for()
        assert tab.title() == f"{name} · Mien"
        assert tab.evaluate("() => document.activeElement.id") == "main"
        tab.check()


@pytest.mark.slow
def test_a_token_is_asked_for_once(browser, media: Path) -> None:
    with _serving("--workers", "1", "--token", "long-enough-token") as address:
        context = browser.new_context(permissions=["camera"])
        tab = Tab(context.new_page())
        tab.goto(address)
        tab.locator(".drop").wait_for()
        tab.choose(media, "0-f1-su-ph.jpg", "0-f15-hao-ph.jpg")
        dialog = tab.get_by_role("dialog")
        dialog.wait_for()
        tab.check()
        for given in ("another", "long-enough-token"):
            dialog.get_by_label("Token").fill(given)
            dialog.get_by_role("button", name="Sign in").click()
            if given == "another":
                dialog.get_by_role("alert").wait_for()
        tab.said("2 photos read, 2 faces found.")
        assert tab.evaluate("() => document.cookie + JSON.stringify({...sessionStorage})") == "{}"
        tab.button("Use the camera").click()
        tab.button("Start the camera").click()
        tab.locator(".now .face").wait_for()
        context.close()


@pytest.mark.slow
def test_a_server_that_is_gone_is_said_so(browser, media: Path) -> None:
    context = browser.new_context()
    tab = Tab(context.new_page())
    with _serving("--workers", "1") as address:
        tab.goto(address)
        tab.locator(".drop").wait_for()
    tab.choose(media, "0-f1-su-ph.jpg")
    tab.get_by_text("The server does not answer").wait_for()
    context.close()


@pytest.mark.slow
def test_a_clip_that_the_browser_cannot_play_comes_as_the_annotated_copy(tab: Tab, media: Path) -> None:
    tab.choose(media, "face_noface.mov")
    tab.locator(".timeline").wait_for(timeout=120_000)
    tab.get_by_text("so here is the annotated copy").wait_for()
    tab.wait_for_timeout(1000)
    assert "annotated.mp4" in tab.locator(".player video").get_attribute("src")
    assert tab.locator(".player .box").count() == 0  # they are in the picture
    tab.check()


@pytest.mark.slow
def test_a_clip_is_cancelled_and_one_from_the_history_is_shown(tab: Tab, media: Path) -> None:
    tab.choose(media, "WolfgangLanger_Pexels.mp4")
    tab.locator("progress").wait_for()
    tab.button("Cancel").click()
    tab.locator("progress").wait_for(state="detached")
    tab.choose(media, "no_face.mp4")
    tab.get_by_text("No face was read in this clip.").wait_for(timeout=60_000)
    tab.choose(media, "WolfgangLanger_Pexels.mp4")
    tab.locator(".apexes").wait_for(timeout=120_000)
    tab.get_by_role("link", name="History").click()
    tab.reload()
    tab.get_by_role("link", name="Open WolfgangLanger_Pexels.mp4").click()
    tab.locator(".apexes").wait_for()
    tab.get_by_text("this is the annotated copy").wait_for()
    tab.check()
    tab.button("Remove").click()
    tab.get_by_role("link", name="Open no_face.mp4").wait_for()
    assert tab.get_by_role("link", name="Open WolfgangLanger_Pexels.mp4").count() == 0
