"""Clips on a real server: jobs, their events and results, a server that is killed while it reads one."""

import csv
import io
import json
import os
import shutil
import signal
import socket
import sqlite3
import threading
import time
from fractions import Fraction

import av
import numpy as np
import pytest

import mien
from conftest import scene, write_clip
from mien.errors import ConfigError
from mien.server.settings import Limits
from test_server import ServerProcess, is_problem, running


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
    """120 small frames of a face that moves: some seconds of work."""
    face = scene((15, 15, 130), size=(160, 160))
    pictures = [np.roll(face, i % 12, axis=1) for i in range(120)]
    return write_clip(tmp_path_factory.mktemp("long") / "long.mp4", pictures)


NAME = "<script>alert(1)<script>.mp4"


@pytest.fixture(scope="module")
def done(client, drawn_clip):
    """A finished job: the answer that it began with, and the events that told of it."""
    with drawn_clip.open("rb") as file:
        answer = client.post(
            "/v1/clips", files={"file": (NAME, file, "video/mp4")}, data={"annotate": "true"}
        )
    assert answer.status_code == 202, answer.text
    return answer, list(events(client, answer.json()["id"]))


def test_a_clip_gives_what_the_analyzer_gives(client, done, drawn_clip):
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
    assert {"rows.json", "rows.csv", "rows.parquet", "events.json", "page.html", "annotated.mp4"} <= set(
        body["results"]
    )
    rows = client.get(body["results"]["rows.json"]).json()["rows"]
    known = list(mien.load().video(drawn_clip))
    assert [row["emotion"] for row in rows] == [f.faces[0].emotion if f.faces else None for f in known]
    np.testing.assert_allclose(
        [row["happiness"] for row in rows[:10]], [f.faces[0].probabilities[1] for f in known[:10]], rtol=1e-5
    )
    assert {row["source"] for row in rows} == {NAME}


def test_every_result_can_be_had(client, done):
    body = done[1][-1][1]
    job, urls = body["id"], body["results"]
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
    page = client.get(urls["page.html"]).text
    assert "alert(1)" in page
    assert "<script>alert" not in page  # a name is no script
    for other in ("clip", "../jobs.sqlite", "..%2f..%2fjobs.sqlite", "rows.xlsx", "journal"):
        assert client.get(f"/v1/jobs/{job}/results/{other}").status_code == 404
    listed = client.get("/v1/jobs").json()["jobs"]
    assert listed[0]["id"] == job
    assert [one["created"] for one in listed] == sorted((one["created"] for one in listed), reverse=True)


def test_a_result_that_somebody_removed(client, done):
    body = done[1][-1][1]
    file = client.service.disk.jobs / body["id"] / "rows.csv"
    file.rename(file.with_name("away"))
    assert is_problem(client.get(body["results"]["rows.csv"]), 404, "not-found")
    file.with_name("away").rename(file)


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
    job = send(client, long_clip).json()["id"]
    timer = threading.Timer(0.7, client.service.jobs.remove, [job])
    timer.start()
    kind, body = list(events(client, job))[-1]
    assert (kind, body["state"]) == ("failed", "cancelled")


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


def test_the_queue_has_an_end(drawn_clip, long_clip):
    with running(limits=Limits(queue=1, jobs=1)) as client:
        first = send(client, long_clip).json()["id"]
        begun(client, first)
        assert send(client, drawn_clip).status_code == 202
        answer = send(client, drawn_clip)
        assert is_problem(answer, 503, "busy")
        assert answer.headers["retry-after"]


def test_limits_of_a_clip(long_clip, two_faces, tmp_path):
    wide = write_clip(tmp_path / "wide.mp4", [np.zeros((300, 400, 3), np.uint8)] * 2)
    two = write_clip(tmp_path / "two.mp4", [two_faces] * 12)
    with running(limits=Limits(clip_seconds=1.5, pixels=100_000, clip_frames=5, faces=1)) as client:
        for path, what in ((long_clip, "1.5 seconds"), (wide, "400 x 300")):
            answer = send(client, path)
            assert is_problem(answer, 413, "too-large")
            assert what in answer.json()["detail"]
        body = ended(client, send(client, two).json()["id"])
        assert body["state"] == "done"
        assert body["faces"] == body["frames"]  # one of the two of each frame
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


