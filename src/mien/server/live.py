"""`/v1/live`: the frames of a camera over a WebSocket; the newest is read next, with tracks and smoothing."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from mien.image import read_image
from mien.server.answers import LiveErrorBody, LiveFaceBody, LiveFrameBody, problem_of
from mien.server.service import Service, service_of
from mien.video.ahead import NewestFrame
from mien.video.frames import VideoFrame
from mien.video.smooth import Causal

router = APIRouter()
_LOG: Final = logging.getLogger(__name__)

#: Close codes of the WebSocket (RFC 6455, 7.4.1).
ENDING, TEXT, LARGE, BROKEN, CROWDED = 1001, 1003, 1009, 1011, 1013
_IDLE: Final = 60.0  # seconds without a frame, or with an answer that is not taken: the camera has gone


@dataclass(frozen=True, slots=True)
class LiveMessage:
    """One frame as it came."""

    data: bytes  # a JPEG or PNG
    index: int  # of the frames that the client sent, from 0
    time: float  # seconds since the connection was opened


class LiveReader:
    """Reads the frames of one camera; faces keep their tracks from frame to frame."""

    def __init__(self, service: Service) -> None:
        self._metrics, self._pixels = service.metrics, service.settings.limits.live_pixels
        analyzer = replace(service.analyzer, max_faces=service.settings.limits.faces)
        self._follower = analyzer.follower(threads=1)
        self._smoother = Causal()

    def answer(self, message: LiveMessage) -> LiveFrameBody | LiveErrorBody:
        """What one frame shows, or why it cannot be read."""
        answer: LiveFrameBody | LiveErrorBody
        try:
            answer, outcome = self._read(message), "read"
        except Exception as error:  # noqa: BLE001 - the next frame may be fine
            answer, outcome = LiveErrorBody(index=message.index, error=problem_of(error).body()), "failed"
        self._metrics.live_frames.labels(outcome).inc()
        return answer

    def _read(self, message: LiveMessage) -> LiveFrameBody:
        pixels = read_image(message.data, max_pixels=self._pixels).pixels
        video_frame = VideoFrame(pixels, message.index, message.time)
        [(frame, _)] = next(self._follower.one_by_one([video_frame], "live")).frames
        [frame] = self._smoother.push(frame)
        faces = [LiveFaceBody.of(number, face) for number, face in enumerate(frame.faces)]
        height, width = pixels.shape[:2]
        return LiveFrameBody(index=frame.index, time=frame.time, width=width, height=height, faces=faces)


@router.websocket("/v1/live")
async def live(socket: WebSocket) -> None:
    """Frames in, faces out."""
    service = service_of(socket)
    await socket.accept()
    if service.cameras >= service.settings.limits.live:
        await socket.close(CROWDED, "too many cameras at one time")
        return
    service.cameras += 1
    try:
        await _serve(socket, service)
    finally:
        service.cameras -= 1


async def _serve(socket: WebSocket, service: Service) -> None:
    """Receive and answer at the same time, until either ends."""
    newest: NewestFrame[LiveMessage] = NewestFrame()
    tasks = [
        asyncio.create_task(_receive(socket, newest, service.settings.limits.live_frame)),
        asyncio.create_task(_answer(socket, service, newest)),
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        errors = [error for task in done if (error := task.exception())]
        for error in errors:
            _LOG.error("a bug in Mien", exc_info=error)
        code = BROKEN if errors else done.pop().result()
        if code is not None:
            await socket.close(code)
    finally:
        newest.end()  # which ends the thread that waits for a frame
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _receive(socket: WebSocket, newest: NewestFrame[LiveMessage], most: int) -> int | None:
    """Take frames until the client goes (None) or does what it should not (the code to close with)."""
    start, index = time.monotonic(), 0
    while True:
        try:
            async with asyncio.timeout(_IDLE):
                message = await socket.receive()
        except TimeoutError:
            return ENDING
        if message["type"] == "websocket.disconnect":
            return None
        data = message.get("bytes")
        if data is None:
            return TEXT
        if len(data) > most:
            return LARGE
        newest.put(LiveMessage(data, index, time.monotonic() - start))
        index += 1


async def _answer(socket: WebSocket, service: Service, newest: NewestFrame[LiveMessage]) -> int | None:
    """Answer the newest frame, again and again, until the client goes (None) or takes no answer (a code)."""
    answers = map(LiveReader(service).answer, newest)
    # a thread of its own: cameras that wait for a frame would fill the threads that all requests share
    thread = ThreadPoolExecutor(1, "mien-live")
    try:
        while True:
            answer = await asyncio.get_running_loop().run_in_executor(thread, next, answers, None)
            if answer is None:
                return None
            async with asyncio.timeout(_IDLE):
                await socket.send_text(answer.model_dump_json())
    except TimeoutError:
        return ENDING
    except (WebSocketDisconnect, RuntimeError):  # the client has gone
        return None
    finally:
        thread.shutdown(wait=False)
