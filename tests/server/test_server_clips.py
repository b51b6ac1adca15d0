"""Clips on a real server: jobs, their events and results, a server that is killed while it reads one."""

import csv
import io
import json
import os
import shutil
import signal
import socket
import sqlite3
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import chain, repeat
from unittest.mock import DEFAULT, Mock

import av
import httpx
import numpy as np
import pytest

import mien
from makers import scene, write_clip
from mien.errors import ConfigError
from mien.server.settings import Limits
from test_server import ServerProcess, is_problem, running


@pytest.fixture(scope="module")
def client():
    with running() as client:
        yield client


def send(client, path, name=None, **fields):
    with path.open("rb") as file:
        return client.post("/v1/clips", files={"file": (name or path.name, file, "video/mp4")}, data=fields)


def read(client, path, **fields):
    """The job of a clip once it has ended."""
    return ended(client, send(client, path, **fields).json()["id"])


def rows_of(client, body):
    return client.get(body["results"]["rows.json"]).json()["rows"]


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
            if not block.startswith(":"):  # a comment, which keeps the stream open
                fields = dict(line.split(": ", 1) for line in block.splitlines())
                yield fields["event"], json.loads(fields["data"])


SMALL = scene((15, 15, 130), size=(160, 160))


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory):
    """240 small frames of a face that moves: some seconds of work."""
    pictures = [np.roll(SMALL, i % 12, axis=1) for i in range(240)]
    return write_clip(tmp_path_factory.mktemp("long") / "long.mp4", pictures)


@pytest.fixture(scope="module")
def short_clip(tmp_path_factory):
    """Two small frames, for tests of what becomes of a job."""
    return write_clip(tmp_path_factory.mktemp("short") / "short.mp4", [SMALL] * 2)


NAME = "<script>alert(1)<script>.mp4"


@pytest.fixture(scope="module")
def late_clip(tmp_path_factory):
    """12 frames from 5 s on: a face moves right; the last two are empty."""
    pictures = [scene((20 + 8 * i, 40, 160)) for i in range(10)] + [scene()] * 2
    return write_clip(tmp_path_factory.mktemp("late") / "late.mkv", pictures, start=50)


@pytest.fixture(scope="module")
def done(client, late_clip):
    """A finished job: the answer that it began with, and the events that told of it."""
    answer = send(client, late_clip, name=NAME, annotate="true")
    assert answer.status_code == 202, answer.text
    return answer, list(events(client, answer.json()["id"]))


def test_a_clip_gives_what_the_analyzer_gives_at_its_own_times(client, done, late_clip):
    answer, told = done
    job = answer.json()["id"]
    assert answer.headers["location"] == f"/v1/jobs/{job}"
    assert answer.json()["state"] == "queued"
    assert told[-1][0] == "done"
    assert {kind for kind, _ in told[:-1]} <= {"progress"}
    body = told[-1][1]
    assert body == client.get(f"/v1/jobs/{job}").json()
    assert (body["name"], body["progress"], body["frames"], body["faces"]) == (NAME, 1, 12, 10)
    assert body["created"] < body["finished"]
    wanted = {"rows.json", "rows.csv", "rows.parquet", "events.json", "page.html", "annotated.mp4"}
    assert wanted <= set(body["results"])
    rows = rows_of(client, body)
    known = [frame.faces[0] if frame.faces else None for frame in mien.load().video(late_clip)]
    assert [row["emotion"] for row in rows] == [face and face.emotion for face in known]
    happiness = [face.probabilities[1] for face in known[:10]]
    np.testing.assert_allclose([row["happiness"] for row in rows[:10]], happiness, rtol=1e-5)
    assert {row["source"] for row in rows} == {NAME}
    # rows and copy have the container's times, from `start` on
    assert body["start"] == 5
    times = [5 + i / 10 for i in range(12)]
    np.testing.assert_allclose([row["time"] for row in rows], times)
    with av.open(io.BytesIO(client.get(body["results"]["annotated.mp4"]).content)) as container:
        copied = [float(frame.time) for frame in container.decode(video=0)]
    np.testing.assert_allclose(copied, times, atol=0.001)


