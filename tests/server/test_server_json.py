"""Photos in JSON and by their address, other sites' pages, and what is said of files that are no pictures."""

import base64
import gzip
import io
import threading
import time
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

pytest.importorskip("fastapi")
from mien.errors import ConfigError
from mien.image import encode_image
from mien.server.fetch import is_public
from mien.server.settings import Limits, ServerSettings
from test_server import SECRET, is_problem, jpeg, running


@pytest.fixture(scope="module")
def client():
    with running() as client:
        yield client


def text64(data):
    return base64.b64encode(data).decode()


def send(client, *photos, path="/v1/photos", **options):
    return client.post(path, json={"photos": photos}, **options)


# --- base64


def test_photos_in_json_are_those_of_a_form(client, one_face, two_faces):
    one, two = jpeg(one_face), jpeg(two_faces)
    files = [("files", ("one.jpg", one)), ("files", ("two.jpg", two))]
    named = {"name": "one.jpg", "data": text64(one)}, {"name": "two.jpg", "data": text64(two)}
    uri = named[0], {"name": "two.jpg", "data": f"data:image/jpeg;base64,{text64(two)}"}
    wanted = client.post("/v1/photos?max_faces=1", files=files).json()
    assert send(client, *named, path="/v1/photos?max_faces=1").json() == wanted
    assert send(client, *uri, path="/v1/photos?max_faces=1").json() == wanted
    crop = {"data": text64(encode_image(one_face[40:200, 60:220], ".png"))}
    [photo] = send(client, crop, path="/v1/crops").json()["photos"]
    assert len(photo["faces"]) == 1


def test_many_megabytes_of_json_are_taken(client):
    noise = np.random.default_rng(0).integers(0, 256, (1400, 1400, 3), np.uint8)
    data = encode_image(noise, ".png")
    assert len(data) > 5_000_000  # beyond what stays in memory
    photos = send(client, {"data": text64(data)}, path="/v1/crops").json()["photos"]  # nothing is looked for
    assert [(photo["width"], photo["error"]) for photo in photos] == [(1400, None)]
    assert client.service.disk.taken == 0


def test_a_bad_photo_in_json_is_told_alone_or_among_others(client, one_face):
    good = {"data": text64(jpeg(one_face))}
    bad = [{"data": "hello"}, {"data": "/etc/passwd"}, {"data": "data:image/png;base64,%%%"},
           {"data": text64(b"no picture at all, " * 9)}, {"data": "http://a.b/c.jpg"}]  # fmt: skip
    photos = send(client, good, *bad).json()["photos"]
    assert [photo["error"] and photo["error"]["status"] for photo in photos] == [None] + [415] * len(bad)
    for photo in bad:
        assert is_problem(send(client, photo), 415, "unsupported")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"3", b'{"photos": []}', b'{"photos": {}}', b'{"photos": [{}]}', b'{"photos": [3]}',
     b'{"photos": [{"data": "a", "url": "b"}]}', b'{"photos": [{"data": 3}]}', b'{"image": "a"}', b"\xff\xfe",
     b'{"photos": [{"data": "a", "more": 1}]}', b"[" * 100_000],
)  # fmt: skip
def test_json_of_another_form_is_refused(client, body):
    answer = client.post(
        "/v1/photos", content=body, headers={"Content-Type": "application/json; charset=utf-8"}
    )
    assert is_problem(answer, 400, "bad-request")


def test_too_many_photos_in_json(client, one_face):
    photo = {"data": text64(jpeg(one_face))}
    with running(limits=Limits(files=2)) as few:
        assert len(send(few, photo, photo).json()["photos"]) == 2
        assert is_problem(send(few, photo, photo, photo), 413, "too-large")


# --- addresses


