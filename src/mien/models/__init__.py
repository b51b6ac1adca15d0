"""The networks that come with Mien, each pinned by the sha256 of its file."""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import Final

from mien.errors import ModelError

#: Name to sha256 of `<name>.onnx` beside this file.
MODELS: Final = {
    "compact": "b9b738c94efd8744bfaf32999fa9744cd7ab87bbe3de959f1437412a79cf2e44",  # float32
    "compact-int8": "c428f90e26fc77e65b00388f4b0ef37fc5d0b4e42b311f4b7dd8bbdb5d5a3c98",  # the same in 8 bits
}
#: The face network of `faces.parts`, which reads no expression.
FACE: Final = {"face": "7a5ec1e574b2d40856bddc41be10e671592bb5fdab735370ab63afa0d8c95d67"}
DEFAULT: Final = "compact-int8"


def load_model(name: str = DEFAULT) -> bytes:
    """The bytes of a shipped network.

    Raises:
        ModelError: there is no such network, or its file is not the one that was shipped.
    """
    known = MODELS | FACE
    if name not in known:
        raise ModelError(f"model: expected one of {', '.join(MODELS)}, got {name!r}")
    data = resources.files(__name__).joinpath(f"{name}.onnx").read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != known[name]:
        raise ModelError(
            f"shipped model {name!r}: expected sha256 {known[name]}, the file has {digest}; "
            "it was altered or cut off: install mien again"
        )
    return data