def test_every_result_can_be_had(client, done):
    body = done[1][-1][1]
    job, urls = body["id"], body["results"]
    for name, url in urls.items():
        answer = client.get(url)
        assert answer.status_code == 200, name
        assert str(client.service.disk.folder) not in answer.text, name  # a secret
        assert "sandbox" in answer.headers["content-security-policy"]
    assert len(list(csv.DictReader(io.StringIO(client.get(urls["rows.csv"]).text)))) == 12
    part = client.get(urls["annotated.mp4"], headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, b"ftyp")
    page = client.get(urls["page.html"]).text
    assert "alert(1)" in page
    assert "<script>alert" not in page  # a name is no script
    for other in ("clip", "../jobs.sqlite", "..%2f..%2fjobs.sqlite", "rows.xlsx", "journal"):
        assert client.get(f"/v1/jobs/{job}/results/{other}").status_code == 404
    (client.service.disk.jobs / job / "events.json").unlink()  # somebody removed it
    assert is_problem(client.get(urls["events.json"]), 404, "not-found")
    listed = client.get("/v1/jobs").json()["jobs"]
    assert listed[0]["id"] == job
    assert listed == sorted(listed, key=lambda one: -one["created"])


def test_how_a_clip_is_read_and_that_a_removed_job_is_gone_and_counted_off_once(client, drawn_clip):
    """By fields of the form and by those of the address."""
    before = client.service.disk.taken
    with drawn_clip.open("rb") as file:
        fields = {"start": "0.2", "end": "0.9"}
        answer = client.post("/v1/clips?every=2&detect_every=2", files={"file": file}, data=fields)
    body = ended(client, answer.json()["id"])
    assert [row["frame"] for row in rows_of(client, body)] == [2, 4, 6, 8]
    assert "annotated.mp4" not in body["results"]
    job = body["id"]
    assert client.service.disk.taken > before
    with ThreadPoolExecutor(8) as pool:
        removed = list(pool.map(client.service.jobs.remove, [job] * 8))
    assert sorted(removed) == [False] * 7 + [True]
    assert client.service.disk.taken == before
    assert not (client.service.disk.jobs / job).exists()
    for path in (f"/v1/jobs/{job}", f"/v1/jobs/{job}/events", f"/v1/jobs/{job}/results/rows.csv"):
        assert is_problem(client.get(path), 404, "not-found")
    assert is_problem(client.delete(f"/v1/jobs/{job}"), 404, "not-found")


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
    (tmp_path / "clip.mp4").write_bytes(b"\x01no clip at all" * 50)
    answer = send(client, tmp_path / "clip.mp4")
    assert is_problem(answer, 422, "unreadable")
    assert str(client.service.disk.folder) not in answer.text
    assert "clip.mp4" in answer.json()["detail"]
    before = client.service.disk.taken
    answer = client.post("/v1/clips", files={"file": ("a.html", b"<html>", "text/html")})
    assert is_problem(answer, 415, "unsupported")
    assert client.service.disk.taken == before


def test_a_job_that_is_read_can_be_stopped(client, long_clip):
    """By a client, while another one follows its events."""
    job = send(client, long_clip).json()["id"]
    begun(client, job)
    timer = threading.Timer(0.1, lambda: httpx.delete(f"{client.base_url}/v1/jobs/{job}", trust_env=False))
    timer.start()
    kind, body = list(events(client, job))[-1]
    assert (kind, body["state"]) == ("failed", "cancelled")
    waited(lambda: not client.service.jobs._processes)
    waited(lambda: not (client.service.disk.jobs / job).exists())


def test_a_process_that_dies_fails_its_job(client, long_clip):
    job = send(client, long_clip).json()["id"]
    jobs = client.service.jobs
    waited(lambda: job in jobs._processes)
    os.kill(jobs._processes[job].process.pid, signal.SIGKILL)
    body = ended(client, job)
    assert body["state"] == "failed"
    assert "signal 9" in body["error"]["detail"]
    assert client.get("/healthz").status_code == 200
    assert not list((client.service.disk.jobs / job).iterdir())


def run_sql(folder, statement):
    """Run a statement on the store of a server that does not run."""
    with closing(sqlite3.connect(folder / "jobs.sqlite", isolation_level=None)) as store:
        return store.execute(statement).fetchall()


