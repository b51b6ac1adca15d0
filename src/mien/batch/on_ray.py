"""Shards made on Ray: Ray Data hands shard numbers to a pool of actors, and each writes its shard's file.

An actor keeps one worker process with the networks loaded, as a run on one machine does: what it survives
there, it survives here, and the rows are the same. Ray restarts actors that died, and gives their shards to
others.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mien.batch.options import AnalyzeOptions
from mien.batch.pool import Pool
from mien.batch.read import Result
from mien.batch.shards import Plan, Tell, make_shards
from mien.errors import MienError, MissingExtra

#: Of a cluster that is started here, unless the environment says otherwise: no log on standard error, and
#: workers at this process's priority (Ray's own 15 below it starves them beside anything else that runs).
_OWN: Final = {"RAY_BACKEND_LOG_LEVEL": "fatal", "RAY_worker_niceness": "0"}


def make_on_ray(options: AnalyzeOptions, workers: int, plan: Plan, shards: Sequence[int], tell: Tell) -> None:
    """Make shards on a Ray cluster, or on one that is started here; `workers` are actors.

    Raises:
        MissingExtra: Ray is not installed.
        MienError: the networks cannot be loaded there, a shard cannot be written, or Ray stopped.
    """
    with _cluster(options.address, workers) as ray:
        # shards of a run of more than 10,000 go out several at a time, so that Ray's list of them is short
        blocks = np.array_split(np.asarray(shards, np.int64), min(len(shards), 10_000))
        made = ray.data.from_numpy(blocks).map_batches(
            Actor,
            fn_constructor_args=(plan.folder.absolute(), Path.cwd(), options),
            batch_size=1,
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=1),
        )
        for row in made.iter_rows():
            done = json.loads(row["made"])
            for name, error in done["failed"]:
                tell(Result(name, error=error))
            if "fatal" in done:
                raise MienError(done["fatal"])
            tell(Result(done["shard"], **done["counts"], last=True))


@contextmanager
def _cluster(address: str | None, workers: int) -> Iterator[Any]:
    """Ray, connected; what it raises becomes Mien's. It is quiet and tells nobody."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    for name, value in _OWN.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtra("ray[data]", "scale", "--engine ray") from error
    own: dict[str, Any] = {
        "num_cpus": workers + 1,
        "object_store_memory": 100 << 20,  # bytes: only numbers of shards go through it
        "include_dashboard": False,
    }
    where = address or "local"
    try:
        ray.init(where, log_to_driver=False, logging_level=logging.ERROR, **({} if address else own))
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        yield ray
    except (ray.exceptions.RayError, ConnectionError, RuntimeError) as error:
        why = (str(error).strip() or "no reason given").splitlines()[0]
        raise MienError(
            f"Ray at {where} stopped before the end ({type(error).__name__}: {why}); "
            "finished shards are kept: start again, and the run resumes"
        ) from error
    finally:
        ray.shutdown()


class Actor:
    """Makes shards where Ray puts it; relative paths start from the folder `start`."""

    def __init__(self, folder: Path, start: Path, options: AnalyzeOptions) -> None:
        os.chdir(start)
        self._plan, self._options = Plan(folder), replace(options, threads=1)
        self._pool = Pool(self._options, workers=1)

    def __call__(self, batch: dict[str, NDArray[np.int64]]) -> dict[str, list[str]]:
        """Make one shard, or find that one of an actor that died has been made."""
        (shard,) = map(int, batch["data"])
        path, results = self._plan.path(shard), list[Result]()
        made: dict[str, Any] = {"shard": path.name}
        inputs = self._plan.count(shard)

        def tell(result: Result) -> None:
            results.append(replace(result, rows=[]))

        try:
            if self._options.retry or not path.exists():
                make_shards(self._pool, self._options, self._plan, [shard], tell)
                inputs = sum(result.last for result in results)
        except MienError as error:  # an exception would be tried again, and come wrapped
            made["fatal"] = str(error)
        made["failed"] = [(result.name, result.error) for result in results if result.error]
        made["counts"] = {"inputs": inputs, "frames": sum(result.frames for result in results),
                          "faces": sum(result.faces for result in results)}  # fmt: skip
        return {"made": [json.dumps(made)]}