def test_a_killed_server_goes_on_with_its_job(long_clip, tmp_path):
    server = ServerProcess("--keep", tmp_path)
    job = send(server.client, long_clip).json()["id"]
    waited(lambda: server.client.get(f"/v1/jobs/{job}").json()["frames"] >= 60)
    server.end(signal.SIGKILL)
    server = ServerProcess("--keep", tmp_path)
    body = ended(server.client, job)
    rows = server.client.get(body["results"]["rows.json"]).json()["rows"]
    assert body["state"] == "done"
    assert "went on after" in body["notes"][0]
    assert len(rows) == 120
    assert sorted(path.name for path in (tmp_path / "jobs" / job).iterdir()) == sorted(body["results"])
    assert server.end(signal.SIGINT) == 0
    assert (tmp_path / "jobs" / job / "rows.csv").is_file()  # kept


def test_a_job_whose_clip_is_gone_says_so(drawn_clip, tmp_path):
    with running(keep=tmp_path) as client:
        job = send(client, drawn_clip).json()["id"]
    with sqlite3.connect(tmp_path / "jobs.sqlite") as store:
        store.execute("UPDATE jobs SET state = 'running'")
    store.close()
    (tmp_path / "jobs" / job / "clip").unlink()
    (tmp_path / "jobs" / "0123").mkdir()  # of an upload that was cut off by a kill
    with running(keep=tmp_path) as client:
        body = client.get(f"/v1/jobs/{job}").json()
        assert body["state"] == "failed"
        assert "send it again" in body["error"]["detail"]
        assert not (tmp_path / "jobs" / "0123").exists()


def test_nothing_stays_of_a_server_that_ends_or_is_killed(drawn_clip, tmp_path):
    place = {"TMPDIR": str(tmp_path)}
    server = ServerProcess(**place)
    send(server.client, drawn_clip)
    assert list(tmp_path.glob("mien-serve-*"))
    server.end(signal.SIGKILL)
    assert list(tmp_path.glob("mien-serve-*"))
    server = ServerProcess(**place)  # clears up what the killed one left
    assert len(list(tmp_path.glob("mien-serve-*"))) == 1
    send(server.client, drawn_clip)
    server.end(signal.SIGTERM)
    assert not list(tmp_path.glob("mien*"))


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no such signal")
def test_a_terminal_that_is_closed_ends_it_with_a_word(tmp_path):
    server = ServerProcess(TMPDIR=str(tmp_path))
    assert list(tmp_path.glob("mien-serve-*"))
    assert server.end(signal.SIGHUP) == 0
    assert "SIGHUP" in server.said[-1]
    assert not list(tmp_path.glob("mien*"))


def test_a_server_that_ends_by_itself_is_no_try(long_clip, tmp_path):
    with running(keep=tmp_path) as client:
        job = send(client, long_clip).json()["id"]
        waited(lambda: client.service.jobs._processes)
    with sqlite3.connect(tmp_path / "jobs.sqlite") as store:
        assert store.execute("SELECT id, state, tries FROM jobs").fetchall() == [(job, "queued", 0)]
    store.close()
    assert (tmp_path / "jobs.sqlite").stat().st_mode & 0o077 == 0


def test_a_store_of_another_version_is_left_alone(tmp_path):
    with sqlite3.connect(tmp_path / "jobs.sqlite") as store:
        store.execute("CREATE TABLE jobs (id TEXT)")
    store.close()
    with pytest.raises(ConfigError, match="of this version"), running(keep=tmp_path):
        pass


