"""The page in a real browser, on a real server, with photos, clips and a (fake) camera of real people."""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import av
import numpy as np
import pytest

from conftest import SHARED
from mien import load
from mien.labels import EMOTIONS
from mien.output.colours import COLOURS
from mien.output.rows import COLUMNS, rows
from mien.types import Face

pytestmark = pytest.mark.slow  # a server, processes, a browser: make test-slow

ROOT = Path(__file__).resolve().parents[1]
WEB, STATIC = ROOT / "web", ROOT / "src" / "mien" / "server" / "static"
MEDIA = SHARED / "media"
BATCH = ("0-f1-su-ph.jpg", "0-f15-hao-ph.jpg", "single_face.jpg", "free-mountain-vector-01.jpg")
UNSURE = ("45-m7-di-ph.jpg", "15-f13-anc-ph.jpg", "BWPictureHuman.jpg")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


# What needs no browser.


def test_colours_are_those_of_every_picture() -> None:
    text = (WEB / "src" / "emotions.ts").read_text("utf-8")
    assert dict(re.findall(r'^  (\w+): "(#\w{6})",$', text, re.MULTILINE)) == COLOURS
    assert tuple(re.findall(r'^  "(\w+)",$', text, re.MULTILINE)) == EMOTIONS


def test_built_files_are_of_these_sources() -> None:
    for line in (WEB / "built-from.sha256").read_text("utf-8").splitlines():
        digest, name = line.split()
        found = hashlib.sha256((WEB / name).read_bytes()).hexdigest()
        assert found == digest, f"{name} changed since the page was built: npm ci && npm run build in web/"
    assert {path.name for path in (WEB / "src").iterdir()} == {
        Path(line.split()[1]).name
        for line in (WEB / "built-from.sha256").read_text("utf-8").splitlines()
        if " src/" in line
    }


def test_built_files_are_small_and_hold_to_the_policy() -> None:
    built = [path for path in STATIC.rglob("*") if path.is_file()]
    assert sum(len(gzip.compress(path.read_bytes())) for path in built) < 60_000
    html = (STATIC / "index.html").read_text("utf-8")
    assert not re.search(r"<style|style=|<script(?![^>]*\bsrc=)|\bon\w+=", html)
    assert "http" not in re.sub(r"http://www\.w3\.org/\S+", "", html)


def test_lock_file_names_no_registry() -> None:
    assert '"resolved"' not in (WEB / "package-lock.json").read_text("utf-8")


def test_page_never_says_feeling_of_a_face() -> None:
    words = (WEB / "src" / "words.ts").read_text("utf-8")
    denied = ("not what", "what you feel", "inner feeling", "same feeling", "what a person feels")
    for line in words.splitlines():
        if re.search(r"\bfeel", line, re.IGNORECASE) and not line.startswith("//"):
            assert any(phrase in line for phrase in denied), line


# A browser and a server.


