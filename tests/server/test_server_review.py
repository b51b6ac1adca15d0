"""`mien review`: its answers, and its page in a real browser."""

from __future__ import annotations

import io
import signal
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from PIL import Image

from makers import scene, write_clip

pytest.importorskip("fastapi")

import itertools

import av

from mien import analyze
from mien.errors import ConfigError, DataError
from mien.evaluate.codes import CODES, read_codes
from mien.server.listen import opened
from mien.server.review import ReviewOptions, make_review
from mien.server.settings import ServerSettings
from test_server import ServerProcess, is_problem, serving
from test_web import Tab


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos and clips of drawn faces, one clip that no browser plays, and their table."""
    folder = tmp_path_factory.mktemp("review")
    Image.fromarray(scene((20, 40, 180), (250, 60, 120), size=(240, 400))).save(folder / "two.png")
    moving = [scene((20 + 4 * i, 40, 160)) for i in range(30)]
    for name, codec in (("seen.webm", "libvpx"), ("other.avi", "mpeg4")):
        write_clip(folder / name, moving, codec=codec, g="10")
    analyze([folder / name for name in ("two.png", "seen.webm", "other.avi")], folder / "faces.csv")
    return folder


@contextmanager
def _reviewing(folder: Path, codes: Path, **changes) -> Iterator[httpx.Client]:
    """A review in a thread, and a client of it."""
    options = ReviewOptions(folder / "faces.csv", codes, **changes)
    said: list[str] = []
    opening = opened(
        ServerSettings(port=0), make=lambda settings: make_review(options, settings, said.append)
    )
    with serving(opening) as (client, _):
        client.said = said
        yield client


def _code(client: httpx.Client, coder: str, item: int, code: str | None) -> httpx.Response:
    return client.post("/codes", json={"coder": coder, "item": item, "code": code})


# The answers.


def test_each_coder_has_codes_of_their_own_and_mien_is_not_told(folder: Path, tmp_path: Path) -> None:
    with _reviewing(folder, tmp_path / "codes.csv") as client:
        assert client.get("/about").json()["blind"] is True
        queue = client.get("/queue", params={"coder": "anna"}).json()
        assert {item["name"] for item in queue["items"]} == {"two.png", "seen.webm", "other.avi"}
        assert all(item["read"] is None for item in queue["items"])
        assert _code(client, " anna ", 0, "fear").status_code == 204
        assert _code(client, "ben", 0, "none").status_code == 204
        for coder, code in (("anna", "fear"), ("ben", "none"), ("eve", None)):
            queue = client.get("/queue", params={"coder": coder}).json()
            assert queue["items"][0]["code"] == code
            assert queue["coded"] == ([0] if code else [])
    assert [(code.coder, code.code) for code in read_codes(tmp_path / "codes.csv")] == [
        ("anna", "fear"),
        ("ben", "none"),
    ]


def test_what_mien_reads_is_shown_where_asked(folder: Path, tmp_path: Path) -> None:
    with _reviewing(folder, tmp_path / "codes.csv", blind=False) as client:
        items = client.get("/queue", params={"coder": "anna"}).json()["items"]
        assert all(item["read"] in CODES for item in items)


def test_all_coders_get_the_same_sample_in_orders_of_their_own(folder: Path, tmp_path: Path) -> None:
    with _reviewing(folder, tmp_path / "codes.csv", sample=5, seed=3, seconds=0.5) as client:
        order = client.get("/about").json()["order"]
        assert "5 of 14, seed 3" in order
        queues = [
            [item["item"] for item in client.get("/queue", params={"coder": coder}).json()["items"]]
            for coder in ("anna", "ben", "anna")
        ]
        assert queues[0] == queues[2] != queues[1]
        assert sorted(queues[0]) == sorted(queues[1]) == list(range(5))


def test_a_clip_comes_in_the_pieces_that_are_asked_for(folder: Path, tmp_path: Path) -> None:
    with _reviewing(folder, tmp_path / "codes.csv") as client:
        items = client.get("/queue", params={"coder": "anna"}).json()["items"]
        media = {item["name"]: item["media"] for item in items}
        whole = (folder / "seen.webm").read_bytes()
        piece = client.get(f"/media/{media['seen.webm']}", headers={"Range": "bytes=100-199"})
        assert (piece.status_code, piece.content) == (206, whole[100:200])
        photo = client.get(f"/media/{media['two.png']}")
        assert Image.open(io.BytesIO(photo.content)).size == (400, 240)


def test_a_stretch_is_made_anew_with_its_own_pictures(folder: Path, tmp_path: Path) -> None:
    with _reviewing(folder, tmp_path / "codes.csv", seconds=1) as client:
        items = client.get("/queue", params={"coder": "anna"}).json()["items"]
        item = next(i for i in items if i["name"] == "other.avi" and i["start"] == 1)
        view = client.get(f"/items/{item['item']}").json()
        assert (view["first"], view["last"], view["end"]) == (0.5, 2.5, 2)
        assert [row[0] for row in view["boxes"]] == pytest.approx([0.5 + i / 10 for i in range(21)])
        made = client.get(f"/stretches/{item['item']}.mp4").content
        with av.open(io.BytesIO(made)) as clip:
            frames = list(clip.decode(video=0))
        assert [frame.time for frame in frames] == pytest.approx([i / 10 for i in range(20)], abs=1e-3)
        first = frames[0].to_ndarray(format="rgb24")[100]  # a row of pixels
        edge = next(x for x in range(320) if first[x].max() < 80)
        assert edge == pytest.approx(40 + 20 + 8, abs=4)  # where the hair of picture 5 begins


def test_a_clip_that_begins_late_is_shown_by_stretches(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chromium would count by the clip's time stamps, and show its begin for every stretch."""
    with _reviewing(folder, tmp_path / "codes.csv", seconds=1) as client:
        items = client.get("/queue", params={"coder": "ann"}).json()["items"]
        item = next(item["item"] for item in items if item["name"] == "seen.webm")
        assert client.get(f"/items/{item}").json()["whole"]
        monkeypatch.setattr("mien.server.review.start_time", lambda _path: 0.5)
        assert not client.get(f"/items/{item}").json()["whole"]


