"""Processes of a sharded run killed at random: every input once, the bytes of an undisturbed run."""

import os
import random
import signal
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mien.image import write_image

pytestmark = [
    pytest.mark.slow,  # test_run.py kills a worker, test_journal.py a run
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc"),
]

PATIENCE = 300  # seconds without a new shard or a restart
MARK = "MIEN_FAULT_TEST"


@pytest.fixture(scope="module")
def photos(tmp_path_factory, one_face, two_faces, no_face):
    folder = tmp_path_factory.mktemp("photos")
    for i, pixels in enumerate((one_face, two_faces, no_face)):
        write_image(folder / f"{i}.png", pixels)
    (folder / "3.png").write_bytes(b"no picture")
    return folder


def many(photos, count, folder):
    """A list file of so many inputs, each of a name of its own."""
    for i in range(count):
        os.link(photos / f"{i % 4}.png", folder / f"{i:04}.png")
    return folder


class Disturbed:
    """A run whose processes are killed one after the other, and which is started again when its driver is."""

    def __init__(self, command, out, seed):
        self.command, self.out = command, out
        self.mark = uuid.uuid4().hex
        self.random = random.Random(seed)  # noqa: S311 - which process dies is no secret
        self.kills, self.starts, self.driver = [], 0, None

    def run(self, kills, shards):
        """Kill a process each time that so many shards more are there, until the run ends by itself."""
        due = [shards * i // (kills + 1) for i in range(kills)]
        seen, moved = 0, time.monotonic()
        while True:
            if self.driver is None:
                self.start()
            if (code := self.driver.poll()) is not None:
                if not due and code in (0, 1) and self.whole():
                    return
                self.driver, moved = None, time.monotonic()
                continue
            made = len(list(self.out.glob("part-*.parquet")))
            if made != seen:
                seen, moved = made, time.monotonic()
            if due and made >= due[0]:
                time.sleep(self.random.random() * 0.1)
                if self.kill():
                    due.pop(0)
            assert time.monotonic() - moved < PATIENCE, f"stands still after {self.kills}"
            time.sleep(0.005)

    def start(self):
        environment = {**os.environ, MARK: self.mark}
        self.driver = subprocess.Popen(self.command, env=environment, stderr=subprocess.DEVNULL)
        self.starts += 1

    def whole(self):
        manifest = self.out / "_manifest.json"
        return manifest.exists() and '"whole": true' in manifest.read_text()

    def kill(self):
        """Kill one of the processes, of the kind that was killed least."""
        mine = self.processes()
        kinds = sorted(set(mine.values()))
        if len(kinds) < 2:
            return False  # it has not begun
        kind = min(kinds, key=lambda one: (self.kills.count(one), self.random.random()))
        process = self.random.choice([p for p, k in mine.items() if k == kind])
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
            self.kills.append(kind)
            return True
        return False

    def processes(self):
        """Process number to kind of every process of the run."""
        found = {}
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            with suppress(OSError):
                if f"{MARK}={self.mark}".encode() in (folder / "environ").read_bytes():
                    found[int(folder.name)] = kind_of((folder / "cmdline").read_bytes(), folder)
        return {process: kind for process, kind in found.items() if kind}

    def close(self):
        """End what is left."""
        for _ in range(3):
            for process in self.processes():
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.2)
        if self.driver is not None:
            self.driver.wait()


def kind_of(command, folder):
    words = command.replace(b"\0", b" ")
    for kind in (b"raylet/raylet", b"gcs_server", b"ray::", b"mien.batch.pool"):
        if kind in words:
            return kind.decode()
    return "driver" if b"analyze" in words else ""


def disturbed(photos, tmp_path, tiny_model, *, inputs, kills, shard=5, options=()):
    """An undisturbed run and a disturbed one over the same inputs; how the latter went."""
    folder, out, calm = tmp_path / "in", tmp_path / "out", tmp_path / "calm.parquet"
    folder.mkdir()
    many(photos, inputs, folder)
    command = [sys.executable, "-m", "mien", "analyze", str(folder), "--model", str(tiny_model), "-q"]
    subprocess.run([*command, "-o", str(calm), "--workers", "1"], stderr=subprocess.DEVNULL, check=False)
    run = Disturbed(
        [*command, "-o", f"{out}/", "--shard", str(shard), "--workers", "2", *options], out, seed=1
    )
    try:
        run.run(kills, -(-inputs // shard))
    finally:
        run.close()
    told = ", ".join(f"{run.kills.count(kind)} {kind}" for kind in sorted(set(run.kills)))
    sys.stderr.write(f"{len(run.kills)} kills ({told}), {run.starts} starts\n")  # seen with -s
    assert len(run.kills) == kills
    assert not list(out.glob(".*"))
    parts = [pq.read_table(path) for path in sorted(out.glob("part-*.parquet"))]
    together = tmp_path / "together.parquet"
    order = [("source", "ascending"), ("face", "ascending")]
    pq.write_table(pa.concat_tables(parts).sort_by(order).combine_chunks(), together)
    pq.write_table(pq.read_table(calm).sort_by(order).combine_chunks(), calm)
    assert together.read_bytes() == calm.read_bytes()
    return run


def test_fifty_random_kills_change_no_byte(photos, tmp_path, tiny_model):
    run = disturbed(photos, tmp_path, tiny_model, inputs=600, kills=50)
    assert set(run.kills) >= {"driver", "mien.batch.pool"}


@pytest.mark.timeout(3000)
def test_fifty_random_kills_on_ray_change_no_byte(photos, tmp_path, tiny_model):
    kills = int(os.environ.get("MIEN_RAY_KILLS", "50"))
    run = disturbed(photos, tmp_path, tiny_model, inputs=600, kills=kills, options=("--engine", "ray"))
    assert set(run.kills) >= {"driver", "gcs_server", "raylet/raylet", "ray::"}
