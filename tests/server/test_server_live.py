"""The WebSocket for live frames on a real server."""

import json
import socket
from unittest.mock import Mock

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

import mien
from makers import scene
from mien.image import encode_image
from mien.server.settings import Limits
from test_server import SECRET, jpeg, running
from test_server_clips import waited


@pytest.fixture(scope="module")
def client():
    with running() as client:
        yield client


def camera(client, **options):
    address = str(client.base_url).replace("http", "ws").rstrip("/") + "/v1/live"
    return connect(address, compression=None, max_size=None, open_timeout=30, **options)


def test_frames_give_tracked_and_smoothed_faces(client):
    with camera(client) as wire:
        answers = []
        for i in range(5):
            wire.send(jpeg(scene((20 + 6 * i, 40, 160))))
            answers.append(json.loads(wire.recv(timeout=30)))
    assert [answer["index"] for answer in answers] == [0, 1, 2, 3, 4]
    assert answers == sorted(answers, key=lambda answer: answer["time"])
    for answer in answers:
        [face] = answer["faces"]
        assert (answer["width"], answer["height"], face["track"]) == (320, 240, 1)
        assert tuple(face["smoothed"]) == mien.EMOTIONS
        assert abs(sum(face["smoothed"].values()) - 1) < 1e-4
    assert answers[-1]["faces"][0]["box"][0] > answers[0]["faces"][0]["box"][0] + 15


def test_the_newest_frame_wins(client):
    data = encode_image(scene((60, 40, 160)), ".png")
    with camera(client) as wire:
        for _ in range(60):
            wire.send(data)
        answered = []
        while not answered or answered[-1] < 59:
            answered.append(json.loads(wire.recv(timeout=30))["index"])
    assert answered == sorted(answered)
    assert answered[-1] == 59
    assert len(answered) < 60


def test_a_bad_frame_is_told_and_passed(client):
    with camera(client) as wire:
        wire.send(b"no picture")
        answer = json.loads(wire.recv(timeout=30))
        assert answer["index"] == 0
        assert answer["error"]["status"] == 415
        wire.send(jpeg(scene((60, 40, 160))))
        assert len(json.loads(wire.recv(timeout=30))["faces"]) == 1


def close_code(wire):
    """The code that the server ends the connection with."""
    with pytest.raises(ConnectionClosed) as end:
        wire.recv(timeout=30)
    return end.value.rcvd.code


def test_what_is_no_frame_ends_it(client):
    with camera(client) as wire:
        wire.send("hello")
        assert close_code(wire) == 1003
    with running(limits=Limits(live_frame=5000)) as small, camera(small) as wire:
        wire.send(bytes(20_000))
        assert close_code(wire) == 1009


def test_too_many_cameras():
    with running(limits=Limits(live=1)) as few, camera(few) as first:
        first.send(jpeg(scene()))
        first.recv(timeout=30)
        with camera(few) as second:
            assert close_code(second) == 1013


def test_another_page_or_name_gets_no_socket(client):
    with pytest.raises(InvalidStatus) as refused, camera(client, origin="http://evil.example"):
        pass
    assert refused.value.response.status_code == 403
    address = f"ws://evil.example:{client.base_url.port}/v1/live"  # as a browser has it after a rebinding
    wire = socket.create_connection(("127.0.0.1", client.base_url.port))
    with wire, pytest.raises(InvalidStatus) as refused, connect(address, sock=wire):
        pass
    assert refused.value.response.status_code == 403


def test_a_socket_wants_the_token():
    with running(token=SECRET) as client:
        with camera(client) as wire:
            assert close_code(wire) == 1008
        with camera(client, additional_headers={"Authorization": f"Bearer {SECRET}"}) as wire:
            wire.send(jpeg(scene()))
            assert json.loads(wire.recv(timeout=30))["faces"] == []


def test_a_camera_that_goes_leaves_nothing(client):
    for _ in range(3):
        with camera(client) as wire:
            wire.send(jpeg(scene()))
    waited(lambda: client.service.cameras == 0)


def test_a_camera_that_sends_nothing_is_let_go(client, monkeypatch):
    monkeypatch.setattr("mien.server.live._IDLE", 0.2)
    with camera(client) as wire:
        assert close_code(wire) == 1001


def test_what_breaks_ends_the_socket_and_not_the_server(client, monkeypatch, caplog):
    monkeypatch.setattr("mien.server.live.LiveReader.__init__", Mock(side_effect=RuntimeError("a bug")))
    with camera(client) as wire:
        assert close_code(wire) == 1011
    assert "a bug" in caplog.text
    assert client.get("/healthz").status_code == 200