def test_a_removed_job_is_gone_and_counted_off_once(client, drawn_clip):
    before = client.service.disk.taken
    job = send(client, drawn_clip).json()["id"]
    ended(client, job)
    assert client.service.disk.taken > before
    start = threading.Barrier(8)
    removed = []

    def remove():
        start.wait()
        removed.append(client.service.jobs.remove(job))

    threads = [threading.Thread(target=remove) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(removed) == [False] * 7 + [True]
    assert client.service.disk.taken == before
    assert not (client.service.disk.jobs / job).exists()
    for path in (f"/v1/jobs/{job}", f"/v1/jobs/{job}/events", f"/v1/jobs/{job}/results/rows.csv"):
        assert is_problem(client.get(path), 404, "not-found")
    assert is_problem(client.delete(f"/v1/jobs/{job}"), 404, "not-found")


def test_a_clip_that_fills_the_disk(client, drawn_clip, monkeypatch):
    asked = client.service.jobs._request
    monkeypatch.setattr(client.service.jobs, "_request", lambda record: asked(record) | {"max_bytes": 1500})
    job = send(client, drawn_clip).json()["id"]
    body = ended(client, job)
    assert body["state"] == "failed"
    assert body["error"]["type"].endswith("disk-full")
    assert str(client.service.disk.folder) not in body["error"]["detail"]
    assert not list((client.service.disk.jobs / job).iterdir())


def test_a_store_that_fails_for_a_moment(client, drawn_clip, monkeypatch, caplog):
    monkeypatch.setattr("mien.server.jobs._SWEEP", 0.1)
    claim = client.service.jobs.store.claim
    failing = [sqlite3.OperationalError("database or disk is full")]

    def claimed():
        if failing:
            raise failing.pop()
        return claim()

    monkeypatch.setattr(client.service.jobs.store, "claim", claimed)
    job = send(client, drawn_clip).json()["id"]
    begun(client, job)
    client.delete(f"/v1/jobs/{job}")
    assert not failing
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


def test_where_the_player_begins(client, tmp_path):
    """A clip whose first frame is at 5 s: rows and copy have the container's times, from `start` on."""
    late = tmp_path / "late.mkv"
    with av.open(str(late), "w") as container:
        stream = container.add_stream("mpeg4", rate=10, width=160, height=160, pix_fmt="yuv420p")
        stream.codec_context.time_base = Fraction(1, 10)
        for i in range(5):
            frame = av.VideoFrame.from_ndarray(scene((15, 15, 130), size=(160, 160)), format="rgb24")
            frame.pts, frame.time_base = 50 + i, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    answer = send(client, late, annotate="true")
    assert answer.json()["start"] == 5
    body = ended(client, answer.json()["id"])
    rows = client.get(body["results"]["rows.json"]).json()["rows"]
    assert body["start"] == 5
    np.testing.assert_allclose([row["time"] for row in rows], [5, 5.1, 5.2, 5.3, 5.4])
    copy = tmp_path / "annotated.mp4"
    copy.write_bytes(client.get(body["results"]["annotated.mp4"]).content)
    with av.open(str(copy)) as container:
        times = [float(frame.time) for frame in container.decode(video=0)]
    np.testing.assert_allclose(times, [row["time"] for row in rows], atol=0.001)


@pytest.mark.slow
def test_endless_clips(client, tmp_path, monkeypatch):
    """One that does not say how long it is, and one that takes too long: read until there."""
    endless = tmp_path / "endless.h264"
    with av.open(str(endless), "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=25, width=160, height=160, pix_fmt="yuv420p")
        for _ in range(100):  # 4 s
            frame = av.VideoFrame.from_ndarray(scene((15, 15, 130), size=(160, 160)), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    asked = client.service.jobs._request
    for limit, most, note in (("max_seconds", 1, "at most 1 seconds"), ("max_work", 0, "seconds of work")):
        monkeypatch.setattr(
            client.service.jobs, "_request", lambda record, change={limit: most}: asked(record) | change
        )
        body = ended(client, send(client, endless).json()["id"])
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
        got = 0
        while piece := connection.recv(1_000_000):
            got += len(piece)
        assert got < 30_000_000


def test_lists_of_other_files_are_no_clips(client, drawn_clip, tmp_path):
    """What FFmpeg would open further files for."""
    for text in (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{drawn_clip}\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile {drawn_clip}\n",
    ):
        (tmp_path / "list.mp4").write_text(text)
        assert is_problem(send(client, tmp_path / "list.mp4"), 422, "unreadable")
