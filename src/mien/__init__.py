"""Mien reads the expression on faces in photos and video.

    import mien

    analyzer = mien.load()
    frame = analyzer.image("photo.jpg")

Importing this package loads nothing heavy; `load` does (NumPy, ONNX Runtime, never torch). It switches off
what ONNX Runtime would send over the network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mien._version import __version__
from mien.errors import MienError
from mien.labels import EMOTIONS

if TYPE_CHECKING:
    from mien.analyzer import Analyzer, load
    from mien.batch.run import analyze
    from mien.results.rows import to_dataframe
    from mien.results.tables import write
    from mien.types import Face, Frame

__all__ = [
    "EMOTIONS", "Analyzer", "Face", "Frame", "MienError", "__version__", "analyze", "load",
    "to_dataframe", "write",
]  # fmt: skip

_LAZY = {
    "Analyzer": "mien.analyzer",
    "load": "mien.analyzer",
    "analyze": "mien.batch.run",
    "write": "mien.results.tables",
    "to_dataframe": "mien.results.rows",
    "Face": "mien.types",
    "Frame": "mien.types",
}


def __getattr__(name: str) -> Any:
    """Import the reading half on first use (PEP 562), so that `mien --help` stays quick."""
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'mien' has no attribute {name!r}")