def test_the_queue_has_an_end_and_what_waits_or_is_gone_after_a_restart_is_told(
    short_clip, long_clip, tmp_path
):
    with running(keep=tmp_path, limits=Limits(queue=1, jobs=1)) as client:
        first = send(client, long_clip).json()["id"]
        waited(lambda: client.service.jobs._processes)
        second = send(client, short_clip).json()["id"]
        answer = send(client, short_clip)
        assert is_problem(answer, 503, "busy")
        assert answer.headers["retry-after"]
    # a server that ends by itself is no try
    kept = [json.loads(text) for (text,) in run_sql(tmp_path, "SELECT record FROM jobs ORDER BY rowid")]
    assert [(job["id"], job["state"], job["tries"]) for job in kept] == [
        (first, "queued", 0), (second, "queued", 0)]  # fmt: skip
    assert (tmp_path / "jobs.sqlite").stat().st_mode & 0o077 == 0
    run_sql(tmp_path, "UPDATE jobs SET record = json_set(record, '$.state', 'running') WHERE rowid = 1")
    (tmp_path / "jobs" / first / "clip").unlink()
    (tmp_path / "jobs" / "0123").mkdir()  # of an upload that was cut off by a kill
    with running(keep=tmp_path) as client:
        body = client.get(f"/v1/jobs/{first}").json()
        assert body["state"] == "failed"
        assert "send it again" in body["error"]["detail"]
        assert not (tmp_path / "jobs" / "0123").exists()


def test_clips_beyond_the_limits_are_refused(long_clip, tmp_path):
    wide = write_clip(tmp_path / "wide.mp4", [np.zeros((300, 400, 3), np.uint8)] * 2)
    with running(limits=Limits(clip_seconds=1.5, pixels=100_000)) as client:
        for path, what in ((long_clip, "1.5 seconds"), (wide, "400 x 300")):
            answer = send(client, path)
            assert is_problem(answer, 413, "too-large")
            assert what in answer.json()["detail"]


@pytest.mark.slow
def test_clips_are_read_up_to_the_limits(two_faces, tmp_path):
    two = write_clip(tmp_path / "two.mp4", [two_faces] * 12)
    with running(limits=Limits(clip_frames=5, faces=1)) as client:
        body = read(client, two)
        assert body["state"] == "done"
        assert body["faces"] == body["frames"]  # one of the two of each frame
        assert "at most 5 frames" in body["notes"][0]
        assert len(rows_of(client, body)) >= 5


def test_results_are_forgotten_where_nothing_is_kept(short_clip, monkeypatch):
    monkeypatch.setattr("mien.server.jobs._SWEEP", 0.1)
    with running(forget_after=0.5) as client:
        folder = client.service.disk.folder
        job = send(client, short_clip).json()["id"]
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


#: Of the long clip: what is left after the first 60 frames takes longer than to end a server.
PART = {"end": "10", "detect_every": "3"}


def goes_on(client, job, tmp_path):
    body = ended(client, job)
    assert body["state"] == "done"
    assert "resumed after" in body["notes"][0]
    assert len(rows_of(client, body)) == 100
    assert sorted(path.name for path in (tmp_path / "jobs" / job).iterdir()) == sorted(body["results"])


def test_a_job_that_was_being_read_goes_on(long_clip, tmp_path):
    """As a killed server leaves it."""
    with running(keep=tmp_path) as client:
        job = send(client, long_clip, **PART).json()["id"]
        waited(lambda: client.get(f"/v1/jobs/{job}").json()["frames"] >= 60)
    run_sql(tmp_path, "UPDATE jobs SET record = json_set(record, '$.state', 'running', '$.tries', 1)")
    with running(keep=tmp_path) as client:
        goes_on(client, job, tmp_path)


@pytest.mark.slow  # servers start, and processes of theirs
def test_a_killed_server_goes_on_with_its_job(long_clip, tmp_path):
    server = ServerProcess("--keep", tmp_path)
    job = send(server.client, long_clip, **PART).json()["id"]
    waited(lambda: server.client.get(f"/v1/jobs/{job}").json()["frames"] >= 60)
    server.end(signal.SIGKILL)
    server = ServerProcess("--keep", tmp_path)
    goes_on(server.client, job, tmp_path)
    assert server.end(signal.SIGINT) == 0
    assert (tmp_path / "jobs" / job / "rows.csv").is_file()  # kept


SIGHUP = getattr(signal, "SIGHUP", signal.SIGTERM)  # of a terminal that is closed


@pytest.mark.parametrize("how", [signal.SIGTERM, pytest.param(SIGHUP, marks=pytest.mark.slow)])
def test_nothing_stays_of_a_server_that_ends_or_is_killed(short_clip, tmp_path, how):
    def folders():
        return len(list(tmp_path.glob("mien*")))

    with running() as client:  # what a killed server leaves
        shutil.copytree(client.service.disk.folder, tmp_path / client.service.disk.folder.name)
    assert folders() == 1
    server = ServerProcess(TMPDIR=str(tmp_path))  # it clears up
    assert folders() == 1
    assert send(server.client, short_clip).status_code == 202
    assert server.end(how) in {0, -how}
    assert how.name in server.said[-1]
    assert folders() == 0


