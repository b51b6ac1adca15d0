"""The networks that come with Mien, each pinned by the sha256 of its file."""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import Final

from mien.errors import ModelError

#: Name to sha256 of `<name>.onnx` beside this file.
MODELS: Final = {
    "compact": "c0c705af15f07b95fc4232aecc48789902fd155e51c2e7aad4d8c8ee98c0194a",
}
DEFAULT: Final = "compact"


def load_model(name: str = DEFAULT) -> bytes:
    """The bytes of a shipped network.

    Raises:
        ModelError: there is no such network, or its file is not the one that was shipped.
    """
    if name not in MODELS:
        raise ModelError(f"model: expected one of {', '.join(MODELS)}, got {name!r}")
    data = resources.files(__name__).joinpath(f"{name}.onnx").read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != MODELS[name]:
        raise ModelError(
            f"shipped model {name!r}: expected sha256 {MODELS[name]}, the file has {digest}; "
            "it was altered or cut off: install mien again"
        )
    return data
