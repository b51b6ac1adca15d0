"""The peer `fer` behind HTTP, as a user would write it; for `load.py --peer`, run by fer's own interpreter.

`fer` has no HTTP API. A lock stands around it since its TFLite interpreter may not be called from two threads
at one time; FastAPI's own threads read the requests. In that environment: peer_fer.txt, fastapi, uvicorn.
"""

import socket
import sys
import threading
import warnings

import cv2
import numpy as np
import uvicorn
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool

warnings.simplefilter("ignore")  # TensorFlow announces the end of tf.lite

from fer.fer import FER  # noqa: E402 - it warns as it is imported

app = FastAPI()
detector = FER()
alone = threading.Lock()


def read(data: bytes) -> list[dict]:
    """Faces with box and emotions."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    with alone:
        faces = detector.detect_emotions(pixels)
    return [
        {"box": [int(v) for v in face["box"]], "emotions": {k: float(v) for k, v in face["emotions"].items()}}
        for face in faces
    ]


@app.post("/v1/photos")
async def photos(request: Request) -> dict:
    """One photo as the body."""
    return {"faces": await run_in_threadpool(read, await request.body())}


if __name__ == "__main__":
    bound = socket.create_server(("127.0.0.1", 0))
    sys.stderr.write(f"http://127.0.0.1:{bound.getsockname()[1]}\n")
    sys.stderr.flush()
    uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[bound])