@contextmanager
def _serving(*options: str) -> Iterator[str]:
    """The address of `mien serve` on a free port."""
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    code = "import typer; from mien.cli.serve import serve; typer.run(serve)"
    with subprocess.Popen(
        [sys.executable, "-c", code, "--port", "0", *options], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        found = re.search(r"http://\S+", said)
        try:
            assert found, said + process.stderr.read()
            _wait_for(found[0])
            yield found[0]
        finally:
            process.terminate()
            process.wait(20)


def _wait_for(address: str) -> None:
    """Until the server answers: it tells its address when it has it, just before it listens."""
    end = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(f"{address}/healthz", timeout=5):  # noqa: S310 - our own address
                return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    if not MEDIA.is_dir():
        pytest.skip("no ../shared/data/media")
    with _serving("--workers", "1") as address:
        yield address


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of a smiling man as the browser's camera: JPEGs one after the other."""
    path = tmp_path_factory.mktemp("camera") / "camera.mjpeg"
    with av.open(str(MEDIA / "single_face.mp4")) as clip, path.open("wb") as stream:
        for frame in clip.decode(video=0):
            frame.to_image().resize((640, 360)).save(stream, "JPEG", quality=90)
    return path


@pytest.fixture(scope="module")
def browser(server: str, camera: Path):
    api = pytest.importorskip("playwright.sync_api", reason="no playwright")
    if CHROMIUM is None:
        pytest.skip("no Chromium")
    options = [
        "--no-sandbox",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={camera}",
    ]
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield chromium
        chromium.close()


@dataclass
class Tab:
    """A tab with what its console complained of."""

    page: object
    complaints: list[str] = field(default_factory=list)

    def __getattr__(self, name: str):
        return getattr(self.page, name)

    def button(self, name: str):
        return self.page.get_by_role("button", name=name, exact=True)

    def choose(self, *names: str) -> None:
        self.page.set_input_files("input[type=file]", [MEDIA / name for name in names])

    def drop(self, *names: str) -> None:
        """Drop files on the page as the mouse does."""
        data = [(name, base64.b64encode((MEDIA / name).read_bytes()).decode()) for name in names]
        self.page.evaluate(
            """files => {
                const data = new DataTransfer();
                for (const [name, text] of files) {
                    const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
                    data.items.add(new File([bytes], name, {type: name.endsWith("mp4") ? "video/mp4" : ""}));
                }
                for (const kind of ["dragover", "drop"])
                    document.body.dispatchEvent(
                        new DragEvent(kind, {dataTransfer: data, bubbles: true, cancelable: true}));
            }""",
            data,
        )

    def said(self, text: str) -> None:
        """Wait until a screen reader was told so."""
        self.page.locator("#said", has_text=text).wait_for(state="attached", timeout=60_000)

    def download(self, control) -> str:
        with self.page.expect_download() as info:
            control.click()
        return Path(info.value.path()).read_text("utf-8")

    def check(self) -> None:
        """No fault that axe finds in either theme, and nothing wider than a phone."""
        pytest.importorskip("axe_playwright_python", reason="no axe-core")
        page = self.page
        page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text("utf-8"))
        for theme in ("dark", "light"):
            page.emulate_media(color_scheme=theme)
            found = page.evaluate("tags => axe.run(document, {runOnly: tags})", RULES)
            faults = [(v["id"], [n["html"][:200] for n in v["nodes"][:3]]) for v in found["violations"]]
            assert faults == [], theme
        for width in (390, 320):
            page.set_viewport_size({"width": width, "height": 800})
            wide = page.evaluate(WIDER)
            assert wide == [], width
        page.set_viewport_size({"width": 1280, "height": 900})


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
    found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
    found.page.on(
        "console",
        lambda message: found.complaints.append(message.text) if message.type == "error" else None,
    )
    found.page.goto(server)
    found.page.locator(".drop").wait_for()
    yield found
    context.close()
    # a refused file is logged by the browser itself; everything else is a bug, a broken policy too
    assert [text for text in found.complaints if "status of 4" not in text] == []


def _bars(tab: Tab) -> list[float]:
    values = tab.locator(".face .bars .value").all_inner_texts()
    return [float(value.removesuffix("\u00a0%").removesuffix(" %")) for value in values]


def test_a_dropped_photo_shows_what_mien_reads(tab: Tab) -> None:
    tab.drop("single_face.jpg")
    tab.locator(".face").wait_for()
    (face,) = load().image(MEDIA / "single_face.jpg").faces
    assert (
        tab.locator(".face h3").inner_text() == f"Face 1: {face.emotion} {100 * face.confidence:.0f}\u00a0%"
    )
    np.testing.assert_allclose(_bars(tab), 100 * face.probabilities, atol=0.0501)
    picture, box = (tab.locator(what).bounding_box() for what in (".picture img", ".box"))
    scale = picture["width"] / tab.locator(".picture img").evaluate("e => e.naturalWidth")
    shown = [box["x"] - picture["x"], box["y"] - picture["y"], box["width"], box["height"]]
    np.testing.assert_allclose(shown, np.array(face.box) * scale, atol=1.5)
    tab.said("1 photo read, 1 face found.")
    tab.check()