def test_copies_for_elan_and_boris(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("pympi", reason="needs pympi-ling (pip install 'mien[formats]')")
    with _reviewing(folder, tmp_path / "codes.csv") as client:
        assert is_problem(client.get("/saved/boris?coder=anna"), 404, "not-found")
        items = client.get("/queue", params={"coder": "anna"}).json()["items"]
        for item in items:
            _code(client, "anna", item["item"], "surprise")
        _code(client, "ben", 0, "fear")
        clips = [item for item in items if item["start"] is not None]
        (tmp_path / "table.csv").write_bytes(client.get("/saved/codes?coder=anna").content)
        assert len(read_codes(tmp_path / "table.csv")) == len(items)
        (tmp_path / "boris.csv").write_bytes(client.get("/saved/boris?coder=anna").content)
        assert len(read_codes(tmp_path / "boris.csv")) == len(clips)
        zipfile.ZipFile(io.BytesIO(client.get("/saved/eaf?coder=anna").content)).extractall(tmp_path / "eaf")
        assert {Path(code.source).name for code in read_codes(tmp_path / "eaf")} == {"seen.webm", "other.avi"}


def test_what_makes_no_sense_is_refused(folder: Path, tmp_path: Path) -> None:
    with _reviewing(folder, tmp_path / "codes.csv", coder="anna") as client:
        assert is_problem(_code(client, "anna", 0, "joyful"), 422, "bad-setting")
        assert is_problem(_code(client, "ben", 0, "fear"), 422, "bad-setting")
        assert is_problem(_code(client, "anna", 99, "fear"), 404, "not-found")
        assert is_problem(client.get("/queue?coder=%0A"), 422, "bad-setting")
        assert is_problem(client.get("/media/9"), 404, "not-found")
        foreign = {"Origin": "https://example.org"}
        answer = client.post("/codes", json={"coder": "anna", "item": 0, "code": "fear"}, headers=foreign)
        assert is_problem(answer, 403, "forbidden-origin")
        assert is_problem(client.get("/about", headers={"Host": "example.org"}), 421, "wrong-host")
    assert not (tmp_path / "codes.csv").exists()


def test_missing_files_are_left_out_and_none_left_is_an_error(folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    table = (folder / "faces.csv").read_text().replace(str(folder), "/nowhere")
    (tmp_path / "faces.csv").write_text(table)
    with pytest.raises(DataError, match="--media"), _reviewing(tmp_path, tmp_path / "codes.csv"):
        pass
    (moved / "two.png").write_bytes((folder / "two.png").read_bytes())
    with _reviewing(tmp_path, tmp_path / "codes.csv", media=moved) as client:
        assert sum("seen.webm" in line or "other.avi" in line for line in client.said) == 2
        assert len(client.get("/queue?coder=anna").json()["items"]) == 2
    with pytest.raises(ConfigError, match="--random"), _reviewing(folder, tmp_path / "c.csv", sample=99):
        pass


# The page.


@pytest.fixture
def tab(browser) -> Iterator[Tab]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(30_000)
    found = Tab(context.new_page())
    found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
    yield found
    context.close()
    assert found.complaints == []


def _start(tab: Tab, client: httpx.Client, name: str = "anna") -> None:
    tab.goto(str(client.base_url))
    tab.get_by_label("Your name").fill(name)
    tab.button("Start").click()
    tab.locator("#work[aria-busy=false]").wait_for()


def _press(tab: Tab, key: str, coded: int) -> None:
    tab.keyboard.press(key)
    tab.locator("#count", has_text=f"{coded} of").wait_for(state="attached")
    tab.locator("#work[aria-busy=false]").wait_for(state="attached")  # until then, keys are not taken


def test_all_is_coded_by_key_and_ends_with_what_to_do_next(tab: Tab, folder: Path, tmp_path: Path) -> None:
    codes = tmp_path / "codes.csv"
    with _reviewing(folder, codes, seconds=3) as client:
        tab.goto(str(client.base_url))
        assert "Most doubtful first" in tab.locator("#order").inner_text()
        assert "hidden" in tab.locator("#blind").inner_text()
        _start(tab, client)
        tab.locator("#box").wait_for()
        tab.check()
        for coded, key in enumerate("731", 1):
            _press(tab, key, coded)
        tab.keyboard.press("0")
        tab.locator("#finished").wait_for()
        assert f"mien agree {folder / 'faces.csv'} {codes}" in tab.locator("#then").inner_text()
        table = tab.download(tab.button("Table (CSV)")).decode()
        assert table == codes.read_text()
        tab.button("Look through your codes").click()
        tab.locator("#words [aria-pressed=true]", has_text="fear").wait_for()
    assert [code.code for code in read_codes(codes)] == ["fear", "surprise", "neutral", "cannot tell"]


@pytest.mark.slow
def test_a_code_is_undone_changed_and_skipped(tab: Tab, folder: Path, tmp_path: Path) -> None:
    codes = tmp_path / "codes.csv"
    with _reviewing(folder, codes, seconds=3) as client:
        _start(tab, client)
        first = tab.locator("#title").inner_text()
        tab.keyboard.press("ArrowRight")
        tab.locator("#work[aria-busy=false] #back:enabled").wait_for()
        _press(tab, "7", 1)
        tab.get_by_role("button", name="sadness").click()
        tab.locator("#work[aria-busy=false] #count", has_text="2 of").wait_for()
        _press(tab, "u", 1)
        _press(tab, "u", 0)
        assert not codes.exists()
        _press(tab, "9", 1)
        tab.get_by_label("Answer with these keys").uncheck()
        tab.keyboard.press("4")
        tab.wait_for_timeout(300)
        tab.get_by_label("Answer with these keys").check()
        tab.keyboard.press("ArrowLeft")
        tab.locator("#work[aria-busy=false] #back:enabled").wait_for()
        tab.keyboard.press("ArrowLeft")
        tab.locator("#work[aria-busy=false] #back:disabled").wait_for()
        assert tab.locator("#title").inner_text() == first
        _press(tab, "2", 2)
    assert [code.code for code in read_codes(codes)] == ["none", "happiness"]


#: The times that the video showed while it was looked at for some seconds.
WATCH = """async seconds => {
    const video = document.querySelector("video:not([hidden])"), seen = [];
    const note = () => { seen.push(video.currentTime); };
    const timer = setInterval(note, 20);
    await new Promise(resolve => setTimeout(resolve, 1000 * seconds));
    clearInterval(timer);
    return seen;
}"""


@pytest.mark.slow  # a clip plays for seconds; above, its stretches and the boxes in them are asked for
@pytest.mark.parametrize("name", ["seen.webm", "other.avi"])
def test_a_clip_loops_around_the_stretch_with_the_face_in_a_box(
    tab: Tab, folder: Path, tmp_path: Path, name: str
) -> None:
    """Also one that the browser cannot play: its stretches are made anew, and begin at 0."""
    table = tmp_path / "faces.csv"
    lines = (folder / "faces.csv").read_text().splitlines(keepends=True)
    table.write_text(lines[0] + "".join(line for line in lines if name in line))
    with _reviewing(tmp_path, tmp_path / "codes.csv", seconds=1) as client:
        _start(tab, client)
        while "0:01.0 to 0:02.0" not in tab.locator("#title").inner_text():
            tab.keyboard.press("ArrowRight")
            tab.wait_for_timeout(200)
        begin = 0 if name == "seen.webm" else 0.5
        tab.locator("#box:not(.outside)").wait_for()
        seen = tab.evaluate(WATCH, 4)
        assert 0.5 - begin - 0.1 <= min(seen) < 0.8
        assert 2.2 - begin < max(seen) < 2.8 - begin
        assert sum(b < a for a, b in itertools.pairwise(seen)) >= 1  # it went back
        tab.keyboard.press("Space")
        tab.locator("#playing", has_text="Play").wait_for()
        tab.wait_for_timeout(200)
        shown = tab.locator("video:visible").evaluate("v => v.currentTime") + begin
        picture, box = tab.locator("video:visible").bounding_box(), tab.locator("#box").bounding_box()
        scale = picture["width"] / 320
        left = (box["x"] - picture["x"]) / scale
        wanted = [
            float(line.split(",")[6])
            for line in lines
            if name in line and abs(float(line.split(",")[2]) - shown) < 0.11
        ]  # of the frames around it
        assert min(wanted) - 3 <= left <= max(wanted) + 3


@pytest.mark.slow  # processes start and end
def test_a_killed_server_loses_no_code_and_the_page_goes_on(tab: Tab, folder: Path, tmp_path: Path) -> None:
    codes = tmp_path / "codes.csv"
    options = (folder / "faces.csv", "-o", codes, "--coder", "anna", "--seconds", 3)
    server = ServerProcess(*options, command="review")
    port = server.address.rpartition(":")[2]
    tab.goto(server.address)
    tab.button("Start").click()  # the name is there
    tab.locator("#work[aria-busy=false]").wait_for()
    _press(tab, "2", 1)
    _press(tab, "3", 2)
    server.end(signal.SIGKILL)
    assert [code.code for code in read_codes(codes)] == ["happiness", "surprise"]
    tab.keyboard.press("5")
    tab.get_by_role("alert").filter(has_text="does not answer").wait_for()
    tab.check()
    server = ServerProcess(*options, command="review", port=port)
    tab.button("Try again").click()
    tab.locator("#count", has_text="3 of 4").wait_for()
    assert not tab.locator("#trouble").is_visible()
    tab.reload()
    tab.button("Start").click()
    tab.locator("#work[aria-busy=false] #count", has_text="3 of 4").wait_for()
    _press(tab, "u", 2)
    server.end(signal.SIGINT)
    assert [code.code for code in read_codes(codes)] == ["happiness", "surprise"]
