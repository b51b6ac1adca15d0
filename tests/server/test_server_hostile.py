"""What nobody should send: each gets a 4xx or 5xx with its reason, the server lives, no file stays."""

import errno
import io
import os
import socket
import struct
import time
import zipfile
import zlib
from contextlib import suppress
from itertools import repeat
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from makers import scene
from mien.image import encode_image
from mien.server import upload
from mien.server.settings import Limits
from test_server import is_problem, jpeg, running
from test_server_clips import waited

FACE = jpeg(scene((60, 40, 160)))


@pytest.fixture(scope="module")
def client():
    with running(limits=Limits(upload=3_000_000, clip=3_000_000, files=20, pixels=10_000_000)) as client:
        yield client


@pytest.fixture(autouse=True)
def _nothing_stays(client):
    yield
    service = client.service
    waited(
        lambda: service.photo_requests == service.disk.taken == 0 and not list(service.disk.jobs.iterdir())
    )
    assert client.get("/healthz").status_code == 200
    assert not list(service.disk.uploads.iterdir())


def raw(client):
    """A bare connection."""
    return socket.create_connection((client.base_url.host, client.base_url.port), timeout=30)


def head(path, *lines):
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


def answer_of(connection):
    """Status of the answer; 0: the connection was closed without one."""
    data = b""
    try:
        while b"\r\n\r\n" not in data and (piece := connection.recv(65536)):
            data += piece
    except ConnectionError:
        pass
    return int(data.split()[1]) if data.startswith(b"HTTP/1.1 ") else 0


