"""Clips on a real server: jobs, their events and results, a server that is killed while it reads one."""

import csv
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

import httpx
import numpy as np
import pytest

import mien
from conftest import scene, write_clip
from mien.errors import ConfigError
from mien.server.settings import Limits
from test_server import is_problem, running

pytestmark = pytest.mark.slow  # a server, processes, a browser: make test-slow


@pytest.fixture(scope="module")
def client():
    with running() as client:
        yield client


def send(client, path, **fields):
    with path.open("rb") as file:
        return client.post("/v1/clips", files={"file": (path.name, file, "video/mp4")}, data=fields)


def waited(condition, seconds=90):
    """What the condition gives once it is true; a busy machine has its time."""
    until = time.monotonic() + seconds
    while not (given := condition()):
        assert time.monotonic() < until, f"not so in {seconds} s"
        time.sleep(0.03)
    return given


def ended(client, job):
    def over():
        body = client.get(f"/v1/jobs/{job}").json()
        return body if body["state"] in {"done", "failed", "cancelled"} else None

    return waited(over)


def begun(client, job):
    waited(lambda: client.get(f"/v1/jobs/{job}").json()["state"] != "queued")


def events(client, job):
    with client.stream("GET", f"/v1/jobs/{job}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for block in "".join(stream.iter_text()).strip().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines())
            yield fields["event"], json.loads(fields["data"])


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory):
    """160 small frames of a face that moves: some seconds of work."""
    face = scene((15, 15, 130), size=(160, 160))
    pictures = [np.roll(face, i % 12, axis=1) for i in range(160)]
    return write_clip(tmp_path_factory.mktemp("long") / "long.mp4", pictures)


def test_a_clip_gives_what_the_analyzer_gives(client, drawn_clip):
    answer = send(client, drawn_clip, annotate="true")
    assert answer.status_code == 202
    job = answer.json()["id"]
    assert answer.headers["location"] == f"/v1/jobs/{job}"
    assert answer.json()["state"] == "queued"
    told = list(events(client, job))
    assert told[-1][0] == "done"
    assert {kind for kind, _ in told[:-1]} <= {"progress"}
    body = told[-1][1]
    assert body == client.get(f"/v1/jobs/{job}").json()
    assert (body["name"], body["progress"], body["frames"], body["faces"]) == ("drawn.mp4", 1, 12, 10)
    assert body["created"] < body["finished"]
    assert {"rows.json", "rows.csv", "rows.parquet", "events.json", "page.html", "annotated.mp4"} <= set(
        body["results"]
    )
    rows = client.get(body["results"]["rows.json"]).json()["rows"]
    known = list(mien.load().video(drawn_clip))
    assert [row["emotion"] for row in rows] == [f.faces[0].emotion if f.faces else None for f in known]
    np.testing.assert_allclose(
        [row["happiness"] for row in rows[:10]], [f.faces[0].probabilities[1] for f in known[:10]], rtol=1e-5
    )
    assert {row["source"] for row in rows} == {"drawn.mp4"}


def test_every_result_can_be_had(client, drawn_clip):
    job = send(client, drawn_clip, annotate="true").json()["id"]
    urls = ended(client, job)["results"]
    for name, url in urls.items():
        answer = client.get(url)
        assert answer.status_code == 200, name
        assert str(client.service.disk.folder) not in answer.text, (
            name
        )  # nothing tells where the server has it
        assert "sandbox" in answer.headers["content-security-policy"]
    assert len(list(csv.DictReader(io.StringIO(client.get(urls["rows.csv"]).text)))) == 12
    part = client.get(urls["annotated.mp4"], headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, b"ftyp")
    assert "drawn.mp4" in client.get(urls["page.html"]).text
    for other in ("clip", "../jobs.sqlite", "..%2f..%2fjobs.sqlite", "rows.xlsx", "journal"):
        assert client.get(f"/v1/jobs/{job}/results/{other}").status_code == 404
    listed = client.get("/v1/jobs").json()["jobs"]
    assert listed[0]["id"] == job
    assert [one["created"] for one in listed] == sorted((one["created"] for one in listed), reverse=True)
    assert client.delete(f"/v1/jobs/{job}").status_code == 204
    assert not (client.service.disk.jobs / job).exists()
    for path in (f"/v1/jobs/{job}", f"/v1/jobs/{job}/events", urls["rows.csv"]):
        assert is_problem(client.get(path), 404, "not-found")
    assert is_problem(client.delete(f"/v1/jobs/{job}"), 404, "not-found")


