"""The server on a real port: photos, the page, who may ask."""

import asyncio
import base64
import csv
import importlib.util
import io
import signal
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import httpx
import numpy as np
import pytest

from makers import scene

pytest.importorskip("fastapi")
from prometheus_client.parser import text_string_to_metric_families

import mien
from mien.errors import ConfigError
from mien.image import encode_image, read_image
from mien.server import jobs
from mien.server.jobs import environment
from mien.server.listen import opened
from mien.server.photos import PARQUET
from mien.server.settings import Limits, ServerSettings
from warm import WarmProcess, start_warm

PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used; making one for each client takes its time
SECRET = "a-long-secret"  # noqa: S105 - of tests


@contextmanager
def running(**changes):
    """A server in a thread, and a client of it; clips are opened and read in processes that start warm."""
    settings = ServerSettings(port=0, **{"workers": 1, **changes})
    starts = SimpleNamespace(**{**vars(subprocess), "Popen": WarmProcess})
    with pytest.MonkeyPatch.context() as patch, serving(opened(settings)) as (client, server):
        patch.setattr(jobs, "subprocess", starts)
        patch.setattr(asyncio, "create_subprocess_exec", start_warm)
        client.service = server.config.app.app.state.service
        client.server = server
        yield client


@contextmanager
def serving(opening):
    """What `opened` gives, run in a thread: a client of it, and the server."""
    with opening as (server, bound):
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            address = f"http://127.0.0.1:{bound.getsockname()[1]}"
            with httpx.Client(base_url=address, timeout=30, trust_env=False, verify=PLAIN) as client:
                yield client, server
        finally:
            server.should_exit = True
            thread.join()


class ServerProcess:
    """A server in a process of its own, that can be killed."""

    def __init__(self, *options, command="serve", port=0, **variables):
        code = f"from mien.cli.{command} import {command}; import typer; typer.run({command})"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, "--port", str(port), *map(str, options)],
            stderr=subprocess.PIPE,
            text=True,
            env={**environment(), **variables},
        )
        self.said = []
        for line in self.process.stderr:
            self.said.append(line)
            if line.startswith("mien: serving"):
                break
        self.address = line.split()[2]
        self.client = httpx.Client(base_url=self.address, timeout=30, trust_env=False, verify=PLAIN)
        assert self.client.get("/").status_code == 200  # it says so once it can be reached

    def end(self, how):
        self.process.send_signal(how)
        self.client.close()
        code = self.process.wait(15)
        with self.process.stderr as rest:
            self.said += rest
        return code


@pytest.fixture(scope="module")
def client():
    with running() as client:
        yield client


def jpeg(pixels):
    return encode_image(pixels, ".jpg")


def is_problem(response, status, kind):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert (body["type"], body["status"]) == (f"urn:mien:problem:{kind}", status)
    assert body["title"]
    assert body["detail"]
    return True


def test_a_photo_is_read_as_the_analyzer_reads_it(client, two_faces):
    data = jpeg(two_faces)
    answer = client.post("/v1/photos", files=[("files", ("two.jpg", data, "image/jpeg"))])
    assert answer.status_code == 200
    [photo] = answer.json()["photos"]
    known = mien.load().image(data).faces
    assert (photo["name"], photo["width"], photo["height"], photo["error"]) == ("two.jpg", 400, 240, None)
    assert len(photo["faces"]) == len(known) == 2
    for number, (face, want) in enumerate(zip(photo["faces"], known, strict=True)):
        assert (face["face"], face["emotion"]) == (number, want.emotion)
        assert (face["set"], face["uncertain"]) == (list(want.set), want.uncertain)
        assert tuple(face["probabilities"]) == mien.EMOTIONS
        for name in ("box", "landmarks"):
            np.testing.assert_allclose(face[name], getattr(want, name), rtol=1e-6)
        np.testing.assert_allclose(list(face["probabilities"].values()), want.probabilities, rtol=1e-6)


def test_one_photo_as_the_body(client, one_face):
    for kind in ("image/jpeg", "application/octet-stream"):
        answer = client.post("/v1/photos", content=jpeg(one_face), headers={"Content-Type": kind})
        assert len(answer.json()["photos"][0]["faces"]) == 1


def test_a_bad_file_among_many_has_its_own_error_and_a_lone_one_is_a_problem(client, one_face):
    whole, cut = jpeg(one_face), jpeg(one_face)[:900]
    files = [("files", ("a.jpg", whole)), ("files", ("b.txt", b"no picture")), ("files", ("c.jpg", cut))]
    photos = client.post("/v1/photos", files=files).json()["photos"]
    assert [photo["name"] for photo in photos] == ["a.jpg", "b.txt", "c.jpg"]
    assert [photo["error"] and photo["error"]["status"] for photo in photos] == [None, 415, 422]
    assert [len(photo["faces"]) for photo in photos] == [1, 0, 0]
    assert is_problem(client.post("/v1/photos", files=[files[1]]), 415, "unsupported")
    assert is_problem(client.post("/v1/photos", files=[files[2]]), 422, "unreadable")


