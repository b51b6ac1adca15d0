"""Shards made on Ray: Ray Data hands shard numbers to a pool of actors, and each writes its shard's file.

An actor keeps one worker process with the networks loaded, the one that the local engine uses: what it
survives there, it survives here, and the rows are the same. Ray starts actors that died again, and hands
their shard to another.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from mien.batch.part import Job, Part
from mien.batch.plan import Plan
from mien.errors import MienError, MissingExtra

if TYPE_CHECKING:
    from mien.batch.sharded import Settings, Tell

_STORE: Final = 100 << 20  # bytes of Ray's object store: only numbers of shards go through it
_QUIET: Final = {"RAY_USAGE_STATS_ENABLED": "0"}
#: Of a cluster that is started here, unless the environment says otherwise: no log on standard error, and
#: workers at this process's priority (Ray's own 15 below it starves them beside anything else that runs).
_OWN: Final = {"RAY_BACKEND_LOG_LEVEL": "fatal", "RAY_worker_niceness": "0"}
_BLOCKS: Final = (
    10_000  # shards of a larger run go out several at a time, so that Ray's list of them is short
)


def make_on_ray(plan: Plan, shards: Sequence[int], job: Job, settings: Settings, tell: Tell) -> None:
    """Make shards on a Ray cluster, or on one that is started here.

    Raises:
        MissingExtra: Ray is not installed.
        MienError: the networks cannot be loaded there, a shard cannot be written, or Ray stopped.
    """
    with _cluster(settings) as ray:
        blocks = np.array_split(np.asarray(shards, np.int64), min(len(shards), _BLOCKS))
        made = ray.data.from_numpy(blocks).map_batches(
            Actor,
            fn_constructor_args=(plan.folder.absolute(), Path.cwd(), job, settings),
            batch_size=1,
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(size=settings.workers, max_tasks_in_flight_per_actor=1),
        )
        for row in made.iter_rows():
            _tell(json.loads(row["made"]), tell)


class Actor:
    """Makes shards where Ray puts it.

    Args:
        folder: of the run; the same path on every machine.
        start: the folder that relative paths start from.
        job: what to do with each input.
        settings: how.
    """

    def __init__(self, folder: Path, start: Path, job: Job, settings: Settings) -> None:
        from mien.batch.sharded import Maker

        os.chdir(start)
        self._plan, self._retry = Plan(folder), settings.retry
        self._parts: list[Part] = []
        job = replace(job, threads=1, journals=job.journals and folder / job.journals.name)
        self._maker = Maker(self._plan, job, settings, workers=1, tell=self._note)

    def __call__(self, batch: dict[str, NDArray[np.int64]]) -> dict[str, list[str]]:
        """Make one shard, or find that one of an actor that died has been made."""
        (shard,) = map(int, batch["data"])
        self._parts.clear()
        made: dict[str, Any] = {"shard": self._plan.part(shard).name, "inputs": self._plan.count(shard)}
        try:
            if self._retry or not self._plan.part(shard).exists():
                self._maker.make([shard])
                made["inputs"] = sum(part.last for part in self._parts)
        except MienError as error:  # an exception would be tried again, and come wrapped
            made["fatal"] = str(error)
        failed = [asdict(replace(part, rows=[], events=[])) for part in self._parts if part.error]
        for what in ("frames", "faces"):
            made[what] = sum(getattr(part, what) for part in self._parts)
        return {"made": [json.dumps({**made, "failed": failed})]}

    def _note(self, part: Part) -> None:
        self._parts.append(replace(part, rows=[], events=[]))


def _tell(made: dict[str, Any], tell: Tell) -> None:
    """What came of a shard, as parts."""
    for failed in made["failed"]:
        tell(Part(failed["name"], error=failed["error"]))
    if "fatal" in made:
        raise MienError(made["fatal"])
    tell(Part(made["shard"], frames=made["frames"], faces=made["faces"], last=True, inputs=made["inputs"]))


@contextmanager
def _cluster(settings: Settings) -> Iterator[Any]:
    """Ray, connected; what it raises becomes Mien's. It is quiet and tells nobody."""
    os.environ.update(_QUIET)
    for name, value in _OWN.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtra("ray[data]", "scale", "--engine ray") from error
    own: dict[str, Any] = {"num_cpus": settings.workers + 1, "object_store_memory": _STORE,
                           "include_dashboard": False}  # fmt: skip
    address = settings.address or "local"
    try:
        ray.init(
            address, log_to_driver=False, logging_level=logging.ERROR, **({} if settings.address else own)
        )
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        yield ray
    except (ray.exceptions.RayError, ConnectionError, RuntimeError) as error:
        why = (str(error).strip() or "no reason given").splitlines()[0]
        raise MienError(
            f"expected Ray at {address} to go on to the end, it stopped ({type(error).__name__}: {why}); "
            "shards that are whole stay: start again, and it goes on"
        ) from error
    finally:
        ray.shutdown()