@contextmanager
def pictures(files):
    """A web server with these files; /to?X points to X, /slow never ends; its address and what was asked."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, dict(self.headers)))
            path, _, query = self.path.partition("?")
            if path == "/to":
                self.send_response(302)
                self.send_header("Location", query)
                self.end_headers()
            elif path == "/slow":
                self.send_response(200)
                self.end_headers()
                for _ in range(200):
                    if ended.is_set():
                        return
                    try:
                        self.wfile.write(b"x")
                    except OSError:
                        return
                    time.sleep(0.05)
            else:
                self.send_response(200 if path in files else 404)
                self.end_headers()
                self.wfile.write(files.get(path, b""))

        def log_message(self, *_):
            pass

    asked, ended = [], threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}", asked
    finally:
        ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


def test_addresses_are_fetched_from_hosts_that_are_named_and_no_others(one_face, two_faces):
    files = {"/one.jpg": jpeg(one_face), "/é two.jpg": jpeg(two_faces), "/page": b"<!DOCTYPE html><html>"}
    with pictures(files) as (host, asked), pictures(files) as (other, asked_other):
        with running(fetch=(host,)) as client:
            here, there = f"http://{host}", f"http://{other}"
            addresses = [
                f"{here}/one.jpg", f"{here}/to?/one.jpg", f"{here}/missing", f"{here}/page",
                f"{there}/one.jpg", f"{here}/to?{there}/",
            ]  # fmt: skip
            items = [{"url": address} for address in addresses]
            answer = send(client, *items, {"data": text64(jpeg(two_faces))})
            photos = answer.json()["photos"]
            assert [photo["error"] and photo["error"]["type"].rpartition(":")[2] for photo in photos] == [
                None, None, "unreadable", "unsupported", "forbidden-address", "forbidden-address", None,
            ]  # fmt: skip
            assert [len(photo["faces"]) for photo in photos] == [1, 1, 0, 0, 0, 0, 2]
            assert [photo["name"] for photo in photos] == [*addresses, ""]
            assert is_problem(send(client, {"url": addresses[4]}), 403, "forbidden-address")
            assert is_problem(send(client, {"url": f"{here}/to?/to?/to?/to?/to?/one.jpg"}), 422, "unreadable")
            assert client.service.disk.taken == 0
            assert asked_other == []
            _, headers = asked[0]
            assert headers["Host"] == host
            assert "Authorization" not in headers
        with running() as client:  # no --fetch
            assert is_problem(send(client, {"url": addresses[0]}), 403, "forbidden-address")


def test_what_is_fetched_is_bounded_in_bytes_and_seconds(one_face):
    limits = Limits(fetch=1000, fetch_seconds=0.5)
    with pictures({"/one.jpg": jpeg(one_face)}) as (host, _), running(fetch=(host,), limits=limits) as client:
        assert is_problem(send(client, {"url": f"http://{host}/one.jpg"}), 413, "too-large")
        began = time.monotonic()
        assert is_problem(send(client, {"url": f"http://{host}/slow"}), 422, "unreadable")
        assert time.monotonic() - began < 5


PRIVATE = ["127.0.0.1", "127.1", "2130706433", "0x7f.0.0.1", "0", "localhost", "[::1]", "[::ffff:127.0.0.1]",
           "[::ffff:a00:1]", "[fe80::1]", "[fd00::1]", "[64:ff9b::a00:1]", "[2002:7f00:1::]", "10.0.0.1",
           "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "224.0.0.1"]  # fmt: skip


def test_no_private_address_is_asked_unless_it_is_named():
    with running(fetch=("*",)) as client:
        for host in PRIVATE:
            assert is_problem(send(client, {"url": f"http://{host}/x.jpg"}), 403, "forbidden-address"), host
        for address in ("ftp://example.org/a.jpg", "file:///etc/passwd", "http://", "a.jpg", "http://[::1",
                        "http://me:secret@example.org/a.jpg", "http://example.org:99999/"):  # fmt: skip
            assert is_problem(send(client, {"url": address}), 400, "bad-request"), address
        assert is_problem(send(client, {"url": "http://example.org:22/"}), 403, "forbidden-address")
        assert is_problem(send(client, {"url": "http://nowhere.invalid/"}), 422, "unreadable")


def test_which_addresses_are_public():
    assert all(map(is_public, ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "2002:808:808::"]))
    assert not any(
        map(is_public, ["10.1.2.3", "::", "fe80::1%eth0", "ff02::1", "2001:0:1::", "2002:a00:1::"])
    )


# --- other sites' pages


def test_pages_of_named_origins_may_ask_and_others_may_not(one_face):
    ours = {"Origin": "https://lab.example"}
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    with running(cors=("https://lab.example",), token=SECRET) as client:
        answer = client.options("/v1/photos", headers=ours | ask)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://lab.example"
        token = {"Authorization": f"Bearer {SECRET}"}
        for headers, status in ((ours | token, 200), (ours, 401)):
            answer = client.post("/v1/photos", content=jpeg(one_face), headers=headers)
            assert answer.status_code == status
            assert answer.headers["access-control-allow-origin"] == "https://lab.example"
            assert "access-control-allow-credentials" not in answer.headers  # no cookies
        evil = {"Origin": "https://evil.example"}
        answer = client.post("/v1/photos", content=jpeg(one_face), headers=evil | token)
        assert is_problem(answer, 403, "forbidden-origin")
        assert "access-control-allow-origin" not in answer.headers
        assert client.options("/v1/photos", headers=evil | ask).status_code == 400
    with running(cors=("*",), auth=False) as client:
        answer = client.post("/v1/photos", content=jpeg(one_face), headers=evil)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")


@pytest.mark.parametrize("cors", ["lab.example", "https://lab.example/page", "*"])
def test_origins_that_are_none_and_every_page_without_a_token_are_refused(cors):
    with pytest.raises(ConfigError, match="--cors"):
        ServerSettings(cors=(cors,))


# --- what is wrong with a file


def packed(data):
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("a.jpg", data)
    return held.getvalue()


FILES = {
    "text": b"hello there",
    "web page": b"\n<!DOCTYPE html><html><body>404</body></html>",
    "SVG": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"></svg>',
    "PDF": b"%PDF-1.7\n1 0 obj",
    "archive": packed(b"a"),
    "an archive": gzip.compress(b"a"),
    "JSON": b'{"image": "a"}',
    "sound": b"ID3\x03" + bytes(100),
    "NumPy": b"\x93NUMPY\x01\x00v\x00{'descr': '<u1'",
    "raw": b"II*\0\x10\0\0\0CR\x02\0" + bytes(300),
    "Photoshop": b"8BPS\0\1" + bytes(100),
}


@pytest.mark.parametrize("what", FILES)
def test_a_file_that_is_no_picture_is_called_what_it_is(client, what):
    answer = client.post("/v1/photos", files=[("files", ("a.jpg", FILES[what], "image/jpeg"))])
    assert is_problem(answer, 415, "unsupported")
    assert what.removeprefix("an ") in answer.json()["detail"]


def test_a_file_that_is_no_clip_is_called_what_it_is(client):
    answer = client.post("/v1/clips", files=[("file", ("a.mp4", FILES["PDF"], "video/mp4"))])
    assert is_problem(answer, 415, "unsupported")
    assert "PDF" in answer.json()["detail"]


def test_photos_and_clips_are_sent_to_where_they_belong(client, one_face, drawn_clip):
    answer = client.post("/v1/photos", content=drawn_clip.read_bytes())
    assert is_problem(answer, 415, "unsupported")
    assert "a clip; send it to /v1/clips" in answer.json()["detail"]
    answer = client.post("/v1/clips", files=[("file", ("a.mp4", jpeg(one_face)))])
    assert is_problem(answer, 415, "unsupported")
    assert "a photo (JPEG); send it to /v1/photos" in answer.json()["detail"]
    cut = drawn_clip.read_bytes()[:3000]
    assert is_problem(client.post("/v1/clips", files=[("file", ("a.mp4", cut))]), 422, "unreadable")


def test_the_type_that_curl_says_of_every_body_is_no_reason_to_refuse(client, one_face):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert client.post("/v1/photos", content=jpeg(one_face), headers=headers).status_code == 200


def test_settings_that_are_not_known_are_refused(client, one_face):
    for path in ("/v1/photos?maxfaces=1", "/v1/crops?min_face=9"):
        assert is_problem(client.post(path, content=jpeg(one_face)), 422, "bad-setting")
    answer = client.post("/v1/photos", files=[("files", ("a.jpg", jpeg(one_face)))], data={"max_faces": "1"})
    assert is_problem(answer, 422, "bad-setting")