def send_for(connection, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        connection.sendall(bytes(65536))


def png(side, data=b""):
    """A PNG of side x side RGB pixels, whose data may be anything."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    found = b"\x89PNG\r\n\x1a\n"
    for chunk in (b"IHDR" + header, b"IDAT" + data, b"IEND"):
        found += struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return found


def test_decompression_bombs(client):
    bomb = png(50_000, zlib.compress(bytes(10_000_000)))
    answer = client.post("/v1/photos", content=bomb)
    assert is_problem(answer, 413, "too-large")
    assert "50000 x 50000" in answer.json()["detail"]
    assert is_problem(client.post("/v1/crops", content=bomb), 413, "too-large")
    short = png(1000, zlib.compress(bytes(10_000)))
    assert is_problem(client.post("/v1/photos", content=short), 422, "unreadable")


def test_files_that_are_something_else_besides(client):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("evil.txt", "evil")
    for what, other in {
        "ZIP": FACE + archive.getvalue(),
        "PDF": FACE[:2] + b"\xff\xfe\x00\x0a%PDF-1.7" + FACE[2:],
        "web page": FACE + b"<html><script>alert(1)</script></html>",
    }.items():
        answer = client.post("/v1/photos", files={"files": ("a.jpg", other)})
        assert is_problem(answer, 415, "unsupported")
        assert what in answer.json()["detail"]


def test_files_that_are_said_to_be_something_else(client):
    answer = client.post("/v1/photos", files={"files": ("a.html", FACE, "text/html")})
    assert is_problem(answer, 415, "unsupported")
    mislabelled = ("a.png", FACE, "image/png")  # by its content it is a picture
    assert client.post("/v1/photos", files={"files": mislabelled}).status_code == 200
    svg = b"<svg xmlns='http://www.w3.org/2000/svg'/>"
    for data in (svg, b"MZ\x90\0", b"\0" * 100, b"GIF89a", b"RIFF....WEBP"):
        answer = client.post("/v1/photos", files={"files": ("a.jpg", data, "image/jpeg")})
        assert answer.status_code in {415, 422}
        assert answer.json()["detail"]


def test_ten_gigabytes_that_are_announced(client, monkeypatch):
    monkeypatch.setattr("mien.server.listen._LINGER", 0.3)
    for path in ("/v1/photos", "/v1/clips", "/v1/crops"):
        with raw(client) as connection:
            connection.sendall(head(path, "Content-Length: 10000000000") + bytes(4_000_000))
            assert answer_of(connection) == 413
            with pytest.raises(ConnectionError):  # it is cut off while it goes on
                send_for(connection, 20)


def test_gigabytes_that_are_not_announced(client):
    try:
        answer = client.post("/v1/photos", content=repeat(bytes(100_000), 1000))
    except httpx.TransportError:  # it was cut off before the client looked
        return
    assert is_problem(answer, 413, "too-large")


def test_too_many_files(client):
    files = [("files", (str(n), b"x")) for n in range(21)]
    assert is_problem(client.post("/v1/photos", files=files), 413, "too-large")


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "..\\..\\x", "a\0b", "con", "x" * 5000, "é\u202e", "%2e%2e/"]
)
def test_names_are_data(client, name):
    answer = client.post("/v1/photos", files={"files": (name, FACE)})
    assert answer.status_code in {200, 400}
    if answer.status_code == 200:
        said = answer.json()["photos"][0]["name"]
        assert len(said) <= 255
        assert "\0" not in said


def test_a_name_of_a_clip_is_data_too(client):
    answer = client.post("/v1/clips", files={"file": ("../../a\0b", b"no clip")})
    assert answer.status_code in {400, 415, 422}


def test_multipart_that_cannot_be_taken_apart(client):
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    file = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    field = b'--x\r\nContent-Disposition: form-data; name="same"\r\n\r\n'
    bodies = [
        b"", b"nonsense", b"--x", b"--x--\r\n", file, file + b"data",
        file + b"data\r\n" + file + b"cut", b"--y\r\n\r\n--y--",
        b"--x\r\n" + b"A: " + b"b" * 100_000 + b"\r\n\r\n", b"--x\r\n" + b"A: b\r\n" * 5000 + b"\r\n\r\n",
        field + b"y" * 5000 + b"\r\n--x--\r\n", (field + b"y\r\n") * 1000 + b"--x--\r\n",
    ]  # fmt: skip
    for body in bodies:
        for path in ("/v1/photos", "/v1/clips"):
            answer = client.post(path, content=body, headers=kind)
            assert answer.status_code in {400, 413}, body[:60]
            assert answer.headers["content-type"] == "application/problem+json"
    answer = client.post("/v1/photos", content=b"x", headers={"Content-Type": "multipart/form-data"})
    assert is_problem(answer, 400, "bad-request")


@pytest.mark.parametrize("path", ["/v1/photos", "/v1/clips"])
@pytest.mark.parametrize("pause", [9, 0.2])  # seconds from byte to byte: it stalls, or dawdles
def test_slow_uploads(path, pause):
    with running(limits=Limits(stall=0.5)) as client, raw(client) as connection:
        connection.sendall(head(path, "Content-Length: 1000") + b"x")
        connection.settimeout(pause)
        for _ in range(50):
            try:
                connection.sendall(b"x")
                connection.recv(1, socket.MSG_PEEK)  # an answer comes
                break
            except TimeoutError:
                continue
        assert answer_of(connection) == 408


@pytest.mark.parametrize("before", [b"", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"])
def test_headers_that_never_end(monkeypatch, before):
    """Those of the first request of a connection, or of the second."""
    monkeypatch.setattr("mien.server.listen._HEADERS", 0.5)
    with running() as client, raw(client) as connection:
        connection.sendall(before)
        assert not before or answer_of(connection) == 200
        connection.sendall(b"POST /v1/photos HTTP/1.1\r\nHo")
        start = time.monotonic()
        while connection.recv(65536):  # the rest of the answer, then the end
            assert time.monotonic() - start < 20


def test_requests_that_are_given_up(client):
    """The client goes while its photos are read: those that wait are not read."""
    part = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n' + FACE + b"\r\n"
    body = part * 20 + b"--x--\r\n"
    kind = "Content-Type: multipart/form-data; boundary=x"
    for _ in range(3):
        with raw(client) as connection:
            connection.sendall(head("/v1/photos", kind, f"Content-Length: {len(body)}") + body)
    waited(lambda: client.service.photo_requests == 0 and client.service.reader.waiting == 0)
    for path in ("/v1/photos", "/v1/clips"):  # goes in the middle of its upload
        with raw(client) as connection:
            connection.sendall(head(path, kind, "Content-Length: 2000000") + body[:100_000])
    waited(lambda: not list(client.service.disk.jobs.iterdir()))


@pytest.mark.parametrize(
    ("rows", "columns", "most"), [(6, 8, 20), pytest.param(40, 50, 200, marks=pytest.mark.slow)]
)
def test_thousands_of_faces(rows, columns, most):
    """A wall of faces: as many as the limit says are read, and the answer says how many there were."""
    tile = np.asarray(Image.fromarray(scene((0, 0, 160), size=(160, 160))).resize((60, 60)))
    wall = encode_image(np.tile(tile, (rows, columns, 1)), ".png")
    with running(limits=Limits(faces=most)) as client:
        [photo] = client.post("/v1/photos", content=wall, timeout=250).json()["photos"]
        assert len(photo["faces"]) == most
        assert f"the {most} largest read" in photo["notes"][0]


def test_many_files_are_one_handle(client, monkeypatch):
    """More files than stay in memory, and no handle for each: else a few requests would use up all."""
    handles = Path("/proc/self/fd")
    if not handles.is_dir():
        pytest.skip("needs /proc")
    content, seen = upload.Upload.content, []

    def counted(self):
        seen.append(len(list(handles.iterdir())))
        return content(self)

    monkeypatch.setattr(upload.Upload, "content", counted)
    monkeypatch.setattr(upload, "HELD", 100_000)
    client.get("/healthz")
    before = len(list(handles.iterdir()))
    data = FACE + bytes(20_000)
    files = [("files", (str(n), data)) for n in range(20)]
    photos = client.post("/v1/photos", files=files).json()["photos"]
    assert [len(photo["faces"]) for photo in photos] == [1] * 20
    assert len(seen) == 20
    assert max(seen) < before + 8


def test_answers_that_would_be_too_large():
    with running(limits=Limits(answer=20_000)) as client:
        picture = encode_image(np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8), ".jpg")
        answer = client.post("/v1/photos?annotate=true", content=picture)
        assert is_problem(answer, 413, "too-large")
        photos = client.post("/v1/photos", files=[("files", picture), ("files", FACE)]).json()["photos"]
        assert [photo["error"] for photo in photos] == [None, None]


def test_no_room_in_the_budget():
    with running(limits=Limits(disk=10_000)) as client:
        for path, field in (("/v1/photos", "files"), ("/v1/clips", "file")):
            answer = client.post(path, files={field: bytes(50_000)})
            assert is_problem(answer, 507, "disk-full")
        assert client.service.disk.taken == 0
        assert not list(client.service.disk.jobs.iterdir())


def test_a_full_disk(client, monkeypatch):
    """The disk takes a part of a file and no more."""

    class Full(io.BytesIO):
        def write(self, data):
            if self.tell() > 10_000:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data)

    monkeypatch.setattr(upload.tempfile, "SpooledTemporaryFile", lambda *_a, **_k: Full())
    answer = client.post("/v1/photos", files={"files": bytes(500_000)})
    assert is_problem(answer, 507, "disk-full")
    assert "No space left" in answer.json()["detail"]


@pytest.mark.skipif(os.name != "posix", reason="needs a limit of the size of files")
def test_a_disk_that_fills_while_a_clip_comes_in(client):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, before[1]))
    try:
        answer = client.post("/v1/clips", files={"file": bytes(2_000_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert is_problem(answer, 507, "disk-full")


@pytest.mark.parametrize(
    "nonsense",
    [b"\0" * 1000, b"GET / HTTP/9.9\r\n\r\n", b"A" * 200_000, b"POST /v1/photos HTTP/1.1\r\n\r\n"],
    ids=["zeros", "version", "long", "no host"],
)
def test_nonsense_instead_of_http(client, nonsense):
    with raw(client) as connection, suppress(ConnectionError):
        connection.sendall(nonsense)
        assert answer_of(connection) in {0, 400, 421, 431, 505}


def test_odd_queries(client):
    for query in ("min_face=1e9", "min_face=-1", "max_faces=0", "max_faces=" + "9" * 400,
                  "policy=" + "x" * 3000, "policy=%00", "annotate=perhaps", "min_face=%ff"):  # fmt: skip
        assert is_problem(client.post(f"/v1/photos?{query}", content=FACE), 422, "bad-setting")
    for job in ("x", "%00", "0" * 24, "..%2f..", "x/results/y"):
        answer = client.get(f"/v1/jobs/{job}")
        assert answer.status_code in {404, 422}, job
        assert answer.headers["content-type"] == "application/problem+json"