def test_how_a_clip_is_read(client, drawn_clip):
    answer = send(client, drawn_clip, every="2", start="0.2", end="0.9")
    body = ended(client, answer.json()["id"])
    rows = client.get(body["results"]["rows.json"]).json()["rows"]
    assert [row["frame"] for row in rows] == [2, 4, 6, 8]
    assert "annotated.mp4" not in body["results"]
    with drawn_clip.open("rb") as file:
        answer = client.post("/v1/clips?fps=5&detect_every=2", files={"file": file})
    assert ended(client, answer.json()["id"])["frames"] == 6


@pytest.mark.parametrize(
    "fields",
    [{"every": "0"}, {"every": "x"}, {"fps": "-1"}, {"fps": "nan"}, {"start": "2", "end": "1"},
     {"detect_every": "0"}, {"every": "2", "fps": "1"}, {"annotate": "perhaps"}, {"other": "1"},
     {"end": "1e400"}, {"every": "9" * 40}],
)  # fmt: skip
def test_settings_that_make_no_sense(client, drawn_clip, fields):
    assert is_problem(send(client, drawn_clip, **fields), 422, "bad-setting")
    assert not list(client.service.disk.jobs.glob("*/clip"))


def test_what_is_no_clip(client, one_face, tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"no clip at all" * 50)
    answer = send(client, tmp_path / "clip.mp4")
    assert is_problem(answer, 422, "unreadable")
    assert str(client.service.disk.folder) not in answer.text
    assert "clip.mp4" in answer.json()["detail"]
    before = client.service.disk.taken
    answer = client.post("/v1/clips", files={"file": ("a.html", b"<html>", "text/html")})
    assert is_problem(answer, 415, "unsupported")
    assert client.service.disk.taken == before


def test_a_cut_clip_gives_what_could_be_read(client, media, tmp_path):
    whole = (media / "single_face.mp4").read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    answer = send(client, cut)
    if answer.status_code == 202:  # its index is at the front
        body = ended(client, answer.json()["id"])
        assert body["state"] == "failed" or body["notes"]
    else:
        assert is_problem(answer, 422, "unreadable")


def test_a_job_that_is_read_can_be_stopped(client, long_clip):
    job = send(client, long_clip).json()["id"]
    begun(client, job)
    assert client.delete(f"/v1/jobs/{job}").status_code == 204
    waited(lambda: not client.service.jobs._processes)
    waited(lambda: not (client.service.disk.jobs / job).exists())


def test_readers_of_events_learn_of_the_end(client, long_clip):
    import threading

    job = send(client, long_clip).json()["id"]
    timer = threading.Timer(0.7, client.service.jobs.remove, [job])
    timer.start()
    kind, body = list(events(client, job))[-1]
    assert (kind, body["state"]) == ("failed", "cancelled")


def test_a_process_that_dies_fails_its_job(client, long_clip):
    job = send(client, long_clip).json()["id"]
    jobs = client.service.jobs
    waited(lambda: job in jobs._processes)
    os.kill(jobs._processes[job].pid, signal.SIGKILL)
    body = ended(client, job)
    assert body["state"] == "failed"
    assert "signal 9" in body["error"]["detail"]
    assert client.get("/healthz").status_code == 200
    assert not list((client.service.disk.jobs / job).iterdir())


def test_the_queue_has_an_end(drawn_clip, long_clip):
    with running(limits=Limits(queue=1, jobs=1)) as client:
        first = send(client, long_clip).json()["id"]
        begun(client, first)
        assert send(client, drawn_clip).status_code == 202
        answer = send(client, drawn_clip)
        assert is_problem(answer, 503, "busy")
        assert answer.headers["retry-after"]


