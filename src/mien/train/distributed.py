"""Several processes that learn one network together, as `torchrun` starts them.

    torchrun --nproc-per-node 2 -m mien train votes --root ferplus.zip

Each process takes its share of every batch, and all apply the mean of their gradients, so that the learning
curve is that of one process with the same batch. Only the first writes files and reports. Outside `torchrun`
every function here does nothing.

The gradients are averaged explicitly, after the backward pass, instead of by DistributedDataParallel: the
loop stays the same with one process, and no network is wrapped, which would change its checkpoint.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import torch
from torch import Tensor, distributed, nn

from mien.errors import ConfigError, TrainingError

#: How long the others wait while the first decodes a corpus or judges; if a process dies, all end at once.
_TIMEOUT: Final = timedelta(hours=2)


@contextmanager
def joined(device: str) -> Iterator[str]:
    """Join `torchrun`'s processes; gives the device of this one (`cuda` becomes `cuda:LOCAL_RANK`)."""
    many = int(os.environ.get("WORLD_SIZE", "1")) > 1
    device = own_device(device)
    on_gpu = device.startswith("cuda")
    if many and on_gpu:
        torch.cuda.set_device(device)
    if many:
        distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=_TIMEOUT)
    yield device
    # Not after an error: leaving takes all processes, and the others wait elsewhere. This one dies, and
    # torchrun ends them.
    if many:
        distributed.destroy_process_group()


def own_device(device: str) -> str:
    """The device of this process: under `torchrun`, `cuda` becomes `cuda:LOCAL_RANK`.

    Raises:
        ConfigError: it is not there.
    """
    if device.startswith("cuda") and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        raise ConfigError(
            f"device: expected cpu, or a GPU that is there for each process, got {device!r} "
            f"({str(error).splitlines()[0]}); give another --device, or start fewer processes"
        ) from error
    return device


def is_first() -> bool:
    """Whether this process is the first of those that `torchrun` started, joined or not."""
    return int(os.environ.get("RANK", "0")) == 0


def rank() -> int:
    """The number of this process, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def size() -> int:
    """How many processes there are."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def wait() -> None:
    """Wait until all processes have come here."""
    if size() > 1:
        with _peers_alive():
            distributed.barrier()


@contextmanager
def first_alone() -> Iterator[None]:
    """The first process runs the block before the others: it makes the files that they then find."""
    if rank() > 0:
        wait()
    yield
    if rank() == 0:
        wait()


def share(batch: Tensor) -> Tensor:
    """This process's share of the positions (B,) of a batch: (B / size,)."""
    if len(batch) % size():  # pictures would be weighed unevenly
        raise ConfigError(
            f"batch: expected a multiple of the {size()} processes, got {len(batch)}; "
            "start another number of processes"
        )
    return batch[rank() :: size()]


def average_gradients(net: nn.Module) -> None:
    """Give every process the mean of all gradients."""
    if size() > 1:
        _average([p.grad for p in net.parameters() if p.grad is not None])


def average_buffers(net: nn.Module) -> None:
    """Give every process the mean of all running statistics of batch norms."""
    if size() > 1:
        _average([b for b in net.buffers() if b.is_floating_point()])


def agree(net: nn.Module) -> None:
    """Give every process the first one's weights."""
    if size() > 1:
        with _peers_alive():
            for tensor in net.state_dict().values():
                distributed.broadcast(tensor, 0)


def mean(value: Tensor) -> Tensor:
    """The mean of a scalar over all processes."""
    if size() > 1:
        _average([value])
    return value


def _average(tensors: list[Tensor]) -> None:
    """In place, in one message."""
    if not tensors:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    with _peers_alive():
        distributed.all_reduce(flat)
    flat /= size()
    parts = torch.split(flat, [tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))


@contextmanager
def _peers_alive() -> Iterator[None]:
    """Around an exchange: its own error tells of a connection, and not that another process has ended."""
    try:
        yield
    except RuntimeError as error:
        raise TrainingError(
            f"process {rank()} of {size()}: another has ended, see its own message for the reason"
        ) from error