def test_an_unsure_face_is_called_unsure(tab: Tab) -> None:
    analyzer = load()
    read = ((name, analyzer.image(MEDIA / name).faces) for name in UNSURE)
    unsure = ((name, faces[0]) for name, faces in read if len(faces) == 1 and faces[0].uncertain)
    name, face = next(unsure, (None, None))
    if name is None or face is None:
        pytest.skip("the network that ships is sure of all of these")
    tab.choose(name)
    tab.locator(".face").wait_for()
    head = tab.locator(".face h3").inner_text()
    assert re.fullmatch(rf"Face 1: perhaps {face.emotion} \d+\u00a0%\s*unsure", head)
    label = tab.locator(".box.unsure .label").inner_text()
    assert label in {"1", f"1 {face.emotion}?"}  # the number alone where the box is narrow
    tab.get_by_text("Do not rely on this reading.").wait_for()


def test_a_pasted_photo_is_read(tab: Tab) -> None:
    tab.evaluate(
        """text => {
            const data = new DataTransfer();
            const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
            data.items.add(new File([bytes], "image.png", {type: "image/png"}));
            document.body.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true}));
        }""",
        base64.b64encode((MEDIA / "0-f1-su-ph.jpg").read_bytes()).decode(),
    )
    tab.locator(".face").wait_for()
    assert tab.locator("h3.name").inner_text() == "pasted-1.png"


def test_a_batch_sorts_filters_and_exports(tab: Tab) -> None:
    tab.drop(*BATCH)
    tab.said("4 photos read, 3 faces found.")
    tab.check()
    names = tab.locator(".tile .name")
    tab.get_by_role("combobox", name="Sort by").select_option("surprise")
    analyzer = load()
    faces = {name: analyzer.image(MEDIA / name).faces for name in BATCH}
    assert names.all_inner_texts()[0] == max(faces, key=lambda n: max([_share(f) for f in faces[n]] or [-1]))
    tab.get_by_role("combobox", name="Show", exact=True).select_option("happiness")
    happy = [name for name in BATCH if any(f.emotion == "happiness" for f in faces[name])]
    assert sorted(names.all_inner_texts()) == sorted(happy)
    tab.get_by_role("combobox", name="Show", exact=True).select_option("none")
    assert names.all_inner_texts() == ["free-mountain-vector-01.jpg"]
    _same_table(tab.download(tab.button("CSV")))
    table = json.loads(tab.download(tab.button("JSON")))
    assert [row["source"] for row in table] == list(BATCH)
    assert table[0]["set"] == list(load().image(MEDIA / BATCH[0]).faces[0].set)


def _share(face: Face) -> float:
    assert face.probabilities is not None
    return float(face.probabilities[EMOTIONS.index("surprise")])


def _same_table(text: str) -> None:
    """The page's table is Mien's, number by number."""
    table = list(csv.DictReader(io.StringIO(text)))
    assert tuple(table[0]) == COLUMNS
    wanted = [row | {"source": name} for name in BATCH for row in rows(load().image(MEDIA / name))]
    for got, want in zip(table, wanted, strict=True):
        for name in COLUMNS:
            cell = want[name]
            if cell is None:
                assert got[name] == "", name
            elif isinstance(cell, tuple):
                assert got[name] == " ".join(cell)
            elif isinstance(cell, str):
                assert got[name] == cell
            else:
                assert np.float32(got[name]) == np.float32(cell), name


def test_a_photo_of_the_batch_opens_and_closes_by_key(tab: Tab) -> None:
    tab.choose(*BATCH)
    tab.said("4 photos read")
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


