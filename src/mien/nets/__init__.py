"""The networks, one a file, and the literal dict that names them. Needs torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from torch import nn

from mien.errors import ConfigError
from mien.nets.compact import Compact
from mien.nets.face_resnet import FaceResNet

NETS: Final[dict[str, Callable[[], nn.Module]]] = {
    "compact": Compact,
    "face_resnet": FaceResNet,
}


def make_net(name: str) -> nn.Module:
    """A fresh network by name.

    Raises:
        ConfigError: there is no such network; the message lists those there are.
    """
    if name not in NETS:
        raise ConfigError(f"network: expected one of {', '.join(NETS)}, got {name!r}")
    return NETS[name]()
