"""Reads on in a thread of its own while what came before is worked on."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from queue import Full, Queue
from threading import Event, Thread
from typing import Final, TypeVar

_PATIENCE: Final = 0.1  # seconds after which a waiting thread looks whether it is still wanted
_END: Final = object()
T = TypeVar("T")


def ahead(things: Iterable[T], depth: int) -> Generator[T]:
    """The same things in the same order, up to `depth` of them made before they are asked for.

    What making them raises is raised where the thing would have come. Closing the iterator ends the thread.
    """
    made: Queue[object] = Queue(depth)
    stop = Event()
    thread = Thread(target=_make, args=(things, made, stop), name="mien-ahead", daemon=True)
    thread.start()
    try:
        while True:
            thing = made.get()
            if thing is _END:
                return
            if isinstance(thing, _Failure):
                raise thing.error
            yield thing  # type: ignore[misc]  # what came from `things`
    finally:
        stop.set()
        thread.join()


class _Failure:
    """What making a thing raised."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def _make(things: Iterable[object], made: Queue[object], stop: Event) -> None:
    try:
        for thing in things:
            if not _put(made, thing, stop):
                return
        _put(made, _END, stop)
    except BaseException as error:  # noqa: BLE001 - it is raised again in the thread that asked
        _put(made, _Failure(error), stop)


def _put(made: Queue[object], thing: object, stop: Event) -> bool:
    """Whether the thing was put; False: nobody wants it any more."""
    while not stop.is_set():
        try:
            made.put(thing, timeout=_PATIENCE)
        except Full:
            continue
        return True
    return False