def test_what_cannot_be_read_says_why_and_the_rest_goes_on(tab: Tab, tmp_path: Path) -> None:
    broken, letter = tmp_path / "broken.jpg", tmp_path / "letter.txt"
    broken.write_bytes((MEDIA / "single_face.jpg").read_bytes()[:300])
    letter.write_text("Dear Mien")
    tab.set_input_files("input[type=file]", [broken, letter, MEDIA / "0-f1-su-ph.jpg"])
    tab.said("1 photo read, 1 face found. 1 photo could not be read.")
    alert = tab.get_by_role("alert").filter(has_text="letter.txt")
    assert "expected a photo or a clip" in alert.inner_text()
    tab.check()
    tab.button("Dismiss").click()
    alert.wait_for(state="hidden")
    tab.locator(".tile", has_text="broken.jpg").click()
    assert tab.locator("dialog .problem").inner_text().strip()
    tab.get_by_role("dialog").get_by_role("button", name="Try again").wait_for()


def test_a_clip_is_followed_scrubbed_exported_and_forgotten(tab: Tab) -> None:
    tab.get_by_text("Options for clips").click()
    tab.get_by_label("Look for faces in").select_option("5")
    tab.drop("single_face.mp4")
    tab.locator(".timeline").wait_for(timeout=60_000)
    tab.said("single_face.mp4: Read")
    assert "72 frames, 1 face followed" in tab.locator("main").inner_text()
    tab.locator(".track .head img").wait_for()  # the face, cut out of the clip
    tab.check()
    _scrub(tab)
    table = list(csv.DictReader(io.StringIO(tab.download(tab.get_by_role("link", name="Table, CSV")))))
    assert tuple(table[0]) == COLUMNS
    assert len(table) == 72
    for name in ("Table, JSON", "Table, Parquet", "Events, JSON", "Annotated clip, MP4"):
        assert tab.get_by_role("link", name=name).get_attribute("href")
    tab.get_by_role("link", name="History").click()
    tab.get_by_role("link", name="Open single_face.mp4").wait_for()
    tab.check()
    tab.button("Remove single_face.mp4").click()
    tab.get_by_text("There is nothing here now.").wait_for()


def _scrub(tab: Tab) -> None:
    """Slider, band and event all move the clip, and the faces beside it are those of the moment."""
    clip = load().video(MEDIA / "single_face.mp4", detect_every=5)
    frames = {round(frame.time, 3): frame for frame in clip}
    slider = tab.get_by_role("slider", name="Place in the clip")
    slider.focus()
    for _ in range(3):
        tab.keyboard.press("ArrowRight")
    tab.wait_for_timeout(700)
    time = tab.locator("video").evaluate("v => v.currentTime")
    assert time == pytest.approx(0.1, abs=0.02)
    assert slider.get_attribute("aria-valuetext") == "0:00.1"
    (face,) = frames[0.1].faces
    video, box = (tab.locator(what).bounding_box() for what in (".player video", ".player .box"))
    assert box["x"] - video["x"] == pytest.approx(face.box[0] * video["width"] / 640, abs=3)
    tab.locator(".chart").click(position={"x": 600, "y": 20})
    tab.wait_for_timeout(500)
    assert tab.locator("video").evaluate("v => v.currentTime") > 1
    tab.locator(".apexes button").first.click()
    assert tab.locator(".now .face h3").inner_text().startswith("Face 1: ")


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
    tab.wait_for_timeout(2500)
    assert re.match(
        rf"Face \d+: (perhaps )?({'|'.join(EMOTIONS)}) \d+", tab.locator(".now .face h3").inner_text()
    )
    assert sum(_bars(tab)) == pytest.approx(100, abs=0.5)
    assert tab.locator(".box .label").is_visible()
    assert re.search(r"\d+ pictures a second", tab.locator("main").inner_text())
    tab.check()
    stream = tab.locator("video").evaluate_handle("v => v.srcObject")
    tab.button("Stop the camera").click()
    assert stream.evaluate("s => s.getTracks().every(t => t.readyState === 'ended')")


