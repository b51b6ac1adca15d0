"""Shards made on Ray: Ray Data hands shard numbers to a pool of actors, and each writes its shard's file.

An actor keeps one worker process with the networks loaded, the one that `LocalMaker` uses: what it survives
there, it survives here, and the rows are the same. Ray starts actors that died again, and hands their shard
to another.
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
from mien.batch.read import Result
from mien.batch.shards import LocalMaker, Plan, Tell
from mien.errors import MienError, MissingExtra

_STORE: Final = 100 << 20  # bytes of Ray's object store: only numbers of shards go through it
_QUIET: Final = {"RAY_USAGE_STATS_ENABLED": "0"}
#: Of a cluster that is started here, unless the environment says otherwise: no log on standard error, and
#: workers at this process's priority (Ray's own 15 below it starves them beside anything else that runs).
_OWN: Final = {"RAY_BACKEND_LOG_LEVEL": "fatal", "RAY_worker_niceness": "0"}
_BLOCKS: Final = (
    10_000  # shards of a larger run go out several at a time, so that Ray's list of them is short
)


class RayMaker:
    """Makes shards on a Ray cluster, or on one that is started here.

    Args:
        options: of the run.
        workers: actors.
    """

    def __init__(self, options: AnalyzeOptions, workers: int) -> None:
        self._options, self._workers = options, workers

    def load(self) -> str:
        """Load the networks; the sha256 of the classifier.

        Raises:
            MienError: they cannot be loaded.
        """
        return self._options.load().classifier.digest

    def make(self, plan: Plan, shards: Sequence[int], tell: Tell) -> None:
        """Make shards.

        Raises:
            MissingExtra: Ray is not installed.
            MienError: the networks cannot be loaded there, a shard cannot be written, or Ray stopped.
        """
        with self._cluster() as ray:
            blocks = np.array_split(np.asarray(shards, np.int64), min(len(shards), _BLOCKS))
            made = ray.data.from_numpy(blocks).map_batches(
                Actor,
                fn_constructor_args=(plan.folder.absolute(), Path.cwd(), self._options),
                batch_size=1,
                num_cpus=1,
                compute=ray.data.ActorPoolStrategy(size=self._workers, max_tasks_in_flight_per_actor=1),
            )
            for row in made.iter_rows():
                _tell(json.loads(row["made"]), tell)

    def close(self) -> None:
        """Nothing to end: Ray is let go of once the shards are made."""

    @contextmanager
    def _cluster(self) -> Iterator[Any]:
        """Ray, connected; what it raises becomes Mien's. It is quiet and tells nobody."""
        os.environ.update(_QUIET)
        for name, value in _OWN.items():
            os.environ.setdefault(name, value)
        try:
            import ray
            import ray.data
        except ImportError as error:
            raise MissingExtra("ray[data]", "scale", "--engine ray") from error
        own: dict[str, Any] = {"num_cpus": self._workers + 1, "object_store_memory": _STORE,
                               "include_dashboard": False}  # fmt: skip
        given = self._options.address
        address = given or "local"
        try:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **({} if given else own))
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


class Actor:
    """Makes shards where Ray puts it.

    Args:
        folder: of the run; the same path on every machine.
        start: the folder that relative paths start from.
        options: of the run.
    """

    def __init__(self, folder: Path, start: Path, options: AnalyzeOptions) -> None:
        os.chdir(start)
        self._plan, self._retry = Plan(folder), options.retry
        self._maker = LocalMaker(replace(options, threads=1), workers=1)

    def __call__(self, batch: dict[str, NDArray[np.int64]]) -> dict[str, list[str]]:
        """Make one shard, or find that one of an actor that died has been made."""
        (shard,) = map(int, batch["data"])
        results: list[Result] = []
        made: dict[str, Any] = {"shard": self._plan.path(shard).name, "inputs": self._plan.count(shard)}
        try:
            if self._retry or not self._plan.path(shard).exists():
                self._maker.make(
                    self._plan, [shard], lambda one: results.append(replace(one, rows=[], events=[]))
                )
                made["inputs"] = sum(result.last for result in results)
        except MienError as error:  # an exception would be tried again, and come wrapped
            made["fatal"] = str(error)
        made["failed"] = [(result.name, result.error) for result in results if result.error]
        made["frames"] = sum(result.frames for result in results)
        made["faces"] = sum(result.faces for result in results)
        return {"made": [json.dumps(made)]}


def _tell(made: dict[str, Any], tell: Tell) -> None:
    """What came of a shard, as results."""
    for name, error in made["failed"]:
        tell(Result(name, error=error))
    if "fatal" in made:
        raise MienError(made["fatal"])
    tell(Result(made["shard"], frames=made["frames"], faces=made["faces"], last=True, inputs=made["inputs"]))