def test_limits_of_a_clip(drawn_clip):
    with running(limits=Limits(clip_seconds=1.0)) as client:
        assert is_problem(send(client, drawn_clip), 413, "too-large")
    with running(limits=Limits(pixels=1000)) as client:
        assert is_problem(send(client, drawn_clip), 413, "too-large")
    with running(limits=Limits(clip_frames=5)) as client:
        body = ended(client, send(client, drawn_clip).json()["id"])
        assert body["state"] == "done"
        assert "at most 5 frames" in body["notes"][0]
        assert len(client.get(body["results"]["rows.json"]).json()["rows"]) >= 5


def test_results_are_forgotten_where_nothing_is_kept(drawn_clip, monkeypatch):
    monkeypatch.setattr("mien.server.jobs._SWEEP", 0.1)
    with running(forget_after=0.5) as client:
        folder = client.service.disk.folder
        job = send(client, drawn_clip).json()["id"]
        ended(client, job)
        waited(lambda: client.get(f"/v1/jobs/{job}").status_code == 404)
        waited(lambda: not list(client.service.disk.jobs.iterdir()))
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()


def test_no_two_servers_have_one_folder(tmp_path):
    with (
        running(keep=tmp_path / "kept"),
        pytest.raises(ConfigError, match="no other server"),
        running(keep=tmp_path / "kept"),
    ):
        pass


class Killed:
    """A server in a process of its own, that can be killed."""

    def __init__(self, *options, **environment):
        code = "from mien.cli.serve import serve; import typer; typer.run(serve)"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, "--port", "0", *map(str, options)],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        address = self.process.stderr.readline().split()[2]
        self.client = httpx.Client(base_url=address, timeout=30, trust_env=False)
        waited(self.answers)

    def answers(self):
        try:
            return self.client.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def end(self, how):
        self.process.send_signal(how)
        self.client.close()
        code = self.process.wait(15)
        self.process.stderr.close()
        return code


def test_a_killed_server_goes_on_with_its_job(long_clip, tmp_path):
    server = Killed("--keep", tmp_path)
    job = send(server.client, long_clip).json()["id"]
    waited(lambda: server.client.get(f"/v1/jobs/{job}").json()["frames"] >= 60)
    server.end(signal.SIGKILL)
    server = Killed("--keep", tmp_path)
    body = ended(server.client, job)
    rows = server.client.get(body["results"]["rows.json"]).json()["rows"]
    assert body["state"] == "done"
    assert "went on after" in body["notes"][0]
    assert len(rows) == 160
    assert sorted(path.name for path in (tmp_path / "jobs" / job).iterdir()) == sorted(body["results"])
    assert server.end(signal.SIGINT) == 0
    assert (tmp_path / "jobs" / job / "rows.csv").is_file()  # kept


def test_a_job_whose_clip_is_gone_says_so(drawn_clip, tmp_path):
    with running(keep=tmp_path) as client:
        job = send(client, drawn_clip).json()["id"]
        ended(client, job)
    with sqlite3.connect(tmp_path / "jobs.sqlite") as store:
        store.execute("UPDATE jobs SET state = 'running', finished = NULL")
    store.close()
    (tmp_path / "jobs" / "0123").mkdir()  # of an upload that was cut off by a kill
    with running(keep=tmp_path) as client:
        body = client.get(f"/v1/jobs/{job}").json()
        assert body["state"] == "failed"
        assert "send it again" in body["error"]["detail"]
        assert not (tmp_path / "jobs" / "0123").exists()


def test_nothing_stays_of_a_server_that_ends_or_is_killed(drawn_clip, tmp_path):
    place = {"TMPDIR": str(tmp_path)}
    server = Killed(**place)
    send(server.client, drawn_clip)
    assert list(tmp_path.glob("mien-serve-*"))
    server.end(signal.SIGKILL)
    assert list(tmp_path.glob("mien-serve-*"))
    server = Killed(**place)  # clears up what the killed one left
    assert len(list(tmp_path.glob("mien-serve-*"))) == 1
    send(server.client, drawn_clip)
    server.end(signal.SIGTERM)
    assert not list(tmp_path.glob("mien*"))