def test_a_store_of_another_version_is_left_alone(tmp_path):
    run_sql(tmp_path, "CREATE TABLE jobs (id TEXT)")
    with pytest.raises(ConfigError, match="of this version"), running(keep=tmp_path):
        pass


@pytest.mark.parametrize("limited", ["by the server", "by its surroundings"])
def test_a_clip_that_fills_the_disk(client, short_clip, monkeypatch, limited):
    asked = client.service.jobs._request
    if limited == "by the server":
        monkeypatch.setattr(
            client.service.jobs, "_request", lambda record: asked(record) | {"max_bytes": 1500}
        )
    else:  # `ulimit -f`, or systemd's LimitFSIZE
        limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))"
        code = f"{limit}; from mien.server.worker import main; main()"
        monkeypatch.setattr("mien.server.jobs.READ", (sys.executable, "-P", "-c", code))
    body = read(client, short_clip)
    assert body["state"] == "failed"
    assert body["error"]["type"].endswith("disk-full")
    assert str(client.service.disk.folder) not in body["error"]["detail"]
    assert not list((client.service.disk.jobs / body["id"]).iterdir())


@pytest.mark.slow
def test_a_store_that_fails_for_a_moment(client, short_clip, monkeypatch, caplog):
    monkeypatch.setattr("mien.server.jobs._SWEEP", 0.1)
    store = client.service.jobs.store
    full = sqlite3.OperationalError("database or disk is full")
    monkeypatch.setattr(store, "claim", Mock(wraps=store.claim, side_effect=chain([full], repeat(DEFAULT))))
    assert read(client, short_clip)["state"] == "done"
    assert "trying again" in caplog.text


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [("_PROBE_SECONDS", 0.01, "within"), ("PROBE", (shutil.which("false"),), "died")],
    ids=["holds up", "kills"],
)
def test_a_clip_that_breaks_what_opens_it(client, drawn_clip, monkeypatch, name, value, word):
    monkeypatch.setattr(f"mien.server.clips.{name}", value)
    answer = send(client, drawn_clip)
    assert is_problem(answer, 422, "unreadable")
    assert word in answer.json()["detail"]
    assert not list(client.service.disk.jobs.glob("*/clip"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "most", "note"), [("max_seconds", 1, "1 seconds"), ("max_work", 0, "of work")]
)
def test_endless_clips(client, tmp_path, monkeypatch, limit, most, note):
    """One that does not say how long it is, and one that takes too long: read until there."""
    endless = write_clip(tmp_path / "endless.m4v", [SMALL] * 100, fps=25, format="m4v")  # 4 s
    asked = client.service.jobs._request
    monkeypatch.setattr(client.service.jobs, "_request", lambda record: asked(record) | {limit: most})
    body = read(client, endless)
    assert body["state"] == "done"
    assert note in body["notes"][0]
    assert body["frames"] < 60


def test_a_reader_that_stalls_is_cut_off(client, done, monkeypatch):
    monkeypatch.setattr("mien.server.listen._STUCK", 0.3)
    job = done[1][-1][1]["id"]
    (client.service.disk.jobs / job / "events.csv").write_bytes(bytes(30_000_000))
    with socket.create_connection((client.base_url.host, client.base_url.port)) as connection:
        request = f"GET /v1/jobs/{job}/results/events.csv HTTP/1.1\r\nHost: localhost\r\n\r\n"
        connection.sendall(request.encode())
        here = connection.getsockname()[1]

        def is_held():
            return any(one.client and one.client[1] == here for one in client.server.server_state.connections)

        waited(is_held)
        waited(lambda: not is_held(), 20)
        assert sum(map(len, iter(lambda: connection.recv(1_000_000), b""))) < 30_000_000


def test_lists_of_other_files_are_no_clips(client, drawn_clip, tmp_path):
    """What FFmpeg would open further files for."""
    for text in (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{drawn_clip}\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile {drawn_clip}\n",
    ):
        (tmp_path / "list.mp4").write_text(text)
        answer = send(client, tmp_path / "list.mp4")
        assert is_problem(answer, 415, "unsupported")
        assert "the file is a playlist" in answer.json()["detail"]