def test_tables_of_photos(client, one_face, two_faces):
    pq = pytest.importorskip("pyarrow.parquet")
    data = {"one.jpg": jpeg(one_face), "bad": b"x", "two.jpg": jpeg(two_faces)}
    files = [("files", named) for named in data.items()]
    answer = client.post("/v1/photos", files=files, headers={"Accept": "text/csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["source"], row["success"]) for row in rows] == [
        ("one.jpg", "1"), ("bad", "0"), ("two.jpg", "1"), ("two.jpg", "1")]  # fmt: skip
    answer = client.post("/v1/photos", files=files, headers={"Accept": PARQUET})
    assert answer.headers["content-type"] == PARQUET
    for one, other in zip(pq.read_table(io.BytesIO(answer.content)).to_pylist(), rows, strict=True):
        assert (one["source"], one["success"]) == (other["source"], int(other["success"]))
        if one["success"]:
            assert one["emotion"] == other["emotion"]
            assert np.float32(one["happiness"]) == np.float32(other["happiness"])


def test_settings_of_a_request(client, two_faces):
    def faces(**query):
        answer = client.post("/v1/photos", params=query, files={"files": jpeg(two_faces)})
        return answer.json()["photos"][0]["faces"]

    assert len(faces(max_faces=1)) == 1
    assert len(faces(min_face=100)) == 1
    assert faces(policy="balanced")[0]["probabilities"] == faces()[0]["probabilities"]
    for query in ({"policy": "other"}, {"min_face": 2}, {"max_faces": "x"}):
        answer = client.post("/v1/photos", params=query, files={"files": jpeg(two_faces)})
        assert is_problem(answer, 422, "bad-setting")


def test_a_drawn_copy(client, one_face):
    answer = client.post("/v1/photos?annotate=true", files={"files": jpeg(one_face)})
    head, _, code = answer.json()["photos"][0]["annotated"].partition(",")
    assert head == "data:image/jpeg;base64"
    drawn = read_image(base64.b64decode(code)).pixels
    assert drawn.shape == one_face.shape
    assert np.abs(drawn.astype(int) - one_face).max() > 60


def test_crops(client, one_face):
    crop = one_face[60:190, 70:200]
    answer = client.post("/v1/crops", files={"files": ("crop.png", encode_image(crop, ".png"))})
    [face] = answer.json()["photos"][0]["faces"]
    assert face["box"] == [0, 0, 130, 130]
    known = mien.load().classify(crop[None])[0]
    np.testing.assert_allclose(list(face["probabilities"].values()), known, rtol=1e-5)
    small = client.post("/v1/crops", files={"files": ("s.png", encode_image(crop[:30, :30], ".png"))})
    assert is_problem(small, 422, "unreadable")


def test_many_clients_get_their_own_answers(client):
    def ask(number, side):
        files = {"files": (f"{number}", jpeg(scene((40, 20, side))))}
        url = f"{client.base_url}/v1/photos"
        return httpx.post(url, files=files, timeout=30, trust_env=False, verify=PLAIN).json()["photos"]

    sides = [100, 120, 140, 160, 180, 200] * 3
    with ThreadPoolExecutor(len(sides)) as pool:
        answers = list(pool.map(ask, range(len(sides)), sides))
    for number, ([photo], side) in enumerate(zip(answers, sides, strict=True)):
        assert photo["name"] == str(number)
        assert abs(photo["faces"][0]["box"][3] - 0.67 * side) < 0.2 * side


def test_about(client):
    about = client.get("/v1/about").json()
    assert (about["auth"], about["keep"], about["forget_after"]) == (False, False, 3600)
    [model] = client.get("/v1/models").json()["models"]
    assert model["name"] == mien.load().classifier.card.name
    assert model["labels"] == list(mien.EMOTIONS)
    assert {"accurate", "balanced"} <= set(model["policies"])
    assert client.get("/healthz").json() == {"status": "ok", "version": mien.__version__}
    assert client.get("/v1/openapi.json").json()["info"]["title"] == "Mien"


def test_figures(client, one_face):
    client.post("/v1/photos", files={"files": jpeg(one_face)})
    answer = client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples = [sample for family in text_string_to_metric_families(answer.text) for sample in family.samples]
    figures = {(sample.name, *sorted(sample.labels.values())): sample.value for sample in samples}
    assert figures["mien_photos_total", "read"] >= 1
    assert figures["mien_requests_total", "/v1/photos", "200", "POST"] >= 1
    assert figures["mien_photos_waiting",] == 0
    assert figures["mien_request_seconds_bucket", "+Inf", "/v1/photos"] >= 1


def test_the_page_has_its_policy(client):
    answer = client.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    for path in ("/assets/../app.py", "/assets/%2e%2e/app.py", "/assets/..%2fapp.py"):
        assert client.get(path).status_code in {404, 405}


def test_unknown_paths_and_methods_are_problems(client):
    assert is_problem(client.get("/v1/other"), 404, "not-found")
    assert is_problem(client.put("/v1/photos"), 405, "method-not-allowed")
    assert is_problem(client.post("/v1/photos"), 400, "bad-request")


def test_another_name_is_refused(client):
    """DNS rebinding: a page of evil.example whose name was pointed at 127.0.0.1."""
    for host in ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", "192.168.1.5"):
        assert is_problem(client.get("/healthz", headers={"Host": host}), 421, "wrong-host")
    for host in ("localhost", "localhost:1234", "[::1]:80", "127.0.0.1"):
        assert client.get("/healthz", headers={"Host": host}).status_code == 200


def test_another_page_is_refused(client, one_face):
    files = {"files": jpeg(one_face)}
    for origin in ("http://evil.example", "null", "http://localhost:1"):
        answer = client.post("/v1/photos", files=files, headers={"Origin": origin})
        assert is_problem(answer, 403, "forbidden-origin")
        assert "access-control-allow-origin" not in answer.headers
    own = str(client.base_url).rstrip("/")
    assert client.post("/v1/photos", files=files, headers={"Origin": own}).status_code == 200


def test_a_token_is_wanted():
    with running(token=SECRET) as client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/v1/about").json()["auth"] is True
        for path in ("/v1/models", "/v1/jobs", "/metrics", "/v1/other"):
            answer = client.get(path)
            assert is_problem(answer, 401, "unauthorized")
            assert answer.headers["www-authenticate"] == "Bearer"
        for wrong in ("Bearer other", "Bearer", "Basic a-long-secret", "Bearer a-long-secret2"):
            assert client.get("/v1/models", headers={"Authorization": wrong}).status_code == 401
        right = {"Authorization": "Bearer a-long-secret"}
        assert client.get("/v1/models", headers=right).status_code == 200
        assert client.post("/v1/session").status_code == 401
        session = client.post("/v1/session", headers=right)
        assert session.status_code == 204
        assert "httponly" in session.headers["set-cookie"].lower()
        assert "a-long-secret" not in session.headers["set-cookie"]
        assert client.get("/v1/models").status_code == 200  # by the cookie
        client.cookies.clear()
        client.cookies.set("mien_session", "other")
        assert client.get("/v1/models").status_code == 401


def test_an_open_address_wants_a_token():
    for host in ("0.0.0.0", "::", "192.168.1.2", "example.org"):  # noqa: S104 - it is refused
        with pytest.raises(ConfigError, match="--token"):
            ServerSettings(host=host)
        assert ServerSettings(host=host, token=SECRET).guarded
        assert not ServerSettings(host=host, auth=False).guarded
    with pytest.raises(ConfigError, match="at least 8"):
        ServerSettings(token=SECRET[:5])


def test_too_many_requests_with_photos(one_face):
    with running(limits=Limits(requests=0)) as client:
        answer = client.post("/v1/photos", files={"files": jpeg(one_face)})
        assert is_problem(answer, 503, "busy")
        assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    ("accept", "kind"),
    [("text/csv", "text/csv"), ("application/json, text/csv;q=0.5", "application/json"),
     ("application/json;q=0.2, text/csv;q=0.5", "text/csv"), ("*/*", "application/json"),
     ("text/html, text/csv;q=x", "application/json"), ("text/csv;q=0", "application/json")],
)  # fmt: skip
def test_the_form_is_what_is_liked_best(client, one_face, accept, kind):
    answer = client.post("/v1/photos", content=jpeg(one_face), headers={"Accept": accept})
    assert answer.headers["content-type"].partition(";")[0] == kind


def test_parquet_without_pyarrow_says_what_is_missing(client, one_face, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "mien.server.photos.importlib.util.find_spec", lambda name: None if name == "pyarrow" else find(name)
    )
    answer = client.post("/v1/photos", content=jpeg(one_face), headers={"Accept": PARQUET})
    assert is_problem(answer, 406, "not-acceptable")
    assert "pyarrow" in answer.json()["detail"]


def test_a_port_that_is_taken(client, mien):
    ran = mien("serve", "--port", str(client.base_url.port))
    assert ran.code == 2
    assert f"--port {client.base_url.port}" in ran.err
    assert "serving" not in ran.err


def test_why_it_ends_is_said():
    said = []
    with opened(ServerSettings(port=0, workers=1), said.append) as (server, bound):
        assert not said  # it does not answer yet
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        while not said:
            time.sleep(0.01)
        assert f"http://127.0.0.1:{bound.getsockname()[1]}" in said[0]
        server.handle_exit(signal.SIGTERM, None)
        thread.join()
    assert "SIGTERM" in said[1]
