"""The networks that come with Mien, each pinned by the sha256 of its file."""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import Final

from mien.errors import ModelError

#: Name to sha256 of `<name>.onnx` beside this file.
MODELS: Final = {
    "compact": "f1f33d4d981e6dbb6fb1f2a1d2558aeae319a217790048c0154ba03461c8ced4",
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
