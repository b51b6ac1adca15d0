"""The weights that a run starts from, where they are not fresh."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from mien.errors import ConfigError, MissingExtra, ModelError

_DLIB: Final = "dlib_face_recognition_resnet_model_v1.dat"
_SETTLING: Final = 1024  # pictures whose statistics the norms begin with


def _dlib(net: Any, pictures: Any) -> None:
    """Dlib's face recognition weights, from the package that carries them (CC0)."""
    from mien.nets.dlib_weights import load_dlib, settle

    load_dlib(net, dlib_file())
    settle(net, pictures[:_SETTLING].float().cpu())


#: Name of the weights to the function that fills a network with them, given pictures (N, 1, H, W) uint8.
STARTS: Final[dict[str, Callable[[Any, Any], None]]] = {"dlib": _dlib}


def start_net(name: str, net: Any, pictures: Any) -> None:
    """Fill a fresh network with the weights of that name; leave it fresh if there is no name.

    Raises:
        ConfigError: there are no such weights; the message lists those there are.
        MissingExtra: the package that carries them is not installed.
        ModelError: its file is damaged.
    """
    if not name:
        return
    if name not in STARTS:
        raise ConfigError(f"start: expected one of {', '.join(map(repr, STARTS))}, got {name!r}")
    STARTS[name](net, pictures)


def dlib_file() -> Path:
    """The file in the package `face_recognition_models`, which is not imported: it would need setuptools.

    Raises:
        MissingExtra: the package is not installed.
        ModelError: the package lacks the file.
    """
    spec = find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra("face_recognition_models", "teacher", "starting from dlib's weights")
    path = Path(spec.submodule_search_locations[0]) / "models" / _DLIB
    if not path.is_file():
        raise ModelError(f"{path}: expected dlib's weights in the package, found none; install it again")
    return path
