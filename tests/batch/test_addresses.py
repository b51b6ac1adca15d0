"""Addresses of the web: pictures, clips and what is neither, from a server of the test's own."""

import base64
import csv
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from mien.batch.run import analyze
from mien.errors import VideoError
from mien.image import encode_image
from mien.video.frames import Video


@pytest.fixture
def web(one_face, drawn_clip):
    """The address of a server, and the requests that came."""
    picture = encode_image(one_face, ".png")
    answers = {
        "/photo.png": ("image/png", picture),
        "/now?camera=1": ("image/png", picture),
        "/clip": ("video/mp4", drawn_clip.read_bytes()),
        "/a%20%C3%BC.png?b=%C3%BC%20c": ("image/png", picture),
        "/page": ("text/html; charset=utf-8", b"<html></html>"),
    }
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers.get("Authorization")))
            if self.path not in answers:
                self.send_error(404)
                return
            kind, body = answers[self.path]
            self.send_response(200)
            self.send_header("Content-Type", kind)
            if "?" not in self.path:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=partial(server.serve_forever, 0.05), daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()


def test_a_picture_or_clip_at_an_address_is_fetched_once(web, mien, tiny_model, tmp_path):
    host, asked = web
    inputs = [f"http://{host}/photo.png", f"http://ann:p%40ss@{host}/now?camera=1", f"http://{host}/clip"]
    ran = mien(
        "analyze", *inputs, "-o", tmp_path / "t.csv", "--annotate", tmp_path / "seen", "--model", tiny_model
    )
    assert ran.code == 0, ran.err
    rows = list(csv.DictReader((tmp_path / "t.csv").read_text().splitlines()))
    assert [row["source"] for row in rows[:2]] == [inputs[0], f"http://{host}/now?camera=1"]
    assert [row["source"] for row in rows[2:]] == [inputs[2]] * 12
    paths = [path for path, _ in asked]
    assert (paths.count("/photo.png"), paths.count("/now?camera=1")) == (
        1,
        2,
    )  # FFmpeg looks for a stream first
    assert f"Basic {base64.b64encode(b'ann:p@ss').decode()}" in [given for _, given in asked]
    assert sorted(path.suffix for path in (tmp_path / "seen").iterdir()) == [".mp4", ".png", ".png"]
    assert "p%40ss" not in (tmp_path / "t.csv").read_text() + ran.err


def test_an_address_is_quoted_as_browsers_do_and_a_wrong_one_is_told(web, tiny_model, tmp_path):
    bad = ("http://127.0.0.1:port/a.png", "http://[::1/a.png")
    summary = analyze([f"http://{web[0]}/a ü.png?b=ü%20c", *bad], tmp_path / "t.csv", model=tiny_model)
    (port, wrong_port), (bracket, wrong_bracket) = summary.failed
    assert (port, bracket, summary.frames) == (*bad, 1)
    assert "cannot be fetched: nonnumeric port" in wrong_port
    assert "expected an address" in wrong_bracket


@pytest.mark.parametrize(("path", "word"), [("/page", "page"), ("/gone.png", "Not Found"), ("/gone", "404")])
def test_an_address_with_nothing_to_read_says_so(web, mien, tiny_model, tmp_path, path, word):
    ran = mien("analyze", f"http://{web[0]}{path}", "-o", tmp_path / "t.csv", "--model", tiny_model)
    assert ran.code == 1
    assert word in ran.err
    assert "; " in ran.err


def test_a_file_address_is_the_file(mien, one_face, tiny_model, tmp_path):
    path = tmp_path / "a b.png"
    path.write_bytes(encode_image(one_face, ".png"))
    ran = mien("analyze", path.as_uri(), "--model", tiny_model)
    assert ran.out.decode().splitlines()[1].startswith(f"{path},0,")


def test_a_still_picture_is_no_stream(web):
    with pytest.raises(VideoError, match="still picture"):
        Video(f"http://{web[0]}/photo.png")
