"""The networks that come with Mien, each pinned by the sha256 of its file."""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import Final

from mien.errors import ModelError

#: Name to sha256 of `<name>.onnx` beside this file.
MODELS: Final = {
    "compact": "0f66a0edd467abb8ea6d5d71c953f697cbbbbffcc8e7ed6381b9fa8907ecd59f",  # float32
    "compact-int8": "857f30c8cd28a85456fc3b30f86b65f0f754b42b28ca0fd234a6fec7de213c21",  # the same in 8 bits
}
#: The face network of `faces.parts`, which reads no expression.
FACE: Final = {"face": "07bf76f339872079dee306c1989bec52d13bf6599403ab76add9571e0129de74"}
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
