"""`/v1/live`: a camera's frames over a WebSocket, the newest one first in turn, with tracks and smoothing."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import Any, Final

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from mien.image import read_image
from mien.server.answer import live_answer
from mien.server.problem import problem_of
from mien.server.service import Service, service_of
from mien.video.frames import VideoFrame
from mien.video.smooth import Causal

router = APIRouter()
_LOG: Final = logging.getLogger(__name__)

TEXT, LARGE, CROWDED, ENDING, BROKEN = 1003, 1009, 1013, 1001, 1011
_IDLE: Final = 60.0  # seconds without a frame, or with an answer that is not taken: the camera has gone


class Camera:
    """What is known of one camera from frame to frame."""

    def __init__(self, service: Service) -> None:
        self._pixels = service.settings.limits.live_pixels
        analyzer = replace(service.analyzer, max_faces=service.settings.limits.faces)
        self._follower = analyzer.follower(threads=1)
        self._smoother = Causal()

    def read(self, data: bytes, index: int, moment: float) -> dict[str, Any]:
        """What one frame shows.

        Raises:
            ImageError: it cannot be read.
        """
        pixels = read_image(data, max_pixels=self._pixels).pixels
        batch = next(self._follower.one_by_one([VideoFrame(pixels, index, moment)], "live"))
        frame, _ = batch.frames[0]
        return live_answer(pixels, next(iter(self._smoother.push(frame))))


class Newest:
    """The newest frame that came and was not taken."""

    def __init__(self) -> None:
        self._frame: tuple[bytes, int, float] | None = None
        self._news = asyncio.Event()
        self._count = 0
        self._start = time.monotonic()

    def put(self, data: bytes) -> None:
        """A frame came: it takes the place of one that waits."""
        self._frame = data, self._count, time.monotonic() - self._start
        self._count += 1
        self._news.set()

    async def take(self) -> tuple[bytes, int, float]:
        """The newest frame, its index, and when it came in seconds."""
        await self._news.wait()
        self._news.clear()
        frame, self._frame = self._frame, None
        return frame if frame is not None else await self.take()


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
    newest = Newest()
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
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _receive(socket: WebSocket, newest: Newest, most: int) -> int | None:
    """Take frames until the client goes (None) or does what it should not (the code to close with)."""
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
        newest.put(data)


async def _answer(socket: WebSocket, service: Service, newest: Newest) -> int | None:
    """Read the newest frame, answer, and again, until the client goes (None) or takes no answer (a code)."""
    camera = Camera(service)
    while True:
        data, index, moment = await newest.take()
        try:
            answer = await asyncio.to_thread(camera.read, data, index, moment)
            outcome = "read"
        except Exception as error:  # noqa: BLE001 - the next frame may be fine
            answer, outcome = {"index": index, "error": problem_of(error).body()}, "failed"
        service.metrics.count("mien_live_frames_total", outcome=outcome)
        try:
            async with asyncio.timeout(_IDLE):
                await socket.send_json(answer)
        except TimeoutError:
            return ENDING
        except (WebSocketDisconnect, RuntimeError):  # it has gone
            return None
