"""The page without a server, where it was built: what it reads in the browser against Python."""

from __future__ import annotations

import base64
import functools
import http.server
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from makers import Pixels, scene
from mien.faces.align import crop
from mien.faces.detect import DetectorOptions, YuNet
from mien.faces.network import Classifier

pytestmark = pytest.mark.slow

DIST = Path(__file__).resolve().parents[2] / "web" / "static-reader" / "dist"
#: With the number of faces in each.
PHOTOS = {"single_face.jpg": 1, "multi_face.jpg": 5, "0-f1-su-ph.jpg": 1, "45-m7-di-ph.jpg": 1,
          "free-mountain-vector-01.jpg": 0}  # fmt: skip

#: Decodes a file, hands its pixels to the page's worker, and gives back both.
READ = """async ([worker, text]) => {
    const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
    const picture = await createImageBitmap(new Blob([bytes]), {colorSpaceConversion: "none"});
    const [width, height] = [picture.width, picture.height];
    const pen = new OffscreenCanvas(width, height).getContext("2d", {willReadFrequently: true});
    pen.drawImage(picture, 0, 0);
    const rgba = pen.getImageData(0, 0, width, height).data;
    let pixels = "";
    for (let i = 0; i < rgba.length; i += 4) pixels += String.fromCharCode(rgba[i], rgba[i + 1], rgba[i + 2]);
    window.reader ??= new Worker(worker, {type: "module"});
    const said = await new Promise(resolve => {
        window.reader.onmessage = event => resolve(event.data);
        window.reader.postMessage({id: 1, base: document.baseURI, rgba, width, height});
    });
    return {...said, width, height, pixels: btoa(pixels)};
}"""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def page(browser: Any) -> Iterator[Any]:
    """The built page in a browser, from a plain web server."""
    if not (DIST / "index.html").is_file():
        pytest.skip("needs web/static-reader/dist, which is built by hand (benchmarks/results/browser.md)")
    handler = functools.partial(_Quiet, directory=str(DIST))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        tab = browser.new_page()
        tab.goto(f"http://127.0.0.1:{server.server_port}/")
        yield tab
        tab.close()
        server.shutdown()


def _same(page: Any, content: bytes) -> int:
    """How many faces a file has, the browser's reading being Python's.

    The detector's float32 sums come in another order in the browser, which moves its landmarks by hundredths
    of a pixel; the face network's 8 bits make a hundredth of the distance of the eyes of that. So the
    probabilities are compared for the landmarks that the browser found.
    """
    worker = next((DIST / "assets").glob("worker-*.js")).name
    said = page.evaluate(READ, [f"assets/{worker}", base64.b64encode(content).decode()])
    assert "error" not in said, said
    shape = (said["height"], said["width"], 3)
    pixels: Pixels = np.frombuffer(base64.b64decode(said["pixels"]), np.uint8).reshape(shape)
    classifier = Classifier.load()
    wanted = YuNet(DetectorOptions.video()).detect(pixels)
    assert len(said["faces"]) == len(wanted)
    for got, want in zip(said["faces"], wanted, strict=True):
        landmarks = np.array(got["landmarks"])
        eyes = np.hypot(*(want.landmarks[1] - want.landmarks[0]))
        np.testing.assert_allclose(landmarks, want.landmarks, atol=0.015 * eyes)
        np.testing.assert_allclose(got["box"], want.box, atol=0.5)
        assert got["score"] == pytest.approx(want.score, abs=1e-3)
        (probabilities,) = classifier(crop(pixels, landmarks, classifier.card)[None])
        np.testing.assert_allclose(list(got["probabilities"].values()), probabilities, atol=1e-3)
        assert got["uncertain"] == (got["confidence"] * got["quality"] < classifier.card.uncertain)
        assert got["quality"] == pytest.approx(want.quality, abs=0.01)
        assert [got["yaw"], got["pitch"], got["roll"]] == pytest.approx(
            [want.yaw, want.pitch, want.roll], abs=1.0
        )
        assert got["units"] == pytest.approx(dict(want.units), abs=0.05)
    return len(wanted)


def test_drawn_faces_are_read_as_python_reads_them(page: Any, tmp_path: Path) -> None:
    path = tmp_path / "two.png"
    Image.fromarray(scene((20, 40, 180), (250, 60, 120), size=(240, 400))).save(path)
    assert _same(page, path.read_bytes()) == 2


def test_people_are_read_as_python_reads_them(page: Any, media: Path) -> None:
    for name, faces in PHOTOS.items():
        assert _same(page, (media / name).read_bytes()) == faces


def test_a_dark_picture_is_brightened_for_the_detector(page: Any, media: Path) -> None:
    with Image.open(media / "single_face.jpg") as picture:
        dark = picture.convert("RGB").point(lambda v: v // 6)
    content = io.BytesIO()
    dark.save(content, "png")
    assert _same(page, content.getvalue()) == 1


def test_page_shows_a_photo(page: Any, media: Path) -> None:
    page.set_input_files("input[type=file]", media / "single_face.jpg")
    page.locator(".face").wait_for()
    assert page.locator(".face h3").inner_text().startswith("Face 1: happiness ")
    assert page.locator(".box").count() == 1