def test_a_camera_that_is_missing_says_what_to_do(tab: Tab) -> None:
    tab.evaluate(
        """() => navigator.mediaDevices.getUserMedia =
            () => Promise.reject(new DOMException("none", "NotFoundError"))"""
    )
    tab.button("Use the camera").click()
    tab.button("Start the camera").click()
    alert = tab.get_by_role("alert").filter(has_text="No camera was found")
    alert.wait_for()
    tab.check()


def test_notice_and_uses_have_pages(tab: Tab) -> None:
    for name, text in (("Notice", "article 50"), ("Uses", "article 5 (1) (f)")):
        tab.get_by_role("link", name=name, exact=True).click()
        tab.get_by_text(text).first.wait_for()
        assert tab.title() == f"{name} · Mien"
        assert tab.evaluate("() => document.activeElement.id") == "main"
        tab.check()


def test_everything_is_reached_by_key_in_order(tab: Tab) -> None:
    order = []
    for _ in range(8):
        tab.keyboard.press("Tab")
        order.append(tab.evaluate("() => document.activeElement.innerText.trim()"))
    assert order == [
        "Skip to the content", "Mien", "Read", "History", "Notice", "Uses", "Choose files", "Use the camera",
    ]  # fmt: skip


def test_a_token_is_asked_for_once(browser) -> None:
    with _serving("--workers", "1", "--token", "long-enough-token") as address:
        context = browser.new_context(permissions=["camera"])
        tab = Tab(context.new_page())
        tab.goto(address)
        tab.locator(".drop").wait_for()
        tab.choose("0-f1-su-ph.jpg", "0-f15-hao-ph.jpg")
        dialog = tab.get_by_role("dialog")
        dialog.wait_for()
        tab.check()
        for given in ("another", "long-enough-token"):
            dialog.get_by_label("Token").fill(given)
            dialog.get_by_role("button", name="Use it").click()
            if given == "another":
                dialog.get_by_role("alert").wait_for()
        tab.said("2 photos read, 2 faces found.")
        assert tab.evaluate("() => document.cookie + JSON.stringify({...sessionStorage})") == "{}"
        tab.button("Use the camera").click()
        tab.button("Start the camera").click()
        tab.locator(".now .face").wait_for()
        context.close()


def test_a_server_that_is_gone_is_said_so(browser) -> None:
    context = browser.new_context()
    tab = Tab(context.new_page())
    with _serving("--workers", "1") as address:
        tab.goto(address)
        tab.locator(".drop").wait_for()
    tab.choose("0-f1-su-ph.jpg")
    tab.get_by_text("The server does not answer").wait_for()
    context.close()


@pytest.mark.slow
def test_a_clip_that_the_browser_cannot_play_comes_as_the_annotated_copy(tab: Tab) -> None:
    tab.choose("face_noface.mov")
    tab.locator(".timeline").wait_for(timeout=120_000)
    tab.get_by_text("so here is the annotated copy").wait_for()
    tab.wait_for_timeout(1000)
    assert "annotated.mp4" in tab.locator(".player video").get_attribute("src")
    assert tab.locator(".player .box").count() == 0  # they are in the picture
    tab.check()


@pytest.mark.slow
def test_a_clip_is_cancelled_and_one_from_the_history_is_shown(tab: Tab) -> None:
    tab.choose("WolfgangLanger_Pexels.mp4")
    tab.locator("progress").wait_for()
    tab.button("Cancel").click()
    tab.locator("progress").wait_for(state="detached")
    tab.choose("no_face.mp4")
    tab.get_by_text("No face was read in this clip.").wait_for(timeout=60_000)
    tab.choose("WolfgangLanger_Pexels.mp4")
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
