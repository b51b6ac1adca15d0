"""Learning: the one loop and the functions handed to it. All but `require_torch` needs torch."""

from __future__ import annotations

from importlib.util import find_spec

from mien.errors import MissingExtra


def require_torch() -> None:
    """Say how to install the learning half where it is absent.

    Raises:
        MissingExtra: torch or a package that exports from it is not installed.
    """
    for package in ("torch", "onnx", "onnxscript"):
        if find_spec(package) is None:
            raise MissingExtra(package, "train", "training and exporting a network")
