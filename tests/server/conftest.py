"""A browser, which takes seconds to start."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import av
import pytest
from PIL import Image

from makers import SHARED, scene

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)  # fmt: skip


@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """One for all pages; its camera shows a smiling man, or a drawn face where he is not at hand."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium (on Debian: apt-get install chromium), which is not here")
    api = pytest.importorskip("playwright.sync_api", reason="needs Playwright (pip install 'mien[dev]')")
    pictures = [scene((20 + 20 * i, 40, 160), size=(240, 480)) for i in range(14)]
    man = SHARED / "media" / "single_face.mp4"
    if man.is_file():
        with av.open(str(man)) as clip:
            pictures = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)][::3]
    camera = tmp_path_factory.mktemp("camera") / "camera.mjpeg"  # JPEGs in a row
    with camera.open("wb") as stream:
        for picture in pictures:
            Image.fromarray(picture).resize((640, 360)).save(stream, "JPEG", quality=90)
    with api.sync_playwright() as playwright:
        options = [*QUIET, f"--use-file-for-fake-video-capture={camera}"]
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield chromium
        chromium.close()
