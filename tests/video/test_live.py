"""Streams from the network, the newest frame, latency: against a real server on this machine."""

import io
import socket
import threading
import time
from contextlib import contextmanager
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import av
import numpy as np
import pytest

import mien
from mien.batch.sources import find_sources
from mien.errors import VideoError
from mien.video import stream as module
from mien.video.ahead import NewestFrame
from mien.video.frames import Video, VideoFrame
from mien.video.stream import StreamReader, is_stream, shown


def transport_stream(pictures):
    """(H, W, 3) pictures as MPEG-TS, what cameras and servers send."""
    data = io.BytesIO()
    with av.open(data, "w", format="mpegts") as out:
        made = out.add_stream("mpeg2video", rate=Fraction(25))
        made.height, made.width = pictures[0].shape[:2]
        made.pix_fmt, made.gop_size, made.bit_rate = "yuv420p", 1, 4_000_000
        for pixels in pictures:
            out.mux(made.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        out.mux(made.encode())
    return data.getvalue()


@contextmanager
def server(bodies, pause=0.0):
    """An address that answers with one body after the other, in pieces, and then not at all."""
    left = list(bodies)

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            if not left:
                self.send_error(404)
                return
            body = left.pop(0)
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.end_headers()
            for i in range(0, len(body), 20_000):
                self.wfile.write(body[i : i + 20_000])
                time.sleep(pause)

        def log_message(self, *_):
            pass

    answering = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=answering.serve_forever, daemon=True).start()
    try:
        yield f"http://ann:secret@127.0.0.1:{answering.server_port}/live"
    finally:
        answering.shutdown()
        answering.server_close()


@pytest.fixture(scope="module")
def body(draw_scene):
    return transport_stream([draw_scene((20 + 8 * i, 40, 160)) for i in range(10)])


def test_a_stream_that_is_cut_off_is_connected_again(body, monkeypatch):
    monkeypatch.setattr(module, "_PAUSES", (0.01,))
    with server([body, body]) as address:
        stream = StreamReader(address, patience=0.3)
        times = [seconds for seconds, _ in stream.pictures()]
        stream.close()
    assert len(times) >= 18, "ten frames each; a demuxer may keep the last one of a stream that breaks off"
    assert times == sorted(times)
    assert "connected again: 1" in stream.notes()
    assert "secret" not in str(stream.notes())


def test_faces_of_a_stream_are_read_and_the_address_loses_its_password(body, mien, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    monkeypatch.setattr(StreamReader.__init__, "__kwdefaults__", {"wait": 5.0, "patience": 0.0})
    out = tmp_path / "rows.csv"
    with server([body], pause=0.05) as address:
        ran = mien("analyze", address, "-o", out, "--annotate", tmp_path / "drawn")
    assert ran.code == 0, ran.err
    text = out.read_text()
    assert "http://127.0.0.1" in text
    assert "secret" not in text + ran.err
    assert "latency" in ran.err
    assert "skipped" in ran.err
    assert len(list((tmp_path / "drawn").iterdir())) == 1


def test_a_stream_that_does_not_answer_or_is_a_clip_is_told(drawn_clip):
    with pytest.raises(VideoError, match=r"expected a stream, rtsp://127.0.0.1:1/x cannot be opened"):
        Video("rtsp://ann:secret@127.0.0.1:1/x")
    with server([drawn_clip.read_bytes()]) as address, pytest.raises(VideoError, match="give the file"):
        Video(address)


def test_a_recording_that_is_sent_like_a_camera_is_read(drawn_clip, tmp_path):
    recording = tmp_path / "clip.avi"  # its header says how long it is, and it can be read without seeking
    with av.open(str(drawn_clip)) as clip, av.open(str(recording), "w") as out:
        made = out.add_stream_from_template(clip.streams.video[0])
        for packet in clip.demux(video=0):
            if packet.dts is not None:
                packet.stream = made
                out.mux(packet)
    with socket.create_server(("127.0.0.1", 0)) as door:

        def send():
            with door.accept()[0] as caller:
                caller.sendall(recording.read_bytes())

        sending = threading.Thread(target=send)
        sending.start()
        stream = StreamReader(f"tcp://127.0.0.1:{door.getsockname()[1]}", patience=0.0)
        assert stream._container.duration
        assert len([seconds for seconds, _ in stream.pictures()]) == 12
        stream.close()
        sending.join()


def test_what_is_a_stream():
    assert is_stream("RTSP://h/1")
    assert not is_stream("clip.mp4")
    assert not is_stream("file:///etc/passwd")
    assert shown("rtsp://a:b@h:1/x?y=1") == "rtsp://h:1/x?y=1"
    (source,) = find_sources(["rtsp://a:b@h:1/x?y=1"])
    assert (source.kind, source.shown) == ("stream", "rtsp://h:1/x?y=1")
    assert source.inside == "stream-h-1-x-y-1"


class Ticking:
    """A video that gives a frame every few milliseconds, whoever takes it."""

    live = True

    def __init__(self, frames, step):
        self.frames, self.step = frames, step

    def __iter__(self):
        for i in range(self.frames):
            time.sleep(self.step)
            yield VideoFrame(np.zeros((4, 4, 3), np.uint8), i, i * self.step)


def test_the_newest_frame_wins_when_the_reader_is_late():
    newest, seen = NewestFrame.of(Ticking(60, 0.005)), []
    for frame in newest:
        seen.append(frame.index)
        time.sleep(0.03)
    assert seen == sorted(set(seen))
    assert len(seen) + newest.passed_over == 60
    assert newest.passed_over > 20
    assert seen[-1] == 59, "the last one comes"
    assert 0.03 <= newest.latency.median < 0.3
    assert newest.latency.p95 >= newest.latency.median


def test_what_reading_a_live_video_raises_comes_through():
    class Broken(Ticking):
        def __iter__(self):
            yield from super().__iter__()
            raise VideoError("unplugged")

    newest = NewestFrame.of(Broken(1, 0.0))
    with pytest.raises(VideoError, match="unplugged"):
        list(newest)


def test_the_library_follows_a_stream(body, monkeypatch):
    monkeypatch.setattr(StreamReader.__init__, "__kwdefaults__", {"wait": 5.0, "patience": 0.0})
    with server([body], pause=0.05) as address:
        found = list(mien.load().video(address))
    assert found
    assert all(len(frame.faces) == 1 and frame.faces[0].track for frame in found)
